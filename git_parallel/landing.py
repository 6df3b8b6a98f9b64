"""Land a task in its target: prepared aside as commits, checked, then one fast-forward.

Until the last step nobody's working tree and no branch has changed, and the last step is git's
own: `git merge --ff-only` where the target is checked out, a compare-and-swap of the ref where it
is not. So a merge that is interrupted has either not happened or happened.
"""

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct, structs

from git_parallel import comments, early, obstacles, retreat, stack
from git_parallel.errors import GitError, ParallelError, UnsafeError
from git_parallel.git import QUIET_HOOKS, Git
from git_parallel.overview import look
from git_parallel.prepared import Prepared, Wish, prepare
from git_parallel.proof import prove
from git_parallel.records import Landed, Verdict
from git_parallel.replay import UNKNOWN
from git_parallel.repository import Branch, Repository
from git_parallel.retreat import Retreat
from git_parallel.review import rejected_within
from git_parallel.stack import Moved
from git_parallel.store import LANDING
from git_parallel.task import Status
from git_parallel.task_view import TaskView
from git_parallel.wording import named, pasted
from git_parallel.workshop import Workshop
from git_parallel.worktree import LOCKS, content, ref_locks

TRIES = 3
LANDING_WAIT_S = 3600.0
OLD_S = 0.5
LOG = "landing.log"  # what git printed when it moved the files of a target's worktree
NO_OPTIONS = "GIT_PARALLEL_NO_OPTIONS"
PAUSES_S = (0.05, 0.2, 0.5, 1.0)  # somebody else's git has the index of the target's worktree


class TargetMoved(Exception):
    """Somebody else landed first: what was prepared is out of date."""


def refusal(view: TaskView) -> str:
    """Why a task can't be merged as it is, or nothing."""
    if view.alive:
        return f"it is {view.status}"
    if view.tip is None:
        return f"its branch {view.task.branch} is gone"
    if view.target is None:
        return f"its target {view.task.target} is gone"
    if view.status is Status.MERGED:
        return "it is merged already"
    if view.folder.verdict(view.tip) is Verdict.REJECTED:
        again = comments.delivery(view.folder)
        return f"you rejected it: {again}, or git parallel review {view.task.name} --accept"
    if view.worktree and view.worktree.operations:
        return f"{view.worktree.operations[0]} is not finished in its worktree"
    if view.dirty:
        return f"{view.dirty} uncommitted {'path' if view.dirty == 1 else 'paths'} in its worktree"
    if view.dirty is None and view.worktree:
        return view.trouble if view.broken else UNKNOWN
    if view.tip == view.task.base or (view.facts and not view.facts.ahead):
        # Where the target has its commits, and took them back, that is said.
        told = view.facts.unmerged if view.facts and view.tip != view.task.base else ""
        return told or "it has no commit of its own"
    return ""


def _way_out(view: TaskView, reason: str) -> str:
    """The command that goes on from a refusal, where that is not said in its words."""
    if view.broken and reason == view.trouble:
        return "git parallel doctor --fix"
    return f"git -C {pasted(view.path)} status" if reason == UNKNOWN else ""


def _refuse_busy_target(repository: Repository, view: TaskView) -> None:
    """Refuse to move files below a run: a task that was started from another one goes there."""
    for folder, task in repository.store.load_tasks():
        if task.branch == view.task.target and folder.alive:
            words = f"`{task.name}`, its target, is being worked on"
            raise UnsafeError(
                f"`{view.task.name}` can't be merged: {words}",
                hint=f"git parallel wait {task.name}",
            )


class Landing(Struct, frozen=True):
    """What has landed, the task as it was before, and the tasks that stood on it."""

    view: TaskView
    prepared: Prepared
    moved: tuple[Moved, ...]


def refuse(repository: Repository, view: TaskView, *, allow_breaches: bool) -> None:
    """Raise ParallelError where a task may not be merged as it is, or broke its constraints, or
    holds what was rejected.
    """
    name = view.task.name
    if view.breaches and not allow_breaches:
        raise ParallelError(
            f"`{name}` changed what it may not: {named(view.breaches, 5)}",
            hint=f"git parallel merge {name} --allow-breaches",
        )
    if reason := refusal(view):
        raise UnsafeError(f"`{name}` can't be merged: {reason}", hint=_way_out(view, reason))
    if other := rejected_within(repository, view):
        raise UnsafeError(
            f"`{name}` can't be merged: it has commits of `{other}`, which you rejected",
            hint=f"git parallel review {other} --accept",
        )


def land(
    shop: Workshop, name: str, wish: Wish, *, check: bool, allow_breaches: bool = False
) -> Landing:
    """Merge one task into its target; raises ParallelError, with nothing changed, where it can't.

    Our own merges wait for each other; a target that somebody else moved meanwhile is prepared for
    again, a few times, with the message that was edited before.
    """
    repository = shop.repository
    began = time.monotonic()
    with repository.store.locked(name=LANDING, wait_s=LANDING_WAIT_S, waiting=shop.told):
        if time.monotonic() - began > OLD_S:
            early.discard()
        for _ in range(TRIES):
            view = look(repository, [name]).tasks[0]
            refuse(repository, view, allow_breaches=allow_breaches)
            _refuse_busy_target(repository, view)
            with shop.bench(view) as bench:
                prepared = prepare(bench, wish)
                if check and shop.loaded.config.checks.run:
                    obstacles.refuse(repository, prepared)  # the checks may take long
                    prove(bench, prepared)
            with contextlib.suppress(TargetMoved):
                _record(view, prepared)
                _fast_forward(repository, view, prepared)
                view.folder.seen()
                return Landing(view, prepared, tuple(stack.follow(repository, view, prepared)))
            if wish.edit:
                log = ("log", "-1", "--no-show-signature", "--format=%B", prepared.result)
                wish = structs.replace(wish, edit=False, message=repository.git.text(*log))
    raise ParallelError(f"{view.task.target} keeps moving", hint=f"git parallel merge {name}")


def attempt(
    shop: Workshop,
    name: str,
    wish: Wish,
    *,
    allow_breaches: bool = False,
    before: Sequence[Landing] = (),
) -> Landing:
    """Prepare a merge only to see what would come of it, when others that were only tried `before`
    have landed; raises ParallelError where it can't be.
    """
    view = look(shop.repository, [name]).tasks[0]
    refuse(shop.repository, view, allow_breaches=allow_breaches)
    _refuse_busy_target(shop.repository, view)
    for landed in before:
        view = _after(shop.repository, view, landed)
    with shop.bench(view, hooks=False) as bench:
        prepared = prepare(bench, structs.replace(wish, edit=False))
        obstacles.refuse(shop.repository, prepared)
        return Landing(view, prepared, ())


def _after(repository: Repository, view: TaskView, landed: Landing) -> TaskView:
    """A task as it will be when another one has landed: beside the new tip of its target, with what
    landed in its own branch, or following the task that it was started from.
    """
    assert view.tip and view.target and view.facts
    git, parent, prepared = repository.git, landed.view.task, landed.prepared
    moved = structs.replace(prepared.target, tip=prepared.result)
    if prepared.target.ref == f"refs/heads/{view.task.branch}":
        return structs.replace(view, tip=prepared.result)
    task, facts = view.task, view.facts
    if task.target == parent.branch:
        fork = git.run("merge-base", prepared.tip, view.tip, ok=(0, 1)).out.strip() or task.base
        task = structs.replace(task, target=parent.target, base=fork)
        facts = structs.replace(facts, apart=True)
    elif prepared.target.ref != view.target.ref:
        return view
    behind = not git.says_yes("merge-base", "--is-ancestor", moved.tip, view.tip)
    facts = structs.replace(facts, behind=int(behind))
    return structs.replace(view, task=task, target=moved, facts=facts)


def _record(view: TaskView, prepared: Prepared) -> None:
    """Say what is about to land; true only once the result is reachable from the target."""
    known = (prepared.tip, view.task.target, prepared.result, prepared.strategy)
    try:
        view.folder.write_landed(Landed(*known, before=prepared.target.tip))
    except FileNotFoundError as error:
        name = view.task.name
        words = f"`{name}` can't be merged: it was moved away meanwhile"
        raise UnsafeError(words, hint=f"git parallel undo {name}") from error


def _fast_forward(repository: Repository, view: TaskView, prepared: Prepared) -> None:
    """Move the target; raises TargetMoved where it is not what was prepared for."""
    target = prepared.target
    obstacles.refuse(repository, prepared)
    if not _is_unmoved(repository, target):
        raise TargetMoved
    if target.worktree:
        action = {"GIT_REFLOG_ACTION": f"merge {view.task.branch}", **QUIET_HOOKS}
        ends = (prepared.result, target.tip)
        way = Retreat(str(view.task.name), view.task.slug, view.task.target, *ends, landing=True)
        with retreat.landing(repository, way):
            _move_worktree(repository, prepared, way, Git(target.worktree, None, **action))
        return
    _move_ref(repository, prepared, f"merge {view.task.branch}: {prepared.strategy}")


def _move_ref(repository: Repository, prepared: Prepared, message: str) -> None:
    """Fast-forward where the target is checked out nowhere."""
    target = prepared.target
    for pause_s in (*PAUSES_S, None):
        try:
            repository.git.run("update-ref", "-m", message, target.ref, prepared.result, target.tip)
        except GitError as error:
            if not _is_unmoved(repository, target):
                raise TargetMoved from error
            if pause_s is None:
                raise _explained(repository, target, error) from error
            time.sleep(pause_s)
            continue
        return


def _explained(repository: Repository, target: Branch, error: GitError) -> GitError:
    """What git refused, with the way out where a lock is there, which a git that died may have
    left.
    """
    locks = ref_locks(repository.common, [target.ref.removeprefix("refs/heads/")])
    if place := target.worktree:
        admin = obstacles.admin_of_place(repository, place)
        locks += [admin / name for name in LOCKS] if admin else []
    hint = "git parallel doctor" if any(lock.exists() for lock in locks) else error.hint
    return GitError(error.message, hint, code=error.code)


def _is_unmoved(repository: Repository, target: Branch) -> bool:
    now = repository.branches(target.ref).get(target.ref)
    return now is not None and (now.tip, now.worktree) == (target.tip, target.worktree)


def _move_worktree(repository: Repository, prepared: Prepared, way: Retreat, git: Git) -> None:
    """Fast-forward where the target is checked out. Git refuses as a whole: while somebody else
    holds the index, where the target has moved, and where a changed file is in the way.
    """
    git.environment[NO_OPTIONS] = ""
    # What these settings add to a merge was done when this one was made.
    plain = f"--config-env=branch.{way.target}.mergeOptions={NO_OPTIONS}"
    quiet = ("--quiet", "--no-stat", "--no-autostash", "--no-overwrite-ignore", "--ff-only")
    verified = "--no-verify-signatures"  # where git is to verify them, it did when this was made
    log = repository.store.state / LOG
    for pause_s in (*PAUSES_S, None):
        try:
            git.run_through(plain, "merge", *quiet, verified, prepared.result, log=log)
        except GitError as error:
            if retreat.has_landed(repository, way):
                return  # what failed came after that
            if not _is_unmoved(repository, prepared.target):
                raise TargetMoved from error
            retreat.finish(repository, way)
            obstacles.refuse(repository, prepared)
            if pause_s is None:
                raise _explained(repository, prepared.target, error) from error
            time.sleep(pause_s)
            continue
        if not _names(git.folder, way.ref) or not retreat.has_landed(repository, way):
            raise _moved_elsewhere(git.folder)
        return


def _moved_elsewhere(place: Path) -> ParallelError:
    """The error where the target is not where it should be: somebody switched branches in that very
    moment, so that another one was moved.
    """
    return ParallelError(
        f"{place} was switched to another branch in that moment: see what was moved there",
        hint=f"git -C {pasted(place)} reflog",
    )


def _names(place: Path, ref: str) -> bool:
    """Whether the HEAD of a worktree names a ref (gitrepository-layout(5))."""
    pointer = place / ".git"
    admin = (
        pointer if pointer.is_dir() else place / (content(pointer) or "").removeprefix("gitdir: ")
    )
    return content(admin / "HEAD") == f"ref: {ref}"
