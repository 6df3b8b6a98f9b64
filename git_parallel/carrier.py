"""A run being carried out: its slot, its environment, its command, its checks, its end."""

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from msgspec import structs

from git_parallel import (
    agent,
    audit,
    brief,
    config,
    environment,
    notice,
    tree,
    variables,
)
from git_parallel.bootstrap import bootstrap
from git_parallel.changes import breaches, changes_between, excesses
from git_parallel.checks import run_checks
from git_parallel.chronicle import Chronicle, Desk, Resting
from git_parallel.collection import collect
from git_parallel.errors import ParallelError
from git_parallel.exclude import hide
from git_parallel.interactive import FORM, run_on_terminal
from git_parallel.lock import Lock
from git_parallel.neighbours import neighbours
from git_parallel.predecessors import catch_up
from git_parallel.process import Exit
from git_parallel.repository import Repository
from git_parallel.schema import Config
from git_parallel.site import Site
from git_parallel.supervisor import Rest, Stopped, Supervisor
from git_parallel.task import Check, Phase, Run, Status, clock, now
from git_parallel.task_folder import TaskFolder
from git_parallel.trust import Approvals, Trust
from git_parallel.turn import Turn
from git_parallel.verdict import unchanged, why_failed
from git_parallel.worktree import Worktree


class Carrier(Chronicle):
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
        super().__init__(repository, folder, output)
        self.supervisor = supervisor
        self.rest: Rest | None = None
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
            self.say(f"✗ {error}")

    def carry(self, ticket: Path) -> Run:
        """Take the run from its place in the line to its end, whatever comes."""
        run = self.folder.last_run()
        assert run is not None  # launch wrote it before it started us
        self.folder.made()
        self.run = run
        try:
            return self._guarded(lambda: self._work_in_turn(ticket))
        finally:
            ticket.unlink(missing_ok=True)

    def wake(self, slot: Lock, code: int | None, *, stop: bool) -> Run:
        """Go on with a run after a rest: its command may have ended with an exit code."""
        run = self.folder.last_run()
        assert run is not None
        self.run = run
        os.set_inheritable(slot.fd, False)
        with slot:
            return self._guarded(lambda: self._go_on(code, stop=stop))

    def _guarded(self, work: Callable[[], None]) -> Run:
        """Do it, and have the run's record end whatever comes."""
        try:
            work()
        except Stopped:
            self.end(Status.STOPPED, "a person stopped it")
        except ParallelError as error:
            self.end(Status.FAILED, error.message, hint=error.hint)
        except Exception as error:  # the record must end: the traceback is in the log
            import traceback

            self.say(traceback.format_exc())
            self.end(Status.FAILED, f"a bug of git parallel: {error!r}")
        return self.run

    def _take_turn(self, ticket: Path) -> Lock:
        """Wait for the tasks to start after, and for a slot."""
        waiting = Turn(self.repository, self.folder, self.supervisor.pause, self.wait)
        if self.task.after and self.run.number == 1:
            ticket = waiting.for_others(self.task, ticket)
            self.wait("")
        slot = waiting.for_slot(ticket, lambda: self.rules.runs.at_once)
        self.run = structs.replace(self.run, pid=os.getpid())  # written with what comes next
        return slot

    def _work_in_turn(self, ticket: Path) -> None:
        with self._take_turn(ticket) as self.slot:
            self._work()

    def _work(self) -> None:
        if self.task.after and self.run.number == 1:
            catch_up(self.repository, self.folder, self.task)
        worktree = self._worktree()
        self.update(phase=Phase.PREPARING, started=now(), clock=clock())
        if self.run.bootstrap:
            self._prepare()
        self.before = audit.take(self.repository, worktree)
        self._conclude(worktree, self._run_agent(worktree))

    def write_rest(self, pid: int, limit: float | None) -> None:
        """Keep what a rest would have us forget."""
        place = str(self._worktree().path.resolve())
        self.lie_down(Resting(pid, limit, place, self.before))

    def _go_on(self, code: int | None, *, stop: bool) -> None:
        try:
            resting = self.rested()
        except ParallelError:
            self.supervisor.end_all()
            raise
        self.before, folder = resting.before, Path(resting.folder)
        ended = self.supervisor.go_on(
            resting.pid, code, limit=resting.limit, stop=stop, folder=folder
        )
        self._tell_leftovers(ended)
        found = self.repository.worktree_of(self.task.slug)  # the command may have broken it
        self._conclude(found or self._worktree(), ended)

    def _conclude(self, worktree: Worktree, ended: Exit) -> None:
        """Look at what the command did, and what came of it."""
        if told := audit.breaches(self.before, self.repository, worktree):
            self.update(meddled=tuple(dict.fromkeys((*self.run.meddled, *told))))
        outcome = self.read_outcome()
        if reason := why_failed(ended, outcome, self.rules.runs.timeout_min):
            self.end(Status.FAILED, reason, exit_code=ended.code)
            return
        self.update(phase=Phase.COLLECTING, exit_code=0)
        self._collect(worktree)
        self._judge(worktree)

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
        preset = self.rules.agents[self.run.agent] if self.run.agent else None
        self._tell_of_neighbours()
        calling = agent.call_on_terminal if self.run.interactive else agent.call_of
        call = calling(preset, self.run.command, self.folder.brief)
        for pattern in preset.leaves if preset else ():
            hide(self.repository.common, pattern)
        form = FORM if self.run.interactive else preset.output if preset else "text"
        self.update(
            phase=Phase.RUNNING,
            detail="",
            output=form,
            offset=self.output.seek(0, os.SEEK_END),
            stalled_s=self.rules.runs.stalled_min * 60,
        )
        ended = self._perform(call, worktree)
        self._tell_leftovers(ended)
        return ended

    def _perform(self, call: agent.Call, worktree: Worktree) -> Exit:
        """Run the command to its end, on a terminal or without one."""
        limits = self.rules.runs
        command = agent.held_back(call.command, nice=limits.nice, memory_mib=limits.memory_mib)
        environment = {**self._environment(worktree), **call.variables}
        folder = worktree.path.resolve()
        if self.run.interactive:
            return run_on_terminal(
                self.supervisor,
                self.folder.terminal,
                self.desk.size,
                command,
                folder=folder,
                environment=environment,
                output=self.output,
                needs=self._need,
            )
        prompt = self.folder.prompt(self.run.number)
        stdin = self.folder.brief if call.stdin and prompt.exists() else Path(os.devnull)
        with open(stdin, "rb") as told:
            return self.supervisor.run(
                command,
                folder=folder,
                environment=environment,
                output=self.output,
                stdin=told,
                timeout_s=limits.timeout_min * 60,
                rest=self.rest,
            )

    def _tell_leftovers(self, ended: Exit) -> None:
        for left in ended.ended_leftovers:
            self.say(f"── ended {left}, which the command left running")

    def _need(self, question: str) -> None:
        """The program asks a person something, or no more."""
        if question == self.run.question:
            return
        begins = question and not self.run.question
        self.update(question=question)
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
            self.update(committed=commit)

    def _judge(self, worktree: Worktree) -> None:
        head = self.head()
        pair = (self.task.base, head or self.task.base)
        change = changes_between(self.repository.git, [pair])[pair]
        if not change.entries:
            result, reason = unchanged(self.run.outcome)
            self.end(result, reason, hint=f"git parallel log {self.task.name}")
            return
        excess = excesses(self.task, files=change.files, lines=change.lines)
        broken = (*breaches(self.task, change.paths), *excess)
        checks, reason = self._check(worktree)
        told = {"breaches": broken, "checks": checks}
        again = f"git parallel trust && git parallel run {self.task.name}"
        hint = again if reason == environment.UNTRUSTED else ""
        self.end(Status.FAILED if reason else Status.READY, reason, hint=hint, **told)

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
            told=lambda command: self.update(phase=Phase.CHECKING, detail=f"check `{command}`"),
        )
