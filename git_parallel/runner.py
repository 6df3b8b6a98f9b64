"""One run of a task from its slot to its notice, in a process of its own.

The runner holds the lock of its task for as long as it lives; that, and not a process id, is what
"running" means. It inherits the lock from the command that launched it, so there is no moment in
which a run looks dead because it has not begun.
"""

import contextlib
import functools
import os
import signal
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import msgspec
from msgspec import structs

from git_parallel import agent, brief, config, environment, notice, process, store
from git_parallel.changes import breaches, changes_between
from git_parallel.errors import ParallelError
from git_parallel.git import QUIET_HOOKS
from git_parallel.process import Exit, Lock, Stopped, Supervisor, task_environment
from git_parallel.repository import Repository, Worktree, repository_at
from git_parallel.store import TaskFolder
from git_parallel.task import Check, Phase, Run, Status
from git_parallel.trust import Trust

POLL_S = 0.2
RACY_S = 1.1  # git compares whole seconds: an index as old as its files is read again and again


class Spec(msgspec.Struct, frozen=True):
    """All that a runner is told when it is launched; run 0 is a bootstrap for a person."""

    common: str
    main: str | None
    slug: str
    run: int
    lock: int
    ticket: str
    terminal: str


def new_run(
    number: int, *, agent_name: str | None, command: tuple[str, ...], bootstrap: bool
) -> Run:
    """The record of a run that stands in line."""
    return Run(
        number=number,
        agent=agent_name,
        command=command,
        bootstrap=bootstrap,
        phase=Phase.QUEUED,
        queued=now(),
    )


def now() -> datetime:
    """The current time, aware and in UTC."""
    return datetime.now(UTC)


def load_config(repository: Repository) -> config.Loaded:
    """The configuration of a repository; raises ParallelError where a file is wrong."""
    return config.load(repository.main, repository.store.parallel / "config.toml")


def is_trusted(repository: Repository, loaded: config.Loaded) -> bool:
    """Whether the user approved every command that the project brings."""
    return not Trust(repository.store.state).missing(loaded.project_commands)


def write_brief(
    folder: TaskFolder, number: int, prompt: bytes | None, rules: config.Config
) -> None:
    """Keep what the user asked, byte for byte, and what the agent will be told."""
    if prompt is not None:
        store.write(folder.prompt(number), prompt)
    text = None if prompt is None else prompt.decode("utf-8", "surrogateescape")
    told = brief.compose(folder.task(), text, rules.checks.run)
    store.write(folder.brief, told.encode("utf-8", "surrogateescape"))


def launch(repository: Repository, folder: TaskFolder, lock: Lock, run: Run | None) -> None:
    """Hand a task to a detached runner, which takes over the lock; raises ParallelError."""
    number = run.number if run else 0
    ticket = None
    if run:
        folder.write_run(run)
        ticket = repository.store.queue_up(folder.slug)
    spec = Spec(
        common=str(repository.common),
        main=str(repository.main) if repository.main else None,
        slug=folder.slug,
        run=number,
        lock=lock.fd,
        ticket=ticket.name if ticket else "",
        terminal=notice.describe_terminal(notice.current_terminal()),
    )
    try:
        process.detach(
            ["runner", msgspec.json.encode(spec).decode()],
            folder=repository.common,
            log=folder.log(number),
            tag=repository.tag(folder.slug, number),
            keep=[lock.fd],
        )
    except OSError as error:
        raise ParallelError(f"the runner can't be started: {error}") from error


def main(text: str) -> "Carrier":
    """Be the runner that a spec describes; returns when its run has ended and was announced."""
    spec = msgspec.json.decode(text, type=Spec)
    repository = repository_at(Path(spec.common), Path(spec.main) if spec.main else None)
    folder = repository.store.folder(spec.slug)
    lock = Lock(spec.lock)
    supervisor = Supervisor(repository.tag(spec.slug, spec.run))
    with open(folder.log(spec.run), "ab", buffering=0) as output:
        carrier = Carrier(repository, folder, supervisor, output)
        if spec.run == 0:
            carrier.prepare_for_a_person()
            lock.release()
            return carrier
        run = carrier.carry(repository.store.state / "queue" / spec.ticket)
        lock.release()
    with contextlib.suppress(ParallelError):  # the run's record already says what is wrong
        if run.result is not Status.STOPPED:
            terminal = notice.parse_terminal(spec.terminal)
            notice.announce(carrier.task, run, carrier.rules.notify, terminal, os.environ)
    return carrier


class Carrier:
    """A run being carried out; it alone writes the run's record."""

    def __init__(
        self,
        repository: Repository,
        folder: TaskFolder,
        supervisor: Supervisor,
        output: IO[bytes],
    ) -> None:
        self.began = time.monotonic()
        self.repository = repository
        self.folder = folder
        self.supervisor = supervisor
        self.output = output
        self.task = folder.task()
        self.base: Mapping[str, str] = {
            name: value for name, value in os.environ.items() if name != process.TAG
        }

    @functools.cached_property
    def loaded(self) -> config.Loaded:
        """The configuration as it was when it was first needed; raises ParallelError."""
        return load_config(self.repository)

    @property
    def rules(self) -> config.Config:
        """The configuration in force."""
        return self.loaded.config

    @property
    def trusted(self) -> bool:
        """Whether all commands of the project were approved."""
        return is_trusted(self.repository, self.loaded)

    def prepare_for_a_person(self) -> None:
        """Bootstrap a task's worktree and do no more."""
        try:
            self._bootstrap(lambda _: None)
        except (Stopped, ParallelError) as error:
            self._say(f"✗ {error}")

    def carry(self, ticket: Path) -> Run:
        """Take the run from its place in the line to its end, whatever comes."""
        run = self.folder.last_run()
        assert run is not None  # launch wrote it before it started us
        self.run = run
        try:
            self._wait_for_slot(ticket)
            try:
                self._work()
            finally:
                self.slot.release()
        except Stopped:
            self._end(Status.STOPPED, "a person stopped it")
        except ParallelError as error:
            self._end(Status.FAILED, error.message, hint=error.hint)
        except Exception as error:  # the record must end: the traceback is in the log
            self._say(traceback.format_exc())
            self._end(Status.FAILED, f"a bug of git parallel: {error!r}")
        finally:
            ticket.unlink(missing_ok=True)
        return self.run

    def _update(self, **changes: Any) -> None:
        self.run = structs.replace(self.run, **changes)
        self.folder.write_run(self.run)

    def _end(self, result: Status, reason: str = "", *, hint: str = "", **changes: Any) -> None:
        ended = {"phase": Phase.ENDED, "ended": now(), "result": result, "reason": reason}
        ended["head"] = self._head()
        self.run = structs.replace(self.run, hint=hint, detail="", **ended, **changes)
        self.folder.write_run(self.run)
        if result is not Status.STOPPED:
            notice.put_into_inbox(self.folder, self.run)

    def _head(self) -> str | None:
        ref = f"refs/heads/{self.task.branch}"
        try:
            branch = self.repository.branches(ref).get(ref)
        except ParallelError:
            return None
        return branch.tip if branch else None

    def _say(self, text: str) -> None:
        self.output.write(text.rstrip("\n").encode("utf-8", "surrogateescape") + b"\n")

    def _wait_for_slot(self, ticket: Path) -> None:
        self.run = structs.replace(self.run, pid=os.getpid())
        slot = self._try_slot(ticket)
        if slot is None:
            self.folder.write_run(self.run)
        while slot is None:
            self.supervisor.pause(POLL_S)
            slot = self._try_slot(ticket)
        self.slot = slot

    def _try_slot(self, ticket: Path) -> Lock | None:
        if not self.repository.store.is_first(ticket):
            return None
        slot = self.repository.store.try_slot(self.rules.runs.at_once)
        if slot:
            ticket.unlink(missing_ok=True)
        return slot

    def _work(self) -> None:
        worktree = self._worktree()
        self._update(phase=Phase.PREPARING, started=now())
        if self.run.bootstrap:
            self._prepare()
        ended = self._run_agent(worktree)
        if reason := _why_failed(ended, self.rules.runs.timeout_min):
            self._end(Status.FAILED, reason, exit_code=ended.code)
            return
        self._update(phase=Phase.COLLECTING, exit_code=0)
        self._collect(worktree)
        self._judge(worktree)

    def _worktree(self) -> Worktree:
        worktree = self.repository.worktree_of(self.task.slug)
        if worktree is None or not worktree.intact:
            raise ParallelError(f"its worktree {self.task.path} is gone", hint="git parallel list")
        return worktree

    def _prepare(self) -> None:
        record = self._bootstrap(lambda step: self._update(detail=step))
        if step := record.trouble:
            hint = "git parallel trust" if step.outcome == environment.BLOCKED else ""
            raise ParallelError(f"its environment is not ready: {step.reason}", hint=hint)

    def _bootstrap(self, told: Callable[[str], None]) -> environment.Record:
        return environment.bootstrap(
            self._worktree(),
            self.repository.main,
            self.loaded,
            trusted=self.trusted,
            run=self.supervisor.run,
            output=self.output,
            base=self.base,
            told=told,
        )

    def _environment(self, worktree: Worktree) -> dict[str, str]:
        clean = task_environment(self.base, worktree.path.resolve())
        told = environment.variables(self.task, self.repository.place)
        quiet = {"gc.auto": "0", "maintenance.auto": "false"}
        pairs = {
            f"GIT_CONFIG_{part}_{number}": value
            for number, pair in enumerate(quiet.items())
            for part, value in zip(("KEY", "VALUE"), pair, strict=True)
        }
        extra = {"GIT_PARALLEL_BRIEF": str(self.folder.brief), "GIT_TERMINAL_PROMPT": "0"}
        return {**clean, **told, **pairs, "GIT_CONFIG_COUNT": str(len(quiet)), **extra}

    def _run_agent(self, worktree: Worktree) -> Exit:
        prompt = self.folder.prompt(self.run.number)
        preset = self.rules.agents[self.run.agent] if self.run.agent else None
        call = agent.call_of(preset, self.run.command, self.folder.brief)
        self._update(phase=Phase.RUNNING, detail="")
        stdin = self.folder.brief if call.stdin and prompt.exists() else Path(os.devnull)
        with open(stdin, "rb") as told:
            ended = self.supervisor.run(
                call.command,
                folder=worktree.path.resolve(),
                environment=self._environment(worktree),
                output=self.output,
                stdin=told,
                timeout_s=self.rules.runs.timeout_min * 60,
            )
        for left in ended.ended_leftovers:
            self._say(f"── ended {left}, which the command left running")
        return ended

    def _collect(self, worktree: Worktree) -> None:
        """Commit what the command left uncommitted; raises ParallelError where that can't be."""
        if operations := worktree.operations:
            raise ParallelError(f"it left {operations[0]} unfinished")
        if worktree.branch != f"refs/heads/{self.task.branch}":
            raise ParallelError(f"it left its branch {self.task.branch}")
        git = self.repository.git.at(worktree.path)
        git.environment.pop("GIT_DIR", None)
        entries = git.fields("status", "--porcelain=v2", "-z", "-uall", "--no-renames")
        nested = [e[2:] for e in entries if e.startswith("? ") and e.endswith("/")]
        if len(entries) == len(nested):
            return
        aside = [f":(exclude,top,literal){path.rstrip('/')}" for path in nested]
        git.run("add", "--all", "--", ".", *aside)
        ended = self.supervisor.run(
            git.argv("commit", "--quiet", "-m", self._message()),
            folder=worktree.path,
            environment={**self._environment(worktree), **QUIET_HOOKS, "GIT_EDITOR": "false"},
            output=self.output,
        )
        if ended.code:
            raise ParallelError(
                f"its work is not committed: git commit ended with exit code {ended.code}",
                hint=f"git parallel log {self.task.name}",
            )
        self._update(committed=git.text("rev-parse", "HEAD"))

    def _message(self) -> str:
        subject = brief.first_line(self.task.prompt) or f"{self.task.name}: work of the command"
        body = f"Left uncommitted by run {self.run.number}, committed by git parallel."
        return f"{subject}\n\n{body}\n\nParallel-Task: {self.task.name}\n"

    def _judge(self, worktree: Worktree) -> None:
        head = self._head()
        pair = (self.task.base, head or self.task.base)
        change = changes_between(self.repository.git, [pair])[pair]
        if not change.entries:
            self._end(Status.EMPTY, "it changed nothing")
            return
        broken = tuple(breaches(self.task, change.paths))
        checks, reason = self._check(worktree)
        told = {"breaches": broken, "checks": checks}
        hint = "git parallel trust" if reason == environment.UNTRUSTED else ""
        self._end(Status.FAILED if reason else Status.READY, reason, hint=hint, **told)

    def _check(self, worktree: Worktree) -> tuple[tuple[Check, ...], str]:
        commands = self.rules.checks.run
        if commands and not self.trusted and self.loaded.origins.get("checks.run") == "project":
            return tuple(Check(c, None, 0.0) for c in commands), environment.UNTRUSTED
        done: list[Check] = []
        for command in commands:
            self._update(phase=Phase.CHECKING, detail=f"check `{command}`")
            done.append(self._run_check(worktree, command))
            if done[-1].exit_code:
                words = f"the check `{command}` failed with exit code {done[-1].exit_code}"
                return tuple(done), words
        return tuple(done), ""

    def _run_check(self, worktree: Worktree, command: str) -> Check:
        began = time.monotonic()
        self._say(f"── check: {command}")
        ended = self.supervisor.run(
            ("sh", "-c", command),
            folder=worktree.path.resolve(),
            environment=self._environment(worktree),
            output=self.output,
            timeout_s=self.rules.checks.timeout_min * 60,
        )
        return Check(command, ended.code, round(time.monotonic() - began, 2))

    def refresh_index(self) -> None:
        """Bring the worktree's index to rest once its files are older than it, so that every later
        `git status` is quick; nobody waits for this.
        """
        rest = RACY_S - (time.monotonic() - self.began)
        if rest > 0:
            time.sleep(rest)
        with self.repository.store.locked():
            worktree = self.repository.worktree_of(self.task.slug)
            if worktree and worktree.intact and not self.folder.alive:
                git = self.repository.git.at(worktree.path)
                git.environment.pop("GIT_DIR", None)
                git.run("update-index", "-q", "--refresh", ok=(0, 1))


def _why_failed(ended: Exit, limit_min: float) -> str:
    if ended.words:
        return ended.words
    if ended.timed_out:
        return f"it ran longer than {limit_min:g} min"
    if ended.code < 0:
        return f"it was ended by {signal.Signals(-ended.code).name}"
    return f"it ended with exit code {ended.code}" if ended.code else ""


def stop(repository: Repository, folder: TaskFolder, run: Run | None) -> tuple[str, ...]:
    """End a run and every process of it; returns the names of those that its runner, being dead,
    could not end itself. Raises ParallelError where something can't be ended.
    """
    number = run.number if run else 0
    tag = repository.tag(folder.slug, number)
    limit = time.monotonic() + process.GRACE_S + process.KILL_WAIT_S
    while folder.alive and time.monotonic() < limit:
        fresh = folder.last_run()
        if fresh and fresh.pid:
            process.ask_to_stop(fresh.pid, tag)
        elif not fresh:
            break
        time.sleep(0.05)
    ended = process.end(lambda: process.tagged(tag))
    lock = Lock.take(folder.lock, wait_s=1.0)
    if lock is None:
        raise ParallelError(f"the runner of `{folder.slug}` can't be ended")
    with lock:
        last = folder.last_run()
        if last and last.result is None:
            reason = "a person stopped it"
            changes = {"phase": Phase.ENDED, "ended": now(), "result": Status.STOPPED}
            folder.write_run(structs.replace(last, reason=reason, **changes))
    return ended


def leftovers(repository: Repository, folder: TaskFolder, run: Run | None) -> list[str]:
    """The processes of a run whose runner is dead."""
    if run is None or folder.alive:
        return []
    found = process.tagged(repository.tag(folder.slug, run.number))
    return [process.describe(p) for p in found]
