"""How a worktree and its admin folder name each other, and its submodules theirs."""

import os
from pathlib import Path

from git_parallel.git import Git
from git_parallel.records import write
from git_parallel.worktree import Worktree, content


def admin_of(path: Path) -> Path | None:
    """The admin folder that a worktree's `.git` file names; None where there is no such file."""
    try:
        words = os.fsdecode((path / ".git").read_bytes()).strip()
    except OSError:
        return None
    return Path(os.path.normpath(path / words.removeprefix("gitdir: ")))


def is_same(one: Path, other: Path) -> bool:
    """Whether two paths lead to the same file or folder, which exists."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def tie(path: Path, admin: Path) -> None:
    """Have a worktree and an admin folder name each other."""
    lead(path / ".git", admin)
    write(admin / "gitdir", os.fsencode(f"{path / '.git'}\n"))


def lead(pointer: Path, admin: Path) -> None:
    """Have a worktree's `.git` file name an admin folder; what somebody left there who was killed
    at that would look like the user's own file, and goes.
    """
    for left in pointer.parent.glob(f".{pointer.name}.*.tmp"):
        if not _lives(left.name.removeprefix(f".{pointer.name}.").partition(".")[0]):
            left.unlink(missing_ok=True)
    write(pointer, os.fsencode(f"gitdir: {admin}\n"))


def _lives(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (ValueError, OSError):
        return True
    return True


def take(path: Path, worktree: Worktree) -> None:
    """Have a folder be the worktree of an admin folder, with its submodules."""
    before = admin_of(path)
    tie(path, worktree.admin)
    if before:
        _lead_submodules_back(worktree, before, path)


def _lead_submodules_back(before: Worktree, admin: Path, path: Path) -> None:
    """The same for the submodules of a worktree that was at `before.path`, with its admin folder at
    `admin`: they have relative paths both ways, and borrow objects by absolute ones.
    """
    for objects in sorted(before.admin.glob("modules/**/objects")):
        modules = objects.parent
        if not (modules / "HEAD").is_file():
            continue
        borrowed = objects / "info" / "alternates"
        if known := content(borrowed):
            old, now = f"{admin.parent.parent}/", f"{before.admin.parent.parent}/"
            lines = [
                now + s.removeprefix(old) if s.startswith(old) else s for s in known.split("\n")
            ]
            write(borrowed, os.fsencode("\n".join(lines) + "\n"))
        asked = ("config", "--file", str(modules / "config"))
        git = Git(before.admin)
        worktree = git.run(*asked, "--get", "core.worktree", ok=(0, 1)).out.removesuffix("\n")
        stood = os.path.normpath(admin / modules.relative_to(before.admin) / worktree)
        stands = path / os.path.relpath(stood, before.path)
        if worktree and stands.is_relative_to(path) and (stands / ".git").is_file():
            git.run(*asked, "core.worktree", os.path.relpath(stands, modules))
            lead(stands / ".git", Path(os.path.relpath(modules, stands)))
