"""The environment of a worktree, as its last bootstrap recorded it in the admin folder."""

from datetime import datetime

from msgspec import Struct

from git_parallel import records
from git_parallel.worktree import Worktree

RECORD = "parallel.json"
OK, FAILED, BLOCKED, SKIPPED = "ok", "failed", "blocked", "skipped"
UNTRUSTED = "commands of this project are not trusted yet"


class Step(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step of a bootstrap: what it depended on, how it ended, which folders it made."""

    name: str
    inputs: str
    outcome: str
    seconds: float
    reason: str = ""
    made: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """What went wrong, with the step's name where the words don't tell it."""
        return self.reason if self.name in self.reason else f"{self.name}: {self.reason}"


class Doing(Struct, frozen=True, forbid_unknown_fields=True):
    """The step that is under way, and the tag of its processes."""

    name: str
    began: datetime
    tag: str


class Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was done for a worktree, the digests of the files that were copied into it, and which
    of these stay as they were edited here though their originals have changed.
    """

    steps: tuple[Step, ...] = ()
    copied: dict[str, str] = {}
    kept: tuple[str, ...] = ()
    log: str = ""
    doing: Doing | None = None
    ended: datetime | None = None
    version: int = 1

    @property
    def trouble(self) -> Step | None:
        """The first step that did not succeed."""
        return next((s for s in self.steps if s.outcome in (FAILED, BLOCKED)), None)


def record_of(worktree: Worktree) -> Record | None:
    """What was done for a worktree, or None if nothing ever was."""
    return records.find_record(f"{worktree.admin}/{RECORD}", Record)


def way_out(step: Step, again: str) -> str:
    """The command that goes on from a step that did not succeed; `again` is what tries it anew."""
    return f"git parallel trust && {again}" if step.outcome == BLOCKED else again
