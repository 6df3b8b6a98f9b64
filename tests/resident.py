"""Our program without the start of Python: a server that has imported it forks for each call.

What a call does is the real thing in a process of its own, with its own folder, environment and
output; only the imports were made before. What it launches in the background is started anew, by
the real command line.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import msgspec

from tests.doors import Trap, arm

TOP = Path(__file__).parents[1]
LIMIT_S = 100.0


class Call(msgspec.Struct, frozen=True):
    """A command line, and where and how it is run."""

    words: list[str]
    folder: str
    environment: dict[str, str]
    trap: Trap | None = None


class Ended(msgspec.Struct, frozen=True):
    """How a call ended; `code` is negative for a signal."""

    code: int
    out: str
    err: str


class Running:
    """A call that is under way."""

    def __init__(self, line: socket.socket, words: list[str]) -> None:
        self._line = line
        self.words = words

    def has_ended(self) -> bool:
        """Whether its end is there to be read."""
        return bool(select.select([self._line], [], [], 0)[0])

    def ended(self, *, within_s: float = LIMIT_S) -> Ended:
        """Wait for its end; raises TimeoutError."""
        self._line.settimeout(within_s)
        parts = []
        with self._line:
            while part := self._line.recv(1 << 16):
                parts.append(part)
        return msgspec.json.decode(b"".join(parts), type=Ended)


class Resident:
    """The server, as seen from outside."""

    def __init__(self, address: str) -> None:
        self.address = address

    def begin(self, folder: Path, *words: str | Path, trap: Trap | None = None) -> Running:
        """Begin a call, with the environment of this process."""
        told = [str(word) for word in words]
        line = socket.socket(socket.AF_UNIX)
        line.connect(self.address)
        call = Call(told, str(folder), dict(os.environ), trap)
        line.sendall(msgspec.json.encode(call))
        line.shutdown(socket.SHUT_WR)
        return Running(line, told)

    def call(self, folder: Path, *words: str | Path, trap: Trap | None = None) -> Ended:
        """Run a call to its end."""
        return self.begin(folder, *words, trap=trap).ended()


@contextlib.contextmanager
def resident() -> Iterator[Resident]:
    """A server for the length of the block."""
    with tempfile.TemporaryDirectory(prefix="resident-") as folder:
        address = f"{folder}/socket"
        words = [sys.executable, "-m", "tests.resident", address]
        server = subprocess.Popen(words, cwd=TOP, stdout=subprocess.PIPE)
        assert server.stdout
        try:
            assert server.stdout.readline() == b"ready\n"
            yield Resident(address)
        finally:
            server.kill()
            server.wait()
            server.stdout.close()


def _serve(address: str) -> None:
    from git_parallel.cli import COMMANDS

    for name in COMMANDS:
        import_module(f"git_parallel.commands.{name}")
    for name in ("listing", "render", "background"):
        import_module(f"git_parallel.commands.{name}")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(address)
        door.listen(64)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that answer
        os.chdir("/")
        print("ready", flush=True)
        while True:
            line, _ = door.accept()
            if os.fork() == 0:
                door.close()
                _answer(line)
            line.close()


def _answer(line: socket.socket) -> None:
    """Read a call, run it in a child, and send how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    parts = []
    while part := line.recv(1 << 16):
        parts.append(part)
    call = msgspec.json.decode(b"".join(parts), type=Call)
    out, err = os.memfd_create("out"), os.memfd_create("err")
    child = os.fork()
    if child == 0:
        line.close()
        os.setpgid(0, 0)
        _be(call, out, err)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    texts = [os.fdopen(fd, "rb") for fd in (out, err)]
    for text in texts:
        text.seek(0)
    said = [text.read().decode("utf-8", "replace") for text in texts]
    with contextlib.suppress(BrokenPipeError):
        line.sendall(msgspec.json.encode(Ended(code, *said)))
    line.close()
    os._exit(0)


def _be(call: Call, out: int, err: int) -> None:
    """Be our program: this process has no other end."""
    code = 1
    try:
        os.environ.clear()
        os.environ.update(call.environment)
        os.chdir(call.folder)
        silence = os.open(os.devnull, os.O_RDWR)
        for old, new in ((silence, 0), (out, 1), (err, 2)):
            os.dup2(old, new)
        sys.argv = ["git-parallel", *call.words]
        if call.trap:
            arm(call.trap)
        main: Callable[[], None] = import_module("git_parallel.__main__").main
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 70
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve(sys.argv[1])
