"""Where a bootstrap works: the worktree, the tree it was made after, and how programs run there."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from git_parallel import variables
from git_parallel.config import Loaded
from git_parallel.process import Exit, ask
from git_parallel.repository import Repository
from git_parallel.schema import Config
from git_parallel.supervisor import Supervisor
from git_parallel.task import Task
from git_parallel.trust import Approvals
from git_parallel.worktree import Worktree

ASK_S = 20.0
PROOFS = Path(__file__).with_name("proofs")


class Site:
    """A worktree that is being made ready: `task` is the one it belongs to, `source` the worktree
    that it was made after, `own` its variables.
    """

    def __init__(
        self,
        repository: Repository,
        worktree: Worktree,
        task: Task | None,
        loaded: Loaded,
        approvals: Approvals,
        *,
        supervisor: Supervisor,
        output: IO[bytes],
        base: Mapping[str, str],
    ) -> None:
        self.worktree = worktree
        self.path = worktree.path.resolve()
        self.source = repository.original
        self.common = repository.common
        self.loaded = loaded
        self.approvals = approvals
        self.output = output
        self.own = variables.of_worktree(repository, self.path, task, loaded, approvals)
        self.supervisor = supervisor
        self._base = base

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self.loaded.config

    @property
    def mapped(self) -> dict[str, str]:
        """The variables of `[environment.env]`, filled in; none where there is no task."""
        names = variables.templates(self.loaded, self.approvals)
        return {name: self.own[name] for name in names if name in self.own}

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """What programs find in their environment."""
        around = variables.around(self._base, self.path, self.own)
        return {"CI": "1", **around, **(more or {})}

    def say(self, text: str) -> None:
        """Write a line of our own into the log."""
        self.output.write(f"── {text}\n".encode("utf-8", "surrogateescape"))

    def run(
        self,
        command: Sequence[str],
        *,
        folder: str | Path = "",
        more: Mapping[str, str] | None = None,
        shown: str = "",
    ) -> str:
        """Run a program in a folder of the worktree; returns why it failed, or nothing."""
        shown = shown or " ".join(command)
        self.say(shown)
        place = self.path / folder
        limit = self.config.environment.timeout_min * 60
        ended = self.supervisor.run(
            command,
            folder=place,
            environment=self.environment({"PWD": str(place), **(more or {})}),
            output=self.output,
            timeout_s=limit,
        )
        return ended.words or _why_failed(shown.partition("\n")[0], ended, limit)

    def prove(self, command: Sequence[str], *, folder: str, more: Mapping[str, str]) -> str:
        """Run a program that says what is wrong; returns that, or nothing where all is well."""
        words = [word.replace("{proofs}", str(PROOFS)) for word in command]
        place = self.path / folder
        limit = self.config.environment.timeout_min * 60
        environment = self.environment({"PWD": str(place), **more})
        ended, said = ask(words, folder=place, environment=environment, timeout_s=limit)
        self.say(" ".join(words))
        self.output.write(os.fsencode(said))
        last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "")
        failed = ended.words or _why_failed(" ".join(command), ended, limit)
        return last if failed and last else failed

    def ask(self, command: Sequence[str], folder: Path) -> str | None:
        """What a small program printed; None where it failed or is not there."""
        environment = self.environment()
        environment.pop("CI")  # to some tools it means that nobody need be asked
        ended, said = ask(command, folder=folder, environment=environment, timeout_s=ASK_S)
        return None if ended.code or ended.words else said


def _why_failed(shown: str, ended: Exit, limit_s: float) -> str:
    if ended.timed_out:
        return f"`{shown}` took longer than {limit_s / 60:g} min"
    return f"`{shown}` ended with exit code {ended.code}" if ended.code else ""
