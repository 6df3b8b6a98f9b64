"""A part of the commit graph, asked for once and then read without git. Pure.

It holds every commit that is reachable from its tips and not from its floor; the floor itself is
known to be reachable from all tips, so that what lies below it never tells two tips apart.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence


class History:
    """`parents` by commit; commits outside of it are at or below the floor."""

    def __init__(self, parents: Mapping[str, tuple[str, ...]], floor: str | None = None) -> None:
        self.parents = parents
        self.floor = floor
        self._reach: dict[str, frozenset[str]] = {}

    def reach(self, tip: str) -> frozenset[str]:
        """The commits at and below a tip, down to and with the floor's edge."""
        if tip not in self._reach:
            self._reach[tip] = _closure(tip, self.parents)
        return self._reach[tip]

    def contains(self, tip: str, commit: str) -> bool:
        """Whether a commit is at or below a tip; both must be tips that this graph was made for."""
        return commit in self.reach(tip)

    def ahead(self, tip: str, other: str) -> int:
        """How many commits are below `tip` and not below `other`."""
        return sum(c in self.parents for c in self.reach(tip) - self.reach(other))

    def merge_base(self, one: str, other: str) -> str | None:
        """A best common ancestor, the first by id where there are several; None if unrelated."""
        common = self.reach(one) & self.reach(other)
        above = {c for c in common if c in self.parents}
        best = sorted(above - {p for c in above for p in self.parents[c]})
        if best:
            return best[0]
        return self.floor if self.floor in common else min(common, default=None)

    def best(self, common: frozenset[str]) -> list[str]:
        """The best ones among common ancestors, of which each is as good as the others; `common`
        holds all that lies below its commits, and the floor, below which none is better.
        """
        above = {commit for commit in common if commit in self.parents}
        below = {parent for commit in above for parent in self.parents[commit]}
        return sorted((above | (common & {self.floor})) - below)

    def first_parents(self, tip: str) -> Iterator[str]:
        """The commits that a branch itself was at, newest first, as far as they are known."""
        commit = tip
        while commit in self.parents:
            yield commit
            if not self.parents[commit]:
                return
            commit = self.parents[commit][0]

    @functools.cached_property
    def _children(self) -> dict[str, list[str]]:
        children: dict[str, list[str]] = {}
        for commit, above in self.parents.items():
            for parent in above:
                children.setdefault(parent, []).append(commit)
        return children

    def carrier(self, target: str, tip: str) -> str | None:
        """The commit that brought `tip` into `target`: the oldest one on the target's own line
        that contains it, which is `tip` itself after a fast-forward; None if none did.
        """
        containing = _closure(tip, self._children)
        line = [commit for commit in self.first_parents(target) if commit in containing]
        return line[-1] if line else None


def _closure(start: str, edges: Mapping[str, Sequence[str]]) -> frozenset[str]:
    seen: set[str] = set()
    todo = [start]
    while todo:
        commit = todo.pop()
        if commit not in seen:
            seen.add(commit)
            todo.extend(edges.get(commit, ()))
    return frozenset(seen)
