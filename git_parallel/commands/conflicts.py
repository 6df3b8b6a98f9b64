"""`git parallel conflicts`: which tasks would collide, with each other and with their targets."""

import click

from git_parallel.commands.matrix import show


@click.command("conflicts")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, as_json: bool) -> int:
    """Merge every pair of tasks, and every task with its target, on trial; with what is not
    committed yet where somebody is at work.
    """
    return show(as_json=as_json)
