"""What in the target's worktree is in the way of a merge. It is asked before anything moves.

Git itself keeps changed files from being overwritten, but it names them in prose, and it overwrites
ignored ones without a word.
"""

import os
import shlex
from pathlib import Path

from git_parallel.changes import GITLINK, NO_FILE, Change, Entry
from git_parallel.errors import ParallelError, UnsafeError
from git_parallel.git import Git, status_path
from git_parallel.prepared import Prepared
from git_parallel.repository import Repository
from git_parallel.ties import admin_of
from git_parallel.untracked import aside, in_the_way
from git_parallel.wording import in_line, named, pasted
from git_parallel.worktree import OPERATIONS, operations_in

MOST_NAMED = 5
SKIPPED = "S"  # git-ls-files(1), `-v`: lower-case letters are for assume-unchanged
PATTERNS = frozenset("*?[\\:")  # what makes a path match others (gitglossary(7), "pathspec")
RESTING = frozenset(
    OPERATIONS[name]
    for name in ("rebase-merge", "rebase-apply", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD")
)


def refuse(repository: Repository, prepared: Prepared) -> None:
    """Raise UnsafeError where landing would change what somebody has in a worktree, or is at work
    on there.
    """
    name = prepared.target.ref.removeprefix("refs/heads/")
    if busy := _rebased(repository, prepared.target.ref):
        words = ["git", "-C", str(busy), "rebase", "--continue"]
        raise UnsafeError(f"{name} is being rebased in {busy}", hint=in_line(shlex.join(words)))
    if (place := prepared.target.worktree) is None:
        return
    if not place.is_dir():
        raise ParallelError(
            f"{name} is checked out in {place}, which is not there",
            hint="git worktree repair NEW-PATH  # where it was moved\ngit worktree prune",
        )
    if what := _operation(repository, place):
        raise UnsafeError(
            f"{what} is not finished in {place}", hint=f"git -C {pasted(place)} status"
        )
    if not (place / ".git").exists():
        raise ParallelError(
            f"{name} is checked out in a worktree that can't be found from here",
            hint="call it from that worktree",
        )
    git = repository.git_in(place)
    refuse_untracked(git, prepared.change)
    refuse_changes(git, prepared.change)


def refuse_changes(git: Git, change: Change) -> None:
    """Raise UnsafeError where a change would overwrite what is not committed of tracked files in
    the worktree that git runs in.
    """
    if changed := _changed(git, change):
        raise _uncommitted(git, changed, hint=_stash(git))
    if hidden := _hidden(git, change):
        path, flag = next(iter(hidden.items()))
        shown = "--no-skip-worktree" if flag == SKIPPED else "--no-assume-unchanged"
        words = ["git", "-C", str(git.folder), "update-index", shown, "--", path]
        raise _uncommitted(git, list(hidden), hint=in_line(shlex.join(words)))


def refuse_untracked(git: Git, change: Change) -> None:
    """The same for what is not tracked there, or is new in the index."""
    if not (there := list(in_the_way(git.folder, change))):
        return
    known = set(git.fields("ls-files", "-z"))
    if staged := [path for path in there if path in known]:
        raise _uncommitted(git, staged, hint=_unstaged(git, change, staged))
    what = named(there, MOST_NAMED)
    raise UnsafeError(
        f"files in {git.folder} that git does not track would be overwritten: {what}",
        hint=in_line(aside(git.folder, change, there[0])),
    )


def _unstaged(git: Git, change: Change, staged: list[str]) -> str:
    """The command that takes what is new in the index out of the way."""
    promised = _promised(git)
    if path := next((path for path in staged if path in promised), ""):
        return in_line(f"{_forgotten(git, [path])} && {aside(git.folder, change, path)}")
    return _stash(git)


def _stash(git: Git) -> str:
    """The command that puts changes away: git stashes nothing while there are promised files."""
    stash = shlex.join(["git", "-C", str(git.folder), "stash"])
    promised = _promised(git)
    return in_line(f"{_forgotten(git, promised)} && {stash}") if promised else stash


def _promised(git: Git) -> list[str]:
    """The files that the index was only told of (`git add -N`)."""
    return git.fields("diff-files", "--name-only", "--diff-filter=A", "-z")


def _forgotten(git: Git, paths: list[str]) -> str:
    """The command that has the index forget what it was told of; the files stay."""
    exact = ["--literal-pathspecs"] if any(set(path) & PATTERNS for path in paths) else []
    return shlex.join(["git", "-C", str(git.folder), *exact, "reset", "--quiet", "--", *paths])


def _uncommitted(git: Git, paths: list[str], *, hint: str) -> UnsafeError:
    words = f"uncommitted changes in {git.folder} would be overwritten: {named(paths, MOST_NAMED)}"
    return UnsafeError(words, hint=hint)


def _operation(repository: Repository, place: Path) -> str:
    """What git is in the middle of in a worktree, if that rests on where its branch is."""
    admin = admin_of_place(repository, place)
    found = operations_in(admin) if admin else []
    return next((what for what in found if what in RESTING), "")


def admin_of_place(repository: Repository, place: Path) -> Path | None:
    """Where git keeps what it knows of a worktree, which may be the main one."""
    return repository.common if place == repository.main else admin_of(place)


def _changed(git: Git, change: Change) -> list[str]:
    """The tracked paths of a change that have uncommitted changes, staged or not, and that git
    would have to write.
    """
    status = ("status", "--porcelain=v2", "-z", "-uno", "--no-renames")
    fields = git.fields("--no-optional-locks", *status)
    entries = {entry.path: entry for entry in change.entries}
    known = {status_path(field): field for field in fields}
    changed = [path for path in known if path in entries]
    own = [path for path in changed if _is_of_submodule(git, known[path], entries[path], change)]
    if own and git.run("config", "--type=bool", "submodule.recurse", ok=(0, 1)).out != "true\n":
        return [path for path in changed if path not in own]
    return changed


def _is_of_submodule(git: Git, field: str, entry: Entry, change: Change) -> bool:
    """Whether what changed, as `status` tells it, is only in the worktree of a submodule, which may
    be at another commit than the index says: git leaves that alone, but where files come for it.
    """
    _, staged, _, _, mode = field.split(" ", 5)[:5]  # "1 XY sub mH mI …"
    if staged[0] != "." or mode != GITLINK:
        return False
    place = git.folder / entry.path
    if not place.is_dir() or place.is_symlink():
        return not os.path.lexists(place)
    stays = entry.new[0] in (GITLINK, NO_FILE)
    return stays and not any(path.startswith(f"{entry.path}/") for path in change.paths)


def _hidden(git: Git, change: Change) -> dict[str, str]:
    """The paths of a change that were edited behind a flag (assume-unchanged, skip-worktree), which
    has `git status` overlook them, each with the flag.
    """
    old = {entry.path: entry.old[1] for entry in change.entries}
    listed = git.fields("ls-files", "-v", "-z")
    flags = {f[2:]: f[0] for f in listed if (f[0].islower() or f[0] == SKIPPED) and f[2:] in old}
    there = [path for path in flags if (git.folder / path).is_file()]
    blobs = git.lines("hash-object", "--", *there) if there else []
    edited = {path for path, blob in zip(there, blobs, strict=True) if blob != old[path]}
    return {path: flags[path] for path in there if path in edited}


def _rebased(repository: Repository, ref: str) -> Path | None:
    """The worktree in which a branch is being rebased, and will be set when that ends."""
    places = [(w.admin, w.path) for w in repository.worktrees()]
    for admin, path in [(repository.common, repository.place), *places]:
        for operation in ("rebase-merge", "rebase-apply"):
            try:
                named = (admin / operation / "head-name").read_text().strip()
            except OSError:
                continue
            if named == ref:
                return path
    return None
