"""`git parallel show`: all that is known of one task."""

from pathlib import Path
from typing import Any

import click

from git_parallel import changes, environment, output
from git_parallel.brief import first_line
from git_parallel.commands import opinion, render
from git_parallel.overview import look
from git_parallel.repository import find_repository
from git_parallel.task import Outcome, Run, Status
from git_parallel.task_view import TaskView
from git_parallel.wording import in_line

TAIL = 10


@click.command("show")
@click.argument("task")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(task: str, *, as_json: bool) -> None:
    """Show one task: its brief, constraints, runs, changes, evidence and environment."""
    repository = find_repository(Path.cwd())
    view = look(repository, [task]).tasks[0]
    if as_json:
        output.json({"version": 1, **render.task_json(view), **_details(view)})
        return
    render.tell_settled(repository)
    output.answer(output.printable("\n".join(_lines(view))))
    if view.broken:
        output.tell(output.WARNING, view.trouble, hint="git parallel doctor")
    view.folder.seen()


def _details(view: TaskView) -> dict[str, Any]:
    record = view.environment
    answer: dict[str, Any] = {
        "prompt": view.task.prompt,
        "touch": list(view.task.touch),
        "never": list(view.task.never),
        "max_files": view.task.max_files or None,
        "max_lines": view.task.max_lines or None,
        "runs": [render.run_json(view, run) for run in view.folder.runs()],
        "paths": list(view.facts.paths) if view.facts else None,
    }
    if record:
        answer["environment"] = {
            "steps": [_step_json(step) for step in record.steps],
            "copied": sorted(record.copied),
            "kept": list(record.kept),
            "log": record.log,
        }
    return answer


def _step_json(step: environment.Step) -> dict[str, Any]:
    told = {"name": step.name, "outcome": step.outcome, "seconds": step.seconds}
    return {**told, "reason": step.reason} if step.reason else told


def _stands_on(view: TaskView) -> str:
    """What is below its own commits, where that has landed in another form, or was taken back."""
    if not view.facts or not view.facts.apart or not view.facts.fork:
        return ""
    name, target = view.task.name, view.task.target
    return f"{view.facts.fork[:7]}, which {target} does not have: git parallel rebase {name}"


def _lines(view: TaskView) -> list[str]:
    task, facts = view.task, view.facts
    reason = in_line(render.reason_of(view))
    rows = [
        ["task", task.name],
        ["status", str(view.status) + (f": {reason}" if reason else "")],
        ["prompt", first_line(task.prompt)],
        ["branch", f"{task.branch}, to be merged into {task.target}"],
        ["worktree", str(view.path)],
        ["stands on", _stands_on(view)],
        ["commits", render.commits_of(view)],
        ["changes", render.changes_of(view)],
        ["conflicts", in_line(", ".join(facts.conflicts or ())) if facts else "not known"],
        ["may touch", " ".join(task.touch)],
        ["never", " ".join(task.never)],
        ["at most", ", ".join(changes.limits(task))],
        ["after", " ".join(task.after)],
        ["breaches", in_line(", ".join(view.breaches))],
        ["merged", _merged(view)],
        ["review", opinion.review_of(view)],
        ["comments", opinion.comments_of(view)],
        ["slot", f"{task.slot}, ports {task.ports[0]} to {task.ports[-1]}"],
        ["started", output.age(task.created) + " ago"],
    ]
    lines = output.table([row for row in rows if row[1]]).splitlines()
    for run in view.folder.runs():
        lines += ["", *_run_lines(view, run)]
    return lines + _environment_lines(view)


def _merged(view: TaskView) -> str:
    if view.evidence:
        return f"{view.evidence.text} ({view.evidence.rule})"
    return f"no: {view.facts.unmerged}" if view.facts and view.facts.unmerged else ""


def _run_lines(view: TaskView, run: Run) -> list[str]:
    lasted = ""
    if run.started and run.ended:
        lasted = f" after {output.duration((run.ended - run.started).total_seconds())}"
    outcome = str(run.result or run.phase) + lasted + (f": {run.reason}" if run.reason else "")
    lines = [f"run {run.number}: {run.agent or ' '.join(run.command)}", f"  {outcome}"]
    for check in run.checks:
        passed = {0: "passed", None: "did not run"}.get(check.exit_code, "failed")
        lines.append(f"  check {check.command}: {passed}, {check.seconds:g}s")
    if run.outcome:
        lines += _outcome_lines(run.outcome)
    lines.append(f"  log {view.folder.log(run.number)}")
    if run.result is Status.FAILED:
        lines += [f"  | {line}" for line in output.tail(view.folder.log(run.number), TAIL)]
    return lines


def _outcome_lines(outcome: Outcome) -> list[str]:
    """What an agent told of itself: what was denied to it, and what it used up."""
    lines = [f"  denied {output.printable(call)}" for call in outcome.denied]
    used = [f"cost {outcome.cost_usd:.2f} USD"] if outcome.cost_usd else []
    if outcome.input_tokens or outcome.output_tokens:
        used.append(f"{outcome.input_tokens or 0} tokens in, {outcome.output_tokens or 0} out")
    return lines + ([f"  {', '.join(used)}"] if used else [])


def _environment_lines(view: TaskView) -> list[str]:
    record = view.environment
    if record is None or not (record.copied or len(record.steps) > 1 or record.trouble):
        return []
    lines = ["", "environment"]
    for step in record.steps:
        more = f": {step.reason}" if step.reason else ""
        lines.append(f"  {step.name}: {step.outcome}, {step.seconds:g}s{more}")
    for name in sorted(record.copied):
        edited = ", edited here while its original changed" if name in record.kept else ""
        lines.append(f"  copied {name}{edited}")
    lines += [f"  log {record.log}"] if record.log else []
    if (wrong := record.trouble) and view.run is None:
        again = environment.way_out(wrong, f"git parallel bootstrap {view.task.name}")
        lines += [*_tail(record, wrong), f"  {output.HINT} {again}"]
    return lines


def _tail(record: environment.Record, step: environment.Step) -> list[str]:
    blocked = step.outcome == environment.BLOCKED
    return [] if blocked else [f"  | {line}" for line in output.tail(Path(record.log), TAIL)]
