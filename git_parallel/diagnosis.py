"""What is wrong with a repository and its tasks: why that matters, and what mends it."""

import contextlib
import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from git_parallel import breakage, hooks, journal, mending, retreat, scratch, slot, tree, unmerge
from git_parallel.errors import ParallelError
from git_parallel.finding import FIX, Finding
from git_parallel.overview import look
from git_parallel.relocation import shown
from git_parallel.repository import Repository
from git_parallel.task_folder import TaskFolder
from git_parallel.wording import pasted
from git_parallel.worktree import LOCKS, ref_locks

STALE_S = 60.0
GIB = 1 << 30
LARGE = GIB  # of a trash, in bytes
MOST_COUNTED = 50_000  # files; they take a quarter of a second


def findings(repository: Repository) -> list[Finding]:
    """All that is wrong with the repository and its tasks; raises only for what it can't read."""
    if not repository.store.exists:
        return []
    found = [*_copy(repository), *_configuration(repository)]
    half_moved = {entry.journal.slug for entry in journal.half_moved(repository)}
    for view in look(repository, files=False).tasks:
        if view.task.slug not in half_moved:  # else what is missing lies in the trash
            found += breakage.of_task(repository, view)
    for part in (_trash, _damaged, _unsaid, _git_locks, _ref_locks, _retreat, _scratch, _hooks):
        found += part(repository)
    return found


def _copy(repository: Repository) -> Iterator[Finding]:
    strays = mending.strays(repository)
    original = repository.settled.copy_of
    if not strays and not original:
        return
    where = shown(original) if original else strays[0].path
    yield Finding(
        kind="copy",
        what=f"this repository is a copy of {where}",
        why="its worktrees are the original's: nothing runs in them or is removed from here",
        command=FIX,
        mend=partial(mending.part_from_original, repository),
    )


def _configuration(repository: Repository) -> Iterator[Finding]:
    try:
        repository.configuration()
    except ParallelError as error:
        yield Finding(
            kind="configuration",
            what=error.message,
            why="nothing starts before it can be read",
            command=error.hint or f"less {pasted(error.message.partition(': ')[0])}",
        )


def _damaged(repository: Repository) -> Iterator[Finding]:
    """Records that can't be read: what they tell of is left alone, never taken for nothing."""
    errors = [*journal.damaged(repository), *map(_trouble_in, repository.store.folders())]
    yield from (_unreadable(error) for error in errors if error)


def _unreadable(error: ParallelError) -> Finding:
    return Finding(
        kind="record",
        what=error.message,
        why="what can't be read is never taken for nothing",
        command=f"less {pasted(error.message.partition(' can')[0])}",
    )


def _trouble_in(folder: TaskFolder) -> ParallelError | None:
    """What is wrong with the files of a task, if one of them can't be read."""
    try:
        folder.read()
        folder.runs()
    except FileNotFoundError:
        return None
    except ParallelError as error:
        return error
    return None


def _unsaid(repository: Repository) -> Iterator[Finding]:
    """The folders of tasks without a record: of starts that were killed before they made anything,
    or of tasks whose record somebody deleted.
    """
    for folder in repository.store.folders():
        if folder.record.exists() or folder.alive:
            continue
        if folder.is_unsaid:
            yield Finding(
                kind="interrupted",
                what=f"{folder.slug}: its start was interrupted before it made anything",
                why="an empty record of it is left",
                command=FIX,
                matters=False,
                mend=partial(mending.drop_unsaid, repository, folder),
            )
            continue
        yield Finding(
            kind="record",
            what=f"{folder.record} is gone, and other files of the task are there",
            why="no command of ours knows the task; its branch and its worktree are as they were",
            command=f"move {pasted(folder.path)} away, then: git worktree list",
        )


def _trash(repository: Repository) -> Iterator[Finding]:
    if journal.half_moved(repository) or journal.unbegun(repository):
        yield Finding(
            kind="trash",
            what="a move to the trash, or back, was killed",
            why="its task is half here and half there",
            command=FIX,
            mend=partial(mending.finish_moves, repository),
        )
    yield from _trash_size(repository)
    for left in [] if repository.settled.copy_of else journal.left_behind(repository):
        yield Finding(
            kind="trash",
            what=f"{left.name}: in the trash since before this repository was moved",
            why="its journal could not be read then, and `undo` does not find it",
            command=FIX,
            mend=partial(mending.lead_back, repository),
        )
    for entry in journal.entries(repository):
        lost = entry.journal.tree and not Path(entry.journal.tree).exists()
        if lost and entry.journal.state == journal.KEPT:
            yield Finding(
                kind="trash",
                what=f"{entry.journal.name}: what lay in the trash of it is gone:"
                f" {entry.journal.tree}",
                why="`undo` brings back its branch, but no file that was not committed",
                command="git parallel undo --list",
                matters=False,
            )


def _trash_size(repository: Repository) -> Iterator[Finding]:
    trees = [Path(e.journal.tree) for e in journal.entries(repository) if e.journal.tree]
    size, whole = _size(trees)
    if size < LARGE:
        return
    more = "" if whole else "more than "
    yield Finding(
        kind="trash",
        what=f"the trash takes up {more}{size / GIB:.1f} GiB",
        why="it is emptied by age (cleanup.keep_days)",
        command="git parallel undo --list",
        matters=False,
    )


def _size(trees: list[Path]) -> tuple[int, bool]:
    """How many bytes folders take up on the disk, and whether all of them were counted."""
    size = seen = 0
    for top in trees:
        for folder, _, names in os.walk(top):
            for name in names:
                with contextlib.suppress(OSError):
                    size += os.lstat(os.path.join(folder, name)).st_blocks * 512
            seen += len(names)
            if seen > MOST_COUNTED:
                return size, False
    return size, True


def _retreat(repository: Repository) -> Iterator[Finding]:
    """A merge's way back that was killed; not one that is under way."""
    try:
        begun = retreat.interrupted(repository)
    except ParallelError as error:
        yield _unreadable(error)
        return
    if begun is None:
        return
    yield Finding(
        kind="undo",
        what=begun.told,
        why=f"where {begun.target} is checked out, what it brought may look like changes of yours",
        command=retreat.way_out(repository, begun),
        mend=partial(unmerge.finish, repository),
    )


def _git_locks(repository: Repository) -> Iterator[Finding]:
    """Locks that a git left when it died: no process is near, and they are not new."""
    places: list[tuple[Path, Path]] = [(w.admin, w.path) for w in repository.worktrees()]
    if repository.main:
        places.append((repository.common, repository.main))
    for admin, path in places:
        stale = [admin / name for name in LOCKS if _is_stale(admin / name)]
        if not stale or tree.inside(admin) or tree.inside(path, spare=tree.ancestors()):
            continue
        for lock in stale:
            yield _left_lock(repository, lock, f"git refuses to change anything in {path}")


def _ref_locks(repository: Repository) -> Iterator[Finding]:
    """The same for the branches of tasks and their targets, which git changes from anywhere."""
    tasks = [task for _, task in repository.store.load_tasks()]
    branches = sorted({name for task in tasks for name in (task.branch, task.target)})
    stale = [lock for lock in ref_locks(repository.common, branches) if _is_stale(lock)]
    if not stale or any(map(tree.inside, stale)) or _git_is_at_work(repository):
        return
    for lock in stale:
        ref = str(lock.relative_to(repository.common)).removesuffix(".lock")
        what = ref.removeprefix("refs/heads/")
        refused = f"move {what}" if what != ref else "drop a branch"
        yield _left_lock(repository, lock, f"git refuses to {refused}")


def _git_is_at_work(repository: Repository) -> bool:
    """Whether a git works in one of the worktrees, or on the git dir."""
    spare = tree.ancestors()
    places = [repository.common, *(worktree.path for worktree in repository.worktrees())]
    places += [repository.main] if repository.main else []
    found = (name for place in places for name in tree.inside(place, spare=spare))
    return any(name.split(" ")[0] == "git" for name in found)


def _left_lock(repository: Repository, lock: Path, why: str) -> Finding:
    return Finding(
        kind="lock",
        what=f"{lock} was left by a git that died",
        why=why,
        command=f"rm {pasted(lock)}",
        mend=partial(mending.put_aside, repository, lock),
    )


def _is_stale(lock: Path) -> bool:
    with contextlib.suppress(OSError):
        return time.time() - lock.stat().st_mtime > STALE_S
    return False


def _scratch(repository: Repository) -> Iterator[Finding]:
    if dead := scratch.dead(repository):
        yield Finding(
            kind="scratch",
            what=f"merges that were killed left {', '.join(str(folder.path) for folder in dead)}",
            why="it takes up room; all in it was made from commits",
            command=FIX,
            matters=False,
            mend=partial(scratch.remove_dead, repository),
        )


def _hooks(repository: Repository) -> Iterator[Finding]:
    if (repository.store.state / "hooks.off").exists() or not repository.store.folders():
        return
    place, states = hooks.status(repository, repository.settings())
    missing = [state for state in states if not state.installed]
    if not missing:
        return
    names = ", ".join(state.name for state in missing)
    ours = not place.trouble and not place.shared
    reason = place.trouble or "; ".join(dict.fromkeys(state.how for state in missing))
    shared = " --shared" if place.shared and not place.trouble else ""
    yield Finding(
        kind="hooks",
        what=f"hooks are not reached in {place.folder}: {names} ({reason})",
        why="new worktrees are not made ready, and merged ones go only at the next command of ours",
        command=hooks.manual_line(repository)
        if place.trouble
        else f"git parallel hooks install{shared}",
        matters=False,
        mend=partial(hooks.install, repository, repository.settings()) if ours else None,
    )


def ports() -> list[Finding]:
    """Blocks of ports, of whatever repository, that nobody holds any more."""
    unheld = slot.unheld()
    if not unheld:
        return []
    numbers = ", ".join(claim.name for claim in unheld[:3])
    more = f" and {len(unheld) - 3} more" if len(unheld) > 3 else ""
    return [
        Finding(
            kind="ports",
            what=f"ports of tasks that are gone: {numbers}{more}",
            why="they are given out again, but the list grows",
            command=FIX,
            matters=False,
            mend=partial(slot.release, unheld),
        )
    ]
