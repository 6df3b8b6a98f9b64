"""`git parallel path`: where a task's worktree is."""

from pathlib import Path

import click

from git_parallel import output
from git_parallel.errors import ParallelError
from git_parallel.overview import find_folder
from git_parallel.repository import find_repository


@click.command("path")
@click.argument("task")
def command(task: str) -> None:
    """Print where a task's worktree is, for `cd "$(git parallel path x)"`."""
    repository = find_repository(Path.cwd())
    folder, record = find_folder(repository, task)
    worktree = repository.worktree_of(folder.slug)
    if worktree is None or not worktree.path.is_dir():
        raise ParallelError(
            f"the worktree of `{record.name}` is gone: {record.path}",
            hint=f"git parallel show {record.name}",
        )
    output.answer(str(worktree.path))
