"""Uncommitted work as commits that exist for the length of a forecast: nothing of a worktree, its
index or the repository's objects changes.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from git_parallel import forecast, temporary
from git_parallel.attributes import touches
from git_parallel.changes import SUBMODULES
from git_parallel.errors import GitError
from git_parallel.git import Git
from git_parallel.index import copy
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
    """The commits of uncommitted work, and why it, or a part of it, is not known; by worktree. The
    `attributed` are those of the commits that change attributes.
    """

    commits: dict[str, str]
    unknown: dict[str, str]
    attributed: frozenset[str] = frozenset()


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
    if not trees:
        return Snapshots({}, unknown)
    ids = forecast.commits(scratch, [(tree, [tip]) for tree, tip in trees.values()])
    made = dict(zip(trees, ids, strict=True))
    changes = _changes(scratch, ids)
    attributed = frozenset(commit for commit, paths in changes.items() if touches(paths))
    commits = {name: commit for name, commit in made.items() if changes[commit]}
    return Snapshots(commits, unknown, attributed)


def _beside(repository: Repository, scratch: Git, worktree: Worktree, index: Path) -> Git:
    """Git in a worktree, with a copy of its index."""
    copy(worktree.admin / "index", index)
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


def _changes(scratch: Git, commits: Sequence[str]) -> dict[str, list[str]]:
    """The paths that each commit changed, in the form of git-diff-tree(1) for `--stdin`: a commit
    that changed none is left out there.
    """
    found: dict[str, list[str]] = {commit: [] for commit in commits}
    how = ("-r", "-z", "--name-only", "--no-renames", "--no-relative", SUBMODULES)
    asked = "".join(f"{commit}\n" for commit in commits)
    paths: list[str] = []
    for field in scratch.run("diff-tree", "--stdin", *how, stdin=asked).fields:
        if field in found:
            paths = found[field]
        else:
            paths.append(field)
    return found
