"""What lies below `.git/parallel/.state/`: tasks, runs, slots, the line for them."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from git_parallel.errors import ParallelError
from git_parallel.lock import Lock
from git_parallel.records import (
    Making,
    load_record,
    write,
    write_record,
)
from git_parallel.task import Task, folded
from git_parallel.task_folder import RECORD, TaskFolder
from git_parallel.wording import pasted

MOMENT_S = 1.0
LOCK_WAIT_S = 30.0
LANDING = "landing"  # the lock that is held while a target moves
STALE_TEMPORARY_S = 60.0


class Store:
    """The state of one repository, whose `parallel` folder lies in its common git dir."""

    def __init__(self, parallel: Path) -> None:
        self.parallel = parallel
        self.state = parallel / ".state"
        self.tasks = self.state / "tasks"
        self.trash = self.state / "trash"
        self.scratch = self.state / ".scratch"
        self.retreat = self.state / "retreat.json"

    @property
    def exists(self) -> bool:
        """Whether anything of ours was ever made here."""
        return self.state.is_dir()

    def create(self) -> None:
        """Make the folders; raises ParallelError where that is not allowed."""
        try:
            self.tasks.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ParallelError(f"{self.state} can't be made: {error.strerror}") from error

    @contextlib.contextmanager
    def locked(
        self,
        *,
        name: str = "lock",
        wait_s: float = LOCK_WAIT_S,
        waiting: Callable[[str], None] = lambda _: None,
    ) -> Iterator[None]:
        """Hold the lock for changes to refs, worktrees and slots (or another, by its name);
        raises ParallelError when somebody else has it for too long. `waiting` hears of a wait that
        takes longer than a moment, and what for.
        """
        self.create()
        path = self.state / name
        try:
            lock = Lock.take(path, wait_s=min(wait_s, MOMENT_S))
            if lock is None:
                waiting(f"waiting for another git parallel: fuser {pasted(path)}")
                lock = Lock.take(path, wait_s=wait_s - MOMENT_S)
        except OSError as error:
            raise ParallelError(f"{path}: {error.strerror}") from error
        if lock is None:
            raise ParallelError(
                f"another git parallel command holds {path}",
                hint=f"wait for it, or look for it: fuser {pasted(path)}",
            )
        with lock:
            yield

    def queue_up(self, slug: str) -> Path:
        """Stand in line for a slot; the ticket is to be deleted when one is held."""
        ticket = self.state / "queue" / f"{time.time_ns():020d}-{slug}"
        ticket.parent.mkdir(exist_ok=True)
        ticket.touch()
        return ticket

    def is_first(self, ticket: Path) -> bool:
        """Whether nobody who is alive stands before a ticket; tickets of the dead are deleted."""
        own = ticket.name.partition("-")[2]
        for name in sorted(os.listdir(ticket.parent)):
            if name >= ticket.name:
                return True
            slug = name.partition("-")[2]
            if slug == own or not self.folder(slug).alive:  # of an earlier run, or of a dead one
                (ticket.parent / name).unlink(missing_ok=True)
                continue
            return False
        return True

    def try_slot(self, limit: int) -> Lock | None:
        """One of the slots for runs, or None while all are held; it is free when its lock is."""
        folder = self.state / "slots"
        folder.mkdir(exist_ok=True)
        held = (Lock.take(folder / str(number)) for number in range(limit))
        return next((lock for lock in held if lock), None)

    def folder(self, slug: str) -> TaskFolder:
        """The files of a task, whether it exists or not."""
        return TaskFolder(self.tasks / slug)

    def address(self, slug: str) -> Path:
        """`.git/parallel/<task>`, which leads to the worktree."""
        return self.parallel / slug

    def link(self, slug: str, path: Path) -> None:
        """Make a task's address lead to its worktree."""
        address = self.address(slug)
        if os.path.normpath(path) == os.path.normpath(address):
            return  # the home is `.git/parallel` itself: the worktree is its own address
        to = os.path.relpath(path, address.parent.resolve())
        fresh = self.state / f".{slug}.{os.getpid()}.tmp"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(to, target_is_directory=True)
        os.replace(fresh, address)  # whoever goes there meanwhile arrives

    def leads(self, slug: str, path: Path) -> bool:
        """Whether a task's address leads to its worktree, by name: what is there is not asked."""
        address = f"{self.parallel}/{slug}"
        try:
            to = os.readlink(address)
        except OSError:
            return Path(address).is_dir()  # a worktree that is its own address
        return os.path.normpath(os.path.join(self.parallel, to)) == os.path.normpath(path)

    def targets(self) -> set[str]:
        """The commits and refs that the targets of tasks were at when they were last looked at."""
        try:
            content = (self.state / "targets").read_bytes()
        except FileNotFoundError:
            return set()
        return set(content.decode("utf-8", "surrogateescape").splitlines())

    def remember_targets(self, lines: set[str]) -> None:
        """Keep them (`<commit> <ref>`) for the hooks: a shell sees then whether one has moved."""
        if lines != self.targets():
            content = "".join(f"{line}\n" for line in sorted(lines))
            write(self.state / "targets", content.encode("utf-8", "surrogateescape"), durable=False)

    def remember_target(self, branch: str, tip: str) -> None:
        """The same for the target of a new task, if it is not known yet."""
        known, ref = self.targets(), f"refs/heads/{branch}"
        if not any(line.endswith(f" {ref}") for line in known):
            self.remember_targets(known | {f"{tip} {ref}"})

    def folders(self) -> list[TaskFolder]:
        """The files of every task, by name."""
        try:
            names = sorted(entry.name for entry in os.scandir(self.tasks) if entry.is_dir())
        except FileNotFoundError:
            return []
        return [self.folder(name) for name in names if not name.startswith(".")]

    def load_tasks(self) -> list[tuple[TaskFolder, Task]]:
        """Every task that was claimed and whose record can be read, the oldest first."""
        found = []
        for folder in self.folders():
            with contextlib.suppress(FileNotFoundError, ParallelError):
                found.append((folder, folder.task()))
        return sorted(found, key=lambda pair: (pair[1].created, pair[1].name))

    def owners(self) -> list[Task]:
        """Everything that owns a slot: the tasks, and the scratch worktrees of merges."""
        found = [task for _, task in self.load_tasks()]
        for record in sorted(self.scratch.glob(f"*/{RECORD}")):
            with contextlib.suppress(FileNotFoundError):
                found.append(load_record(record, Task))
        return found

    def damaged(self) -> list[tuple[TaskFolder, ParallelError]]:
        """The tasks whose record can't be read, and why: nothing may be done to them."""
        found = []
        for folder in self.folders():
            try:
                folder.task()
            except FileNotFoundError:
                continue
            except ParallelError as error:
                found.append((folder, error))
        return found

    def claim(self, task: Task, making: Making | None) -> TaskFolder:
        """Take a task's name, under the lock; its files say from then on what is being made, if
        anything is.
        """
        folder = self.folder(task.slug)
        self.drop_unsaid(folder)
        folder.path.mkdir()
        if making:
            folder.write_making(making)
        write_record(folder.record, task)
        return folder

    def drop_unsaid(self, folder: TaskFolder) -> None:
        """Delete what a claim left that died before it said anything, under the lock."""
        if folder.is_unsaid:
            import shutil

            shutil.rmtree(folder.path)

    def taken_slugs(self) -> frozenset[str]:
        """The folded slugs that a new task can't have."""
        return frozenset(folded(folder.slug) for folder in self.folders() if not folder.is_unsaid)

    def sweep_temporaries(self) -> None:
        """Delete what writers that were killed left behind."""
        oldest = time.time() - STALE_TEMPORARY_S
        for path in self.state.glob("**/.*.tmp"):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < oldest:
                    path.unlink()
