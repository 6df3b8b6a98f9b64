"""`git parallel undo`: bring a task back from the trash."""

import time
from pathlib import Path

import click

from git_parallel import journal, output, trash
from git_parallel.cleanup import remember_targets
from git_parallel.errors import UsageError
from git_parallel.overview import look
from git_parallel.repository import find_repository


@click.command("undo")
@click.argument("task", required=False)
@click.option("--list", "listing", is_flag=True, help="Show what is in the trash.")
def command(task: str | None, *, listing: bool) -> None:
    """Bring a removed or cleaned up task back as it was: the last one, the last one of that name,
    or the one with that id.
    """
    if listing and task:
        raise UsageError("--list takes no task")
    repository = find_repository(Path.cwd())
    if listing:
        rows = [["ID", "TASK", "AGE", "WHY"]]
        for entry in journal.entries(repository):
            ago = output.duration(time.time() - entry.journal.moved)
            rows.append([entry.journal.id, entry.journal.name, ago, entry.journal.why])
        if len(rows) > 1:
            output.answer(output.table(rows, width=output.terminal_width()))
        else:
            output.tell(output.NOTHING, "the trash is empty")
        return
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
