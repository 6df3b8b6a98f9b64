"""Which `.gitattributes` count in a trial merge: those that a real merge would read.

Git reads them from the worktree that it runs in (2.39), be that one on another branch, and none in
a bare repository. So a trial runs in the worktree that has the target checked out or, where there
is none, in a folder with nothing but the `.gitattributes` of the target's tree. Which these are
follows from the commit, and is remembered: to look through a tree of 5,000 files took 7 ms.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from git_parallel import records
from git_parallel.errors import ParallelError
from git_parallel.git import Git
from git_parallel.repository import Branch
from git_parallel.store import Store
from git_parallel.ties import admin_of
from git_parallel.worktree import content

NAME = ".gitattributes"
TURNED_OFF = re.compile(r"^\s*sparseCheckout\s*=\s*false\b", re.IGNORECASE | re.MULTILINE)
MEMORY = "attributes.json"
MOST = 100  # commits that are remembered
Source = Path | str  # a worktree, or a commit whose tree has them


class Memory(Struct, frozen=True, forbid_unknown_fields=True):
    """The file: the paths and ids of what each commit has, those that were asked for last first."""

    commits: dict[str, str]
    version: int = 1


def source_of(target: Branch) -> Source:
    """Where a merge into a branch reads attributes: a sparse worktree may lack some of them."""
    place = target.worktree
    if place is None or not place.is_dir():
        return target.tip
    return target.tip if _is_sparse(admin_of(place) or place / ".git") else place


def _is_sparse(admin: Path) -> bool:
    """Whether a worktree lacks files; its patterns stay where that was turned off again."""
    if not (admin / "info" / "sparse-checkout").exists():
        return False
    return not TURNED_OFF.search(content(admin / "config.worktree") or "")


def touches(paths: Iterable[str]) -> bool:
    """Whether attributes are among what was changed."""
    return any(path == NAME or path.endswith("/" + NAME) for path in paths)


class Places:
    """Git for trial merges, in folders where it finds the right ones. `git` gives one that has a
    scratch folder for objects, as folders that are no worktrees are made there; it is called when
    that is needed.
    """

    def __init__(self, git: Callable[[], Git], common: Path) -> None:
        self.git = git
        self.common = common
        self._told: dict[str, str] = {}
        self._known: dict[Source, Git] = {}

    def told(self, sources: Iterable[Source]) -> dict[Source, str]:
        """The paths and ids of what each commit among the sources has; raises GitError."""
        commits = list(dict.fromkeys(s for s in sources if isinstance(s, str)))
        if any(commit not in self._told for commit in commits):
            known = _remembered(self.common)
            if missing := [commit for commit in commits if commit not in known]:
                found = {commit: _told(files) for commit, files in self._list(missing).items()}
                _remember(self.common, found, known)
                known = known | found
            self._told |= {commit: known[commit] for commit in commits}
        return {commit: self._told[commit] for commit in commits}

    def find(self, sources: Mapping[str, Source]) -> dict[str, Git]:
        """Git for the merges into each of some commits; raises GitError."""
        told = self.told(sources.values())
        for source in dict.fromkeys(sources.values()):
            if source not in self._known and isinstance(source, Path):
                git = self.git().at(source)
                git.environment.pop("GIT_DIR", None)
                self._known[source] = git
        laid = [commit for commit, files in told.items() if commit not in self._known]
        listed = self._list([str(commit) for commit in laid if told[commit]])
        for commit in laid:
            self._known[commit] = self._lay_out(listed.get(str(commit), {}))
        return {ours: self._known[source] for ours, source in sources.items()}

    def _list(self, commits: Sequence[str]) -> dict[str, dict[str, "File"]]:
        """The files of each commit by their paths."""
        found: dict[str, dict[str, File]] = {commit: {} for commit in commits}
        if not commits:
            return found
        search = ("grep", "-l", "-z", "--full-name", "--no-color", "--no-recurse-submodules")
        where = (*commits, "--", f":(top,glob)**/{NAME}")
        if named := self.git().run(*search, "-e", "", *where, ok=(0, 1)).fields:
            asked = "".join(f"{name}\0" for name in named)
            told = os.fsencode(self.git().run("cat-file", "-z", "--batch", stdin=asked).out)
            for name, file in zip(named, _parse(told), strict=True):
                commit, _, path = name.partition(":")
                found[commit][path] = file
        return found

    def _lay_out(self, files: Mapping[str, "File"]) -> Git:
        """In a folder with these files; the git dir has none in it, and does if there are none."""
        git, folder = self.git(), self.common
        if files:
            objects = Path(git.environment["GIT_OBJECT_DIRECTORY"])
            folder = objects / f"attributes-{len(self._known)}"
        for path, file in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(file.content)
        return git.at(folder, GIT_DIR=str(self.common), GIT_WORK_TREE=str(folder))


class File(Struct, frozen=True):
    """A file of a tree."""

    id: str
    content: bytes


def _told(files: Mapping[str, File]) -> str:
    return "".join(f"{path} {file.id}\n" for path, file in sorted(files.items()))


def _parse(told: bytes) -> Iterator[File]:
    """Read `cat-file --batch` (git-cat-file(1), BATCH OUTPUT)."""
    while told:
        head, _, rest = told.partition(b"\n")
        blob, _kind, size = head.split()
        yield File(blob.decode(), rest[: int(size)])
        told = rest[int(size) + 1 :]


def _remembered(common: Path) -> dict[str, str]:
    try:
        memory = records.find_record(Store(common / "parallel").state / MEMORY, Memory)
    except ParallelError:
        return {}  # only a memory: it is found out again
    return memory.commits if memory else {}


def _remember(common: Path, found: Mapping[str, str], known: Mapping[str, str]) -> None:
    kept = {**found, **known}
    memory = Memory({commit: kept[commit] for commit in list(kept)[:MOST]})
    with contextlib.suppress(OSError, ValueError):  # a read-only repository can be asked too
        records.write_compact(Store(common / "parallel").state / MEMORY, memory)
