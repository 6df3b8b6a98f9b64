"""Make a task: claim its name, make its branch and worktree, or leave nothing of it behind."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from git_parallel import trash
from git_parallel.errors import GitError, ParallelError
from git_parallel.git import Git
from git_parallel.process import Lock
from git_parallel.repository import Branch, Repository, Worktree, check_branch_name
from git_parallel.store import Making, TaskFolder
from git_parallel.task import Slug, Task, TaskName, parse_name, same_name, slug_of

BRANCH_PREFIX = "parallel/"
FIRST_PORT = 20_000
PORT_BLOCKS = 1_000
PORTS_A_TASK = 10
LOCK_WAIT_S = 5.0


class Request(Struct, frozen=True, kw_only=True):
    """What the user asked `start` for."""

    name: str
    start_point: str | None = None
    target: str | None = None
    branch: str | None = None
    prompt: str | None = None
    touch: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    carry: bool = False


class Created(Struct, frozen=True):
    """A task that was made; whoever holds `lock` is at work on it."""

    task: Task
    folder: TaskFolder
    worktree: Worktree
    lock: Lock
    target_tip: str
    carried: int
    cleared: bool


class _Draft(Struct, frozen=True):
    """Everything about a task to be made that can be known without a lock."""

    name: TaskName
    branch: str
    creates_branch: bool
    base: str
    target: str
    target_tip: str
    home: Path


def create(
    repository: Repository,
    request: Request,
    settings: Mapping[str, str],
    default_target: str | None,
) -> Created:
    """Make a task and its worktree, and hold its lock.

    Raises ParallelError where that can't be; what this call made is gone by then, and what it did
    not make is untouched.
    """
    cleared = _clear_interrupted(repository, parse_name(request.name))
    draft = _draft(repository, request, settings, default_target)
    source = _uncommitted(repository) if request.carry else ""
    with repository.store.locked():
        _refuse_taken_name(repository, draft.name)
        task = _task(repository, request, draft)
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
    with _undone_on_failure(repository, folder, making, lock):
        worktree = _make(repository, task, draft)
        carried = _carry(worktree, source) if source else 0
        folder.made()
        return Created(task, folder, worktree, lock, draft.target_tip, carried, cleared)


def _draft(
    repository: Repository,
    request: Request,
    settings: Mapping[str, str],
    default_target: str | None,
) -> _Draft:
    name = parse_name(request.name)
    branches = repository.branches()
    _refuse_taken_name(repository, name)  # after the branches: a start under way claims first
    branch = request.branch or BRANCH_PREFIX + name
    check_branch_name(repository, branch)
    target = _target(repository, request, branches, settings, default_target)
    if target == branch:
        raise ParallelError(f"`{branch}` can't be merged into itself", hint="--target BRANCH")
    existing = branches.get(f"refs/heads/{branch}")
    if existing:
        _refuse_existing(existing, branch, request)
        base = _fork_of(repository, existing.tip, branches[f"refs/heads/{target}"].tip)
    else:
        _refuse_colliding(branch, branches)
        base = _start(repository, request.start_point)
    home = repository.home(settings)
    tip = branches[f"refs/heads/{target}"].tip
    return _Draft(name, branch, existing is None, base, target, tip, home)


def _start(repository: Repository, start_point: str | None) -> str:
    if start_point is not None:
        return repository.resolve(start_point)
    try:
        return repository.resolve("HEAD")
    except ParallelError as error:
        raise ParallelError(
            "this repository has no commit to start from",
            hint='git commit --allow-empty -m "Begin"',
        ) from error


def _target(
    repository: Repository,
    request: Request,
    branches: Mapping[str, Branch],
    settings: Mapping[str, str],
    configured: str | None,
) -> str:
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
        _start(repository, None)
    raise ParallelError("it is not clear which branch to merge into", hint="--target BRANCH")


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


def _fork_of(repository: Repository, tip: str, target: str) -> str:
    found = repository.git.run("merge-base", tip, target, ok=(0, 1)).out.strip()
    return found or tip


def _clear_interrupted(repository: Repository, name: TaskName) -> bool:
    """Move away what a `start` of the same name left when it was killed."""
    if not any(_interrupted(folder, task, name) for folder, task in repository.store.load_tasks()):
        return False
    with repository.store.locked():
        for folder, task in repository.store.load_tasks():
            if (making := _interrupted(folder, task, name)) is not None:
                _move_away(repository, folder, task, making)
                return True
    return False


def _interrupted(folder: TaskFolder, task: Task, name: TaskName) -> Making | None:
    making = folder.making if same_name(task.name, name) else None
    return making if making and not folder.alive else None


def _move_away(repository: Repository, folder: TaskFolder, task: Task, making: Making) -> None:
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


def _refuse_taken_name(repository: Repository, name: str) -> None:
    for _, task in repository.store.load_tasks():
        if same_name(task.name, name):
            raise ParallelError(
                f"there is a task `{task.name}` already",
                hint=f"git parallel run {task.name}, or git parallel show {task.name}",
            )


def _task(repository: Repository, request: Request, draft: _Draft) -> Task:
    slug = _free_slug(repository, draft)
    slot = _free_slot(repository)
    block = (int(repository.key, 16) + slot) % PORT_BLOCKS
    first = FIRST_PORT + block * PORTS_A_TASK
    return Task(
        name=draft.name,
        slug=slug,
        branch=draft.branch,
        target=draft.target,
        base=draft.base,
        path=str(draft.home / slug),
        slot=slot,
        ports=tuple(range(first, first + PORTS_A_TASK)),
        created=datetime.now(UTC),
        prompt=_displayable(request.prompt),
        touch=request.touch,
        never=request.never,
    )


def _free_slug(repository: Repository, draft: _Draft) -> Slug:
    return slug_of(draft.name, repository.store.taken_slugs())


def _free_slot(repository: Repository) -> int:
    taken = {task.slot for _, task in repository.store.load_tasks()}
    return next(n for n in range(1, len(taken) + 2) if n not in taken)


def _displayable(text: str | None) -> str | None:
    """A prompt for people: its exact bytes lie in a file of their own."""
    return (
        None if text is None else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    )


def _make(repository: Repository, task: Task, draft: _Draft) -> Worktree:
    path = Path(task.path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _hide_home(repository, path.parent)
    except OSError as error:
        raise ParallelError(f"{path.parent} can't be made: {error.strerror}") from error
    worktree = repository.add_worktree(path, task.branch, task.base, create=draft.creates_branch)
    repository.mark(worktree, task.slug)
    trash.link(repository, task.slug, path)
    return worktree


def _hide_home(repository: Repository, home: Path) -> None:
    """A home inside the main worktree must not show there as untracked."""
    main = repository.main
    if main is None or not home.is_relative_to(main) or home.is_relative_to(repository.common):
        return
    exclude = repository.common / "info" / "exclude"
    line = f"/{home.relative_to(main)}/"
    known = exclude.read_text().splitlines() if exclude.exists() else []
    if line not in known:
        exclude.parent.mkdir(exist_ok=True)
        exclude.write_text("\n".join([*known, line]) + "\n")


@contextlib.contextmanager
def _undone_on_failure(
    repository: Repository, folder: TaskFolder, making: Making, lock: Lock
) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        lock.release()
        with contextlib.suppress(ParallelError, OSError):  # the first error is the one to tell
            _unmake(repository, folder, making)
        if isinstance(error, OSError):
            raise ParallelError(f"{making.path} can't be made: {error.strerror}") from error
        raise


def _unmake(repository: Repository, folder: TaskFolder, making: Making) -> None:
    """Delete what a failed start made, and only that; nobody has worked in it yet."""
    path = Path(making.path)
    worktree = _worktree_at(repository, path)
    shutil.rmtree(path, ignore_errors=True)
    if worktree:
        shutil.rmtree(worktree.admin, ignore_errors=True)
    with contextlib.suppress(OSError):
        path.parent.rmdir()
    address = repository.store.address(folder.slug)
    if address.is_symlink():
        address.unlink()
    if making.made_branch:
        ref = f"refs/heads/{making.branch}"
        with contextlib.suppress(GitError):
            if ref in repository.branches(ref):
                repository.git.run("update-ref", "-d", ref, making.base)
    shutil.rmtree(folder.path, ignore_errors=True)


def _worktree_at(repository: Repository, path: Path) -> Worktree | None:
    real = path.resolve()
    return next((w for w in repository.worktrees() if w.path.resolve() == real), None)


def _uncommitted(repository: Repository) -> str:
    """The uncommitted changes of the current worktree as a patch, made with an index of its own."""
    if repository.top is None:
        raise ParallelError("there is no worktree here to carry changes from")
    with tempfile.TemporaryDirectory(prefix="git-parallel-") as scratch:
        index = Path(scratch) / "index"
        with contextlib.suppress(FileNotFoundError):
            shutil.copy2(repository.git_dir / "index", index)
        aside = repository.git.at(repository.top, GIT_INDEX_FILE=str(index))
        aside.run("add", "--all", "--", ".")
        plain = ("--binary", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv")
        return aside.run("diff", "--cached", *plain, "--no-renames", "HEAD").out


def _carry(worktree: Worktree, patch: str) -> int:
    """Apply a patch to a new worktree, uncommitted; returns how many files it changes."""
    try:
        Git(worktree.path).run("apply", "--whitespace=nowarn", "-", stdin=patch)
    except GitError as error:
        raise ParallelError(
            f"the uncommitted changes do not fit: {error.message}",
            hint="start from HEAD, or leave --carry out",
        ) from error
    return patch.count("\ndiff --git ") + patch.startswith("diff --git ")
