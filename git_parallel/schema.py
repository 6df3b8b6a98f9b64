"""The configuration as typed values: a struct for each section, a row for each preset.

What is not given in `defaults.toml` has its default here.
"""

import os
from typing import Literal

from msgspec import Struct


class _Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class Environment(_Section, frozen=True):
    """How a worktree is made usable. `skip` names folders whose lockfiles are nobody's project,
    `env` what programs find in their environment beside our own variables.
    """

    files: tuple[str, ...]
    never: tuple[str, ...]
    max_kib: int
    copy: tuple[str, ...]
    skip: tuple[str, ...]
    run: tuple[str, ...]
    setup_files: bool
    foreign: bool
    timeout_min: float
    env: dict[str, str] = {}


class Seed(_Section, frozen=True):
    """A folder that is copied from the main worktree where the lockfiles are the same.

    `note` is the manager's own record of what it installed, in the form of the lockfile: where it
    says the same, the copy needs no installation. `skip` are entries that stay behind.
    """

    folder: str
    note: str = ""
    skip: tuple[str, ...] = ()


class Manager(_Section, frozen=True):
    """A package manager: the file that calls for it, and the command lines that make ready.

    `contains` is a text that the lockfile must have, `inputs` what else the result depends on,
    `makes` the folders one of which the result is, `program` what `{program}` stands for: the
    first of these that is there. `requires` are proofs that must hold before, `verify` those that
    the result is this tree's own: programs that fail, and say why as the last they print. Where it
    is not `needed`, its failure is told and keeps nothing from going on.
    """

    ecosystem: str
    lockfile: str | tuple[str, ...]
    run: tuple[tuple[str, ...], ...]
    contains: str = ""
    inputs: tuple[str, ...] = ()
    makes: tuple[str, ...] = ()
    program: tuple[str, ...] = ()
    env: dict[str, str] = {}
    seed: Seed | None = None
    needed: bool = True
    requires: tuple[tuple[str, ...], ...] = ()
    verify: tuple[tuple[str, ...], ...] = ()

    @property
    def lockfiles(self) -> tuple[str, ...]:
        """The names of the file that calls for it."""
        return (self.lockfile,) if isinstance(self.lockfile, str) else self.lockfile


class SetupFile(_Section, frozen=True):
    """A file in which another tool's users say what makes a worktree ready: the first of `files`
    that is there, the first of `keys` that it has, run by `shell` with these variables. A string
    is a "command", or a "path" of a script beside the file; a list is a "script" of lines, or
    the "argv" of one program.
    """

    files: tuple[str, ...]
    keys: tuple[str, ...]
    shell: tuple[str, ...] = ("sh", "-c")
    strings: Literal["command", "path"] = "command"
    lists: Literal["script", "argv"] = "script"
    variables: dict[str, str] = {}


class Approval(_Section, frozen=True):
    """A tool that reads a file only where the user allowed it: `ask` in the main worktree prints
    what `says` matches where that is so, and `allow` allows the same file in another.
    """

    files: tuple[str, ...]
    ask: tuple[str, ...]
    says: str
    allow: tuple[str, ...]


class Checks(_Section, frozen=True):
    """Commands that must pass."""

    run: tuple[str, ...]
    timeout_min: float


class Constraints(_Section, frozen=True):
    """What no task may change, and how much at most, where the task says nothing else; 0 is any."""

    never: tuple[str, ...]
    max_files: int
    max_lines: int


class Runs(_Section, frozen=True):
    """Limits of runs."""

    limit: int
    timeout_min: float
    stalled_min: float
    nice: int
    memory_mib: int

    @property
    def at_once(self) -> int:
        """How many runs may be under way; agents mostly wait, so four even on a small machine."""
        return self.limit if self.limit > 0 else max(4, os.cpu_count() or 1)


class Brief(_Section, frozen=True):
    """What agents are told: the file of the template, or nothing for ours."""

    template: str = ""


class Preflight(_Section, frozen=True):
    """Whether an agent could work: `ask` fails, or prints nothing that matches `says`, where it
    could not, and `login` is the command line that helps then.
    """

    ask: tuple[str, ...]
    says: str = ""
    login: str = ""


class Notify(_Section, frozen=True):
    """Where notices go, besides the inbox."""

    desktop: bool
    terminal: bool
    command: tuple[str, ...]


class Merge(_Section, frozen=True):
    """How tasks land."""

    strategy: str


class Cleanup(_Section, frozen=True):
    """When finished worktrees go, for how long they can come back, and how much the trash may hold
    (0: as much as there is).
    """

    automatic: bool
    keep_days: float
    keep_mib: int = 0


class Interactive(_Section, frozen=True):
    """How the same program is called on a terminal, for a person: `{brief}` is the text of the
    brief, `{file}` the file with it, `{hooks}` the settings in which the agent's own hooks tell
    our terminal what it needs.
    """

    command: tuple[str, ...]
    resume: tuple[str, ...] = ()
    hooks: str = ""


class Agent(_Section, frozen=True):
    """How a program is called to work on a task: `command` without questions, `resume` to go on
    with a conversation (`{session}`); `prompt` is "stdin", "file" or "argument". `model` and
    `effort` are what is added where one is named (`{model}`, `{effort}`), `output` the form of its
    events, `leaves` what it leaves lying about.
    """

    command: tuple[str, ...]
    prompt: str = "stdin"
    resume: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    effort: tuple[str, ...] = ()
    env: dict[str, str] = {}
    output: Literal["text", "claude", "codex", "gemini", "opencode", "copilot"] = "text"
    leaves: tuple[str, ...] = ()
    preflight: Preflight | None = None
    interactive: Interactive | None = None


class Attach(_Section, frozen=True):
    """How `attach` connects a terminal."""

    detach: str


class Regenerable(_Section, frozen=True):
    """Ignored files that a cleanup need not keep."""

    files: tuple[str, ...]
    folders: dict[str, tuple[str, ...]]


class Config(_Section, frozen=True):
    """The merged configuration."""

    environment: Environment
    managers: dict[str, Manager]
    setup_files: dict[str, SetupFile]
    approvals: dict[str, Approval]
    checks: Checks
    constraints: Constraints
    runs: Runs
    brief: Brief
    notify: Notify
    merge: Merge
    cleanup: Cleanup
    attach: Attach
    agents: dict[str, Agent]
    regenerable: Regenerable
    agent: str | None = None
    target: str | None = None
