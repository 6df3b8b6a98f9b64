"""The command line: commands are imported when they are called."""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from git_parallel import __version__, output
from git_parallel.errors import EXIT_USAGE, ParallelError

COMMANDS = {
    "start": "make a task: branch, worktree, environment, and work on it in the background",
    "run": "run an agent or a command on a task once more",
    "list": "show every task: status, branch, changes, age",
    "show": "show all that is known of one task",
    "log": "show what a run printed",
    "attach": "be at the terminal of an interactive run",
    "wait": "wait for runs to end",
    "stop": "stop a run and every process of it",
    "path": "print where a task's worktree is",
    "env": "print the variables of a task, for a shell",
    "exec": "run a command in the worktrees of tasks",
    "review": "see what a task changed, and whether it merges",
    "pick": "keep one attempt of several",
    "conflicts": "show which tasks would collide",
    "plan": "propose an order to merge in",
    "merge": "merge tasks into their targets",
    "rebase": "put a task's commits onto its target as that is now",
    "cleanup": "move merged worktrees to the trash",
    "remove": "move tasks to the trash",
    "undo": "bring a task back from the trash",
    "adopt": "make a worktree of somebody else's a task",
    "bootstrap": "make a worktree usable, or bring it up to date",
    "trust": "approve the commands that this project brings",
    "init": "install the hooks in this repository",
    "hooks": "install, uninstall or inspect the hooks",
    "config": "show the configuration and where each key comes from",
    "completion": "print the completion for a shell",
    "doctor": "see what is wrong here, and mend it",
    "demo": "see the whole story on a throw-away repository",
}


TAKES_COMMAND = ("start", "run", "exec")


class LazyGroup(click.Group):
    """A group that imports a command when somebody calls it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands, as in a day's work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command, or None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"git_parallel.commands.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=True,
)
@click.version_option(__version__, prog_name="git parallel", message="%(prog)s %(version)s")
def group() -> None:
    """Work on many tasks at once, each in a worktree of its own. Nothing is ever lost."""


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code."""
    return output.guarded(lambda: _run(arguments))


def _run(arguments: Sequence[str]) -> int:
    try:
        ours, words = _split(list(arguments))
        result: Any = group.main(ours, prog_name="git parallel", standalone_mode=False, obj=words)
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show(sys.stdout)
        return EXIT_USAGE
    except click.UsageError as error:
        name = error.ctx.command_path if error.ctx else "git parallel"
        output.error(ParallelError(error.format_message(), hint=f"{name} -h"))
        return EXIT_USAGE
    except click.ClickException as error:
        output.error(ParallelError(error.format_message()))
        return EXIT_USAGE
    except click.Abort as error:
        raise KeyboardInterrupt from error


def _split(arguments: list[str]) -> tuple[list[str], tuple[str, ...] | None]:
    """Our own words, and those of the command after `--`; None where there is no `--`."""
    if arguments[:1] and arguments[0] in TAKES_COMMAND and "--" in arguments:
        at = arguments.index("--")
        return arguments[:at], tuple(arguments[at + 1 :])
    return arguments, None
