"""A run's terminal: a pseudo-terminal that its runner owns, and those who are connected to it.

What the program prints goes to the log and to everybody who is connected, what they type goes to
the program. Who connects, by a socket beside the log, hears first at which position of the log what
follows begins, as 8 bytes; and sends frames: a kind, the length, the content. The log has the size
of the terminal in it, in xterm's own form (CSI 8 ; rows ; columns t), wherever it changed.
"""

import contextlib
import fcntl
import os
import pty
import socket
import struct
import termios
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from msgspec import Struct

from git_parallel import spoken

CHUNK = 1 << 16
MOST_BEHIND = 1 << 22  # who is slower than this many bytes is let go, and may connect again
HEADER = struct.Struct(">cI")
POSITION = struct.Struct(">Q")
SIZE = struct.Struct(">HH")
TYPED, SIZED = b"t", b"s"
MOST_FRAME = 1 << 20
# What comes after it in the log is no terminal's: at the bottom, and lines end without CR (LNM).
END = b"\x1b[0m\x1b[999;1H\r\n\x1b[20h"
MOST_DRAINED = 1 << 10


class Size(Struct, frozen=True):
    """How large a terminal is, in characters."""

    rows: int = 24
    columns: int = 80


def frame(kind: bytes, content: bytes) -> bytes:
    """What somebody who is connected sends."""
    return HEADER.pack(kind, len(content)) + content


def connect(place: Path) -> socket.socket:
    """A connection to the terminal whose socket lies there; raises OSError.

    The path of a socket holds a hundred bytes or so, hence the step into its folder.
    """
    connection = socket.socket(socket.AF_UNIX)
    try:
        with contextlib.chdir(place.parent):
            connection.connect(place.name)
    except OSError:
        connection.close()
        raise
    return connection


class Connection:
    """Somebody who is connected."""

    def __init__(self, end: socket.socket, position: int) -> None:
        end.setblocking(False)
        self.end = end
        self.outgoing = bytearray(POSITION.pack(position))
        self.incoming = b""

    def fileno(self) -> int:
        """Its file descriptor, for select."""
        return self.end.fileno()

    def frames(self) -> Iterator[tuple[bytes, bytes]]:
        """What has arrived; raises EOFError where the other end is gone, or is none of ours."""
        content = self.end.recv(CHUNK)
        if not content:
            raise EOFError
        self.incoming += content
        while len(self.incoming) >= HEADER.size:
            kind, length = HEADER.unpack_from(self.incoming)
            if length > MOST_FRAME:
                raise EOFError
            end = HEADER.size + length
            if len(self.incoming) < end:
                return
            content, self.incoming = self.incoming[HEADER.size : end], self.incoming[end:]
            yield kind, content

    def send(self) -> None:
        """Send what can be sent at once; raises OSError."""
        del self.outgoing[: self.end.send(self.outgoing)]


class Terminal:
    """The terminal of a program that is about to run; `needs` hears what it asks of a person, and
    an empty text when it asks no more.
    """

    def __init__(
        self, place: Path, log: IO[bytes], size: Size, needs: Callable[[str], None]
    ) -> None:
        self.place = place
        self.log = log
        self.needs = needs
        self.master, self.slave = pty.openpty()
        self.device = os.ttyname(self.slave)
        os.set_blocking(self.master, False)
        self._listener = _listen(place)
        self._connections: list[Connection] = []
        self._typed = bytearray()
        self._spoken = spoken.Listener()
        self._question = ""
        self._open = True
        self.unwritten = ""
        self._resize(size)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        """Take the rest of what was printed, and let everybody go."""
        self.started()
        self.drain()
        self._write(END)
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.end.setblocking(True)
                connection.end.settimeout(1.0)
                connection.end.sendall(connection.outgoing)
            connection.end.close()
        self.place.unlink(missing_ok=True)
        self._listener.close()
        os.close(self.master)

    def take(self) -> None:
        """Make it the terminal of this process, a new session whose input it is already."""
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def started(self) -> None:
        """The program has its end now: when it and its children are gone, we hear of it."""
        if self.slave >= 0:
            os.close(self.slave)
            self.slave = -1

    def readers(self) -> list[int]:
        """The descriptors on which something may arrive."""
        own = [self.master] if self._open else []
        return [*own, self._listener.fileno(), *(c.fileno() for c in self._connections)]

    def writers(self) -> list[int]:
        """The descriptors on which something waits to be sent."""
        typed = [self.master] if self._typed and self._open else []
        return [*typed, *(c.fileno() for c in self._connections if c.outgoing)]

    def serve(self, readable: Sequence[int], writable: Sequence[int]) -> None:
        """Take in what has arrived, and pass it on."""
        if self._listener.fileno() in readable:
            self._accept()
        for connection in list(self._connections):
            with self._letting_go(connection):
                if connection.fileno() in readable:
                    self._take(connection)
                if connection.outgoing:
                    connection.send()
        if self.master in readable:
            self._read()
        if self.master in writable:
            self._type()

    def drain(self) -> None:
        """Take in what the program has printed so far, within bounds."""
        for _ in range(MOST_DRAINED):
            if not (self._open and self._read()):
                break

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            end = self._listener.accept()[0]
            self._connections.append(Connection(end, self.log.seek(0, os.SEEK_END)))

    @contextlib.contextmanager
    def _letting_go(self, connection: Connection) -> Iterator[None]:
        """Whatever is wrong with a connection ends that connection and nothing else."""
        try:
            yield
        except BlockingIOError:
            pass
        except (OSError, EOFError):
            connection.end.close()
            self._connections.remove(connection)

    def _take(self, connection: Connection) -> None:
        for kind, content in connection.frames():
            if kind == SIZED and len(content) == SIZE.size:
                self._resize(Size(*SIZE.unpack(content)))
            elif kind == TYPED:
                self._typed += content
                if self._question and spoken.is_typed(content) and self._spoken.answered():
                    self._ask("")
        self._type()

    def _resize(self, size: Size) -> None:
        with contextlib.suppress(OSError):  # it has ended meanwhile
            packed = struct.pack("HHHH", size.rows, size.columns, 0, 0)
            fcntl.ioctl(self.master, termios.TIOCSWINSZ, packed)
            self._write(b"\x1b[8;%d;%dt" % (size.rows, size.columns))

    def _type(self) -> None:
        with contextlib.suppress(OSError):  # it reads no more at the moment, or has ended
            while self._typed:
                del self._typed[: os.write(self.master, self._typed)]

    def _read(self) -> bool:
        """Take in a piece of what was printed; False where there is none now, or never again."""
        try:
            content = os.read(self.master, CHUNK)
        except BlockingIOError:
            return False
        except OSError:  # EIO: nobody has the other end any more (pty(7))
            content = b""
        if not content:
            self._open = False
            return False
        self._write(content)
        for connection in list(self._connections):
            connection.outgoing += content
            with self._letting_go(connection):
                connection.send()
                if len(connection.outgoing) > MOST_BEHIND:
                    raise EOFError
        self._listen(content)
        return True

    def _write(self, content: bytes) -> None:
        """Keep it in the log; a full disk is no reason to end what somebody works with."""
        try:
            self.log.write(content)
        except OSError as error:
            self.unwritten = str(error.strerror)

    def _listen(self, content: bytes) -> None:
        for said in self._spoken.hear(content):
            if isinstance(said, spoken.Told):
                self._ask(said.question)
            elif said.always or not self._connections:
                self._typed += said.answer
                self._type()

    def _ask(self, question: str) -> None:
        if question != self._question:
            self._question = question
            self.needs(question)


def _listen(place: Path) -> socket.socket:
    """A socket that only its owner can connect to; raises OSError."""
    listener = socket.socket(socket.AF_UNIX)
    listener.setblocking(False)
    mask = os.umask(0o177)
    try:
        with contextlib.chdir(place.parent):
            Path(place.name).unlink(missing_ok=True)
            listener.bind(place.name)
    finally:
        os.umask(mask)
    listener.listen()
    return listener
