"""`git parallel rebase`: put a task's commits onto its target as that is now."""

from pathlib import Path

import click

from git_parallel import output, replay
from git_parallel.overview import find_folder
from git_parallel.repository import find_repository


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
    old, new = repository.short(done.old), repository.short(done.new)
    back = f'git -C "$(git parallel path {record.name})" reset --keep {old}'
    output.tell(output.DONE, f"{record.name} rebased onto {target} ({new})", hint=back)
    return 0
