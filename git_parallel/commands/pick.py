"""`git parallel pick`: keep one attempt of several."""

from pathlib import Path

import click

from git_parallel import output
from git_parallel.commands.remove import remove
from git_parallel.errors import ParallelError
from git_parallel.overview import find_folder
from git_parallel.repository import find_repository


@click.command("pick")
@click.argument("task")
def command(task: str) -> int:
    """Keep one attempt at a task and move the others to the trash, with their branches; `git
    parallel undo` brings each of them back.
    """
    repository = find_repository(Path.cwd())
    _, kept = find_folder(repository, task)
    if kept.attempt_of is None:
        hint = f"git parallel start {task} --attempts 3"
        raise ParallelError(f"`{kept.name}` is not one attempt of several", hint=hint)
    code = 0
    for _, other in repository.store.load_tasks():
        if other.attempt_of == kept.attempt_of and other.name != kept.name:
            try:
                remove(repository, other.name, delete_branch=True)
            except ParallelError as error:
                output.error(error)
                code = error.exit_code
    output.tell(output.DONE, f"{kept.name} is kept", hint=f"git parallel review {kept.name}")
    return code
