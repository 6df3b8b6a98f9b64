"""Move a worktree away with all that belongs to it, and bring it back.

A removal is a few renames. Before the first one a journal says what is about to happen, and refs
below `refs/parallel/trash/` pin every commit that could otherwise become unreachable. A move that
was killed is carried on or taken back by `recover`, whichever is the shorter way.
"""

import contextlib
import os
import shutil
import time
from pathlib import Path

from git_parallel import pins, slot, ties
from git_parallel.errors import GitError, ParallelError, UnsafeError
from git_parallel.home import resting_home
from git_parallel.journal import KEPT, MOVING, RETURNING, Entry, Journal, entries, unbegun
from git_parallel.lock import Lock
from git_parallel.relocation import PARKED
from git_parallel.repository import Repository
from git_parallel.task import Task, same_name
from git_parallel.task_folder import TaskFolder
from git_parallel.wording import pasted
from git_parallel.worktree import Worktree

BEING_MADE = "initializing"  # git's own lock on a worktree that it has not finished (2.39)


def move(
    repository: Repository,
    folder: TaskFolder,
    task: Task,
    worktree: Worktree | None,
    *,
    tip: str | None,
    drop_branch: bool,
    why: str,
) -> Entry:
    """Move a task and its worktree into the trash, under the store's lock.

    Whoever calls has made sure that it may go. Raises ParallelError, with everything where it was,
    where the folder can't be renamed, is locked and out of reach, or where a run began meanwhile.
    """
    _refuse_out_of_reach(task, worktree)
    with _at_rest(folder, task):
        entry = _announce(
            repository, folder, task, worktree, tip=tip, drop_branch=drop_branch, why=why
        )
        _pin_all(entry, worktree)
        try:
            _carry_away(entry)
        except OSError as error:
            _carry_back(entry)
            words = f"{entry.journal.path} can't be moved to the trash: {error.strerror}"
            raise ParallelError(words) from error
    return entry


def _at_rest(folder: TaskFolder, task: Task) -> Lock:
    """The lock of a task that nobody works on, so that no run begins in what is on its way."""
    lock = Lock.take(folder.lock)
    if lock is None:
        hint = f"git parallel stop {task.name}"
        raise UnsafeError(f"`{task.name}` can't be removed: it is being worked on", hint=hint)
    return lock


def _pin_all(entry: Entry, worktree: Worktree | None) -> None:
    """Keep everything reachable that could be in nothing but the branch or the worktree."""
    repository, tip = entry.repository, entry.journal.tip
    _keep_reflog(entry)
    only_here = [tip] if tip else []
    only_here += pins.commits_in(entry.reflog)
    if worktree:
        only_here += pins.commits_at(worktree) + pins.staged_at(repository, worktree)
    pins.pin(repository, entry.journal.id, only_here)


def _refuse_out_of_reach(task: Task, worktree: Worktree | None) -> None:
    """A lock says that a folder that can't be seen still exists, on another disk perhaps."""
    if worktree is None or worktree.locked in (None, BEING_MADE) or worktree.path.is_dir():
        return
    reason = f": {worktree.locked}" if worktree.locked else ""
    raise UnsafeError(
        f"`{task.name}` can't be removed: {worktree.path} is not there, and locked{reason}",
        hint=f"git worktree unlock {pasted(worktree.path)}",
    )


def _announce(
    repository: Repository,
    folder: TaskFolder,
    task: Task,
    worktree: Worktree | None,
    *,
    tip: str | None,
    drop_branch: bool,
    why: str,
) -> Entry:
    """Write the journal of a move that is about to happen."""
    name = f"{folder.slug}-{time.time_ns() // 1_000_000:x}"
    rest = repository.store.trash / name
    path = worktree.path if worktree and worktree.path.is_dir() else None
    rest.mkdir(parents=True)
    journal = Journal(
        id=name,
        state=MOVING,
        name=task.name,
        slug=folder.slug,
        branch=task.branch,
        tip=tip,
        drop_branch=drop_branch and tip is not None,
        path=str(path) if path else None,
        admin=str(worktree.admin) if worktree else None,
        tree=str(resting_home(repository, path) / ".trash" / name / "tree") if path else None,
        why=why,
        moved=time.time(),
        settings=_branch_settings(repository, task.branch) if drop_branch else (),
    )
    entry = Entry(repository, rest, journal)
    entry.write()
    return entry


def _carry_away(entry: Entry) -> None:
    """The move itself; each step may have been done before."""
    journal, repository = entry.journal, entry.repository
    if journal.admin:  # first: what has no folder, `git worktree prune` would delete
        _rename(Path(journal.admin), entry.admin)
    if journal.path and journal.tree:
        tree = Path(journal.tree)
        tree.parent.mkdir(parents=True, exist_ok=True)
        _rename(Path(journal.path), tree)
        _rename(tree / ".git", tree / PARKED)
    if journal.drop_branch:
        _drop_branch(entry)
    with contextlib.suppress(FileNotFoundError):
        if repository.store.address(journal.slug).is_symlink():
            repository.store.address(journal.slug).unlink()
    _rename(repository.store.tasks / journal.slug, entry.record)
    entry.write(state=KEPT)


def _rename(old: Path, new: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if not os.path.lexists(new):
            os.rename(old, new)


def _drop_branch(entry: Entry) -> None:
    """Delete the branch if it still is where it was pinned; a branch that moved on stays."""
    journal, git = entry.journal, entry.repository.git
    ref = f"refs/heads/{journal.branch}"
    branch = entry.repository.branches(ref).get(ref)
    if branch is None or branch.worktree:  # gone already, or of somebody new
        return
    with contextlib.suppress(GitError):
        git.run("update-ref", "-d", ref, journal.tip or "")
        if journal.settings:
            git.run("config", "--local", "--remove-section", f"branch.{journal.branch}")


def _branch_settings(repository: Repository, branch: str) -> tuple[tuple[str, str], ...]:
    prefix = f"branch.{branch}."
    found = repository.git.run("config", "--local", "--list", "-z", ok=(0, 1)).fields
    pairs = (field.partition("\n") for field in found)
    return tuple((key, value) for key, _, value in pairs if key.startswith(prefix))


def _branch_log(repository: Repository, branch: str) -> Path:
    return repository.common / "logs" / "refs" / "heads" / branch


def _keep_reflog(entry: Entry) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.copyfile(_branch_log(entry.repository, entry.journal.branch), entry.reflog)


def find(repository: Repository, name: str | None) -> Entry:
    """What to bring back: the newest thing in the trash, the newest of a task's name, or the one of
    an id; raises ParallelError where there is none.
    """
    kept = [e for e in entries(repository) if e.journal.state in (KEPT, RETURNING)]
    if not kept:
        raise ParallelError("the trash is empty", hint="git parallel list")
    if name is None:
        return kept[-1]
    for entry in reversed(kept):
        if entry.journal.id == name or same_name(entry.journal.name, name):
            return entry
    raise ParallelError(f"`{name}` is not in the trash", hint="git parallel undo --list")


def bring_back(entry: Entry) -> Path | None:
    """Bring a task back as it was, under the store's lock; returns where its worktree is.

    Raises UnsafeError, with nothing changed, where something new stands in its place.
    """
    make_sure_there_is_room(entry)
    entry.write(state=RETURNING)
    return _carry_back(entry)


def make_sure_there_is_room(entry: Entry) -> None:
    """Raise UnsafeError where something new stands in the place of what is to come back."""
    journal, taken = entry.journal, entry.repository.store
    for folder, task in taken.load_tasks():
        if same_name(task.name, journal.name) or folder.slug == journal.slug:
            raise UnsafeError(
                f"there is a new task `{task.name}`", hint=f"git parallel remove {task.name}"
            )
    there = taken.folder(journal.slug)
    if there.path.exists() and not there.is_unsaid:
        raise UnsafeError(f"{there.record} can't be read", hint=f"move {there.path} away")
    if journal.path and journal.tree and os.path.lexists(journal.path):
        raise UnsafeError(f"{journal.path} exists again", hint="move it away first")
    if not journal.drop_branch:
        return
    ref = f"refs/heads/{journal.branch}"
    branch = entry.repository.branches(ref).get(ref)
    if branch and branch.tip != journal.tip:
        raise UnsafeError(
            f"the branch {journal.branch} exists again, at another commit",
            hint=f"git branch -m {journal.branch} other-name",
        )


def _carry_back(entry: Entry) -> Path | None:
    """The way back; each step may have been done before."""
    journal, repository = entry.journal, entry.repository
    _restore_branch(entry)
    path = Path(journal.path) if journal.path else None
    if path and journal.tree:
        path.parent.mkdir(parents=True, exist_ok=True)
        _rename(Path(journal.tree), path)
        _rename(path / PARKED, path / ".git")
    if journal.admin and entry.admin.exists():
        _return_admin(entry, path)
    if entry.record.exists():
        repository.store.drop_unsaid(repository.store.folder(journal.slug))
    _rename(entry.record, repository.store.tasks / journal.slug)
    _renew_slot(repository, repository.store.folder(journal.slug))
    if path:
        repository.store.link(journal.slug, path)
    forget(entry)
    return path


def _renew_slot(repository: Repository, folder: TaskFolder) -> None:
    """Give a task that comes back another slot, where somebody has taken its own meanwhile."""
    tasks = repository.store.owners()
    for task in [task for task in tasks if task.slug == folder.slug]:
        others = [other for other in tasks if other.slug != folder.slug]
        if new := slot.retake(repository.key, folder.path, task, others):
            folder.write_slot(new)


def _restore_branch(entry: Entry) -> None:
    journal, git = entry.journal, entry.repository.git
    if not journal.drop_branch or not journal.tip:
        return
    ref = f"refs/heads/{journal.branch}"
    if ref not in entry.repository.branches(ref):
        git.run("update-ref", ref, journal.tip, "0" * len(journal.tip))
        log = _branch_log(entry.repository, journal.branch)
        if entry.reflog.exists():
            log.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(entry.reflog, log)
    for key, value in journal.settings:
        git.run("config", "--local", key, value)


def _return_admin(entry: Entry, path: Path | None) -> None:
    """Put the admin folder back, under a new id where another worktree took the old one."""
    old = Path(entry.journal.admin or "")
    admin, number = old, 1
    while admin.exists():
        admin, number = old.with_name(f"{old.name}{number}"), number + 1
    admin.parent.mkdir(exist_ok=True)
    if path and admin != old:
        ties.lead(path / ".git", admin)
    os.rename(entry.admin, admin)


def _take_back(entry: Entry) -> None:
    """Undo what there is of a move that did not come to its end."""
    _carry_back(entry)


def forget(entry: Entry) -> None:
    """Let go of what is left of an entry: its pins, its files."""
    pins.unpin(entry.repository, entry.journal.id)
    for place in (entry.admin, entry.record):  # the journal goes last: it says what they are
        shutil.rmtree(place, ignore_errors=True)
    if entry.journal.tree:
        rest = Path(entry.journal.tree).parent
        _remove_empty(rest, rest.parent)
    shutil.rmtree(entry.folder)
    _remove_empty(entry.folder.parent)


def _remove_empty(*folders: Path) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def recover(repository: Repository) -> list[str]:
    """Carry every move that was killed to its end, under the store's lock; returns their names."""
    done = []
    for folder in unbegun(repository):
        shutil.rmtree(folder)
    for entry in entries(repository):
        if entry.journal.state in (MOVING, RETURNING):
            _carry_away(entry) if _is_blocked(entry) else _carry_back(entry)
            done.append(entry.journal.name)
    return done


def _is_blocked(entry: Entry) -> bool:
    """Whether something new stands where a part would have to go back to."""
    journal, store = entry.journal, entry.repository.store
    there = store.folder(journal.slug)
    ways = [] if there.is_unsaid else [(entry.record, there.path)]
    if journal.path and journal.tree:
        ways.append((Path(journal.tree), Path(journal.path)))
    return any(os.path.lexists(rest) and os.path.lexists(place) for rest, place in ways)
