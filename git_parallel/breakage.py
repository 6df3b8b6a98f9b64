"""What is broken of a task: its worktree, its branch, its target, its start, its run."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from git_parallel import mending, runner
from git_parallel.finding import FIX, Finding
from git_parallel.relocation import rival_of
from git_parallel.repository import Repository
from git_parallel.task import Status
from git_parallel.task_view import TaskView
from git_parallel.wording import pasted
from git_parallel.worktree import Worktree


def of_task(repository: Repository, view: TaskView) -> Iterator[Finding]:
    """What is broken of one task."""
    name = view.task.name
    if view.folder.making and not view.alive:
        yield Finding(
            kind="interrupted",
            what=f"{name}: its start was interrupted",
            why="nothing runs on it, and its name is taken",
            command=f"git parallel remove {name}",
        )
        return
    if view.status is Status.LOST and (left := runner.leftovers(repository, view.folder, view.run)):
        yield Finding(
            kind="orphans",
            what=f"{name}: its runner died, and {', '.join(left[:3])} goes on",
            why="nobody records what it does; it holds up the next run and every removal",
            command=f"git parallel stop {name}",
        )
    if repository.settled.copy_of:
        return
    if not view.alive:
        yield from _operations(view)
    if not view.broken:
        return
    yield from _worktree(repository, view)
    yield from _branch(repository, view)


def _operations(view: TaskView) -> Iterator[Finding]:
    """What git is in the middle of in a worktree where nothing runs, such as a rebase that was
    killed.
    """
    worktree = view.worktree
    for what in worktree.operations if worktree and worktree.intact else ():
        yield Finding(
            kind="operation",
            what=f"{view.task.name}: {what} is not finished in its worktree",
            why="the task can't be merged, rebased or removed before that",
            command=f"git -C {pasted(view.path)} status",
            matters=False,
        )


def _worktree(repository: Repository, view: TaskView) -> Iterator[Finding]:
    name, worktree = view.task.name, view.worktree
    if worktree and worktree.intact:
        if rival := rival_of(worktree, Path(view.task.path)):
            yield Finding(
                kind="rivals",
                what=f"{name}: {view.trouble}",
                why="one is a copy, and git works on the same branch from both",
                command=f"move the copy away, then: git worktree repair {pasted(rival)}",
            )
        return
    if worktree and worktree.path.is_dir():
        yield Finding(
            kind="worktree",
            what=f"{name}: {view.trouble}",
            why="git finds no repository from inside it, or another one",
            command=f"git worktree repair {pasted(worktree.path)}",
            mend=partial(mending.lead_back, repository),
        )
        return
    if worktree is None and (unmarked := _unmarked(repository, view)):
        yield Finding(
            kind="worktree",
            what=f"{name}: {view.path} does not say that it is this task's",
            why="who adopted it was interrupted",
            command=FIX,
            mend=partial(mending.claim_worktree, repository, view, unmarked),
        )
        return
    locked = worktree is not None and worktree.locked is not None
    can_be_made = bool(view.tip) and not locked and not os.path.lexists(view.path)
    yield Finding(
        kind="worktree",
        what=f"{name}: {view.trouble}" + (", and it is locked" if locked else ""),
        why="there is nothing to run in; what was committed or staged is still there",
        command=FIX if can_be_made else f"git parallel remove {name}",
        mend=partial(mending.restore_worktree, repository, view) if can_be_made else None,
    )


def _unmarked(repository: Repository, view: TaskView) -> Worktree | None:
    """A worktree that is no task's, in the place of a task and on its branch."""
    here = [w for w in repository.worktrees() if str(w.path) == view.task.path and not w.slug]
    ref = f"refs/heads/{view.task.branch}"
    return next((w for w in here if w.intact and w.branch == ref), None)


def _branch(repository: Repository, view: TaskView) -> Iterator[Finding]:
    if view.tip is None:
        yield _lost_branch(repository, view)
    if view.target is None:
        yield _lost_target(repository, view)


def _lost_target(repository: Repository, view: TaskView) -> Finding:
    name, task = view.task.name, view.task
    new = mending.renamed(repository, task.target)
    return Finding(
        kind="target",
        what=f"{name}: the branch {task.target}, which it is to be merged into, is "
        + (f"{new} now" if new else "gone"),
        why="nobody knows what it changed, or whether it is merged",
        command=FIX if new else f"git branch {pasted(task.target)} {task.base}",
        mend=partial(mending.follow_target, repository, task.target, new) if new else None,
    )


def _lost_branch(repository: Repository, view: TaskView) -> Finding:
    name, branch = view.task.name, view.task.branch
    now_on = view.worktree.branch if view.worktree else None
    if now_on and now_on != f"refs/heads/{branch}" and now_on in repository.branches(now_on):
        short = now_on.removeprefix("refs/heads/")
        return Finding(
            kind="branch",
            what=f"{name}: its branch {branch} is gone, its worktree is on {short}",
            why="a branch that was renamed is the task's still, if its record says so",
            command=FIX,
            mend=partial(mending.follow_branch, view.folder, now_on),
        )
    commit = mending.last_commit(repository, view)
    return Finding(
        kind="branch",
        what=f"{name}: its branch {branch} is gone"
        + (f"; it was at {repository.short(commit)}" if commit else ""),
        why="nothing holds its commits, and git drops them some day",
        command=FIX if commit else f"git branch {pasted(branch)} COMMIT",
        mend=partial(mending.restore_branch, repository, branch, commit) if commit else None,
    )
