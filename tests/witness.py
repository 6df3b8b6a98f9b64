"""What dulwich, which is not git, sees of a repository."""

import os
from collections.abc import Iterable
from pathlib import Path

from dulwich.objects import Commit, ObjectID, Tag, Tree
from dulwich.repo import Repo


def everything(repository: Path) -> set[ObjectID]:
    """Every object that is there."""
    with Repo(str(repository)) as witness:
        return set(witness.object_store)


def below_commits(repository: Path) -> set[ObjectID]:
    """Every commit that is there, whatever leads to it, and all that is below."""
    with Repo(str(repository)) as witness:
        store = witness.object_store
        return _closure(witness, [name for name in store if isinstance(store[name], Commit)])


def below_refs(repository: Path) -> set[ObjectID]:
    """Every object that a ref leads to."""
    with Repo(str(repository)) as witness:
        return _closure(witness, witness.get_refs().values())


def _closure(witness: Repo, tips: Iterable[ObjectID]) -> set[ObjectID]:
    seen: set[ObjectID] = set()
    todo = list(tips)
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        found = witness.object_store[name]
        if isinstance(found, Commit):
            todo += [found.tree, *found.parents]
        elif isinstance(found, Tree):
            todo += [entry.sha for entry in found.items() if entry.mode != 0o160000]
        elif isinstance(found, Tag):
            todo.append(found.object[1])
    return seen


Snapshot = dict[str, tuple[int, int, bytes]]


def files(folder: Path) -> Snapshot:
    """Every file and link below a folder: its mode, its time, its content."""
    found: Snapshot = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            state = path.lstat()
            content = os.fsencode(os.readlink(path)) if path.is_symlink() else path.read_bytes()
            found[str(path.relative_to(folder))] = (state.st_mode, state.st_mtime_ns, content)
    return found
