"""Trial merges of pairs, remembered between calls by the two commits.

Their outcome follows from the commits and from what tells git how to merge: its settings, its
attributes, its program. All of that is in the key, so that what is remembered can't be stale. The
file is only a memory: one that can't be read is as good as none, and of two writers the last wins.
"""

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from git_parallel import records
from git_parallel.errors import ParallelError
from git_parallel.forecast import Pair, Trial
from git_parallel.repository import Repository

FILE = "pairs.json"
MOST = 10_000
SETTINGS = ("merge.", "diff.", "core.", "filter.", "submodule.")


class Memory(Struct, frozen=True, forbid_unknown_fields=True):
    """The file: commits, and pairs of them by their numbers; a row of clean ones begins with the
    commit that the others were merged into.
    """

    key: str
    commits: tuple[str, ...]
    clean: tuple[tuple[int, ...], ...]
    conflicts: tuple[tuple[int, int, tuple[str, ...], tuple[str, ...]], ...]
    version: int = 1


def load(repository: Repository, key: str) -> dict[Pair, Trial]:
    """The outcomes that are remembered, without their trees."""
    try:
        memory = records.find_record(repository.store.state / FILE, Memory)
        return _pairs(memory) if memory and memory.key == key else {}
    except (ParallelError, IndexError):
        return {}


def _pairs(memory: Memory) -> dict[Pair, Trial]:
    names, clean = memory.commits, Trial()
    found = {(names[one], names[o]): clean for one, *others in memory.clean for o in others}
    for one, other, paths, kinds in memory.conflicts:
        found[names[one], names[other]] = Trial(conflicts=paths, kinds=kinds)
    return found


def remember(
    repository: Repository, key: str, new: Mapping[Pair, Trial], old: Mapping[Pair, Trial]
) -> None:
    """Keep the outcomes of this call, and so many older ones that the file stays small."""
    kept = dict(new)
    for pair, trial in old.items():
        if len(kept) >= MOST:
            break
        kept.setdefault(pair, trial)
    with contextlib.suppress(OSError, ValueError):  # a read-only repository can be asked too
        memory = _memory(key, {pair: trial for pair, trial in kept.items() if _is_lasting(trial)})
        records.write_compact(repository.store.state / FILE, memory)


def _is_lasting(trial: Trial) -> bool:
    """Whether an outcome follows from the two commits alone; a submodule's own commits may come."""
    return not trial.unknown and "submodule" not in trial.kinds


def _memory(key: str, pairs: Mapping[Pair, Trial]) -> Memory:
    numbers: dict[str, int] = {}
    clean: dict[int, list[int]] = {}
    conflicts = []
    for (ours, theirs), trial in pairs.items():
        one = numbers.setdefault(ours, len(numbers))
        other = numbers.setdefault(theirs, len(numbers))
        if trial.clean:
            clean.setdefault(one, [one]).append(other)
        else:
            conflicts.append((one, other, trial.conflicts, trial.kinds))
    rows = tuple(tuple(row) for row in clean.values())
    return Memory(key, tuple(numbers), rows, tuple(conflicts))


def key_of(repository: Repository, folders: Sequence[Path], paths: Iterable[str]) -> str:
    """What the outcome of merges of these paths in folders hangs on beside the commits; empty
    where that can't be known, since programs of the user's merge there.
    """
    settings = repository.settings()
    if any(name.startswith("merge.") and name.endswith(".driver") for name in settings):
        return ""
    told = [f"{k}={v}" for k, v in sorted(settings.items()) if k.startswith(SETTINGS)]
    attributes = settings.get("core.attributesfile") or _default_attributes()
    places = [_program(repository), str(Path(attributes).expanduser())]
    places += [str(repository.common / "info" / "attributes")]
    above = sorted(_folders(paths))
    places += [f"{folder}/{top}.gitattributes" for folder in folders for top in above]
    told += [state for place in places if (state := _state(place))]
    return "\n".join([*map(str, folders), *told])


def _program(repository: Repository) -> str:
    """The git that is run; a search of our own, as `shutil` takes longer to import than it."""
    folders = os.get_exec_path(repository.git.environment)
    return next((place for f in folders if _state(place := f"{f}/git")), "git")


def _default_attributes() -> str:
    config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return f"{config}/git/attributes"


def _folders(paths: Iterable[str]) -> set[str]:
    """The folders above paths, with a slash behind all but the top."""
    found = {""}
    for path in paths:
        above = path.rpartition("/")[0]
        while above and f"{above}/" not in found:
            found.add(f"{above}/")
            above = above.rpartition("/")[0]
    return found


def _state(place: str) -> str:
    """What tells a file from how it was before; empty where there is none."""
    try:
        found = os.stat(place)
    except (OSError, ValueError):
        return ""
    return f"{place} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_size} {found.st_ino}"
