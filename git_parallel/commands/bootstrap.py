"""`git parallel bootstrap`: make a worktree usable, or bring it up to date."""

from pathlib import Path

import click

from git_parallel.commands.hook import bootstrap_here, tell_record
from git_parallel.commands.start import ask_for_trust
from git_parallel.errors import ParallelError, UnsafeError
from git_parallel.overview import find_folder
from git_parallel.process import Stopped
from git_parallel.repository import Repository, find_repository
from git_parallel.worktree import Worktree, find_worktree


@click.command("bootstrap")
@click.argument("task", required=False)
def command(task: str | None) -> int:
    """Copy the files, run the package managers and the project's steps that a worktree needs: a
    task's, or the current one. What is up to date is not done again.
    """
    repository = find_repository(Path.cwd())
    worktree = _subject(repository, task)
    loaded = repository.configuration()
    ask_for_trust(repository, loaded)
    try:
        record = bootstrap_here(repository, worktree, loaded)
    except Stopped as error:
        raise KeyboardInterrupt from error
    tell_record(record, worktree.path)
    return 1 if record.trouble else 0


def _subject(repository: Repository, task: str | None) -> Worktree:
    if task is None:
        worktree = find_worktree(repository.git_dir)
        if worktree is None:
            raise ParallelError(
                "this is the main worktree: the others are made after it",
                hint="git parallel bootstrap TASK",
            )
        return worktree
    folder, record = find_folder(repository, task)
    found = repository.worktree_of(folder.slug)
    if found is None:
        raise ParallelError(f"the worktree of `{record.name}` is gone: {record.path}")
    if folder.alive:
        raise UnsafeError(f"`{record.name}` is being worked on", hint=f"git parallel log -f {task}")
    return found
