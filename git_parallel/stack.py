"""Tasks that were started from another task's branch: when that lands, they go where it went."""

import contextlib

from msgspec import Struct

from git_parallel import replay
from git_parallel.errors import NoSuchTaskError, ParallelError
from git_parallel.overview import find_folder, look
from git_parallel.prepared import Prepared
from git_parallel.replay import Replayed
from git_parallel.repository import Repository
from git_parallel.task import Task, TaskName
from git_parallel.task_view import TaskView
from git_parallel.wording import named


class Moved(Struct, frozen=True):
    """A task that follows another: its target now, and how it was rebased or why it was not."""

    name: TaskName
    target: str
    replayed: Replayed | None = None
    reason: str = ""


def follow(repository: Repository, landed: TaskView, prepared: Prepared) -> list[Moved]:
    """Retarget the tasks that were to be merged into a task's branch, now that this has landed, and
    rebase them onto the result, and those that stand on them; what is not at rest or conflicts
    stays where it was. The old tips stay in the reflogs.
    """
    moved: list[Moved] = []
    for child in _children(repository, landed.task.branch):
        if _has_landed(repository, child, prepared.tip):
            continue  # it goes with the next sweep
        _retarget(repository, child, landed, prepared.tip)
        moved += rebase(repository, child.name, onto=prepared.result, below=prepared.tip)
    return moved


def _has_landed(repository: Repository, child: Task, tip: str) -> bool:
    """Whether a task landed in the branch that was at this tip, and is as it was then."""
    landed = find_folder(repository, child.name)[0].landed
    if landed is None:
        return False
    git, ref = repository.git, f"refs/heads/{child.branch}"
    there = git.run("merge-base", "--is-ancestor", landed.result, tip, ok=(0, 1, 128)).code == 0
    return there and git.run("rev-parse", "--verify", ref, ok=(0, 128)).out.strip() == landed.tip


def leave(repository: Repository, landed: TaskView) -> list[Moved]:
    """Retarget the tasks that were to be merged into the branch of a task that landed elsewhere.
    Nobody asked for a rebase, so it is kept on what they stand, and their own commits count from
    there until they are rebased.
    """
    moved = []
    for child in _children(repository, landed.task.branch):
        apart = landed.tip and _retarget(repository, child, landed, landed.tip)
        reason = f"its commits stand on those of {landed.task.name}" if apart else ""
        moved.append(Moved(child.name, landed.task.target, reason=reason))
    return moved


def _retarget(repository: Repository, child: Task, landed: TaskView, tip: str) -> bool:
    """Send a task where another one went, whose tip it has below its own commits, or some of that;
    returns whether the target lacks this.
    """
    git = repository.git
    folder, _ = find_folder(repository, child.name)
    ref = f"refs/heads/{child.branch}"
    below = git.run("merge-base", tip, ref, ok=(0, 1, 128)).out.strip()
    there = f"refs/heads/{landed.task.target}"
    lacking = git.run("merge-base", "--is-ancestor", below, there, ok=(0, 1, 128)).code == 1
    folder.write_retarget(landed.task.target, stands_on=below if below and lacking else None)
    return bool(below) and lacking


def _children(repository: Repository, branch: str) -> list[Task]:
    return [task for _, task in repository.store.load_tasks() if task.target == branch]


def rebase(repository: Repository, name: TaskName, *, onto: str, below: str) -> list[Moved]:
    """Rebase a task that stands on `below`, and then those that stand on it; nothing comes back
    for one that a sweep has taken meanwhile.
    """
    try:
        with replay.at_rest(repository, name) as view:
            base = replay.own_base(repository, view, below)
            try:
                done = replay.replay(repository, view, onto=onto, base=base)
            except BaseException:
                replay.give_up(repository, view)
                raise
    except NoSuchTaskError:
        return []
    except replay.RebaseStopped as error:
        return [_left(repository, name, f"it conflicts in {named(error.paths, 5)}")]
    except ParallelError as error:
        return [_left(repository, name, replay.reason_in(error, name))]
    return [Moved(name, view.task.target, done), *restack(repository, view.task.branch, done)]


def restack(repository: Repository, branch: str, done: Replayed) -> list[Moved]:
    """Rebase the tasks that stand on a task's branch, now that this was rebased. What stays where
    it was counts its own commits from what it stands on.
    """
    found: list[Moved] = []
    for child in _children(repository, branch) if done.moved else []:
        moved = rebase(repository, child.name, onto=done.new, below=done.old)
        if moved and moved[0].replayed is None:
            _stay(repository, child, done)
        found += moved
    return found


def _stay(repository: Repository, child: Task, done: Replayed) -> None:
    with contextlib.suppress(ParallelError):  # it has nothing in common with that, or is gone
        view = look(repository, [child.name], files=False).tasks[0]
        below = replay.own_base(repository, view, done.old)
        if view.folder.stands_on is None:
            view.folder.write_retarget(view.task.target, stands_on=below)


def _left(repository: Repository, name: TaskName, reason: str) -> Moved:
    return Moved(name, look(repository, [name], files=False).tasks[0].task.target, reason=reason)
