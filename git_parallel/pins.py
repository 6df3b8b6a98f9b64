"""Refs that keep every commit of a removed worktree reachable, until the trash is emptied."""

import re
from collections.abc import Iterable
from pathlib import Path

from git_parallel.repository import Repository
from git_parallel.worktree import Worktree

PINS = "refs/parallel/trash"
CHANGED = ("diff-index", "--cached", "--no-renames", "--ignore-submodules=all", "--raw", "-z")
FIRST_ID = re.compile(r"^([0-9a-f]{64}|[0-9a-f]{40})(?=\s|$)", re.MULTILINE)


def pin(repository: Repository, name: str, commits: Iterable[str]) -> None:
    """Make refs of a name to those of the commits that exist."""
    existing = _existing(repository, list(dict.fromkeys(commits)))
    lines = [f"create {PINS}/{name}/{n} {commit}\n" for n, commit in enumerate(existing)]
    if lines:
        repository.git.run("update-ref", "--stdin", stdin="".join(lines))


def unpin(repository: Repository, name: str) -> None:
    """Delete the refs of a name."""
    lines = [f"delete {ref}\n" for ref in repository.branches(f"{PINS}/{name}")]
    if lines:
        repository.git.run("update-ref", "--stdin", stdin="".join(lines))


def commits_at(worktree: Worktree) -> list[str]:
    """The commits that only a worktree knows: a detached HEAD, its reflog, its own refs, and what
    an operation that is not finished holds, an autostash among it.
    """
    admin = worktree.admin
    files = [
        path for path in admin.glob("*") if path.name.isupper() and path.name != "COMMIT_EDITMSG"
    ]
    for folder in ("refs", "rebase-merge", "rebase-apply", "sequencer"):
        files += (admin / folder).glob("**/*")
    texts = [path.read_text("utf-8", "replace") for path in files if path.is_file()]
    loose = [found[1] for text in texts for found in FIRST_ID.finditer(text)]
    return [*commits_in(admin / "logs" / "HEAD"), *loose]


def staged_at(repository: Repository, worktree: Worktree) -> list[str]:
    """A tree of all blobs that only a worktree's index knows, all versions of a path in conflict
    among them; git keeps these for a worktree (git-gc(1)), but not for one in the trash.
    """
    if not (worktree.admin / "index").exists():
        return []
    place = repository.place
    there = {"GIT_DIR": str(worktree.admin), "GIT_WORK_TREE": str(place)}
    git = repository.git.at(place, **there)
    changed = git.run(*CHANGED, "HEAD", ok=(0, 128)).fields[::2]
    found = [field.split(" ")[3] for field in changed if not field.endswith(" D")]
    found += [field.split(" ")[1] for field in git.fields("ls-files", "--unmerged", "-z")]
    blobs = _existing(repository, [blob for blob in dict.fromkeys(found) if blob.strip("0")])
    if not blobs:
        return []
    lines = "".join(f"100644 blob {blob}\t{n}\0" for n, blob in enumerate(blobs))
    return [repository.git.text("mktree", "-z", stdin=lines)]


def commits_in(log: Path) -> list[str]:
    """The commits that a reflog names, old and new; none where there is no log."""
    try:
        lines = log.read_text("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []
    found = [commit for line in lines for commit in line.split(" ", 2)[:2]]
    return [commit for commit in found if commit.strip("0")]


def _existing(repository: Repository, commits: list[str]) -> list[str]:
    if not commits:
        return []
    asked = "".join(f"{commit}\n" for commit in commits)
    # Pinned is what is there: a todo list may name what is gone.
    answers = repository.git.lines("cat-file", "--batch-check=%(objectname)", stdin=asked)
    return [commit for commit, answer in zip(commits, answers, strict=True) if answer == commit]
