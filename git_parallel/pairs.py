"""Trial merges of pairs, remembered between calls by the two commits.

Their outcome follows from the commits and from what tells git how to merge: its settings and its
program, which are the key, and the attributes where it merges, which are the ground of the commit
that is merged into. So what is remembered can't be stale. The file is only a memory: one that can't
be read is as good as none, and of two writers the last wins.
"""

import contextlib
import functools
import os
import zlib
from collections.abc import Iterable, Mapping, Set
from pathlib import Path

from msgspec import Struct

from git_parallel import records
from git_parallel.attributes import Places, Source
from git_parallel.errors import ParallelError
from git_parallel.forecast import Pair, Trial
from git_parallel.repository import Repository

FILE = "pairs.json"
SETTINGS = ("merge.", "diff.", "core.", "filter.", "submodule.")
SYSTEM_ATTRIBUTES = "/etc/gitattributes"
# In the git dir: attributes for all, and what shows other commits in the place of some.
IN_GIT_DIR = ("info/attributes", "info/grafts", "shallow", "refs/replace", "packed-refs")

Grounds = Mapping[str, str]  # a commit that is merged into, and what tells git how to merge there


class Memory(Struct, frozen=True, forbid_unknown_fields=True):
    """The file: commits, the ground of each by its number, and pairs of commits by their numbers; a
    row of clean ones begins with the commit that the others were merged into.
    """

    key: str
    grounds: tuple[str, ...]
    commits: tuple[tuple[str, int], ...]
    clean: tuple[tuple[int, ...], ...]
    conflicts: tuple[tuple[int, int, tuple[str, ...], tuple[str, ...]], ...]
    version: int = 1


def load(repository: Repository, key: str, grounds: Grounds) -> dict[Pair, Trial]:
    """The outcomes that are remembered and hold on these grounds, without their trees."""
    try:
        memory = records.find_record(repository.store.state / FILE, Memory)
        return _pairs(memory, grounds) if memory and memory.key == key else {}
    except (ParallelError, IndexError):
        return {}


def _pairs(memory: Memory, grounds: Grounds) -> dict[Pair, Trial]:
    names = [commit for commit, _ in memory.commits]
    fits = [grounds.get(name, "") == memory.grounds[at] for name, at in memory.commits]
    clean = Trial()
    rows = (row for row in memory.clean if fits[row[0]])
    found = {(names[one], names[other]): clean for one, *others in rows for other in others}
    for one, other, paths, kinds in memory.conflicts:
        if fits[one] and 0 < len(paths) == len(kinds):
            found[names[one], names[other]] = Trial(conflicts=paths, kinds=kinds)
    return found


def remember(
    repository: Repository,
    key: str,
    grounds: Grounds,
    pairs: Mapping[Pair, Trial],
    changed: Mapping[str, Iterable[str]],
) -> None:
    """Keep these outcomes in place of those before; `changed` are the paths that tips changed."""
    above = functools.cache(lambda tip: folders_above(changed.get(tip, ())))
    with contextlib.suppress(OSError, ValueError):  # a read-only repository can be asked too
        lasting = {
            (ours, theirs): trial
            for (ours, theirs), trial in pairs.items()
            if trial.lasting and is_grounded(trial, above(ours) | above(theirs))
        }
        records.write_compact(repository.store.state / FILE, _memory(key, grounds, lasting))


def _memory(key: str, grounds: Grounds, pairs: Mapping[Pair, Trial]) -> Memory:
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
    places: dict[str, int] = {}
    commits = [(c, places.setdefault(grounds.get(c, ""), len(places))) for c in numbers]
    return Memory(key, tuple(places), tuple(commits), rows, tuple(conflicts))


def key_of(repository: Repository) -> str:
    """What the outcome of merges hangs on everywhere in a repository, beside the commits; empty
    where that can't be known, since programs of the user's merge there.
    """
    settings = repository.settings()
    if any(name.startswith("merge.") and name.endswith(".driver") for name in settings):
        return ""
    if any(name.startswith("filter.") for name in settings) and "merge.renormalize" in settings:
        return ""
    told = [f"{k}={v}" for k, v in sorted(settings.items()) if k.startswith(SETTINGS)]
    attributes = Path(settings.get("core.attributesfile") or _default_attributes()).expanduser()
    if not attributes.is_absolute():
        return ""  # git looks for it where it merges
    places = [_program(repository), str(attributes), SYSTEM_ATTRIBUTES]
    if "extensions.worktreeconfig" in settings:
        admins = [repository.common, *(w.admin for w in repository.worktrees())]
        places += [f"{admin}/config.worktree" for admin in admins]
    places += [f"{repository.common}/{name}" for name in IN_GIT_DIR]
    return "\n".join([*told, *filter(None, map(_state, places))])


def grounds_of(sources: Mapping[str, Source], places: Places, paths: Iterable[str]) -> Grounds:
    """What merges of these paths into some commits hang on, by where their attributes come from;
    raises GitError.
    """
    told = places.told(sources.values())
    files = [f"{above}.gitattributes" for above in sorted(folders_above(paths))]
    for source in sources.values():
        if isinstance(source, Path) and source not in told:
            states = (_state(f"{source}/{file}") for file in files)
            told[source] = "\n".join([str(source), *filter(None, states)])
    return {commit: told[source] for commit, source in sources.items()}


def is_grounded(trial: Trial, folders: Set[str]) -> bool:
    """Whether an outcome hangs on no attributes but those that the grounds of paths below these
    folders tell of: where a file or its folder was renamed, it is merged in another one than it was
    changed in.
    """
    return not trial.touched or folders >= folders_above(trial.touched)


def fingerprint(key: str, ground: str) -> str:
    """A short text that differs where any of this does; empty where the key is."""
    return f"{zlib.crc32(os.fsencode(key + ground)):08x}" if key else ""


def _program(repository: Repository) -> str:
    """The git that is run; a search of our own, as `shutil` takes longer to import than it."""
    folders = os.get_exec_path(repository.git.environment)
    return next((place for f in folders if _state(place := f"{f}/git")), "git")


def _default_attributes() -> str:
    config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return f"{config}/git/attributes"


def folders_above(paths: Iterable[str]) -> set[str]:
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
