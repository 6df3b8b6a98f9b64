"""`git parallel adopt`: make a worktree of somebody else's a task."""

from pathlib import Path

import click

from git_parallel import output
from git_parallel.adoption import adopt
from git_parallel.commands import render
from git_parallel.commands.start import install_hooks
from git_parallel.overview import look
from git_parallel.repository import find_repository
from git_parallel.wording import pasted


@click.command("adopt")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--name", metavar="TASK", help="The task's name, instead of its branch's or folder's."
)
@click.option("--target", metavar="BRANCH", help="The branch that it will be merged into.")
@click.option("--json", "as_json", is_flag=True, help="Print the task as JSON.")
def command(path: Path, name: str | None, target: str | None, *, as_json: bool) -> None:
    """Make a worktree a task that an agent, an editor or plain git made: it stays where it is, on
    its branch, and can be run, reviewed, merged and removed like any other.
    """
    repository = find_repository(Path.cwd())
    adopted = adopt(repository, path, name=name, target=target)
    task = adopted.task
    repository.remember_place()
    install_hooks(repository, repository.settings())
    repository.store.remember_target(task.target, adopted.target_tip)
    output.tell(
        output.DONE,
        f"{task.name} adopted on {task.branch}, to be merged into {task.target}",
        hint=f"git parallel show {task.name}",
    )
    if adopted.worktree.locked is not None:
        reason = f": {adopted.worktree.locked}" if adopted.worktree.locked else ""
        output.tell(
            output.WARNING,
            f"it is locked{reason}, and stays until it is unlocked",
            hint=f"git worktree unlock {pasted(task.path)}",
        )
    if as_json:
        view = look(repository, [task.name]).tasks[0]
        output.json({"version": 1, **render.task_json(view)})
        return
    output.answer(task.path)
