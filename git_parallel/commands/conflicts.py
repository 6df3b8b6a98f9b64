"""`git parallel conflicts`: which tasks would collide, with each other and with their targets."""

import itertools
from pathlib import Path
from typing import Any

import click

from git_parallel import output
from git_parallel.forecast import trials
from git_parallel.overview import TaskView, look
from git_parallel.repository import Repository, find_repository
from git_parallel.task import Status


@click.command("conflicts")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, as_json: bool) -> None:
    """Merge every pair of tasks, and every task with its target, on trial."""
    repository = find_repository(Path.cwd())
    found = _collisions(repository)
    if as_json:
        output.json({"version": 1, "conflicts": found})
        return
    if not found:
        output.tell(output.NOTHING, "no conflicts among the tasks and their targets")
    for conflict in found:
        names = [*conflict["tasks"], *([conflict["target"]] if "target" in conflict else [])]
        paths = conflict["paths"]
        words = "not known" if paths is None else ", ".join(paths)
        output.answer(f"{output.ERROR} {' and '.join(names)}: {output.printable(words)}")


def _collisions(repository: Repository) -> list[dict[str, Any]]:
    views = look(repository, files=False).tasks
    live = [v for v in views if v.tip and v.tip != v.task.base and v.status is not Status.MERGED]
    found = [_with_target(view) for view in live if view.facts and view.facts.conflicts != ()]
    pairs = list(itertools.combinations(live, 2))
    merges = trials(repository.git, repository.common, [_tips(pair) for pair in pairs])
    for pair in pairs:
        merge = merges[_tips(pair)]
        if not merge.clean:
            names = [view.task.name for view in pair]
            paths = None if merge.unknown else list(merge.conflicts)
            found.append({"tasks": names, "paths": paths})
    return found


def _tips(pair: tuple[TaskView, TaskView]) -> tuple[str, str]:
    return pair[0].tip or "", pair[1].tip or ""


def _with_target(view: TaskView) -> dict[str, Any]:
    known = view.facts.conflicts if view.facts else None
    paths = None if known is None else list(known)
    return {"tasks": [view.task.name], "target": view.task.target, "paths": paths}
