"""What an agent prints while it works, line by line, as events of one form; and what they come to.

The forms are those of the programs themselves, as they were recorded: claude's stream-json
(https://code.claude.com/docs/en/headless), codex's `exec --json`, gemini's stream-json, opencode's
`run --format json`, copilot's JSON. A line that is none of these is no event. Pure, but for the
reading of a log.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from git_parallel.task import Outcome

Kind = Literal[
    "session", "said", "ran", "failed", "denied", "error", "limit", "cost", "input", "output"
]
TAIL_BYTES = 1 << 16
WIDTH = 100
ERROR_WIDTH = 400
# In the words of an error: that it is a limit of the service, and when it ends.
LIMIT = re.compile(r"rate.?limit|usage.limit|hit your .*limit|quota|too many requests|429", re.I)
RESET = re.compile(r"(?:resets|(?:try again|retry) (?:at|in|after|on)) ?[^.;|\n]{1,40}", re.I)
REFUSED = re.compile(r"reject|denied|rule which prevents", re.I)
EPOCH = re.compile(r"\|(\d{10})\b")


class Event(Struct, frozen=True):
    """One thing that an agent told: its text, or an amount of US dollars or tokens, or the time at
    which a limit ends, in seconds since 1970.
    """

    kind: Kind
    text: str = ""
    amount: float = 0.0


def parse(form: str, line: bytes) -> list[Event]:
    """The events in a line of an agent's output; none where it is no event."""
    if form not in FORMS or not line.lstrip().startswith(b"{"):
        return []
    try:
        event = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []
    return list(FORMS[form](event)) if isinstance(event, dict) else []


def outcome_of(events: Iterable[Event]) -> Outcome:
    """What the events of a whole run come to."""
    told: dict[str, list[Event]] = {}
    for event in events:
        told.setdefault(event.kind, []).append(event)
    error = told["error"][-1].text if "error" in told else ""
    limits = told.get("limit", ())
    return Outcome(
        session=told["session"][-1].text if "session" in told else None,
        error=error,
        limited=_limited(error, max((event.amount for event in limits), default=0.0)),
        denied=tuple(dict.fromkeys(event.text for event in told.get("denied", ()))),
        cost_usd=_sum(told.get("cost")),
        input_tokens=_whole(_sum(told.get("input"))),
        output_tokens=_whole(_sum(told.get("output"))),
    )


def _sum(events: list[Event] | None) -> float | None:
    return sum(event.amount for event in events) if events else None


def _whole(amount: float | None) -> int | None:
    return None if amount is None else int(amount)


def _limited(error: str, ends: float) -> str:
    """When a limit ends, as a time or in the words of an error; nothing, if it speaks of none."""
    at = EPOCH.search(error)
    if error and (ends or at):
        moment = datetime.fromtimestamp(ends or int(at[1] if at else 0), UTC)
        return f"until {moment:%Y-%m-%d %H:%M} UTC"
    if not LIMIT.search(error):
        return ""
    found = RESET.search(error)
    return found[0].strip() if found else "it does not say until when"


def read(log: Path, form: str, offset: int) -> Outcome:
    """What an agent's part of a log comes to, which begins at an offset; raises OSError."""
    with log.open("rb") as file:
        file.seek(offset)
        return outcome_of(event for line in file for event in parse(form, line))


def last_action(log: Path, form: str) -> str:
    """What an agent did or said last, as one line; nothing where that can't be told."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return ""
    for line in reversed(lines):
        for event in reversed(parse(form, line)):
            if event.kind in ("ran", "said"):
                return one_line(event.text)
    return ""


def one_line(text: Any, width: int = WIDTH) -> str:
    """The first line of something, cut to a width."""
    lines = str(text or "").strip().splitlines()
    line = lines[0].strip() if lines else ""
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


def _error(words: Any) -> Event:
    """An error, long enough to say at its end when a limit is over."""
    return Event("error", one_line(words, ERROR_WIDTH))


def _at(table: Any, *path: str) -> Any:
    """What stands at a path in nested tables; None where it does not."""
    for key in path:
        table = table.get(key) if isinstance(table, dict) else None
    return table


def _parts(value: Any) -> list[dict[str, Any]]:
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


TOLD = ("command", "cmd", "file_path", "filePath", "path", "pattern", "query", "url", "description")


def tool_call(name: Any, arguments: Any) -> str:
    """A call of a tool, with what it was called for, in a line."""
    told = next((_at(arguments, key) for key in TOLD if _at(arguments, key)), "")
    words = " ".join(map(str, told)) if isinstance(told, list) else one_line(told)
    return f"{name} {words}".strip()


def _claude(event: dict[str, Any]) -> Iterator[Event]:
    kind = event.get("type")
    if kind == "system" and event.get("session_id"):
        yield Event("session", str(event["session_id"]))
    if kind == "system" and event.get("subtype") == "api_retry":
        tries = f"try {event.get('attempt')} of {event.get('max_retries')}"
        yield Event("failed", f"the API gave {event.get('error')}, {tries}")
    if kind == "rate_limit_event" and _at(event, "rate_limit_info", "status") == "rejected":
        ends = _at(event, "rate_limit_info", "resetsAt")
        yield Event("limit", amount=float(ends) if isinstance(ends, int | float) else 0.0)
    for part in _parts(_at(event, "message", "content")):
        if event.get("is_api_error_message"):
            continue  # the result says it again, as the error that it is
        if kind == "assistant" and part.get("type") == "text":
            yield Event("said", str(part.get("text")))
        elif kind == "assistant" and part.get("type") == "tool_use":
            yield Event("ran", tool_call(part.get("name"), part.get("input")))
        elif kind == "user" and part.get("type") == "tool_result" and part.get("is_error"):
            yield Event("failed", one_line(_text(part.get("content"))))
    if kind == "result":
        yield from _claudes_result(event)


def _claudes_result(event: dict[str, Any]) -> Iterator[Event]:
    for denial in _parts(event.get("permission_denials")):
        yield Event("denied", tool_call(denial.get("tool_name"), denial.get("tool_input")))
    if event.get("is_error") or event.get("subtype", "success") != "success":
        errors = event.get("errors")
        words = event.get("result") or (errors[0] if isinstance(errors, list) and errors else None)
        yield _error(words or event.get("subtype"))
    yield from _amounts(
        event.get("total_cost_usd"),
        _at(event, "usage", "input_tokens"),
        _at(event, "usage", "output_tokens"),
    )


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in _parts(content))
    return str(content or "")


def _amounts(cost: Any, given: Any, made: Any) -> Iterator[Event]:
    pairs: list[tuple[Kind, Any]] = [("cost", cost), ("input", given), ("output", made)]
    for kind, amount in pairs:
        if isinstance(amount, int | float):
            yield Event(kind, amount=float(amount))


def _codex(event: dict[str, Any]) -> Iterator[Event]:
    kind, item = event.get("type"), event.get("item")
    if kind == "thread.started":
        yield Event("session", str(event.get("thread_id")))
    elif kind == "item.completed":
        yield from _codex_item(item if isinstance(item, dict) else {})
    elif kind == "turn.failed":
        yield _error(_at(event, "error", "message"))
    elif kind == "error":  # it may try again, and says in the end whether the turn has failed
        yield Event("failed", one_line(event.get("message")))
    elif kind == "turn.completed":
        usage = event.get("usage")
        yield from _amounts(None, _at(usage, "input_tokens"), _at(usage, "output_tokens"))


def _codex_item(item: dict[str, Any]) -> Iterator[Event]:
    kind = item.get("type")
    if kind == "agent_message":
        yield Event("said", str(item.get("text")))
    elif kind == "command_execution":
        yield Event("ran", one_line(item.get("command")))
        if item.get("status") == "declined":
            yield Event("denied", one_line(item.get("command")))
        elif item.get("exit_code"):
            output = one_line(item.get("aggregated_output"))
            yield Event("failed", f"exit code {item['exit_code']} {output}".strip())
    elif kind == "file_change":
        paths = ", ".join(str(change.get("path")) for change in _parts(item.get("changes")))
        yield Event("ran", one_line(f"change {paths}"))
        if item.get("status") == "failed":
            yield Event("failed", one_line(f"change {paths}"))
    elif kind == "mcp_tool_call":
        yield Event("ran", f"{item.get('server')} {item.get('tool')}")
    elif kind == "error":
        yield Event("failed", one_line(item.get("message")))


def _gemini(event: dict[str, Any]) -> Iterator[Event]:
    kind = event.get("type")
    if kind == "init":
        yield Event("session", str(event.get("session_id")))
    elif kind == "message" and event.get("role") == "assistant":
        yield Event("said", str(event.get("content")))
    elif kind == "tool_use":
        yield Event("ran", tool_call(event.get("tool_name"), event.get("parameters")))
    elif kind == "tool_result" and event.get("status") == "error":
        yield Event("failed", one_line(_at(event, "error", "message") or event.get("output")))
    elif kind == "result":
        if event.get("status") != "success":
            yield _error(_at(event, "error", "message") or event.get("status"))
        stats = event.get("stats")
        yield from _amounts(None, _at(stats, "input_tokens"), _at(stats, "output_tokens"))


def _opencode(event: dict[str, Any]) -> Iterator[Event]:
    kind, part = event.get("type"), event.get("part")
    if kind == "step_start" and event.get("sessionID"):
        yield Event("session", str(event["sessionID"]))
    elif kind == "text":
        yield Event("said", str(_at(part, "text")))
    elif kind == "tool_use":
        state = _at(part, "state")
        call = tool_call(_at(part, "tool"), _at(state, "input"))
        yield Event("ran", call)
        if _at(state, "status") == "error":
            words = one_line(_at(state, "error"))
            refused = REFUSED.search(words) is not None
            yield Event("denied", call) if refused else Event("failed", words)
    elif kind == "step_finish":
        tokens = _at(part, "tokens")
        yield from _amounts(_at(part, "cost"), _at(tokens, "input"), _at(tokens, "output"))
    elif kind == "error":
        yield _error(_at(event, "error", "data", "message") or event.get("error"))


def _copilot(event: dict[str, Any]) -> Iterator[Event]:
    kind = event.get("type")
    if event.get("sessionId"):
        yield Event("session", str(event["sessionId"]))
    if kind == "assistant.message" and _at(event, "data", "content"):
        yield Event("said", str(_at(event, "data", "content")))
    elif kind == "tool.execution_start":
        yield Event(
            "ran", tool_call(_at(event, "data", "toolName"), _at(event, "data", "arguments"))
        )
    elif kind == "result" and event.get("exitCode"):
        yield _error(f"exit code {event['exitCode']}")


FORMS: dict[str, Callable[[dict[str, Any]], Iterator[Event]]] = {
    "claude": _claude,
    "codex": _codex,
    "gemini": _gemini,
    "opencode": _opencode,
    "copilot": _copilot,
}
