"""Take back a merge of ours, as long as nothing was built upon it.

The same guards as for landing: the target moves by compare-and-swap, and where it is checked out
nothing is touched that is not committed. Else the way back is a revert, which a person makes.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct, structs

from git_parallel import records, retreat, stack, trash
from git_parallel.errors import ParallelError, UnsafeError
from git_parallel.facts import REMOTES
from git_parallel.journal import KEPT, Entry, entries
from git_parallel.overview import find_folder
from git_parallel.records import Landed
from git_parallel.repository import Branch, Repository
from git_parallel.retreat import Retreat
from git_parallel.stack import Moved
from git_parallel.store import LANDING
from git_parallel.task import Task, same_name

LANDING_WAIT_S = 3600.0


class Merge(Struct, frozen=True):
    """A merge of ours: what was recorded of it, and where its task is now: here or in the trash."""

    name: str
    slug: str
    landed: Landed
    entry: Entry | None


class Undone(Struct, frozen=True):
    """A merge that was taken back: its task, the target, where that and the task are now, and the
    tasks that had taken it in. One that was killed while it was `landing` has not been merged.
    """

    name: str
    target: str
    commit: str
    path: Path | None
    moved: tuple[Moved, ...] = ()
    landing: bool = False


def take_back(repository: Repository, name: str, *, waiting: Callable[[str], None]) -> Undone:
    """Move a target back to where it was before our merge of a task, and bring the task back from
    the trash, or finish that where it was killed; raises ParallelError, with nothing changed, where
    it is not possible. `waiting` hears what a wait is for.
    """
    with repository.store.locked(name=LANDING, wait_s=LANDING_WAIT_S, waiting=waiting):
        undone = _take_back(repository, name)
        return structs.replace(undone, moved=tuple(_rebased(repository, undone)))


def _take_back(repository: Repository, name: str) -> Undone:
    with _alone(repository):
        begun, done = retreat.begun(repository), _finish(repository)
        if done and begun and (same_name(begun.name, name) or name in (begun.slug, begun.entry)):
            return done
        merge = _find(repository, name)
        target, before = _target(repository, merge)
        if merge.entry:
            trash.make_sure_there_is_room(merge.entry)
        entry = merge.entry.journal.id if merge.entry else None
        landed = merge.landed
        way = Retreat(merge.name, merge.slug, landed.target, landed.result, before, entry)
        retreat.move(repository, way, target)
        return _bring_back(repository, way)


def finish(
    repository: Repository, *, waiting: Callable[[str], None] = lambda _: None
) -> Undone | None:
    """Finish a merge's way back that was killed, or go back from a merge that was; None where there
    is nothing to take back. Raises ParallelError, with nothing changed, where it can't be.
    """
    if retreat.begun(repository) is None:
        return None
    landing = repository.store.locked(name=LANDING, wait_s=LANDING_WAIT_S, waiting=waiting)
    with landing, _alone(repository):
        return _finish(repository)


@contextlib.contextmanager
def _alone(repository: Repository) -> Iterator[None]:
    with repository.store.locked():
        trash.recover(repository)
        yield


def _finish(repository: Repository) -> Undone | None:
    begun = retreat.begun(repository)
    if begun is None:
        return None
    if retreat.finish(repository, begun):
        return _bring_back(repository, begun)
    retreat.end(repository)
    if begun.landing and not retreat.has_landed(repository, begun):
        return Undone(begun.name, begun.target, begun.before, None, landing=True)
    return None


def _bring_back(repository: Repository, way: Retreat) -> Undone:
    """Bring the task back whose target is where it was, and forget that it was merged."""
    kept = [e for e in entries(repository) if e.journal.id == way.entry]
    path = trash.bring_back(kept[0]) if kept else None
    if path is None and way.entry and (worktree := repository.worktree_of(way.slug)):
        path = worktree.path  # it had come back already
    folder = repository.store.folder(way.slug)
    if folder.landed and folder.landed.result == way.result:
        folder.forget_landed()
    moved = _send_back(repository, way)
    retreat.end(repository)
    return Undone(way.name, way.target, way.before, path, tuple(moved))


def _send_back(repository: Repository, way: Retreat) -> list[Moved]:
    """Have the tasks that took in a merge count only their own commits, so that none of them lands
    it again. Those that followed the merged task are for its branch again.
    """
    moved = []
    every = repository.store.load_tasks()
    parents = {task.branch for _, task in every if task.slug == way.slug}
    for folder, task in every:
        if task.target != way.target or task.slug == way.slug:
            continue
        first = folder.first_target()
        below = _taken_in(repository, task, way)
        if first in parents or below:
            target = first if first in parents else task.target
            folder.write_retarget(target, stands_on=below)
            reason = f"its commits stand on those of {way.name}" if below else ""
            moved.append(Moved(task.name, target, reason=reason))
    return moved


def _taken_in(repository: Repository, task: Task, way: Retreat) -> str | None:
    """The commit up to which a task's branch has a merge, if it has any of it."""
    git, ref = repository.git, f"refs/heads/{task.branch}"
    below = git.run("merge-base", way.result, ref, ok=(0, 1, 128)).out.strip()
    return below if below and not _holds(repository, way.before, below) else None


def _rebased(repository: Repository, undone: Undone) -> Iterator[Moved]:
    """Rebase the tasks that were sent back to the branch of the task that they stand on."""
    for moved in undone.moved:
        ref = f"refs/heads/{moved.target}"
        onto = repository.branches(ref).get(ref)
        folder, _ = find_folder(repository, moved.name)
        if moved.target == undone.target or onto is None or folder.stands_on is None:
            yield moved
        else:
            yield from stack.rebase(repository, moved.name, onto=onto.tip, below=folder.stands_on)


def _find(repository: Repository, name: str) -> Merge:
    for folder, task in repository.store.load_tasks():
        landed = folder.landed
        if landed and (same_name(task.name, name) or folder.slug == name):
            return Merge(task.name, folder.slug, landed, None)
    for entry in reversed(entries(repository)):
        journal = entry.journal
        wanted = same_name(journal.name, name) or journal.id == name
        if not wanted or journal.state != KEPT:
            continue
        if landed := records.find_record(entry.record / "landed.json", Landed):
            return Merge(journal.name, journal.slug, landed, entry)
    raise ParallelError(
        f"no merge of `{name}` by git parallel is known", hint="git parallel undo --list"
    )


def _target(repository: Repository, merge: Merge) -> tuple[Branch, str]:
    """The target as it is, and the commit that it goes back to; raises UnsafeError."""
    landed = merge.landed
    ref = f"refs/heads/{landed.target}"
    target = repository.branches(ref).get(ref)
    if target is None or not _holds(repository, target.tip, landed.result):
        raise ParallelError(f"`{merge.name}` is not merged into {landed.target} any more")
    hint = f"git revert {_reverted(landed)}"
    if target.tip != landed.result:
        words = f"{landed.target} has moved on since `{merge.name}` was merged"
        raise UnsafeError(words, hint=hint)
    upstream = (
        repository.branches(target.upstream).get(target.upstream) if target.upstream else None
    )
    if upstream and _holds(repository, upstream.tip, landed.result):
        known = upstream.ref.removeprefix(REMOTES)
        raise UnsafeError(f"the merge of `{merge.name}` is in {known} already", hint=hint)
    if landed.before is None:
        raise UnsafeError(f"where {landed.target} was before is not recorded", hint=hint)
    return target, landed.before


def _holds(repository: Repository, tip: str, commit: str) -> bool:
    return repository.git.says_yes("merge-base", "--is-ancestor", commit, tip)


def _reverted(landed: Landed) -> str:
    """What `git revert` is to be told."""
    if landed.strategy == "merge":
        return f"-m 1 {landed.result}"
    if landed.strategy == "squash" or landed.before is None:
        return landed.result
    return f"{landed.before}..{landed.result}"
