"""`git parallel merge`: land tasks in their targets, deliberately."""

from pathlib import Path

import click
from msgspec import Struct

from git_parallel import cleanup, landing, output
from git_parallel.commands import render
from git_parallel.config import STRATEGIES, Loaded
from git_parallel.errors import ParallelError, UsageError
from git_parallel.overview import TaskView, find_folder, look
from git_parallel.process import Stopped
from git_parallel.proposal import propose
from git_parallel.repository import Repository, find_repository
from git_parallel.task import Status
from git_parallel.trust import Trust


@click.command("merge")
@click.argument("tasks", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every task that is ready.")
@click.option("--strategy", type=click.Choice(STRATEGIES), help="How to make the result.")
@click.option("--no-check", is_flag=True, help="Without the checks on the merged result.")
@click.option("--allow-breaches", is_flag=True, help="Also what broke its constraints.")
@click.option("--dry-run", is_flag=True, help="Only say what would happen.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    tasks: tuple[str, ...],
    strategy: str | None,
    *,
    everything: bool,
    no_check: bool,
    allow_breaches: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Merge tasks into their targets, one onto the other.

    Each result is prepared aside and checked before the target moves to it in one step.
    """
    if bool(tasks) == everything:
        raise UsageError("name tasks, or use --all", hint="git parallel review")
    repository = find_repository(Path.cwd())
    loaded = repository.configuration()
    wish = Wish(strategy or loaded.config.merge.strategy, not no_check, allow_breaches, dry_run)
    names = _names(repository, tasks, wish.strategy)
    landed: list[dict[str, str]] = []
    refused: list[dict[str, str]] = []
    for name in names:
        try:
            landed.append({"name": name, "commit": _merge(repository, name, loaded, wish)})
        except Stopped as error:
            raise KeyboardInterrupt from error
        except ParallelError as error:
            refused.append({"name": name, "reason": error.message})
            output.error(error)
    if landed and not dry_run:
        render.tell_swept(repository, cleanup.sweep(repository))
    if as_json:
        output.json({"version": 1, "landed": landed, "refused": refused})
    elif not names:
        output.tell(output.NOTHING, "nothing is ready to be merged", hint="git parallel list")
    return 1 if refused else 0


class Wish(Struct, frozen=True):
    """How the user wants tasks to be merged."""

    strategy: str
    check: bool
    allow_breaches: bool
    dry_run: bool


def _merge(repository: Repository, name: str, loaded: Loaded, wish: Wish) -> str:
    """Merge one task, or only try to, and say so; returns the resulting commit."""
    view = look(repository, [name]).tasks[0]
    _refuse_breaches(view, allowed=wish.allow_breaches)
    if wish.dry_run:
        return _try(repository, view, wish.strategy)
    prepared = landing.land(
        repository,
        name,
        loaded,
        strategy=wish.strategy,
        check=wish.check,
        approvals=Trust(repository.store.state).approvals(loaded),
        told=lambda line: output.tell(output.BUSY, line),
    )
    _tell_landed(repository, view, prepared)
    return prepared.result


def _names(repository: Repository, tasks: tuple[str, ...], strategy: str) -> list[str]:
    """What to merge: as it was named, or all that is ready in the order of the plan; what that
    leaves out comes last, so that each is refused with its reason, or lands where another did not.
    """
    if tasks:
        found = [find_folder(repository, task)[1] for task in tasks]
        return list(dict.fromkeys(str(task.name) for task in found))
    proposed = propose(repository, strategy).plan
    for left in proposed.left:
        if left.waits:
            output.tell(output.NOTHING, f"{left.name} comes after {', '.join(left.waits)}")
    return [*proposed.order, *(left.name for left in proposed.left if not left.waits)]


def _refuse_breaches(view: TaskView, *, allowed: bool) -> None:
    if view.breaches and not allowed:
        raise ParallelError(
            f"`{view.task.name}` changed what it may not: {', '.join(view.breaches[:5])}",
            hint=f"git parallel merge {view.task.name} --allow-breaches",
        )


def _try(repository: Repository, view: TaskView, strategy: str) -> str:
    if reason := landing.refusal(view):
        raise ParallelError(f"`{view.task.name}` can't be merged: {reason}")
    prepared = landing.prepare(repository, view, strategy)
    files = output.count(len(prepared.paths), "path")
    words = f"{view.task.name} would be merged into {view.task.target} ({strategy}), {files}"
    output.tell(output.NOTHING, words)
    return prepared.result


def _tell_landed(repository: Repository, view: TaskView, prepared: landing.Prepared) -> None:
    how = f"{prepared.strategy}, {repository.short(prepared.result)}"
    size = render.changes_of(view)
    output.tell(output.DONE, f"{view.task.name} merged into {view.task.target} ({how}): {size}")
    if view.status is Status.FAILED:
        output.tell(output.WARNING, f"its last run failed: {view.reason}")
