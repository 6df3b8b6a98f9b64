"""Bring the ignored files that a worktree needs and git does not: copies, and later their updates.

A copy is never a link, never overwrites, never follows a link out of the tree, and appears as a
whole: it is made in the worktree's admin folder, where nobody would commit what is left of one.
"""

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from git_parallel import dotenv
from git_parallel.schema import Config
from git_parallel.wanted import wanted_files
from git_parallel.worktree import Worktree

FICLONE = 0x40049409  # ioctl_ficlone(2)
TEMPORARY = "parallel-copy"  # one at a time: whoever writes it holds the lock of the bootstrap


class Brought(Struct, frozen=True):
    """The digest of every copy as it was written, by its path; which of them were written now, and
    which were edited here and stay, though their original has changed.
    """

    digests: dict[str, str]
    written: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


def bring(
    source: Path,
    worktree: Worktree,
    config: Config,
    known: Mapping[str, str],
    values: Mapping[str, str],
) -> Brought:
    """Copy what a worktree needs from another, and bring changed originals over.

    `known` are the digests of earlier copies: a copy that is as it was written follows its
    original, one that was edited stays. `values` replace the values of keys that copied dotenv
    files have.
    """
    if source.resolve() == worktree.path.resolve():
        return Brought(dict(known))
    digests, written, kept = dict(known), [], []
    inside = _Inside(worktree.path)
    for name in sorted(wanted_files(source, config)):
        if not inside.allows(name):
            continue
        original = _original(source, name, values)
        if original is None:
            continue
        outcome, digest = _bring(original, worktree, name, known.get(name))
        if digest:
            digests[name] = digest
        written += [name] if outcome == "written" else []
        kept += [name] if outcome == "kept" else []
    return Brought(digests, tuple(written), tuple(kept))


class _Inside:
    """Whether a path's folders stay inside a tree: none of them is a link that leads out."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.real = top.resolve()
        self.known: dict[str, bool] = {"": True}

    def allows(self, name: str) -> bool:
        parent = name.rpartition("/")[0]
        if parent not in self.known:
            self.known[parent] = (self.top / parent).resolve().is_relative_to(self.real)
        return self.known[parent]


class _Original(Struct, frozen=True):
    """A file to be copied: where it is, and its content where that is not the file's own."""

    path: Path
    status: os.stat_result
    content: bytes | None

    @property
    def digest(self) -> str:
        return digest_of(self.path) if self.content is None else digest(self.content)


def _original(source: Path, name: str, values: Mapping[str, str]) -> _Original | None:
    """A file that is ours to copy; None for what is none, or leads out of the tree."""
    path = source / name
    try:
        status = path.lstat()
    except OSError:
        return None
    if stat.S_ISLNK(status.st_mode):
        return _Original(path, status, None) if _leads_inside(source, path) else None
    if not stat.S_ISREG(status.st_mode):
        return None
    content = None
    if values and dotenv.is_dotenv(name):
        content = dotenv.rewrite(path.read_bytes(), values)
    return _Original(path, status, content)


def _bring(
    original: _Original, worktree: Worktree, name: str, known: str | None
) -> tuple[str, str | None]:
    """What became of a file ("written", "same" or "kept"), and the digest to remember."""
    place = worktree.path / name
    if not os.path.lexists(place):
        return "written", _write(original, worktree, place, replace=False)
    if known is None:  # somebody else's, or ours of a bootstrap that was killed before it said so
        wanted = original.digest if place.is_symlink() or place.is_file() else ""
        return "same", wanted if wanted and digest_of(place) == wanted else None
    if original.content is None and _looks_alike(original.status, place.lstat()):
        return "same", known
    wanted, found = original.digest, digest_of(place)
    if wanted in (found, known):
        return "same", wanted if wanted == found else known
    if found != known:
        return "kept", known
    return "written", _write(original, worktree, place, replace=True)


def _looks_alike(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether a copy is as old and as long as its original, which `_write` sees to."""
    return (one.st_mtime_ns, one.st_size) == (other.st_mtime_ns, other.st_size)


def _write(original: _Original, worktree: Worktree, place: Path, *, replace: bool) -> str | None:
    """Copy a file and return its digest; None where somebody else was faster."""
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = worktree.admin / TEMPORARY
    temporary.unlink(missing_ok=True)  # of one that was killed
    try:
        _copy(original, temporary)
        written = digest_of(temporary)
        _put(temporary, place, replace=replace)
    except FileExistsError:
        return None
    finally:
        temporary.unlink(missing_ok=True)
    return written


def replace(worktree: Worktree, name: str, content: bytes) -> None:
    """Write a file of a worktree as a whole, whatever was there before."""
    temporary = worktree.admin / TEMPORARY
    try:
        temporary.write_bytes(content)
        _put(temporary, worktree.path / name, replace=True)
    finally:
        temporary.unlink(missing_ok=True)


def _copy(original: _Original, to: Path) -> None:
    import shutil

    if stat.S_ISLNK(original.status.st_mode):
        to.symlink_to(os.readlink(original.path))
        return
    with open(to, "xb", opener=_private) as file:
        if original.content is not None:
            file.write(original.content)
        else:
            with open(original.path, "rb", opener=_no_link) as source:
                if not _is_cloned(source.fileno(), file.fileno()):
                    shutil.copyfileobj(source, file)
    to.chmod(stat.S_IMODE(original.status.st_mode))
    if original.content is None:
        os.utime(to, ns=(original.status.st_atime_ns, original.status.st_mtime_ns))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)  # until it has the mode of its original


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)


def _is_cloned(source: int, target: int) -> bool:
    """Whether the file system let two files share their content until one of them changes."""
    if sys.platform != "linux":
        return False
    import fcntl

    with contextlib.suppress(OSError):
        fcntl.ioctl(target, FICLONE, source)
        return True
    return False


def _put(made: Path, place: Path, *, replace: bool) -> None:
    """Move a file that was made aside to its place; raises FileExistsError where something is
    there, unless that is to be replaced.
    """
    try:
        if replace:
            os.replace(made, place)
        else:
            os.link(made, place, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK):
            raise
        _put_far(made, place, replace=replace)


def _put_far(made: Path, place: Path, *, replace: bool) -> None:
    """The same where the home is on another file system, or on one without hard links."""
    import shutil

    if made.is_symlink():
        if replace:
            place.unlink()
        place.symlink_to(os.readlink(made))
        return
    with open(made, "rb") as source, open(place, "wb" if replace else "xb") as file:
        shutil.copyfileobj(source, file)
    shutil.copystat(made, place)


def digest_of(path: Path) -> str:
    """The SHA-256 of a file's content, or of where a link leads, in hexadecimal."""
    import hashlib

    if path.is_symlink():
        return digest(b"link", os.fsencode(os.readlink(path)))
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(*parts: bytes) -> str:
    """The SHA-256 of some parts, in hexadecimal."""
    import hashlib

    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _leads_inside(tree: Path, link: Path) -> bool:
    target = os.readlink(link)
    return not os.path.isabs(target) and link.resolve().is_relative_to(tree.resolve())
