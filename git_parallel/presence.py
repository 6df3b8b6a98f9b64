"""Is what a change brought still there? Asked by trial merges that nobody's settings can sway.

They run in an empty repository that borrows the objects: there are no merge drivers in it (one
that always takes "ours" makes any two tips look merged), no grafts and no replaced objects.
"""

import contextlib
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from git_parallel import temporary
from git_parallel.changes import Change, changes_between
from git_parallel.forecast import Trial, trials, trials_kept
from git_parallel.git import AS_THEY_ARE, Git, clean_environment

NOBODY = "nobody <nobody> 0 +0000"
TOUCHED = re.compile(r"\x01([0-9a-f]{40,64})\0\n?([^\x01]*)")
SHA1_LENGTH = 40


class Piece(Struct, frozen=True):
    """A change, from the commit `old` to `new`, and the commit that it may be part of."""

    old: str
    new: str
    at: str


class Undone(Struct, frozen=True):
    """The paths on which nothing is left of a change, those where others wrote over it (or over
    what it had changed), or why that could not be found out.
    """

    paths: tuple[str, ...] = ()
    disputed: tuple[str, ...] = ()
    unknown: str = ""


@contextlib.contextmanager
def plain(common: Path, commit: str) -> Iterator["Plain"]:
    """An empty repository with the objects of another, gone afterwards; `commit` is any of its
    commits, whose length tells the kind of its ids.
    """
    with temporary.folder() as folder:
        for name in ("objects/info", "refs"):
            (folder / name).mkdir(parents=True)
        (folder / "HEAD").write_text("ref: refs/heads/none\n")
        borrowed = os.fsencode(common / "objects")
        (folder / "objects/info/alternates").write_bytes(borrowed + b"\n")
        if len(commit) != SHA1_LENGTH:
            kind = "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tobjectFormat = sha256\n"
            (folder / "config").write_text(kind)
        with contextlib.suppress(FileNotFoundError):
            (folder / "shallow").write_bytes((common / "shallow").read_bytes())
        kept = {**clean_environment(os.environ), "GIT_CONFIG_GLOBAL": os.devnull, **AS_THEY_ARE}
        settings = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_ATTR_NOSYSTEM": "1", "GIT_DIR": str(folder)}
        yield Plain(Git(folder, kept, **settings), folder)


class Plain:
    """What is asked in such a repository."""

    def __init__(self, git: Git, folder: Path) -> None:
        self.git = git
        self.folder = folder

    def trials(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Trial]:
        """Trial merges (ours, theirs)."""
        return trials(self.git, self.folder, pairs)

    def trees(self, commits: Iterable[str]) -> dict[str, str]:
        """The trees of commits, as far as they can be read."""
        wanted = list(dict.fromkeys(commits))
        if not wanted:
            return {}
        asked = "".join(f"{commit}^{{tree}}\n" for commit in wanted)
        answers = self.git.lines("cat-file", "--batch-check=%(objectname)", stdin=asked)
        pairs = zip(wanted, answers, strict=True)
        return {commit: tree for commit, tree in pairs if " " not in tree}

    def touched(self, steps: Sequence[tuple[str, str]]) -> dict[str, frozenset[str]]:
        """The paths that differ between (before, commit), by commit."""
        if not steps:
            return {}
        asked = "".join(f"{commit} {before}\n" for before, commit in dict.fromkeys(steps))
        arguments = ("diff-tree", "--stdin", "-r", "-z", "--name-only", "--no-renames", "--always")
        out = self.git.run(*arguments, "--format=%x01%H", stdin=asked).out
        found = TOUCHED.findall(out)
        return {commit: frozenset(names.split("\0")) - {""} for commit, names in found}

    def undone(
        self, pieces: Iterable[Piece], changes: Mapping[tuple[str, str], Change]
    ) -> dict[Piece, Undone]:
        """What is left of changes: each is taken back on trial, by a merge whose base is its new
        side and whose other side is its old one. A path that this leaves alone has nothing of it.

        `changes` holds those of the pieces.
        """
        wanted = list(dict.fromkeys(pieces))
        if not wanted:
            return {}
        trees = self.trees(
            commit for piece in wanted for commit in (piece.old, piece.new, piece.at)
        )
        known = [p for p in wanted if {p.old, p.new, p.at} <= trees.keys()]
        sides = {piece: self._sides(piece, trees) for piece in known}
        merges = trials_kept(self.git, [(ours, theirs) for _, ours, theirs in sides.values()])
        after = {
            piece: (ours, self._commit(merges[ours, theirs].tree))
            for piece, (_, ours, theirs) in sides.items()
            if not merges[ours, theirs].unknown
        }
        since = {piece: (base, ours) for piece, (base, ours, _) in sides.items()}
        compared = changes_between(self.git, [*after.values(), *since.values()])
        found = {}
        for piece in wanted:
            if piece not in after:
                found[piece] = Undone(unknown="git can't take it back on trial")
                continue
            conflicts = merges[sides[piece][1:]].conflicts
            moved = {*compared[after[piece]].paths, *conflicts}
            own = changes[piece.old, piece.new].paths
            left = tuple(_untouched(own, moved, compared[since[piece]]))
            found[piece] = Undone(left, tuple(path for path in own if path in conflicts))
        return found

    def _sides(self, piece: Piece, trees: Mapping[str, str]) -> tuple[str, str, str]:
        base = self._commit(trees[piece.new])
        return base, self._commit(trees[piece.at], base), self._commit(trees[piece.old], base)

    def _commit(self, tree: str, *parents: str) -> str:
        """A commit as git writes it (gitformat-loose(5)), for a trial only."""
        import hashlib

        lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
        text = "\n".join([*lines, f"author {NOBODY}", f"committer {NOBODY}", "", "trial\n"])
        content = b"commit %d\0" % len(text) + text.encode()
        sha1 = len(tree) == SHA1_LENGTH
        name = (hashlib.sha1(content) if sha1 else hashlib.sha256(content)).hexdigest()  # noqa: S324 - git's own
        path = self.folder / "objects" / name[:2] / name[2:]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(zlib.compress(content, 1))
        return name


def _untouched(own: Iterable[str], moved: set[str], since: Change) -> Iterator[str]:
    """The paths of a change that taking it back leaves alone; not those that others renamed since,
    where the change is taken back under another name.
    """
    renamed = bool(moved - set(own))
    gone = {path for path, (mode, _) in since.sides().items() if not mode.strip("0")}
    for path in own:
        if path not in moved and not (renamed and path in gone):
            yield path
