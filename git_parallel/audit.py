"""What a run did beside the files of its worktree: to refs, hooks, configuration, its `.git` file.

It works in a repository that others use at the same time, so only what can hardly be somebody
else's counts: settings that have programs run, hooks, and branches or tags that moved or went
though no worktree's HEAD was on their new commit and no merge of ours put them there.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from git_parallel import files
from git_parallel.hook_files import SHIM_HEAD
from git_parallel.repository import Repository
from git_parallel.worktree import Worktree, content, reflog

# Settings that name programs, or have git read or fetch from elsewhere (git-config(1)).
DANGEROUS = re.compile(
    r"alias\..*|core\.(hookspath|fsmonitor|sshcommand|pager|editor|askpass|worktree|gitproxy)"
    r"|(filter|diff|merge)\..*\.(clean|smudge|process|command|textconv|driver)|hook\..*"
    r"|credential\..*|gpg\..*|include(if)?\..*|url\..*|remote\..*\.(url|pushurl|vcs|.*pack)"
    r"|(sequence|pager|difftool|mergetool|http|protocol|uploadpack|receive)\..*",
    re.IGNORECASE,
)
OURS = b"# git parallel"  # the end of the line that we put into others' hooks
LANDED = re.compile(r"merge .*: (merge|squash|rebase|ff)$")
FETCHED = re.compile(r"fetch .*: fast-forward$")  # `git fetch origin main:main`


class Facts(Struct, frozen=True):
    """How things stood at one moment."""

    pointer: str | None
    settings: frozenset[str]
    hooks: dict[str, str]
    refs: dict[str, str]
    tasks: frozenset[str]


def take(repository: Repository, worktree: Worktree) -> Facts:
    """How things stand now; raises GitError."""
    git = repository.git
    settings = git.run("config", "--local", "--list", "-z", ok=(0, 1)).fields
    listed = git.lines(
        "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags"
    )
    return Facts(
        pointer=_pointer(worktree),
        settings=frozenset(s for s in settings if DANGEROUS.fullmatch(s.partition("\n")[0])),
        hooks=dict(_hooks(repository.common / "hooks")),
        refs={ref: tip for tip, _, ref in (line.partition(" ") for line in listed)},
        tasks=frozenset(f"refs/heads/{t.branch}" for _, t in repository.store.load_tasks()),
    )


def _pointer(worktree: Worktree) -> str | None:
    with contextlib.suppress(OSError):
        return content(worktree.path / ".git")
    return None


def _hooks(folder: Path) -> Iterator[tuple[str, str]]:
    """The digest of each hook that is not ours, without the line that is."""
    names = sorted(os.listdir(folder)) if folder.is_dir() else []
    for name in names:
        with contextlib.suppress(OSError):
            lines = (folder / name).read_bytes().splitlines()
            if not b"\n".join(lines).startswith(os.fsencode(SHIM_HEAD)):
                kept = [line for line in lines if not line.rstrip().endswith(OURS)]
                yield name, files.digest(*kept)


def breaches(before: Facts, repository: Repository, worktree: Worktree) -> list[str]:
    """What was changed since that a run has no business with, in words; raises GitError."""
    after = take(repository, worktree)
    told = [".git of the worktree"] if before.pointer != after.pointer else []
    changed = {setting.partition("\n")[0] for setting in before.settings ^ after.settings}
    told += [f"git config {key}" for key in sorted(changed)]
    names = sorted({**before.hooks, **after.hooks})
    told += [f"hooks/{n}" for n in names if before.hooks.get(n) != after.hooks.get(n)]
    ours = before.tasks | after.tasks
    moved = (r for r, tip in before.refs.items() if r not in ours and after.refs.get(r) != tip)
    return told + [ref for ref in moved if not _is_somebodys(repository, ref, after.refs.get(ref))]


def _is_somebodys(repository: Repository, ref: str, tip: str | None) -> bool:
    """Whether somebody else moved a ref: a HEAD was on its new commit, we landed a task, or it was
    fetched from where a remote has it, and not from the worktree.
    """
    if tip is None:
        return False
    entries = reflog(repository.common / "logs" / ref)
    if any(commit == tip and LANDED.match(words) for commit, words in entries[-1:]):
        return True
    if any(commit == tip and FETCHED.match(words) for commit, words in entries[-1:]):
        asked = ("for-each-ref", "--count=1", f"--points-at={tip}", "refs/remotes")
        if repository.git.text(*asked):
            return True
    logs = [repository.common / "logs" / "HEAD"]
    logs += [w.admin / "logs" / "HEAD" for w in repository.worktrees() if w.branch == ref]
    return any(commit == tip for log in logs for commit, _ in reflog(log))
