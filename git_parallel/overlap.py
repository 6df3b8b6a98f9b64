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
from collections.abc import Iterable, Mapping

from msgspec import Struct

from git_parallel.git import Git
from git_parallel.history import History

MARK = "\1"


class Footprint(Struct, frozen=True):
    """Where commits changed something: the paths, all folders above these, those that may have
    been renamed, and those that something was put into.
    """

    paths: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()
    left: frozenset[str] = frozenset()
    entered: frozenset[str] = frozenset()

    def meets(self, other: "Footprint") -> bool:
        """Whether a merge of the two could need more than taking each path from one side."""
        return not (
            self.paths.isdisjoint(other.paths)
            and self.paths.isdisjoint(other.folders)
            and self.folders.isdisjoint(other.paths)
            and self.left.isdisjoint(other.entered)
            and self.entered.isdisjoint(other.left)
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
    moved = bool(added and removed)
    return Footprint(paths, _above(paths), _above(removed) if moved else frozenset(), _above(added))


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
        self._places: dict[frozenset[str], frozenset[str]] = {}
        self._between = functools.cache(self._find_between)
        self._base = functools.cache(self._find_base)
        self._shared = functools.cache(self._find_shared)
        self._own = functools.cache(lambda tip: self.history.reach(tip) - self._trunk)

    def may_collide(self, one: str, other: str) -> bool:
        """Whether a merge of two tips has to be tried to know what comes of it."""
        if not self._own(one).isdisjoint(self._own(other)):
            return True
        base = self._base(self._shared(one), self._shared(other))
        return base is None or self._between(base, one).meets(self._between(base, other))

    def _find_shared(self, tip: str) -> frozenset[str]:
        """The commits of the trunk that a tip stands on: one value for all that forked there."""
        shared = self.history.reach(tip) & self._trunk
        return self._places.setdefault(shared, shared)

    def _find_base(self, one: frozenset[str], other: frozenset[str]) -> str | None:
        """The merge base of two tips that share no more than the trunk; None if not one commit."""
        best = self.history.best(one & other)
        return best[0] if len(best) == 1 else None

    def _find_between(self, base: str, tip: str) -> Footprint:
        commits = self.history.reach(tip) - self.history.reach(base)
        return footprint(self.changes[c] for c in commits if c in self.changes)


def graph_of(git: Git, tips: Iterable[str], floor: str, trunk: str) -> Graph | None:
    """The graph above a common ancestor of all tips; None where `floor` is not below all of them.

    One call of `git log` for any number of tips; its form is that of git-diff-tree(1)'s `-z
    --name-status`, once for each parent of a merge.
    """
    wanted = list(dict.fromkeys([trunk, *tips]))
    asked = "\n".join([*wanted, f"^{floor}"]) + "\n"
    arguments = (
        *("-c", "log.showSignature=false", "log", "--stdin", "-z", "-m", "--name-status"),
        *("--no-renames", "--no-relative", "--ignore-submodules=none", "--no-ext-diff"),
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
