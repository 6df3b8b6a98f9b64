"""The door to programs other than git: detached ones, small ones, those of this terminal."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from git_parallel import tree
from git_parallel.git import clean_environment

NOT_FOUND_EXIT = 127
CANNOT_RUN_EXIT = 126


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
        return not_started(command, error)
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
        unstarted = not_started(command, error)
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
    """Run a program on this terminal and wait for it. Ctrl-C is for the program, which decides."""
    try:
        child = subprocess.Popen(list(command), cwd=folder, env=dict(environment))
    except (OSError, ValueError) as error:
        return not_started(command, error)
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        return Exit(child.wait())
    finally:
        signal.signal(signal.SIGINT, before)


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
        return not_started(command, error)
    try:
        code = child.wait()
    except BaseException:
        child.kill()
        raise
    if code == -signal.SIGPIPE:
        raise BrokenPipeError
    return Exit(code)


def not_started(command: Sequence[str], error: Exception) -> Exit:
    """The end of a program that could not be started."""
    missing = isinstance(error, FileNotFoundError)
    words = "was not found on PATH" if missing else f"can't be run: {error}"
    return Exit(NOT_FOUND_EXIT if missing else CANNOT_RUN_EXIT, words=f"`{command[0]}` {words}")
