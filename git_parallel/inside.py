"""Inside a worktree that was moved or copied: git finds no repository there, or the original's."""

import os
from collections.abc import Iterator
from pathlib import Path

from git_parallel.errors import ParallelError
from git_parallel.relocation import settle, shown
from git_parallel.ties import admin_of, is_same, tie
from git_parallel.worktree import content


def reconnect(folder: Path) -> bool:
    """Mend from inside a worktree, where git finds no repository any more; whether that did it."""
    top = next((place for place in (folder, *folder.parents) if (place / ".git").is_file()), None)
    lost = admin_of(top) if top else None
    if top is None or lost is None or lost.exists() or lost.parent.name != "worktrees":
        return False
    for common in _places_of(lost.parent.parent, top):
        if (common / "worktrees" / lost.name / "gitdir").is_file():
            settle(common, common.parent if common.name == ".git" else None)
            if lost_no_more(top):
                return True
    return False


def lost_no_more(top: Path) -> bool:
    """Whether a worktree's `.git` leads to an admin folder."""
    admin = admin_of(top)
    return admin is not None and admin.is_dir()


def _places_of(old: Path, top: Path) -> Iterator[Path]:
    """Where a git dir may be now that was at `old`, seen from a worktree that moved with it."""
    for above in top.parents:
        for taken in range(1, len(old.parts)):
            yield above / Path(*old.parts[-taken:])


def cut_off(folder: Path) -> ParallelError | None:
    """The error for a worktree whose repository is not where its `.git` file says, if it is one."""
    top = next((place for place in (folder, *folder.parents) if (place / ".git").is_file()), None)
    lost = admin_of(top) if top else None
    if lost is None or lost.exists() or lost.parent.name != "worktrees":
        return None
    return ParallelError(
        f"the repository of {top} is not in {shown(lost.parent.parent)} any more",
        hint="where it is now, git parallel list leads its worktrees back",
    )


def refuse_copied(top: Path, admin: Path) -> None:
    """Raise ParallelError in a copy of a worktree: git would work on the original's branch there.
    A worktree that was moved by hand is registered where it is now, as git does it a day later.
    """
    named = content(admin / "gitdir")
    if named is None or named == str(top / ".git") or admin_of(top) != admin:
        return
    original = Path(os.path.normpath(admin / named)).parent
    if is_same(original, top):
        return
    if admin_of(original) is None:
        tie(top, admin)
        return
    raise ParallelError(
        f"{top} is a copy of the worktree {original}, and git would work on that one's branch here",
        hint="in the copied repository, git parallel doctor --fix makes it one of its own",
    )
