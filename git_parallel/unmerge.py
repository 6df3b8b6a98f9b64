"""Take back a merge of ours, as long as nothing was built upon it.

The same guards as for landing: the target moves by compare-and-swap, and where it is checked out
nothing is touched that is not committed. Else the way back is a revert, which a person makes.
"""

import os
from pathlib import Path

from msgspec import Struct

from git_parallel import records, trash
from git_parallel.changes import Change, changes_between
from git_parallel.errors import GitError, ParallelError, UnsafeError
from git_parallel.facts import REMOTES
from git_parallel.git import QUIET_HOOKS, Git, status_path
from git_parallel.journal import KEPT, Entry, entries
from git_parallel.records import Landed
from git_parallel.repository import Branch, Repository
from git_parallel.task import same_name
from git_parallel.task_folder import TaskFolder
from git_parallel.worktree import operations_in

LANDING_WAIT_S = 3600.0
NAMED = 3


class Merge(Struct, frozen=True):
    """A merge of ours: what was recorded of it, and where its task is now: here or in the trash."""

    name: str
    landed: Landed
    folder: TaskFolder | None
    entry: Entry | None


class Undone(Struct, frozen=True):
    """A merge that was taken back: its task, the target, and where that and the task are now."""

    name: str
    target: str
    commit: str
    path: Path | None


def take_back(repository: Repository, name: str) -> Undone:
    """Move a target back to where it was before our merge of a task, and bring the task back from
    the trash; raises ParallelError, with nothing changed, where that is not possible.
    """
    with repository.store.locked(name="landing", wait_s=LANDING_WAIT_S), repository.store.locked():
        trash.recover(repository)
        merge = _find(repository, name)
        target, before = _target(repository, merge)
        if merge.entry:
            trash.make_sure_there_is_room(merge.entry)
        _move_back(repository, merge, target, before)
        path = trash.bring_back(merge.entry) if merge.entry else None
        folder = merge.folder or repository.store.folder(
            merge.entry.journal.slug if merge.entry else ""
        )
        folder.forget_landed()
    return Undone(merge.name, merge.landed.target, before, path)


def _find(repository: Repository, name: str) -> Merge:
    for folder, task in repository.store.load_tasks():
        landed = folder.landed
        if landed and (same_name(task.name, name) or folder.slug == name):
            return Merge(task.name, landed, folder, None)
    for entry in reversed(entries(repository)):
        journal = entry.journal
        wanted = same_name(journal.name, name) or journal.id == name
        if not wanted or journal.state != KEPT:
            continue
        if landed := records.find_record(entry.record / "landed.json", Landed):
            return Merge(journal.name, landed, None, entry)
    raise ParallelError(
        f"no merge of `{name}` by git parallel is known", hint="git parallel undo --list"
    )


def _target(repository: Repository, merge: Merge) -> tuple[Branch, str]:
    """The target as it is, and the commit that it goes back to; raises UnsafeError."""
    landed = merge.landed
    ref = f"refs/heads/{landed.target}"
    target = repository.branches(ref).get(ref)
    if target is None or not _holds(repository, target.tip, landed.result):
        raise ParallelError(f"`{merge.name}` is not merged into {landed.target} any more")
    hint = f"git revert {_reverted(landed)}"
    if target.tip != landed.result:
        words = f"{landed.target} has moved on since `{merge.name}` was merged"
        raise UnsafeError(words, hint=hint)
    upstream = (
        repository.branches(target.upstream).get(target.upstream) if target.upstream else None
    )
    if upstream and _holds(repository, upstream.tip, landed.result):
        known = upstream.ref.removeprefix(REMOTES)
        raise UnsafeError(f"the merge of `{merge.name}` is in {known} already", hint=hint)
    if landed.before is None:
        raise UnsafeError(f"where {landed.target} was before is not recorded", hint=hint)
    return target, landed.before


def _holds(repository: Repository, tip: str, commit: str) -> bool:
    return repository.git.says_yes("merge-base", "--is-ancestor", commit, tip)


def _reverted(landed: Landed) -> str:
    """What `git revert` is to be told."""
    if landed.strategy == "merge":
        return f"-m 1 {landed.result}"
    if landed.strategy == "squash" or landed.before is None:
        return landed.result
    return f"{landed.before}..{landed.result}"


def _move_back(repository: Repository, merge: Merge, target: Branch, before: str) -> None:
    result = merge.landed.result
    message = f"undo merge {merge.name}"
    place = target.worktree
    if place is None or not place.is_dir():
        repository.git.run("update-ref", "-m", message, target.ref, before, result)
        return
    git = Git(place, None, **QUIET_HOOKS)
    _refuse_unfinished(git)
    change = changes_between(git, [(result, before)])[result, before]
    _refuse_in_the_way(git, change)
    two_ways = ("-c", "submodule.recurse=false", "read-tree", "-m", "-u")
    git.run("update-index", "-q", "--refresh", ok=(0, 1))
    git.run(*two_ways, "--dry-run", result, before)
    git.run("update-ref", "-m", message, target.ref, before, result)
    try:
        git.run(*two_ways, result, before)
    except GitError:
        git.run("update-ref", "-m", f"{message}: taken back", target.ref, result, before)
        raise


def _refuse_unfinished(git: Git) -> None:
    for what in operations_in(Path(git.text("rev-parse", "--absolute-git-dir"))):
        raise UnsafeError(
            f"{what} is not finished in {git.folder}", hint=f'git -C "{git.folder}" status'
        )


def _refuse_in_the_way(git: Git, change: Change) -> None:
    """Refuse where what is not committed would be overwritten: changed files, hidden ones, and
    ignored ones where a file comes back.
    """
    paths = set(change.paths)
    fields = git.fields("status", "--porcelain=v2", "-z", "-uall", "--no-renames")
    touched = paths & set(map(status_path, fields))
    flags = git.fields("ls-files", "-v", "-z")
    touched |= paths & {field[2:] for field in flags if field[0].islower() or field[0] == "S"}
    back = [entry.path for entry in change.entries if not entry.old[0].strip("0")]
    touched |= {path for path in back if os.path.lexists(git.folder / path)}
    if touched:
        named = ", ".join(sorted(touched)[:NAMED])
        words = f"uncommitted changes in {git.folder} would be overwritten: {named}"
        raise UnsafeError(words, hint=f'git -C "{git.folder}" stash')
