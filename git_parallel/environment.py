"""Make a worktree usable: ignored files, package managers, the project's own steps.

There is one bootstrap, called by a task's runner and by the post-checkout hook. It is recorded
in the worktree's admin folder and idempotent: a step whose inputs are as they were is not done
again, and one that was killed or failed is.
"""

import fnmatch
import hashlib
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from msgspec import Struct

from git_parallel import store
from git_parallel.config import PROJECT_FILE, Config, Loaded
from git_parallel.errors import ParallelError
from git_parallel.git import Git
from git_parallel.process import Exit, Lock, task_environment
from git_parallel.repository import Worktree
from git_parallel.task import Task

INCLUDE_FILE = ".worktreeinclude"
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
    return store.find_record(worktree.admin / RECORD, Record)


def bootstrap(
    worktree: Worktree,
    source: Path | None,
    loaded: Loaded,
    *,
    trusted: bool,
    run: Runner,
    output: IO[bytes],
    base: Mapping[str, str],
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
                record, done = _carry_out(plan, record, worktree, source, loaded, run, output, base)
            record = _with_step(record, done)
            store.write_record(worktree.admin / RECORD, record)
            if done.outcome == FAILED:
                break
        return record


def plans(folder: Path, loaded: Loaded, *, trusted: bool) -> Iterator[Plan]:
    """The steps that a worktree needs, in their order."""
    config = loaded.config
    yield Plan("files", _digest(repr(config.environment).encode(), _content(folder / INCLUDE_FILE)))
    ecosystems: set[str] = set()
    for name, manager in config.managers.items():
        lockfile = folder / manager.lockfile
        if manager.ecosystem in ecosystems or not lockfile.is_file():
            continue
        ecosystems.add(manager.ecosystem)
        inputs = _digest(repr(manager.run).encode(), _content(lockfile))
        ours = trusted or loaded.origins.get(f"managers.{name}.run") != "project"
        yield Plan(name, inputs, tuple(_argv(c) for c in manager.run), "" if ours else UNTRUSTED)
    theirs = loaded.origins.get("environment.run") == "project"
    for command in config.environment.run:
        blocked = UNTRUSTED if theirs and not trusted else ""
        yield Plan(command, _digest(command.encode()), (("sh", "-c", command),), blocked)


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
    base: Mapping[str, str],
) -> tuple[Record, Step]:
    began = time.monotonic()
    copied, reason = dict(record.copied), plan.blocked
    if not plan.commands:
        copied |= copy_files(source, worktree.path, loaded.config, set(copied)) if source else {}
    elif not reason:
        limit = loaded.config.environment.timeout_min * 60
        reason = _run_commands(plan, worktree.path, run, output, base, limit)
    outcome = BLOCKED if plan.blocked else FAILED if reason else OK
    seconds = round(time.monotonic() - began, 2)
    step = Step(name=plan.name, inputs=plan.inputs, outcome=outcome, seconds=seconds, reason=reason)
    return Record(steps=record.steps, copied=copied, log=record.log), step


def _run_commands(
    plan: Plan, folder: Path, run: Runner, output: IO[bytes], base: Mapping[str, str], limit: float
) -> str:
    """Run the commands of a step; returns why it failed, or nothing."""
    for command in plan.commands:
        shown = command[2] if command[:2] == ("sh", "-c") else " ".join(command)
        output.write(f"── {shown}\n".encode())
        output.flush()
        environment = {**task_environment(base, folder), "CI": base.get("CI", "1")}
        environment["GIT_TERMINAL_PROMPT"] = "0"
        ended = run(command, folder=folder, environment=environment, output=output, timeout_s=limit)
        if ended.words:
            return ended.words
        if ended.timed_out:
            return f"`{shown}` took longer than {limit / 60:g} min"
        if ended.code:
            return f"`{shown}` ended with exit code {ended.code}"
    return ""


def copy_files(source: Path, target: Path, config: Config, known: set[str]) -> dict[str, str]:
    """Copy the ignored files that a worktree needs; returns the digest of each by its path.

    An existing file is never overwritten, a link that leads out of the tree is never followed.
    """
    if source.resolve() == target.resolve():
        return {}
    copied = {}
    for name in sorted(wanted_files(source, config)):
        if name in known or not _is_within(target, target / name):
            continue
        digest = _copy(source, target, name)
        if digest:
            copied[name] = digest
    return copied


def wanted_files(source: Path, config: Config) -> set[str]:
    """The ignored files of a worktree that its siblings need too, by their paths in it."""
    git = Git(source, GIT_OPTIONAL_LOCKS="0")
    listed = ("ls-files", "-z", "--others", "--ignored")
    rules = config.environment
    named: set[str] = set()
    if (source / INCLUDE_FILE).is_file():
        named = set(git.fields(*listed, f"--exclude-from={INCLUDE_FILE}"))
    if rules.copy:
        named |= set(git.fields(*listed, *(f"--exclude={pattern}" for pattern in rules.copy)))
    if named:
        arguments = ("check-ignore", "-z", "--stdin")
        named = set(git.run(*arguments, stdin="\0".join(sorted(named)), ok=(0, 1)).fields)
    if not (source / INCLUDE_FILE).is_file():
        ignored = git.fields(*listed, "--exclude-standard", "--directory")
        named |= {name for name in ignored if _is_usual(source, name, config)}
    return {name for name in named if name}


def _is_usual(source: Path, name: str, config: Config) -> bool:
    if name.endswith("/"):
        return False
    rules, base = config.environment, name.rpartition("/")[2]
    if _matches(base, rules.never) or not _matches(base, rules.files):
        return False
    return (source / name).lstat().st_size <= rules.max_kib * 1024


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _is_within(folder: Path, path: Path) -> bool:
    return path.parent.resolve().is_relative_to(folder.resolve())


def _copy(source: Path, target: Path, name: str) -> str | None:
    """Copy one file and return its digest; None where it is not ours to copy."""
    from_path, to_path = source / name, target / name
    if os.path.lexists(to_path):
        return None
    mode = from_path.lstat().st_mode
    if stat.S_ISLNK(mode) and not _leads_inside(source, from_path):
        return None
    if not (stat.S_ISLNK(mode) or stat.S_ISREG(mode)):
        return None
    to_path.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISLNK(mode):
        to_path.symlink_to(os.readlink(from_path))
        return digest_of(to_path)
    temporary = to_path.with_name(f".{to_path.name}.parallel-{os.getpid()}")
    try:
        shutil.copy2(from_path, temporary, follow_symlinks=False)
        os.link(temporary, to_path, follow_symlinks=False)  # refuses where somebody was faster
    except FileExistsError:
        return None
    finally:
        temporary.unlink(missing_ok=True)
    return digest_of(to_path)


def _leads_inside(tree: Path, link: Path) -> bool:
    target = os.readlink(link)
    return not os.path.isabs(target) and link.resolve().is_relative_to(tree.resolve())


def digest_of(path: Path) -> str:
    """The SHA-256 of a file's content, or of where a link leads, in hexadecimal."""
    if path.is_symlink():
        return _digest(b"link", os.fsencode(os.readlink(path)))
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def variables(task: Task, main: Path) -> dict[str, str]:
    """What tells a program which task it works on, and which numbers are the task's own."""
    return {
        "GIT_PARALLEL_TASK": task.name,
        "GIT_PARALLEL_BRANCH": task.branch,
        "GIT_PARALLEL_BASE": task.base,
        "GIT_PARALLEL_TARGET": task.target,
        "GIT_PARALLEL_MAIN": str(main),
        "GIT_PARALLEL_SLOT": str(task.slot),
        "GIT_PARALLEL_PORT": str(task.ports[0]),
    }


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()
