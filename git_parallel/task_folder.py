"""The files of one task, below `.git/parallel/.state/tasks/`: one writer a file."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

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

RECORD, LOCK = "task.json", "lock"
RETARGET, SLOT, MAKING = "retarget.json", "slot.json", "making.json"
LANDED, RESTORED = "landed.json", "restored.json"
REVIEWED, NOTICE = "reviewed.json", "notice.json"

T = TypeVar("T", bound=msgspec.Struct)


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the files of a task say, as an overview rests on it."""

    task: Task
    alive: bool
    run: Run | None
    making: Making | None
    landed: Landed | None
    stands_on: str | None
    restored: Restored | None
    reviewed: Reviewed | None
    notice: Notice | None


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
        return self.path / LOCK

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
        return is_held(f"{self.path}/{LOCK}")

    def task(self) -> Task:
        """The task; raises FileNotFoundError where a `start` died before it wrote it."""
        moved, slot = self._find(RETARGET, Retarget), self._find(SLOT, Slot)
        return _as_it_is(load_record(self.record, Task), moved, slot)

    def first_target(self) -> str:
        """Where `start` was to have the task merged."""
        return load_record(self.record, Task).target

    def read(self) -> Known:
        """All that an overview rests on: the folder is listed once, since most of its files are
        mostly not there. Raises ParallelError where one is damaged, FileNotFoundError as `task`.
        """
        alive = self.alive  # first: a run that ends meanwhile is not one whose runner died
        names = frozenset(os.listdir(self.path))
        task = load_record(f"{self.path}/{RECORD}", Task)
        last = max(_numbers(names), default=0)

        def find(name: str, kind: type[T]) -> T | None:
            return self._find(name, kind) if name in names else None

        moved = find(RETARGET, Retarget)
        return Known(
            task=_as_it_is(task, moved, find(SLOT, Slot)),
            alive=alive,
            run=find(f"run-{last}.json", Run),
            making=find(MAKING, Making),
            landed=find(LANDED, Landed),
            stands_on=moved.stands_on if moved else None,
            restored=find(RESTORED, Restored),
            reviewed=find(REVIEWED, Reviewed),
            notice=find(NOTICE, Notice),
        )

    def _find(self, name: str, kind: type[T]) -> T | None:
        return find_record(f"{self.path}/{name}", kind)

    def write_slot(self, slot: Slot) -> None:
        """Give the task another slot than `start` did: somebody took that while it was away."""
        write_record(self.path / SLOT, slot)

    @property
    def stands_on(self) -> str | None:
        """The commit that its own begin after, where that has landed and it was not rebased."""
        moved = self._find(RETARGET, Retarget)
        return moved.stands_on if moved else None

    def write_retarget(
        self, target: str, *, base: str | None = None, stands_on: str | None = None
    ) -> None:
        """Have the task merged elsewhere than `start` said, as its old target has landed there, or
        count its own commits from another base, as it was rebased or stands on what has landed.
        """
        known = self._find(RETARGET, Retarget)
        base = stands_on or base or (known.base if known else None)
        write_record(self.path / RETARGET, Retarget(target, base, stands_on))

    def runs(self) -> list[Run]:
        """All runs, the first one first."""
        return [self._run(number) for number in sorted(_numbers(self._names()))]

    def last_run(self) -> Run | None:
        """The newest run, or None where there was none."""
        last = max(_numbers(self._names()), default=0)
        return self._run(last) if last else None

    def hears(self, run: Run) -> bool:
        """Whether the command of a run is told anything: an agent's, or one with a prompt."""
        return run.agent is not None or self.prompt(run.number).exists()

    def _names(self) -> list[str]:
        try:
            return os.listdir(self.path)
        except FileNotFoundError:
            return []

    def _run(self, number: int) -> Run:
        return load_record(self.path / f"run-{number}.json", Run)

    def write_run(self, run: Run) -> None:
        """Replace the record of a run."""
        write_record(self.path / f"run-{run.number}.json", run)

    @property
    def making(self) -> Making | None:
        """What a `start` was about to make, where it did not come to its end."""
        return self._find(MAKING, Making)

    def write_making(self, making: Making) -> None:
        """Say what is about to be made."""
        write_record(self.path / MAKING, making, durable=False)

    def made(self) -> None:
        """Say that all of it was made."""
        (self.path / MAKING).unlink(missing_ok=True)

    @property
    def landed(self) -> Landed | None:
        """What our own merge recorded."""
        return self._find(LANDED, Landed)

    def write_landed(self, landed: Landed) -> None:
        """Record a merge that is about to land."""
        write_record(self.path / LANDED, landed)

    def forget_landed(self) -> None:
        """Forget a merge that was taken back."""
        (self.path / LANDED).unlink(missing_ok=True)

    @property
    def restored(self) -> str | None:
        """The tip that the branch had when a person brought the task back, if one did."""
        found = self._find(RESTORED, Restored)
        return found.tip if found else None

    def write_restored(self, tip: str) -> None:
        """Say that a person wants this task to stay, as long as its tip does."""
        write_record(self.path / RESTORED, Restored(tip))

    @property
    def reviewed(self) -> Reviewed | None:
        """What a person looked at last, and made of it."""
        return self._find(REVIEWED, Reviewed)

    def verdict(self, tip: str | None) -> Verdict | None:
        """What a person made of exactly this tip; None where nobody has looked at it."""
        reviewed = self.reviewed
        return reviewed.verdict if reviewed and reviewed.tip == tip else None

    def write_reviewed(self, reviewed: Reviewed) -> None:
        """Keep what a person looked at, under the lock for reviews."""
        write_record(self.path / REVIEWED, reviewed)

    @property
    def notice(self) -> Notice | None:
        """What waits in the inbox."""
        return self._find(NOTICE, Notice)

    def write_notice(self, notice: Notice) -> None:
        """Put a notice into the inbox."""
        write_record(self.path / NOTICE, notice)

    def seen(self) -> None:
        """Take the notice out of the inbox: the person has looked."""
        with contextlib.suppress(FileNotFoundError, PermissionError):
            (self.path / NOTICE).unlink()


def _numbers(names: Iterable[str]) -> Iterator[int]:
    """The numbers of the runs among the files of a task."""
    for name in names:
        stem, dot, kind = name.partition(".")
        if dot and kind == "json" and stem.startswith("run-") and stem[4:].isdigit():
            yield int(stem[4:])


def _as_it_is(task: Task, moved: Retarget | None, slot: Slot | None) -> Task:
    """A task with what has changed since `start` wrote it."""
    if moved:
        base = moved.base or task.base
        task = msgspec.structs.replace(task, target=moved.target, base=base)
    if slot:
        task = msgspec.structs.replace(task, slot=slot.number, ports=slot.ports)
    return task
