"""Uncommitted work as commits that exist for the length of a forecast: nothing of a worktree, its
index or the repository's objects changes.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from git_parallel import forecast, temporary
from git_parallel.errors import GitError
from git_parallel.git import Git
from git_parallel.repository import Repository
from git_parallel.wording import last_words
from git_parallel.worktree import Worktree

# A split index would be written beside the agent's own, and a monitor would stay behind.
SETTINGS = (
    *(
        "-c",
        "core.splitIndex=false",
        "-c",
        "core.fsmonitor=false",
        "-c",
        "core.untrackedCache=false",
    ),
    *("-c", "core.looseCompression=0", "-c", "core.safecrlf=false", "-c", "gc.auto=0"),
    *("-c", "core.hooksPath=/dev/null"),  # the user's are about the agent's index
)


class Snapshots(Struct, frozen=True):
    """The commits of uncommitted work, and why it, or a part of it, is not known; by worktree."""

    commits: dict[str, str]
    unknown: dict[str, str]


def snapshots(
    repository: Repository, scratch: Git, worktrees: Sequence[tuple[Worktree, str]]
) -> Snapshots:
    """All that is not committed in worktrees on their tips, where `scratch` puts objects; worktrees
    without any are left out.
    """
    trees: dict[str, tuple[str, str]] = {}
    unknown: dict[str, str] = {}
    with temporary.folder() as folder:
        width = os.cpu_count() or 1
        for first in range(0, len(worktrees), width):
            part = worktrees[first : first + width]
            gits = [_beside(repository, scratch, w, folder / w.id) for w, _ in part]
            for (worktree, tip), (tree, why) in zip(part, _trees(gits), strict=True):
                if tree:
                    trees[worktree.id] = (tree, tip)
                if why:
                    unknown[worktree.id] = why
    changed = _changed(scratch, trees)
    ids = forecast.commits(scratch, [(tree, [tip]) for tree, tip in changed.values()])
    return Snapshots(dict(zip(changed, ids, strict=True)), unknown)


def _beside(repository: Repository, scratch: Git, worktree: Worktree, index: Path) -> Git:
    """Git in a worktree, with a copy of its index; with the time of that too, since git looks
    closer at a file that is not older than the index that knows it.
    """
    if (worktree.admin / "index").exists():
        shutil.copy2(worktree.admin / "index", index)
    there = repository.git_in(worktree.path).environment
    objects = {name: value for name, value in scratch.environment.items() if "OBJECT_DIR" in name}
    return Git(worktree.path, {**there, **objects, "GIT_INDEX_FILE": str(index)})


def _trees(gits: Sequence[Git]) -> Iterator[tuple[str, str]]:
    """The tree of each working tree, and why it is not all of it, or why there is none; several at
    the same time.
    """
    adding = [git.begin(*SETTINGS, "add", "--all", "--ignore-errors") for git in gits]
    for git, process in zip(gits, adding, strict=True):
        tree = why = ""
        try:
            added = git.finish(process, ok=(0, 1, 128))
            why = last_words(added.err, lines=1) if added.code else ""
            if added.code == 128:  # such as a repository in it
                git.run(*SETTINGS, "add", "--update")
            tree = git.text(*SETTINGS, "write-tree")
        except GitError as error:
            why = error.message
        yield tree, why


def _changed(scratch: Git, trees: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """Those whose tree is not that of their tip."""
    if not trees:
        return {}
    known = scratch.lines("rev-parse", *(f"{tip}^{{tree}}" for _, tip in trees.values()))
    pairs = zip(trees.items(), known, strict=True)
    return {name: (tree, tip) for (name, (tree, tip)), committed in pairs if tree != committed}
