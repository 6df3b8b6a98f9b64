"""Slots: the small number that a live task owns, and what follows from it: ports, names.

Ports come in blocks of ten. A block is free where no live task of this repository has it, no
task of another repository of this user (each block that is taken is a file in a folder of the
user's that names the task), and where nobody listens on one of its ports.
"""

import contextlib
import errno
import os
import re
import time
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from git_parallel import records
from git_parallel.errors import ParallelError
from git_parallel.lock import Lock
from git_parallel.task import Task

FIRST_PORT = 20_000  # below what systems hand out by themselves: 32768 (Linux), 49152 (macOS)
BLOCKS = 1_000
PORTS = 10
LOCK_WAIT_S = 5.0
MAKING_S = 30.0


class Slot(Struct, frozen=True, forbid_unknown_fields=True):
    """The number of a task, and its ports."""

    number: int
    ports: tuple[int, ...]
    version: int = 1


def take(key: str, folder: Path, others: Iterable[Task]) -> Slot:
    """A slot that nobody has, for the task whose files are in `folder`, under the store's lock.

    `key` is the repository's, `others` are its live tasks. Raises ParallelError where all ports
    are taken.
    """
    tasks = list(others)
    numbers = {task.slot for task in tasks}
    number = next(n for n in range(1, len(numbers) + 2) if n not in numbers)
    taken = {port for task in tasks for port in task.ports}
    with _registry() as registry:
        for ports in _blocks(int(key, 16) + number):
            if not taken.isdisjoint(ports) or _is_claimed(registry, ports[0], folder):
                continue
            if all(map(_is_free, ports)):
                _claim(registry, ports[0], folder)
                return Slot(number, ports)
    raise ParallelError(
        f"no ten ports from {FIRST_PORT} to {FIRST_PORT + BLOCKS * PORTS - 1} are free",
        hint="git parallel list",
    )


def retake(key: str, folder: Path, task: Task, others: Iterable[Task]) -> Slot | None:
    """A new slot for a task that comes back, or None where nobody has taken its own meanwhile."""
    tasks = list(others)
    taken = any(t.slot == task.slot or set(t.ports) & set(task.ports) for t in tasks)
    with _registry() as registry:
        if not taken and not _is_claimed(registry, task.ports[0], folder):
            _claim(registry, task.ports[0], folder)
            return None
    return take(key, folder, tasks)


def moved(folder: Path, task: Task) -> None:
    """Say where the files of a task are now that has its ports already."""
    with _registry() as registry:
        if registry and not _is_anothers(registry / str(task.ports[0]), folder):
            _claim(registry, task.ports[0], folder)


def _is_anothers(claim: Path, folder: Path) -> bool:
    """Whether a claim is another task's, not this one's from where its files were before."""
    try:
        holder = Path(os.fsdecode(claim.read_bytes()))
        fresh = time.time() - claim.stat().st_mtime < MAKING_S
    except FileNotFoundError:
        return False
    except OSError:
        return True
    if holder == folder:
        return False
    return (holder / "task.json").exists() or (fresh and holder.name != folder.name)


def unheld() -> list[Path]:
    """The claims of blocks whose tasks are no more, or whose repositories are."""
    with _registry() as registry:
        claims = sorted(registry.iterdir()) if registry else []
        return [claim for claim in claims if claim.name.isdigit() and not _holder_lives(claim)]


def release(claims: Iterable[Path]) -> None:
    """Give back those of the claims that nobody holds still."""
    with _registry():
        for claim in claims:
            if not _holder_lives(claim):
                claim.unlink(missing_ok=True)


def _holder_lives(claim: Path) -> bool:
    """Whether a task exists, or is just being made, or lies where it can't be seen now."""
    try:
        holder = Path(os.fsdecode(claim.read_bytes()))
        if time.time() - claim.stat().st_mtime < MAKING_S or (holder / "task.json").exists():
            return True
    except OSError:
        return True
    repository = holder.parents[4] if len(holder.parents) > 4 else holder
    return not repository.parent.is_dir()  # a disk that is not here now


def _blocks(first: int) -> Iterator[tuple[int, ...]]:
    for step in range(BLOCKS):
        start = FIRST_PORT + (first + step) % BLOCKS * PORTS
        yield tuple(range(start, start + PORTS))


@contextlib.contextmanager
def _registry() -> Iterator[Path | None]:
    """The user's folder of blocks that are taken, locked; None where it can't be written to."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    folder = Path(base) / "git-parallel" / "ports"
    lock = None
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        lock = Lock.take(folder / "lock", wait_s=LOCK_WAIT_S)
    if lock is None:
        yield None
        return
    with lock:
        yield folder


def _is_claimed(registry: Path | None, port: int, folder: Path) -> bool:
    """Whether another task has a block: one that exists, or that is just being made; a task in the
    trash has none.
    """
    if registry is None:
        return False
    claim = registry / str(port)
    try:
        holder = Path(os.fsdecode(claim.read_bytes()))
        fresh = time.time() - claim.stat().st_mtime < MAKING_S
    except FileNotFoundError:
        return False
    except OSError:
        return True
    if holder.parent == folder.parent:  # of the same repository, whose tasks are known already
        return False
    return fresh or (holder / "task.json").exists()


def _claim(registry: Path | None, port: int, folder: Path) -> None:
    if registry:
        with contextlib.suppress(OSError):
            records.write(registry / str(port), os.fsencode(folder), durable=False)


def _is_free(port: int) -> bool:
    """Whether a server could listen on a port, on IPv4 and on IPv6."""
    import _socket  # `socket` itself takes 5 ms to import, for names that are not needed here

    everywhere = ((_socket.AF_INET, "0.0.0.0"), (_socket.AF_INET6, "::"))  # noqa: S104 - as a server would
    for family, address in everywhere:
        try:
            tried = _socket.socket(family, _socket.SOCK_STREAM)
        except OSError:
            continue  # a machine without IPv6
        try:
            if family == _socket.AF_INET6:
                tried.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 1)
            tried.bind((address, port))
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:  # IPv6 is known, and switched off
                return False
        finally:
            tried.close()
    return True


def project_name(repository: str, task: Task) -> str:
    """A name for docker compose: lower case letters, digits, `-` and `_`, a letter or digit first
    (https://docs.docker.com/compose/how-tos/project-name/).
    """
    wanted = f"{repository}-{task.slug}"
    name = _plain(wanted, "-")
    return name if name == wanted.lower() else f"{name}-{task.slot}"


def database_suffix(task: Task) -> str:
    """What makes the name of a database this task's own: it begins with `_`, and no other live
    task of the repository has it.
    """
    return f"_{_plain(task.slug, '_')[:32].strip('_')}_{task.slot}"


def _plain(text: str, between: str) -> str:
    """A text in lower case letters and digits, with one of `-` and `_` for all else."""
    ascii_only = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    allowed = "a-z0-9_-" if between == "-" else "a-z0-9"
    return re.sub(f"[^{allowed}]+", between, ascii_only).strip("-_")
