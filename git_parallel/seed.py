"""Copy what a package manager made in the main worktree, where that saves an installation.

Only where the lockfiles are the same to the byte, only into a folder that is not there yet, and
never by links: what a tool writes into one tree must not change another.
"""

import enum
import os
import sys
from pathlib import Path
from typing import Any

import msgspec

from git_parallel.schema import Seed
from git_parallel.site import Site

# The entries of a folder, some at a time, by several processes: twice as fast as one (measured).
# GNU cp shares the content where the file system can; that of macOS does so by -c.
COPY = r"""
find . -mindepth 1 -maxdepth 1 "$@" -print0 |
    xargs -0 -n 16 -P 4 sh -c 'exec cp {flags} -- "$@" "$0"' "$INTO"
"""


DEPENDENCIES = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")


class Planted(enum.Enum):
    """What was copied: nothing, something that the manager has to look over, or all of it."""

    NOTHING = 0
    PART = 1
    WHOLE = 2


def plant(row: Seed | None, site: Site, folder: str, lockfile: str) -> Planted:
    """Copy what the row says from the main worktree, where that is right and saves time."""
    if row is None or site.source is None:
        return Planted.NOTHING
    source, target = site.source / folder, site.path / folder
    if not _fits(row, source, target, lockfile):
        return Planted.NOTHING
    places = _places(row, source, target, lockfile)
    for place in places:
        if reason := _copy(row, site, source / place, target / place):
            site.say(f"not copied from {source / place}: {reason}")
            return Planted.PART
    if not places or not row.note:
        return Planted.PART if places else Planted.NOTHING
    if wrong := _first_wrong(target, _packages(target / lockfile)):
        site.say(f"{wrong} is not what the lockfile says: it is installed instead")
        return Planted.PART
    return Planted.WHOLE


def _fits(row: Seed, source: Path, target: Path, lockfile: str) -> bool:
    original, copy = source / row.folder, target / row.folder
    if os.path.lexists(copy) or original.is_symlink() or not original.is_dir():
        return False
    theirs = source / lockfile
    return theirs.is_file() and theirs.read_bytes() == (target / lockfile).read_bytes()


def _places(row: Seed, source: Path, target: Path, lockfile: str) -> list[str]:
    """The folders to copy: that of the row and, where the manager keeps a note, those of the
    members of a workspace too; none where the note is not what the lockfile says.
    """
    if not row.note:
        return [row.folder]
    packages = _packages(source / row.note)
    if not packages or not _says_the_same(packages, _packages(target / lockfile)):
        return []
    tops = {key.partition(f"{row.folder}/")[0] for key in packages if f"{row.folder}/" in key}
    return sorted(f"{top}{row.folder}" for top in tops)


def _packages(file: Path) -> dict[str, Any]:
    """The packages in a lockfile of npm's, by their place in the tree
    (https://docs.npmjs.com/cli/configuring-npm/package-lock-json).
    """
    packages = (_load(file) or {}).get("packages")
    return packages if isinstance(packages, dict) else {}


def _says_the_same(installed: dict[str, Any], locked: dict[str, Any]) -> bool:
    """Whether all that is installed is what is locked, and all that is locked is installed, but
    for what an installation may leave out.
    """
    for place, package in installed.items():
        other = locked.get(place)
        # Where a package came from may be left out of a lockfile; where a link leads never is.
        facts = ("version", "integrity", "link", *(("resolved",) if package.get("link") else ()))
        if other is None or any(package.get(fact) != other.get(fact) for fact in facts):
            return False
    missing = locked.keys() - installed.keys() - {""}
    return all(locked[place].get("optional") for place in missing)


def _first_wrong(target: Path, locked: dict[str, Any]) -> str:
    """The first package that is not there as it is locked; nothing, if all are. A note alone does
    not tell: a folder may have been deleted or changed since, or a manifest not fit the lockfile.
    """
    for place, package in locked.items():
        manifest = _load(target / place / "package.json")
        if manifest is None and package.get("optional"):
            continue
        if manifest is None or not _fits_lock(manifest, place, package):
            return place or "package.json"
    return ""


def _fits_lock(manifest: dict[str, Any], place: str, package: dict[str, Any]) -> bool:
    if "node_modules/" not in place:  # the project itself, or a member of it
        return all(manifest.get(kind, {}) == package.get(kind, {}) for kind in DEPENDENCIES)
    return bool(package.get("link")) or manifest.get("version") == package.get("version")


def _load(file: Path) -> dict[str, Any] | None:
    try:
        table = msgspec.json.decode(file.read_bytes())
    except (OSError, msgspec.DecodeError):
        return None
    return table if isinstance(table, dict) else None


def _copy(row: Seed, site: Site, source: Path, target: Path) -> str:
    """Copy a folder; returns why that failed, or nothing."""
    target.mkdir(parents=True, exist_ok=True)
    flags = "-a -c" if sys.platform == "darwin" else "-a"
    left_out = [word for name in row.skip for word in ("!", "-name", name)]
    command = ("sh", "-c", COPY.replace("{flags}", flags), "sh", *left_out)
    return site.run(command, folder=source, more={"INTO": str(target)}, shown=f"copy {source}")
