"""The one door to programs other than git: detached, supervised and small ones."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from msgspec import Struct

from git_parallel import tree
from git_parallel.git import clean_environment

if TYPE_CHECKING:
    import psutil

NOT_FOUND_EXIT = 127
CANNOT_RUN_EXIT = 126
PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


def own_program() -> list[str]:
    """The command line that runs this very installation."""
    return [sys.executable, "-c", "from git_parallel.__main__ import main; main()"]


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
            env={**clean_environment(os.environ), tree.TAG: tag},
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

    def __init__(self, tag: str, *, grace_s: float = tree.GRACE_S) -> None:
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
            raise Stopped("it was interrupted")

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
                env={**environment, tree.TAG: self.tag},
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
                tree.end(lambda: tree.below(self.tag), grace_s=self.grace_s)
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
            found = tree.below(self.tag)
            return [p for p in found if tree.belongs(p, session, folder)]

        return tree.end(left, grace_s=self.grace_s)


def _not_started(command: Sequence[str], error: OSError | ValueError) -> Exit:
    missing = isinstance(error, FileNotFoundError)
    words = "was not found on PATH" if missing else f"can't be run: {error}"
    return Exit(NOT_FOUND_EXIT if missing else CANNOT_RUN_EXIT, words=f"`{command[0]}` {words}")


def _ignore(*_: object) -> None:
    pass


def _become_subreaper() -> None:
    """Have orphans below us handed to us (Linux); elsewhere they are found by their tag."""
    if sys.platform == "linux":
        import ctypes

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


def call(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    timeout_s: float | None = None,
) -> Exit:
    """Run a small program whose output nobody reads, and wait for it; what it leaves running in the
    background goes on.
    """
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


def ask(
    command: Sequence[str],
    *,
    folder: Path | None,
    environment: Mapping[str, str] | None,
    timeout_s: float | None,
) -> tuple[Exit, str]:
    """Run a small program that asks nothing; returns how it ended and what it printed."""
    with asking(command, folder=folder, environment=environment) as answer:
        return answer(timeout_s)


@contextlib.contextmanager
def asking(
    command: Sequence[str], *, folder: Path | None, environment: Mapping[str, str] | None
) -> Iterator[Callable[[float | None], tuple[Exit, str]]]:
    """Ask a small program while something else goes on; what is yielded waits for so many seconds
    at most, and returns how it ended and what it printed. At the end it is there no more.
    """
    try:
        child = subprocess.Popen(
            list(command),
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        unstarted = _not_started(command, error)
        yield lambda _: (unstarted, "")
        return

    def answer(timeout_s: float | None) -> tuple[Exit, str]:
        try:
            said = child.communicate(timeout=timeout_s)[0]
        except subprocess.TimeoutExpired:
            words = f"`{' '.join(command)}` did not end within {timeout_s:g} s"
            return Exit(-signal.SIGKILL, words=words, timed_out=True), ""
        return Exit(child.returncode), os.fsdecode(said)

    try:
        yield answer
    finally:
        if child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        if child.stdout:
            child.stdout.close()


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
