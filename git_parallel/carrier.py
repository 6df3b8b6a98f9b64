"""A run being carried out: its slot, its environment, its command, its checks, its end."""

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from msgspec import Struct, structs

from git_parallel import (
    agent,
    audit,
    brief,
    config,
    environment,
    events,
    notice,
    tree,
    variables,
)
from git_parallel.bootstrap import bootstrap
from git_parallel.changes import breaches, changes_between, excesses
from git_parallel.checks import run_checks
from git_parallel.collection import collect
from git_parallel.errors import ParallelError
from git_parallel.interactive import FORM, run_on_terminal
from git_parallel.lock import Lock
from git_parallel.neighbours import neighbours
from git_parallel.process import Exit
from git_parallel.repository import Repository, hide
from git_parallel.schema import Config
from git_parallel.site import Site
from git_parallel.store import TaskFolder
from git_parallel.supervisor import Stopped, Supervisor
from git_parallel.task import Check, Outcome, Phase, Run, Status, now
from git_parallel.terminal import Size
from git_parallel.trust import Approvals, Trust
from git_parallel.turn import Turn
from git_parallel.verdict import unchanged, why_failed
from git_parallel.worktree import Worktree


class Desk(Struct, frozen=True):
    """Where the person sat who started a run: the size of their terminal, and its device."""

    size: Size
    terminal: str


class Carrier:
    """A run being carried out; it alone writes the run's record."""

    def __init__(
        self,
        repository: Repository,
        folder: TaskFolder,
        supervisor: Supervisor,
        output: IO[bytes],
        desk: Desk,
    ) -> None:
        self.desk = desk
        self.repository = repository
        self.folder = folder
        self.supervisor = supervisor
        self.output = output
        self.task = folder.task()
        self.base: Mapping[str, str] = {
            name: value for name, value in os.environ.items() if name != tree.TAG
        }

    @functools.cached_property
    def loaded(self) -> config.Loaded:
        """The configuration as it was when it was first needed; raises ParallelError."""
        return self.repository.configuration()

    @property
    def rules(self) -> Config:
        """The configuration in force."""
        return self.loaded.config

    @property
    def approvals(self) -> Approvals:
        """Which of the project's commands may run."""
        return Trust(self.repository.store.state).approvals(self.loaded)

    def prepare_for_a_person(self) -> None:
        """Bootstrap a task's worktree and do no more."""
        self.folder.made()
        try:
            self._bootstrap()
        except (Stopped, ParallelError) as error:
            self._say(f"✗ {error}")

    def carry(self, ticket: Path) -> Run:
        """Take the run from its place in the line to its end, whatever comes."""
        run = self.folder.last_run()
        assert run is not None  # launch wrote it before it started us
        self.folder.made()
        self.run = run
        try:
            with self._take_turn(ticket):
                self._work()
        except Stopped:
            self._end(Status.STOPPED, "a person stopped it")
        except ParallelError as error:
            self._end(Status.FAILED, error.message, hint=error.hint)
        except Exception as error:  # the record must end: the traceback is in the log
            import traceback

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
            notice.put_into_inbox(self.folder, result, reason, self.run.number)

    def _head(self) -> str | None:
        ref = f"refs/heads/{self.task.branch}"
        try:
            branch = self.repository.branches(ref).get(ref)
        except ParallelError:
            return None
        return branch.tip if branch else None

    def _say(self, text: str) -> None:
        self.output.write(text.rstrip("\n").encode("utf-8", "surrogateescape") + b"\n")

    def _take_turn(self, ticket: Path) -> Lock:
        """Wait for the tasks to start after, and for a slot."""
        waiting = Turn(self.repository, self.folder, self.supervisor.pause, self._wait)
        if self.task.after and self.run.number == 1:
            ticket = waiting.for_others(self.task, ticket)
            self._wait("")
        slot = waiting.for_slot(ticket, lambda: self.rules.runs.at_once)
        self.run = structs.replace(self.run, pid=os.getpid())  # written with what comes next
        return slot

    def _wait(self, why: str) -> None:
        """Say what the run waits for, and whom to stop, where that is not written yet."""
        if (why, os.getpid()) != (self.run.detail, self.run.pid):
            self._update(detail=why, pid=os.getpid())

    def _work(self) -> None:
        worktree = self._worktree()
        self._update(phase=Phase.PREPARING, started=now())
        if self.run.bootstrap:
            self._prepare()
        before = audit.take(self.repository, worktree)
        ended = self._run_agent(worktree)
        if told := audit.breaches(before, self.repository, worktree):
            self._update(meddled=tuple(dict.fromkeys((*self.run.meddled, *told))))
        outcome = self._read_outcome()
        if reason := why_failed(ended, outcome, self.rules.runs.timeout_min):
            self._end(Status.FAILED, reason, exit_code=ended.code)
            return
        self._update(phase=Phase.COLLECTING, exit_code=0)
        self._collect(worktree)
        self._judge(worktree)

    def _read_outcome(self) -> Outcome:
        """What the agent's own events say, kept with the run."""
        log = self.folder.log(self.run.number)
        outcome = events.read(log, self.run.output, self.run.offset)
        if outcome != Outcome():
            self._update(outcome=outcome, session=outcome.session or self.run.session)
        return outcome

    def _worktree(self) -> Worktree:
        worktree = self.repository.worktree_of(self.task.slug)
        if worktree is None or not worktree.intact:
            raise ParallelError(f"its worktree {self.task.path} is gone", hint="git parallel list")
        return worktree

    def _prepare(self) -> None:
        record = self._bootstrap()
        if step := record.trouble:
            raise ParallelError(
                f"its environment is not ready: {step.told}",
                hint=environment.way_out(step, f"git parallel run {self.task.name}"),
            )

    def _bootstrap(self) -> environment.Record:
        worktree = self._worktree()
        site = Site(
            self.repository,
            worktree,
            self.task,
            self.loaded,
            self.approvals,
            supervisor=self.supervisor,
            output=self.output,
            base=self.base,
        )
        return bootstrap(site)

    def _environment(self, worktree: Worktree) -> dict[str, str]:
        place = worktree.path.resolve()
        known = (self.loaded, self.approvals)
        own = variables.of_worktree(self.repository, place, self.task, *known)
        own |= {"GIT_PARALLEL_BRIEF": str(self.folder.brief)}
        return variables.around(self.base, place, own)

    def _run_agent(self, worktree: Worktree) -> Exit:
        prompt = self.folder.prompt(self.run.number)
        preset = self.rules.agents[self.run.agent] if self.run.agent else None
        self._tell_of_neighbours()
        calling = agent.call_on_terminal if self.run.interactive else agent.call_of
        call = calling(preset, self.run.command, self.folder.brief)
        for pattern in preset.leaves if preset else ():
            hide(self.repository.common, pattern)
        form = FORM if self.run.interactive else preset.output if preset else "text"
        self._update(
            phase=Phase.RUNNING,
            detail="",
            output=form,
            offset=self.output.seek(0, os.SEEK_END),
            stalled_s=self.rules.runs.stalled_min * 60,
        )
        limits = self.rules.runs
        command = agent.held_back(call.command, nice=limits.nice, memory_mib=limits.memory_mib)
        environment = {**self._environment(worktree), **call.variables}
        folder = worktree.path.resolve()
        if self.run.interactive:
            ended = run_on_terminal(
                self.supervisor,
                self.folder.terminal,
                self.desk.size,
                command,
                folder=folder,
                environment=environment,
                output=self.output,
                needs=self._need,
            )
        else:
            stdin = self.folder.brief if call.stdin and prompt.exists() else Path(os.devnull)
            with open(stdin, "rb") as told:
                ended = self.supervisor.run(
                    command,
                    folder=folder,
                    environment=environment,
                    output=self.output,
                    stdin=told,
                    timeout_s=limits.timeout_min * 60,
                )
        for left in ended.ended_leftovers:
            self._say(f"── ended {left}, which the command left running")
        return ended

    def _need(self, question: str) -> None:
        """The program asks a person something, or no more."""
        if question == self.run.question:
            return
        begins = question and not self.run.question
        self._update(question=question)
        if not question:
            self.folder.seen()
        elif begins:
            notice.put_into_inbox(self.folder, Status.WAITING, question, self.run.number)
            ending = notice.Ending(self.task.name, Status.WAITING, question, self.desk.terminal)
            notice.announce_aside(self.repository, ending)

    def _tell_of_neighbours(self) -> None:
        """Write into the brief who works beside this task, where somebody does."""
        if not self.folder.prompt(self.run.number).exists():
            return
        if beside := neighbours(self.repository, self.task):
            template = brief.load_template(self.repository.place, self.rules.brief.template)
            checks = self.rules.checks.run
            brief.write(self.folder, self.run.number, template, checks, beside)

    def _collect(self, worktree: Worktree) -> None:
        commit = collect(
            self.repository,
            worktree,
            self.task,
            self.run,
            supervisor=self.supervisor,
            environment=self._environment(worktree),
            output=self.output,
        )
        if commit:
            self._update(committed=commit)

    def _judge(self, worktree: Worktree) -> None:
        head = self._head()
        pair = (self.task.base, head or self.task.base)
        change = changes_between(self.repository.git, [pair])[pair]
        if not change.entries:
            result, reason = unchanged(self.run.outcome)
            self._end(result, reason, hint=f"git parallel log {self.task.name}")
            return
        excess = excesses(self.task, files=change.files, lines=change.lines)
        broken = (*breaches(self.task, change.paths), *excess)
        checks, reason = self._check(worktree)
        told = {"breaches": broken, "checks": checks}
        again = f"git parallel trust && git parallel run {self.task.name}"
        hint = again if reason == environment.UNTRUSTED else ""
        self._end(Status.FAILED if reason else Status.READY, reason, hint=hint, **told)

    def _check(self, worktree: Worktree) -> tuple[tuple[Check, ...], str]:
        commands = self.rules.checks.run
        if commands and not self.approvals.allow("checks.run"):
            return tuple(Check(c, None, 0.0) for c in commands), environment.UNTRUSTED
        return run_checks(
            commands,
            folder=worktree.path.resolve(),
            environment=self._environment(worktree),
            output=self.output,
            run=self.supervisor.run,
            timeout_s=self.rules.checks.timeout_min * 60,
            told=lambda command: self._update(phase=Phase.CHECKING, detail=f"check `{command}`"),
        )
