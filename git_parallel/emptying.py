"""When things leave the trash for good: how old they may get, how much they may hold together.

A background process of low priority measures what lies there and deletes what is due. Its findings
are one small file, so that whoever only wants to warn of it reads no more than that.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct, structs

from git_parallel import process, records, submodules, trash
from git_parallel.errors import ParallelError
from git_parallel.journal import GOING, KEPT, Entry, entries
from git_parallel.lock import Lock
from git_parallel.repository import Repository
from git_parallel.schema import Cleanup

DAY_S = 86_400.0
MIB = 1 << 20
CROWDED_S = 2 * DAY_S  # what must make room is named for so long before it goes
WARNED = 7  # for the last seventh of its time, two days of fourteen, the list tells that it goes
BLOCK = 512  # bytes in a block as stat(2) counts them


class Held(Struct, frozen=True, forbid_unknown_fields=True):
    """What was found in the trash: bytes by id, since when something must make room by id, since
    when it is told that something goes by id, and the next moment at which something is to be told
    or done.
    """

    sizes: dict[str, int] = {}
    crowded: dict[str, float] = {}
    told: dict[str, float] = {}
    next: float = 0.0
    version: int = 1


def held(repository: Repository) -> Held:
    """What was found last; nothing, where nobody has looked or it can't be read."""
    with contextlib.suppress(ParallelError):
        return records.find_record(_file(repository), Held) or Held()
    return Held()


def _file(repository: Repository) -> Path:
    return repository.store.state / "trash.json"


def due(entry: Entry, found: Held, rules: Cleanup) -> float:
    """When something leaves the trash, in seconds since the epoch: never before it was told of for
    its time, since a clock that was wrong when it came would make it look old.
    """
    told = found.told.get(entry.journal.id, time.time())
    return max(_wanted(entry, found, rules), told + _ahead(entry, found, rules))


def warned(entry: Entry, found: Held, rules: Cleanup) -> float:
    """From when on people are told that it goes."""
    return _wanted(entry, found, rules) - _ahead(entry, found, rules)


def _wanted(entry: Entry, found: Held, rules: Cleanup) -> float:
    aged = entry.journal.moved + rules.keep_days * DAY_S
    crowded = found.crowded.get(entry.journal.id)
    return aged if crowded is None else min(aged, crowded + CROWDED_S)


def _ahead(entry: Entry, found: Held, rules: Cleanup) -> float:
    """For how many seconds people are told before it goes."""
    last = rules.keep_days * DAY_S / WARNED
    return CROWDED_S if entry.journal.id in found.crowded else min(last, CROWDED_S)


def going_soon(repository: Repository) -> list[tuple[Entry, float]]:
    """What leaves the trash before long, and in how many seconds; costs next to nothing where there
    is nothing to tell.
    """
    if not repository.store.trash.is_dir():
        return []
    found, now = held(repository), time.time()
    if now < found.next and not _is_stale(repository):
        return []
    rules = repository.configuration().config.cleanup
    start(repository, rules)
    return [
        (entry, due(entry, found, rules) - now)
        for entry in entries(repository)
        if entry.journal.state == KEPT and warned(entry, found, rules) <= now
    ]


def start(repository: Repository, rules: Cleanup) -> None:
    """Let a background process look after the trash, if there is anything to do for it."""
    if not _has_work(repository, rules):
        return
    process.detach(
        ["purge", str(repository.common), str(rules.keep_days), str(rules.keep_mib)],
        folder=repository.common,
        log=repository.store.state / "purge.log",
        nice=19,
    )


def _has_work(repository: Repository, rules: Cleanup) -> bool:
    found, now = held(repository), time.time()
    known = entries(repository)
    expired = any(e.journal.state == GOING or due(e, found, rules) <= now for e in known)
    untold = (e for e in known if e.journal.id not in found.told)
    expired = expired or any(warned(e, found, rules) <= now for e in untold)
    return expired or bool(known and _is_stale(repository))


def _is_stale(repository: Repository) -> bool:
    """Whether something came or went since the trash was looked at."""
    with contextlib.suppress(FileNotFoundError):
        looked = _file(repository).stat().st_mtime_ns
        return repository.store.trash.stat().st_mtime_ns > looked
    return repository.store.trash.is_dir()


def empty(repository: Repository, rules: Cleanup) -> list[str]:
    """Measure what lies in the trash and delete what is due; returns the names of what went, none
    where another process is at it.
    """
    lock = Lock.take(repository.store.state / "emptying")
    if lock is None:
        return []
    with lock:
        _yield_to_others()
        found = _look(repository, rules)
        gone = _purge(repository, found, rules)
        _look(repository, rules)
        return gone


def _look(repository: Repository, rules: Cleanup) -> Held:
    """Measure what was not measured, see what must make room, and keep all that."""
    before, now = held(repository), time.time()
    kept = [entry for entry in entries(repository) if entry.journal.state == KEPT]
    sizes = {e.journal.id: before.sizes.get(e.journal.id, -1) for e in kept}
    for entry in kept:
        if sizes[entry.journal.id] < 0:
            sizes[entry.journal.id] = sum(map(_size, _places(entry)))
    crowded = {name: before.crowded.get(name, now) for name in _too_much(kept, sizes, rules)}
    found = Held(sizes, crowded)
    told = {
        e.journal.id: before.told.get(e.journal.id, now)
        for e in kept
        if warned(e, found, rules) <= now
    }
    found = Held(sizes, crowded, told)
    moments = [max(warned(entry, found, rules), now) for entry in kept]
    found = structs.replace(found, next=min(moments, default=now + DAY_S))
    with contextlib.suppress(OSError):
        records.write_record(_file(repository), found, durable=False)
    return found


def _places(entry: Entry) -> Iterator[Path]:
    yield entry.folder
    if entry.journal.tree:
        yield Path(entry.journal.tree)


def _too_much(kept: list[Entry], sizes: dict[str, int], rules: Cleanup) -> Iterator[str]:
    """The oldest ones, as far as all together hold more than they may; never the newest one."""
    room = rules.keep_mib * MIB
    for entry in reversed(kept):
        room -= sizes[entry.journal.id]
        if rules.keep_mib and room < 0 and entry is not kept[-1]:
            yield entry.journal.id


def _size(folder: Path) -> int:
    """How many bytes a folder takes up on the disk; a file of many names counts once."""
    total, seen, todo = 0, set[tuple[int, int]](), [str(folder)]
    while todo:
        with contextlib.suppress(OSError), os.scandir(todo.pop()) as inside:
            for entry in inside:
                state = entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)
                elif state.st_nlink > 1 and (state.st_dev, state.st_ino) in seen:
                    continue
                elif state.st_nlink > 1:
                    seen.add((state.st_dev, state.st_ino))
                total += state.st_blocks * BLOCK
    return total


def _purge(repository: Repository, found: Held, rules: Cleanup) -> list[str]:
    with repository.store.locked():
        now = time.time()
        going = [
            entry
            for entry in entries(repository)
            if entry.journal.state == GOING
            or (entry.journal.state == KEPT and due(entry, found, rules) <= now)
        ]
        for entry in going:
            entry.write(state=GOING)  # from here on nobody can bring it back half deleted
    for entry in going:
        if entry.journal.tree:
            shutil.rmtree(Path(entry.journal.tree).parent, ignore_errors=True)
        with repository.store.locked():
            trash.forget(entry)
            if entry.journal.admin:
                submodules.unpin(repository.common, Path(entry.journal.admin).name)
    return [entry.journal.name for entry in going]


def _yield_to_others() -> None:
    """Let the disk serve everybody else first; where that can't be said, the niceness must do."""
    import psutil

    with contextlib.suppress(psutil.Error, OSError, AttributeError):
        psutil.Process().ionice(psutil.IOPRIO_CLASS_IDLE)
