"""`git parallel exec`: a command in the worktrees of tasks."""

import os
from pathlib import Path

import click

from git_parallel import output, process, variables
from git_parallel.commands.env import own_variables
from git_parallel.errors import UsageError
from git_parallel.overview import find_folder
from git_parallel.repository import find_repository


@click.command("exec")
@click.argument("tasks", nargs=-1)
@click.option("--all", "everywhere", is_flag=True, help="In the worktree of every task.")
@click.pass_obj
def command(words: tuple[str, ...] | None, tasks: tuple[str, ...], *, everywhere: bool) -> int:
    """Run a command in the worktrees of tasks, one after the other, in their environment.

    Exits as the first command that fails.
    """
    if not words:
        raise UsageError("name a command after `--`", hint="git parallel exec --all -- make test")
    if bool(tasks) == everywhere:
        raise UsageError("name tasks, or use --all", hint="git parallel exec --all -- make test")
    repository = find_repository(Path.cwd())
    found = repository.store.load_tasks()
    if tasks:
        found = [find_folder(repository, name) for name in tasks]
    code = 0
    for folder, task in found:
        worktree = repository.worktree_of(folder.slug)
        if worktree is None or not worktree.path.is_dir():
            output.tell(output.WARNING, f"{task.name} has no worktree")
            code = code or 1
            continue
        if len(found) > 1:
            output.narrate(f"── {task.name}")
        real = worktree.path.resolve()
        own = {**own_variables(repository, task, real), "GIT_PARALLEL_BRIEF": str(folder.brief)}
        told = variables.around(os.environ, real, own)
        ended = process.foreground(words, folder=real, environment=told)
        if ended.words:
            output.tell(output.ERROR, ended.words)
        code = code or (ended.code if ended.code >= 0 else 128 - ended.code)
    return code
