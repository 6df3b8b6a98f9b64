"""The tasks that a task was told to start after: which of them keep it waiting, and why."""

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
