"""Make a worktree usable: ignored files, package managers, the project's own steps.

There is one bootstrap, called by a task's runner and by the post-checkout hook. It is recorded
in the worktree's admin folder and idempotent: a step whose inputs are as they were is not done
again, and one that was killed or failed is.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from msgspec import Struct

from git_parallel import files, records
from git_parallel.config import PROJECT_FILE, Loaded
from git_parallel.errors import ParallelError
from git_parallel.lock import Lock
from git_parallel.process import Exit, task_environment
from git_parallel.task import Task
from git_parallel.worktree import Worktree

RECORD = "parallel.json"
LOCK_WAIT_S = 3600.0

OK, FAILED, BLOCKED = "ok", "failed", "blocked"


class Step(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step of a bootstrap: what it depended on and how it ended."""

    name: str
    inputs: str
    outcome: str
    seconds: float
    reason: str = ""


class Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was done for a worktree, and the digests of the files that were copied into it."""

    steps: tuple[Step, ...] = ()
    copied: dict[str, str] = {}
    log: str = ""
    ended: datetime | None = None
    version: int = 1

    @property
    def trouble(self) -> Step | None:
        """The first step that did not succeed."""
        return next((step for step in self.steps if step.outcome != OK), None)


class Plan(Struct, frozen=True):
    """A step that may have to be done: its commands, or none for the copying of files."""

    name: str
    inputs: str
    commands: tuple[tuple[str, ...], ...] = ()
    blocked: str = ""


Runner = Callable[..., Exit]


def record_of(worktree: Worktree) -> Record | None:
    """What was done for a worktree, or None if nothing ever was."""
    return records.find_record(worktree.admin / RECORD, Record)


def bootstrap(
    worktree: Worktree,
    source: Path | None,
    loaded: Loaded,
    *,
    trusted: bool,
    run: Runner,
    output: IO[bytes],
    variables: Mapping[str, str],
    told: Callable[[str], None] = lambda _: None,
) -> Record:
    """Bring a worktree's environment up to date and return the record of it.

    `source` is the worktree that ignored files are copied from, `run` the supervisor's way to run
    a program, `trusted` whether the project's commands may run. Raises ParallelError where another
    bootstrap of the same worktree does not end.
    """
    lock = Lock.take(worktree.admin / "parallel.lock", wait_s=LOCK_WAIT_S)
    if lock is None:
        raise ParallelError(f"another bootstrap of {worktree.path} does not end")
    with lock:
        old = record_of(worktree) or Record()
        record = Record(copied=old.copied, log=output.name)
        for plan in plans(worktree.path, loaded, trusted=trusted):
            done = _step_done_before(old, plan)
            if not done:
                told(plan.name)
                record, done = _carry_out(
                    plan, record, worktree, source, loaded, run, output, variables
                )
            record = _with_step(record, done)
            records.write_record(worktree.admin / RECORD, record)
            if done.outcome == FAILED:
                break
        return record


def plans(folder: Path, loaded: Loaded, *, trusted: bool) -> Iterator[Plan]:
    """The steps that a worktree needs, in their order."""
    config = loaded.config
    included = _content(folder / files.INCLUDE_FILE)
    yield Plan("files", files.digest(repr(config.environment).encode(), included))
    ecosystems: set[str] = set()
    for name, manager in config.managers.items():
        lockfile = folder / manager.lockfile
        if manager.ecosystem in ecosystems or not lockfile.is_file():
            continue
        ecosystems.add(manager.ecosystem)
        inputs = files.digest(repr(manager.run).encode(), _content(lockfile))
        ours = trusted or loaded.origins.get(f"managers.{name}.run") != "project"
        yield Plan(name, inputs, tuple(_argv(c) for c in manager.run), "" if ours else UNTRUSTED)
    theirs = loaded.origins.get("environment.run") == "project"
    for command in config.environment.run:
        blocked = UNTRUSTED if theirs and not trusted else ""
        yield Plan(command, files.digest(command.encode()), (("sh", "-c", command),), blocked)


UNTRUSTED = f"commands of {PROJECT_FILE} are not trusted yet"


def _argv(command: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word.replace("{python}", "python3") for word in command)


def _step_done_before(old: Record, plan: Plan) -> Step | None:
    known = (s for s in old.steps if (s.name, s.inputs, s.outcome) == (plan.name, plan.inputs, OK))
    return None if plan.blocked else next(known, None)


def _with_step(record: Record, step: Step) -> Record:
    return Record(
        steps=(*record.steps, step),
        copied=record.copied,
        log=record.log,
        ended=datetime.now(UTC).replace(microsecond=0),
    )


def _carry_out(
    plan: Plan,
    record: Record,
    worktree: Worktree,
    source: Path | None,
    loaded: Loaded,
    run: Runner,
    output: IO[bytes],
    variables: Mapping[str, str],
) -> tuple[Record, Step]:
    began = time.monotonic()
    copied, reason = dict(record.copied), plan.blocked
    if not plan.commands:
        if source:
            copied |= files.copy_files(source, worktree.path, loaded.config, set(copied))
    elif not reason:
        limit = loaded.config.environment.timeout_min * 60
        reason = _run_commands(plan, worktree.path, run, output, variables, limit)
    outcome = BLOCKED if plan.blocked else FAILED if reason else OK
    seconds = round(time.monotonic() - began, 2)
    step = Step(name=plan.name, inputs=plan.inputs, outcome=outcome, seconds=seconds, reason=reason)
    return Record(steps=record.steps, copied=copied, log=record.log), step


def _run_commands(
    plan: Plan,
    folder: Path,
    run: Runner,
    output: IO[bytes],
    variables: Mapping[str, str],
    limit: float,
) -> str:
    """Run the commands of a step; returns why it failed, or nothing."""
    for command in plan.commands:
        shown = command[2] if command[:2] == ("sh", "-c") else " ".join(command)
        output.write(f"── {shown}\n".encode())
        output.flush()
        environment = {"CI": "1", **task_environment(variables, folder), **_told(variables)}
        ended = run(command, folder=folder, environment=environment, output=output, timeout_s=limit)
        if ended.words:
            return ended.words
        if ended.timed_out:
            return f"`{shown}` took longer than {limit / 60:g} min"
        if ended.code:
            return f"`{shown}` ended with exit code {ended.code}"
    return ""


def _told(variables: Mapping[str, str]) -> dict[str, str]:
    """What `of_task` added for git, which a clean environment has lost again."""
    names = (n for n in variables if n.startswith(("GIT_CONFIG_", "GIT_TERMINAL_PROMPT")))
    return {name: variables[name] for name in names}


def of_task(
    task: Task, base: Mapping[str, str], folder: Path, *, main: Path, brief: Path
) -> dict[str, str]:
    """The environment of a program that works on a task in a folder: bound to nothing else, with
    what tells it which task this is, and with a git that neither asks nor tidies up meanwhile.
    """
    quiet = {"gc.auto": "0", "maintenance.auto": "false"}
    pairs = {
        f"GIT_CONFIG_{part}_{number}": value
        for number, pair in enumerate(quiet.items())
        for part, value in zip(("KEY", "VALUE"), pair, strict=True)
    }
    return {
        **task_environment(base, folder),
        **pairs,
        "GIT_CONFIG_COUNT": str(len(quiet)),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_PARALLEL_TASK": task.name,
        "GIT_PARALLEL_BRANCH": task.branch,
        "GIT_PARALLEL_BASE": task.base,
        "GIT_PARALLEL_TARGET": task.target,
        "GIT_PARALLEL_MAIN": str(main),
        "GIT_PARALLEL_BRIEF": str(brief),
        "GIT_PARALLEL_SLOT": str(task.slot),
        "GIT_PARALLEL_PORT": str(task.ports[0]),
    }


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""
