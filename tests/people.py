"""A person at a terminal: a program on a pseudo-terminal, and what its screen shows."""

import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import pyte

from tests.conftest import until

DETACH = "\x1c"
MOST_SEEN = 1 << 17


class Person:
    """Somebody who runs a program at a terminal of a size, and sees what it prints."""

    def __init__(
        self, command: Sequence[str], folder: Path, *, rows: int = 24, columns: int = 80
    ) -> None:
        self.printed = bytearray()
        self._unseen = bytearray()
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self.end, slave = pty.openpty()
        self.resize(rows, columns)
        self.program = subprocess.Popen(
            command,
            cwd=folder,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color"},
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - execs at once
        )
        self.before = termios.tcgetattr(slave)
        os.close(slave)
        threading.Thread(target=self._look, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _look(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while content := os.read(self.end, 1 << 16):
                with self._lock:
                    self.printed += content
                    self._unseen += content

    def _catch_up(self) -> None:
        """Read what was printed since; of very much only the end."""
        self._stream.feed(bytes(self._unseen[-MOST_SEEN:]))
        self._unseen.clear()

    @property
    def screen(self) -> str:
        """What stands on the screen."""
        with self._lock:
            self._catch_up()
            return "\n".join(line.rstrip() for line in self._screen.display).strip("\n")

    def colour_of(self, text: str) -> str:
        """The colour in which a text stands on the screen."""
        with self._lock:
            self._catch_up()
            rows = enumerate(self._screen.display)
            row, column = next((y, line.index(text)) for y, line in rows if text in line)
            cell: Any = self._screen.buffer[row][column]
            return str(cell.fg)

    def sees(self, text: str) -> None:
        """Wait until a text stands on the screen."""
        try:
            until(lambda: text in self.screen, limit_s=30)
        except AssertionError:
            raise AssertionError(f"`{text}` did not appear:\n{self.screen}") from None

    def type(self, text: str) -> None:
        """Type."""
        os.write(self.end, text.encode())

    def resize(self, rows: int, columns: int) -> None:
        """Make the window another size."""
        fcntl.ioctl(self.end, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        with self._lock:
            self._catch_up()
            self._screen.resize(rows, columns)

    def leaves(self) -> int:
        """Wait for the program's end, and return its exit code."""
        return self.program.wait(30)

    def close(self) -> None:
        """Close the window, as its user would: the program gets SIGHUP."""
        if self.end >= 0:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.program.pid, signal.SIGHUP)
            self.program.wait(30)
            end, self.end = self.end, -1
            os.close(end)
