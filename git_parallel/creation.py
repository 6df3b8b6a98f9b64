"""Make a task: claim its name, make its branch and worktree, or leave nothing of it behind."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from git_parallel import early, slot
from git_parallel.draft import Draft, Request, draft_of, refuse_taken_name
from git_parallel.errors import GitError, ParallelError
from git_parallel.home import hide_home
from git_parallel.lock import Lock
from git_parallel.records import Making
from git_parallel.repository import Repository
from git_parallel.task import Task, TaskName, parse_name, same_name, slug_of
from git_parallel.task_folder import TaskFolder
from git_parallel.worktree import Worktree

LOCK_WAIT_S = 5.0


class Created(Struct, frozen=True):
    """A task that was made; whoever holds `lock` is at work on it."""

    task: Task
    folder: TaskFolder
    worktree: Worktree
    lock: Lock
    target_tip: str
    carried: int
    cleared: bool


@contextlib.contextmanager
def creating(
    repository: Repository,
    request: Request,
    settings: Mapping[str, str],
    default_target: str | None,
) -> Iterator[Created]:
    """Make a task and its worktree, and hold its lock while the caller goes on with it.

    Raises ParallelError where that can't be. Then, and where the caller raises, what this call made
    is gone again, and what it did not make is untouched.
    """
    cleared = _clear_interrupted(repository, parse_name(request.name))
    draft = draft_of(repository, request, settings, default_target)
    source = _uncommitted(repository) if request.carry else ""
    with repository.store.locked():
        tasks = [task for _, task in repository.store.load_tasks()]
        refuse_taken_name(tasks, draft.name)
        task = _task(repository, request, draft, repository.store.owners())
        path = Path(task.path)
        if os.path.lexists(path):
            raise ParallelError(
                f"{path} exists already", hint="move it away, or choose another name"
            )
        making = Making(task.path, task.branch, draft.creates_branch, task.base)
        folder = repository.store.claim(task, making)
        lock = Lock.take(folder.lock, wait_s=LOCK_WAIT_S)
    if lock is None:
        raise ParallelError(f"{folder.lock} is held by another process")
    with lock, _undone_on_failure(repository, folder, making):
        worktree = _make(repository, task, draft, settings)
        carried = _carry(worktree, source) if source else 0
        yield Created(task, folder, worktree, lock, draft.target_tip, carried, cleared)


def _clear_interrupted(repository: Repository, name: TaskName) -> bool:
    """Move away what a `start` of the same name left when it was killed."""
    if not any(_interrupted(folder, task, name) for folder, task in repository.store.load_tasks()):
        return False
    with repository.store.locked():
        for folder, task in repository.store.load_tasks():
            if (making := _interrupted(folder, task, name)) is not None:
                _move_away(repository, folder, task, making)
                early.outcome(*early.BRANCHES)  # what was asked before that is out of date
                return True
    return False


def _interrupted(folder: TaskFolder, task: Task, name: TaskName) -> Making | None:
    making = folder.making if same_name(task.name, name) else None
    return making if making and not folder.alive else None


def _move_away(repository: Repository, folder: TaskFolder, task: Task, making: Making) -> None:
    from git_parallel import trash

    ref = f"refs/heads/{making.branch}"
    branch = repository.branches(ref).get(ref)
    trash.move(
        repository,
        folder,
        task,
        _worktree_at(repository, Path(making.path)),
        tip=branch.tip if branch else None,
        drop_branch=bool(branch and making.made_branch and branch.tip == making.base),
        why="its start was interrupted",
    )


def _task(repository: Repository, request: Request, draft: Draft, others: Sequence[Task]) -> Task:
    slug = slug_of(draft.name, repository.store.taken_slugs())
    mine = slot.take(repository.key, repository.store.folder(slug).path, others)
    return Task(
        name=draft.name,
        slug=slug,
        branch=draft.branch,
        target=draft.target,
        base=draft.base,
        path=str(draft.home / slug),
        slot=mine.number,
        ports=mine.ports,
        created=datetime.now(UTC),
        prompt=_displayable(request.prompt),
        touch=request.touch,
        never=request.never,
        max_files=request.max_files,
        max_lines=request.max_lines,
        after=request.after,
        attempt_of=request.attempt_of,
    )


def _displayable(text: str | None) -> str | None:
    """A prompt for people: its exact bytes lie in a file of their own."""
    return (
        None if text is None else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    )


def _uncommitted(repository: Repository) -> str:
    from git_parallel import carry

    return carry.uncommitted(repository)


def _carry(worktree: Worktree, patch: str) -> int:
    from git_parallel import carry

    return carry.apply(worktree, patch)


def _make(
    repository: Repository, task: Task, draft: Draft, settings: Mapping[str, str]
) -> Worktree:
    path = Path(task.path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        hide_home(repository, path.parent)
    except OSError as error:
        raise ParallelError(f"{path.parent} can't be made: {error.strerror}") from error
    with repository.store.locked():
        new = draft.creates_branch
        worktree = repository.add_worktree(path, task.branch, task.base, create=new)
        repository.mark(worktree, task.slug)
    tip = task.base if new else repository.resolve(task.branch)
    repository.fill(worktree, tip, settings)
    repository.store.link(task.slug, path)
    return worktree


@contextlib.contextmanager
def _undone_on_failure(
    repository: Repository, folder: TaskFolder, making: Making
) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        # The first error is the one to tell.
        with contextlib.suppress(ParallelError, OSError), repository.store.locked():
            _unmake(repository, folder, making)
        if isinstance(error, OSError):
            raise ParallelError(f"{making.path} can't be made: {error.strerror}") from error
        raise


def _unmake(repository: Repository, folder: TaskFolder, making: Making) -> None:
    """Delete what a failed start made, and only that; nobody has worked in it yet."""
    import shutil

    path = Path(making.path)
    ref = f"refs/heads/{making.branch}"
    worktree = _worktree_at(repository, path)
    if worktree and worktree.branch == ref:  # else somebody else was faster, and git refused
        shutil.rmtree(path, ignore_errors=True)
        shutil.rmtree(worktree.admin, ignore_errors=True)
    with contextlib.suppress(OSError):
        path.parent.rmdir()
    address = repository.store.address(folder.slug)
    if address.is_symlink():
        address.unlink()
    if making.made_branch:
        with contextlib.suppress(GitError):
            branch = repository.branches(ref).get(ref)
            if branch and branch.worktree is None:
                repository.git.run("update-ref", "-d", ref, making.base)
    shutil.rmtree(folder.path, ignore_errors=True)


def _worktree_at(repository: Repository, path: Path) -> Worktree | None:
    real = path.resolve()
    return next((w for w in repository.worktrees() if w.path.resolve() == real), None)
