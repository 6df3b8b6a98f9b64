"""Worktrees of ours that live for the length of a merge, each with a slot of its own."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct, structs

from git_parallel import slot
from git_parallel.errors import ParallelError
from git_parallel.home import hide_home, home_of
from git_parallel.lock import Lock
from git_parallel.records import write_record
from git_parallel.repository import Repository
from git_parallel.task import Slug, Task
from git_parallel.task_folder import TaskFolder
from git_parallel.worktree import SCRATCH, Worktree


class Scratch(Struct, frozen=True):
    """A detached worktree, and the task that it is about, with the slot and ports of this place."""

    worktree: Worktree
    task: Task


@contextlib.contextmanager
def scratch(repository: Repository, task: Task, commit: str) -> Iterator[Scratch]:
    """A scratch worktree that is gone afterwards; its lock tells others that it is in use."""
    name = f"{task.slug}-{os.getpid()}"
    home = home_of(repository, repository.settings())
    path = home / SCRATCH / name
    folder = TaskFolder(repository.store.scratch / name)
    with repository.store.locked():
        folder.path.mkdir(parents=True, exist_ok=True)
        lock = Lock.take(folder.lock, wait_s=1.0)
        if lock is None:
            raise ParallelError(f"{folder.lock} is held by another process")
        own = _with_slot(repository, folder, task, path)
    with lock:
        try:
            hide_home(repository, home)
            yield Scratch(_add(repository, path, commit), own)
        finally:
            _remove(repository, path, folder)


def _with_slot(repository: Repository, folder: TaskFolder, task: Task, path: Path) -> Task:
    """The task with a slot that nobody has, recorded for as long as the worktree is there."""
    mine = slot.take(repository.key, folder.path, repository.store.owners())
    slug = Slug(f"{task.slug}.merge")
    own = structs.replace(task, slug=slug, path=str(path), slot=mine.number, ports=mine.ports)
    write_record(folder.record, own, durable=False)
    return own


def _add(repository: Repository, path: Path, commit: str) -> Worktree:
    path.parent.mkdir(parents=True, exist_ok=True)
    with repository.store.locked():
        made = repository.add_detached(path, commit)
    repository.fill(made, commit, repository.settings())
    return made


def _remove(repository: Repository, path: Path | None, folder: TaskFolder) -> None:
    """Delete a scratch worktree: all in it was made by us, from commits that exist elsewhere."""
    if path:
        for worktree in repository.worktrees():
            if worktree.path in (path, path.resolve()):
                shutil.rmtree(worktree.admin, ignore_errors=True)
        shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(OSError):
            path.parent.rmdir()
    shutil.rmtree(folder.path, ignore_errors=True)


def remove_dead(repository: Repository) -> None:
    """Delete the scratch worktrees of merges that were killed."""
    for folder in dead(repository):
        # Locked, so that nobody is just taking it; its owner may have ended a moment ago.
        with repository.store.locked(), contextlib.suppress(FileNotFoundError):
            _remove_unless_held(repository, folder)


def _remove_unless_held(repository: Repository, folder: TaskFolder) -> None:
    held = Lock.take(folder.lock)
    if held is None:
        return
    with held:
        path = Path(folder.task().path) if folder.record.exists() else None
        _remove(repository, path, folder)


def dead(repository: Repository) -> list[TaskFolder]:
    """The files of the scratch worktrees whose merges are no more."""
    folders = map(TaskFolder, sorted(repository.store.scratch.glob("*")))
    return [folder for folder in folders if not folder.alive]
