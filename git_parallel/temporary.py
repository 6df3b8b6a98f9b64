"""Temporary folders that are gone when whoever made them is, even if it was killed.

Each is locked as long as its owner lives (see lock.py: the lock dies with it), so that a later
sweep can tell those of the dead from those in use.
"""

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

PREFIX = "git-parallel-aside-"
MEMORY = "/dev/shm"  # noqa: S108  # a folder of a name that can't be guessed is made in it
YOUNG_S = 600.0  # no folder is taken for a dead one's before: it may be without its lock yet


@contextlib.contextmanager
def folder(place: str | None = None) -> Iterator[Path]:
    """A new folder, in `place` or where temporary files go, that is deleted in the end."""
    import tempfile

    with (
        tempfile.TemporaryDirectory(prefix=PREFIX, dir=place, ignore_cleanup_errors=True) as made,
        contextlib.closing(_Locked(made)),
    ):
        yield Path(made)


class _Locked:
    """A folder that is locked for as long as this is open; not, where its disk knows no locks."""

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        with contextlib.suppress(OSError):
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def close(self) -> None:
        """Let go."""
        os.close(self.fd)


def sweep() -> None:
    """Delete the folders whose owners were killed: only our own user's, and never one in use."""
    import tempfile

    for place in dict.fromkeys((MEMORY, tempfile.gettempdir())):
        with contextlib.suppress(OSError):
            for name in os.listdir(place):
                if name.startswith(PREFIX):
                    _remove_dead(os.path.join(place, name))


def _remove_dead(path: str) -> None:
    with contextlib.suppress(OSError):  # gone meanwhile, or on a disk that knows no locks
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            state = os.fstat(fd)
            if state.st_uid != os.getuid() or time.time() - state.st_mtime < YOUNG_S:
                return
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(fd)
