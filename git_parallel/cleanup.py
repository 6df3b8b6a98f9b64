"""The sweep: tasks that are merged by evidence, finished and safe go into the trash.

It is a sweep over facts, so it does not matter who calls it or how often: the four hooks, every
command that lists or merges, a runner at its end.
"""

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from git_parallel import emptying, forge, journal, safety, scratch, temporary, trash
from git_parallel.draft import BRANCH_PREFIX
from git_parallel.errors import NoSuchTaskError, ParallelError, UnsafeError
from git_parallel.evidence import Evidence
from git_parallel.overview import Overview, look
from git_parallel.repository import Repository
from git_parallel.schema import Config
from git_parallel.task import Status
from git_parallel.task_view import TaskView

if TYPE_CHECKING:
    from git_parallel.stack import Moved


class Cleaned(Struct, frozen=True):
    """A task that went into the trash (or would), and how we know that it is merged; `branch` is
    named where it stays, as only the target's upstream has the work.
    """

    name: str
    evidence: Evidence
    branch: str = ""


class Kept(Struct, frozen=True):
    """A task that stays, and why."""

    name: str
    reason: str


class Swept(Struct, frozen=True):
    """The outcome of a sweep."""

    cleaned: tuple[Cleaned, ...] = ()
    kept: tuple[Kept, ...] = ()
    recovered: tuple[str, ...] = ()
    moved: tuple["Moved", ...] = ()


def sweep(
    repository: Repository,
    *,
    asked: bool = False,
    dry_run: bool = False,
    overview: Overview | None = None,
    only: Sequence[str] | None = None,
) -> Swept:
    """Move every task away that is merged and safe to move, or those of `only` that are there yet.

    `asked`: a person wants it now, whatever `cleanup.automatic` says. `dry_run` moves nothing and
    tells what would happen. Raises ParallelError where the repository can't be read.
    """
    if not repository.store.exists:
        return Swept()
    rules = repository.configuration().config
    recovered = () if dry_run else recover(repository)
    if only is not None:
        overview = _look_at(repository, only)
    overview = overview or _look_also_at_forges(repository, asked=asked)
    swept = Swept()
    if asked or rules.cleanup.automatic:
        swept = _clean_all(repository, overview, rules, asked=asked, dry_run=dry_run)
    if not dry_run and only is None:  # the next sweep keeps house, when it looks at all
        _keep_house(repository, overview, rules, {c.name for c in swept.cleaned})
    return structs.replace(swept, recovered=recovered)


def _clean_all(
    repository: Repository, overview: Overview, rules: Config, *, asked: bool, dry_run: bool
) -> Swept:
    cleaned: list[Cleaned] = []
    moved: list[Moved] = []
    kept: list[Kept] = []
    for view in overview.tasks:
        reason = _why_not_at_all(view, asked=asked)
        if not reason and view.evidence:
            reason = _clean(repository, view, rules, moved, dry_run=dry_run)
        if reason:
            kept.append(Kept(view.task.name, reason))
        elif view.evidence:
            stays = "" if view.landed_here else view.task.branch
            cleaned.append(Cleaned(view.task.name, view.evidence, stays))
    kept += [Kept(damaged.name, damaged.reason) for damaged in overview.damaged]
    return Swept(tuple(cleaned), tuple(kept), moved=tuple(moved))


def _look_at(repository: Repository, names: Sequence[str]) -> Overview:
    """What tasks are in, without those that another sweep has taken meanwhile."""
    while True:
        try:
            return look(repository, names, files=False)
        except NoSuchTaskError as error:
            names = [name for name in names if name != error.name]


def _look_also_at_forges(repository: Repository, *, asked: bool) -> Overview:
    """What every task is in; a forge is waited for only where a person wants it now."""
    overview = look(repository, files=False)
    if not asked:
        forge.start(repository, overview.tasks)
        return overview
    found = forge.recognise(repository, overview.tasks)
    return look(repository, files=False) if found else overview


def sweep_after_forges(repository: Repository) -> None:
    """Ask the forges, and sweep where something was merged there; nothing, where another process
    is at it.
    """
    with forge.alone(repository) as alone:
        tasks = look(repository, files=False).tasks if alone else ()
        if forge.recognise(repository, tasks, pause_s=forge.PAUSE_S):
            sweep(repository)


def recover(repository: Repository) -> tuple[str, ...]:
    """Carry the moves to their end that were killed; returns the names of the tasks."""
    if not journal.unfinished(repository):
        return ()
    with repository.store.locked():
        return tuple(trash.recover(repository))


def _why_not_at_all(view: TaskView, *, asked: bool) -> str:
    if view.alive:
        return f"it is {view.status}"
    if view.facts is None:
        missing = view.task.target if view.target is None else view.task.branch
        return f"not known whether it is merged: there is no branch {missing}"
    if view.evidence is None:
        return view.facts.unmerged
    if view.status is not Status.MERGED:
        return f"it is {view.status}"
    if not asked and view.folder.restored == view.tip:
        return "you brought it back (git parallel cleanup)"
    return ""


def _clean(
    repository: Repository, view: TaskView, rules: Config, moved: list["Moved"], *, dry_run: bool
) -> str:
    """Move one merged task away, and have `moved` those that stood on it; returns why it had to
    stay, or nothing.
    """
    with contextlib.ExitStack() as held:
        if not dry_run:
            held.enter_context(repository.store.locked())
        if not view.folder.record.exists():
            return ""  # another sweep was faster, and found the same
        fresh = look(repository, [view.task.name], files=False).tasks[0]
        if fresh.tip != view.tip or fresh.evidence != view.evidence:
            return "it changed a moment ago"
        if view.worktree and view.worktree.path.exists():
            subject = safety.Subject(
                repository, view.folder, view.task, view.worktree, rules.regenerable, False
            )
            if reasons := safety.inspect(subject).reasons:
                return "; ".join(reasons)
            if not safety.unchanged(subject):
                return "it changed a moment ago"
        if not dry_run:
            from git_parallel import stack  # it leads to all that merges

            moved += stack.leave(repository, view)
            why = view.evidence.text if view.evidence else ""
            try:
                trash.move(
                    repository,
                    view.folder,
                    view.task,
                    view.worktree,
                    tip=view.tip,
                    drop_branch=view.landed_here and view.task.branch.startswith(BRANCH_PREFIX),
                    why=why,
                )
            except UnsafeError:
                return "it changed a moment ago"
    return ""


def _keep_house(repository: Repository, overview: Overview, rules: Config, gone: set[str]) -> None:
    """What a sweep does on the side: remember the targets for the hooks, and drop what is old."""
    with contextlib.suppress(OSError, ParallelError):
        remember_targets(repository, [v for v in overview.tasks if v.task.name not in gone])
        repository.store.sweep_temporaries()
        scratch.remove_dead(repository)
        temporary.sweep()
        emptying.start(repository, rules.cleanup)


def remember_targets(repository: Repository, views: Sequence[TaskView]) -> None:
    """Keep where the targets of tasks are now, for the hooks."""
    seen = [branch for view in views for branch in (view.target, view.upstream) if branch]
    lines = {f"{branch.tip} {branch.ref}" for branch in seen}
    repository.store.remember_targets(lines)
