"""What a program says to its terminal, not to the person before it: what it asks of the terminal,
and whether it needs somebody. Pure.

The sequences are xterm's (https://invisible-island.net/xterm/ctlseqs/ctlseqs.html), a notification
as iTerm2 has it (OSC 9), and the program status that claude and codex tell (OSC 7501), as it was
recorded from them: `state=STATE:app=NAME:kind=KIND:msg=BASE64`, told once the terminal has answered
`?`. Hooks of an agent tell theirs in the same form, with the hook's input as `json=BASE64`.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from git_parallel.events import one_line, tool_call

MOST_HELD = 1 << 14
ANSWERS = {
    b"\x1b[6n": b"\x1b[1;1R",  # where the cursor is
    b"\x1b[c": b"\x1b[?62;22c",  # what kind of terminal: one with colours
    b"\x1b[0c": b"\x1b[?62;22c",
    b"\x1b[?1004h": b"\x1b[O",  # tell of the focus: nobody looks
}
STATUS_ASKED = b"\x1b]7501;?\x1b\\"
SPOKEN = re.compile(
    rb"\x1b(?:\[6n|\[0?c|\[\?1004h|\](?P<kind>9|7501);(?P<text>[^\x07\x1b]*)(?:\x07|\x1b\\))"
)
BEGUN = re.compile(rb"\x1b(?:\[[?\d;]*|\](?:[79][\d;]*(?:;[^\x07\x1b]*\x1b?)?)?)?\Z")
REPLIES = re.compile(
    rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]P_][^\x07\x1b]*(?:\x07|\x1b\\)|O.)", re.DOTALL
)
NEEDS = {"blocked": "it asks something", "done": "its turn is over"}


class Told(Struct, frozen=True):
    """That a program needs a person, with its question; or, without one, that it needs none."""

    question: str


class Asked(Struct, frozen=True):
    """A question to the terminal, and what one without a person answers."""

    answer: bytes
    always: bool = False


class Listener:
    """Listens to what a program prints, in pieces as they come."""

    def __init__(self) -> None:
        self.tells_status = False
        self._held = b""
        self._text = ""

    def hear(self, content: bytes) -> Iterator[Told | Asked]:
        """What is said in the next piece of its output."""
        if not (self._held or b"\x1b" in content):
            return
        content = self._held + content
        for found in SPOKEN.finditer(content):
            yield from self._told(found)
        begun = BEGUN.search(content[-MOST_HELD:])
        self._held = begun[0] if begun else b""

    def answered(self) -> bool:
        """That a person has typed something; True where this may have been the answer to what
        the program needed, which one that tells its status will say by itself.
        """
        self._text = "" if self.tells_status else self._text
        return not self.tells_status

    def _told(self, found: re.Match[bytes]) -> Iterator[Told | Asked]:
        kind, text = found["kind"], found["text"]
        if kind is None:
            yield Asked(ANSWERS[found[0]])
        elif kind == b"9":
            self._text = one_line(_decoded(text))
            if not text.startswith(b"4;"):  # that is the progress of something
                yield Told(self._text)
        elif text == b"?":
            yield Asked(STATUS_ASKED, always=True)
        else:
            fields = dict(part.partition("=")[::2] for part in _decoded(text).split(":"))
            self.tells_status = True
            yield self._status(fields)

    def _status(self, fields: dict[str, str]) -> Told:
        need = NEEDS.get(fields.get("state", ""))
        if need is None:
            self._text = ""
            return Told("")
        words = one_line(_plain(fields.get("msg", ""))) or _hooks_words(fields.get("json", ""))
        self._text = words = words or self._text  # what it says of the same without words, is this
        if fields["state"] == "done":
            return Told(f"{need}: {words}" if words else need)
        return Told(words or need)


def is_typed(content: bytes) -> bool:
    """Whether a person typed it, in what came from their terminal: it answers by itself too."""
    return bool(REPLIES.sub(b"", content))


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def _plain(text: str) -> str:
    try:
        return _decoded(base64.b64decode(text))
    except (binascii.Error, ValueError):
        return ""


def _hooks_words(text: str) -> str:
    """What an agent's hook was told, in a line: the tool that is to be allowed, or a message."""
    try:
        told: Any = msgspec.json.decode(_plain(text))
    except msgspec.DecodeError:
        return ""
    if not isinstance(told, dict):
        return ""
    if told.get("tool_name"):
        return f"may it use {tool_call(told['tool_name'], told.get('tool_input'))}?"
    return one_line(told.get("message") or told.get("last_assistant_message"))
