"""Copy the ignored files that a worktree needs and git does not bring."""

import os
import stat
from pathlib import Path

from git_parallel.git import Git
from git_parallel.schema import Config

INCLUDE_FILE = ".worktreeinclude"


def copy_files(source: Path, target: Path, config: Config, known: set[str]) -> dict[str, str]:
    """Copy the ignored files that a worktree needs; returns the digest of each by its path.

    An existing file is never overwritten, a link that leads out of the tree is never followed.
    """
    if source.resolve() == target.resolve():
        return {}
    copied = {}
    for name in sorted(wanted_files(source, config)):
        if name in known or not _is_within(target, target / name):
            continue
        digest = _copy(source, target, name)
        if digest:
            copied[name] = digest
    return copied


def wanted_files(source: Path, config: Config) -> set[str]:
    """The ignored files of a worktree that its siblings need too, by their paths in it."""
    git = Git(source, GIT_OPTIONAL_LOCKS="0")
    listed = ("ls-files", "-z", "--others", "--ignored")
    rules = config.environment
    named: set[str] = set()
    if (source / INCLUDE_FILE).is_file():
        named = set(git.fields(*listed, f"--exclude-from={INCLUDE_FILE}"))
    if rules.copy:
        named |= set(git.fields(*listed, *(f"--exclude={pattern}" for pattern in rules.copy)))
    if named:
        arguments = ("check-ignore", "-z", "--stdin")
        named = set(git.run(*arguments, stdin="\0".join(sorted(named)), ok=(0, 1)).fields)
    if not (source / INCLUDE_FILE).is_file():
        ignored = git.fields(*listed, "--exclude-standard", "--directory")
        named |= {name for name in ignored if _is_usual(source, name, config)}
    return {name for name in named if name}


def _is_usual(source: Path, name: str, config: Config) -> bool:
    if name.endswith("/"):
        return False
    rules, base = config.environment, name.rpartition("/")[2]
    if _matches(base, rules.never) or not _matches(base, rules.files):
        return False
    return (source / name).lstat().st_size <= rules.max_kib * 1024


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    from fnmatch import fnmatchcase

    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _is_within(folder: Path, path: Path) -> bool:
    return path.parent.resolve().is_relative_to(folder.resolve())


def _copy(source: Path, target: Path, name: str) -> str | None:
    """Copy one file and return its digest; None where it is not ours to copy."""
    import shutil

    from_path, to_path = source / name, target / name
    if os.path.lexists(to_path):
        return None
    mode = from_path.lstat().st_mode
    if stat.S_ISLNK(mode) and not _leads_inside(source, from_path):
        return None
    if not (stat.S_ISLNK(mode) or stat.S_ISREG(mode)):
        return None
    to_path.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISLNK(mode):
        to_path.symlink_to(os.readlink(from_path))
        return digest_of(to_path)
    temporary = to_path.with_name(f".{to_path.name}.parallel-{os.getpid()}")
    try:
        shutil.copy2(from_path, temporary, follow_symlinks=False)
        os.link(temporary, to_path, follow_symlinks=False)  # refuses where somebody was faster
    except FileExistsError:
        return None
    finally:
        temporary.unlink(missing_ok=True)
    return digest_of(to_path)


def _leads_inside(tree: Path, link: Path) -> bool:
    target = os.readlink(link)
    return not os.path.isabs(target) and link.resolve().is_relative_to(tree.resolve())


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
