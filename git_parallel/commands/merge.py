"""`git parallel merge`: land tasks in their targets, deliberately."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
from msgspec import Struct

from git_parallel import cleanup, forge, landing, output, unmerge
from git_parallel.commands import render
from git_parallel.config import STRATEGIES, Loaded
from git_parallel.errors import ParallelError, UsageError
from git_parallel.git import Git
from git_parallel.landing import Landing
from git_parallel.overview import find_folder, look
from git_parallel.prepared import ConflictError, Prepared, Wish
from git_parallel.proposal import REJECTED, propose
from git_parallel.repository import Repository, find_repository
from git_parallel.stack import Moved
from git_parallel.supervisor import Stopped
from git_parallel.task import Status, Task
from git_parallel.task_view import TaskView
from git_parallel.trust import Trust
from git_parallel.workshop import Workshop


@click.command("merge")
@click.argument("tasks", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every task that is ready.")
@click.option("--strategy", type=click.Choice(STRATEGIES), help="How to make the result.")
@click.option(
    "-m", "--message", metavar="TEXT", multiple=True, help="The message, or a paragraph of it."
)
@click.option("-e", "--edit", is_flag=True, help="Edit the message of the commit.")
@click.option("--no-check", is_flag=True, help="Without the checks on the merged result.")
@click.option("--allow-breaches", is_flag=True, help="Also what broke its constraints.")
@click.option("--pr", "request", is_flag=True, help="Open a pull request instead.")
@click.option("--dry-run", is_flag=True, help="Only say what would happen.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    tasks: tuple[str, ...],
    strategy: str | None,
    message: tuple[str, ...],
    *,
    edit: bool,
    everything: bool,
    no_check: bool,
    allow_breaches: bool,
    request: bool,
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
    text = "\n\n".join(message) if message else None
    wish = Wish(strategy=strategy or loaded.config.merge.strategy, message=text, edit=edit)
    how = How(wish, not no_check, allow_breaches, dry_run, request)
    if how.moves:
        _finish_undo(repository)
    names = _names(repository, tasks, wish.strategy)
    _refuse_senseless(wish, names, request=request)
    done = _merge_all(_workshop(repository, loaded, edit=edit), names, how)
    if done.landed and how.moves:
        landed = [entry["name"] for entry in done.landed]
        render.tell_swept(repository, cleanup.sweep(repository, only=landed))
    _answer(done, how, as_json=as_json)
    return 1 if done.refused else 0


class How(Struct, frozen=True):
    """How the user wants tasks to be merged."""

    wish: Wish
    check: bool
    allow_breaches: bool
    dry_run: bool
    request: bool

    @property
    def moves(self) -> bool:
        """Whether targets here are to move."""
        return not (self.dry_run or self.request)


class Done(Struct, frozen=True):
    """What came of merging several tasks, as programs read it; of a request, `landed` is where it
    was opened.
    """

    landed: tuple[dict[str, Any], ...]
    refused: tuple[dict[str, Any], ...]


def _finish_undo(repository: Repository) -> None:
    """Finish what a merge, or an `undo --merge`, that was killed has left."""
    if undone := unmerge.finish(repository, waiting=render.tell_busy):
        render.tell_undone(repository, undone)


def _refuse_senseless(wish: Wish, names: list[str], *, request: bool) -> None:
    if request and wish.edit:
        raise UsageError("the text of a request can't be edited here", hint="-m TEXT")
    worded = wish.edit or wish.message is not None
    if worded and not request and wish.strategy not in ("merge", "squash"):
        words = f"{wish.strategy} makes no commit of its own, so there is no message to give"
        raise UsageError(words, hint="--strategy squash")
    if wish.message is not None and not wish.message.strip() and not wish.edit:
        raise UsageError("the message is empty", hint="-m TEXT")
    if wish.message is not None and len(names) > 1:
        raise UsageError("one message can't be that of several tasks", hint="--edit")


def _workshop(repository: Repository, loaded: Loaded, *, edit: bool) -> Workshop:
    return Workshop(
        repository,
        loaded,
        Trust(repository.store.state).approvals(loaded),
        told=render.tell_busy,
        editor=Git(repository.place, os.environ).text("var", "GIT_EDITOR") if edit else ":",
    )


def _merge_all(shop: Workshop, names: Sequence[str], how: How) -> Done:
    """Merge one task after the other; one that is refused leaves the rest their chance."""
    landed: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    tried: list[Landing] = []
    for name in names:
        try:
            landed.append({"name": name, **_merge(shop, name, how, tried)})
        except Stopped as error:
            raise KeyboardInterrupt from error
        except ParallelError as error:
            paths = {"paths": list(error.paths)} if isinstance(error, ConflictError) else {}
            refused.append({"name": name, "reason": error.message, **paths})
            output.error(error)
    return Done(tuple(landed), tuple(refused))


def _merge(shop: Workshop, name: str, how: How, tried: list[Landing]) -> dict[str, Any]:
    """Merge one task, or ask for it, or only try to, and say so; returns what came of it. `tried`
    are those that were only tried before.
    """
    if how.request:
        return _request(shop.repository, name, how)
    if how.dry_run:
        return {"commit": _try(shop, name, how, tried)}
    landed = landing.land(shop, name, how.wish, check=how.check, allow_breaches=how.allow_breaches)
    _tell_landed(shop.repository, landed.view, landed.prepared)
    for moved in landed.moved:
        render.tell_moved(shop.repository, moved)
    followed = [_moved_json(moved) for moved in landed.moved]
    return {"commit": landed.prepared.result, **({"moved": followed} if followed else {})}


def _request(repository: Repository, name: str, how: How) -> dict[str, Any]:
    view = look(repository, [name]).tasks[0]
    landing.refuse(repository, view, allow_breaches=how.allow_breaches)
    if how.dry_run:
        _, remote, into = forge.destination(repository, view)
        words = f"{view.task.name} would be pushed to {remote}, to be merged into {into} there"
        output.tell(output.NOTHING, words)
        return {}
    made = forge.request(repository, view, how.wish.message)
    output.tell(output.DONE, f"{view.task.name} is to be merged into {made.into}: {made.url}")
    return {"url": made.url}


def _names(repository: Repository, tasks: tuple[str, ...], strategy: str) -> list[str]:
    """What to merge: as it was named, or all that is ready in the order of the plan; what that
    leaves out comes last, so that each is refused with its reason, or lands where another did not.
    """
    if tasks:
        found = [find_folder(repository, task)[1] for task in tasks]
        return list(dict.fromkeys(str(task.name) for task in found))
    proposed = propose(repository, strategy).plan
    late = []
    for left in proposed.left:
        if left.waits:
            output.tell(output.NOTHING, f"{left.name} comes after {', '.join(left.waits)}")
        elif left.hindrance == REJECTED:
            output.tell(output.NOTHING, f"{left.name} is left out: {REJECTED}")
        else:
            late.append(left.name)
    return [*proposed.order, *late]


def _try(shop: Workshop, name: str, how: How, tried: list[Landing]) -> str:
    found = _attempt(shop, name, how, tried)
    tried.append(found)
    prepared, target = found.prepared, found.view.task.target
    files = output.count(len(prepared.paths), "path")
    output.tell(
        output.NOTHING, f"{name} would be merged into {target} ({prepared.strategy}), {files}"
    )
    return prepared.result


def _attempt(shop: Workshop, name: str, how: How, tried: list[Landing]) -> Landing:
    """Try a merge onto the result of those before it, and tell of a conflict with those."""
    attempt = partial(landing.attempt, shop, name, how.wish, allow_breaches=how.allow_breaches)
    try:
        return attempt(before=tried)
    except ConflictError as error:
        attempt()
        names = ", ".join(_landed_there(find_folder(shop.repository, name)[1], tried))
        words = f"{error.message}, once {names} landed"
        raise ConflictError(words, "git parallel conflicts", error.paths) from error


def _landed_there(task: Task, tried: Sequence[Landing]) -> list[str]:
    """Those of some tasks that landed where a task goes, which is further where it stands on one of
    them, or in the task itself.
    """
    target = task.target
    for one in tried:
        if one.view.task.branch == target:
            target = one.view.task.target
    places = (task.branch, target)
    return [one.view.task.name for one in tried if one.view.task.target in places]


def _tell_landed(repository: Repository, view: TaskView, prepared: Prepared) -> None:
    how = f"{prepared.strategy}, {repository.short(prepared.result)}"
    size = render.changes_of(view) or "it changes nothing"
    output.tell(output.DONE, f"{view.task.name} merged into {view.task.target} ({how}): {size}")
    if view.status is Status.FAILED:
        output.tell(output.WARNING, f"its last run failed: {view.reason}")


def _answer(done: Done, how: How, *, as_json: bool) -> None:
    """Print what came of it all: an object, or one line where there are several tasks."""
    if as_json:
        landed = (
            {"landed": (), "requested": done.landed} if how.request else {"landed": done.landed}
        )
        output.json({"version": 1, **landed, "refused": done.refused})
        return
    total = len(done.landed) + len(done.refused)
    if not total:
        output.tell(output.NOTHING, "nothing is ready to be merged", hint="git parallel list")
    elif total > 1:
        word = ("would be " if how.dry_run else "") + ("requested" if how.request else "merged")
        words = f"{len(done.landed)} of {total} {word}" if done.refused else f"all {total} {word}"
        rest = f", not {', '.join(e['name'] for e in done.refused)}" if done.refused else ""
        output.tell(output.WARNING if done.refused else output.DONE, words + rest)


def _moved_json(moved: Moved) -> dict[str, str]:
    """A task that follows another, as programs read it: where its branch is, or why it stayed."""
    told = {"name": moved.name, "target": moved.target}
    if moved.replayed:
        return {**told, "commit": moved.replayed.new}
    return {**told, "reason": moved.reason}
