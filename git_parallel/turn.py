"""A run's turn: when the tasks that it starts after are ready, and when it has a slot."""

from collections.abc import Callable
from pathlib import Path

from git_parallel import predecessors
from git_parallel.lock import Lock
from git_parallel.repository import Repository
from git_parallel.task import Task
from git_parallel.task_folder import TaskFolder

SLOT_POLL_S = 0.2
OTHERS_POLL_S = 0.5


class Turn:
    """A run that waits; `pause` waits for seconds and raises Stopped when the run is stopped,
    `told` hears, each time it has to wait, what for.
    """

    def __init__(
        self,
        repository: Repository,
        folder: TaskFolder,
        pause: Callable[[float], None],
        told: Callable[[str], None],
    ) -> None:
        self.repository = repository
        self.folder = folder
        self.pause = pause
        self.told = told

    def for_others(self, task: Task, ticket: Path) -> Path:
        """Wait for the tasks that this one starts after, out of the line, so that others go on;
        returns the place in it that the run then has.
        """
        ticket.unlink(missing_ok=True)
        while words := predecessors.awaited(self.repository, task):
            self.told(words)
            self.pause(OTHERS_POLL_S)
        return self.repository.store.queue_up(self.folder.slug)

    def for_slot(self, ticket: Path, limit: Callable[[], int]) -> Lock:
        """Wait for one of the slots for runs, of which there are `limit`; returns it held."""
        while (slot := self._try_slot(ticket, limit)) is None:
            self.told("")
            self.pause(SLOT_POLL_S)
        return slot

    def _try_slot(self, ticket: Path, limit: Callable[[], int]) -> Lock | None:
        if not self.repository.store.is_first(ticket):
            return None
        slot = self.repository.store.try_slot(limit())
        if slot:
            ticket.unlink(missing_ok=True)
        return slot
