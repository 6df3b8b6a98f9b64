"""Landing tasks on trial, one onto the result of those before it, in objects that nobody keeps."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from git_parallel import forecast
from git_parallel.attributes import Places, Source
from git_parallel.forecast import Trial
from git_parallel.git import Git


class Work(Struct, frozen=True):
    """What lands: a tip in a place, a branch that is at `onto`. `fork` is where it left its parent,
    the task whose branch it was started from and which lands before it. `source` says whose
    attributes count where it lands, and `attributed` that it changes them. One `apart` counts from
    its fork wherever it lands.
    """

    tip: str
    place: str
    onto: str
    parent: str = ""
    fork: str = ""
    source: Source | None = None
    attributed: bool = False
    apart: bool = False


class Simulation:
    """The results of landing tasks in some order, each of them made once.

    A strategy that keeps no parents (a squash, a rebase) lands a child that was started from
    another task's branch by the changes since its fork, as its rebase does.
    """

    def __init__(
        self,
        git: Git,
        works: Mapping[str, Work],
        *,
        keeps_parents: bool,
        places: Places | None = None,
    ) -> None:
        self.git = git
        self.works = works
        self.places = places
        self.keeps_parents = keeps_parents
        self._results: dict[tuple[str, ...], str] = {}
        self._trials: dict[tuple[str, str], Trial] = {}

    def outcomes(self, landed: tuple[str, ...], names: Sequence[str]) -> dict[str, Trial]:
        """The outcome of merging each of some tasks onto the result of landing others."""
        pairs = {name: self._pair(landed, name) for name in names}
        missing = [pair for pair in dict.fromkeys(pairs.values()) if pair not in self._trials]
        if missing:
            places = self._places(landed, pairs) if self.places else {}
            self._trials |= forecast.merged(self.git, missing, places)
        return {name: self._trials[pair] for name, pair in pairs.items()}

    def _places(
        self, landed: tuple[str, ...], pairs: Mapping[str, tuple[str, str]]
    ) -> dict[str, Git]:
        """Where the merges into each commit are made: those of the target's attributes count, or
        what has landed has changed them.
        """
        changed = {self.works[name].place for name in landed if self.works[name].attributed}
        found: dict[str, Source] = {}
        for name, (ours, _) in pairs.items():
            work = self.works[name]
            if source := ours if work.place in changed else work.source:
                found[ours] = source
        return self.places.find(found) if self.places else {}

    def _pair(self, landed: tuple[str, ...], name: str) -> tuple[str, str]:
        """The two commits to merge."""
        work = self.works[name]
        before = self.result(landed, work.place, work.onto)
        follows = work.parent in landed and not self.keeps_parents
        if not follows and not work.apart:
            return before, work.tip
        return forecast.apart(self.git, work.fork, before, work.tip)

    def result(self, landed: tuple[str, ...], place: str, onto: str) -> str:
        """The commit that a branch which was at `onto` is at when these have landed, each of them
        cleanly, and some of them elsewhere.
        """
        there = tuple(name for name in landed if self.works[name].place == place)
        if not there:
            return onto
        if there not in self._results:
            *before, last = there
            trial = self.outcomes(tuple(before), [last])[last]
            parents = [self.result(tuple(before), place, onto)]
            parents += [self.works[last].tip] if self.keeps_parents else []
            (self._results[there],) = forecast.commits(self.git, [(trial.tree, parents)])
        return self._results[there]
