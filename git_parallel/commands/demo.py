"""`git parallel demo`: the whole story in some seconds."""

import sys

import click

from git_parallel import demo, output
from git_parallel.errors import ParallelError


@click.command("demo")
def command() -> None:
    """See the whole story on a throw-away repository: three tasks at once, what collides, review,
    merges, cleanup and undo. It touches nothing of yours and leaves nothing behind.
    """
    with demo.open_stage() as stage:
        for step in demo.play():
            _show(stage, step)
    _tell("That was all, and nothing of it is left. Your turn, in a repository of yours:")
    _tell_command('git parallel start my-task -m "What is to be done"')


def _show(stage: demo.Stage, step: demo.Step) -> None:
    step.cue(stage)
    _tell(step.told)
    for line in step.commands:
        _tell_command(line)
        code = stage.perform(line)
        if code != step.exit_code:
            raise ParallelError(f"the demo ends here: `{line}` exited {code}, not {step.exit_code}")
    output.answer("")


def _tell(text: str) -> None:
    output.answer(output.paint(f"# {text}", output.BUSY, sys.stdout))


def _tell_command(line: str) -> None:
    output.answer(output.paint(f"$ {line}", output.HINT, sys.stdout))
