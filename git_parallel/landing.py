"""Land a task in its target: prepared aside as commits, checked, then one fast-forward.

Until the last step nobody's working tree and no branch has changed, and the last step is git's
own: `git merge --ff-only` where the target is checked out, a compare-and-swap of the ref where it
is not. So a merge that is interrupted has either not happened or happened.
"""

import contextlib
import os
from collections.abc import Callable
from typing import IO

from msgspec import Struct

from git_parallel import brief, environment, forecast, variables
from git_parallel.bootstrap import bootstrap
from git_parallel.changes import changes_between
from git_parallel.checks import run_checks
from git_parallel.config import Loaded
from git_parallel.errors import GitError, ParallelError, UnsafeError
from git_parallel.git import QUIET_HOOKS, Git, status_path
from git_parallel.overview import TaskView, look
from git_parallel.records import Landed, Verdict
from git_parallel.repository import Branch, Repository
from git_parallel.scratch import scratch
from git_parallel.site import Site
from git_parallel.supervisor import Supervisor
from git_parallel.task import Status
from git_parallel.trust import Approvals
from git_parallel.worktree import Worktree

TRIES = 3
LANDING_WAIT_S = 3600.0


class Prepared(Struct, frozen=True):
    """A merge that exists as commits and nowhere else yet."""

    result: str
    target: Branch
    tip: str
    strategy: str
    paths: tuple[str, ...]


class ConflictError(ParallelError):
    """Two tips don't merge; `paths` says where."""

    def __init__(self, message: str, hint: str, paths: tuple[str, ...]) -> None:
        super().__init__(message, hint)
        self.paths = paths


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
        name = view.task.name
        return f"you rejected it: git parallel run {name}, or git parallel review {name} --accept"
    if view.dirty:
        return f"{view.dirty} uncommitted {'path' if view.dirty == 1 else 'paths'} in its worktree"
    if view.dirty is None and view.worktree:
        return "git can't tell whether its worktree is clean"
    if view.worktree and view.worktree.operations:
        return f"{view.worktree.operations[0]} is not finished in its worktree"
    if view.tip == view.task.base or (view.facts and not view.facts.ahead):
        return "it has no commit of its own"
    return ""


def land(
    repository: Repository,
    name: str,
    loaded: Loaded,
    *,
    strategy: str,
    check: bool,
    approvals: Approvals,
    told: Callable[[str], None],
) -> Prepared:
    """Merge one task into its target; raises ParallelError, with nothing changed, where it can't.

    `told` hears what is going on, a line at a time. Our own merges wait for each other; a target
    that somebody else moved meanwhile is prepared for again, a few times.
    """
    with repository.store.locked(name="landing", wait_s=LANDING_WAIT_S):
        for _ in range(TRIES):
            view = look(repository, [name]).tasks[0]
            if reason := refusal(view):
                raise UnsafeError(f"`{view.task.name}` can't be merged: {reason}")
            prepared = prepare(repository, view, strategy)
            if check:
                _check(repository, view, prepared, loaded, approvals=approvals, told=told)
            _refuse_dirty_paths(prepared)
            with contextlib.suppress(TargetMoved):
                _record(view, prepared)
                _fast_forward(repository, view, prepared)
                view.folder.seen()
                return prepared
    raise ParallelError(f"{view.task.target} keeps moving", hint=f"git parallel merge {name}")


def prepare(repository: Repository, view: TaskView, strategy: str) -> Prepared:
    """Make the commits of a merge, reachable from nothing yet; raises ConflictError."""
    assert view.tip and view.target  # `refusal` has looked
    make = {"merge": _merge, "squash": _squash, "rebase": _rebase, "ff": _ff}[strategy]
    result = make(repository, view, view.target)
    pair = (view.target.tip, result)
    paths = changes_between(repository.git, [pair])[pair].paths
    return Prepared(result, view.target, view.tip, strategy, tuple(paths))


def _merged_tree(repository: Repository, view: TaskView, target: Branch) -> str:
    trial = forecast.trial(repository.git, target.tip, view.tip or "")
    if trial.unknown:
        raise ParallelError(f"`{view.task.name}` can't be merged: {trial.unknown}")
    if trial.conflicts:
        raise _conflict(view, trial.conflicts)
    return trial.tree


def _conflict(view: TaskView, paths: tuple[str, ...]) -> ConflictError:
    named = ", ".join(paths[:5]) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")
    task = view.task
    return ConflictError(
        f"`{task.name}` conflicts with {task.target} in {named}",
        f'git -C "$(git parallel path {task.name})" merge {task.target}',
        paths,
    )


def _merge(repository: Repository, view: TaskView, target: Branch) -> str:
    tree = _merged_tree(repository, view, target)
    line = f"{view.tip}\t\tbranch '{view.task.branch}' of .\n"
    message = repository.git.text("fmt-merge-msg", "--into-name", view.task.target, stdin=line)
    return _commit(repository.git, tree, (target.tip, view.tip or ""), message)


def _squash(repository: Repository, view: TaskView, target: Branch) -> str:
    tree = _merged_tree(repository, view, target)
    span = f"{target.tip}..{view.tip}"
    subjects = repository.git.lines("log", "--reverse", "--no-merges", "--format=%s", span)
    title = brief.first_line(view.task.prompt) or (subjects[0] if subjects else view.task.name)
    listed = "\n".join(f"* {subject}" for subject in subjects)
    message = f"{title}\n\n{listed}\n\nParallel-Task: {view.task.name}\n"
    return _commit(repository.git, tree, (target.tip,), message)


def _ff(_repository: Repository, view: TaskView, target: Branch) -> str:
    if view.facts is None or view.facts.behind:
        raise ParallelError(
            f"`{view.task.name}` can't be fast-forwarded: {target.ref.removeprefix('refs/heads/')}"
            " has moved on",
            hint=f"git parallel merge {view.task.name} --strategy rebase",
        )
    return view.tip or ""


def _commit(git: Git, tree: str, parents: tuple[str, ...], message: str) -> str:
    signed = git.run("config", "--type=bool", "commit.gpgSign", ok=(0, 1)).out.strip() == "true"
    arguments = [word for parent in parents for word in ("-p", parent)]
    arguments += ["-S"] if signed else []
    return git.text("commit-tree", tree, *arguments, "-F", "-", stdin=message.rstrip("\n") + "\n")


def _rebase(repository: Repository, view: TaskView, target: Branch) -> str:
    fork = view.facts.fork if view.facts else None
    with scratch(repository, view.task, view.tip or "") as worktree:
        git = Git(worktree.path, GIT_EDITOR="false", GIT_SEQUENCE_EDITOR="false")
        plain = ("-c", "rebase.autoStash=false", "-c", "rebase.updateRefs=false")
        try:
            git.run(*plain, "rebase", "--quiet", "--onto", target.tip, fork or target.tip)
        except GitError as error:
            paths = tuple(git.fields("diff", "--name-only", "--diff-filter=U", "-z"))
            if paths:
                raise _conflict(view, paths) from error
            raise
        return git.text("rev-parse", "HEAD")


def _check(
    repository: Repository,
    view: TaskView,
    prepared: Prepared,
    loaded: Loaded,
    *,
    approvals: Approvals,
    told: Callable[[str], None],
) -> None:
    """Run the checks on the prepared result, in a worktree of its own; raises ParallelError."""
    if not loaded.config.checks.run:
        return
    name = view.task.name
    if not approvals.allow("checks.run"):
        words = f"`{name}` can't be checked: {environment.UNTRUSTED}"
        raise UnsafeError(words, hint="git parallel trust")
    log = view.folder.path / "merge.log"
    with scratch(repository, view.task, prepared.result) as worktree, log.open("wb", 0) as output:
        known = (loaded, approvals)
        reason = _check_in(worktree, repository, view, *known, output=output, told=told)
    if reason:
        words = f"`{name}` merged into {view.task.target}: {reason}"
        raise ParallelError(words, hint=f"less '{log}'")


def _check_in(
    worktree: Worktree,
    repository: Repository,
    view: TaskView,
    loaded: Loaded,
    approvals: Approvals,
    *,
    output: IO[bytes],
    told: Callable[[str], None],
) -> str:
    """Bootstrap a scratch worktree and run the checks there; returns why they did not pass."""
    what = f"{view.task.name} merged into {view.task.target}"
    supervisor = Supervisor(repository.tag(view.task.slug, -1))
    folder = worktree.path.resolve()
    site = Site(
        repository,
        worktree,
        view.task,
        loaded,
        approvals,
        supervisor=supervisor,
        output=output,
        base=os.environ,
    )
    told(f"preparing {what}")
    if step := bootstrap(site).trouble:
        return f"its environment is not ready: {step.told}"
    return run_checks(
        loaded.config.checks.run,
        folder=folder,
        environment=variables.around(os.environ, folder, site.own),
        output=output,
        run=supervisor.run,
        timeout_s=loaded.config.checks.timeout_min * 60,
        told=lambda command: told(f"checking {what}: {command}"),
    )[1]


def _refuse_dirty_paths(prepared: Prepared) -> None:
    """Refuse where uncommitted changes in the target's worktree would be overwritten."""
    place = prepared.target.worktree
    if place is None or not place.is_dir():
        return
    if not (place / ".git").exists():
        raise ParallelError(
            f"{prepared.target.ref.removeprefix('refs/heads/')} is checked out in a worktree that"
            " can't be found from here",
            hint="call it from that worktree",
        )
    fields = Git(place).fields("status", "--porcelain=v2", "-z", "-uall", "--no-renames")
    changed = set(prepared.paths)
    touched = [path for path in map(status_path, fields) if path in changed]
    if touched:
        raise UnsafeError(
            f"uncommitted changes in {place} would be overwritten: {', '.join(touched[:5])}",
            hint=f'git -C "{place}" stash',
        )


def _record(view: TaskView, prepared: Prepared) -> None:
    """Say what is about to land; true only once the result is reachable from the target."""
    known = (prepared.tip, view.task.target, prepared.result, prepared.strategy)
    view.folder.write_landed(Landed(*known, before=prepared.target.tip))


def _fast_forward(repository: Repository, view: TaskView, prepared: Prepared) -> None:
    action = {"GIT_REFLOG_ACTION": f"merge {view.task.branch}", **QUIET_HOOKS}
    place = prepared.target.worktree
    ref, old = prepared.target.ref, prepared.target.tip
    if repository.branches(ref).get(ref, prepared.target).tip != old:
        raise TargetMoved
    if place and place.is_dir():
        git = Git(place, None, **action)
        quiet = ("--quiet", "--no-stat", "--no-autostash", "--ff-only")
        try:
            git.run("merge", *quiet, prepared.result)
        except GitError as error:
            if git.text("rev-parse", ref) != old:
                raise TargetMoved from error
            raise
        return
    try:
        message = f"merge {view.task.branch}: {prepared.strategy}"
        repository.git.run("update-ref", "-m", message, ref, prepared.result, old)
    except GitError as error:
        raise TargetMoved from error
