"""Mend what somebody broke by hand: nothing that is there is written over, or deleted."""

import contextlib
import os
import shutil
import time
from pathlib import Path

from msgspec import structs

from git_parallel import journal, pins, relocation, slot, ties, trash
from git_parallel.errors import ParallelError
from git_parallel.records import load_record, write, write_record
from git_parallel.relocation import places_now
from git_parallel.repository import Repository
from git_parallel.task import Task
from git_parallel.task_folder import TaskFolder
from git_parallel.task_view import TaskView
from git_parallel.ties import admin_of
from git_parallel.worktree import Worktree

ASIDE = "aside"  # the folder of what was moved out of the way


def put_aside(repository: Repository, path: Path) -> Path:
    """Move something of git's or ours out of the way, to be looked at; returns where it is."""
    folder = repository.store.state / ASIDE
    folder.mkdir(exist_ok=True)
    rest = folder / f"{path.name}-{time.time_ns():x}"
    os.rename(path, rest)
    return rest


def restore_worktree(repository: Repository, view: TaskView) -> None:
    """Make a worktree again whose folder somebody deleted: what was staged or committed is back."""
    task = view.task
    path = view.path
    with repository.store.locked():
        _refuse_changed(repository, view)
        if os.path.lexists(path):
            raise ParallelError(f"{path} exists again", hint="git parallel list")
        worktree = repository.worktree_of(task.slug)
        if worktree is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            worktree = repository.add_worktree(path, task.branch, task.base, create=False)
            _fill(repository, worktree)
            repository.mark(worktree, task.slug)
        else:
            _make_again(repository, worktree)
        repository.store.link(task.slug, path)


def _make_again(repository: Repository, worktree: Worktree) -> None:
    """Check all files out that are in the index, beside the place of the worktree: it is there as a
    whole or not at all.
    """
    path = worktree.path
    fresh = path.with_name(f".{path.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)  # of somebody who was killed at this
    fresh.mkdir(parents=True)
    # Not by way of its `.git`: git would take it for where the worktree was moved to (2.39).
    there = {"GIT_DIR": str(worktree.admin), "GIT_WORK_TREE": str(fresh)}
    repository.git.at(fresh, **there).run("checkout-index", "--all", "--quiet")
    write(fresh / ".git", os.fsencode(f"gitdir: {worktree.admin}\n"))
    os.rename(fresh, path)
    repository.git_in(path).run("update-index", "-q", "--refresh", ok=(0, 1))


def _fill(repository: Repository, worktree: Worktree) -> None:
    """Check out the branch of a worktree in which nothing was ever staged, and nothing is."""
    if not (worktree.admin / "index").exists() and os.listdir(worktree.path) == [".git"]:
        git = repository.git_in(worktree.path)
        git.run("reset", "--hard", "--quiet", "--no-recurse-submodules")


def _refuse_changed(repository: Repository, view: TaskView) -> None:
    """Refuse where the task was moved since it was looked at, or somebody died who did that."""
    trash.recover(repository)
    if not view.folder.record.exists():
        name = view.task.name
        raise ParallelError(f"`{name}` was moved away", hint=f"git parallel undo {name}")


def claim_worktree(repository: Repository, view: TaskView, worktree: Worktree) -> None:
    """Say that a worktree is a task's, where whoever was about to say it was killed."""
    with repository.store.locked():
        _refuse_changed(repository, view)
        _fill(repository, worktree)
        repository.mark(worktree, view.task.slug)
        repository.store.link(view.task.slug, worktree.path)


def lead_back(repository: Repository) -> None:
    """Tie worktrees to their admin folders again, wherever that is beyond doubt."""
    store = repository.store
    with store.locked():
        relocation.mend(store, repository.common, repository.main, relocation.old_place(store))


def follow_branch(folder: TaskFolder, branch: str) -> None:
    """Have a task's record name the branch as it is called now."""
    task = load_record(folder.record, Task)
    write_record(folder.record, structs.replace(task, branch=branch.removeprefix("refs/heads/")))


def renamed(repository: Repository, branch: str) -> str | None:
    """What a branch that is gone is called now, where its reflog tells that it was renamed (the
    words are those of git's `branch --move`).
    """
    there = repository.branches()
    seen = {branch}
    while f"refs/heads/{branch}" not in there:
        words = f"Branch: renamed refs/heads/{branch} to refs/heads/"
        asked = ("-F", f"--grep-reflog={words}", "--format=%gs", "-1")
        log = ("-c", "log.showSignature=false", "log", "-g", "--branches")
        told = repository.git.run(*log, *asked, ok=(0, 128)).out.strip()
        branch = told.removeprefix(words)
        if not told.startswith(words) or branch in seen:
            return None
        seen.add(branch)
    return branch


def follow_target(repository: Repository, old: str, new: str) -> None:
    """Have the tasks that were to be merged into a branch go where it is called otherwise."""
    for folder, task in repository.store.load_tasks():
        if task.target == old:
            folder.write_retarget(new, stands_on=folder.stands_on)


def last_commit(repository: Repository, view: TaskView) -> str | None:
    """The commit that a branch was at before it was deleted, as far as anything tells."""
    logs = [view.worktree.admin / "logs" / "HEAD"] if view.worktree else []
    known = [commit for log in logs for commit in pins.commits_in(log)[-1:]]
    known += [view.run.head] if view.run and view.run.head else []
    for commit in known:
        with contextlib.suppress(ParallelError):
            return repository.resolve(commit)
    return None


def restore_branch(repository: Repository, branch: str, commit: str) -> None:
    """Make a branch again that was deleted, unless there is one of the name meanwhile."""
    nothing = "0" * len(commit)
    reason = "git parallel doctor: made again"
    repository.git.run("update-ref", "-m", reason, f"refs/heads/{branch}", commit, nothing)


def strays(repository: Repository) -> list[Worktree]:
    """The admin folders that were copied with the repository, and lead to others' worktrees."""
    common = repository.common
    return [w for w in repository.admins() if relocation.is_of_others(w.path, common)]


def part_from_original(repository: Repository) -> None:
    """Make a copied repository one of its own: a worktree that was copied with it becomes its own,
    a task whose worktree was not goes to the trash, and the admin folders of the original's
    worktrees are put aside. The original is not touched.
    """
    store = repository.store
    with store.locked():
        old = relocation.old_place(store)
        for worktree in strays(repository):
            admin = admin_of(worktree.path)
            original = admin.parent.parent if admin else old
            if not _take_copy(repository, worktree, original or old):
                put_aside(repository, worktree.admin)
                _drop_task(repository, worktree)
        relocation.mend(store, repository.common, repository.main, old)
        for entry in sorted(store.trash.glob("*")):
            if not any(entry == ours.folder for ours in journal.entries(repository)):
                put_aside(repository, entry)
        for folder, task in store.load_tasks():
            others = [one for known, one in store.load_tasks() if known.slug != folder.slug]
            if new := slot.retake(repository.key, folder.path, task, others):
                folder.write_slot(new)
        (store.state / relocation.FORMER).unlink(missing_ok=True)  # processes of the original
        relocation.remember(store, repository.common)


def _take_copy(repository: Repository, worktree: Worktree, original: Path | None) -> bool:
    """Tie a worktree that was copied along to this repository; whether there is one."""
    for path in places_now(worktree.path, repository.common, repository.main, original):
        admin = admin_of(path)
        if admin is None or admin.name != worktree.id or path.resolve() == worktree.path.resolve():
            continue
        ties.take(path, worktree)
        return True
    return False


def _drop_task(repository: Repository, worktree: Worktree) -> None:
    """Move the task of a worktree that is the original's to the trash; the branch stays."""
    for folder, task in repository.store.load_tasks():
        if folder.slug == worktree.slug:
            ref = f"refs/heads/{task.branch}"
            branch = repository.branches(ref).get(ref)
            tip = branch.tip if branch else None
            why = "its worktree belongs to the repository that this one is a copy of"
            trash.move(repository, folder, task, None, tip=tip, drop_branch=False, why=why)


def finish_moves(repository: Repository) -> None:
    """Carry moves to the trash and back to their end that were killed."""
    with repository.store.locked():
        trash.recover(repository)


def drop_unsaid(repository: Repository, folder: TaskFolder) -> None:
    """Delete the folder of a task whose start was killed before it said what the task is."""
    with repository.store.locked():
        repository.store.drop_unsaid(folder)
