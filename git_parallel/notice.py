"""Tell a person that a task needs them: inbox, desktop, the terminal it came from, a command.

Only the inbox is a promise; the others are tried for two seconds, and their failure is nobody's.
"""

import contextlib
import os
import stat
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from git_parallel import records
from git_parallel.errors import ParallelError
from git_parallel.lock import Lock
from git_parallel.process import call, detach
from git_parallel.records import Notice
from git_parallel.repository import Repository, repository_at
from git_parallel.schema import Notify
from git_parallel.store import Store
from git_parallel.task import Status
from git_parallel.task_folder import TaskFolder
from git_parallel.trust import Trust

LIMIT_S = 2.0
GATHER_S = 0.7
GATHER_MOST_S = 5.0
GATHER_WAIT_S = 30.0


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


def put_into_inbox(folder: TaskFolder, status: Status, reason: str, number: int) -> None:
    """Leave a notice of a run that `list` shows until the person has looked."""
    folder.write_notice(Notice(str(status), reason, time.time(), number))


class Ending(Struct, frozen=True, forbid_unknown_fields=True):
    """A run that has ended, or waits, of which the person is to be told."""

    task: str
    status: str
    reason: str
    terminal: str

    @property
    def text(self) -> str:
        """The ending in a line."""
        return f"{self.task} is {self.status}" + (f": {self.reason}" if self.reason else "")


class Errand(Struct, frozen=True):
    """What a process of its own is to announce."""

    common: str
    main: str | None
    ending: Ending


def announce_aside(repository: Repository, ending: Ending) -> None:
    """Announce it, but let a process of its own wait for that."""
    main = str(repository.main) if repository.main else None
    errand = Errand(str(repository.common), main, ending)
    with contextlib.suppress(OSError):  # only the inbox is a promise
        detach(
            ["announce", msgspec.json.encode(errand).decode()],
            folder=repository.common,
            log=repository.store.state / "announce.log",
        )


def run_errand(text: str) -> None:
    """Be that process."""
    errand = msgspec.json.decode(text, type=Errand)
    main = Path(errand.main) if errand.main else None
    announce(repository_at(Path(errand.common), main), errand.ending)


def announce(repository: Repository, ending: Ending) -> None:
    """Tell the person by every way that is configured, once of all that ends together.

    Each run leaves its ending in a folder; the first to hold its lock waits a moment for others
    that are at work still, and tells of all that is there. Takes some seconds at most. Raises
    ParallelError where the configuration can't be read.
    """
    store = repository.store
    rules = _rules(repository)
    folder = store.state / "announce"
    folder.mkdir(exist_ok=True)
    own = folder / f"{os.getpid()}-{time.time_ns()}.json"
    records.write_record(own, ending, durable=False)
    lock = Lock.take(folder / "lock", wait_s=GATHER_WAIT_S)
    if lock is None:
        return
    with lock:
        if own.exists():  # else another run has told of it
            _tell(_gather(store, folder), rules, os.environ)


def _rules(repository: Repository) -> Notify:
    """How the person is told; a command that the project brings runs only if it is trusted."""
    loaded = repository.configuration()
    may = Trust(repository.store.state).approvals(loaded).allow("notify.command")
    rules = loaded.config.notify
    return rules if may else structs.replace(rules, command=())


def _gather(store: Store, folder: Path) -> list[Ending]:
    found = _claim(folder)
    limit = time.monotonic() + GATHER_MOST_S
    while time.monotonic() < limit and any(task.alive for task in store.folders()):
        time.sleep(GATHER_S)
        more = _claim(folder)
        found += more
        if not more:
            break
    return found


def _claim(folder: Path) -> list[Ending]:
    found = []
    for file in sorted(folder.glob("*.json")):
        with contextlib.suppress(ParallelError):  # one that can't be read is told of by `list`
            found.append(records.load_record(file, Ending))
        file.unlink()
    return found


def _tell(endings: Sequence[Ending], rules: Notify, base: Mapping[str, str]) -> None:
    if rules.terminal:
        for place in dict.fromkeys(ending.terminal for ending in endings):
            if terminal := parse_terminal(place):
                ring(terminal, summary([e for e in endings if e.terminal == place]))
    if rules.desktop:
        title = endings[0].task if len(endings) == 1 else f"{len(endings)} tasks"
        _desktop(title, summary(endings), base)
    if rules.command:
        one = endings[0]
        several = len(endings) > 1
        task = ", ".join(ending.task for ending in endings)
        status = _counted(endings) if several else one.status
        values = {"{task}": task, "{status}": status, "{reason}": "" if several else one.reason}
        words = [_filled(word, values) for word in rules.command]
        told = {"GIT_PARALLEL_TASK": task, "GIT_PARALLEL_STATUS": status}
        call(words, environment={**base, **told}, timeout_s=LIMIT_S)


def summary(endings: Sequence[Ending]) -> str:
    """Some endings in a line."""
    if len(endings) == 1:
        return endings[0].text
    return f"{_counted(endings)}: {', '.join(ending.task for ending in endings)}"


def _counted(endings: Sequence[Ending]) -> str:
    statuses = [ending.status for ending in endings]
    return ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))


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


def _desktop(what: str, text: str, base: Mapping[str, str]) -> None:
    title = f"git parallel: {what}"
    if sys.platform == "darwin":
        script = "on run a\ndisplay notification (item 2 of a) with title (item 1 of a)\nend run"
        call(["osascript", "-e", script, title, text], environment=base, timeout_s=LIMIT_S)
    elif any(base.get(name) for name in ("DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY")):
        command = ["notify-send", "--app-name=git parallel", "--", title, text]
        call(command, environment=base, timeout_s=LIMIT_S)
