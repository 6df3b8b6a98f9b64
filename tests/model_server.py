"""A server on the loopback interface that speaks the APIs of the models of claude, codex and aider.

It knows nothing of conversations: whether a request is the first or the second one shows in it,
since the second carries what the tool gave. The first answer calls the agent's shell, the second
ends the turn; `scenario` says what is different.
"""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

ESCALATED = {"sandbox_permissions": "require_escalated", "justification": "May I?"}
SHELLS = ("Bash", "exec_command", "shell_command", "shell", "exec")
Table = dict[str, Any]
Sent = tuple[str, Table]


class ModelServer:
    """Serves while it is entered. `scenario` is "edit", "ask" (for more than is allowed),
    "text" or "crash", and may be changed.
    """

    def __init__(self, command: str) -> None:
        self.command = command
        self.scenario = "edit"
        self.prompts: list[str] = []
        outer = self

        class Bound(_Handler):
            server_of = outer

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Bound)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.http.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of: ModelServer

    def do_HEAD(self) -> None:
        self._reply(200, {})

    def do_GET(self) -> None:
        upgrade = bool(self.headers.get("upgrade"))  # codex tries a WebSocket first
        self._reply(426 if upgrade else 200, {"data": [], "models": []})

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        request = json.loads(self.rfile.read(length) or b"{}")
        path = self.path.partition("?")[0]
        scenario = self.server_of.scenario
        second = _has_result(request)
        self.server_of.prompts.append(json.dumps(request))
        if path.endswith("/count_tokens"):
            self._reply(200, {"input_tokens": 1200})
        elif path.endswith("/chat/completions"):
            self._reply(200, _completion(request, scenario))
        elif scenario == "crash" and second:
            error = {"type": "api_error", "message": "Internal server error"}
            self._reply(500, {"type": "error", "error": error})
        else:
            shell = next((name for name in SHELLS if name in _tools(request)), None)
            wanted = shell if scenario != "text" and not second else None
            speak = _messages if path.endswith("/messages") else _responses
            text = "I will write the file." if wanted else "All is done."
            command, asks = self.server_of.command, scenario == "ask"
            self._stream(speak(str(request.get("model")), wanted, command, text, asks=asks))

    def _stream(self, events: Iterator[Sent]) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for name, value in events:
            told = f"event: {name}\ndata: {json.dumps({'type': name, **value})}\n\n"
            self.wfile.write(told.encode())

    def _reply(self, status: int, value: Table) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: a test's output is its own."""


def _completion(request: Table, scenario: str) -> Table:
    """OpenAI's chat completion, whole (https://platform.openai.com/docs/api-reference/chat), as
    aider reads it: an edit is a block in the text, and a message for the commit is asked apart.
    """
    block = "note.txt\n```\n<<<<<<< SEARCH\n=======\nhello\n>>>>>>> REPLACE\n```\n"
    text = "All is done." if scenario == "text" else f"I will write the file.\n\n{block}"
    if "# Diffs:" in str(request["messages"][-1].get("content")):
        text = "Add note"
    said = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 1200, "completion_tokens": 34, "total_tokens": 1234}
    choice = {"index": 0, "finish_reason": "stop", "message": said}
    base = {"id": f"chat_{time.time_ns()}", "object": "chat.completion", "created": 1}
    return {**base, "model": request["model"], "choices": [choice], "usage": usage}


def _tools(request: Table) -> list[str]:
    """The names of the tools that a request offers; codex has them in an item of its input."""
    found = list(request.get("tools") or [])
    items = request.get("input")
    for item in items if isinstance(items, list) else []:
        found += item.get("tools", []) if item.get("type") == "additional_tools" else []
    for group in [tool for tool in found if tool.get("type") == "namespace"]:
        found += group["tools"]
    return [str(tool.get("name")) for tool in found]


def _has_result(request: Table) -> bool:
    """Whether the newest turn of a conversation carries what a tool gave."""
    turns = request.get("messages") or request.get("input") or []
    for turn in reversed(turns if isinstance(turns, list) else []):
        if str(turn.get("type", "")).endswith("call_output"):
            return True
        parts = turn.get("content")
        if isinstance(parts, list) and any(part.get("type") == "tool_result" for part in parts):
            return True
        if turn.get("role") == "assistant":
            return False
    return False


def _messages(
    model: str, shell: str | None, command: str, text: str, *, asks: bool
) -> Iterator[Sent]:
    """Anthropic's Messages, streamed (https://docs.anthropic.com/en/api/messages-streaming)."""
    usage = {"input_tokens": 1200, "output_tokens": 1}
    message = {"id": f"msg_{time.time_ns()}", "type": "message", "role": "assistant"}
    message |= {"model": model, "content": [], "stop_reason": None, "usage": usage}  # type: ignore[dict-item]
    yield "message_start", {"message": message}
    blocks: list[tuple[Table, Table]] = [
        ({"type": "text", "text": ""}, {"type": "text_delta", "text": text})
    ]
    if shell:
        call = {"type": "tool_use", "id": f"toolu_{time.time_ns()}", "name": shell, "input": {}}
        given = json.dumps({"command": command, "description": "Write a file"})
        blocks.append((call, {"type": "input_json_delta", "partial_json": given}))
    for index, (block, delta) in enumerate(blocks):
        yield "content_block_start", {"index": index, "content_block": block}
        yield "content_block_delta", {"index": index, "delta": delta}
        yield "content_block_stop", {"index": index}
    why = "tool_use" if shell else "end_turn"
    yield "message_delta", {"delta": {"stop_reason": why}, "usage": {"output_tokens": 34}}
    yield "message_stop", {}


def _responses(
    model: str, shell: str | None, command: str, text: str, *, asks: bool
) -> Iterator[Sent]:
    """OpenAI's Responses, streamed (https://platform.openai.com/docs/api-reference/responses)."""
    name = f"resp_{time.time_ns()}"
    base = {"id": name, "object": "response", "model": model}
    yield "response.created", {"response": {**base, "status": "in_progress", "output": []}}
    said = {"type": "output_text", "text": text, "annotations": []}
    output: list[Table] = [
        {"type": "message", "id": f"msg_{name}", "role": "assistant", "content": [said]}
    ]
    if shell:
        output.append(_call(name, shell, command, ESCALATED if asks else {}))
    for index, item in enumerate(output):
        done = {"output_index": index, "item": {**item, "status": "completed"}}
        yield "response.output_item.added", done
        yield "response.output_item.done", done
    usage = {"input_tokens": 1200, "output_tokens": 34, "total_tokens": 1234}
    usage |= {"input_tokens_details": {"cached_tokens": 0}}  # type: ignore[dict-item]
    ended = {**base, "status": "completed", "output": output, "usage": usage}
    yield "response.completed", {"response": ended}


def _call(name: str, shell: str, command: str, asking: Table) -> Table:
    """A call of the shell as codex offers it: as a function, or by JavaScript."""
    call = {"id": f"fc_{name}", "call_id": f"call_{name}", "name": shell}
    if shell == "exec":
        code = f"text(await tools.exec_command({json.dumps({'cmd': command, **asking})}));"
        return {"type": "custom_tool_call", **call, "input": code}
    given = {"cmd": command} if shell == "exec_command" else {"command": command}
    given |= asking
    return {"type": "function_call", **call, "arguments": json.dumps(given)}
