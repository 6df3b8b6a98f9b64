"""`git parallel stop`: end runs and every process of theirs."""

from pathlib import Path

import click

from git_parallel import output, runner
from git_parallel.overview import find_folder
from git_parallel.repository import find_repository


@click.command("stop")
@click.argument("tasks", nargs=-1, required=True)
def command(tasks: tuple[str, ...]) -> None:
    """End the runs of tasks, with every process that they started. The work stays."""
    repository = find_repository(Path.cwd())
    for folder, task in [find_folder(repository, name) for name in tasks]:
        alive, run = folder.alive, folder.last_run()
        ended = runner.stop(repository, folder, run)
        for name in ended:
            output.tell(output.DONE, f"ended {name}")
        if alive or ended or (run and run.result is None):
            output.tell(output.DONE, f"{task.name} stopped", hint=f"git parallel run {task.name}")
        else:
            output.tell(output.NOTHING, f"{task.name} was not running")
