"""Temporary folders that are gone when whoever made them is, even if it was killed.

Each is locked as long as its owner lives (see lock.py: the lock dies with it), so that a later
sweep can tell those of the dead from those in use.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

PREFIX = "git-parallel-aside-"
MEMORY = "/dev/shm"  # noqa: S108  # a folder of a name that can't be guessed is made in it
YOUNG_S = 600.0  # no folder is taken for a dead one's before: it may be without its lock yet


@contextlib.contextmanager
def folder(place: str | None = None) -> Iterator[Path]:
    """A new folder, in `place` or where temporary files go, that is deleted in the end.

    Python's own `tempfile` is only asked for the place: to import it takes as long as a trial.
    """
    if place is None:
        import tempfile

        place = tempfile.gettempdir()
    made = Path(place) / f"{PREFIX}{os.getpid()}-{os.urandom(8).hex()}"
    made.mkdir(0o700)
    try:
        with contextlib.closing(_Locked(str(made))):
            yield made
    finally:
        _delete(str(made))


def _delete(folder: str) -> None:
    """Delete a folder of ours with all that is in it, as far as that is possible."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                _delete(entry.path)
            else:
                os.unlink(entry.path)  # noqa: PTH108  # a path object for each would take longer
        os.rmdir(folder)


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
            _delete(path)
        finally:
            os.close(fd)
