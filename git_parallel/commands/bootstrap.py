"""`git parallel bootstrap`: make a worktree usable, or bring it up to date."""

from pathlib import Path

import click

from git_parallel.commands.narration import bootstrap_here, tell_done
from git_parallel.commands.start import ask_for_trust
from git_parallel.errors import ParallelError, UnsafeError
from git_parallel.overview import find_folder
from git_parallel.repository import Repository, find_repository
from git_parallel.supervisor import Stopped
from git_parallel.worktree import Worktree, find_worktree


@click.command("bootstrap")
@click.argument("task", required=False, metavar="[TASK|PATH]")
def command(task: str | None) -> int:
    """Bring the files, the packages and all else that a worktree needs: a task's, the one at a
    path, or the current one. What is up to date is not done again.
    """
    repository, worktree = _subject(task)
    ask_for_trust(repository, repository.configuration())
    try:
        done = bootstrap_here(repository, worktree)
    except Stopped as error:
        raise KeyboardInterrupt from error
    tell_done(done, worktree)
    return 1 if done.record.trouble else 0


def _subject(named: str | None) -> tuple[Repository, Worktree]:
    repository = find_repository(Path.cwd())
    if named is None:
        return repository, _worktree_at(repository)
    try:
        folder, record = find_folder(repository, named)
    except ParallelError:
        if not Path(named).is_dir():
            raise
        there = find_repository(Path(named))
        return there, _worktree_at(there)
    found = repository.worktree_of(folder.slug)
    if found is None:
        raise ParallelError(f"the worktree of `{record.name}` is gone: {record.path}")
    if folder.alive:
        raise UnsafeError(
            f"`{record.name}` is being worked on", hint=f"git parallel log -f {named}"
        )
    return repository, found


def _worktree_at(repository: Repository) -> Worktree:
    worktree = find_worktree(repository.git_dir)
    if worktree is None:
        raise ParallelError(
            "this is the main worktree: the others are made after it",
            hint="git parallel bootstrap TASK",
        )
    return worktree
