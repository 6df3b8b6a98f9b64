"""All about a task to be made that can be known before anything is: its branch, its base, its
target, its home.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct

from git_parallel.errors import GitError, ParallelError
from git_parallel.home import home_of
from git_parallel.repository import Branch, Repository
from git_parallel.task import Task, TaskName, parse_name, same_name

BRANCH_PREFIX = "parallel/"


class Request(Struct, frozen=True, kw_only=True):
    """What the user asked `start` for."""

    name: str
    start_point: str | None = None
    target: str | None = None
    branch: str | None = None
    prompt: str | None = None
    touch: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    max_files: int = 0
    max_lines: int = 0
    after: tuple[str, ...] = ()
    attempt_of: str | None = None
    carry: bool = False


class Draft(Struct, frozen=True):
    """Everything about a task to be made that can be known without a lock."""

    name: TaskName
    branch: str
    creates_branch: bool
    base: str
    target: str
    target_tip: str
    home: Path


def draft_of(
    repository: Repository,
    request: Request,
    settings: Mapping[str, str],
    default_target: str | None,
) -> Draft:
    """What `start` would make; raises ParallelError where that can't be."""
    name = parse_name(request.name)
    branches = repository.branches()
    tasks = [task for _, task in repository.store.load_tasks()]
    refuse_taken_name(tasks, name)  # after the branches: a start under way claims first
    branch = request.branch or BRANCH_PREFIX + name
    _check_branch_name(repository, branch)
    target = target_of(repository, request, branches, settings, default_target)
    if target == branch:
        raise ParallelError(f"`{branch}` can't be merged into itself", hint="--target BRANCH")
    existing = branches.get(f"refs/heads/{branch}")
    if existing:
        _refuse_existing(existing, branch, request)
        base = fork_of(repository, existing.tip, branches[f"refs/heads/{target}"].tip)
    else:
        _refuse_colliding(branch, branches)
        base = _start(repository, request.start_point, branches)
    home = home_of(repository, settings)
    tip = branches[f"refs/heads/{target}"].tip
    return Draft(name, branch, existing is None, base, target, tip, home)


def _start(repository: Repository, start_point: str | None, branches: Mapping[str, Branch]) -> str:
    if start_point is not None:
        return repository.resolve(start_point)
    if current := next((branch for branch in branches.values() if branch.current), None):
        return current.tip
    try:
        return repository.resolve("HEAD")
    except ParallelError as error:
        raise ParallelError(
            "this repository has no commit to start from",
            hint='git commit --allow-empty -m "Begin"',
        ) from error


def target_of(
    repository: Repository,
    request: Request,
    branches: Mapping[str, Branch],
    settings: Mapping[str, str],
    configured: str | None,
) -> str:
    """The branch to merge into: asked for, implied or likely; raises ParallelError."""
    if request.target:
        name = request.target.removeprefix("refs/heads/")
        if f"refs/heads/{name}" not in branches:
            raise ParallelError(f"the target `{name}` is not a branch here", hint="git branch")
        return name
    start = (request.start_point or "").removeprefix("refs/heads/")
    current = next(
        (b.ref.removeprefix("refs/heads/") for b in branches.values() if b.current), None
    )
    likely = [start, start.partition("/")[2], configured, current]
    for branch in likely:
        if branch and f"refs/heads/{branch}" in branches:
            return branch
    found = repository.default_branch(branches, settings)
    if found:
        return found
    if not branches:
        _start(repository, None, branches)
    raise ParallelError("it is not clear which branch to merge into", hint="--target BRANCH")


def _check_branch_name(repository: Repository, branch: str) -> None:
    """Raise ParallelError unless git allows that name for a branch."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*(/[A-Za-z0-9][A-Za-z0-9_-]*)*", branch):
        return
    try:
        repository.git.run("check-ref-format", "--branch", branch)
    except GitError as error:
        raise ParallelError(
            f"`{branch}` can't be a branch name", hint="git help check-ref-format"
        ) from error


def _refuse_existing(existing: Branch, branch: str, request: Request) -> None:
    if existing.worktree:
        raise ParallelError(
            f"the branch {branch} is checked out in {existing.worktree}",
            hint=f"git parallel start {request.name} --branch ANOTHER",
        )
    if request.branch is None:
        raise ParallelError(
            f"the branch {branch} exists already",
            hint=f"continue on it: git parallel start {request.name} --branch {branch}",
        )
    if request.start_point:
        raise ParallelError(f"the branch {branch} exists already, so it has its own start")


def _refuse_colliding(branch: str, branches: Mapping[str, Branch]) -> None:
    """Refs are paths: `a` and `a/b` can't both exist, nor, on some systems, `a` and `A`."""
    ref = f"refs/heads/{branch}"
    for other in branches:
        short = other.removeprefix("refs/heads/")
        if other.startswith(ref + "/") or ref.startswith(other + "/"):
            raise ParallelError(
                f"a branch {branch} can't stand beside the branch {short}",
                hint="--branch ANOTHER",
            )
        if same_name(ref, other):
            raise ParallelError(f"a branch {short} exists already", hint="--branch ANOTHER")


def fork_of(repository: Repository, tip: str, target: str) -> str:
    """Where a branch left its target; its tip, where they have nothing in common."""
    found = repository.git.run("merge-base", tip, target, ok=(0, 1)).out.strip()
    return found or tip


def refuse_taken_name(tasks: Iterable[Task], name: str) -> None:
    """Raise ParallelError where a task has that name, or one that differs only in case."""
    for task in tasks:
        if same_name(task.name, name):
            raise ParallelError(
                f"there is a task `{task.name}` already",
                hint=f"git parallel run {task.name}, or git parallel show {task.name}",
            )
