"""The configuration as typed values: a struct for each section, a row for each preset.

What is not given in `defaults.toml` has its default here.
"""

import os

from msgspec import Struct


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
