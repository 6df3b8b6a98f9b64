"""A linked worktree as its admin folder tells of it (gitrepository-layout(5)), without git."""

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from git_parallel import early, records

TASK_MARK = early.MARK
SCRATCH = ".scratch"  # the folder of a home with worktrees that live for a merge

OPERATIONS = {
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase or am",
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "BISECT_LOG": "a bisect",
    "sequencer": "a sequence of picks",
    "SQUASH_MSG": "a squash",
    "MERGE_AUTOSTASH": "an autostash",
}
LOCKS = ("index.lock", "HEAD.lock")  # in an admin folder, while git changes what lies beside them
# What git writes into a reflog when it makes a commit (GIT_REFLOG_ACTION in git(1)), not when a
# ref or a HEAD moves to one that exists.
MADE_HERE = re.compile(
    r"commit\b|cherry-pick|revert|am\b|.*: Merge made by"
    r"|(pull --)?rebase.* \((pick|reword|squash|fixup|continue)\)"
)


class Worktree(Struct, frozen=True):
    """A linked worktree, read from its admin folder (gitrepository-layout(5))."""

    admin: Path
    path: Path
    slug: str | None
    locked: str | None

    @property
    def id(self) -> str:
        """The name of its admin folder, which stays when the worktree is moved."""
        return self.admin.name

    @property
    def branch(self) -> str | None:
        """The full ref that its HEAD names, or None where HEAD is detached or unreadable."""
        with contextlib.suppress(OSError):
            head = (self.admin / "HEAD").read_text().strip()
            return head.removeprefix("ref: ") if head.startswith("ref: ") else None
        return None

    @property
    def is_scratch(self) -> bool:
        """Whether it is one of ours that lives for the length of a merge."""
        return self.path.parent.name == SCRATCH

    @property
    def operations(self) -> list[str]:
        """What git is in the middle of here: a rebase, a merge, a bisect and the like."""
        return operations_in(self.admin)

    @property
    def intact(self) -> bool:
        """Whether its `.git` file leads back to its admin folder."""
        with contextlib.suppress(OSError, ValueError):
            pointer = (content(f"{self.path}/.git") or "").strip().removeprefix("gitdir: ")
            return pointer == str(self.admin) or os.path.samefile(self.path / pointer, self.admin)
        return False


def operations_in(git_dir: Path) -> list[str]:
    """What git is in the middle of, as its files in a git dir tell."""
    try:
        names = set(os.listdir(git_dir))
    except OSError:
        return []
    return [what for name, what in OPERATIONS.items() if name in names]


def ref_locks(common: Path, branches: Iterable[str]) -> list[Path]:
    """The files that are there while git changes one of these branches, or drops any; where git
    died, they stay, and it refuses to.
    """
    heads = common / "refs" / "heads"
    return [common / "packed-refs.lock", *(heads / f"{branch}.lock" for branch in branches)]


def reflog(log: Path) -> list[tuple[str, str]]:
    """The new commit and the words of each entry: `old new who when`, a tab, the words."""
    try:
        lines = os.fsdecode(log.read_bytes()).splitlines()
    except OSError:
        return []
    parts = (line.partition("\t") for line in lines)
    return [(who.split(" ", 2)[1], words) for who, _, words in parts if " " in who]


def content(path: Path | str) -> str | None:
    """The text of a small file without its last newline, or None if there is none."""
    try:
        return os.fsdecode(records.read(path)).removesuffix("\n")
    except FileNotFoundError:
        return None


def find_worktree(admin: Path) -> Worktree | None:
    """The worktree of an admin folder, or None where it has none that can be read."""
    try:
        pointer = content(f"{admin}/gitdir")
        slug = content(f"{admin}/{TASK_MARK}")
        locked = content(f"{admin}/locked")
    except OSError:
        return None
    if not pointer:
        return None
    path = Path(os.path.normpath(os.path.join(admin, pointer))).parent
    return Worktree(admin, path, slug, locked)
