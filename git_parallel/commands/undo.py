"""`git parallel undo`: bring a task back from the trash."""

import time
from pathlib import Path

import click

from git_parallel import emptying, journal, output, trash, unmerge
from git_parallel.cleanup import remember_targets
from git_parallel.commands import render
from git_parallel.errors import UsageError
from git_parallel.overview import look
from git_parallel.repository import Repository, find_repository


@click.command("undo")
@click.argument("task", required=False)
@click.option("--list", "listing", is_flag=True, help="Show what is in the trash.")
@click.option("--merge", is_flag=True, help="Take back its merge, and bring it back.")
def command(task: str | None, *, listing: bool, merge: bool) -> None:
    """Bring a removed or cleaned up task back as it was: the last one, the last one of that name,
    or the one with that id.
    """
    if listing and (task or merge):
        raise UsageError("--list takes no task")
    if merge and not task:
        raise UsageError("--merge takes a task", hint="git parallel undo --list")
    repository = find_repository(Path.cwd())
    if listing:
        _list(repository)
    elif merge:
        _take_back(repository, task or "")
    else:
        _bring_back(repository, task)


def _list(repository: Repository) -> None:
    found, rules = emptying.held(repository), repository.configuration().config.cleanup
    rows = [["ID", "TASK", "AGE", "SIZE", "GOES IN", "WHY"]]
    for entry in journal.entries(repository):
        name, now = entry.journal.id, time.time()
        size = output.size(found.sizes[name]) if name in found.sizes else "?"
        left = output.duration(emptying.due(entry, found, rules) - now)
        ago = output.duration(now - entry.journal.moved)
        rows.append([name, entry.journal.name, ago, size, left, entry.journal.why])
    if len(rows) > 1:
        output.answer(output.table(rows, width=output.terminal_width()))
        emptying.start(repository, rules)
    else:
        output.tell(output.NOTHING, "the trash is empty")
    for error in journal.damaged(repository):
        output.tell(output.WARNING, error.message)


def _take_back(repository: Repository, name: str) -> None:
    done = unmerge.take_back(repository, name, waiting=render.tell_busy)
    remember_targets(repository, look(repository, files=False).tasks)
    render.tell_undone(repository, done)
    if done.path:
        output.answer(str(done.path))


def _bring_back(repository: Repository, task: str | None) -> None:
    trash.find(repository, task)
    with repository.store.locked():
        trash.recover(repository)
        entry = trash.find(repository, task)
        path = trash.bring_back(entry)
    name = entry.journal.name
    views = look(repository, files=False).tasks
    for view in views:
        if view.task.slug == entry.journal.slug and view.evidence and view.tip:
            view.folder.write_restored(view.tip)  # else the next sweep would take it again
    remember_targets(repository, views)
    output.tell(output.DONE, f"{name} is back", hint=f"git parallel show {name}")
    if path:
        output.answer(str(path))
