"""Commit what a run's command left uncommitted."""

from collections.abc import Mapping
from typing import IO

from git_parallel import brief
from git_parallel.errors import ParallelError
from git_parallel.git import QUIET_HOOKS
from git_parallel.repository import Repository
from git_parallel.supervisor import Supervisor
from git_parallel.task import Run, Task
from git_parallel.worktree import Worktree


def collect(
    repository: Repository,
    worktree: Worktree,
    task: Task,
    run: Run,
    *,
    supervisor: Supervisor,
    environment: Mapping[str, str],
    output: IO[bytes],
) -> str | None:
    """Commit what is left; returns the commit, or None where nothing was. Raises ParallelError
    where that can't be done.
    """
    if operations := worktree.operations:
        raise ParallelError(f"it left {operations[0]} unfinished")
    if worktree.branch != f"refs/heads/{task.branch}":
        raise ParallelError(f"it left its branch {task.branch}")
    git = repository.git_in(worktree.path)
    status = ("--no-optional-locks", "status", "--porcelain=v2", "-z", "-uall", "--no-renames")
    entries = git.fields(*status)
    # A submodule at another commit is work, too, where .gitmodules has `git status` ignore it.
    entries += [] if entries else git.fields(*status, "--ignore-submodules=dirty")
    nested = [e[2:] for e in entries if e.startswith("? ") and e.endswith("/")]
    if len(entries) == len(nested):
        return None
    aside = [f":(exclude,top,literal){path.rstrip('/')}" for path in nested]
    git.run("add", "--all", "--", ".", *aside)
    ended = supervisor.run(
        git.argv("commit", "--quiet", "-m", _message(task, run)),
        folder=worktree.path,
        environment={**environment, **QUIET_HOOKS, "GIT_EDITOR": "false"},
        output=output,
    )
    if ended.code:
        raise ParallelError(
            f"its work is not committed: git commit ended with exit code {ended.code}",
            hint=f"git parallel log {task.name}",
        )
    return git.text("rev-parse", "HEAD")


def _message(task: Task, run: Run) -> str:
    subject = brief.first_line(task.prompt) or f"{task.name}: work of the command"
    body = f"Left uncommitted by run {run.number}, committed by git parallel."
    return f"{subject}\n\n{body}\n\nParallel-Task: {task.name}\n"
