"""Files that git does not track and that a change would overwrite: git overwrites ignored ones
without a word.
"""

import itertools
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from git_parallel.changes import GITLINK, NO_FILE, Change


def in_the_way(place: Path, change: Change) -> Iterator[str]:
    """The files below a folder that a change would overwrite or remove: what stands, untracked or
    ignored, where it adds a file or needs a folder; all of a submodule, where it comes for that.
    """
    removed = {entry.path for entry in change.entries if entry.new[0] == NO_FILE}
    # A file system that folds case shows a file that is renamed only in case as being there.
    folded = {path.casefold() for path in removed}
    seen: set[Path] = set()
    for entry in change.entries:
        path = Path(entry.path)
        if entry.old[0] == GITLINK and entry.new[0] not in (GITLINK, NO_FILE):
            yield from _files(place, path)  # git removes it without a look (2.39)
            continue
        if entry.old[0] != NO_FILE or entry.new[0] == NO_FILE:
            continue
        for above in reversed(path.parents[:-1]):
            if above not in seen and _is_file(place / above) and str(above) not in removed:
                yield str(above)
            seen.add(above)
        if entry.new[0] == GITLINK and (place / path).is_dir():
            continue
        if _is_file(place / path) and entry.path.casefold() not in folded:
            yield entry.path
        elif (place / path).is_dir() and not (place / path).is_symlink():
            yield from (found for found in _files(place, path) if found not in removed)


def _is_file(path: Path) -> bool:
    return path.is_symlink() or (path.exists() and not path.is_dir())


def _files(place: Path, folder: Path) -> Iterator[str]:
    for top, _, names in os.walk(place / folder):
        yield from (str((Path(top) / name).relative_to(place)) for name in names)


def aside(place: Path, change: Change, found: str) -> str:
    """The command that takes what is in the way out of it: the whole folder that stands where a
    file comes, but not what is tracked in there.
    """
    added = (entry.path for entry in change.entries if entry.new[0] != NO_FILE)
    top = next((path for path in added if found.startswith(f"{path}/")), found)
    to = _free(place / f"{top}.mine")
    if top == found or not any(entry.path.startswith(f"{top}/") for entry in change.entries):
        return shlex.join(["mv", str(place / top), str(to)])
    to /= found.removeprefix(f"{top}/")
    made = shlex.join(["mkdir", "-p", str(to.parent)])
    return f"{made} && {shlex.join(['mv', str(place / found), str(to)])}"


def _free(path: Path) -> Path:
    """A name that nothing has yet."""
    others = (path.with_name(f"{path.name}{number}") for number in itertools.count(2))
    names = itertools.chain([path], others)
    return next(name for name in names if not os.path.lexists(name))
