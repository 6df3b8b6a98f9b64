"""Our files, each replaced as a whole: a reader takes no lock and never sees half of one.

A file that can't be read is an error that names it, never an empty default.
"""

import enum
import os
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from git_parallel.errors import ParallelError

READ_BYTES = 1 << 16

T = TypeVar("T", bound=msgspec.Struct)


def write(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Replace a file as a whole: after a crash it holds the old content or the new."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_record(path: Path, record: msgspec.Struct, *, durable: bool = True) -> None:
    """Replace a record, as indented JSON that people can read."""
    write(path, msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n", durable=durable)


def write_compact(path: Path, record: msgspec.Struct) -> None:
    """Replace a record that nobody reads but us, and that may be lost, as JSON in one line."""
    write(path, msgspec.json.encode(record), durable=False)


def read(path: Path | str) -> bytes:
    """The content of a small file; raises OSError. Without Python's own file objects, which ask the
    system five things more: an overview of a hundred tasks reads a thousand files.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = part = os.read(fd, READ_BYTES)
        while part:
            part = os.read(fd, READ_BYTES)
            content += part
        return content
    finally:
        os.close(fd)


def load_record(path: Path | str, kind: type[T]) -> T:
    """The record in a file; raises ParallelError where it can't be read, FileNotFoundError where
    there is none.
    """
    try:
        return msgspec.json.decode(read(path), type=kind)
    except FileNotFoundError:
        raise
    except (OSError, msgspec.DecodeError) as error:
        raise ParallelError(
            f"{path} can't be read: {error}",
            hint="was it written by a newer git parallel? Nothing was changed",
        ) from error


def find_record(path: Path | str, kind: type[T]) -> T | None:
    """The record in a file, or None where there is no such file."""
    try:
        return load_record(path, kind)
    except FileNotFoundError:
        return None


class Landed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That we were about to land a task: true as soon as `result` is reachable from `target`, which
    was at `before`.
    """

    tip: str
    target: str
    result: str
    strategy: str
    before: str | None = None
    version: int = 1


class Notice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That a task needs a person, until the person has looked."""

    status: str
    reason: str
    time: float
    run: int
    version: int = 1


class Making(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a `start` under way is about to make; gone when it is through."""

    path: str
    branch: str
    made_branch: bool
    base: str
    version: int = 1


class Restored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That a person brought a task back: the sweep leaves it alone until its tip moves."""

    tip: str
    version: int = 1


class Retarget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a task goes whose target, another task's branch, has landed, and the commit that it
    starts from since then or since it was rebased. Until it is, its own commits stand on what has
    landed, which the target may have in another form: as a squash.
    """

    target: str
    base: str | None = None
    stands_on: str | None = None
    version: int = 1


class Verdict(enum.StrEnum):
    """What a person made of a task's work."""

    SEEN = "seen"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class Reviewed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which tip of a task a person looked at last, the fork that it was compared with, and what
    they made of it: of another tip it says nothing.
    """

    tip: str
    fork: str
    verdict: Verdict
    time: datetime
    note: str = ""
    version: int = 1
