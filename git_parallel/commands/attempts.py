"""Several attempts at one task, side by side."""

from git_parallel import output, review
from git_parallel.commands import render
from git_parallel.records import Verdict
from git_parallel.task import Run
from git_parallel.task_view import TaskView
from git_parallel.wording import in_line

TITLES = ("  TASK", "STATUS", "REVIEW", "AGENT", "CHECKS", "CHANGES", "TIME", "COST", "NOTE")


def show(views: list[TaskView]) -> None:
    """Print attempts as a table: how they ended, what they changed, what they took."""
    rows = output.titled(TITLES, [_row(view) for view in views])
    output.answer(output.table(rows, width=output.terminal_width()))
    best = max(views, key=_rank)  # the first of equals
    output.tell(output.HINT, f"git parallel review {best.task.name}")
    output.tell(output.HINT, f"git parallel {'pick' if views[1:] else 'merge'} {best.task.name}")


def _rank(view: TaskView) -> tuple[bool, bool, bool]:
    """How likely it is the one to take: what the person says counts first."""
    verdict, done = view.folder.verdict(view.tip), render.glyph_of(view.status) == output.DONE
    return verdict is not Verdict.REJECTED, verdict is Verdict.ACCEPTED, done


def _row(view: TaskView) -> list[str]:
    run = view.run
    return [
        f"{render.glyph_of(view.status)} {view.task.name}",
        str(view.status),
        review.standing(view),
        run.agent or run.command[0] if run else "",
        _checks(run),
        render.changes_of(view),
        render.took_of(run),
        render.cost_of(run),
        output.printable(in_line(render.reason_of(view))),
    ]


def _checks(run: Run | None) -> str:
    checks = run.checks if run else ()
    passed = sum(check.exit_code == 0 for check in checks)
    return f"{passed} of {len(checks)} passed" if checks else ""
