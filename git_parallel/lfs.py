"""Fill what git-lfs left as pointers (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md)."""

from pathlib import Path

from git_parallel.git import Git
from git_parallel.site import Site
from git_parallel.wording import named

HEAD = b"version https://git-lfs.github.com/spec/"
MARK = b"filter=lfs"
MAX_POINTER_BYTES = 1024
NAMED = 3


def pointers(top: Path) -> list[str]:
    """The files of a tree that are pointers still, by their paths."""
    git = Git(top, GIT_OPTIONAL_LOCKS="0")
    attributes = git.fields("ls-files", "-z", "--", ".gitattributes", "*/.gitattributes")
    if not any(MARK in (top / name).read_bytes() for name in attributes if (top / name).is_file()):
        return []
    listed = git.fields("ls-files", "-z", "--", ":(top,attr:filter=lfs)")
    return [name for name in listed if _is_pointer(top / name)]


def pending(site: Site) -> list[str]:
    """Those that are more than that in the tree which the worktree was made after."""
    found = pointers(site.path)
    source = site.source
    return [name for name in found if source is None or not _is_pointer(source / name)]


def _is_pointer(file: Path) -> bool:
    try:
        if file.is_symlink() or file.stat().st_size > MAX_POINTER_BYTES:
            return False
        return file.read_bytes().startswith(HEAD)
    except OSError:
        return False


def fill(site: Site) -> str:
    """Fill them from the repository's own store, and fetch what that lacks; returns why some are
    left, or nothing.
    """
    site.run(["git", "lfs", "checkout"])
    left = pending(site)
    if left:
        site.run(["git", "lfs", "pull"])
        left = pending(site)
    if not left:
        return ""
    return f"git-lfs can't fill {named(left, NAMED)}"
