"""What every task is in right now: git's facts and ours put side by side.

What follows from commits alone is remembered beside the task, with the commits as its key, so it
can't be stale; what follows from files and locks is asked anew each time.
"""

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct, structs

from git_parallel import early, environment, events, evidence, records
from git_parallel.changes import breaches, changes_between
from git_parallel.errors import GitError, ParallelError
from git_parallel.evidence import Case, Evidence
from git_parallel.forecast import trials
from git_parallel.records import Landed, Notice
from git_parallel.repository import Branch, Repository
from git_parallel.store import TaskFolder
from git_parallel.task import Run, Status, Task, now, parse_name, same_name, status_of
from git_parallel.worktree import Worktree

FACTS = "facts.json"


class Facts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What follows from a tip, its target and what our own merge recorded."""

    tip: str
    target_tip: str
    landed: Landed | None
    fork: str | None = None
    ahead: int = 0
    behind: int = 0
    files: int = 0
    insertions: int = 0
    deletions: int = 0
    paths: tuple[str, ...] = ()
    conflicts: tuple[str, ...] | None = None
    evidence: Evidence | None = None
    unmerged: str = ""
    version: int = 1

    def answers(self, case: Case) -> bool:
        """Whether these are the facts of a case."""
        known = (self.tip, self.target_tip, self.landed)
        return known == (case.tip, case.target_tip, case.landed)


class TaskView(Struct, frozen=True, kw_only=True):
    """A task with all that is known of it; None stands for what could not be found out."""

    task: Task
    folder: TaskFolder
    run: Run | None
    alive: bool
    worktree: Worktree | None
    tip: str | None
    target: Branch | None
    status: Status
    reason: str
    facts: Facts | None
    dirty: int | None
    notice: Notice | None
    environment: environment.Record | None
    trouble: str
    breaches: tuple[str, ...]

    @property
    def path(self) -> Path:
        """Where its worktree is, or where it was made."""
        return self.worktree.path if self.worktree else Path(self.task.path)

    @property
    def evidence(self) -> Evidence | None:
        """How we know that it is merged, if it is."""
        return self.facts.evidence if self.facts else None


class Overview(Struct, frozen=True):
    """The tasks of a repository and the worktrees that are nobody's task."""

    repository: Repository
    tasks: list[TaskView]
    foreign: list[Worktree]

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
    raise no_such_task(name)


def look(
    repository: Repository, names: Iterable[str] | None = None, *, files: bool = True
) -> Overview:
    """All tasks, or those named, as they are now; raises ParallelError for a name that is none's.

    `files` False leaves the working trees alone, and `dirty` unknown.
    """
    tasks = repository.store.load_tasks()
    if names is not None:
        tasks = [find_folder(repository, name) for name in dict.fromkeys(names)]
    worktrees = repository.worktrees()
    by_slug = {w.slug: w for w in worktrees if w.slug}
    wanted = {f"refs/heads/{name}" for _, task in tasks for name in (task.branch, task.target)}
    patterns = () if early.BRANCHES in early.begun else sorted(wanted)
    branches = repository.branches(*patterns) if wanted else {}
    facts = _facts(repository, tasks, by_slug, branches)
    # Last, because `early` may have begun it long ago.
    dirty = _dirty(repository, [by_slug.get(task.slug) for _, task in tasks]) if files else {}
    views = [_view(f, t, by_slug.get(t.slug), branches, facts, dirty) for f, t in tasks]
    known = {folder.slug for folder in repository.store.folders()}
    return Overview(repository, views, [w for w in worktrees if w.slug not in known])


def _view(
    folder: TaskFolder,
    task: Task,
    worktree: Worktree | None,
    branches: Mapping[str, Branch],
    facts: Mapping[str, Facts],
    dirty: Mapping[str, int | None],
) -> TaskView:
    alive, run = folder.alive, folder.last_run()
    branch = branches.get(f"refs/heads/{task.branch}")
    target = branches.get(f"refs/heads/{task.target}")
    tip = branch.tip if branch else None
    known = facts.get(task.slug)
    prepared, unready = _environment(worktree)
    trouble = _trouble(task, worktree, branch, has_target=target is not None) or unready
    log = folder.log(run.number) if run and alive else None
    status, reason = status_of(
        run,
        alive=alive,
        silent_s=_silent_s(log),
        merged=bool(known and known.evidence),
        moved_on=bool(run and run.head and tip and run.head != tip),
        made=alive or folder.making is None,
    )
    if status is Status.RUNNING and run and log and not reason:
        reason = events.last_action(log, run.output)
    if status is Status.PREPARING and prepared and prepared.doing:
        reason, trouble = _under_way(prepared.doing), ""  # that was of an earlier bootstrap
    return TaskView(
        task=task,
        folder=folder,
        run=run,
        alive=alive,
        worktree=worktree,
        tip=tip,
        target=target,
        status=status,
        reason=reason,
        facts=known,
        dirty=dirty.get(task.slug),
        notice=folder.notice,
        environment=prepared,
        trouble=trouble,
        breaches=(*_broken(task, known), *(run.meddled if run else ())),
    )


def _broken(task: Task, facts: Facts | None) -> Iterable[str]:
    return breaches(task, facts.paths) if facts else ()


def _silent_s(log: Path | None) -> float:
    """For how many seconds nothing was written to a log."""
    try:
        return time.time() - log.stat().st_mtime if log else 0.0
    except OSError:
        return 0.0


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
    if worktree is None:
        return f"its worktree {task.path} is gone"
    if not worktree.path.is_dir():
        return f"its worktree {worktree.path} is gone"
    if not worktree.intact:
        return f"{worktree.path}/.git does not lead back to this repository"
    if branch is None:
        return f"its branch {task.branch} is gone"
    return "" if has_target else f"its target {task.target} is gone"


def _facts(
    repository: Repository,
    tasks: Sequence[tuple[TaskFolder, Task]],
    worktrees: Mapping[str, Worktree],
    branches: Mapping[str, Branch],
) -> dict[str, Facts]:
    """The facts of every task whose branch and target exist, by slug."""
    found: dict[str, Facts] = {}
    unknown: dict[str, Case] = {}
    floors = []
    for folder, task in tasks:
        case = _case(folder, task, branches)
        if case is None:
            continue
        floors.append(task.base)
        known = _remembered(folder)
        if known and known.answers(case):
            found[task.slug] = known
        else:
            made = repository.made_commits(task.branch, worktrees.get(task.slug))
            unknown[task.slug] = structs.replace(case, made=made)
    if unknown:
        with contextlib.suppress(GitError):  # then they stay unknown, and unknown keeps
            found |= _find_out(repository, unknown, branches, floors[0])
    return found


def _case(folder: TaskFolder, task: Task, branches: Mapping[str, Branch]) -> Case | None:
    branch = branches.get(f"refs/heads/{task.branch}")
    target = branches.get(f"refs/heads/{task.target}")
    if branch is None or target is None:
        return None
    return Case(branch.tip, task.base, task.target, target.tip, folder.landed)


def _remembered(folder: TaskFolder) -> Facts | None:
    try:
        return records.find_record(folder.path / FACTS, Facts)
    except ParallelError:
        return None  # only a memory: it is found out again


def _find_out(
    repository: Repository, cases: Mapping[str, Case], branches: Mapping[str, Branch], floor: str
) -> dict[str, Facts]:
    history = repository.history(evidence.reached(cases.values()), floor)
    asked = [evidence.questions(case, history) for case in cases.values()]
    changes = changes_between(repository.git, [pair for pairs, _ in asked for pair in pairs])
    merges = trials(
        repository.git, repository.common, [pair for _, pairs in asked for pair in pairs]
    )
    trees = {branch.tip: branch.tree for branch in branches.values()}
    found = {}
    for slug, case in cases.items():
        proof, unmerged = evidence.judge(case, history, changes, merges, trees)
        fork = case.fork(history)
        change = changes.get((fork or "", case.tip))
        merge = merges.get((case.target_tip, case.tip))
        found[slug] = Facts(
            tip=case.tip,
            target_tip=case.target_tip,
            landed=case.landed,
            fork=fork,
            ahead=history.ahead(case.tip, case.target_tip),
            behind=history.ahead(case.target_tip, case.tip),
            files=change.files if change else 0,
            insertions=change.insertions if change else 0,
            deletions=change.deletions if change else 0,
            paths=tuple(change.paths) if change else (),
            conflicts=None if merge and merge.unknown else merge.conflicts if merge else (),
            evidence=proof,
            unmerged=unmerged,
        )
        _remember(repository.store.folder(slug), found[slug])
    return found


def _remember(folder: TaskFolder, facts: Facts) -> None:
    with contextlib.suppress(OSError, ValueError):  # a read-only repository can be listed too
        records.write_record(folder.path / FACTS, facts, durable=False)


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
