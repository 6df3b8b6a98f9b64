"""`git parallel wait`: until the runs have ended."""

import time
from pathlib import Path

import click

from git_parallel import output
from git_parallel.commands import render
from git_parallel.commands.start import came_out_well
from git_parallel.errors import ParallelError
from git_parallel.overview import find_folder, look
from git_parallel.repository import find_repository
from git_parallel.task import Status
from git_parallel.task_folder import TaskFolder
from git_parallel.wording import in_line

POLL_S = 0.05


@click.command("wait")
@click.argument("tasks", nargs=-1)
@click.option("--any", "first", is_flag=True, help="Until one of them has ended.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="S", help="For so many seconds.")
def command(tasks: tuple[str, ...], timeout: float | None, *, first: bool) -> int:
    """Wait for the runs of these tasks (of all, if none is named) to end.

    Exits 0 only if every awaited task is ready or merged.
    """
    repository = find_repository(Path.cwd())
    pairs = [(f, t) for f, t in repository.store.load_tasks() if f.alive]
    if tasks:
        pairs = [find_folder(repository, task) for task in tasks]
    folders = {str(task.name): folder for folder, task in pairs}
    limit = None if timeout is None else time.monotonic() + timeout
    ended = _wait(folders, limit, first=first)
    if ended is None:
        alive = ", ".join(name for name, folder in folders.items() if folder.alive)
        raise ParallelError(f"still not ended: {alive}", hint=f"git parallel wait {alive}")
    views = look(repository, [n for n in ended if folders[n].record.exists()]).tasks
    for view in views:
        render.tell_status(view)
    return 0 if all(came_out_well(view) for view in views) else 1


def _wait(folders: dict[str, TaskFolder], limit: float | None, *, first: bool) -> list[str] | None:
    """The names of the tasks that ended, or None where the time is over."""
    told: set[tuple[str, float]] = set()
    while True:
        _tell_of_questions(folders, told)
        ended = [name for name, folder in folders.items() if not folder.alive]
        if len(ended) == len(folders) or (first and ended):
            return ended
        if limit is not None and time.monotonic() >= limit:
            return None
        time.sleep(POLL_S)


def _tell_of_questions(folders: dict[str, TaskFolder], told: set[tuple[str, float]]) -> None:
    """Say, once, which of the tasks waits for a person: it does not end by itself."""
    for name, folder in folders.items():
        notice = folder.notice if folder.alive else None
        if notice and notice.status == Status.WAITING and (name, notice.time) not in told:
            told.add((name, notice.time))
            words = output.printable(f"{name} is waiting: {in_line(notice.reason)}")
            output.tell(output.WARNING, words, hint=f"git parallel attach {name}")
