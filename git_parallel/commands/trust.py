"""`git parallel trust`: approve what this project would run."""

import sys
from pathlib import Path

import click

from git_parallel import output
from git_parallel.errors import ParallelError, UsageError
from git_parallel.repository import find_repository
from git_parallel.trust import Trust, shown


@click.command("trust")
@click.option("--list", "listing", is_flag=True, help="Show the commands and their approval.")
@click.option("--revoke", is_flag=True, help="Take every approval back.")
@click.option("--yes", is_flag=True, help="Approve without asking.")
def command(*, listing: bool, revoke: bool, yes: bool) -> int:
    """Approve the commands in .git-parallel.toml, exactly as they are, for all worktrees of this
    clone. A command that changes is asked for again.
    """
    if listing + revoke + yes > 1:
        raise UsageError("use one of --list, --revoke and --yes")
    repository = find_repository(Path.cwd())
    trust = Trust(repository.store.state)
    if revoke:
        repository.store.create()
        trust.revoke()
        output.tell(output.DONE, "no command of this project is trusted any more")
        return 0
    commands = repository.configuration().project_commands
    missing = trust.missing(commands)
    if listing:
        for line in commands:
            mark = output.NOTHING if line in missing else output.DONE
            output.answer(f"{mark} {shown(line)}")
    if not missing:
        words = "every command of this project is trusted" if commands else "nothing to approve"
        output.tell(output.NOTHING, words)
        return 0
    if listing:
        return 0
    repository.store.create()
    return _approve(trust, missing, yes=yes)


def _approve(trust: Trust, missing: list[str], *, yes: bool) -> int:
    for line in missing:
        output.narrate(f"    {shown(line)}")
    if not yes:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise ParallelError("nobody is here to ask", hint="git parallel trust --yes")
        if not click.confirm("Run them in every worktree of this clone?", err=True):
            output.tell(output.NOTHING, "nothing approved")
            return 1
    trust.approve(missing)
    output.tell(output.DONE, f"{output.count(len(missing), 'command')} approved")
    return 0
