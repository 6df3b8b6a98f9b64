"""The files of one task, below `.git/parallel/.state/tasks/`: one writer a file."""

import contextlib
from pathlib import Path

import msgspec

from git_parallel.lock import is_held
from git_parallel.records import (
    Landed,
    Making,
    Notice,
    Restored,
    Retarget,
    Reviewed,
    Verdict,
    find_record,
    load_record,
    write_record,
)
from git_parallel.slot import Slot
from git_parallel.task import Run, Slug, Task

RECORD = "task.json"
MAKING = "making.json"


class TaskFolder:
    """The files of one task."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.slug = Slug(path.name)

    @property
    def record(self) -> Path:
        """Where `start` wrote what it made."""
        return self.path / RECORD

    @property
    def is_unsaid(self) -> bool:
        """Whether a claim died before it said what the task is, and so before all else."""
        if self.record.exists() or not self.path.is_dir():
            return False
        return {path.name for path in self.path.iterdir() if path.suffix != ".tmp"} <= {MAKING}

    @property
    def brief(self) -> Path:
        """What the agent is told."""
        return self.path / "brief.md"

    def prompt(self, number: int) -> Path:
        """What the user asked of a run, byte for byte."""
        return self.path / f"run-{number}.prompt"

    @property
    def lock(self) -> Path:
        """Held for as long as somebody works on the task in the background."""
        return self.path / "lock"

    @property
    def terminal(self) -> Path:
        """The socket that leads to the terminal of an interactive run."""
        return self.path / "terminal"

    @property
    def resting(self) -> Path:
        """What a runner needs when its command has ended, while it rests."""
        return self.path / "resting.json"

    def log(self, number: int) -> Path:
        """What a run printed."""
        return self.path / f"run-{number}.log"

    @property
    def alive(self) -> bool:
        """Whether a runner, or a `start` under way, holds the task."""
        return is_held(self.lock)

    def task(self) -> Task:
        """The task; raises FileNotFoundError where a `start` died before it wrote it."""
        task = load_record(self.record, Task)
        if moved := find_record(self.path / "retarget.json", Retarget):
            base = moved.base or task.base
            task = msgspec.structs.replace(task, target=moved.target, base=base)
        if slot := find_record(self.path / "slot.json", Slot):
            task = msgspec.structs.replace(task, slot=slot.number, ports=slot.ports)
        return task

    def write_slot(self, slot: Slot) -> None:
        """Give the task another slot than `start` did: somebody took that while it was away."""
        write_record(self.path / "slot.json", slot)

    def write_retarget(self, target: str, *, base: str | None = None) -> None:
        """Have the task merged elsewhere than `start` said, as its old target has landed there, or
        count its own commits from another base, as it was rebased.
        """
        file = self.path / "retarget.json"
        known = find_record(file, Retarget)
        write_record(file, Retarget(target, base or (known.base if known else None)))

    def runs(self) -> list[Run]:
        """All runs, the first one first."""
        numbers = [int(p.stem[4:]) for p in self.path.glob("run-*.json") if p.stem[4:].isdigit()]
        return [load_record(self.path / f"run-{n}.json", Run) for n in sorted(numbers)]

    def last_run(self) -> Run | None:
        """The newest run, or None where there was none."""
        numbers = [int(p.stem[4:]) for p in self.path.glob("run-*.json") if p.stem[4:].isdigit()]
        return load_record(self.path / f"run-{max(numbers)}.json", Run) if numbers else None

    def write_run(self, run: Run) -> None:
        """Replace the record of a run."""
        write_record(self.path / f"run-{run.number}.json", run)

    @property
    def making(self) -> Making | None:
        """What a `start` was about to make, where it did not come to its end."""
        return find_record(self.path / MAKING, Making)

    def write_making(self, making: Making) -> None:
        """Say what is about to be made."""
        write_record(self.path / MAKING, making, durable=False)

    def made(self) -> None:
        """Say that all of it was made."""
        (self.path / MAKING).unlink(missing_ok=True)

    @property
    def landed(self) -> Landed | None:
        """What our own merge recorded."""
        return find_record(self.path / "landed.json", Landed)

    def write_landed(self, landed: Landed) -> None:
        """Record a merge that is about to land."""
        write_record(self.path / "landed.json", landed)

    def read_all(self) -> None:
        """Read what an overview rests on; raises ParallelError where a file of it is damaged."""
        _ = self.last_run(), self.making, self.landed, self.restored, self.reviewed, self.notice

    def forget_landed(self) -> None:
        """Forget a merge that was taken back."""
        (self.path / "landed.json").unlink(missing_ok=True)

    @property
    def restored(self) -> str | None:
        """The tip that the branch had when a person brought the task back, if one did."""
        found = find_record(self.path / "restored.json", Restored)
        return found.tip if found else None

    def write_restored(self, tip: str) -> None:
        """Say that a person wants this task to stay, as long as its tip does."""
        write_record(self.path / "restored.json", Restored(tip))

    @property
    def reviewed(self) -> Reviewed | None:
        """What a person looked at last, and made of it."""
        return find_record(self.path / "reviewed.json", Reviewed)

    def verdict(self, tip: str | None) -> Verdict | None:
        """What a person made of exactly this tip; None where nobody has looked at it."""
        reviewed = self.reviewed
        return reviewed.verdict if reviewed and reviewed.tip == tip else None

    def write_reviewed(self, reviewed: Reviewed) -> None:
        """Keep what a person looked at, under the lock for reviews."""
        write_record(self.path / "reviewed.json", reviewed)

    @property
    def notice(self) -> Notice | None:
        """What waits in the inbox."""
        return find_record(self.path / "notice.json", Notice)

    def write_notice(self, notice: Notice) -> None:
        """Put a notice into the inbox."""
        write_record(self.path / "notice.json", notice)

    def seen(self) -> None:
        """Take the notice out of the inbox: the person has looked."""
        with contextlib.suppress(FileNotFoundError, PermissionError):
            (self.path / "notice.json").unlink()
