"""Find processes and end them with all of their descendants. psutil is imported only where a tree
must be found.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from git_parallel.errors import ParallelError

if TYPE_CHECKING:
    import psutil


TAG = "GIT_PARALLEL_RUN"
GRACE_S = 2.0
KILL_WAIT_S = 5.0


def below(tag: str) -> list["psutil.Process"]:
    """The processes below this one, and those of a run that lost their parents."""
    import psutil

    found = psutil.Process().children(recursive=True)
    known = {p.pid for p in found}
    return found + [p for p in tagged(tag) if p.pid not in known]


def tagged(tag: str, *, variable: str = TAG, spare: int | None = None) -> list["psutil.Process"]:
    """The processes of ours whose environment carries the tag of a run (or another mark, in its
    own variable), and their descendants; but not the one to spare, nor its children.
    """
    import psutil

    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(variable) == tag:
                found[process.pid] = process
                found.update({p.pid: p for p in process.children(recursive=True)})
    living = [p for p in found.values() if p.pid != os.getpid() and _is_running(p)]
    return [p for p in living if spare is None or spare not in (p.pid, _parent(p))]


def _parent(process: "psutil.Process") -> int | None:
    import psutil

    with contextlib.suppress(psutil.Error):
        return process.ppid()
    return None


def end(find: Callable[[], list["psutil.Process"]], *, grace_s: float = GRACE_S) -> tuple[str, ...]:
    """End every process that `find` finds, politely first; returns their names.

    Raises ParallelError where one of them can't be ended.
    """
    named: dict[int, str] = {}
    kill_from = time.monotonic() + grace_s
    give_up = kill_from + KILL_WAIT_S
    asked: set[int] = set()
    while living := [p for p in find() if _is_running(p)]:
        now = time.monotonic()
        if now > give_up:
            raise ParallelError(f"process {living[0].pid} can't be ended")
        for process in living:
            named.setdefault(process.pid, describe(process))
            if now >= kill_from:
                _signal(process, signal.SIGKILL)
            elif process.pid not in asked:
                asked.add(process.pid)
                _signal(process, signal.SIGTERM)
        time.sleep(0.02)
    return tuple(named.values())


def describe(process: "psutil.Process") -> str:
    """A process as people know it: its name and its id."""
    import psutil

    with contextlib.suppress(psutil.Error):
        return f"{process.name()} ({process.pid})"
    return f"process {process.pid}"


def ask_to_stop(pid: int, tag: str) -> bool:
    """Send SIGTERM to a runner; False where that process is gone or another one."""
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        process = psutil.Process(pid)
        if process.environ().get(TAG) == tag:
            process.send_signal(signal.SIGTERM)
            return True
    return False


def belongs(process: "psutil.Process", session: int, folder: Path) -> bool:
    """Whether a process is of a session, or stands in a folder."""
    import psutil

    with contextlib.suppress(OSError):
        if os.getsid(process.pid) == session:
            return True
    with contextlib.suppress(psutil.Error, OSError):
        return Path(process.cwd()).is_relative_to(folder)
    return False


def inside(folder: Path, *, spare: frozenset[int] = frozenset()) -> list[str]:
    """The processes that stand in a folder, run from it or hold one of its files open.

    `spare` are process ids that don't count. Other users' processes can't be seen.
    """
    spared = spare | {os.getpid()}
    start = str(folder.resolve()) + os.sep
    return [
        _proc_name(pid) if sys.platform == "linux" else name
        for pid, name, places in _places()
        if pid not in spared and any((place + os.sep).startswith(start) for place in places)
    ]


def ancestors() -> frozenset[int]:
    """This process and the shells and terminals above it."""
    if sys.platform != "linux":
        import psutil

        return frozenset({os.getpid(), *(p.pid for p in psutil.Process().parents())})
    found, pid = {os.getpid()}, os.getppid()
    while pid > 0:
        found.add(pid)
        try:  # proc_pid_stat(5): the parent is the second field after the name in brackets
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            break
    return frozenset(found)


def _is_running(process: "psutil.Process") -> bool:
    import psutil

    with contextlib.suppress(psutil.Error):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


def _signal(process: "psutil.Process", number: signal.Signals) -> None:
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)  # compares the time of its creation first


def _places() -> Iterator[tuple[int, str, Iterator[str]]]:
    if sys.platform == "linux":
        for entry in os.scandir("/proc"):
            if entry.name.isdigit():
                yield int(entry.name), "", _proc_places(entry.path)
        return
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            files = [f.path for f in process.open_files()]
            yield process.pid, describe(process), iter([process.cwd(), process.exe(), *files])


def _proc_places(proc: str) -> Iterator[str]:
    for name in ("cwd", "exe", "root"):
        with contextlib.suppress(OSError):
            yield os.readlink(f"{proc}/{name}")
    with contextlib.suppress(OSError):
        for entry in os.scandir(f"{proc}/fd"):
            with contextlib.suppress(OSError):
                yield os.readlink(entry.path)


def _proc_name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return f"{Path(f'/proc/{pid}/comm').read_text().strip()} ({pid})"
    return f"process {pid}"
