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

from git_parallel import setup_files
from git_parallel.errors import ParallelError
from git_parallel.schema import Config
from git_parallel.setup_files import Command

PROJECT_FILE = ".git-parallel.toml"
THEIRS = ("regenerable", "setup_files", "approvals")
LAYERS = ("defaults", "user", "project", "clone")


class Loaded(Struct, frozen=True, dict=True):
    """The configuration, where each key came from, and what the project brings of it."""

    config: Config
    origins: dict[str, str]
    main: Path | None
    project: dict[str, Any]

    @functools.cached_property
    def steps(self) -> tuple[Command, ...]:
        """What makes a worktree ready after the package managers: `environment.run`, or else what
        another tool's file says; raises ParallelError where such a file can't be read.
        """
        origin = self.origins.get("environment.run", "defaults")
        if origin == "defaults" and self.main and self.config.environment.setup_files:
            return setup_files.find(self.main, self.config.setup_files)
        key = "environment.run" if origin == "project" else ""
        return tuple(Command(c, ("sh", "-c", c), key) for c in self.config.environment.run)

    @functools.cached_property
    def project_commands(self) -> tuple[str, ...]:
        """Whatever the project's files would have run, each as one line that names its key."""
        return (*setup_files.lines_of(self.steps), *_commands(self.project))


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
    return Loaded(config, origins, main, tables.get("project", {}))


def _refuse_what_is_not_the_projects(project: Table, file: Path | None) -> None:
    """How long removed work rests on somebody's machine, what of it is worthless, and how other
    tools' files are read, is theirs.
    """
    refused: list[str] = [key for key in THEIRS if key in project]
    limits = sorted({"keep_days", "keep_mib"} & project.get("cleanup", {}).keys())
    refused += [f"cleanup.{key}" for key in limits]
    template = Path(str(project.get("brief", {}).get("template", "")))
    if template.is_absolute() or str(template).startswith("~") or ".." in template.parts:
        refused.append("brief.template")
    if refused:
        raise ParallelError(
            f"{file}: a project can't set `{refused[0]}`",
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
    """Whatever else in a project's file would be run, or changes what is."""
    checks = project.get("checks", {}).get("run", ())
    found = [f"checks.run: {command}" for command in checks]
    for section, key in (("notify", "command"), ("environment", "env")):
        if value := project.get(section, {}).get(key):
            found.append(f"{section}.{key}: {msgspec.json.encode(value).decode()}")
    for section in ("agents", "managers"):
        for name, row in project.get(section, {}).items():
            found.append(f"{section}.{name}: {msgspec.json.encode(row).decode()}")
    return tuple(found)
