"""Tasks, runs and the status that follows from them. No git, no files."""

import enum
import re
import time
import unicodedata
from datetime import UTC, datetime
from typing import NewType

from msgspec import Struct

from git_parallel.errors import UsageError

TaskName = NewType("TaskName", str)
Slug = NewType("Slug", str)

MAX_NAME_BYTES = 100
NAME = re.compile(r"[^\W_]([\w.-]*\w)?(/[^\W_]([\w.-]*\w)?)*")
RESERVED = frozenset({"head"})


class Status(enum.StrEnum):
    """What a task is in, in the words that `list` shows."""

    IDLE = "idle"
    QUEUED = "queued"
    PREPARING = "preparing"
    RUNNING = "running"
    WAITING = "waiting"
    STALLED = "stalled"
    READY = "ready"
    EMPTY = "empty"
    FAILED = "failed"
    STOPPED = "stopped"
    LOST = "lost"
    MERGED = "merged"


class Phase(enum.StrEnum):
    """How far a run is; written by its runner, and by nobody else while that lives."""

    QUEUED = "queued"
    PREPARING = "preparing"
    RUNNING = "running"
    COLLECTING = "collecting"
    CHECKING = "checking"
    ENDED = "ended"

    @property
    def status(self) -> Status:
        """The status of a living run in this phase."""
        known = {Phase.QUEUED: Status.QUEUED, Phase.PREPARING: Status.PREPARING}
        return known.get(self, Status.RUNNING)


class Task(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named piece of work, as `start` made it; git knows everything that changes later."""

    version: int = 1
    name: TaskName
    slug: Slug
    branch: str
    target: str
    base: str
    path: str
    slot: int
    ports: tuple[int, ...]
    created: datetime
    prompt: str | None = None
    touch: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    max_files: int = 0
    max_lines: int = 0
    after: tuple[str, ...] = ()
    attempt_of: str | None = None


class Outcome(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an agent's own events come to; `limited` says when a limit of its service ends."""

    session: str | None = None
    error: str = ""
    limited: str = ""
    denied: tuple[str, ...] = ()
    cost_usd: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


class Check(Struct, frozen=True, forbid_unknown_fields=True):
    """A command that had to pass, and how it ended; None is "did not run"."""

    command: str
    exit_code: int | None
    seconds: float


class Run(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One execution on a task. `exit_code` is negative for a signal, as in Python's subprocess;
    `offset` is where in the log the command's part begins, `output` the form of its events.
    An `interactive` one runs on a terminal; `question` is what it asks of a person now. `clock` is
    what `clock()` was when it started.
    """

    version: int = 1
    number: int
    agent: str | None
    command: tuple[str, ...]
    model: str | None = None
    effort: str | None = None
    phase: Phase
    queued: datetime
    bootstrap: bool = True
    output: str = "text"
    offset: int = 0
    session: str | None = None
    resumed: bool = False
    interactive: bool = False
    question: str = ""
    outcome: Outcome | None = None
    stalled_s: float = 0.0
    prompt: str | None = None
    detail: str = ""
    pid: int | None = None
    started: datetime | None = None
    clock: float = 0.0
    ended: datetime | None = None
    exit_code: int | None = None
    result: Status | None = None
    reason: str = ""
    hint: str = ""
    head: str | None = None
    committed: str | None = None
    breaches: tuple[str, ...] = ()
    meddled: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()

    @property
    def got_through(self) -> bool:
        """Whether its command came to its own end, and told of no error: so it heard its prompt."""
        return self.exit_code == 0 and not (self.outcome and self.outcome.error)

    @property
    def has_conversation(self) -> bool:
        """Whether there is one to go on with, as far as its record tells: before its command
        begins, nobody has written how that will print its events.
        """
        begun = self.got_through or self.output != "text"
        return self.session is not None and (self.resumed or begun)


def now() -> datetime:
    """The current time, aware and in UTC."""
    return datetime.now(UTC)


def clock() -> float:
    """When the machine was started, by the clock as it is set now, in seconds since the epoch and
    without the times that the machine slept; a change of it is one of the clock.
    """
    return time.time() - time.monotonic()


def parse_name(text: str) -> TaskName:
    """The task name that a text stands for, in Unicode's composed form; raises UsageError."""
    name = unicodedata.normalize("NFC", text)
    if not name:
        raise UsageError("a task needs a name", hint="git parallel start fix-login")
    if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        raise UsageError(
            f"the task name `{name[:24]}…` is too long",
            hint=f"use at most {MAX_NAME_BYTES} bytes",
        )
    if not NAME.fullmatch(name) or ".." in name or _has_lock_suffix(name):
        raise UsageError(
            f"`{_printable(name)}` can't be a task name",
            hint="use letters, digits and `.` `_` `-` `/`, beginning with a letter or digit",
        )
    if name.casefold() in RESERVED:
        raise UsageError(f"`{name}` is a reserved name", hint="choose another name")
    return TaskName(name)


def _has_lock_suffix(name: str) -> bool:
    return any(part.casefold().endswith(".lock") for part in name.split("/"))


def _printable(text: str) -> str:
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


def same_name(one: str, other: str) -> bool:
    """Whether two names would meet on a file system that folds case or composes letters."""
    return folded(one) == folded(other)


def folded(name: str) -> str:
    """A name as the most forgiving file system compares it."""
    return unicodedata.normalize("NFC", name.casefold())


def slug_of(name: TaskName, taken: frozenset[str]) -> Slug:
    """The folder name of a task: its name made flat, with a number where that is taken.

    `taken` holds the folded slugs of other tasks.
    """
    flat = name.replace("/", "-")
    slug, number = flat, 2
    while folded(slug) in taken:
        slug, number = f"{flat}-{number}", number + 1
    return Slug(slug)


def silence(seen_s: float, set_s: float) -> float:
    """For how many seconds a run has really printed nothing, whose log looks that old: by so many
    seconds the clock was set forward since the run began, or back, or the machine slept. Pure.
    """
    before_that = seen_s >= set_s > 0 or seen_s < 0 > set_s
    return seen_s - set_s if before_that else seen_s


def status_of(
    run: Run | None,
    *,
    alive: bool,
    merged: bool,
    moved_on: bool,
    made: bool = True,
    silent_s: float = 0.0,
) -> tuple[Status, str]:
    """A task's status and the reason to show beside it.

    `alive`: somebody holds the lock of its run. `merged`: there is evidence that its tip landed.
    `moved_on`: its branch is not where its last run left it. `made`: its `start` came to its end.
    `silent_s`: for how many seconds its run has printed nothing.
    """
    if alive and run and run.phase is Phase.RUNNING and run.question:
        return Status.WAITING, run.question
    if alive and run and run.phase is Phase.RUNNING and 0 < run.stalled_s <= silent_s:
        return Status.STALLED, f"it has printed nothing for {int(silent_s // 60)} min"
    if alive:
        return (run.phase.status, run.detail) if run else (Status.PREPARING, "")
    if not made:
        return Status.LOST, "its `start` was interrupted"
    if merged:
        return Status.MERGED, ""
    if run is None:
        return Status.IDLE, ""
    if run.result is None:
        return Status.LOST, f"its runner died while {run.phase}"
    if run.result is Status.EMPTY and moved_on:
        return Status.IDLE, f"changed since run {run.number}"
    return run.result, run.reason
