"""A witness that is neither git nor we: what of a repository's content is still there, and whether
our records and git's worktrees tell the same story. Objects are read by dulwich.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dulwich.errors import NotGitRepository
from dulwich.index import ConflictedIndexEntry, Index
from dulwich.objects import Blob, Commit, ObjectID, Tag, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo as Dulwich

TOKEN = re.compile(rb"<\d+>")
OBJECT_ID = re.compile(r"\b[0-9a-f]{40}\b")
GITLINK = 0o160000


def tokens(content: bytes) -> frozenset[str]:
    """The marks of what the user wrote in some content."""
    return frozenset(mark.decode() for mark in TOKEN.findall(content))


class Objects:
    """The objects of a repository; what one contains never changes, whether it exists does."""

    _read: dict[str, tuple[tuple[str, ...], frozenset[str]]] = {}  # noqa: RUF012 - shared, by id

    def __init__(self, git_dir: Path) -> None:
        self._repo = Dulwich(str(git_dir))
        self._store = self._repo.object_store

    def __enter__(self) -> "Objects":
        return self

    def __exit__(self, *_: object) -> None:
        self._repo.close()

    def reachable(self, roots: Iterable[str]) -> tuple[set[str], set[str]]:
        """The ids of all that exists below some roots, and the marks in its blobs. Raises
        KeyError where something below an existing object is missing.
        """
        seen: set[str] = set()
        marks: set[str] = set()
        todo = [root for root in set(roots) if self._exists(root)]
        while todo:
            name = todo.pop()
            if name in seen:
                continue
            seen.add(name)
            below, found = self._look(name)
            marks |= found
            todo += below
        return seen, marks

    def _exists(self, name: str) -> bool:
        return ObjectID(name.encode()) in self._store

    def _look(self, name: str) -> tuple[tuple[str, ...], frozenset[str]]:
        if not self._exists(name):
            raise KeyError(f"the object {name} is missing")
        if name not in self._read:
            self._read[name] = self._parse(name)
        return self._read[name]

    def _parse(self, name: str) -> tuple[tuple[str, ...], frozenset[str]]:
        found: Any = self._store[ObjectID(name.encode())]
        if isinstance(found, Commit):
            return tuple(i.decode() for i in (found.tree, *found.parents)), frozenset()
        if isinstance(found, Tree):
            entries = (e for e in found.items() if e.mode != GITLINK)
            return tuple(entry.sha.decode() for entry in entries), frozenset()
        if isinstance(found, Tag):
            return (found.object[1].decode(),), frozenset()
        assert isinstance(found, Blob)
        return (), tokens(found.data)


def roots(git_dir: Path) -> set[str]:
    """The objects that git itself keeps: refs, reflogs, and the HEAD and index of each worktree
    (git-gc(1)); so also what it would not delete at any time.
    """
    found: set[str] = set()
    for admin in (git_dir, *sorted((git_dir / "worktrees").glob("*"))):
        for folder in (admin / "refs", admin / "logs"):
            for place in folder.rglob("*"):
                if place.is_file():
                    found |= set(OBJECT_ID.findall(place.read_text("utf-8", "replace")))
        for name in ("HEAD", "packed-refs"):
            if (admin / name).is_file():
                found |= set(OBJECT_ID.findall((admin / name).read_text()))
        if (admin / "index").is_file():
            found |= set(_staged(admin / "index"))
    return found - {"0" * 40}


def _staged(index: Path) -> Iterator[str]:
    """The blobs that an index names; of a path in conflict, all versions."""
    for _, entry in Index(str(index)).items():
        if isinstance(entry, ConflictedIndexEntry):
            versions = [entry.ancestor, entry.this, entry.other]
        else:
            versions = [entry]
        yield from (one.sha.decode() for one in versions if one and one.mode != GITLINK)


def tip_of(git_dir: Path, ref: str) -> str | None:
    """Where a ref is."""
    try:
        with Dulwich(str(git_dir)) as repo:
            return repo.refs[Ref(ref.encode())].decode()
    except (KeyError, NotGitRepository):
        return None


def files(folder: Path) -> dict[str, bytes]:
    """All files below a folder but git's own, by their path."""
    found = {}
    for top, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != ".git"]
        for name in names:
            path = Path(top, name)
            if name not in (".git", ".git.parked") and not path.is_symlink():
                found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def _json(path: Path) -> Any:
    return json.loads(path.read_bytes())


def disagreements(git_dir: Path, *, at_rest: bool = True) -> list[str]:
    """What of our records and git's worktrees does not fit together; nothing, where all does.

    `at_rest`: no command of ours is under way.
    """
    return list(_disagreements(git_dir, at_rest=at_rest))


def _disagreements(git_dir: Path, *, at_rest: bool) -> Iterator[str]:
    state = git_dir / "parallel" / ".state"
    tasks = {p.parent.name: _json(p) for p in sorted(state.glob("tasks/*/task.json"))}
    half = {path.parent.name for path in state.glob("tasks/*/making.json")}
    marks: dict[str, list[Path]] = {}
    places: dict[Path, str] = {}
    heads: dict[str, str] = {}
    for admin in sorted((git_dir / "worktrees").glob("*")):
        if not (admin / "gitdir").exists():
            yield f"{admin.name} leads nowhere"
            continue
        places[Path((admin / "gitdir").read_text().strip()).parent] = admin.name
        if (admin / "parallel-task").exists():
            marks.setdefault((admin / "parallel-task").read_text().strip(), []).append(admin)
        head = (admin / "HEAD").read_text().strip()
        if head.startswith("ref: "):
            if head in heads:
                yield f"{head} is checked out in {heads[head]} and {admin.name}"
            heads[head] = admin.name
    yield from _of_tasks(git_dir, tasks, half, marks)
    for slug, admins in marks.items():
        if len(admins) > 1:
            yield f"{slug} has the worktrees {[a.name for a in admins]}"
        if slug not in tasks:
            yield f"the worktree {admins[0].name} is of {slug}, which is no task"
    yield from _of_slots(tasks, state)
    if at_rest:
        yield from _of_trash(state, places, tasks)


def _of_tasks(
    git_dir: Path, tasks: dict[str, Any], half: set[str], marks: dict[str, list[Path]]
) -> Iterator[str]:
    names = [task["name"].casefold() for task in tasks.values()]
    yield from (f"there are two tasks {name}" for name in set(names) if names.count(name) > 1)
    for slug, task in tasks.items():
        if slug in half:
            continue
        if slug not in marks:
            yield f"the task {slug} has no worktree"
            continue
        path = Path((marks[slug][0] / "gitdir").read_text().strip()).parent
        if not path.is_dir():
            yield f"the worktree {path} of {slug} is not there"
        elif (path / ".git").read_text().strip() != f"gitdir: {marks[slug][0]}":
            yield f"{path}/.git does not lead to {marks[slug][0]}"
        address = git_dir / "parallel" / slug
        if not address.exists() or address.resolve() != path.resolve():
            yield f"the address of {slug} does not lead to {path}"
        assert task["path"]
    for link in (git_dir / "parallel").glob("*"):
        if link.name not in (".state", "config.toml") and link.name not in tasks:
            yield f"the address {link.name} is of no task"


def _of_slots(tasks: dict[str, Any], state: Path) -> Iterator[str]:
    owned: dict[int, str] = {}
    for slug, task in tasks.items():
        moved = state / "tasks" / slug / "slot.json"
        slot = _json(moved) if moved.exists() else {"number": task["slot"], "ports": task["ports"]}
        for what in (slot["number"], *slot["ports"]):
            if what in owned:
                yield f"{slug} and {owned[what]} both own {what}"
            owned[what] = slug


def _of_trash(state: Path, places: dict[Path, str], tasks: dict[str, Any]) -> Iterator[str]:
    trees = set()
    for entry in sorted((state / "trash").glob("*")):
        journal = entry / "journal.json"
        known = _json(journal) if journal.exists() else None
        if known is None:
            yield f"{entry.name} in the trash has no journal"
            continue
        if known["state"] != "kept":
            yield f"{entry.name} in the trash is {known['state']}"
        if not (entry / "task").is_dir():
            yield f"{entry.name} in the trash has no record"
        if known["tree"] and not Path(known["tree"]).is_dir():
            yield f"{entry.name} in the trash has no tree"
        if known["tree"]:
            trees.add(Path(known["tree"]).parent)
    homes = {Path(task["path"]).parent for task in tasks.values()}
    for home in homes | {tree.parent.parent for tree in trees}:
        for there in sorted(home.glob("*")):
            if there.name == ".scratch":
                yield f"{there} is left"
            elif there.name == ".trash":
                yield from (f"{rest} is in no journal" for rest in set(there.glob("*")) - trees)
            elif there not in places:
                half = any(task["path"] == str(there) for task in tasks.values())
                if not half:
                    yield f"{there} is no worktree"
    if list((state / ".scratch").glob("*")):
        yield "a scratch worktree has a record still"
