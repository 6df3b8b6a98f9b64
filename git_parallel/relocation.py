"""Worktrees and their repository after one of them was moved, or copied.

Git ties the two by absolute paths: `gitdir` in the admin folder names the worktree's `.git` file,
and that names the admin folder (gitrepository-layout(5)). A move breaks both, and is mended here.
A copy of a repository is worse: its admin folders name worktrees that are the original's, and
there git would work on these. Whatever is not known to be ours is left alone.
"""

import contextlib
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from git_parallel import slot
from git_parallel.errors import ParallelError
from git_parallel.records import write
from git_parallel.store import Store
from git_parallel.task import Task
from git_parallel.ties import admin_of, is_same, lead, take
from git_parallel.wording import pasted
from git_parallel.worktree import Worktree, content, find_worktree

FORMER = "former-keys"
PARKED = ".git.parked"  # a worktree's `.git` while it rests in the trash


class Settled(Struct, frozen=True):
    """What was mended after a move, and the repository that this one is a copy of, if it is."""

    repaired: tuple[Path, ...] = ()
    copy_of: Path | None = None


class Place(Struct, frozen=True):
    """Where a git dir was when a command of ours was last here, and what a rename leaves as it is:
    the device and the inode.
    """

    path: Path
    identity: tuple[int, int]


def shown(common: Path) -> Path:
    """A repository as people call it: the folder that its git dir lies in, or a bare one itself."""
    return common.parent if common.name == ".git" else common


def is_of_others(path: Path, common: Path) -> bool:
    """Whether a folder is a worktree of another repository than the one with that git dir."""
    try:
        if (content(f"{path}/.git") or "").startswith(f"gitdir: {common}/worktrees/"):
            return False  # at once: each command asks this of every worktree
    except OSError:
        return False
    admin = admin_of(path)
    if admin is None or not admin.is_dir():
        return False
    with contextlib.suppress(OSError):
        return not os.path.samefile(admin.parent.parent, common)
    return True


def rival_of(worktree: Worktree, recorded: Path) -> Path | None:
    """Where a task's worktree was made, if that still says that it is the worktree, which git has
    somewhere else: one of them is a copy, and git takes the one that it was last called in (2.39).
    """
    if worktree.path == recorded or is_same(worktree.path, recorded):
        return None
    admin = admin_of(recorded)
    return recorded if admin and is_same(admin, worktree.admin) else None


def settle(common: Path, main: Path | None) -> Settled:
    """Mend what a move of the repository broke, the first time that we are called where it is now.

    A copy is left as it is, and nothing of the original is touched. Raises ParallelError.
    """
    store = Store(common / "parallel")
    if not store.exists:
        return Settled()
    known = _remembered(store)
    if known and known.path == common:
        return Settled()
    if known and is_same(known.path, common):
        return Settled()  # reached by another name
    if known and _may_live(known, common):
        return Settled(copy_of=known.path)
    if not os.access(store.state, os.W_OK):
        return Settled()
    if known is None and (other := _owner(common)):
        return Settled(copy_of=other)
    with store.locked():
        if old_place(store) == common:
            return Settled()  # another command was faster
        try:
            return _settle(store, common, main, known)
        except OSError as error:
            words = f"this repository was moved, and can't be led back: {error.strerror}"
            raise ParallelError(
                f"{words}: {error.filename}", hint=f"df -h {pasted(common)}"
            ) from error


def _settle(store: Store, common: Path, main: Path | None, known: Place | None) -> Settled:
    repaired = mend(store, common, main, known.path if known else None)
    if known and known.identity == _identity(common):
        _remember_key(store, known.path)
    remember(store, common)
    return Settled(repaired=tuple(repaired))


def _remembered(store: Store) -> Place | None:
    words = _noted(store.state / "place").split(" ", 2)
    if len(words) < 3 or not (words[0] + words[1]).isdigit():
        return None
    return Place(Path(words[2]), (int(words[0]), int(words[1])))


def old_place(store: Store) -> Path | None:
    """Where the git dir was when a command of ours was last here, if that is known."""
    known = _remembered(store)
    return known.path if known else None


def remember(store: Store, common: Path) -> None:
    """Keep where the git dir is now."""
    if (known := _remembered(store)) and known.path == common:
        return
    device, inode = _identity(common)
    write(store.state / "place", os.fsencode(f"{device} {inode} {common}"), durable=False)


def key_of(common: Path) -> str:
    """A short text that tells the repository with a git dir from others on this machine."""
    return f"{zlib.crc32(os.fsencode(common)):08x}"


def _remember_key(store: Store, old: Path) -> None:
    """Keep what marks the processes that began before a move."""
    keys = [*former_keys(store), key_of(old)]
    write(store.state / FORMER, "\n".join(dict.fromkeys(keys)).encode(), durable=False)


def former_keys(store: Store) -> list[str]:
    """The keys that the repository had where it was before."""
    return _noted(store.state / FORMER).split()


def _noted(path: Path) -> str:
    """The text of a file of ours, empty where there is none; raises ParallelError."""
    try:
        return content(path) or ""
    except OSError as error:
        words = f"{path} can't be read: {error.strerror}"
        raise ParallelError(
            words, hint=f"move it away: mv {pasted(path)} {pasted(f'{path}.old')}"
        ) from error


def _identity(common: Path) -> tuple[int, int]:
    found = common.stat()
    return found.st_dev, found.st_ino


def _may_live(known: Place, common: Path) -> bool:
    """Whether the repository that was known may still be somewhere: then this one is its copy.

    A rename on one disk would have kept the inode; from another disk it may have come whole, but
    what lay on one that is not here now may come back.
    """
    identity = _identity(common)
    if identity == known.identity:
        return False
    if identity[0] == known.identity[0]:
        return True
    return (known.path / "HEAD").exists() or not _ground(known.path).is_dir()


def _ground(common: Path) -> Path:
    """The folder that a repository stands in."""
    return common.parent.parent if common.name == ".git" else common.parent


def _owner(common: Path) -> Path | None:
    """The repository that one of the worktrees belongs to, if that is another one."""
    for worktree in _worktrees(common):
        if is_of_others(worktree.path, common):
            admin = admin_of(worktree.path)
            return admin.parent.parent if admin else None
    return None


def _worktrees(common: Path) -> Iterator[Worktree]:
    with contextlib.suppress(FileNotFoundError):
        for name in sorted(os.listdir(common / "worktrees")):
            if worktree := find_worktree(common / "worktrees" / name):
                yield worktree


def mend(store: Store, common: Path, main: Path | None, old: Path | None) -> list[Path]:
    """Lead every worktree that is found back to its admin folder, and all that names places to
    where these are now, under the store's lock; returns the worktrees that were led back.

    `old` is where the git dir was. What belongs to another repository is left alone.
    """
    repaired = [path for w in _worktrees(common) if (path := _lead_back(w, common, main, old))]
    for folder, task in store.load_tasks():
        _correct_task(store, common, folder.path, task)
    for journal in sorted(store.trash.glob("*/journal.json")):
        _correct_journal(journal, common, main, old)
    return repaired


def _lead_back(
    worktree: Worktree, common: Path, main: Path | None, old: Path | None
) -> Path | None:
    """Tie a worktree and its admin folder together again; None where there was nothing to do."""
    if worktree.intact:
        return None
    for path in (worktree.path, *places_now(worktree.path, common, main, old)):
        admin = admin_of(path)
        if admin is None or admin.name != worktree.id:
            continue
        if admin.is_dir() and not is_same(admin, worktree.admin):
            continue  # another repository's
        take(path, worktree)
        return path
    return None


def places_now(path: Path, common: Path, main: Path | None, old: Path | None) -> Iterator[Path]:
    """Where something may be now that was at a path when the git dir was at `old`: as far from it
    as it was, or in the home beside the main worktree.
    """
    before, now = (old.parts if old else ()), common.parts
    for same in range(1, min(len(before), len(now))):
        if before[-same] != now[-same]:
            break
        root = Path(*before[:-same])
        if path.is_relative_to(root):
            yield Path(*now[:-same]) / path.relative_to(root)
    if main:
        yield main.with_name(f"{main.name}.parallel") / path.name


def _correct_task(store: Store, common: Path, folder: Path, task: Task) -> None:
    """Have a task's record, its address and the list of ports say where it is now."""
    mine = next((w for w in _worktrees(common) if w.slug == folder.name and w.intact), None)
    if mine is None:
        return
    if task.path != str(mine.path):
        _change(folder / "task.json", path=str(mine.path))
    store.link(task.slug, mine.path)
    slot.moved(folder, task)


def _change(record: Path, **changes: Any) -> None:
    known = msgspec.json.decode(record.read_bytes())
    write(record, msgspec.json.format(msgspec.json.encode(known | changes), indent=2) + b"\n")


def _correct_journal(record: Path, common: Path, main: Path | None, old: Path | None) -> None:
    """Have something in the trash come back to where it belongs now."""
    try:
        known: dict[str, Any] = msgspec.json.decode(record.read_bytes())
        path, tree = (Path(known[key]) if known[key] else None for key in ("path", "tree"))
        admin = common / "worktrees" / Path(known["admin"]).name if known["admin"] else None
        old = Path(known["admin"]).parent.parent if known["admin"] else old
    except (OSError, msgspec.DecodeError, KeyError, TypeError):
        return  # whoever reads it says that it can't be read
    others = bool(known["admin"]) and is_of_living(Path(known["admin"]), common)
    if tree and (others or not tree.exists()):
        rest = Path(".trash") / record.parent.name / "tree"
        found = [*places_now(tree, common, main, old)]
        found += [main.with_name(f"{main.name}.parallel") / rest] if main else []
        own = next((place for place in found if place.exists() and not is_same(place, tree)), None)
        if own is None and others:
            return  # what lies there is the original's, and whatever is here was only its name
        tree = own or tree
    if path and (others or not path.parent.is_dir()):
        likely = places_now(path, common, main, old)
        path = next((place for place in likely if place.parent.is_dir()), path)
    places = {"path": path, "tree": tree, "admin": admin}
    _change(record, **{key: str(place) if place else None for key, place in places.items()})
    if tree and path and admin and (tree / PARKED).exists():
        lead(tree / PARKED, admin)
        with contextlib.suppress(FileNotFoundError):
            write(record.parent / "admin" / "gitdir", os.fsencode(f"{path / '.git'}\n"))


def is_of_living(admin: Path, common: Path) -> bool:
    """Whether an admin folder was one of another repository, which is still there."""
    other = admin.parent.parent
    return (other / "HEAD").exists() and not is_same(other, common)
