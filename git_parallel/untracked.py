"""Files that git does not track and that a change would overwrite: git overwrites ignored ones
without a word.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from git_parallel.changes import NO_FILE, Change

SUBMODULE = "160000"


def in_the_way(place: Path, change: Change) -> Iterator[str]:
    """The files below a folder that a change would overwrite or remove: what stands, untracked or
    ignored, where it adds a file or needs a folder.
    """
    removed = {entry.path for entry in change.entries if entry.new[0] == NO_FILE}
    # A file system that folds case shows a file that is renamed only in case as being there.
    folded = {path.casefold() for path in removed}
    seen: set[Path] = set()
    for entry in change.entries:
        if entry.old[0] != NO_FILE or entry.new[0] == NO_FILE:
            continue
        path = Path(entry.path)
        for above in reversed(path.parents[:-1]):
            if above not in seen and _is_file(place / above) and str(above) not in removed:
                yield str(above)
            seen.add(above)
        if entry.new[0] == SUBMODULE and (place / path).is_dir():
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
