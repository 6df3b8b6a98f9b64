"""Make a worktree of somebody else's a task, where it is and as it is."""

from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from git_parallel import slot
from git_parallel.draft import BRANCH_PREFIX, Request, fork_of, refuse_taken_name, target_of
from git_parallel.errors import ParallelError
from git_parallel.repository import Branch, Repository
from git_parallel.task import Task, TaskName, parse_name, slug_of
from git_parallel.task_folder import TaskFolder
from git_parallel.wording import pasted
from git_parallel.worktree import Worktree, content


class Adopted(Struct, frozen=True):
    """A worktree that has become a task."""

    task: Task
    folder: TaskFolder
    worktree: Worktree
    target_tip: str


def adopt(repository: Repository, path: Path, *, name: str | None, target: str | None) -> Adopted:
    """Make the worktree at a path a task; its files, its branch and its place stay as they are.

    Raises ParallelError, with nothing changed, where it is none of this repository's, a task
    already, or on no branch.
    """
    worktree = _worktree_at(repository, path)
    branches = repository.branches()
    branch = _branch_of(worktree, branches)
    configured = repository.configuration().config.target or _main_branch(repository)
    merged_into = _target(repository, branch, target, branches, configured)
    with repository.store.locked():
        tasks = [task for _, task in repository.store.load_tasks()]
        _refuse_known(tasks, worktree, branch)
        task_name = _name(tasks, name, branch, worktree.path)
        slug = slug_of(task_name, repository.store.taken_slugs())
        folder = repository.store.folder(slug)
        mine = slot.take(repository.key, folder.path, tasks)
        task = Task(
            name=task_name,
            slug=slug,
            branch=branch.removeprefix("refs/heads/"),
            target=merged_into.ref.removeprefix("refs/heads/"),
            base=fork_of(repository, branches[branch].tip, merged_into.tip),
            path=str(worktree.path),
            slot=mine.number,
            ports=mine.ports,
            created=datetime.now(UTC),
        )
        # Without the word that it is just being made: whatever has that may be cleared away.
        repository.store.claim(task, None)
        repository.mark(worktree, slug)
        repository.store.link(slug, worktree.path)
    return Adopted(task, folder, worktree, merged_into.tip)


def _worktree_at(repository: Repository, path: Path) -> Worktree:
    if not path.is_dir():
        raise ParallelError(f"the folder {path} does not exist", hint="git worktree list")
    real = path.resolve()
    if real in {p.resolve() for p in (repository.main, repository.common) if p}:
        what = "the repository itself" if repository.main is None else "the main worktree"
        raise ParallelError(
            f"{path} is {what}, not a worktree beside it",
            hint="git parallel start fix-login --carry",
        )
    worktree = next((w for w in repository.worktrees() if w.path.resolve() == real), None)
    if worktree is None:
        raise ParallelError(
            f"{path} is not a worktree of this repository", hint="git worktree list"
        )
    if worktree.is_scratch:
        raise ParallelError(f"{path} is at work for a merge, and goes with it")
    if not worktree.intact:
        raise ParallelError(
            f"{path}/.git does not lead back to this repository",
            hint=f"git worktree repair {pasted(path)}",
        )
    return worktree


def _branch_of(worktree: Worktree, branches: dict[str, Branch]) -> str:
    """The full name of the branch that it is on; raises ParallelError where there is none."""
    if worktree.branch is None:
        if worktree.operations:
            raise ParallelError(
                f"{worktree.operations[0]} is not finished in {worktree.path}",
                hint=f"git -C {pasted(worktree.path)} status",
            )
        raise ParallelError(
            f"{worktree.path} is on no branch: its HEAD is detached",
            hint=f"git -C {pasted(worktree.path)} switch -c {pasted(worktree.path.name)}",
        )
    if worktree.branch not in branches:
        raise ParallelError(
            f"{worktree.branch.removeprefix('refs/heads/')} has no commit yet",
            hint=f"git -C {pasted(worktree.path)} commit",
        )
    return worktree.branch


def _main_branch(repository: Repository) -> str | None:
    """What the main worktree has checked out: what most worktrees were made from."""
    head = (content(repository.common / "HEAD") or "").partition("ref: refs/heads/")
    return head[2] or None


def _target(
    repository: Repository,
    branch: str,
    asked: str | None,
    branches: dict[str, Branch],
    configured: str | None,
) -> Branch:
    """The branch to merge into: the one that was asked for, or the likeliest but its own."""
    if asked and f"refs/heads/{asked.removeprefix('refs/heads/')}" == branch:
        raise ParallelError(f"`{asked}` can't be merged into itself", hint="--target BRANCH")
    others = {ref: other for ref, other in branches.items() if ref != branch}
    request = Request(name="", target=asked)
    return branches[
        f"refs/heads/{target_of(repository, request, others, repository.settings(), configured)}"
    ]


def _refuse_known(tasks: list[Task], worktree: Worktree, branch: str) -> None:
    for task in tasks:
        if task.slug == worktree.slug:
            raise ParallelError(
                f"{worktree.path} is the task `{task.name}` already",
                hint=f"git parallel show {task.name}",
            )
        if f"refs/heads/{task.branch}" == branch:
            raise ParallelError(
                f"the branch {task.branch} is that of the task `{task.name}`",
                hint=f"git parallel show {task.name}",
            )


def _name(tasks: list[Task], asked: str | None, branch: str, path: Path) -> TaskName:
    """The name that was asked for, or else one after the branch or, where that only adds to it
    (as Claude Code's do), after the folder.
    """
    if asked is not None:
        name = parse_name(asked)
        refuse_taken_name(tasks, name)
        return name
    short = branch.removeprefix("refs/heads/").removeprefix(BRANCH_PREFIX)
    likely = [path.name, short] if short.endswith(path.name) else [short, path.name]
    for text in likely:
        try:
            name = parse_name(text)
            refuse_taken_name(tasks, name)
        except ParallelError:
            continue
        return name
    raise ParallelError(
        f"neither {short} nor {path.name} can be its name",
        hint=f"git parallel adopt {pasted(path)} --name ANOTHER",
    )
