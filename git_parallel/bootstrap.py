"""Make a worktree usable: ignored files, submodules, package managers, the project's own steps.

There is one bootstrap, called by a task's runner, by the hooks and by a person. It is recorded in
the worktree's admin folder and idempotent: a step whose inputs are as they were is not done again,
and one that was killed or failed is.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial

from msgspec import Struct, structs

from git_parallel import approvals, files, lfs, managers, records, submodules, tree, variables
from git_parallel.environment import (
    BLOCKED,
    FAILED,
    OK,
    RECORD,
    SKIPPED,
    UNTRUSTED,
    Doing,
    Record,
    Step,
    record_of,
)
from git_parallel.errors import ParallelError
from git_parallel.exclude import hide
from git_parallel.lock import Lock
from git_parallel.setup_files import Command
from git_parallel.site import Site

WATCHED = "parallel-watched"
LOCK_WAIT_S = 3600.0
FILES = "files"


class Plan(Struct, frozen=True, kw_only=True):
    """A step that may have to be done. `act` does it and says why it failed, or nothing; `blocked`
    and `skipped` say why it is not to be done; `needed`, whether its failure ends the bootstrap;
    `made` tells which folders are there of it.
    """

    name: str
    inputs: str
    act: Callable[[], str]
    blocked: str = ""
    skipped: str = ""
    needed: bool = True
    made: Callable[[], tuple[str, ...]] = tuple


class Progress:
    """Who wants to know what a bootstrap does; this one doesn't."""

    def began(self, name: str) -> None:
        """A step begins that may take a while."""

    def ended(self, step: Step) -> None:
        """It has ended."""


def bootstrap(site: Site, progress: Progress | None = None) -> Record:
    """Bring a worktree's environment up to date and return the record of it.

    Raises ParallelError where another bootstrap of the same worktree does not end, or where the
    project's files can't be read.
    """
    progress = progress or Progress()
    file = site.worktree.admin / "parallel.lock"
    lock = Lock.take(file)
    if lock is None:
        progress.began("waiting for another bootstrap of it")
        lock = Lock.take(file, wait_s=LOCK_WAIT_S)
    if lock is None:
        raise ParallelError(f"another bootstrap of {site.path} does not end")
    with lock:
        return _Bootstrap(site, progress).run()


class _Bootstrap:
    """A bootstrap under way; it alone writes the worktree's record."""

    def __init__(self, site: Site, progress: Progress) -> None:
        self.site = site
        self.progress = progress
        self.old = record_of(site.worktree) or Record()
        self.record = structs.replace(self.old, doing=None)
        rules = site.config
        self.installs = managers.installs(site.path, rules.managers, rules.environment.skip)

    def run(self) -> Record:
        if dead := self.old.doing:  # whoever wrote that was killed, and its programs may live on
            tree.end(partial(tree.tagged, dead.tag))
        done = [self._bring_files()]
        later: list[Step] = []
        plans = list(self._plans()) if done[0].outcome == OK else []
        before = [self._known(plan) for plan in plans]
        for number, plan in enumerate(plans):
            later = [step for step in before[number + 1 :] if step]
            known = self._known(plan)  # again: a step may have taken away what another made
            done.append(known or self._carry_out(plan))
            if known is None:
                self._write(steps=(*done, *later), doing=None)
            if done[-1].outcome == FAILED:
                break
        self._write(steps=(*done, *later), ended=_now(), durable=True)
        self._watch()
        return self.record

    def _write(self, *, durable: bool = False, **changes: object) -> None:
        """Replace the record; made durable once, at the end, since that waits until all that a
        package manager has just written is on the disk.
        """
        self.record = structs.replace(self.record, **changes)
        file = self.site.worktree.admin / RECORD
        records.write_record(file, self.record, durable=durable)

    def _known(self, plan: Plan) -> Step | None:
        """The step as it was done before, where nothing calls for it again."""
        wanted = (plan.name, plan.inputs, OK)
        steps = (s for s in self.old.steps if (s.name, s.inputs, s.outcome) == wanted)
        step = next(steps, None)
        if step is None or plan.blocked or plan.skipped:
            return None
        return step if all((self.site.path / place).exists() for place in step.made) else None

    def _carry_out(self, plan: Plan) -> Step:
        outcome, reason, seconds = OK, plan.blocked or plan.skipped, 0.0
        if plan.blocked or plan.skipped:
            outcome = BLOCKED if plan.blocked else SKIPPED
        else:
            doing = Doing(plan.name, _now(), self.site.supervisor.tag)
            self._write(doing=doing, log=self.site.output.name)
            self.progress.began(plan.name)
            began = time.monotonic()
            reason = plan.act()
            seconds = round(time.monotonic() - began, 2)
            outcome = OK if not reason else FAILED if plan.needed else SKIPPED
        step = Step(
            name=plan.name,
            inputs=plan.inputs,
            outcome=outcome,
            seconds=seconds,
            reason=reason,
            made=plan.made() if outcome == OK else (),
        )
        self.progress.ended(step)
        return step

    def _bring_files(self) -> Step:
        """Copy files and write our own; quick enough to be looked at each time."""
        site, began, reason = self.site, time.monotonic(), ""
        brought = files.Brought(self.old.copied)
        try:
            if site.source:
                known, config = self.old.copied, site.config
                brought = files.bring(site.source, site.worktree, config, known, site.mapped)
            _write_variables(site)
        except OSError as error:
            reason = f"{error.filename or site.path}: {error.strerror}"
        for name in brought.kept:
            site.say(f"{name} was edited here, and its original has changed: it stays as it is")
        self.record = structs.replace(self.record, copied=brought.digests, kept=brought.kept)
        before = next((step for step in self.old.steps if step.name == FILES), None)
        if before and before.outcome == OK and not (reason or brought.written):
            return before
        seconds = round(time.monotonic() - began, 2)
        outcome = FAILED if reason else OK
        return Step(name=FILES, inputs="", outcome=outcome, seconds=seconds, reason=reason)

    def _plans(self) -> Iterator[Plan]:
        """The steps that the worktree needs, in their order."""
        site = self.site
        if not site.approvals.allow("environment.env"):
            yield Plan(name="environment.env", inputs="", act=str, blocked=UNTRUSTED)
        yield from self._filling("submodules", submodules.pending(site.path), submodules.fill)
        yield from self._filling("lfs", lfs.pending(site), lfs.fill)
        for name, row, file in approvals.wanted(site):
            content = (site.path / file).read_bytes()
            plan = Plan(
                name=name,
                inputs=files.digest(os.fsencode(site.path), content),
                act=partial(approvals.carry_out, site, row, file),
            )
            refused = "" if self._known(plan) else approvals.refusal(site, row, file)
            yield structs.replace(plan, skipped=refused)
        yield from self._manager_plans()
        yield from self._project_plans()

    def _filling(
        self, name: str, pending: Sequence[str], fill: Callable[[Site], str]
    ) -> Iterator[Plan]:
        """A step for what is not there yet, or the one that has brought it all."""
        before = next((s for s in self.old.steps if (s.name, s.outcome) == (name, OK)), None)
        if pending:
            unlike_before = os.urandom(8).hex()
            yield Plan(name=name, inputs=unlike_before, act=partial(fill, self.site))
        elif before:
            yield Plan(name=name, inputs=before.inputs, act=str)

    def _manager_plans(self) -> Iterator[Plan]:
        site = self.site
        for install in self.installs:
            trusted = site.approvals.allow(f"managers.{install.row}")
            program = managers.missing_program(install, site) if trusted else ""
            words = f"`{program}` was not found on PATH" if program else ""
            yield Plan(
                name=install.name,
                inputs=managers.inputs(install, site.path),
                act=partial(str, words) if words else partial(managers.carry_out, install, site),
                blocked="" if trusted else UNTRUSTED,
                skipped=words if install.folder else "",
                needed=install.manager.needed,
                made=partial(managers.made, install, site.path),
            )

    def _project_plans(self) -> Iterator[Plan]:
        for command in self.site.loaded.steps:
            trusted = not command.key or self.site.approvals.allow(command.key)
            first, more, _ = command.shown.partition("\n")
            yield Plan(
                name=f"{first} …" if more else first,
                inputs=files.digest(repr(command.argv).encode()),
                act=partial(_run_step, self.site, command),
                blocked="" if trusted else UNTRUSTED,
            )

    def _watch(self) -> None:
        """Name the files whose change calls for a bootstrap, for the hooks: a shell sees whether
        one of them is newer than the record, which is made as old as the newest of them.
        """
        rows = self.site.config.managers.values()
        names = {name for install in self.installs for name in managers.watched(install)}
        names |= {name for manager in rows for name in manager.lockfiles}
        lines = sorted(name for name in names if "\n" not in name)
        newest = 0
        for name in lines:
            with contextlib.suppress(OSError):
                newest = max(newest, (self.site.path / name).stat().st_mtime_ns)
        admin = self.site.worktree.admin
        content = os.fsencode("".join(f"{name}\n" for name in lines))
        records.write(admin / WATCHED, content, durable=False)
        if newest:
            os.utime(admin / RECORD, ns=(newest, newest))


def _run_step(site: Site, command: Command) -> str:
    more = variables.fill(command.variables, site.own)
    argv = [_with_values(word, more) for word in command.argv]
    return site.run(argv, more=more, shown=command.shown)


def _with_values(word: str, values: dict[str, str]) -> str:
    """A word of a command that no shell looks at, with `${name}` filled in."""
    for name, value in values.items():
        word = word.replace(f"${{{name}}}", value)
    return word


def _write_variables(site: Site) -> None:
    """Keep the task's variables in a file that git does not see, for people and tools; one of
    somebody else's stays.
    """
    if "GIT_PARALLEL_TASK" not in site.own:
        return
    file, wanted = site.path / variables.FILE, variables.content_of_file(site.own)
    found = file.read_bytes() if file.exists() else b""
    if found != wanted and (not found or found.startswith(variables.HEAD.encode())):
        hide(site.common, f"/{variables.FILE}")
        files.replace(site.worktree, variables.FILE, wanted)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
