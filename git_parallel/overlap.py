"""Which tips can't collide, by the paths that their commits changed: those need no trial. Pure.

Git merges two tips against their merge base. A path that only one side changed is taken from that
side, so that two sides can only collide where they meet:

- in a path that both changed: a rename counts as its two names;
- where one has a file and the other a folder: `a` beside `a/b`;
- where one may have renamed a folder that the other put something into: git takes a folder for
  renamed by the files that are gone on a side and those that are new there, so that a side which
  has both may have renamed every folder that it took a file from, and those above it.

What each side changed is counted more than it is, as the union of what its commits changed, which
holds every path that differs in the end: from the base up to a tip there is a line of commits, and
one of them made the difference (a merge commit counts against each of its parents). Where the
merge base is not one commit (criss-cross histories) or the tips share work that their target
does not have, nothing is known here, and the trial decides.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from git_parallel.changes import SUBMODULES
from git_parallel.git import Git
from git_parallel.history import History

MARK = "\1"


class Footprint(Struct, frozen=True):
    """Where commits changed something: the paths, all folders above these, those above paths that
    are gone, and those above new ones.
    """

    paths: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()
    left: frozenset[str] = frozenset()
    entered: frozenset[str] = frozenset()


def meet(one: Sequence[Footprint], other: Sequence[Footprint]) -> bool:
    """Whether a merge of two sides, each of several footprints, could need more than taking each
    path from one of them.
    """
    moved = any(part.entered for part in one), any(part.entered for part in other)
    return not all(
        ours.paths.isdisjoint(theirs.paths)
        and ours.paths.isdisjoint(theirs.folders)
        and ours.folders.isdisjoint(theirs.paths)
        and not (moved[0] and not ours.left.isdisjoint(theirs.entered))
        and not (moved[1] and not ours.entered.isdisjoint(theirs.left))
        for ours in one
        for theirs in other
    )


class Changes(Struct, frozen=True):
    """The paths that commits added, removed and changed in place."""

    added: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()
    edited: frozenset[str] = frozenset()


def footprint(changes: Iterable[Changes]) -> Footprint:
    """Where several commits together changed something."""
    parts = list(changes)
    added = frozenset().union(*(part.added for part in parts))
    removed = frozenset().union(*(part.removed for part in parts))
    paths = added.union(removed, *(part.edited for part in parts))
    return Footprint(paths, _above(paths), _above(removed), _above(added))


def _above(paths: Iterable[str]) -> frozenset[str]:
    """The folders above some paths, with the top, which is empty."""
    found: set[str] = set()
    for path in paths:
        while path and (path := path.rpartition("/")[0]) not in found:
            found.add(path)
    return frozenset(found)


class Graph:
    """The commits above a floor and what each changed; `trunk` is the tip that most forked from."""

    def __init__(self, history: History, changes: Mapping[str, Changes], trunk: str) -> None:
        self.history = history
        self.changes = changes
        self._trunk = history.reach(trunk)
        self._own = functools.cache(lambda tip: self.history.reach(tip) - self._trunk)
        self._shared = functools.cache(lambda tip: self.history.reach(tip) & self._trunk)
        self._of_own = functools.cache(lambda tip: self._footprint(self._own(tip)))
        self._since = functools.cache(
            lambda base: self._footprint(self._trunk - self.history.reach(base))
        )
        self._base = functools.cache(self._find_base)

    def may_collide(self, one: str, other: str) -> bool:
        """Whether a merge of two tips has to be tried to know what comes of it."""
        if not self._own(one).isdisjoint(self._own(other)):
            return True
        base = self._base_of(self._shared(one), self._shared(other))
        if base is None:
            return True
        sides = [self._side(tip, base) for tip in (one, other)]
        return all(len(side) > 1 for side in sides) or meet(*sides)

    def _side(self, tip: str, base: str) -> list[Footprint]:
        """What a tip changed since the base: its own work and, where it forked from a later commit
        of the trunk, all that happened there since the base, which is more than it has of that.
        """
        own = self._of_own(tip)
        forked_there = len(self._shared(tip)) == len(self.history.reach(base))
        return [own] if forked_there else [own, self._since(base)]

    def _base_of(self, one: frozenset[str], other: frozenset[str]) -> str | None:
        """The merge base of two tips by what they have of the trunk, if they share no more; None
        where it is not one commit.
        """
        if one <= other:
            return self._base(one)
        return self._base(other if other <= one else one & other)

    def _find_base(self, common: frozenset[str]) -> str | None:
        best = self.history.best(common)
        return best[0] if len(best) == 1 else None

    def _footprint(self, commits: Iterable[str]) -> Footprint:
        return footprint(self.changes[commit] for commit in commits if commit in self.changes)


def graph_of(git: Git, tips: Iterable[str], floor: str, trunk: str) -> Graph | None:
    """The graph above a common ancestor of all tips; None where `floor` is not below all of them.

    One call of `git log` for any number of tips; its form is that of git-diff-tree(1)'s `-z
    --name-status`, once for each parent of a merge.
    """
    wanted = list(dict.fromkeys([trunk, *tips]))
    asked = "\n".join([*wanted, f"^{floor}"]) + "\n"
    arguments = (
        *("-c", "log.showSignature=false", "log", "--stdin", "-z", "--name-status"),
        "--diff-merges=separate",
        *("--no-renames", "--no-relative", SUBMODULES, "--no-ext-diff"),
        *("--no-notes", "--no-mailmap", "--no-color", f"--format={MARK}%H %P"),
    )
    parents, changes = _parse(git.run(*arguments, stdin=asked).out)
    history = History(parents, floor)
    if all(history.contains(tip, floor) for tip in wanted):
        return Graph(history, changes, trunk)
    return None


def _parse(out: str) -> tuple[dict[str, tuple[str, ...]], dict[str, Changes]]:
    parents: dict[str, tuple[str, ...]] = {}
    found: dict[str, dict[str, set[str]]] = {}
    fields = iter(out.split("\0"))
    commit = ""
    for field in fields:
        word = field.lstrip("\n")
        if word.startswith(MARK):
            commit, *above = word[1:].split()
            parents[commit] = tuple(above)
        elif word:
            path = next(fields)
            found.setdefault(commit, {}).setdefault(word[0], set()).add(path)
    return parents, {commit: _changes(kinds) for commit, kinds in found.items()}


def _changes(kinds: Mapping[str, set[str]]) -> Changes:
    edited = frozenset().union(*(paths for kind, paths in kinds.items() if kind not in "AD"))
    return Changes(frozenset(kinds.get("A", ())), frozenset(kinds.get("D", ())), edited)
