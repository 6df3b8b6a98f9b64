"""Trial merges: what git would say if two commits were merged, without touching a worktree."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from git_parallel.errors import GitError
from git_parallel.git import Git

CLEAN = "1"


class Trial(Struct, frozen=True):
    """The outcome of one trial merge: a tree and the paths in conflict, or why it is unknown."""

    tree: str = ""
    conflicts: tuple[str, ...] = ()
    unknown: str = ""

    @property
    def clean(self) -> bool:
        """Whether the merge succeeds without a person; an unknown one is not clean."""
        return not self.conflicts and not self.unknown


Pair = tuple[str, str]


def trials(git: Git, common: Path, pairs: Iterable[Pair]) -> dict[Pair, Trial]:
    """The trial merges of many pairs (ours, theirs) in one call of git.

    The objects that they write go to a scratch folder that is deleted, so that no loose object is
    left behind; trees named in the answers therefore do not exist in the repository.
    """
    wanted = list(dict.fromkeys(pairs))
    if not wanted:
        return {}
    import tempfile

    with tempfile.TemporaryDirectory(prefix="git-parallel-", ignore_cleanup_errors=True) as scratch:
        aside = git.at(
            git.folder,
            GIT_OBJECT_DIRECTORY=scratch,
            GIT_ALTERNATE_OBJECT_DIRECTORIES=_quoted(common / "objects"),
        )
        return dict(zip(wanted, _run(aside, wanted), strict=True))


def trials_kept(git: Git, pairs: Iterable[Pair]) -> dict[Pair, Trial]:
    """The trial merges of many pairs, whose trees stay in the repository."""
    wanted = list(dict.fromkeys(pairs))
    return dict(zip(wanted, _run(git, wanted), strict=True)) if wanted else {}


def trial(git: Git, ours: str, theirs: str) -> Trial:
    """One trial merge whose tree is kept in the repository, to be committed."""
    return _run(git, [(ours, theirs)])[0]


def _run(git: Git, pairs: Sequence[Pair]) -> list[Trial]:
    asked = "".join(f"{ours} {theirs}\n" for ours, theirs in pairs)
    try:
        arguments = ("merge-tree", "--write-tree", "--name-only", "--stdin")
        found = _parse(git.run(*arguments, stdin=asked, ok=(0, 1)).out)
    except GitError as error:
        if len(pairs) == 1:
            return [Trial(unknown=error.message)]
        found = []
    if len(found) == len(pairs):
        return found
    return [_run(git, [pair])[0] for pair in pairs]  # one bad pair ends the whole batch


def _parse(out: str) -> list[Trial]:
    """Read `merge-tree --stdin --name-only` (git-merge-tree(1), OUTPUT).

    A clean merge is the flag 1, the tree and an empty field. One with conflicts is the flag 0, the
    tree, the paths, an empty field, the messages, an empty field; a message is a count of paths,
    the paths, its kind and its text. A conflict that leaves no path of its own in the tree, such as
    a submodule's, names its paths only there.
    """
    fields = iter(out.split("\0"))
    found = []
    for flag in fields:
        if flag not in ("0", CLEAN):
            break
        tree = next(fields)
        paths = list(iter(lambda: next(fields), ""))
        if flag == CLEAN:
            found.append(Trial(tree))
            continue
        told = _conflicts_told(fields)
        found.append(Trial(tree, tuple(dict.fromkeys(paths or told or ["(no path)"]))))
    return found


def _conflicts_told(fields: Iterator[str]) -> list[str]:
    """Read the messages of one merge; returns the paths that the conflicts among them name."""
    told: list[str] = []
    for count in fields:
        if not count:
            break
        paths = [next(fields) for _ in range(int(count))]
        kind, _text = next(fields), next(fields)
        if kind.startswith("CONFLICT"):
            told += paths
    return told


def _quoted(path: Path) -> str:
    """A path for a list that is separated by colons; git reads quotes in it (git(1))."""
    text = str(path)
    if ":" not in text and not text.startswith('"'):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
