"""Which `.gitattributes` count in a trial merge: those that a real merge would read.

Git reads them from the worktree that it runs in (2.39), be that one on another branch, and none in
a bare repository. So a trial runs in the worktree that has the target checked out or, where there
is none, in a folder with nothing but the `.gitattributes` of the target's tree.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from git_parallel.git import Git
from git_parallel.repository import Branch
from git_parallel.ties import admin_of

NAME = ".gitattributes"
Source = Path | str  # a worktree, or a commit whose tree has them


class Place(Struct, frozen=True):
    """Git in a folder where it finds the right ones, and what these are: their paths and ids, but
    nothing for those of a worktree.
    """

    git: Git
    told: str = ""


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
    """The folders to run trial merges in; `git` has a scratch folder for objects, in which those
    are made that no worktree is.
    """

    def __init__(self, git: Git, common: Path) -> None:
        self.git = git
        self.common = common
        self._known: dict[Source, Place] = {}

    def find(self, sources: Mapping[str, Source]) -> dict[str, Place]:
        """The place for the merges into each of some commits; raises GitError."""
        wanted = [s for s in dict.fromkeys(sources.values()) if s not in self._known]
        for source in wanted:
            if isinstance(source, Path):
                git = self.git.at(source)
                git.environment.pop("GIT_DIR", None)
                self._known[source] = Place(git)
        if commits := [source for source in wanted if isinstance(source, str)]:
            for commit, files in self._files(commits).items():
                self._known[commit] = self._lay_out(files)
        return {ours: self._known[source] for ours, source in sources.items()}

    def _files(self, commits: Sequence[str]) -> dict[str, dict[str, "File"]]:
        """The files of each commit by their paths."""
        found: dict[str, dict[str, File]] = {commit: {} for commit in commits}
        search = ("grep", "-l", "-z", "--full-name", "--no-color", "--no-recurse-submodules")
        where = (*commits, "--", f":(top,glob)**/{NAME}")
        if named := self.git.run(*search, "-e", "", *where, ok=(0, 1)).fields:
            asked = "".join(f"{name}\0" for name in named)
            told = os.fsencode(self.git.run("cat-file", "-z", "--batch", stdin=asked).out)
            for name, file in zip(named, _parse(told), strict=True):
                commit, _, path = name.partition(":")
                found[commit][path] = file
        return found

    def _lay_out(self, files: Mapping[str, "File"]) -> Place:
        """A folder with these files; the git dir has none in it, and does where there are none."""
        told = "".join(f"{path} {file.id}\n" for path, file in sorted(files.items()))
        if alike := next((p for p in self._known.values() if files and p.told == told), None):
            return alike
        folder = self.common
        if files:
            objects = Path(self.git.environment["GIT_OBJECT_DIRECTORY"])
            folder = objects / f"attributes-{len(self._known)}"
        for path, file in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(file.content)
        bound = {"GIT_DIR": str(self.common), "GIT_WORK_TREE": str(folder)}
        return Place(self.git.at(folder, **bound), told)


class File(Struct, frozen=True):
    """A file of a tree."""

    id: str
    content: bytes


def _parse(told: bytes) -> Iterator[File]:
    """Read `cat-file --batch` (git-cat-file(1), BATCH OUTPUT)."""
    while told:
        head, _, rest = told.partition(b"\n")
        blob, _kind, size = head.split()
        yield File(blob.decode(), rest[: int(size)])
        told = rest[int(size) + 1 :]
