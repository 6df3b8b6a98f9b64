"""Who else is at work in a repository, as a brief tells it."""

from git_parallel.brief import Neighbour
from git_parallel.overview import look
from git_parallel.repository import Repository
from git_parallel.task import Status, Task


def neighbours(repository: Repository, task: Task) -> list[Neighbour]:
    """The other live tasks, with what they changed and may change; raises ParallelError."""
    if len(repository.store.folders()) < 2:
        return []
    views = look(repository, files=False).tasks
    others = (v for v in views if v.task.slug != task.slug and v.status is not Status.MERGED)
    return [
        Neighbour(v.task.name, v.task.prompt, v.facts.paths if v.facts else (), v.task.touch)
        for v in others
    ]
