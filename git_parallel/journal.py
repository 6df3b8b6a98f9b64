"""What rests in the trash, and how far each move into it and out of it is."""

import contextlib
import os
from pathlib import Path

from msgspec import Struct, structs

from git_parallel import records
from git_parallel.errors import ParallelError
from git_parallel.relocation import is_of_living
from git_parallel.repository import Repository

JOURNAL = "journal.json"
REMOVED = "removed"  # why a task is there that a person moved away, merged or not
MOVING, KEPT, RETURNING, GOING = "moving", "kept", "returning", "going"


class Journal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was moved away, from where, and how far it is."""

    id: str
    state: str
    name: str
    slug: str
    branch: str
    tip: str | None
    drop_branch: bool
    path: str | None
    admin: str | None
    tree: str | None
    why: str
    moved: float
    settings: tuple[tuple[str, str], ...] = ()
    version: int = 1


class Entry:
    """One thing in the trash."""

    def __init__(self, repository: Repository, folder: Path, journal: Journal) -> None:
        self.repository = repository
        self.folder = folder
        self.journal = journal

    @property
    def admin(self) -> Path:
        """Where the worktree's admin folder rests."""
        return self.folder / "admin"

    @property
    def record(self) -> Path:
        """Where the task's own files rest."""
        return self.folder / "task"

    @property
    def reflog(self) -> Path:
        """Where the branch's reflog rests."""
        return self.folder / "branch.log"

    def write(self, **changes: object) -> None:
        """Say how far it is."""
        self.journal = structs.replace(self.journal, **changes)
        records.write_record(self.folder / JOURNAL, self.journal)


def entries(repository: Repository) -> list[Entry]:
    """What rests in the trash and can be read, the newest last; not what a copy of a repository has
    of the original's trash.
    """
    try:
        names = sorted(os.listdir(repository.store.trash))
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        folder = repository.store.trash / name
        with contextlib.suppress(ParallelError):  # that one stays where it is: see `damaged`
            journal = records.find_record(folder / JOURNAL, Journal)
            if journal and is_ours(repository, journal):
                found.append(Entry(repository, folder, journal))
    return sorted(found, key=lambda entry: entry.journal.moved)


def damaged(repository: Repository) -> list[ParallelError]:
    """What is wrong with the journals that can't be read; what they tell of is left alone."""
    found = []
    for path in sorted(repository.store.trash.glob(f"*/{JOURNAL}")):
        try:
            records.load_record(path, Journal)
        except (FileNotFoundError, ParallelError) as error:
            found += [error] if isinstance(error, ParallelError) else []
    return found


def left_behind(repository: Repository) -> list[Journal]:
    """What rests in the trash since before the repository was moved, and was not told: its journal
    could not be read then.
    """
    found = []
    for path in sorted(repository.store.trash.glob(f"*/{JOURNAL}")):
        with contextlib.suppress(ParallelError):
            journal = records.find_record(path, Journal)
            if journal and journal.admin and not is_ours(repository, journal):
                living = is_of_living(Path(journal.admin), repository.common)
                found += [] if living else [journal]
    return found


def is_ours(repository: Repository, journal: Journal) -> bool:
    """Whether what a journal tells of belongs to this repository, not to one it was copied from."""
    if journal.admin is None:
        return True
    common = Path(journal.admin).parent.parent
    with contextlib.suppress(OSError):
        return common == repository.common or os.path.samefile(common, repository.common)
    return False


def unfinished(repository: Repository) -> bool:
    """Whether a move was killed, or is just under way; cheap, and without the lock."""
    return bool(half_moved(repository) or unbegun(repository))


def half_moved(repository: Repository) -> list[Entry]:
    """What is on its way into the trash or out of it, or was when somebody was killed."""
    return [e for e in entries(repository) if e.journal.state in (MOVING, RETURNING)]


def unbegun(repository: Repository) -> list[Path]:
    """The folders of moves that were killed before they said anything, and so moved nothing."""
    folders = sorted(repository.store.trash.glob("*"))
    return [folder for folder in folders if not (folder / JOURNAL).exists()]
