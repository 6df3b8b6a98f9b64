"""What every task is in right now: git's facts and ours put side by side.

What follows from commits alone is remembered (see facts.py); what follows from files and locks is
asked anew each time.
"""

import contextlib
import os
from collections.abc import Iterable, Sequence

from msgspec import Struct

from git_parallel import early
from git_parallel.errors import GitError, NoSuchTaskError, ParallelError
from git_parallel.facts import REMOTES, find_facts
from git_parallel.repository import Branch, Repository
from git_parallel.task import (
    Task,
    parse_name,
    same_name,
)
from git_parallel.task_folder import Known, TaskFolder
from git_parallel.task_view import TaskView, view_of
from git_parallel.worktree import Worktree


class Damaged(Struct, frozen=True):
    """A task of which a file can't be read, and what git parallel says of it."""

    name: str
    reason: str


class Overview(Struct, frozen=True):
    """The tasks of a repository, those that can't be read, and the worktrees that are nobody's."""

    repository: Repository
    tasks: list[TaskView]
    foreign: list[Worktree]
    damaged: tuple[Damaged, ...] = ()

    def find(self, name: str) -> TaskView:
        """The task of a name; raises ParallelError where there is none."""
        return find_task(self.tasks, name)


def find_task(tasks: Sequence[TaskView], name: str) -> TaskView:
    """The task of a name or slug among several; raises ParallelError."""
    wanted = parse_name(name)
    for view in tasks:
        if same_name(view.task.name, wanted) or view.task.slug == str(wanted):
            return view
    raise no_such_task(name)


def no_such_task(name: str) -> NoSuchTaskError:
    """The error for a name that no task has."""
    return NoSuchTaskError(name)


def find_folder(repository: Repository, name: str) -> tuple[TaskFolder, Task]:
    """The files and the record of a task, without a look at anything else; raises ParallelError."""
    wanted = parse_name(name)
    for folder, task in repository.store.load_tasks():
        if same_name(task.name, wanted) or task.slug == str(wanted):
            return folder, task
    for folder, error in repository.store.damaged():
        if folder.slug == str(wanted):
            raise error
    raise no_such_task(name)


def look(
    repository: Repository, names: Iterable[str] | None = None, *, files: bool = True
) -> Overview:
    """All tasks, or those named, as they are now; raises ParallelError for a name that is none's.

    `files` False leaves the working trees alone, and `dirty` unknown. Where a file of a task can't
    be read, the task is only named as damaged, unless it was asked for: then that is raised.
    """
    if names is None:
        tasks, damaged = _readable(repository)
    else:
        tasks, damaged = [_read(repository, name) for name in dict.fromkeys(names)], ()
    worktrees = repository.worktrees()
    by_slug = {w.slug: w for w in worktrees if w.slug}
    branches = _branches(repository, [known.task for _, known in tasks])
    facts = find_facts(repository, tasks, by_slug, branches)
    # Last, because `early` may have begun it long ago.
    dirty = _dirty(repository, [by_slug.get(folder.slug) for folder, _ in tasks]) if files else {}
    views = [view_of(f, k, by_slug.get(f.slug), branches, facts, dirty) for f, k in tasks]
    known = {folder.slug for folder in repository.store.folders()}
    _correct_addresses(repository, [w for w in worktrees if w.slug in known])
    foreign = [w for w in worktrees if w.slug not in known]
    return Overview(repository, views, foreign, damaged)


def _read(repository: Repository, name: str) -> tuple[TaskFolder, Known]:
    folder, _ = find_folder(repository, name)
    try:
        return folder, folder.read()
    except FileNotFoundError:
        raise no_such_task(name) from None


def _readable(
    repository: Repository,
) -> tuple[list[tuple[TaskFolder, Known]], tuple[Damaged, ...]]:
    """The tasks all of whose files can be read, the oldest first, and those of which one can't."""
    damaged, tasks = [], []
    for folder in repository.store.folders():
        try:
            tasks.append((folder, folder.read()))
        except FileNotFoundError:
            continue
        except ParallelError as error:
            damaged.append(Damaged(_name_of(folder), error.message))
    tasks.sort(key=lambda one: (one[1].task.created, one[1].task.name))
    return tasks, tuple(damaged)


def _name_of(folder: TaskFolder) -> str:
    """What the task of damaged files is called, as far as these tell it."""
    try:
        return folder.task().name
    except (FileNotFoundError, ParallelError):
        return folder.slug


def _branches(repository: Repository, tasks: Sequence[Task]) -> dict[str, Branch]:
    """The branches of tasks, their targets, and what those follow, mostly of the same name."""
    if not tasks:
        return {}
    targets = {task.target for task in tasks}
    wanted = {f"refs/heads/{name}" for name in targets | {task.branch for task in tasks}}
    alike = {f"refs/remotes/*/{name}" for name in targets}
    patterns = () if early.BRANCHES in early.begun else sorted(wanted | alike)
    branches = repository.branches(*patterns)
    followed = {
        branches[f"refs/heads/{name}"].upstream
        for name in targets
        if f"refs/heads/{name}" in branches
    }
    if others := {ref for ref in followed if ref.startswith(REMOTES)} - branches.keys():
        branches |= repository.branches(*sorted(others))
    return branches


def _correct_addresses(repository: Repository, worktrees: Sequence[Worktree]) -> None:
    """Have the addresses follow worktrees that somebody moved; what can't be done now, a later
    command does.
    """
    store = repository.store
    stale = [w for w in worktrees if w.slug and not store.leads(w.slug, w.path) and w.intact]
    if not stale or not os.access(store.parallel, os.W_OK):
        return
    with contextlib.suppress(ParallelError, OSError), store.locked(wait_s=0.0):
        for worktree in stale:
            if worktree.slug and store.folder(worktree.slug).record.exists():
                store.link(worktree.slug, worktree.path)


def _dirty(repository: Repository, worktrees: Sequence[Worktree | None]) -> dict[str, int | None]:
    """How many uncommitted paths each worktree has, by slug; None where git can't say."""
    known: dict[str, int | None] = {}
    asked = []
    for worktree in worktrees:
        if worktree and worktree.slug and worktree.intact:
            found = early.state(str(worktree.path))
            if found is None:
                asked.append(worktree)
            else:
                known[worktree.slug] = found.count("\0")
    answers = repository.git_in(repository.place).each([(w.path, early.STATUS) for w in asked])
    for worktree, answer in zip(asked, answers, strict=True):
        known[str(worktree.slug)] = None if isinstance(answer, GitError) else answer.out.count("\0")
    return known
