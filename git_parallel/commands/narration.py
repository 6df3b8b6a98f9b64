"""A bootstrap on this terminal: a line for each step, and what it came to."""

import os
import shlex
from pathlib import Path

from git_parallel import environment, output
from git_parallel.bootstrap import Progress, bootstrap
from git_parallel.environment import Record, Step
from git_parallel.repository import Repository
from git_parallel.site import Site
from git_parallel.supervisor import Supervisor
from git_parallel.trust import Trust
from git_parallel.worktree import Worktree

TAIL = 10


class Narrator(Progress):
    """Tells each step as it begins and ends; on a terminal in one line that changes."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def began(self, name: str) -> None:
        """Say what is under way."""
        output.begin(name)

    def ended(self, step: Step) -> None:
        """Say how it ended."""
        self.steps.append(step)
        if step.outcome == environment.OK:
            output.tell(output.DONE, f"{output.printable(step.name)}, {step.seconds:g}s")
        elif step.outcome == environment.SKIPPED:
            output.tell(output.NOTHING, output.printable(f"{step.name} left out: {step.reason}"))
        else:
            output.tell(output.ERROR, output.printable(step.told))


class Done:
    """A bootstrap that has ended: its record, and the steps that were done now."""

    def __init__(self, record: Record, steps: list[Step], position: int) -> None:
        self.record = record
        self.steps = steps
        self.position = position


def bootstrap_here(repository: Repository, worktree: Worktree) -> Done:
    """Bootstrap a worktree on this terminal; raises Stopped on Ctrl-C, ParallelError."""
    loaded = repository.configuration()
    narrator = Narrator()
    with (worktree.admin / "parallel.log").open("ab", 0) as log:
        site = Site(
            repository,
            worktree,
            repository.store.folder(worktree.slug).task() if worktree.slug else None,
            loaded,
            Trust(repository.store.state).approvals(loaded),
            supervisor=Supervisor(f"{repository.key}/{worktree.id}"),
            output=log,
            base=os.environ,
        )
        position = log.seek(0, os.SEEK_END)
        record = bootstrap(site, narrator)
    return Done(record, narrator.steps, position)


def tell_done(done: Done, worktree: Worktree) -> None:
    """Say what a bootstrap came to, and where it failed the end of what was printed."""
    record, path = done.record, worktree.path
    for name in record.kept:
        words = f"{name} stays as it was edited here, though its original has changed"
        output.tell(output.WARNING, output.printable(words))
    trouble = record.trouble
    if trouble is None:
        copied = output.count(len(record.copied), "file")
        files = f", {copied} copied" if record.copied else ""
        glyph = output.DONE if done.steps else output.NOTHING
        output.tell(glyph, f"{path} is ready{files}")
        return
    if trouble.outcome == environment.FAILED:
        for line in output.tail(Path(record.log), TAIL, position=done.position):
            output.narrate(f"  | {line}")
    again = f"git parallel bootstrap {worktree.slug or shlex.quote(str(path))}"
    hint = environment.way_out(trouble, again)
    output.tell(output.WARNING, output.printable(f"{path} is not ready: {trouble.told}"), hint=hint)
