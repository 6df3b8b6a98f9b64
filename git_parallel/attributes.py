"""Which `.gitattributes` count in a trial merge: those that a real merge would read.

Git reads them from the worktree that it runs in (2.39), be that one on another branch, and none in
a bare repository. So a trial runs in the worktree that has the target checked out or, where there
is none, in a folder with nothing but the `.gitattributes` of the target's tree. Which these are
follows from the commit, and is remembered: to look through a tree of 5,000 files took 7 ms.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from git_parallel import records
from git_parallel.errors import ParallelError
from git_parallel.git import Git
from git_parallel.repository import Branch
from git_parallel.store import Store
from git_parallel.ties import admin_of

NAME = ".gitattributes"
MEMORY = "attributes.json"
MOST = 100  # commits that are remembered
Source = Path | str  # a worktree, or a commit whose tree has them
Files = tuple[tuple[str, str], ...]  # the path of each in a tree, and its id


class Memory(Struct, frozen=True, forbid_unknown_fields=True):
    """The file: what each commit has, those that were asked for last first."""

    commits: dict[str, Files]
    version: int = 1


def source_of(target: Branch) -> Source:
    """Where a merge into a branch reads attributes: a sparse worktree may lack some of them."""
    place = target.worktree
    if place is None or not place.is_dir():
        return target.tip
    admin = admin_of(place) or place / ".git"
    return target.tip if (admin / "info" / "sparse-checkout").exists() else place


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
        self._files: dict[str, Files] = {}
        self._known: dict[Source | Files, Git] = {}

    def told(self, sources: Iterable[Source]) -> dict[Source, str]:
        """The paths and ids of what each commit among the sources has; raises GitError."""
        return {
            commit: "".join(f"{path} {blob}\n" for path, blob in files)
            for commit, files in self._find(sources).items()
        }

    def find(self, sources: Mapping[str, Source]) -> dict[str, Git]:
        """Git for the merges into each of some commits; raises GitError."""
        files = self._find(sources.values())
        return {
            ours: self._lay_out(files[source]) if isinstance(source, str) else self._in(source)
            for ours, source in sources.items()
        }

    def _in(self, worktree: Path) -> Git:
        if worktree not in self._known:
            git = self.git().at(worktree)
            git.environment.pop("GIT_DIR", None)
            self._known[worktree] = git
        return self._known[worktree]

    def _lay_out(self, files: Files) -> Git:
        """In a folder with these files; the git dir has none in it, and does if there are none."""
        if files not in self._known:
            git = self.git()
            folder = self.common
            if files:
                objects = Path(git.environment["GIT_OBJECT_DIRECTORY"])
                folder = objects / f"attributes-{len(self._known)}"
            for path, content in _contents(git, files):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(content)
            bound = {"GIT_DIR": str(self.common), "GIT_WORK_TREE": str(folder)}
            self._known[files] = git.at(folder, **bound)
        return self._known[files]

    def _find(self, sources: Iterable[Source]) -> dict[str, Files]:
        """The files of each commit among the sources."""
        commits = list(dict.fromkeys(s for s in sources if isinstance(s, str)))
        if any(commit not in self._files for commit in commits):
            known = _remembered(self.common)
            if missing := [commit for commit in commits if commit not in known]:
                found = _listed(self.git(), missing)
                _remember(self.common, found, known)
                known = known | found
            self._files |= {commit: known[commit] for commit in commits}
        return {commit: self._files[commit] for commit in commits}


def _listed(git: Git, commits: Sequence[str]) -> dict[str, Files]:
    """What the trees of some commits have."""
    found: dict[str, list[tuple[str, str]]] = {commit: [] for commit in commits}
    search = ("grep", "-l", "-z", "--full-name", "--no-color", "--no-recurse-submodules")
    where = (*commits, "--", f":(top,glob)**/{NAME}")
    if named := git.run(*search, "-e", "", *where, ok=(0, 1)).fields:
        asked = "".join(f"{name}\0" for name in named)
        told = git.lines("cat-file", "-z", "--batch-check=%(objectname)", stdin=asked)
        for name, blob in zip(named, told, strict=True):
            commit, _, path = name.partition(":")
            found[commit].append((path, blob))
    return {commit: tuple(sorted(files)) for commit, files in found.items()}


def _contents(git: Git, files: Files) -> Iterator[tuple[str, bytes]]:
    """The content of each (git-cat-file(1), BATCH OUTPUT), by its path."""
    asked = "".join(f"{blob}\n" for _, blob in files)
    told = os.fsencode(git.run("cat-file", "--batch", stdin=asked).out) if files else b""
    for path, _ in files:
        head, _, rest = told.partition(b"\n")
        size = int(head.split()[2])
        yield path, rest[:size]
        told = rest[size + 1 :]


def _remembered(common: Path) -> dict[str, Files]:
    try:
        memory = records.find_record(Store(common / "parallel").state / MEMORY, Memory)
    except ParallelError:
        return {}  # only a memory: it is found out again
    return memory.commits if memory else {}


def _remember(common: Path, found: Mapping[str, Files], known: Mapping[str, Files]) -> None:
    kept = {**found, **known}
    memory = Memory({commit: kept[commit] for commit in list(kept)[:MOST]})
    with contextlib.suppress(OSError, ValueError):  # a read-only repository can be asked too
        records.write_compact(Store(common / "parallel").state / MEMORY, memory)
