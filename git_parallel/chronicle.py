"""A run as it is written down while it goes on: its record and its log."""

import os
from typing import IO, Any

from msgspec import Struct, structs

from git_parallel import audit, events, notice, records
from git_parallel.errors import ParallelError
from git_parallel.repository import Repository
from git_parallel.task import Outcome, Phase, Run, Status, now
from git_parallel.task_folder import TaskFolder
from git_parallel.terminal import Size


class Desk(Struct, frozen=True):
    """Where the person sat who started a run: the size of their terminal, and its device."""

    size: Size
    terminal: str


class Resting(Struct, frozen=True, forbid_unknown_fields=True):
    """What a runner needs after a rest: the process that it waited for, the moment of the monotonic
    clock when that has to end, the folder that it stands in, and how things stood before.
    """

    pid: int
    limit: float | None
    folder: str
    before: audit.Facts
    version: int = 1


class Chronicle:
    """The record and the log of a run; its runner alone writes them."""

    run: Run

    def __init__(self, repository: Repository, folder: TaskFolder, output: IO[bytes]) -> None:
        self.repository = repository
        self.folder = folder
        self.output = output
        self.task = folder.task()

    def lie_down(self, resting: Resting) -> None:
        """Keep what is needed after a rest."""
        records.write_record(self.folder.resting, resting, durable=False)

    def rested(self) -> Resting:
        """What was kept; raises ParallelError where it can't be read."""
        resting = records.load_record(self.folder.resting, Resting)
        self.folder.resting.unlink()
        return resting

    def update(self, **changes: Any) -> None:
        """Write what has changed."""
        self.run = structs.replace(self.run, **changes)
        self.folder.write_run(self.run)

    def end(self, result: Status, reason: str = "", *, hint: str = "", **changes: Any) -> None:
        """Write how the run ended, and leave a notice of it."""
        ended = {"phase": Phase.ENDED, "ended": now(), "result": result, "reason": reason}
        ended["head"] = self.head()
        self.run = structs.replace(self.run, hint=hint, detail="", **ended, **changes)
        self.folder.write_run(self.run)
        if result is not Status.STOPPED:
            notice.put_into_inbox(self.folder, result, reason, self.run.number)

    def head(self) -> str | None:
        """The tip of the task's branch, if it can be found out."""
        ref = f"refs/heads/{self.task.branch}"
        try:
            branch = self.repository.branches(ref).get(ref)
        except ParallelError:
            return None
        return branch.tip if branch else None

    def say(self, text: str) -> None:
        """Write a line into the log."""
        self.output.write(text.rstrip("\n").encode("utf-8", "surrogateescape") + b"\n")

    def wait(self, why: str) -> None:
        """Say what the run waits for, and whom to stop, where that is not written yet."""
        if (why, os.getpid()) != (self.run.detail, self.run.pid):
            self.update(detail=why, pid=os.getpid())

    def read_outcome(self) -> Outcome:
        """What the agent's own events say, kept with the run."""
        log = self.folder.log(self.run.number)
        outcome = events.read(log, self.run.output, self.run.offset)
        if outcome != Outcome():
            self.update(outcome=outcome, session=outcome.session or self.run.session)
        return outcome
