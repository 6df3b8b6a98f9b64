"""Who else is at work in a repository, as a brief tells it, and whose ground a task enters."""

import functools
import re
from collections.abc import Iterable

from msgspec import structs

from git_parallel.brief import Neighbour
from git_parallel.changes import breaches, plain
from git_parallel.overview import look
from git_parallel.repository import Repository
from git_parallel.task import Status, Task


def neighbours(repository: Repository, task: Task) -> list[Neighbour]:
    """The other live tasks, with what they changed and may change, those that meet the task's own
    ground first; raises ParallelError.
    """
    if len(repository.store.folders()) < 2:
        return []
    views = look(repository, files=False).tasks
    others = (v for v in views if v.task.slug != task.slug and v.status is not Status.MERGED)
    found = [
        Neighbour(v.task.name, v.task.prompt, v.facts.paths if v.facts else (), v.task.touch)
        for v in others
    ]
    met = overlaps(task, found)
    return sorted(found, key=lambda other: other.name not in met)


def overlaps(task: Task, others: Iterable[Neighbour]) -> dict[str, tuple[str, ...]]:
    """Where a task that may only touch some paths meets others, by their names: paths that they
    have changed, or else patterns of what they may. Pure.
    """
    allowed = structs.replace(task, never=())
    found = {}
    for other in others:
        outside = set(breaches(allowed, other.paths))
        inside = [path for path in other.paths if path not in outside]
        likely = [glob for glob in other.touch if any(_meet(glob, mine) for mine in task.touch)]
        if task.touch and (inside or likely):
            found[other.name] = tuple(inside or likely)
    return found


def _meet(one: str, other: str) -> bool:
    """Whether a path can match both patterns; where a part of a name is in brackets, it says yes
    too often.
    """
    tokens = [re.findall(r"\*\*/?|\[[^]]+\]|.", plain(glob), re.DOTALL) for glob in (one, other)]
    # A pattern that ends at a folder means all below it.
    ours, theirs = ([*found, "/", "**"] for found in tokens)
    return any(_common(tuple(a), tuple(b)) for a in (ours, tokens[0]) for b in (theirs, tokens[1]))


@functools.cache
def _common(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether a text can match two lists of characters, `?`, brackets, `*` and `**`."""
    if not one or not other:
        return all(part.startswith("*") for part in one + other)
    for ours, theirs in ((one, other), (other, one)):
        if ours[0].startswith("*"):
            eats = ours[0] != "*" or theirs[0] != "/"
            return _common(ours[1:], theirs) or (eats and _common(ours, theirs[1:]))
    loose = any(part == "?" or len(part) > 1 for part in (one[0], other[0]))
    return (loose or one[0] == other[0]) and _common(one[1:], other[1:])
