"""Worktrees of ours that live for the length of a merge."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from git_parallel.errors import ParallelError
from git_parallel.home import hide_home, home_of
from git_parallel.lock import Lock, is_held
from git_parallel.repository import Repository
from git_parallel.task import Task
from git_parallel.worktree import SCRATCH, Worktree


@contextlib.contextmanager
def scratch(repository: Repository, task: Task, commit: str) -> Iterator[Worktree]:
    """A detached worktree that is gone afterwards; its lock tells others that it is in use."""
    name = f"{task.slug}-{os.getpid()}"
    home = home_of(repository, repository.settings())
    path = home / SCRATCH / name
    locks = repository.store.state / SCRATCH
    locks.mkdir(exist_ok=True)
    lock = Lock.take(locks / name, wait_s=1.0)
    if lock is None:
        raise ParallelError(f"{locks / name} is held by another process")
    with lock:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            hide_home(repository, home)
            repository.git.run("worktree", "add", "--quiet", "--detach", str(path), commit)
            yield next(w for w in repository.worktrees() if w.path.resolve() == path.resolve())
        finally:
            _remove(repository, path)
            (locks / name).unlink(missing_ok=True)


def _remove(repository: Repository, path: Path) -> None:
    """Delete a scratch worktree: all in it was made by us, from commits that exist elsewhere."""
    for worktree in repository.worktrees():
        if worktree.path == path or worktree.path == path.resolve():
            shutil.rmtree(worktree.admin, ignore_errors=True)
    shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        path.parent.rmdir()


def remove_dead(repository: Repository) -> None:
    """Delete the scratch worktrees of merges that were killed."""
    for worktree in dead(repository):
        lock = repository.store.state / SCRATCH / worktree.path.name
        held = Lock.take(lock)
        if held:
            with held:
                _remove(repository, worktree.path)
                lock.unlink(missing_ok=True)


def dead(repository: Repository) -> list[Worktree]:
    """The scratch worktrees whose merges are no more."""
    locks = repository.store.state / SCRATCH
    ours = [w for w in repository.worktrees() if w.is_scratch and not w.slug]
    places = [(worktree, locks / worktree.path.name) for worktree in ours]
    return [worktree for worktree, lock in places if lock.exists() and not is_held(lock)]
