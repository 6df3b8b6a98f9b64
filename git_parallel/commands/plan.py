"""`git parallel plan`: in which order to merge what is ready, and why."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from git_parallel import output
from git_parallel.commands import matrix, render
from git_parallel.plan import Left, Plan
from git_parallel.proposal import Proposal, propose
from git_parallel.records import Verdict
from git_parallel.repository import find_repository
from git_parallel.task import Status
from git_parallel.task_view import TaskView
from git_parallel.wording import pasted

MOST_NAMES = 6


@click.command("plan")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, as_json: bool) -> int:
    """Propose an order to merge in what is ready: the most tasks that land without a conflict,
    each tried onto the result of those before it.
    """
    repository = find_repository(Path.cwd())
    strategy = repository.configuration().config.merge.strategy
    proposal = propose(repository, strategy)
    if as_json:
        output.json(_json(proposal))
    else:
        _show(proposal)
    return 0


def _json(proposal: Proposal) -> dict[str, Any]:
    plan = proposal.plan
    return {
        "version": 1,
        "groups": [list(group) for group in plan.groups],
        "order": list(plan.order),
        "left": [_left_json(left, proposal.views) for left in plan.left],
    }


def _left_json(left: Left, views: Mapping[str, TaskView]) -> dict[str, Any]:
    trial = left.trial
    told: dict[str, Any] = {"name": left.name, "collides": list(left.collides)}
    told["paths"] = None if trial.unknown else list(trial.conflicts)
    told["kinds"] = list(trial.kinds)
    told |= {"target": left.target} if left.target else {}
    told |= {"waits": list(left.waits)} if left.waits else {}
    reason = left.hindrance or trial.unknown
    told |= {"reason": reason} if reason else {}
    return told | {"steps": _steps(left, views)}


def _show(proposal: Proposal) -> None:
    plan = proposal.plan
    if not plan.order and not plan.left:
        output.tell(output.NOTHING, "nothing is ready to be merged", hint="git parallel list")
        return
    if plan.order:
        _show_order(plan, proposal.views)
    for left in plan.left:
        mark = output.paint(output.WARNING, output.WARNING, sys.stdout)
        told = f"{left.name} is left out: {reason_of(left, proposal.views)}{_until(left)}"
        words = output.printable(told)
        steps = _steps(left, proposal.views)
        output.answer("\n".join([f"{mark} {words}", *(f"  {_hint(step)}" for step in steps)]))
    _show_groups(plan)
    if plan.order:
        output.tell(output.HINT, "git parallel merge --all")


def _show_order(plan: Plan, views: Mapping[str, TaskView]) -> None:
    output.answer(_headline(len(plan.order), len(plan.order) + len(plan.left)))
    rows = []
    for number, name in enumerate(plan.order, start=1):
        view = views[name]
        about = [render.changes_of(view), _after(name, plan, views)]
        words = ", ".join(word for word in about if word)
        rows.append([f"{number:>4}", name, view.task.target, words])
    output.answer(output.table(rows, width=output.terminal_width()))


def _headline(landing: int, ready: int) -> str:
    if ready == 1:
        return "The one ready task lands without a conflict:"
    how_many = f"All {ready}" if landing == ready else f"{landing} of {ready}"
    verb = "lands" if landing == 1 else "land"
    order = "in this order, accepted and small ones first:"
    return f"{how_many} ready tasks {verb} without a conflict {order}"


def _after(name: str, plan: Plan, views: Mapping[str, TaskView]) -> str:
    """Why a task stands behind others, where it is not for its size."""
    task = views[name].task
    before = [n for n in plan.order if views[n].task.slug in task.after]
    before += [n for n in plan.order if views[n].task.branch == task.target]
    return f"after {' and '.join(dict.fromkeys(before))}" if before else ""


def reason_of(left: Left, views: Mapping[str, TaskView]) -> str:
    """Why a ready task is not in the order, in words."""
    if left.hindrance:
        return left.hindrance
    if left.waits:
        told = [f"{name}, which {_what_of(views[name])}" for name in left.waits]
        return f"it comes after {' and '.join(told)}"
    names = left.target or _listed(left.collides) or "the tasks before it"
    if left.trial.unknown:
        return f"git can't merge it after {names}: {left.trial.unknown}"
    return f"it collides with {names} in {matrix.places(left.trial)}"


def _what_of(view: TaskView) -> str:
    """What keeps a task out of the order that another one comes after, behind `which`."""
    if view.folder.verdict(view.tip) is Verdict.REJECTED:
        return "you rejected"
    return "is left out itself" if view.status is Status.READY else f"is {view.status}"


def _until(left: Left) -> str:
    """Before when it is of no use to do something about it."""
    if left.target or not left.collides:
        return ""
    return "; once that has landed:" if len(left.collides) == 1 else "; once these have landed:"


def _steps(left: Left, views: Mapping[str, TaskView]) -> list[str]:
    """What to do about a task that is left out, as commands: one of them will do."""
    if left.hindrance:
        broken = views[left.name].broken
        return ["git parallel doctor" if broken else f"git parallel review {left.name}"]
    if left.waits:
        return [f"git parallel show {name}" for name in left.waits]
    view = views[left.name]
    steps = [f"git parallel rebase {left.name}"]
    if view.run and view.run.agent:
        words = f"Rebase onto {view.task.target} and resolve the conflicts"
        steps.append(f"git parallel run {left.name} -m {pasted(words)}")
    return steps


def _hint(step: str) -> str:
    return f"{output.paint(output.HINT, output.HINT, sys.stdout)} {step}"


def _listed(names: tuple[str, ...]) -> str:
    shown, more = names[:MOST_NAMES], len(names) - MOST_NAMES
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _show_groups(plan: Plan) -> None:
    together = [group for group in plan.groups if len(group) > 1]
    for group in together:
        output.answer(f"{output.NOTHING} to be seen together: {_listed(group)}")
    alone = len(plan.groups) - len(together)
    if together and alone:
        output.answer(f"{output.NOTHING} independent of all others: {output.count(alone, 'task')}")
