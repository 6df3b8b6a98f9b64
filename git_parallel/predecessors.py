"""The tasks that a task was told to start after: which of them keep it waiting, why, and what their
end means for where it begins.
"""

from git_parallel.journal import REMOVED, entries
from git_parallel.repository import Repository
from git_parallel.task import Status, Task
from git_parallel.task_folder import TaskFolder


def awaited(repository: Repository, task: Task) -> str:
    """What a task still waits for, in words; nothing, if all are ready or merged.

    One that failed keeps it waiting: a person may run it again, or stop this one.
    """
    told = (_awaited(repository, name) for name in task.after)
    return next((words for words in told if words), "")


def _awaited(repository: Repository, slug: str) -> str:
    folder = repository.store.folder(slug)
    if not folder.record.exists():
        return "" if _has_landed(repository, slug) else f"after {slug}, which is gone"
    state = _state(folder)
    return "" if state == Status.READY else f"after {slug}" + (f", which {state}" if state else "")


def _state(folder: TaskFolder) -> str:
    """How a task's last run ended, in words; nothing while it goes on."""
    run = folder.last_run()
    if folder.alive:
        return ""
    if run is None:
        return "has no run"
    if run.result is Status.READY:
        return Status.READY
    return f"is {run.result}" if run.result else "is lost"


def _has_landed(repository: Repository, slug: str) -> bool:
    """Whether a task that is no more was cleaned up because it was merged."""
    found = [entry.journal for entry in entries(repository) if entry.journal.slug == slug]
    return bool(found) and found[-1].why != REMOVED


def catch_up(repository: Repository, folder: TaskFolder, task: Task) -> None:
    """Have a task that waited for the one that it stands on begin where that is now, which may have
    landed meanwhile. Nothing is done where somebody has worked on it since it was started; raises
    GitError, with everything as it was, where uncommitted files are in the way.
    """
    now = folder.task()
    ref, worktree = f"refs/heads/{now.target}", repository.worktree_of(task.slug)
    target = repository.branches(ref).get(ref)
    if worktree is None or target is None or worktree.branch != f"refs/heads/{now.branch}":
        return
    awaited = [one.branch for _, one in repository.store.load_tasks() if one.slug in task.after]
    if task.target not in awaited and now.target == task.target:
        return
    git = repository.git_in(worktree.path)
    if git.text("rev-parse", "HEAD") == now.base != target.tip:
        git.run("reset", "--quiet", "--keep", target.tip)
        folder.write_retarget(now.target, base=target.tip)
