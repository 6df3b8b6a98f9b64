"""One run of a task from its slot to its notice, in a process of its own.

The runner holds the lock of its task for as long as it lives; that, and not a process id, is what
"running" means. It inherits the lock from the command that launched it, so there is no moment in
which a run looks dead because it has not begun.
"""

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import structs

from git_parallel import index, notice, process, tree, waiter
from git_parallel.errors import ParallelError
from git_parallel.lock import Lock
from git_parallel.repository import Repository, repository_at
from git_parallel.supervisor import Supervisor, become_waiter
from git_parallel.task import Phase, Run, Status, now
from git_parallel.task_folder import TaskFolder
from git_parallel.terminal import Size

if TYPE_CHECKING:
    from git_parallel.carrier import Carrier


RACY_S = 1.1  # git compares whole seconds: an index as old as its files is read again and again


class Spec(msgspec.Struct, frozen=True):
    """All that a runner is told when it is launched; run 0 is a bootstrap for a person."""

    common: str
    main: str | None
    slug: str
    run: int
    lock: int
    ticket: str
    terminal: str
    size: Size
    slot: int | None = None  # the lock of the run's slot, after a rest


def launch(repository: Repository, folder: TaskFolder, lock: Lock, run: Run | None) -> None:
    """Hand a task to a detached runner, which takes over the lock; raises ParallelError."""
    number = run.number if run else 0
    ticket = None
    if run:
        folder.write_run(run)
        ticket = repository.store.queue_up(folder.slug)
    spec = Spec(
        common=str(repository.common),
        main=str(repository.main) if repository.main else None,
        slug=folder.slug,
        run=number,
        lock=lock.fd,
        ticket=ticket.name if ticket else "",
        terminal=notice.describe_terminal(notice.current_terminal()),
        size=_size_here(),
    )
    try:
        process.detach(
            ["runner", msgspec.json.encode(spec).decode()],
            folder=repository.common,
            log=folder.log(number),
            tag=repository.tag(folder.slug, number),
            keep=[lock.fd],
        )
    except OSError as error:
        raise ParallelError(f"the runner can't be started: {error}") from error


def _size_here() -> Size:
    """The size of the terminal that this process talks to, or the usual one."""
    for fd in (2, 1, 0):
        with contextlib.suppress(OSError):
            columns, rows = os.get_terminal_size(fd)
            if rows and columns:
                return Size(rows, columns)
    return Size()


def main(text: str, code: str = "", stop: str = "") -> "Carrier":
    """Be the runner that a spec describes; returns when its run has ended and was announced. After
    a rest it is told the exit code of what it waited for, and whether to stop.
    """
    from git_parallel.carrier import Carrier
    from git_parallel.chronicle import Desk

    spec = msgspec.json.decode(text, type=Spec)
    repository = repository_at(Path(spec.common), Path(spec.main) if spec.main else None)
    folder = repository.store.folder(spec.slug)
    lock = Lock(spec.lock)
    supervisor = Supervisor(repository.tag(spec.slug, spec.run))
    with open(folder.log(spec.run), "ab", buffering=0) as output:
        desk = Desk(spec.size, spec.terminal)
        carrier = Carrier(repository, folder, supervisor, output, desk)
        if spec.run == 0:
            carrier.prepare_for_a_person()
            lock.release()
            return carrier
        carrier.rest = Rest(carrier, spec)
        if spec.slot is None:
            run = carrier.carry(repository.store.state / "queue" / spec.ticket)
        else:
            ended = None if code == waiter.LATEST else int(code)
            run = carrier.wake(Lock(spec.slot), ended, stop=bool(stop))
        lock.release()
    with contextlib.suppress(ParallelError):  # the run's record already says what is wrong
        if run.result is not Status.STOPPED:
            name, reason = carrier.task.name, run.reason
            ending = notice.Ending(name, str(run.result), reason, spec.terminal)
            notice.announce(repository, ending)
    return carrier


class Rest:
    """How a carrier rests while its command runs: as another program, which then becomes it."""

    def __init__(self, carrier: "Carrier", spec: Spec) -> None:
        self.carrier = carrier
        self.spec = spec

    def __call__(self, pid: int, limit: float | None) -> None:
        """Rest, if that is possible; it returns only where it is not."""
        slot = self.carrier.slot
        self.carrier.write_rest(pid, limit)
        os.set_inheritable(slot.fd, True)
        spec = structs.replace(self.spec, slot=slot.fd)
        command = [*process.own_program(), "runner", msgspec.json.encode(spec).decode()]
        with contextlib.suppress(OSError):  # then it waits as it is
            become_waiter(pid, limit, command)
        os.set_inheritable(slot.fd, False)


def stop(repository: Repository, folder: TaskFolder, run: Run | None) -> tuple[str, ...]:
    """End a run and every process of it; returns the names of those that its runner, being dead,
    could not end itself. Raises ParallelError where something can't be ended.
    """
    number = run.number if run else 0
    tags = repository.tags(folder.slug, number)
    limit = time.monotonic() + tree.GRACE_S + tree.KILL_WAIT_S
    while folder.alive and time.monotonic() < limit:
        fresh = folder.last_run()
        if fresh and fresh.pid:
            any(tree.ask_to_stop(fresh.pid, tag) for tag in tags)
        elif not fresh:
            break
        time.sleep(0.05)
    last = folder.last_run()
    # A runner that has ended its run tidies up still, and git must not be killed at that.
    spare = last.pid if last and last.result else None
    ended = tree.end(lambda: [p for tag in tags for p in tree.tagged(tag, spare=spare)])
    try:
        lock = Lock.take(folder.lock, wait_s=1.0)
    except FileNotFoundError as error:
        hint = f"git parallel undo {folder.slug}"
        raise ParallelError(f"`{folder.slug}` was moved away meanwhile", hint) from error
    if lock is None:
        raise ParallelError(f"the runner of `{folder.slug}` can't be ended")
    with lock:
        last = folder.last_run()
        if last and last.result is None:
            reason = "a person stopped it"
            changes = {"phase": Phase.ENDED, "ended": now(), "result": Status.STOPPED}
            folder.write_run(structs.replace(last, reason=reason, **changes))
    return ended


def leftovers(repository: Repository, folder: TaskFolder, run: Run | None) -> list[str]:
    """The processes of a run whose runner is dead, as whoever calls has made sure."""
    if run is None:
        return []
    tags = repository.tags(folder.slug, run.number)
    return [tree.describe(p) for tag in tags for p in tree.tagged(tag)]


def refresh_index(repository: Repository, folder: TaskFolder, began: float) -> None:
    """Bring the worktree's index to rest once its files, made since that moment of the monotonic
    clock, are older than it, so that every later `git status` is quick; nobody waits for this.
    """
    rest = RACY_S - (time.monotonic() - began)
    if rest > 0:
        time.sleep(rest)
    with repository.store.locked():
        worktree = repository.worktree_of(folder.slug)
        if worktree and worktree.intact and not folder.alive:
            index.refresh(repository.git_in(worktree.path), worktree)
