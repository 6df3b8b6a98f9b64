"""Which ignored files a worktree's siblings need too, as `.worktreeinclude` and patterns say."""

import contextlib
import fnmatch
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from git_parallel.git import Git
from git_parallel.schema import Config

INCLUDE_FILE = ".worktreeinclude"
LISTED = ("ls-files", "-z", "--others", "--ignored")
VIRTUAL_ENVIRONMENT = "pyvenv.cfg"


def wanted_files(source: Path, config: Config) -> set[str]:
    """The ignored files of a worktree that its siblings need too, by their paths in it."""
    git, rules = Git(source, GIT_OPTIONAL_LOCKS="0"), config.environment
    collapsed = git.fields(*LISTED, "--exclude-standard", "--directory")
    named = _named(git, [*_lines(source / INCLUDE_FILE), *rules.copy], rules.never, collapsed)
    if not (source / INCLUDE_FILE).is_file():
        named |= {name for name in collapsed if _is_usual(source, name, config)}
    return set(_outside_of_environments(source, named))


def _lines(file: Path) -> list[str]:
    """The patterns in a file of the form of gitignore(5)."""
    try:
        lines = os.fsdecode(file.read_bytes()).splitlines()
    except OSError:
        return []
    return [line.rstrip() for line in lines if line.strip() and not line.startswith("#")]


def _named(
    git: Git, patterns: list[str], never: Iterable[str], collapsed: Iterable[str]
) -> set[str]:
    """The ignored files that patterns name; below a folder that is ignored as a whole, such as
    node_modules, only those that a pattern with a path names.
    """
    if not patterns:
        return set()
    whole = _ignored_folders(collapsed)
    named = {name for name in _matching(git, patterns) if not name.startswith(whole)}
    deep = [p for p in patterns if p.startswith("!") or "/" in p.removeprefix("**/")]
    named |= _matching(git, deep)
    named = {name for name in named if not _is_never(name, never, patterns)}
    return set(git.run("check-ignore", "-z", "--stdin", stdin=_joined(named), ok=(0, 1)).fields)


def _ignored_folders(collapsed: Iterable[str]) -> tuple[str, ...]:
    """The folders that are ignored as a whole; git 2.39 also lists those that are not, before the
    files in them that are.
    """
    names = sorted(collapsed)
    pairs = zip(names, [*names[1:], ""], strict=True)
    return tuple(name for name, after in pairs if name[-1:] == "/" and not after.startswith(name))


def _matching(git: Git, patterns: list[str]) -> set[str]:
    if not patterns:
        return set()
    found = git.fields(*LISTED, *(f"--exclude={pattern}" for pattern in patterns))
    return {name for name in found if not name.endswith("/")}


def _joined(names: Iterable[str]) -> str:
    return "".join(f"{name}\0" for name in sorted(names))


def _is_never(name: str, never: Iterable[str], patterns: Iterable[str]) -> bool:
    """Whether a file is a template or a secret of production that no pattern names literally."""
    base = name.rpartition("/")[2]
    if not _matches(base, never):
        return False
    return not any(
        pattern.lstrip("/") == (name if "/" in pattern else base) for pattern in patterns
    )


def _is_usual(source: Path, name: str, config: Config) -> bool:
    if name.endswith("/"):
        return False
    rules, base = config.environment, name.rpartition("/")[2]
    if _matches(base, rules.never) or not (
        _matches(base, rules.files) or _matches(name, rules.files)
    ):
        return False
    with contextlib.suppress(FileNotFoundError):
        return (source / name).lstat().st_size <= rules.max_kib * 1024
    return False


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _outside_of_environments(source: Path, names: Iterable[str]) -> Iterator[str]:
    """The names that lie in no virtual environment: a copy of one would run the original's code."""
    known: dict[str, bool] = {"": False}

    def is_within(folder: str) -> bool:
        if folder not in known:
            above = folder.rpartition("/")[0]
            known[folder] = is_within(above) or (source / folder / VIRTUAL_ENVIRONMENT).exists()
        return known[folder]

    return (name for name in names if not is_within(name.rstrip("/").rpartition("/")[0]))
