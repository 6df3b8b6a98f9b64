"""`git parallel list`: who needs me?"""

import click

from git_parallel.commands.listing import show


@click.command("list")
@click.option("--all", "everything", is_flag=True, help="Also what is in the trash.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, everything: bool, as_json: bool) -> int:
    """Show every task: its status, its commits and changes, its age, and what waits for you."""
    return show(everything=everything, as_json=as_json)
