"""The index of a worktree (gitformat-index(5)), brought up to date beside whoever works there."""

import contextlib
import os
import shutil
from pathlib import Path

from git_parallel import temporary
from git_parallel.git import Git
from git_parallel.worktree import Worktree


def refresh(git: Git, worktree: Worktree) -> None:
    """Have git note what the worktree's files are like, unless somebody writes the index meanwhile.

    Whoever wants to write an index while git holds its lock is refused, and git holds it for as
    long as it reads the files. So it reads them for a copy, and the lock is held for a moment only.
    """
    index = worktree.admin / "index"
    nothing_to_do = contextlib.suppress(FileExistsError, FileNotFoundError)  # locked; no index
    with temporary.folder() as aside, nothing_to_do:
        copy, before = aside / "index", _identity(index)
        shutil.copy(index, copy)
        own = git.at(worktree.path, GIT_INDEX_FILE=str(copy))
        own.run("update-index", "-q", "--refresh", ok=(0, 1))
        _exchange(index, copy, before)


def _exchange(index: Path, copy: Path, before: tuple[int, ...]) -> None:
    """Put a copy in the place of an index that is still the same, as git does: the lock becomes
    the index. Raises FileExistsError where somebody else holds it.
    """
    lock, content = index.with_name("index.lock"), copy.read_bytes()
    with open(lock, "xb") as file, contextlib.ExitStack() as ending:
        ending.callback(lock.unlink)
        shutil.copymode(copy, lock)
        file.write(content)
        file.flush()
        if before == _identity(index):
            os.replace(lock, index)
            ending.pop_all()  # what stands there from now on is somebody else's


def _identity(index: Path) -> tuple[int, ...]:
    """What differs after every write, since git makes a new file each time."""
    status = index.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
