"""A task with all that is known of it at this moment."""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct

from git_parallel import environment, relocation, ties
from git_parallel.changes import breaches, excesses
from git_parallel.errors import ParallelError
from git_parallel.evidence import Evidence
from git_parallel.facts import Facts, upstream_of
from git_parallel.records import Notice
from git_parallel.repository import Branch
from git_parallel.task import Run, Status, Task, clock, now, silence, status_of
from git_parallel.task_folder import Known, TaskFolder
from git_parallel.worktree import Worktree


class TaskView(Struct, frozen=True, kw_only=True):
    """A task with all that is known of it; None stands for what could not be found out."""

    task: Task
    folder: TaskFolder
    run: Run | None
    alive: bool
    worktree: Worktree | None
    tip: str | None
    target: Branch | None
    upstream: Branch | None
    status: Status
    reason: str
    facts: Facts | None
    dirty: int | None
    notice: Notice | None
    environment: environment.Record | None
    trouble: str
    broken: bool
    breaches: tuple[str, ...]

    @property
    def path(self) -> Path:
        """Where its worktree is, or where it was made."""
        return self.worktree.path if self.worktree else Path(self.task.path)

    @property
    def evidence(self) -> Evidence | None:
        """How we know that it is merged, if it is."""
        return self.facts.evidence if self.facts else None

    @property
    def landed_here(self) -> bool:
        """Whether the target itself has its work, not only what the target follows."""
        return self.evidence is not None and self.evidence.target == self.task.target


def view_of(
    folder: TaskFolder,
    files: Known,
    worktree: Worktree | None,
    branches: Mapping[str, Branch],
    facts: Mapping[str, Facts],
    dirty: Mapping[str, int | None],
) -> TaskView:
    """A task beside the worktree that is marked as its own, with what was found out of all tasks:
    the branches by their refs, the facts and the numbers of uncommitted paths by slug.
    """
    task, run = files.task, files.run
    branch = branches.get(f"refs/heads/{task.branch}")
    target = branches.get(f"refs/heads/{task.target}")
    tip = branch.tip if branch else None
    known = facts.get(task.slug)
    prepared, unready = _environment(worktree)
    broken = _trouble(task, worktree, branch, has_target=target is not None)
    status, reason = _status(folder, files, tip, merged=bool(known and known.evidence))
    trouble = broken or unready
    if status is Status.PREPARING and prepared and prepared.doing:
        reason, trouble = _under_way(prepared.doing), ""  # that was of an earlier bootstrap
    return TaskView(
        task=task,
        folder=folder,
        run=run,
        alive=files.alive,
        worktree=worktree,
        tip=tip,
        target=target,
        upstream=upstream_of(task, branches),
        status=status,
        reason=reason,
        facts=known,
        dirty=dirty.get(task.slug),
        notice=files.notice,
        environment=prepared,
        trouble=trouble,
        broken=bool(broken) and not files.alive and files.making is None,
        breaches=(*_broken(task, known), *(run.meddled if run else ())),
    )


def _status(
    folder: TaskFolder, files: Known, tip: str | None, *, merged: bool
) -> tuple[Status, str]:
    """The status of a task, and what it is at or why it ended so."""
    run = files.run
    log = folder.log(run.number) if run and files.alive else None
    status, reason = status_of(
        run,
        alive=files.alive,
        silent_s=_silent_s(run, log) if run and log else 0.0,
        merged=merged,
        moved_on=bool(run and run.head and tip and run.head != tip),
        made=files.alive or files.making is None,
    )
    if status is Status.RUNNING and run and log and not reason:
        from git_parallel import events

        reason = events.last_action(log, run.output)
    return status, reason


def _broken(task: Task, facts: Facts | None) -> Iterable[str]:
    if facts is None:
        return ()
    excess = excesses(task, files=facts.files, lines=facts.lines)
    return *breaches(task, facts.paths), *excess


def _silent_s(run: Run, log: Path) -> float:
    """For how many seconds nothing was written to a run's log."""
    try:
        seen_s = time.time() - log.stat().st_mtime
    except OSError:
        return 0.0
    return silence(seen_s, clock() - run.clock) if run.clock else seen_s


def _under_way(doing: environment.Doing) -> str:
    return f"{doing.name}, {int((now() - doing.began).total_seconds())}s"


def _environment(worktree: Worktree | None) -> tuple[environment.Record | None, str]:
    """What was done to make a worktree usable, and why it is not."""
    try:
        record = environment.record_of(worktree) if worktree else None
    except ParallelError:
        return None, "the record of its environment can't be read"
    step = record.trouble if record else None
    return record, f"its environment is not ready: {step.told}" if step else ""


def _trouble(
    task: Task, worktree: Worktree | None, branch: Branch | None, *, has_target: bool
) -> str:
    if worktree is None and (admin := ties.admin_of(Path(task.path))):
        return f"its worktree {task.path} belongs to {relocation.shown(admin.parent.parent)}"
    if worktree is None:
        return f"its worktree {task.path} is gone"
    if not worktree.intact:
        if not worktree.path.is_dir():
            return f"its worktree {worktree.path} is gone"
        return f"{worktree.path}/.git does not lead back to this repository"
    if rival := relocation.rival_of(worktree, Path(task.path)):
        return f"{worktree.path} and {rival} both say that they are its worktree"
    if branch is None:
        return f"its branch {task.branch} is gone{_renamed(task, worktree)}"
    return "" if has_target else f"its target {task.target} is gone"


def _renamed(task: Task, worktree: Worktree) -> str:
    """What its branch is called now, where somebody renamed it: HEAD follows that."""
    if worktree.branch in (None, f"refs/heads/{task.branch}"):
        return ""
    return f", its worktree is on {worktree.branch.removeprefix('refs/heads/')}"
