"""Trial merges: what git would say if two commits were merged, without touching a worktree."""

import contextlib
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from git_parallel import temporary
from git_parallel.attributes import Places, Source
from git_parallel.changes import GITLINK
from git_parallel.errors import GitError
from git_parallel.git import Git, Process
from git_parallel.repository import Repository
from git_parallel.temporary import MEMORY

Pair = tuple[str, str]
CLEAN = "1"
MERGE_TREE = ("merge-tree", "--write-tree", "--stdin", "--messages")
# What is thrown away need not be small, and what is asked by its id is not looked up as a name.
HASTY = ("-c", "core.looseCompression=0", "-c", "core.warnAmbiguousRefs=false")
NOBODY = [f"{role} git parallel <parallel@localhost> 0 +0000" for role in ("author", "committer")]
SUBMODULE = "submodule"
ROOM = 1 << 30
NOWHERE: Mapping[str, Source] = {}
NO_FORKS: Mapping[Pair, str | None] = {}
NO_PLACES: Mapping[str, Git] = {}
SPLIT_FROM = 30  # trials from which a second process is worth its start


class Trial(Struct, frozen=True):
    """The outcome of one trial merge: a tree, or the paths in conflict with the kind of each
    (`content`, `add/add`, `modify/delete`, ...), or why it is unknown. `touched` are the paths that
    git had more to do for than to take one side.
    """

    tree: str = ""
    conflicts: tuple[str, ...] = ()
    unknown: str = ""
    kinds: tuple[str, ...] = ()
    moves_submodule: bool = False
    touched: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether the merge succeeds without a person; an unknown one is not clean."""
        return not self.conflicts and not self.unknown

    @property
    def lasting(self) -> bool:
        """Whether the outcome follows from the commits alone: which of two commits of a submodule
        is the newer one is only known where both are there, and they come and go.
        """
        return not (self.unknown or self.moves_submodule or SUBMODULE in self.kinds)


@contextlib.contextmanager
def aside(git: Git, common: Path, *others: Path, large: bool = False) -> Iterator[Git]:
    """Git whose new objects go to a scratch folder that is deleted in the end, so that no loose
    object is left behind: what it makes does not exist in the repository. `others` are more folders
    to read objects from; `large` ones belong on a disk.
    """
    with temporary.folder(None if large else _memory()) as scratch:
        known = ":".join(_quoted(folder) for folder in (common / "objects", *others))
        alternates = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": known}
        yield git.at(git.folder, GIT_OBJECT_DIRECTORY=str(scratch), **alternates)


class Scratch:
    """Git with a scratch folder for its objects, made when it is first needed."""

    def __init__(self, repository: Repository, stack: contextlib.ExitStack) -> None:
        self.repository = repository
        self.stack = stack
        self._git: Git | None = None
        self._others: list[Path] = []

    @property
    def git(self) -> Git:
        """Git in a folder that no task removes, for merges."""
        if self._git is None:
            self._git = self._aside(*self._others, large=False)
        return self._git

    @property
    def git_for_files(self) -> Git:
        """The same for all that lies in worktrees, which merges see if this was asked for first."""
        git = self._aside(large=True)
        self._others.append(Path(git.environment["GIT_OBJECT_DIRECTORY"]))
        return git

    def places(self) -> Places:
        """The places to merge in; the folder is only made where one of them is laid out."""
        return Places(lambda: self.git, self.repository.common)

    def _aside(self, *others: Path, large: bool) -> Git:
        place = self.repository
        git = place.git_in(place.main) if place.main else place.git
        return self.stack.enter_context(aside(git, place.common, *others, large=large))


def _memory() -> str | None:
    """A folder in memory, where there is one with room and the user has not chosen another: a trial
    makes some files, and to make one took 1.3 ms on a disk and 0.02 ms there.
    """
    try:
        found = os.statvfs(MEMORY)
    except OSError:
        return None
    fit = found.f_bavail * found.f_frsize >= ROOM and os.access(MEMORY, os.W_OK | os.X_OK)
    return MEMORY if fit and "TMPDIR" not in os.environ else None


def trials(
    git: Git,
    common: Path,
    pairs: Iterable[Pair],
    sources: Mapping[str, Source] = NOWHERE,
    forks: Mapping[Pair, str | None] = NO_FORKS,
) -> dict[Pair, Trial]:
    """The trial merges of many pairs (ours, theirs); trees named in the answers do not exist in
    the repository. `sources` says whose attributes count in a merge into a commit, `forks` which
    commit a merge is made against instead of the merge base.
    """
    wanted = list(dict.fromkeys(pairs))
    if not wanted:
        return {}
    into = {ours: sources[ours] for ours, _ in wanted if ours in sources}
    with aside(git, common) as scratch:
        return merged_since(scratch, wanted, forks, Places(lambda: scratch, common).find(into))


def trials_kept(git: Git, pairs: Iterable[Pair]) -> dict[Pair, Trial]:
    """The trial merges of many pairs, whose trees stay in the repository."""
    wanted = list(dict.fromkeys(pairs))
    return dict(zip(wanted, _run(git, wanted), strict=True)) if wanted else {}


def trial(git: Git, ours: str, theirs: str) -> Trial:
    """One trial merge whose tree is kept in the repository, to be committed."""
    return _run(git, [(ours, theirs)])[0]


def merged(
    git: Git, pairs: Sequence[Pair], places: Mapping[str, Git] = NO_PLACES
) -> dict[Pair, Trial]:
    """The trial merges of many different pairs, where `git` puts objects: many of them by as many
    processes as there are processors. `places` are those that merges into a commit are made in.
    """
    return begin(git, pairs, places)()


def begin(
    git: Git, pairs: Sequence[Pair], places: Mapping[str, Git] = NO_PLACES
) -> Callable[[], dict[Pair, Trial]]:
    """The same, begun: call what comes back for the answer, once."""
    width = os.cpu_count() or 1
    waiting = _parts(git, pairs, places, width)
    begun: list[tuple[Git, Sequence[Pair], Process]] = []

    def more() -> None:
        for there, part in itertools.islice(waiting, width - len(begun)):
            begun.append((there, part, there.begin_with(_asked(part), *HASTY, *MERGE_TREE)))

    def finish() -> dict[Pair, Trial]:
        found: dict[Pair, Trial] = {}
        while begun:
            there, part, process = begun.pop(0)
            answer = there.finish(process, ok=range(-64, 256))
            more()
            found |= zip(part, _complete(there, part, _parse(answer.out, part)), strict=True)
        return found

    more()
    return finish


def merged_since(
    git: Git,
    pairs: Sequence[Pair],
    forks: Mapping[Pair, str | None],
    places: Mapping[str, Git] = NO_PLACES,
) -> dict[Pair, Trial]:
    """The same where some have another commit to be merged against than their merge base."""
    given = {pair: apart(git, fork, *pair) if (fork := forks.get(pair)) else pair for pair in pairs}
    there = {given[pair][0]: places[pair[0]] for pair in pairs if pair[0] in places}
    found = merged(git, list(dict.fromkeys(given.values())), there)
    return {pair: found[given[pair]] for pair in pairs}


def apart(git: Git, fork: str, ours: str, theirs: str) -> Pair:
    """Two commits as if they had left each other at a fork."""
    trees = git.lines("rev-parse", *(f"{commit}^{{tree}}" for commit in (fork, ours, theirs)))
    (below,) = commits(git, [(trees[0], [])])
    one, other = commits(git, [(tree, [below]) for tree in trees[1:]])
    return one, other


def _parts(
    git: Git, pairs: Sequence[Pair], places: Mapping[str, Git], width: int
) -> Iterator[tuple[Git, Sequence[Pair]]]:
    """The pairs of each place, in as many parts as they are worth."""
    groups: dict[Path, tuple[Git, list[Pair]]] = {}
    for pair in pairs:
        there = places.get(pair[0], git)
        groups.setdefault(there.folder, (there, []))[1].append(pair)
    for there, group in groups.values():
        share = width if len(group) >= SPLIT_FROM else 1
        yield from ((there, part) for number in range(share) if (part := group[number::share]))


def commits(git: Git, wanted: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """Commits of trees and their parents, where `git` puts objects; nobody's work, so that the
    same tree and parents always give the same id.
    """
    with temporary.folder() as folder:
        files = [folder / str(number) for number in range(len(wanted))]
        for file, (tree, parents) in zip(files, wanted, strict=True):
            lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents), *NOBODY]
            file.write_text("\n".join([*lines, "", "On trial", ""]))
        asked = "".join(f"{file}\n" for file in files)
        return git.lines("hash-object", "-t", "commit", "-w", "--stdin-paths", stdin=asked)


def _run(git: Git, pairs: Sequence[Pair]) -> list[Trial]:
    answer = git.run(*MERGE_TREE, stdin=_asked(pairs), ok=range(-64, 256))
    return _complete(git, pairs, _parse(answer.out, pairs))


def _asked(pairs: Sequence[Pair]) -> str:
    return "".join(f"{ours} {theirs}\n" for ours, theirs in pairs)


def _complete(git: Git, pairs: Sequence[Pair], found: list[Trial]) -> list[Trial]:
    """The answers for all pairs: a pair that git can't merge at all ends its whole batch."""
    while len(found) < len(pairs):
        bad, rest = pairs[len(found)], pairs[len(found) + 1 :]
        try:
            out = git.run(*MERGE_TREE, stdin=_asked([bad]), ok=(0, 1)).out
            found += _parse(out, [bad]) or [Trial(unknown="git merge-tree told nothing")]
        except GitError as error:
            found.append(Trial(unknown=error.message))
        if rest:
            out = git.run(*MERGE_TREE, stdin=_asked(rest), ok=range(-64, 256)).out
            found += _parse(out, rest)
    return found


def _parse(out: str, pairs: Sequence[Pair]) -> list[Trial]:
    """Read `merge-tree --stdin --messages` (git-merge-tree(1), OUTPUT); as many as git got through.

    A merge is a flag, 1 for a clean one and 0 for one with conflicts, the tree, a field for each
    stage of a path in conflict, an empty field, the messages, an empty field; a message is a count
    of paths, the paths, its kind and its text. A conflict that leaves no path of its own in the
    tree, such as a directory's that was renamed in two ways, names its paths only there.
    """
    fields = iter(out.split("\0"))
    found = []
    for flag, pair in zip(fields, pairs, strict=False):
        if flag not in ("0", CLEAN):
            break
        tree = next(fields)
        stages = list(iter(lambda: next(fields), ""))
        messages = list(_messages(fields))
        moves_submodule = any(kind.endswith(SUBMODULE) for kind, _ in messages)
        kinds = {} if flag == CLEAN else _kinds(stages, messages, pair)
        touched = tuple(path for _, paths in messages for path in paths)
        found.append(Trial(tree, tuple(kinds), "", tuple(kinds.values()), moves_submodule, touched))
    return found


def _messages(fields: Iterator[str]) -> Iterator[tuple[str, list[str]]]:
    """Read the messages of one merge: the kind of each and its paths."""
    for count in fields:
        if not count.isdigit():  # empty, or what git 2.39 advises about submodules
            break
        paths = [next(fields) for _ in range(int(count))]
        kind, _text = next(fields), next(fields)
        yield kind, paths


def _kinds(stages: list[str], messages: list[tuple[str, list[str]]], pair: Pair) -> dict[str, str]:
    """The kind of conflict of each path, by the path as people know it."""
    content: dict[str, str] = {}
    for stage in stages:
        mode, _blob, number_path = stage.split(" ", 2)
        number, _, path = number_path.partition("\t")
        if path not in content:
            content[path] = "content" if number == "1" else "add/add"
        if mode == GITLINK:
            content[path] = SUBMODULE
    special: dict[str, str] = {}
    for told, paths in messages:
        match = re.fullmatch(r"CONFLICT ?\((.*)\)", told)
        if match and match[1] != "contents":  # those are told apart by their stages
            word = SUBMODULE if match[1].startswith(SUBMODULE) else match[1]
            special |= {path: word for path in paths if path not in special}
    known = list(content) or list(special) or ["(no path)"]
    return {_plain(path, pair): special.get(path) or content.get(path, "") for path in known}


def _plain(path: str, pair: Pair) -> str:
    """A path without what git adds to it where a folder is in its way: `~` and the side."""
    for side in pair:
        name, mark, number = path.rpartition(f"~{side}")
        if mark and re.fullmatch(r"(_\d+)?", number):
            return name
    return path


def _quoted(path: Path) -> str:
    """A path for a list that is separated by colons; git reads quotes in it (git(1))."""
    text = str(path)
    if ":" not in text and not text.startswith('"'):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
