"""What is wrong with the tasks of a repository: why that matters, and what mends it."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from msgspec import Struct

from git_parallel import hooks, journal, mending, runner, scratch, slot, trash, tree
from git_parallel.errors import ParallelError
from git_parallel.overview import TaskView, look
from git_parallel.relocation import shown
from git_parallel.repository import Repository
from git_parallel.store import TaskFolder
from git_parallel.task import Status
from git_parallel.worktree import Worktree

FIX = "git parallel doctor --fix"
STALE_S = 60.0
LOCKS = ("index.lock", "HEAD.lock")


class Finding(Struct, frozen=True, kw_only=True):
    """Something that is wrong. `matters`: work is held up, or could go wrong; else it is good to
    know. `mend` is the way to set it right, where that is safe.
    """

    kind: str
    what: str
    why: str
    command: str
    matters: bool = True
    mend: Callable[[], object] | None = None

    @property
    def safe(self) -> bool:
        """Whether `doctor --fix` mends it."""
        return self.mend is not None


def findings(repository: Repository) -> list[Finding]:
    """All that is wrong with the repository and its tasks; raises only for what it can't read."""
    if not repository.store.exists:
        return []
    found = [*_copy(repository), *_configuration(repository)]
    damaged = [*_damaged(repository)]
    if not damaged:
        for view in look(repository, files=False).tasks:
            found += _task(repository, view)
        found += _trash(repository)
    found += damaged
    for part in (_git_locks, _scratch, _hooks):
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
            command=error.hint or f"less '{error.message.partition(': ')[0]}'",
        )


def _damaged(repository: Repository) -> Iterator[Finding]:
    """Records that can't be read: they stop every command, so that nothing is taken for empty."""
    readers: list[Callable[[], object]] = [partial(journal.entries, repository)]
    readers += [_reader(folder) for folder in repository.store.folders()]
    for read in readers:
        try:
            read()
        except FileNotFoundError:
            continue
        except ParallelError as error:
            yield Finding(
                kind="record",
                what=error.message,
                why="what can't be read is never taken for nothing",
                command=f"less '{error.message.partition(' can')[0]}'",
            )


def _reader(folder: TaskFolder) -> Callable[[], object]:
    return lambda: (folder.task(), folder.runs(), folder.reviewed, folder.notice)


def _task(repository: Repository, view: TaskView) -> Iterator[Finding]:
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
    if not view.broken or repository.settled.copy_of:
        return
    yield from _worktree(repository, view)
    yield from _branch(repository, view)


def _worktree(repository: Repository, view: TaskView) -> Iterator[Finding]:
    name, worktree = view.task.name, view.worktree
    if worktree and worktree.intact:
        return
    if worktree and worktree.path.is_dir():
        yield Finding(
            kind="worktree",
            what=f"{name}: {view.trouble}",
            why="git finds no repository from inside it, or another one",
            command=f"git worktree repair '{worktree.path}'",
            mend=partial(mending.lead_back, repository),
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


def _branch(repository: Repository, view: TaskView) -> Iterator[Finding]:
    name, task = view.task.name, view.task
    if view.tip is None:
        yield _lost_branch(repository, view)
    elif view.target is None:
        yield Finding(
            kind="target",
            what=f"{name}: the branch {task.target}, which it is to be merged into, is gone",
            why="nobody knows what it changed, or whether it is merged",
            command=f"git branch {task.target} {task.base}",
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
        command=FIX if commit else f"git branch {branch} COMMIT",
        mend=partial(mending.restore_branch, repository, branch, commit) if commit else None,
    )


def _trash(repository: Repository) -> Iterator[Finding]:
    if trash.unfinished(repository):
        yield Finding(
            kind="trash",
            what="a move to the trash, or back, was killed",
            why="its task is half here and half there",
            command=FIX,
            mend=partial(mending.finish_moves, repository),
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
            yield Finding(
                kind="lock",
                what=f"{lock} was left by a git that died",
                why=f"git refuses to change anything in {path}",
                command=f"rm '{lock}'",
                mend=partial(mending.put_aside, repository, lock),
            )


def _is_stale(lock: Path) -> bool:
    with contextlib.suppress(OSError):
        return time.time() - lock.stat().st_mtime > STALE_S
    return False


def _scratch(repository: Repository) -> Iterator[Finding]:
    dead: list[Worktree] = scratch.dead(repository)
    if dead:
        yield Finding(
            kind="scratch",
            what=f"merges that were killed left {', '.join(str(w.path) for w in dead)}",
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
