"""The index of a worktree (gitformat-index(5)), which belongs to whoever works there: git asks
and changes a copy of it.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from git_parallel import temporary
from git_parallel.errors import ParallelError
from git_parallel.git import Git
from git_parallel.worktree import Worktree


def copy(index: Path, to: Path) -> None:
    """Copy an index, where there is one; with its time too, since git looks closer at a file that
    is not older than the index that knows it.
    """
    with contextlib.suppress(FileNotFoundError):
        shutil.copy2(index, to)


@contextlib.contextmanager
def copied(git: Git, index: Path) -> Iterator[Git]:
    """Git with a copy of an index, which is deleted in the end."""
    with temporary.folder() as aside:
        copy(index, aside / "index")
        yield git.at(git.folder, GIT_INDEX_FILE=str(aside / "index"))


def refresh(git: Git, worktree: Worktree) -> None:
    """Have git note what the worktree's files are like, unless somebody writes the index meanwhile.

    Whoever wants to write an index while git holds its lock is refused, and git holds it for as
    long as it reads the files. So it reads them for a copy, and the lock is held for a moment only.
    Raises ParallelError where that fails.
    """
    index = worktree.admin / "index"
    if not index.exists():
        return
    try:
        before = _identity(index)
        with copied(git, index) as aside:
            aside.run("update-index", "-q", "--refresh", ok=(0, 1))
            _exchange(index, Path(aside.environment["GIT_INDEX_FILE"]), before)
    except FileExistsError:  # whoever holds its lock writes it
        return
    except OSError as error:
        raise ParallelError(f"{index} can't be refreshed: {error.strerror}") from error


def _exchange(index: Path, made: Path, before: tuple[int, ...]) -> None:
    """Put a copy, with its time, in the place of an index that is still the same, as git does: the
    lock becomes the index. Raises FileExistsError where somebody else holds it.
    """
    lock, content = index.with_name("index.lock"), made.read_bytes()
    with open(lock, "xb") as file, contextlib.ExitStack() as ending:
        ending.callback(lock.unlink)
        file.write(content)
        file.flush()
        shutil.copystat(made, lock)
        if before == _identity(index):
            os.replace(lock, index)
            ending.pop_all()  # what stands there from now on is somebody else's


def _identity(index: Path) -> tuple[int, ...]:
    """What differs after every write, since git makes a new file each time."""
    status = index.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
