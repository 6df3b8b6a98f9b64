"""`git parallel init`: ready this repository."""

from pathlib import Path

import click

from git_parallel.commands.hooks import install_and_tell
from git_parallel.repository import find_repository


@click.command("init")
def command() -> int:
    """Install the hooks: worktrees are bootstrapped however they are made, and merged tasks are
    cleaned up by themselves. `start` does this on first use.
    """
    repository = find_repository(Path.cwd())
    code = install_and_tell(repository, shared=False)
    repository.remember_place()
    return code
