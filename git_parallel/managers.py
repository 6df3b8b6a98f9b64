"""Which package managers a tree calls for, and how each of them makes it ready."""

import fnmatch
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from git_parallel import files, seed
from git_parallel.git import Git
from git_parallel.schema import Manager
from git_parallel.site import Site
from git_parallel.wanted import VIRTUAL_ENVIRONMENT


class Install(Struct, frozen=True):
    """A package manager that a folder calls for by its lockfile."""

    row: str
    manager: Manager
    folder: str
    lockfile: str

    @property
    def name(self) -> str:
        """What people see: the manager, and the folder where that is not the top."""
        return f"{self.row} in {self.folder}" if self.folder else self.row

    @property
    def place(self) -> str:
        """The path of the lockfile."""
        return _joined(self.folder, self.lockfile)


def installs(top: Path, rows: Mapping[str, Manager], skip: tuple[str, ...]) -> list[Install]:
    """What a tree calls for, the top first: in each folder the first row of an ecosystem whose
    lockfile is there. Lockfiles below folders that match `skip` are nobody's.
    """
    found = []
    for folder, names in sorted(_folders(top, rows, skip).items()):
        ecosystems: set[str] = set()
        for row, manager in rows.items():
            lockfile = _lockfile_of(top / folder, manager, names)
            if lockfile and manager.ecosystem not in ecosystems:
                ecosystems.add(manager.ecosystem)
                found += [Install(row, manager, folder, lockfile)] if manager.run else []
    return found


def _folders(top: Path, rows: Mapping[str, Manager], skip: tuple[str, ...]) -> dict[str, set[str]]:
    """The names of the lockfiles in each folder; at the top also those that git does not track."""
    names = {name for manager in rows.values() for name in manager.lockfiles}
    listed = sorted(names)
    patterns = [*listed, *(f"*/{name}" for name in listed)]
    found = {"": {name for name in names if (top / name).is_file()}}
    for path in Git(top, GIT_OPTIONAL_LOCKS="0").fields("ls-files", "-z", "--", *patterns):
        folder, _, name = path.rpartition("/")
        parts = folder.split("/") if folder else []
        if not any(fnmatch.fnmatchcase(part, pattern) for part in parts for pattern in skip):
            found.setdefault(folder, set()).add(name)
    return found


def _lockfile_of(folder: Path, manager: Manager, names: set[str]) -> str | None:
    present = (n for n in manager.lockfiles if n in names and (folder / n).is_file())
    return next((n for n in present if _contains(folder / n, manager.contains)), None)


def _contains(file: Path, text: str) -> bool:
    return not text or text.encode() in file.read_bytes()


def inputs(install: Install, top: Path) -> str:
    """The digest of all that an installation follows from."""
    folder = top / install.folder
    read = [folder / install.lockfile]
    for pattern in install.manager.inputs:
        read += sorted(folder.glob(pattern))
    contents = [file.read_bytes() for file in read if file.is_file()]
    return files.digest(repr(install.manager).encode(), *contents)


def watched(install: Install) -> Iterator[str]:
    """The files whose change calls for the installation again, by their paths."""
    yield install.place
    plain = (name for name in install.manager.inputs if "*" not in name)
    yield from (_joined(install.folder, name) for name in plain)


def made(install: Install, top: Path) -> tuple[str, ...]:
    """Which of the folders that an installation makes are there, by their paths."""
    places = (_joined(install.folder, name) for name in install.manager.makes)
    return tuple(place for place in places if (top / place).exists())


def missing_program(install: Install, site: Site) -> str:
    """The program that the first command needs and that is not there; nothing where all is well."""
    import shutil

    first = _argv(install, site, install.manager.run[0])[0]
    if "/" in first:
        return "" if (site.path / install.folder / first).exists() else first
    return "" if shutil.which(first, path=site.environment()["PATH"]) else first


def carry_out(install: Install, site: Site) -> str:
    """Make a folder ready and prove that it is; returns why that failed, or nothing."""
    if reason := _refusal(install, site) or _prove(install, site, install.manager.requires):
        return reason
    planted = seed.plant(install.manager.seed, site, install.folder, install.lockfile)
    if planted is seed.Planted.WHOLE:
        return ""  # proved already, and to the version
    for command in install.manager.run:
        argv = _argv(install, site, command)
        if reason := site.run(argv, folder=install.folder, more=install.manager.env):
            return reason
    return _prove(install, site, install.manager.verify)


def _refusal(install: Install, site: Site) -> str:
    """Why a folder that is there must not be installed into: an installer would follow the link,
    and empty or rewire what it leads to.
    """
    for name in install.manager.makes:
        place = site.path / install.folder / name
        if place.is_symlink() and not place.resolve().is_relative_to(site.path):
            shown = _joined(install.folder, name)
            return f"{shown} is a link to another tree's, {place.resolve()}: delete the link"
    return ""


def _prove(install: Install, site: Site, proofs: tuple[tuple[str, ...], ...]) -> str:
    """What is wrong, by the first of the proofs that fails, or nothing."""
    told = (site.prove(p, folder=install.folder, more=install.manager.env) for p in proofs)
    return next((reason for reason in told if reason), "")


def _argv(install: Install, site: Site, command: tuple[str, ...]) -> list[str]:
    values = {"{python}": lambda: _python(site, install.folder)}
    if "{program}" in command:
        values["{program}"] = lambda: _program(install, site)
    return [values[word]() if word in values else word for word in command]


def _program(install: Install, site: Site) -> str:
    """The first of the programs that is there, a wrapper in the tree before one on PATH."""
    import shutil

    folder = site.path / install.folder
    for program in install.manager.program:
        if (folder / program).exists() if "/" in program else shutil.which(program):
            return program
    return install.manager.program[-1]


def _python(site: Site, folder: str) -> str:
    """The interpreter that the main worktree's virtual environment was made with, or `python3`."""
    lines: list[str] = []
    if site.source:
        config = site.source / folder / ".venv" / VIRTUAL_ENVIRONMENT
        lines = config.read_text("utf-8").splitlines() if config.is_file() else []
    pairs = (line.partition("=") for line in lines)
    homes = [value.strip() for key, _, value in pairs if key.strip() == "home"]
    python = Path(*homes[:1]) / "python3"
    return str(python) if python.is_absolute() and python.exists() else "python3"


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
