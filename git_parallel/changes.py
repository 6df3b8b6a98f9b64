"""What changed between two commits, for many pairs in one call of git, and what of it was not
allowed.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from git_parallel.git import Git
from git_parallel.task import Task

NO_FILE = "0" * 6
GITLINK = "160000"  # the mode of a submodule
SUBMODULES = "--ignore-submodules=none"  # those, too, that .gitmodules has git diff leave out
HEADER = re.compile(r"\x01(?:[0-9a-f]{40}|[0-9a-f]{64})(?:\0|\Z)")


class Entry(Struct, frozen=True):
    """One path of a change: what stands on the old side and on the new one, as (mode, blob)."""

    path: str
    old: tuple[str, str]
    new: tuple[str, str]


class Change(Struct, frozen=True):
    """All that differs between two commits; lines of binary files don't count."""

    entries: tuple[Entry, ...] = ()
    files: int = 0
    insertions: int = 0
    deletions: int = 0

    @property
    def paths(self) -> list[str]:
        """The paths that differ, both names of a renamed file among them."""
        return [entry.path for entry in self.entries]

    @property
    def lines(self) -> int:
        """How many lines came or went."""
        return self.insertions + self.deletions

    def sides(self) -> dict[str, tuple[str, str]]:
        """What stands on the new side, by path."""
        return {entry.path: entry.new for entry in self.entries}


Pair = tuple[str, str]


def changes_between(git: Git, pairs: Iterable[Pair]) -> dict[Pair, Change]:
    """The change from the first to the second commit of each pair; raises GitError.

    `git diff-tree --stdin` takes "<commit> <parent>" lines and compares the two; the formats are
    git's raw and numstat output with `-z` (git-diff-tree(1)).
    """
    found = {pair: Change() for pair in pairs}
    if wanted := [pair for pair in found if pair[0] != pair[1]]:
        asked = "".join(f"{new} {old}\n" for old, new in wanted)
        words = ("diff-tree", "--stdin", "-r", "-M", "-z", "--raw", "--numstat", "--format=%x01%H")
        plain = ("--no-color", "--no-ext-diff", "--always", SUBMODULES)
        out = git.run(*words, *plain, stdin=asked).out
        parts = HEADER.split(out)[1:]
        found |= {pair: _parse(part) for pair, part in zip(wanted, parts, strict=True)}
    return found


def _parse(part: str) -> Change:
    fields = iter(part.split("\0"))
    entries: list[Entry] = []
    files = insertions = deletions = 0
    for field in fields:
        head = field.lstrip("\n")
        if head.startswith(":"):
            entries += _raw(head, fields)
        elif match := re.match(r"(\d+|-)\t(\d+|-)\t(.*)", head, re.DOTALL):
            files += 1
            insertions += int(match[1]) if match[1] != "-" else 0
            deletions += int(match[2]) if match[2] != "-" else 0
            if not match[3]:
                next(fields), next(fields)  # the two names of a rename
    return Change(tuple(entries), files, insertions, deletions)


def _raw(head: str, fields: Iterator[str]) -> Iterator[Entry]:
    old_mode, new_mode, old_blob, new_blob, kind = head[1:].split(" ")
    path = next(fields)
    if kind[0] not in "RC":
        yield Entry(path, (old_mode, old_blob), (new_mode, new_blob))
        return
    nothing = (NO_FILE, "0" * len(old_blob))
    if kind[0] == "R":
        yield Entry(path, (old_mode, old_blob), nothing)
    yield Entry(next(fields), nothing, (new_mode, new_blob))


def limits(task: Task) -> list[str]:
    """How much a task may change, in words. Pure."""
    bounds = ((task.max_files, "files"), (task.max_lines, "lines"))
    return [f"{most} {what}" for most, what in bounds if most]


def excesses(task: Task, *, files: int, lines: int) -> list[str]:
    """What a change of that size has more than a task may change, in words. Pure."""
    sizes = ((files, task.max_files, "files"), (lines, task.max_lines, "lines"))
    return [f"{size} {what}, {most} at most" for size, most, what in sizes if 0 < most < size]


def breaches(task: Task, paths: Sequence[str]) -> list[str]:
    """The changed paths that a task's constraints do not allow. Pure."""
    never = [_pattern(glob) for glob in task.never]
    touch = [_pattern(glob) for glob in task.touch]
    forbidden = set[str]()
    if never:
        forbidden |= {path for path in paths if any(p.fullmatch(path) for p in never)}
    if touch:
        forbidden |= {path for path in paths if not any(p.fullmatch(path) for p in touch)}
    return sorted(forbidden)


def plain(glob: str) -> str:
    """A glob without the folder that it counts from, which people write as `.`; that alone means
    all there is. Pure.
    """
    parts = [part for part in glob.rstrip("/").split("/") if part != "."]
    return "/".join(parts) if parts else "**"


def _pattern(glob: str) -> re.Pattern[str]:
    """A glob as git's pathspecs read it with `:(glob)`: `*` stays in a folder, `**` does not, and
    a folder's name means all below it.
    """
    out = ""
    for token in re.findall(r"\*\*/|\*\*|\*|\?|\[[^]]+\]|.", plain(glob), re.DOTALL):
        known = {"**/": "(.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
        if token.startswith("[") and len(token) > 1:
            out += token.replace("[!", "[^", 1)
        else:
            out += known.get(token) or re.escape(token)
    return re.compile(out + "(/.*)?", re.DOTALL)
