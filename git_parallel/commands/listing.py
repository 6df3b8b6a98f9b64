"""What `git parallel list` does. Bars and scripts call it often, so it does without click."""

import contextlib
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from git_parallel import early, environment, output
from git_parallel.commands import render
from git_parallel.errors import ParallelError
from git_parallel.overview import Damaged, Overview, look
from git_parallel.repository import Repository, find_repository
from git_parallel.task import Status
from git_parallel.task_view import TaskView
from git_parallel.wording import in_line, pasted
from git_parallel.worktree import Worktree

if TYPE_CHECKING:
    from git_parallel.journal import Entry

OPTIONS = frozenset({"--all", "--json"})


def main(options: Sequence[str]) -> int:
    """Show the tasks as these options say."""
    return output.guarded(lambda: show(everything="--all" in options, as_json="--json" in options))


def show(*, everything: bool, as_json: bool) -> int:
    """Show every task; with `everything`, also what is in the trash."""
    repository = find_repository(Path.cwd())
    render.tell_settled(repository)
    _tell_interrupted(repository)
    _recover(repository)
    overview = _swept(repository, look(repository))
    foreign = [worktree for worktree in overview.foreign if not worktree.is_scratch]
    entries = _entries(repository) if everything else []
    if as_json:
        output.json(_json(repository, overview, foreign, entries))
        return 0
    if overview.tasks or overview.damaged or foreign or entries:
        _show(overview, foreign, entries)
    if not overview.tasks and not overview.damaged:
        output.tell(output.NOTHING, "no tasks here", hint='git parallel start fix-login -m "…"')
    return 0


def _tell_interrupted(repository: Repository) -> None:
    """Say that a merge, or its way back, was killed, and what goes on from there."""
    if not repository.store.retreat.exists():
        return
    from git_parallel import retreat

    with contextlib.suppress(ParallelError):  # `doctor` says what is wrong with it
        if found := retreat.interrupted(repository):
            hint = retreat.way_out(repository, found)
            output.tell(output.WARNING, output.printable(found.told), hint=hint)


def _recover(repository: Repository) -> None:
    """Have no task missing from the table because its way into the trash was cut off."""
    from git_parallel import journal

    with contextlib.suppress(ParallelError):  # a damaged journal hides no other task
        if journal.unfinished(repository):
            from git_parallel import cleanup

            render.tell_swept(repository, cleanup.Swept(recovered=cleanup.recover(repository)))
            early.discard()


def _swept(repository: Repository, overview: Overview) -> Overview:
    """The overview without what could be cleaned up."""
    if not any(view.status is Status.MERGED for view in overview.tasks):
        return overview
    from git_parallel import cleanup

    swept = cleanup.sweep(repository, overview=overview)
    render.tell_swept(repository, swept)
    gone = {cleaned.name for cleaned in swept.cleaned}
    why = {kept.name: kept.reason for kept in swept.kept}
    left = [
        structs.replace(view, reason=f"stays: {why[view.task.name]}")
        if view.status is Status.MERGED and view.task.name in why
        else view
        for view in overview.tasks
        if view.task.name not in gone
    ]
    return Overview(repository, left, overview.foreign, overview.damaged)


def _entries(repository: Repository) -> "list[Entry]":
    from git_parallel.journal import entries

    return entries(repository)


def _show(overview: Overview, foreign: list[Worktree], entries: "list[Entry]") -> None:
    rows = [_row(view) for view in overview.tasks]
    rows += [_damaged_row(damaged) for damaged in overview.damaged]
    rows += [_foreign_row(worktree) for worktree in foreign]
    rows += [_trash_row(entry) for entry in entries]
    head = ["  TASK", "STATUS", "TARGET", "COMMITS", "CHANGES", "AGE", "NOTE"]
    output.answer(output.table(output.titled(head, rows), width=output.terminal_width()))
    for line in _going(overview.repository):
        mark = output.paint(output.WARNING, output.WARNING, sys.stdout)
        output.answer(f"{mark} {line}")
    for view in overview.tasks:
        if waiting := _inbox_line(view):
            mark = output.paint(output.WARNING, output.WARNING, sys.stdout)
            output.answer(f"{mark} {waiting}")


def _going(repository: Repository) -> list[str]:
    """What leaves the trash before long, with the command that keeps it."""
    if not repository.store.trash.is_dir():
        return []
    from git_parallel import emptying

    return [
        f"{entry.journal.name} leaves the trash in {output.duration(left)}"
        f" {output.HINT} git parallel undo {entry.journal.id}"
        for entry, left in emptying.going_soon(repository)
    ]


def _inbox_line(view: TaskView) -> str:
    """What waits for the person, with the command that goes on from there; nothing, if nothing."""
    name = view.task.name
    if view.broken:
        return f"{name} is not whole {output.HINT} git parallel doctor --fix"
    if view.notice:
        ago = output.duration(time.time() - view.notice.time)
        return f"{name} is {view.notice.status}, {ago} ago {output.HINT} {render.next_step(view)}"
    if view.trouble and view.run is None and not view.alive:
        step = view.environment.trouble if view.environment else None
        again = environment.way_out(step, f"git parallel bootstrap {name}") if step else ""
        return (
            f"{name} is not ready to work in {output.HINT} {again or f'git parallel show {name}'}"
        )
    return ""


def _row(view: TaskView) -> list[str]:
    glyph = render.glyph_of(view.status)
    return [
        f"{output.paint(glyph, glyph, sys.stdout)} {view.task.name}",
        output.paint(str(view.status), glyph, sys.stdout),
        view.task.target,
        render.commits_of(view),
        render.changes_of(view),
        output.age(view.task.created),
        output.printable(_note(view)),
    ]


def _note(view: TaskView) -> str:
    notes = [render.reason_of(view)]
    if view.facts and view.facts.conflicts:
        notes.append(f"conflicts with {view.task.target}")
    return in_line("; ".join(note for note in notes if note))


def _damaged_row(damaged: Damaged) -> list[str]:
    glyph = output.ERROR
    name = f"{output.paint(glyph, glyph, sys.stdout)} {damaged.name}"
    status = output.paint("damaged", glyph, sys.stdout)
    return [name, status, "", "", "", "", output.printable(damaged.reason)]


def _foreign_row(worktree: Worktree) -> list[str]:
    branch = (worktree.branch or "detached").removeprefix("refs/heads/")
    note = f"{branch} in {_near(worktree.path)}{_trouble(worktree)}{_adoption(worktree)}"
    return [f"{output.NOTHING} {worktree.path.name}", "not ours", "", "", "", "", note]


def _trouble(worktree: Worktree) -> str:
    if not worktree.path.is_dir():
        away = "" if worktree.locked is not None else f" {output.HINT} git worktree prune"
        return f", its folder is gone{away}"
    try:
        record = environment.record_of(worktree)
    except ParallelError as error:
        return f", {error}"
    if record is None or record.trouble is None:
        return ""
    return f", not ready: {record.trouble.reason} {output.HINT} less {pasted(record.log)}"


def _adoption(worktree: Worktree) -> str:
    """How it becomes a task, where it can."""
    if worktree.branch is None or not worktree.intact:
        return ""
    return f" {output.HINT} git parallel adopt {shlex.quote(_near(worktree.path))}"


def _near(path: Path) -> str:
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)


def _trash_row(entry: "Entry") -> list[str]:
    journal = entry.journal
    note = f"{journal.why} {output.HINT} git parallel undo {journal.id}"
    ago = output.duration(time.time() - journal.moved)
    return [f"{output.NOTHING} {journal.name}", "in the trash", "", "", "", ago, note]


def _json(
    repository: Repository,
    overview: Overview,
    foreign: list[Worktree],
    entries: "list[Entry]",
) -> dict[str, Any]:
    tasks = overview.tasks
    answer: dict[str, Any] = {
        "version": 1,
        "repository": str(repository.main or repository.common),
        "target": _target(repository, tasks),
        "tasks": [render.task_json(view) for view in tasks],
    }
    if overview.damaged:
        answer["damaged"] = [{"name": d.name, "reason": d.reason} for d in overview.damaged]
    if foreign:
        answer["worktrees"] = [
            {"path": str(w.path), "branch": (w.branch or "").removeprefix("refs/heads/") or None}
            for w in foreign
        ]
    if entries:
        answer["trash"] = [
            {"id": e.journal.id, "name": e.journal.name, "reason": e.journal.why} for e in entries
        ]
    return answer


def _target(repository: Repository, tasks: list[TaskView]) -> str | None:
    """The target that most tasks have; without tasks, the branch that is checked out."""
    targets = [view.task.target for view in tasks]
    return max(targets, key=targets.count) if targets else repository.current_branch
