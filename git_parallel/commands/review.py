"""`git parallel review`: what a task changed, what its checks said, whether it merges."""

from pathlib import Path
from typing import Any

import click

from git_parallel import cleanup, output
from git_parallel.brief import first_line
from git_parallel.commands import attempts, render
from git_parallel.errors import ParallelError
from git_parallel.overview import TaskView, look
from git_parallel.process import foreground
from git_parallel.repository import Repository, find_repository
from git_parallel.task import Status


@click.command("review")
@click.argument("task", required=False)
@click.option("--stat", is_flag=True, help="Without the diff.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(task: str | None, *, stat: bool, as_json: bool) -> int:
    """See what a task changed: its commits, its files, its checks, its diff; and whether it merges
    cleanly into its target. Of several attempts: how they compare. Without a name: what is ready
    for review.
    """
    repository = find_repository(Path.cwd())
    render.tell_swept(repository, cleanup.sweep(repository))
    if task is None:
        return _queue(repository, as_json=as_json)
    if found := _attempts(repository, task):
        if as_json:
            output.json({"version": 1, "tasks": [render.task_json(view) for view in found]})
        else:
            attempts.show(found)
        return 0
    view = look(repository, [task]).tasks[0]
    if view.tip is None or view.facts is None or view.facts.fork is None:
        raise ParallelError(f"`{view.task.name}` can't be compared: {view.trouble or 'no target'}")
    span = (view.facts.fork, view.tip)
    if as_json:
        output.json(_json(repository, view, span))
        return 0
    output.answer(output.printable("\n".join(_summary(repository, view, span))))
    view.folder.seen()
    if view.facts.files:
        _diff(repository, span, stat=stat)
    return 0


def _attempts(repository: Repository, name: str) -> list[TaskView]:
    """The attempts at a task; none where the name is a task's own."""
    known = [task for _, task in repository.store.load_tasks()]
    names = [str(task.name) for task in known if task.attempt_of == name]
    if not names or any(task.name == name for task in known):
        return []
    return look(repository, names).tasks


def _queue(repository: Repository, *, as_json: bool) -> int:
    ready = [view for view in look(repository).tasks if view.status is Status.READY]
    if as_json:
        output.json({"version": 1, "tasks": [render.task_json(view) for view in ready]})
        return 0
    if not ready:
        output.tell(output.NOTHING, "nothing is ready for review", hint="git parallel list")
        return 0
    rows = [["  TASK", "CHANGES", "MERGES", "PROMPT"]]
    for view in ready:
        name = f"{output.DONE} {view.task.name}"
        prompt = output.printable(first_line(view.task.prompt))
        rows.append([name, render.changes_of(view), _merges(view), prompt])
    output.answer(output.table(rows, width=output.terminal_width()))
    return 0


def _merges(view: TaskView) -> str:
    if view.evidence:
        return f"already in {view.task.target}"
    if view.facts is None or view.facts.conflicts is None:
        return "not known"
    if not view.facts.conflicts:
        return f"cleanly into {view.task.target}"
    return f"conflicts with {view.task.target}: {', '.join(view.facts.conflicts[:5])}"


def _summary(repository: Repository, view: TaskView, span: tuple[str, str]) -> list[str]:
    task, run = view.task, view.run
    reason = render.reason_of(view)
    rows = [
        ["task", task.name],
        ["status", str(view.status) + (f": {reason}" if reason else "")],
        ["prompt", first_line(task.prompt)],
        ["changes", render.changes_of(view)],
        ["merges", _merges(view)],
        ["breaches", ", ".join(view.breaches)],
    ]
    for check in run.checks if run else ():
        passed = {0: "passed", None: "did not run"}.get(check.exit_code, "failed")
        rows.append(["check", f"{check.command}: {passed} in {check.seconds:g}s"])
    lines = output.table([row for row in rows if row[1]]).splitlines()
    commits = repository.git.lines("log", "--format=%h %s", f"{span[0]}..{span[1]}", "--")
    return [*lines, "", *(f"  {commit}" for commit in commits), ""]


def _diff(repository: Repository, span: tuple[str, str], *, stat: bool) -> None:
    """The diff as git shows it: its colours, its pager, its tools."""
    form = ["--stat"] if stat else ["--stat", "--patch"]
    git = repository.git
    foreground(git.argv("diff", *form, *span), folder=git.folder, environment=git.environment)


def _json(repository: Repository, view: TaskView, span: tuple[str, str]) -> dict[str, Any]:
    form = "--format=%H%x00%s"
    logged = repository.git.lines("log", form, f"{span[0]}..{span[1]}", "--")
    pairs = [line.split("\0") for line in logged]
    commits = [{"commit": pair[0], "subject": pair[1]} for pair in pairs]
    paths = list(view.facts.paths) if view.facts else None
    return {"version": 1, **render.task_json(view), "commits": commits, "paths": paths}
