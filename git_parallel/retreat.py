"""A target on its way back to where it was before a merge: its ref, then its files.

Before the ref moves, a record says what is about to happen; whoever finds it later finishes that,
or drops it where nothing had moved. The files are git's to write: a merge of two trees, which
refuses as a whole where it would overwrite anything (git-read-tree(1), "Two Tree Merge").

A merge that lands has such a record too. Git writes the files first then, and the ref last: where
it did not come to that, the files go back.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from git_parallel import obstacles, records
from git_parallel.changes import NO_FILE, SUBMODULES, Change, changes_between
from git_parallel.errors import ParallelError, UnsafeError
from git_parallel.git import QUIET_HOOKS, Git
from git_parallel.lock import is_held
from git_parallel.repository import Branch, Repository
from git_parallel.store import LANDING
from git_parallel.wording import named, pasted
from git_parallel.worktree import operations_in

TWO_WAYS = ("-c", "submodule.recurse=false", "read-tree", "-m", "-u")
NAMED = 3


class Retreat(Struct, frozen=True, forbid_unknown_fields=True):
    """What is being taken back: the merge of a task, the target's commit after it and before it,
    and the id of the task in the trash, if it is there. One that is `landing` is on its way to the
    result, and goes back only where it does not get there.
    """

    name: str
    slug: str
    target: str
    result: str
    before: str
    entry: str | None = None
    landing: bool = False
    version: int = 1

    @property
    def told(self) -> str:
        """That it was killed, in words."""
        what = "the merge of" if self.landing else "to take back the merge of"
        return f"{what} {self.name} into {self.target} was interrupted"

    @property
    def ref(self) -> str:
        """The full name of the target."""
        return f"refs/heads/{self.target}"


def begun(repository: Repository) -> Retreat | None:
    """What is under way or was killed, if anything; raises ParallelError."""
    return records.find_record(repository.store.retreat, Retreat)


def interrupted(repository: Repository) -> Retreat | None:
    """What was killed, if anything, and not what is under way; raises ParallelError."""
    if begun(repository) is None or is_held(repository.store.state / LANDING):
        return None
    found = begun(repository)  # what was under way a moment ago may have come to its end
    if found and found.landing and has_landed(repository, found):
        return None
    return found


def way_out(repository: Repository, killed: Retreat) -> str:
    """The command that goes on from what was killed."""
    if not killed.landing:
        return f"git parallel undo --merge {killed.name}"
    there = repository.store.folder(killed.slug).record.exists()
    return f"git parallel merge {killed.name}" if there else "git parallel doctor --fix"


@contextlib.contextmanager
def landing(repository: Repository, way: Retreat) -> Iterator[None]:
    """Hold a record while git takes a target forward, whose files are as its commit has them where
    they change; takes them back where that fails. Raises ParallelError.
    """
    _write(repository, way)
    try:
        yield
    except BaseException:
        finish(repository, way)
        end(repository)
        raise
    end(repository)


def end(repository: Repository) -> None:
    """Say that all of it is done."""
    repository.store.retreat.unlink(missing_ok=True)


def move(repository: Repository, retreat: Retreat, target: Branch) -> None:
    """Move a target back; its record stays until whoever calls says `end`. Raises ParallelError,
    with nothing changed, where that is not possible.
    """
    git = _git_at(target)
    if git:
        _refuse_unfinished(git)
        change = _change(git, retreat)
        obstacles.refuse_untracked(git, change)
        obstacles.refuse_changes(git, change)
        git.run("update-index", "-q", "--refresh", ok=(0, 1))
        git.run(*TWO_WAYS, "--dry-run", retreat.result, retreat.before)
    _write(repository, retreat)
    _move_ref(repository, retreat)
    if git:
        _move_files(repository, git, retreat)


def _write(repository: Repository, retreat: Retreat) -> None:
    try:
        records.write_record(repository.store.retreat, retreat, durable=not retreat.landing)
    except OSError as error:
        words = f"{repository.store.retreat} can't be written: {error.strerror}"
        raise ParallelError(words) from error


def _move_ref(repository: Repository, retreat: Retreat) -> None:
    ends = (retreat.before, retreat.result)
    try:
        repository.git.run("update-ref", "-m", _reason(retreat), retreat.ref, *ends)
    except ParallelError:
        end(repository)
        raise


def _move_files(repository: Repository, git: Git, retreat: Retreat) -> None:
    ends = (retreat.result, retreat.before)
    try:
        git.run_from_here(*TWO_WAYS, *ends)
    except ParallelError:
        repository.git.run(
            "update-ref", "-m", f"{_reason(retreat)}: taken back", retreat.ref, *ends
        )
        end(repository)
        raise


def _reason(retreat: Retreat) -> str:
    return f"undo merge {retreat.name}"


def _git_at(target: Branch) -> Git | None:
    """Git where a branch is checked out, if it is."""
    place = target.worktree
    return Git(place, None, **QUIET_HOOKS) if place and place.is_dir() else None


def _change(git: Git, retreat: Retreat) -> Change:
    """What a target's files go through on the way back."""
    ends = (retreat.result, retreat.before)
    return changes_between(git, [ends])[ends]


def _refuse_unfinished(git: Git) -> None:
    for what in operations_in(Path(git.text("rev-parse", "--absolute-git-dir"))):
        raise UnsafeError(
            f"{what} is not finished in {git.folder}", hint=f"git -C {pasted(git.folder)} status"
        )


def _refuse(git: Git, paths: set[str], *, hint: str) -> None:
    if paths:
        what = named(sorted(paths), NAMED)
        words = f"uncommitted changes in {git.folder} would be overwritten: {what}"
        raise UnsafeError(words, hint=hint)


def finish(repository: Repository, retreat: Retreat) -> bool:
    """Finish what was killed, as far as the target goes; False where nothing had been moved. What
    somebody did with the target since then stays. Raises ParallelError, with nothing changed.
    """
    if has_landed(repository, retreat):
        return False
    target = repository.branches(retreat.ref).get(retreat.ref)
    if target and target.tip == retreat.before and (git := _git_at(target)):
        (_put_back if retreat.landing else _finish_files)(git, retreat)
    return not retreat.landing


def has_landed(repository: Repository, retreat: Retreat) -> bool:
    """Whether the target has the result of the merge, or is beyond it."""
    asked = ("merge-base", "--is-ancestor", retreat.result, retreat.ref)
    return repository.git.run(*asked, ok=(0, 1, 128)).code == 0


class State(Struct, frozen=True):
    """What stands where a merge changes something, before it and after it, by path; and the paths
    whose entries in the index, and whose files, are as they were before, and as they are after.
    """

    before: dict[str, tuple[str, str]]
    after: dict[str, tuple[str, str]]
    indexed_before: set[str]
    indexed_after: set[str]
    filed_before: set[str]
    filed_after: set[str]


def _state(git: Git, retreat: Retreat) -> State:
    change = _change(git, retreat)
    before = {entry.path: entry.new for entry in change.entries}
    after = {entry.path: entry.old for entry in change.entries}
    return State(
        before,
        after,
        indexed_before=before.keys() - _staged(git, retreat.before),
        indexed_after=after.keys() - _staged(git, retreat.result),
        filed_before=before.keys() - _differing(git, before),
        filed_after=after.keys() - _differing(git, after),
    )


def _put_back(git: Git, retreat: Retreat) -> None:
    """Take back the files that a git which did not get to the ref has written: with their entries
    of the index, or before these. What else is there is somebody's, and no file of theirs is
    touched: raises UnsafeError where that is in the way.
    """
    state = _state(git, retreat)
    written = state.filed_after - state.filed_before
    neither = state.indexed_before - state.filed_before - written
    begun = {path for path in neither if _is_begun(git, path, state.after[path])}
    ahead, done = state.indexed_before & written, state.indexed_after & state.filed_after
    if not begun | ahead | done:
        return
    _refuse_others(git, state, begun | ahead | done)
    _make_again(git, {path: state.before[path] for path in begun})
    _go_back(git, retreat, {path: state.after[path] for path in ahead})


def _is_begun(git: Git, path: str, side: tuple[str, str]) -> bool:
    """Whether a file is one that git was about to write: it is away, or is how that one begins."""
    mode, blob = side
    try:
        content = (git.folder / path).read_bytes()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    regular = mode.startswith("100") and not (git.folder / path).is_symlink()
    return regular and os.fsencode(git.run("cat-file", "blob", blob).out).startswith(content)


def _make_again(git: Git, entries: Mapping[str, tuple[str, str]]) -> None:
    """Give files back what the index has of them; what it does not have goes."""
    for path, (mode, _) in entries.items():
        if mode == NO_FILE:
            (git.folder / path).unlink(missing_ok=True)
    there = [path for path, (mode, _) in entries.items() if mode != NO_FILE]
    asked = "".join(f"{path}\0" for path in there)
    git.run("checkout-index", "--force", "-z", "--stdin", stdin=asked)


def _finish_files(git: Git, retreat: Retreat) -> None:
    """Git writes the files before the index: of a git that was killed, some are there already."""
    _refuse_unfinished(git)
    state = _state(git, retreat)
    ahead = state.indexed_after & state.filed_before
    _refuse_others(git, state, ahead | (state.indexed_after & state.filed_after))
    _go_back(git, retreat, {path: state.before[path] for path in ahead})


def _refuse_others(git: Git, state: State, ours: set[str]) -> None:
    """Refuse where there is anything but what was before, and what git has done for us."""
    others = state.before.keys() - (state.indexed_before & state.filed_before) - ours
    _refuse(git, others, hint=f"git -C {pasted(git.folder)} status")


def _go_back(git: Git, retreat: Retreat, entries: Mapping[str, tuple[str, str]]) -> None:
    """Merge the two trees on the way back, where git's index lacks some entries of files that it
    has written.
    """
    _stage(git, entries)
    git.run("update-index", "-q", "--refresh", ok=(0, 1))
    git.run_from_here(*TWO_WAYS, retreat.result, retreat.before)


def _staged(git: Git, commit: str) -> set[str]:
    """The paths that differ between the index and a commit."""
    words = ("diff-index", "--cached", "--no-renames", "--name-only", "-z", SUBMODULES)
    return set(git.fields(*words, commit))


def _differing(git: Git, side: Mapping[str, tuple[str, str]]) -> set[str]:
    """The paths whose files are not what stands there on a side of a change; submodules are not
    looked into, as git leaves them alone on the way back.
    """
    with tempfile.TemporaryDirectory() as folder:
        own = git.at(git.folder, GIT_INDEX_FILE=f"{folder}/index")
        _stage(own, {path: one for path, one in side.items() if one[0] != NO_FILE})
        own.run("update-index", "-q", "--refresh", ok=(0, 1))
        found = own.fields("diff-files", "--ignore-submodules=all", "--name-only", "-z")
    absent = [path for path, (mode, _) in side.items() if mode == NO_FILE]
    return {*found, *(path for path in absent if _is_there(git.folder / path))}


def _is_there(path: Path) -> bool:
    """Whether something is there that is no folder: one may stand where a file was, or will be."""
    return os.path.lexists(path) and (path.is_symlink() or not path.is_dir())


def _stage(git: Git, entries: Mapping[str, tuple[str, str]]) -> None:
    lines = [f"{mode} {blob}\t{path}\0" for path, (mode, blob) in entries.items()]
    if lines:
        git.run("update-index", "-z", "--index-info", stdin="".join(lines))
