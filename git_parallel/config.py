"""Configuration: our defaults < the user's file < the project's file < this clone's file.

Each layer is checked against the same types; an unknown key or a wrong type is an error that
names the file, the key and what was expected.
"""

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from git_parallel.errors import ParallelError

PROJECT_FILE = ".git-parallel.toml"
LAYERS = ("defaults", "user", "project", "clone")


class _Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class Environment(_Section, frozen=True):
    """How a worktree is made usable."""

    files: tuple[str, ...]
    never: tuple[str, ...]
    max_kib: int
    copy: tuple[str, ...]
    run: tuple[str, ...]
    foreign: bool
    timeout_min: float


class Manager(_Section, frozen=True):
    """A package manager: `lockfile` calls for it, `run` are its command lines."""

    ecosystem: str
    lockfile: str
    run: tuple[tuple[str, ...], ...]


class Checks(_Section, frozen=True):
    """Commands that must pass."""

    run: tuple[str, ...]
    timeout_min: float


class Runs(_Section, frozen=True):
    """Limits of runs."""

    limit: int
    timeout_min: float

    @property
    def at_once(self) -> int:
        """How many runs may be under way; agents mostly wait, so four even on a small machine."""
        return self.limit if self.limit > 0 else max(4, os.cpu_count() or 1)


class Notify(_Section, frozen=True):
    """Where notices go, besides the inbox."""

    desktop: bool
    terminal: bool
    command: tuple[str, ...]


class Merge(_Section, frozen=True):
    """How tasks land."""

    strategy: str


class Cleanup(_Section, frozen=True):
    """When finished worktrees go, and for how long they can come back."""

    automatic: bool
    keep_days: float


class Agent(_Section, frozen=True):
    """How a program is called to work on a task; `prompt` is "stdin", "file" or "argument"."""

    command: tuple[str, ...]
    prompt: str = "stdin"


class Regenerable(_Section, frozen=True):
    """Ignored files that a cleanup need not keep."""

    files: tuple[str, ...]
    folders: dict[str, tuple[str, ...]]


class Config(_Section, frozen=True):
    """The merged configuration."""

    environment: Environment
    managers: dict[str, Manager]
    checks: Checks
    runs: Runs
    notify: Notify
    merge: Merge
    cleanup: Cleanup
    agents: dict[str, Agent]
    regenerable: Regenerable
    agent: str | None = None
    target: str | None = None


class Loaded(Struct, frozen=True):
    """The configuration, where each key came from, and the commands that the project brings."""

    config: Config
    origins: dict[str, str]
    project_commands: tuple[str, ...]


Table = dict[str, Any]


def load(main: Path | None, clone_file: Path) -> Loaded:
    """The configuration of a repository; raises ParallelError where a file is wrong."""
    files = {
        "user": user_file(),
        "project": main / PROJECT_FILE if main else None,
        "clone": clone_file,
    }
    tables = {"defaults": _defaults()}
    tables |= {layer: _load_table(file) for layer, file in files.items() if file}
    _refuse_what_is_not_the_projects(tables.get("project", {}), files["project"])
    merged: Table = {}
    origins: dict[str, str] = {}
    for layer in LAYERS:
        if table := tables.get(layer):
            merged = _merge(merged, table)
            origins |= dict.fromkeys(_keys(table), layer)
            if layer != "defaults":
                _check(merged, str(files[layer]))
    config = _check(merged, "defaults.toml")
    return Loaded(config, origins, _commands(tables.get("project", {})))


def _refuse_what_is_not_the_projects(project: Table, file: Path | None) -> None:
    """How long removed work rests on somebody's machine, and what of it is worthless, is theirs."""
    if "regenerable" in project or "keep_days" in project.get("cleanup", {}):
        key = "regenerable" if "regenerable" in project else "cleanup.keep_days"
        raise ParallelError(
            f"{file}: a project can't set `{key}`",
            hint=f"set it for yourself in {user_file()}",
        )


def user_file() -> Path:
    """The user's own configuration file."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "git-parallel" / "config.toml"


@functools.cache
def _defaults() -> Table:
    import tomllib

    return tomllib.loads(Path(__file__).with_name("defaults.toml").read_text("utf-8"))


def _load_table(file: Path) -> Table:
    import tomllib

    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ParallelError(f"{file}: {error}") from error


def _check(merged: Table, file: str) -> Config:
    try:
        config = msgspec.convert(merged, Config)
    except msgspec.ValidationError as error:
        raise ParallelError(f"{file}: {_in_our_words(str(error))}") from error
    for name, agent in config.agents.items():
        if agent.prompt not in ("stdin", "file", "argument"):
            raise ParallelError(
                f"{file}: agents.{name}.prompt is `{agent.prompt}`",
                hint='it must be "stdin", "file" or "argument"',
            )
    if config.merge.strategy not in STRATEGIES:
        raise ParallelError(
            f"{file}: merge.strategy is `{config.merge.strategy}`",
            hint=f"it must be one of {', '.join(STRATEGIES)}",
        )
    return config


STRATEGIES = ("merge", "squash", "rebase", "ff")


def _in_our_words(error: str) -> str:
    words, _, place = error.partition(" - at `$")
    key = place.strip("`.")
    if "unknown field" in words:
        field = words.split("`")[1] if "`" in words else words
        return f"unknown key `{f'{key}.' if key else ''}{field}`"
    plain = words.replace("Expected", "expected").replace("Object", "object")
    return f"`{key}`: {plain}" if key else plain


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> Table:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = _merge(old, value) if both and old is not None else value
    return merged


def _keys(table: Mapping[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key, value in table.items():
        if isinstance(value, dict):
            found += _keys(value, f"{prefix}{key}.")
        else:
            found.append(prefix + key)
    return found


def _commands(project: Table) -> tuple[str, ...]:
    """Whatever in a project's file would be run, each as one line that names its key."""
    found = []
    for section in ("environment", "checks"):
        listed = project.get(section, {}).get("run", ())
        found += [f"{section}.run: {command}" for command in listed]
    if notify := project.get("notify", {}).get("command"):
        found.append(f"notify.command: {msgspec.json.encode(notify).decode()}")
    for section in ("agents", "managers"):
        for name, row in project.get(section, {}).items():
            found.append(f"{section}.{name}: {msgspec.json.encode(row).decode()}")
    return tuple(found)
