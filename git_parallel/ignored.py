"""What git ignores in a worktree: can it be made again, and does a repository hide in it?"""

import fnmatch
import os
from pathlib import Path

from git_parallel import files
from git_parallel.schema import Regenerable

MAX_WALKED = 200_000  # entries of ignored folders; beyond that nobody knows what is in there


def nested_repository(folder: Path, limit: int) -> tuple[str, int]:
    """The first repository found below an ignored folder, and how many entries were looked at;
    too many of them count as one.
    """
    walked, todo = 0, [str(folder)]
    while todo:
        place = todo.pop()
        with os.scandir(place) as entries:
            for entry in entries:
                walked += 1
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)
                if entry.name == ".git" or (entry.name == "HEAD" and _is_bare(place)):
                    return place, walked
        if walked > limit:
            return f"{folder}, perhaps: it holds too many files to look at", walked
    return "", walked


def _is_bare(place: str) -> bool:
    """Whether a folder with a HEAD is a repository without a worktree (gitrepository-layout(5))."""
    return all(Path(place, name).is_dir() for name in ("objects", "refs"))


def can_be_made_again(place: Path, name: str, copied: dict[str, str], rules: Regenerable) -> bool:
    """Whether an ignored file or folder (`name`, with a slash behind it) is one that a tool makes
    again, or a copy of ours that nobody has changed: `copied` are the digests of these.
    """
    base = place.name
    if not name.endswith("/"):
        if any(fnmatch.fnmatchcase(base, pattern) for pattern in rules.files):
            return True
        return name in copied and files.digest_of(place) == copied[name]
    if place.is_symlink():
        return False
    marks = [m for key, m in rules.folders.items() if fnmatch.fnmatchcase(base, key)]
    names = [*os.listdir(place.parent), *os.listdir(place)] if marks else []
    return any(fnmatch.filter(names, mark) for group in marks for mark in group)
