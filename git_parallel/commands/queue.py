"""What is ready for review, in the order to take it: a table where it fits, else two lines each."""

from collections.abc import Sequence
from typing import Any

from git_parallel import output, review
from git_parallel.brief import first_line
from git_parallel.commands import render
from git_parallel.overview import look
from git_parallel.proposal import propose
from git_parallel.repository import Repository
from git_parallel.task import Status
from git_parallel.task_view import TaskView
from git_parallel.wording import in_line

TITLES = ("  TASK", "REVIEW", "CHANGES", "CHECKS", "MERGES", "BREACHES", "TIME", "COST", "PROMPT")
NAMED = ("CHECKS", "MERGES", "BREACHES")  # whose cells need their title, where there is no table
PROMPT_WIDTH = 24
MOST_PATHS = 2


def show(repository: Repository, *, as_json: bool) -> int:
    """Print the tasks that are ready."""
    views, config = look(repository).tasks, repository.configuration().config
    order = propose(repository, config.merge.strategy, views).plan.order
    ready = review.ready(views, order)
    has_checks = bool(config.checks.run)
    _tell_unknown(views)
    if as_json:
        tasks = [_json(view, has_checks=has_checks) for view in ready]
        output.json({"version": 1, "tasks": tasks})
        return 0
    if not ready:
        output.tell(output.NOTHING, "nothing is ready for review", hint="git parallel list")
        return 0
    rows = output.titled(TITLES, [_row(view, has_checks=has_checks) for view in ready])
    width = output.terminal_width()
    if width is None or output.table_width([row[:-1] for row in rows]) + PROMPT_WIDTH <= width:
        output.answer(output.table(rows, width=width))
    else:
        for row in rows[1:]:
            output.answer(output.table([[row[0], row[-1]]], width=width))
            output.answer(f"    {_stacked(row)}")
    return 0


def _tell_unknown(views: Sequence[TaskView]) -> None:
    for view in views:
        if view.status is Status.READY and (why := review.unknown(view)):
            words = output.printable(f"{view.task.name} can't be reviewed: {in_line(why)}")
            output.tell(output.WARNING, words, hint=review.explanation(view))


def _stacked(row: Sequence[str]) -> str:
    cells = zip(TITLES[1:-1], row[1:-1], strict=True)
    return ", ".join(f"{t.lower()} {c}" if t in NAMED else c for t, c in cells if c)


def _row(view: TaskView, *, has_checks: bool) -> list[str]:
    return [
        f"{render.glyph_of(view.status)} {view.task.name}",
        review.standing(view),
        render.changes_of(view),
        render.checks_of(view, expected=has_checks),
        render.merges_of(view, most=MOST_PATHS),
        render.some(view.breaches, MOST_PATHS),
        render.took_of(view.run),
        render.cost_of(view.run),
        output.printable(first_line(view.task.prompt)),
    ]


def _json(view: TaskView, *, has_checks: bool) -> dict[str, Any]:
    answer = render.task_json(view)
    if view.task.prompt:
        answer["prompt"] = first_line(view.task.prompt)
    answer["checks"] = render.checks_of(view, expected=has_checks) or "none"
    if (seconds := render.seconds_of(view.run)) is not None:
        answer["seconds"] = round(seconds, 3)
    return answer
