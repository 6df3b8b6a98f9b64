"""What every task is in right now: git's facts and ours put side by side.

What follows from commits alone is remembered (see facts.py); what follows from files and locks is
asked anew each time.
"""

import contextlib
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from git_parallel import early, environment, relocation, ties
from git_parallel.changes import breaches, excesses
from git_parallel.errors import GitError, ParallelError
from git_parallel.evidence import Evidence
from git_parallel.facts import REMOTES, Facts, find_facts, upstream_of
from git_parallel.records import Notice
from git_parallel.repository import Branch, Repository
from git_parallel.task import (
    Run,
    Status,
    Task,
    clock,
    now,
    parse_name,
    same_name,
    silence,
    status_of,
)
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


class Damaged(Struct, frozen=True):
    """A task of which a file can't be read, and what git parallel says of it."""

    name: str
    reason: str


class Overview(Struct, frozen=True):
    """The tasks of a repository, those that can't be read, and the worktrees that are nobody's."""

    repository: Repository
    tasks: list[TaskView]
    foreign: list[Worktree]
    damaged: tuple[Damaged, ...] = ()

    def find(self, name: str) -> TaskView:
        """The task of a name; raises ParallelError where there is none."""
        return find_task(self.tasks, name)


def find_task(tasks: Sequence[TaskView], name: str) -> TaskView:
    """The task of a name or slug among several; raises ParallelError."""
    wanted = parse_name(name)
    for view in tasks:
        if same_name(view.task.name, wanted) or view.task.slug == str(wanted):
            return view
    raise no_such_task(name)


def no_such_task(name: str) -> ParallelError:
    """The error for a name that no task has."""
    return ParallelError(f"there is no task `{name}`", hint="git parallel list")


def find_folder(repository: Repository, name: str) -> tuple[TaskFolder, Task]:
    """The files and the record of a task, without a look at anything else; raises ParallelError."""
    wanted = parse_name(name)
    for folder, task in repository.store.load_tasks():
        if same_name(task.name, wanted) or task.slug == str(wanted):
            return folder, task
    for folder, error in repository.store.damaged():
        if folder.slug == str(wanted):
            raise error
    raise no_such_task(name)


def look(
    repository: Repository, names: Iterable[str] | None = None, *, files: bool = True
) -> Overview:
    """All tasks, or those named, as they are now; raises ParallelError for a name that is none's.

    `files` False leaves the working trees alone, and `dirty` unknown. Where a file of a task can't
    be read, the task is only named as damaged, unless it was asked for: then that is raised.
    """
    if names is None:
        tasks, damaged = _readable(repository)
    else:
        tasks, damaged = [_read(repository, name) for name in dict.fromkeys(names)], ()
    worktrees = repository.worktrees()
    by_slug = {w.slug: w for w in worktrees if w.slug}
    branches = _branches(repository, [known.task for _, known in tasks])
    facts = find_facts(repository, tasks, by_slug, branches)
    # Last, because `early` may have begun it long ago.
    dirty = _dirty(repository, [by_slug.get(folder.slug) for folder, _ in tasks]) if files else {}
    views = [_view(f, k, by_slug.get(f.slug), branches, facts, dirty) for f, k in tasks]
    known = {folder.slug for folder in repository.store.folders()}
    _correct_addresses(repository, [w for w in worktrees if w.slug in known])
    foreign = [w for w in worktrees if w.slug not in known]
    return Overview(repository, views, foreign, damaged)


def _read(repository: Repository, name: str) -> tuple[TaskFolder, Known]:
    folder, _ = find_folder(repository, name)
    try:
        return folder, folder.read()
    except FileNotFoundError:
        raise no_such_task(name) from None


def _readable(
    repository: Repository,
) -> tuple[list[tuple[TaskFolder, Known]], tuple[Damaged, ...]]:
    """The tasks all of whose files can be read, the oldest first, and those of which one can't."""
    damaged, tasks = [], []
    for folder in repository.store.folders():
        try:
            tasks.append((folder, folder.read()))
        except FileNotFoundError:
            continue
        except ParallelError as error:
            damaged.append(Damaged(_name_of(folder), error.message))
    tasks.sort(key=lambda one: (one[1].task.created, one[1].task.name))
    return tasks, tuple(damaged)


def _name_of(folder: TaskFolder) -> str:
    """What the task of damaged files is called, as far as these tell it."""
    try:
        return folder.task().name
    except (FileNotFoundError, ParallelError):
        return folder.slug


def _branches(repository: Repository, tasks: Sequence[Task]) -> dict[str, Branch]:
    """The branches of tasks, their targets, and what those follow, mostly of the same name."""
    if not tasks:
        return {}
    targets = {task.target for task in tasks}
    wanted = {f"refs/heads/{name}" for name in targets | {task.branch for task in tasks}}
    alike = {f"refs/remotes/*/{name}" for name in targets}
    patterns = () if early.BRANCHES in early.begun else sorted(wanted | alike)
    branches = repository.branches(*patterns)
    followed = {
        branches[f"refs/heads/{name}"].upstream
        for name in targets
        if f"refs/heads/{name}" in branches
    }
    if others := {ref for ref in followed if ref.startswith(REMOTES)} - branches.keys():
        branches |= repository.branches(*sorted(others))
    return branches


def _correct_addresses(repository: Repository, worktrees: Sequence[Worktree]) -> None:
    """Have the addresses follow worktrees that somebody moved; what can't be done now, a later
    command does.
    """
    store = repository.store
    stale = [w for w in worktrees if w.slug and not store.leads(w.slug, w.path) and w.intact]
    if not stale or not os.access(store.parallel, os.W_OK):
        return
    with contextlib.suppress(ParallelError, OSError), store.locked(wait_s=0.0):
        for worktree in stale:
            if worktree.slug and store.folder(worktree.slug).record.exists():
                store.link(worktree.slug, worktree.path)


def _view(
    folder: TaskFolder,
    files: Known,
    worktree: Worktree | None,
    branches: Mapping[str, Branch],
    facts: Mapping[str, Facts],
    dirty: Mapping[str, int | None],
) -> TaskView:
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
    if not worktree.path.is_dir():
        return f"its worktree {worktree.path} is gone"
    if not worktree.intact:
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


def _dirty(repository: Repository, worktrees: Sequence[Worktree | None]) -> dict[str, int | None]:
    """How many uncommitted paths each worktree has, by slug; None where git can't say."""
    known: dict[str, int | None] = {}
    asked = []
    for worktree in worktrees:
        if worktree and worktree.slug and worktree.intact:
            found = early.state(str(worktree.path))
            if found is None:
                asked.append(worktree)
            else:
                known[worktree.slug] = found.count("\0")
    answers = repository.git_in(repository.place).each([(w.path, early.STATUS) for w in asked])
    for worktree, answer in zip(asked, answers, strict=True):
        known[str(worktree.slug)] = None if isinstance(answer, GitError) else answer.out.count("\0")
    return known
