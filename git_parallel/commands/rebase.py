"""`git parallel rebase`: put a task's commits onto its target as that is now."""

from pathlib import Path

import click

from git_parallel import output, replay, stack
from git_parallel.overview import find_folder
from git_parallel.repository import Repository, find_repository
from git_parallel.stack import Moved


@click.command("rebase")
@click.argument("task")
def command(task: str) -> int:
    """Put a task's own commits onto its target, in the task's worktree.

    At a conflict it stops and leaves the rebase there for you to go on with.
    """
    repository = find_repository(Path.cwd())
    _, record = find_folder(repository, task)
    with replay.at_rest(repository, record.name) as view:
        assert view.target and view.worktree  # it is at rest
        onto = view.target.tip
        base = replay.own_base(repository, view, onto)
        done = replay.replay(repository, view, onto=onto, base=base)
    target = view.task.target
    if not done.moved:
        output.tell(output.NOTHING, f"{record.name} is on top of {target} already")
        return 0
    moved = stack.restack(repository, record.branch, done)
    old, new = repository.short(done.old), repository.short(done.new)
    back = f'git -C "$(git parallel path {record.name})" reset --keep {old}'
    output.tell(output.DONE, f"{record.name} rebased onto {target} ({new})", hint=back)
    for one in moved:
        _tell_restacked(repository, one)
    return 0


def _tell_restacked(repository: Repository, moved: Moved) -> None:
    """Say what became of a task that stands on the one that was rebased."""
    done = moved.replayed
    if done is None:
        words = output.printable(f"{moved.name} stands on it, and was not rebased: {moved.reason}")
        output.tell(output.WARNING, words, hint=f"git parallel rebase {moved.name}")
    elif done.moved:
        how = f"onto {moved.target}, too ({repository.short(done.new)})"
        output.tell(output.DONE, f"{moved.name} stands on it, and was rebased {how}")
