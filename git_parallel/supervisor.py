"""Runs programs one after the other, and ends whole trees of them where it is told to stop."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from git_parallel import tree, waiter
from git_parallel.process import Exit, not_started
from git_parallel.terminal import Terminal

if TYPE_CHECKING:
    import psutil

REST_AFTER_S = 2.0
PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


class Stopped(Exception):
    """A person asked the runner to stop, and all of its programs have ended."""


class _Child:
    """A program that an earlier life of this process has started."""

    def __init__(self, pid: int, returncode: int | None) -> None:
        self.pid = pid
        self.returncode = returncode


Child = subprocess.Popen[bytes] | _Child
Rest = Callable[[int, float | None], None]  # a process id, the time of the monotonic clock to end


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
        signal.pthread_sigmask(signal.SIG_UNBLOCK, waiter.SIGNALS)  # of an earlier life
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
        terminal: Terminal | None = None,
        rest: Rest | None = None,
    ) -> Exit:
        """Run a program to its end and end what it left running in its session or its folder.

        With a `terminal` it runs on that, and `stdin` and `output` are not used. One that takes
        long is left to `rest`, which does not return: `go_on` does, in a later life. Raises
        Stopped when that was asked for meanwhile; the program's tree has ended by then.
        """
        self.check()
        try:
            child = subprocess.Popen(
                list(command),
                cwd=folder,
                env={**environment, tree.TAG: self.tag},
                stdin=terminal.slave if terminal else stdin or subprocess.DEVNULL,
                stdout=terminal.slave if terminal else output,
                stderr=terminal.slave if terminal else output,
                start_new_session=True,
                preexec_fn=terminal.take if terminal else None,  # noqa: PLW1509 - one thread
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            return not_started(command, error)
        if started:
            started(child.pid)
        if terminal:
            terminal.started()
        limit = None if timeout_s is None else time.monotonic() + timeout_s
        if rest and not self._ends_soon(child, limit):
            rest(child.pid, limit)
        return self._see_to_end(child, limit, folder, terminal)

    def go_on(
        self, pid: int, code: int | None, *, limit: float | None, stop: bool, folder: Path
    ) -> Exit:
        """Go on with a program that was left to rest, and may have ended with an exit code."""
        self.stopping |= stop
        return self._see_to_end(_Child(pid, code), limit, folder, None)

    def end_all(self) -> None:
        """End every program that is left; raises ParallelError where one can't be ended."""
        tree.end(lambda: tree.below(self.tag), grace_s=self.grace_s)

    def _ends_soon(self, child: "Child", limit: float | None) -> bool:
        """Wait for a moment; whether it has ended, or is to end."""
        soon = time.monotonic() + REST_AFTER_S
        while self._reap(child) is None:
            left = time.monotonic() - soon
            if self.stopping or left >= 0 or (limit is not None and limit <= soon):
                return self.stopping or left < 0
            self._sleep(soon)
        return True

    def _see_to_end(
        self, child: "Child", limit: float | None, folder: Path, terminal: Terminal | None
    ) -> Exit:
        code, timed_out = self._wait(child, limit, terminal)
        leftovers = () if self.stopping else self._end_leftovers(child.pid, folder)
        self.check()
        return Exit(code, timed_out=timed_out, ended_leftovers=leftovers)

    def _wait(
        self, child: "Child", limit: float | None, terminal: Terminal | None
    ) -> tuple[int, bool]:
        timed_out = ended = False
        while True:
            code = self._reap(child)
            if code is not None:
                return code, timed_out
            late = limit is not None and time.monotonic() >= limit
            if (self.stopping or late) and not ended:
                timed_out, ended = late and not self.stopping, True
                tree.end(lambda: self._below(terminal), grace_s=self.grace_s)
                continue
            self._sleep(limit if not ended else None, terminal)

    def _below(self, terminal: Terminal | None) -> list["psutil.Process"]:
        """What is to end; a program that prints its last words must not wait for a reader."""
        if terminal:
            terminal.drain()
        return tree.below(self.tag)

    def _reap(self, child: "Child") -> int | None:
        if child.returncode is not None:
            return child.returncode
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return None
                if pid == child.pid:
                    child.returncode = os.waitstatus_to_exitcode(status)
                    return child.returncode
        return child.returncode

    def _sleep(self, limit: float | None, terminal: Terminal | None = None) -> None:
        """Wait for a signal, and let a terminal take in and pass on what comes meanwhile."""
        wait = None if limit is None else max(0.0, limit - time.monotonic())
        readers, writers = (terminal.readers(), terminal.writers()) if terminal else ([], [])
        readable, writable, _ = select.select([self._wake, *readers], writers, [], wait)
        if self._wake in readable:
            os.read(self._wake, 4096)
        if terminal:
            terminal.serve(readable, writable)

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


def become_waiter(pid: int, limit: float | None, command: Sequence[str]) -> None:
    """Have this process wait for a child in little memory, and become a command line when that has
    ended, its time is over, or somebody asks for its end. Raises OSError.
    """
    words = [str(pid), waiter.LATEST if limit is None else repr(limit), *command]
    signal.pthread_sigmask(signal.SIG_BLOCK, waiter.SIGNALS)
    try:
        os.execv(sys.executable, [sys.executable, "-I", "-S", str(waiter.__file__), *words])  # noqa: S606 - it is this one
    except OSError:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, waiter.SIGNALS)
        raise
