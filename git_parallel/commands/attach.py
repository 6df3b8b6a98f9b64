"""`git parallel attach`: be at the terminal of a task's interactive run."""

import contextlib
import os
import re
import select
import signal
import socket
import sys
import termios
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import click
from msgspec import structs

from git_parallel import output
from git_parallel.errors import ParallelError, UsageError
from git_parallel.overview import find_folder
from git_parallel.repository import Repository, find_repository
from git_parallel.task import Phase, Run
from git_parallel.task_folder import TaskFolder
from git_parallel.terminal import CHUNK, POSITION, SIZE, SIZED, TYPED, Size, connect, frame

POLL_S = 0.2
READ_S = 0.7  # for so long the name of the key stands there
FOCUS = (b"\x1b[I", b"\x1b[O")
KEY = re.compile(r"ctrl-([a-z\[\\\]^_@])", re.IGNORECASE)


@click.command("attach")
@click.argument("task")
def command(task: str) -> int:
    """Connect this terminal to that of a task's interactive run, as often as you like and from as
    many terminals as you like. The run goes on when you detach, or when this terminal is closed.
    """
    repository = find_repository(Path.cwd())
    folder, record = find_folder(repository, task)
    return attach(repository, folder, str(record.name))


def attach(repository: Repository, folder: TaskFolder, name: str) -> int:
    """Stay at a task's terminal until its command ends or the person detaches; raises
    ParallelError where it has none.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ParallelError(
            "attach needs a terminal on its input and output", hint=f"git parallel log {name}"
        )
    key = Key(repository.configuration().config.attach.detach)
    run = _await_terminal(folder, name)
    output.tell(output.NOTHING, f"attached to {name}; {key.name} detaches")
    time.sleep(READ_S)
    detached = False
    with _raw():
        while not detached and (connection := _connect(folder)):
            with connection:
                detached = Attachment(connection, folder, run, key).stay()
    if detached:
        output.tell(output.NOTHING, f"{name} goes on", hint=f"git parallel attach {name}")
        return 0
    return _tell_ended(repository, folder, name)


def _await_terminal(folder: TaskFolder, name: str) -> Run:
    """The run, once its command is on its terminal; raises ParallelError where none will be."""
    told = Progress()
    while True:
        alive, run = folder.alive, folder.last_run()
        if run is None or not alive:
            raise ParallelError(
                f"`{name}` has no run under way", hint=f"git parallel run {name} --interactive"
            )
        if not run.interactive:
            raise ParallelError(
                f"run {run.number} of `{name}` has no terminal", hint=f"git parallel log -f {name}"
            )
        if run.phase in (Phase.COLLECTING, Phase.CHECKING, Phase.ENDED):
            raise ParallelError(
                f"the command of `{name}` has ended", hint=f"git parallel log {name}"
            )
        if run.phase is Phase.RUNNING and folder.terminal.exists():
            return run
        told.say(f"{name} is {run.phase}{f' ({run.detail})' if run.detail else ''}")
        time.sleep(POLL_S)


def _connect(folder: TaskFolder) -> socket.socket | None:
    with contextlib.suppress(OSError):
        return connect(folder.terminal)
    return None


def _tell_ended(repository: Repository, folder: TaskFolder, name: str) -> int:
    """Say what the run came to, once nobody works on it."""
    from git_parallel.commands import render
    from git_parallel.overview import look

    told = Progress()
    while folder.alive:
        run = folder.last_run()
        told.say(f"{name} has ended: {run.detail if run and run.detail else 'looking at its work'}")
        time.sleep(POLL_S)
    render.tell_status(look(repository, [name]).tasks[0])
    return 0


class Progress:
    """Says what is under way, each thing once."""

    def __init__(self) -> None:
        self.words = ""

    def say(self, words: str) -> None:
        """Say it, unless that was said last."""
        if words != self.words:
            self.words = words
            output.begin(words)


class Key:
    """The key that detaches; a terminal sends it as one byte, or, where the program has asked for
    that, in the forms of kitty (CSI code ; 5 u) or xterm's modifyOtherKeys (CSI 27 ; 5 ; code ~).
    """

    def __init__(self, name: str) -> None:
        found = KEY.fullmatch(name)
        if found is None:
            raise UsageError(f"attach.detach is `{name}`", hint='it must be a key such as "ctrl-q"')
        letter = found[1].lower()
        self.name = f"Ctrl-{letter.upper()}"
        code = ord(letter)
        byte = re.escape(bytes([ord(letter.upper()) & 0x1F]))
        self.pattern = re.compile(
            byte + rb"|\x1b\[%d(?::\d*)*;5(?::1)?u|\x1b\[27;5;%d~" % (code, code)
        )


class Attachment:
    """This terminal, connected to that of a run."""

    def __init__(self, connection: socket.socket, folder: TaskFolder, run: Run, key: Key) -> None:
        self.connection = connection
        self.folder = folder
        self.run = run
        self.key = key

    def stay(self) -> bool:
        """Pass on what is typed and printed; True where the person detached, False where the other
        end is gone: the command has ended, or we were too slow.
        """
        try:
            position = POSITION.unpack(self._exactly(POSITION.size))[0]
            self._paint(position)
            with _resizes() as resized:
                return self._pass_on(resized)
        except (ConnectionError, EOFError):
            return False

    def _exactly(self, length: int) -> bytes:
        content = self.connection.recv(length, socket.MSG_WAITALL)
        if len(content) < length:
            raise EOFError
        return content

    def _paint(self, position: int) -> None:
        """Show what was printed until now, and have the program paint itself for this size."""
        from git_parallel import screen

        size = _size()
        log = self.folder.log(self.run.number)
        _write(screen.painted(screen.printed_of(log, self.run.offset, position), size))
        # A program only paints anew where the size changes.
        for rows in (max(1, size.rows - 1), size.rows):
            self._send(SIZED, SIZE.pack(rows, size.columns))

    def _pass_on(self, resized: int) -> bool:
        inputs = [sys.stdin.fileno(), self.connection.fileno(), resized]
        while True:
            ready = select.select(inputs, [], [])[0]
            if resized in ready:
                os.read(resized, CHUNK)
                self._send(SIZED, SIZE.pack(*structs.astuple(_size())))
            if self.connection.fileno() in ready:
                content = self.connection.recv(CHUNK)
                if not content:
                    return False
                _write(content)
            if sys.stdin.fileno() in ready and self._type(os.read(sys.stdin.fileno(), CHUNK)):
                return True

    def _type(self, content: bytes) -> bool:
        """Pass on what was typed; True where it has the key that detaches."""
        found = self.key.pattern.search(content)
        typed = content[: found.start()] if found else content
        if typed:
            self._send(TYPED, typed)
        return found is not None or not content

    def _send(self, kind: bytes, content: bytes) -> None:
        self.connection.sendall(frame(kind, content))


def _size() -> Size:
    columns, rows = os.get_terminal_size(sys.stdout.fileno())
    return Size(rows or 24, columns or 80)


def _write(content: bytes) -> None:
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    """This terminal as the program needs it, and afterwards as it was."""
    from git_parallel.screen import BEGIN, RESET

    stdin = sys.stdin.fileno()
    before = termios.tcgetattr(stdin)
    sys.stdout.flush()
    try:
        tty.setraw(stdin, termios.TCSADRAIN)  # what is typed already counts
        _write(BEGIN)
        yield
    finally:
        _write(RESET)
        termios.tcsetattr(stdin, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _resizes() -> Iterator[int]:
    """A descriptor on which something arrives when the size of this terminal changes."""
    ours, theirs = os.pipe()
    for end in (ours, theirs):
        os.set_blocking(end, False)
    before = signal.signal(signal.SIGWINCH, lambda *_: None)
    woken = signal.set_wakeup_fd(theirs, warn_on_full_buffer=False)
    try:
        yield ours
    finally:
        signal.set_wakeup_fd(woken)
        signal.signal(signal.SIGWINCH, before)
        os.close(ours)
        os.close(theirs)
