"""`git parallel env`: the variables of a task, for this shell."""

from pathlib import Path

import click

from git_parallel import output, variables
from git_parallel.errors import ParallelError
from git_parallel.overview import find_folder
from git_parallel.repository import Repository, find_repository
from git_parallel.task import Task
from git_parallel.trust import Trust
from git_parallel.worktree import find_worktree


@click.command("env")
@click.argument("task", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(task: str | None, *, as_json: bool) -> None:
    """Print the variables of a task, or of the current one: its slot, its ports, its names.

    eval "$(git parallel env TASK)" sets them in bash, zsh and fish.
    """
    repository = find_repository(Path.cwd())
    folder, record = find_folder(repository, task or _here(repository))
    worktree = repository.worktree_of(folder.slug)
    if worktree is None or not worktree.path.is_dir():
        raise ParallelError(f"the worktree of `{record.name}` is gone: {record.path}")
    place = worktree.path.resolve()
    own = own_variables(repository, record, place)
    if as_json:
        output.json({"version": 1, "variables": own})
        return
    own |= variables.of_virtual_environment(place)
    output.answer(variables.exports(own.items()).rstrip("\n"))


def _here(repository: Repository) -> str:
    worktree = find_worktree(repository.git_dir)
    if worktree is None or worktree.slug is None:
        raise ParallelError("this is not the worktree of a task", hint="git parallel env TASK")
    return worktree.slug


def own_variables(repository: Repository, task: Task, place: Path) -> dict[str, str]:
    """What programs are told that work on a task in its worktree."""
    loaded = repository.configuration()
    approvals = Trust(repository.store.state).approvals(loaded)
    return variables.of_worktree(repository, place, task, loaded, approvals)
