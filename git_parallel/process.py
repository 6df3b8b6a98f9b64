"""The one door to programs other than git: locks that tell who lives, detached and supervised
children, and the end of a whole process tree.

A lock is `flock` on a file: it dies with its last holder and with the machine, so "held" means
"alive", which a process id never does. psutil is imported only where a tree must be found.
"""

import contextlib
import ctypes
import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from msgspec import Struct

from git_parallel.errors import ParallelError
from git_parallel.git import clean_environment

if TYPE_CHECKING:
    import psutil

TAG = "GIT_PARALLEL_RUN"
GRACE_S = 2.0
KILL_WAIT_S = 5.0
NOT_FOUND_EXIT = 127
CANNOT_RUN_EXIT = 126
PR_SET_CHILD_SUBREAPER = 36  # prctl(2)

# What would make an installer or an interpreter act on another environment than the worktree's.
FOREIGN_ENVIRONMENT = frozenset(
    [
        "VIRTUAL_ENV",
        "VIRTUAL_ENV_PROMPT",
        "PYTHONHOME",
        "PYTHONPATH",
        "CONDA_PREFIX",
        "CONDA_DEFAULT_ENV",
        "NODE_PATH",
        "PIPENV_ACTIVE",
        "POETRY_ACTIVE",
        "PDM_PROJECT_ROOT",
        "UV_PYTHON",
        "UV_PROJECT",
        "UV_PROJECT_ENVIRONMENT",
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_REQUIRE_VIRTUALENV",
        "INIT_CWD",
        "PWD",
        "OLDPWD",
    ]
)


class Lock:
    """A held lock; whoever inherits `fd` holds it too."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def take(cls, path: Path, *, wait_s: float = 0.0) -> Self | None:
        """The lock on a file, or None while somebody else holds it longer than `wait_s` seconds."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        deadline = time.monotonic() + wait_s
        pause = 0.001
        while not _try_lock(fd, fcntl.LOCK_EX):
            if time.monotonic() >= deadline:
                os.close(fd)
                return None
            time.sleep(pause)
            pause = min(pause * 2, 0.05)
        return cls(fd)

    def release(self) -> None:
        """Let go; the lock stays held where a child inherited it."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def is_held(path: Path) -> bool:
    """Whether some process holds the lock on a file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _try_lock(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


def _try_lock(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def task_environment(base: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The environment for a program that works in a worktree: bound to no other repository and to
    no other worktree's packages, with the worktree's own virtual environment where it has one.
    """
    clean = clean_environment(base)
    foreign = {
        str(Path(base[name]) / "bin")
        for name in ("VIRTUAL_ENV", "CONDA_PREFIX")
        if base.get(name) and not (name == "CONDA_PREFIX" and _is_conda_base(base))
    }
    path = [p for p in clean.get("PATH", os.defpath).split(os.pathsep) if p not in foreign]
    kept = {name: value for name, value in clean.items() if name not in FOREIGN_ENVIRONMENT}
    kept.pop("GIT_PARALLEL_HOOKS", None)
    own = folder / ".venv"
    if (own / "bin").is_dir():
        kept["VIRTUAL_ENV"] = str(own)
        path.insert(0, str(own / "bin"))
    return {**kept, "PATH": os.pathsep.join(path), "PWD": str(folder)}


def _is_conda_base(base: Mapping[str, str]) -> bool:
    return base.get("CONDA_DEFAULT_ENV") == "base"  # its bin often holds the user's only python


def own_program() -> list[str]:
    """The command line that runs this very installation."""
    return [sys.executable, "-m", "git_parallel"]


def detach(
    arguments: Sequence[str],
    *,
    folder: Path,
    log: Path,
    tag: str = "",
    keep: Sequence[int] = (),
    nice: int = 0,
) -> int:
    """Start a process of our own that outlives us and its terminal; returns its process id.

    Its output goes to the end of `log`, it reads nothing, it inherits what is in `keep`.
    """
    command = [*own_program(), *arguments]
    if nice:
        command = ["nice", "-n", str(nice), *command]
    with open(log, "ab") as output:
        child = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=tuple(keep),
            env={**clean_environment(os.environ), TAG: tag},
        )
    child.returncode = 0  # ours to forget: without this, its destructor warns
    return child.pid


class Exit(Struct, frozen=True):
    """How a program ended; `code` is negative for a signal."""

    code: int
    words: str = ""
    timed_out: bool = False
    ended_leftovers: tuple[str, ...] = ()


class Stopped(Exception):
    """A person asked the runner to stop, and all of its programs have ended."""


class Supervisor:
    """Runs programs one after the other, and ends their whole trees when it is told to stop."""

    def __init__(self, tag: str, *, grace_s: float = GRACE_S) -> None:
        self.tag = tag
        self.grace_s = grace_s
        self.stopping = False
        self._wake, write = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._stop)
        for name in (signal.SIGHUP, signal.SIGCHLD):
            signal.signal(name, _ignore)  # not SIG_IGN: children would inherit that
        _become_subreaper()

    def _stop(self, *_: object) -> None:
        self.stopping = True

    def check(self) -> None:
        """Raise Stopped where a person asked for it."""
        if self.stopping:
            raise Stopped

    def run(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        output: IO[bytes],
        stdin: IO[bytes] | None = None,
        timeout_s: float | None = None,
        started: Callable[[int], None] | None = None,
    ) -> Exit:
        """Run a program to its end and end what it left running in its session or its folder.

        Raises Stopped when that was asked for meanwhile; the program's tree has ended by then.
        """
        self.check()
        try:
            child = subprocess.Popen(
                list(command),
                cwd=folder,
                env={**environment, TAG: self.tag},
                stdin=stdin or subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            return _not_started(command, error)
        if started:
            started(child.pid)
        limit = None if timeout_s is None else time.monotonic() + timeout_s
        code, timed_out = self._wait(child, limit)
        leftovers = () if self.stopping else self._end_leftovers(child.pid, folder)
        self.check()
        return Exit(code, timed_out=timed_out, ended_leftovers=leftovers)

    def _wait(self, child: subprocess.Popen[bytes], limit: float | None) -> tuple[int, bool]:
        timed_out = ended = False
        while True:
            code = self._reap(child)
            if code is not None:
                return code, timed_out
            late = limit is not None and time.monotonic() >= limit
            if (self.stopping or late) and not ended:
                timed_out, ended = late and not self.stopping, True
                end(lambda: _tree(self.tag), grace_s=self.grace_s)
                continue
            self._sleep(limit if not ended else None)

    def _reap(self, child: subprocess.Popen[bytes]) -> int | None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return None
                if pid == child.pid:
                    child.returncode = os.waitstatus_to_exitcode(status)
                    return child.returncode
        return child.returncode

    def _sleep(self, limit: float | None) -> None:
        wait = None if limit is None else max(0.0, limit - time.monotonic())
        if select.select([self._wake], [], [], wait)[0]:
            os.read(self._wake, 4096)

    def pause(self, seconds: float) -> None:
        """Wait, but no longer than until a signal comes; raises Stopped."""
        self._sleep(time.monotonic() + seconds)
        self.check()

    def _end_leftovers(self, session: int, folder: Path) -> tuple[str, ...]:
        if not _has_children(session):
            return ()

        def left() -> list["psutil.Process"]:
            return [p for p in _tree(self.tag) if _belongs(p, session, folder)]

        return end(left, grace_s=self.grace_s)


def _not_started(command: Sequence[str], error: OSError | ValueError) -> Exit:
    missing = isinstance(error, FileNotFoundError)
    words = "was not found on PATH" if missing else f"can't be run: {error}"
    return Exit(NOT_FOUND_EXIT if missing else CANNOT_RUN_EXIT, words=f"`{command[0]}` {words}")


def _ignore(*_: object) -> None:
    pass


def _become_subreaper() -> None:
    """Have orphans below us handed to us (Linux); elsewhere they are found by their tag."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _has_children(session: int) -> bool:
    if sys.platform != "linux":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(session, 0)
            return True
        return False
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    return False


def _belongs(process: "psutil.Process", session: int, folder: Path) -> bool:
    import psutil

    with contextlib.suppress(OSError):
        if os.getsid(process.pid) == session:
            return True
    with contextlib.suppress(psutil.Error, OSError):
        return Path(process.cwd()).is_relative_to(folder)
    return False


def _tree(tag: str) -> list["psutil.Process"]:
    import psutil

    below = psutil.Process().children(recursive=True)
    known = {p.pid for p in below}
    return below + [p for p in tagged(tag) if p.pid not in known]


def tagged(tag: str, *, variable: str = TAG) -> list["psutil.Process"]:
    """The processes of ours whose environment carries the tag of a run (or another mark, in its
    own variable), and their descendants.
    """
    import psutil

    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(variable) == tag:
                found[process.pid] = process
                found.update({p.pid: p for p in process.children(recursive=True)})
    return [p for p in found.values() if p.pid != os.getpid() and _is_running(p)]


def _is_running(process: "psutil.Process") -> bool:
    import psutil

    with contextlib.suppress(psutil.Error):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


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


def _signal(process: "psutil.Process", number: signal.Signals) -> None:
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)  # compares the time of its creation first


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


def inside(folder: Path, *, spare: frozenset[int] = frozenset()) -> list[str]:
    """The processes that stand in a folder, run from it or hold one of its files open.

    `spare` are process ids that don't count. Other users' processes can't be seen.
    """
    spared = spare | {os.getpid()}
    below = str(folder.resolve()) + os.sep
    return [
        _proc_name(pid) if sys.platform == "linux" else name
        for pid, name, places in _places()
        if pid not in spared and any((place + os.sep).startswith(below) for place in places)
    ]


def ancestors() -> frozenset[int]:
    """This process and the shells and terminals above it."""
    import psutil

    return frozenset({os.getpid(), *(p.pid for p in psutil.Process().parents())})


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


def call(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    timeout_s: float | None = None,
) -> Exit:
    """Run a small program whose output nobody reads, and wait for it."""
    try:
        done = subprocess.run(
            list(command),
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired:
        return Exit(-signal.SIGKILL, timed_out=True)
    except (OSError, ValueError) as error:
        return _not_started(command, error)
    return Exit(done.returncode)


def foreground(command: Sequence[str], *, folder: Path, environment: Mapping[str, str]) -> Exit:
    """Run a program on this terminal and wait for it."""
    try:
        child = subprocess.Popen(list(command), cwd=folder, env=dict(environment))
    except (OSError, ValueError) as error:
        return _not_started(command, error)
    while True:
        try:
            return Exit(child.wait())
        except KeyboardInterrupt:
            continue  # the program got it too, and decides


def show(command: Sequence[str], *, folder: Path, environment: Mapping[str, str]) -> Exit:
    """Run a program that asks nothing and whose whole output, errors too, goes to our stdout.

    It is killed where we are interrupted. Raises BrokenPipeError where nobody reads our stdout.
    """
    try:
        child = subprocess.Popen(
            list(command),
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us alone, so that it is told once
        )
    except (OSError, ValueError) as error:
        return _not_started(command, error)
    try:
        code = child.wait()
    except BaseException:
        child.kill()
        raise
    if code == -signal.SIGPIPE:
        raise BrokenPipeError
    return Exit(code)
