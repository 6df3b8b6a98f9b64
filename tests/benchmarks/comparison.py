"""Two ways to do a thing, measured alternately, and what their medians are held against."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Literal

Side = Callable[[int], float]  # prepares, times and tidies up round n; returns milliseconds


@dataclass(frozen=True, slots=True)
class Limit:
    """The most that ours may take: ms more than theirs, times theirs, or ms in all."""

    kind: Literal["ms more", "times", "ms"]
    value: float

    def __str__(self) -> str:
        return f"{self.value:g} {self.kind}"


@dataclass(frozen=True, slots=True)
class Result:
    """The median milliseconds of both sides; without a limit it is there for information.

    `least` holds the shortest times, for a machine with too much else to do.
    """

    what: str
    ours_ms: float
    theirs_ms: float | None = None
    limit: Limit | None = None
    least: tuple[float, ...] = ()

    @property
    def over(self) -> bool:
        """Whether ours takes longer than the limit allows."""
        if self.limit is None:
            return False
        theirs = self.theirs_ms or 0.0
        reached = {
            "ms more": self.ours_ms - theirs,
            "times": self.ours_ms / theirs if theirs else 0.0,
            "ms": self.ours_ms,
        }
        return reached[self.limit.kind] > self.limit.value

    def row(self) -> list[str]:
        """The result as it stands in the table."""
        theirs, apart = "", ""
        if self.theirs_ms:
            theirs = f"{self.theirs_ms:.1f}"
            apart = f"{self.ours_ms - self.theirs_ms:+.1f} ms, x{self.ours_ms / self.theirs_ms:.2f}"
        limit = str(self.limit) if self.limit else ""
        least = " / ".join(f"{ms:.1f}" for ms in self.least)
        return [self.what, f"{self.ours_ms:.1f}", theirs, apart, limit, verdict(self), least]


@dataclass(frozen=True, slots=True)
class Gate:
    """Something counted, which noise can't move; `in_all` counts what git starts by itself too."""

    what: str
    count: int
    limit: int | None = None
    in_all: int | None = None
    note: str = ""

    @property
    def over(self) -> bool:
        """Whether there are more than the limit allows."""
        return self.limit is not None and self.count > self.limit

    def row(self) -> list[str]:
        """The gate as it stands in the table."""
        in_all = "" if self.in_all is None else str(self.in_all)
        limit = "" if self.limit is None else str(self.limit)
        return [self.what, str(self.count), in_all, limit, verdict(self), self.note]


def verdict(found: Result | Gate) -> str:
    """One word for the table; none for what is there for information."""
    if found.limit is None:
        return "-"
    return "over" if found.over else "ok"


def compare(what: str, ours: Side, theirs: Side, limit: Limit, runs: int) -> Result:
    """Measure both sides in turn, after a round that doesn't count."""
    rounds = [(ours(number), theirs(number)) for number in range(runs + 1)][1:]
    first, second = zip(*rounds, strict=True)
    return Result(what, median(first), median(second), limit, (min(first), min(second)))
