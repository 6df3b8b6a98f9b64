"""Tell a person that a task needs them: inbox, desktop, the terminal it came from, a command.

Only the inbox is a promise; the others are tried for two seconds, and their failure is nobody's.
"""

import contextlib
import os
import stat
import sys
import time
from collections.abc import Mapping

from msgspec import Struct

from git_parallel.process import call
from git_parallel.records import Notice
from git_parallel.schema import Notify
from git_parallel.store import TaskFolder
from git_parallel.task import Run, Task

LIMIT_S = 2.0


class Terminal(Struct, frozen=True):
    """A terminal device, and what tells whether it is still the same one."""

    path: str
    device: int
    owner: int


def current_terminal() -> Terminal | None:
    """The terminal that this process talks to, if there is one."""
    for fd in (2, 1, 0):
        with contextlib.suppress(OSError):
            path = os.ttyname(fd)
            seen = os.stat(path)
            return Terminal(path, seen.st_rdev, seen.st_uid)
    return None


def parse_terminal(text: str) -> Terminal | None:
    """A terminal from what `describe_terminal` made of it."""
    parts = text.rsplit(":", 2)
    return Terminal(parts[0], int(parts[1]), int(parts[2])) if len(parts) == 3 else None


def describe_terminal(terminal: Terminal | None) -> str:
    """A terminal as one word of a command line; empty for none."""
    return f"{terminal.path}:{terminal.device}:{terminal.owner}" if terminal else ""


def put_into_inbox(folder: TaskFolder, run: Run) -> None:
    """Leave a notice that `list` shows until the person has looked."""
    folder.write_notice(Notice(str(run.result), run.reason, time.time(), run.number))


def announce(
    task: Task, run: Run, rules: Notify, terminal: Terminal | None, base: Mapping[str, str]
) -> None:
    """Tell the person by every way that is configured; never raises, and takes a few seconds at
    most.
    """
    text = f"{task.name} is {run.result}" + (f": {run.reason}" if run.reason else "")
    if rules.terminal and terminal:
        ring(terminal, text)
    if rules.desktop:
        _desktop(task, text, base)
    if rules.command:
        values = {"{task}": task.name, "{status}": str(run.result), "{reason}": run.reason}
        words = [_filled(word, values) for word in rules.command]
        told = {"GIT_PARALLEL_TASK": task.name, "GIT_PARALLEL_STATUS": str(run.result)}
        call(words, environment={**base, **told}, timeout_s=LIMIT_S)


def _filled(word: str, values: Mapping[str, str]) -> str:
    for mark, value in values.items():
        word = word.replace(mark, value)
    return word


def ring(terminal: Terminal, text: str) -> bool:
    """Ring the bell of a terminal and send it a message (OSC 9); False where that is no longer
    the terminal it was.
    """
    clean = "".join(c for c in text if c.isprintable())[:200]
    with contextlib.suppress(OSError):
        fd = os.open(terminal.path, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            seen = os.fstat(fd)
            same = (seen.st_rdev, seen.st_uid) == (terminal.device, terminal.owner)
            if stat.S_ISCHR(seen.st_mode) and same:
                os.write(fd, f"\x1b]9;{clean}\x1b\\\a".encode())
                return True
        finally:
            os.close(fd)
    return False


def _desktop(task: Task, text: str, base: Mapping[str, str]) -> None:
    title = f"git parallel: {task.name}"
    if sys.platform == "darwin":
        script = "on run a\ndisplay notification (item 2 of a) with title (item 1 of a)\nend run"
        call(["osascript", "-e", script, title, text], environment=base, timeout_s=LIMIT_S)
    elif any(base.get(name) for name in ("DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY")):
        command = ["notify-send", "--app-name=git parallel", "--", title, text]
        call(command, environment=base, timeout_s=LIMIT_S)
