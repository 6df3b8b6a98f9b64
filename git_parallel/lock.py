"""Locks that tell who lives: `flock` on a file dies with its last holder and with the machine, so
"held" means "alive", which a process id never does.
"""

import fcntl
import os
import time
from pathlib import Path
from typing import Self


class Lock:
    """A held lock; whoever inherits `fd` holds it too."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def take(cls, path: Path, *, wait_s: float = 0.0) -> Self | None:
        """The lock on a file, or None while somebody else holds it longer than `wait_s` seconds.

        Raises FileNotFoundError where its folder is gone, also where it went while we waited.
        """
        deadline = time.monotonic() + wait_s
        pause = 0.001
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            if _try_lock(fd, fcntl.LOCK_EX) and _is_at(fd, path):
                return cls(fd)
            os.close(fd)
            if time.monotonic() >= deadline:
                return None
            time.sleep(pause)
            pause = min(pause * 2, 0.05)

    def release(self) -> None:
        """Let go; the lock stays held where a child inherited it."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def is_held(path: Path | str) -> bool:
    """Whether some process holds the lock on a file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _try_lock(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


def _is_at(fd: int, path: Path) -> bool:
    """Whether a file that was opened still is the one of that path: its folder may have moved."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def _try_lock(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
