"""Which of the commands that a project brings the user has approved, by their exact text.

The approval belongs to the clone, so it holds in all of its worktrees, and a command that changes
by one letter is a new one.
"""

from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from git_parallel import records
from git_parallel.config import Loaded


class Trusted(Struct, frozen=True, forbid_unknown_fields=True):
    """The approved commands, each with its key in front."""

    commands: tuple[str, ...] = ()
    version: int = 1


class Approvals(Struct, frozen=True):
    """What of the project's commands may run: all but those that nobody has approved."""

    missing: tuple[str, ...] = ()

    def allow(self, key: str) -> bool:
        """Whether what the project says under a key (`checks.run`, `managers.npm`) may run; what
        it does not bring always may.
        """
        return not any(line.startswith(f"{key}: ") for line in self.missing)


class Trust:
    """The approvals of one clone."""

    def __init__(self, state: Path) -> None:
        self.path = state / "trust.json"

    def approved(self) -> frozenset[str]:
        """The commands that may run."""
        return frozenset((records.find_record(self.path, Trusted) or Trusted()).commands)

    def missing(self, commands: Iterable[str]) -> list[str]:
        """Those of the commands that nobody approved yet."""
        approved = self.approved()
        return [command for command in commands if command not in approved]

    def approvals(self, loaded: Loaded) -> Approvals:
        """What of all that the project brings may run."""
        return Approvals(tuple(self.missing(loaded.project_commands)))

    def approve(self, commands: Iterable[str]) -> None:
        """Let these commands run from now on."""
        kept = sorted(self.approved() | set(commands))
        records.write_record(self.path, Trusted(tuple(kept)))

    def revoke(self) -> None:
        """Take back every approval."""
        records.write_record(self.path, Trusted())


def shown(command: str) -> str:
    """A command as it may be shown on a terminal, each of its lines below the other."""
    return "\n      ".join(_printable(line) for line in command.split("\n"))


def _printable(command: str) -> str:
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode()
        for c in command
    )
