"""What `git parallel conflicts` does: it is asked often, so it does without click."""

import itertools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from git_parallel import output
from git_parallel.collisions import Collision, Collisions, Live, collisions
from git_parallel.forecast import Trial
from git_parallel.repository import find_repository
from git_parallel.wording import in_line, named

OPTIONS = frozenset({"--json"})
WIDTH = 80  # where stdout is no terminal
MOST_PATHS = 5
MOST_NAMES = 6
NAME_WIDTH = 24  # where there is no room for more
MOST_APART = 16  # tasks whose columns can stand apart
CLEAN, UNKNOWN = "·", "?"


def main(options: Sequence[str]) -> int:
    """Show the collisions as these options say."""
    return output.guarded(lambda: show(as_json="--json" in options))


def show(*, as_json: bool) -> int:
    """Show every collision of the tasks here."""
    answer = collisions(find_repository(Path.cwd()))
    for name, why in answer.unknown.items():
        words = f"what {name} has not committed is not wholly looked at: {why}"
        output.tell(output.WARNING, output.printable(words))
    if answer.missing:
        words = f"not compared with a target: {_missing(answer.missing)}"
        output.tell(output.WARNING, output.printable(words), hint="git parallel doctor")
    if as_json:
        output.json({"version": 1, "conflicts": _json(answer)})
    elif answer.found:
        _show(answer)
    elif not answer.missing:
        output.tell(output.NOTHING, "no conflicts among the tasks and their targets")
    return 0


def _missing(missing: Sequence[Collision]) -> str:
    """Who could not be compared with a target, with the reasons that several may have in common."""
    names: dict[str, list[str]] = {}
    for one in missing:
        names.setdefault(one.trial.unknown, []).extend(one.tasks)
    return ", ".join(f"{named(those, MOST_NAMES)} ({why})" for why, those in names.items())


def _json(answer: Collisions) -> list[dict[str, Any]]:
    uncommitted = {one.name for one in answer.live if one.uncommitted}
    return [collision_json(found, uncommitted) for found in (*answer.found, *answer.missing)]


def collision_json(found: Collision, uncommitted: set[str]) -> dict[str, Any]:
    """A collision for programs; its paths are null where git could not tell."""
    told: dict[str, Any] = {"tasks": list(found.tasks)}
    if found.target:
        told["target"] = found.target
    told["paths"] = None if found.trial.unknown else list(found.trial.conflicts)
    if not found.trial.unknown:
        told["kinds"] = list(found.trial.kinds)
    if working := [name for name in found.tasks if name in uncommitted]:
        told["uncommitted"] = working
    return told


def _show(answer: Collisions) -> None:
    if len(answer.live) > 1 and (lines := _matrix(answer)):
        output.answer("\n".join([*lines, ""]))
    mark = output.paint(output.ERROR, output.ERROR, sys.stdout)
    for found in answer.found:
        names = [*found.tasks, *([found.target] if found.target else [])]
        words = f"{' and '.join(names)}: {places(found.trial)}"
        output.answer(f"{mark} {output.printable(words)}")
    if any(one.uncommitted for one in answer.live):
        output.tell(output.NOTHING, "* with what is not committed yet")


def places(trial: Trial) -> str:
    """Where two tips collide, in words, with the kinds behind the paths."""
    if trial.unknown:
        return f"not known: {trial.unknown}"
    shown = list(zip(trial.conflicts, trial.kinds, strict=True))[:MOST_PATHS]
    alike = itertools.groupby(shown, key=lambda one: one[1])
    told = [f"{in_line(', '.join(path for path, _ in group))} ({kind})" for kind, group in alike]
    more = len(trial.conflicts) - len(shown)
    return ", ".join(told) + (f" and {more} more" if more else "")


def _matrix(answer: Collisions) -> list[str]:
    """Tasks beside tasks, in the width that there is: of many tasks only those that collide, and
    nothing where even these are too many.
    """
    cells = {
        found.tasks: UNKNOWN if found.trial.unknown else output.ERROR for found in answer.found
    }
    colliding = {name for found in answer.found for name in found.tasks}
    width = output.terminal_width() or WIDTH
    for live in (answer.live, [one for one in answer.live if one.name in colliding]):
        lines = _rows(live, cells, width)
        if max(map(len, lines)) <= width:
            left = len(answer.live) - len(live)
            return [*lines, f"and {left} more without a conflict"] if left else lines
    return []


def _rows(live: Sequence[Live], cells: Mapping[tuple[str, ...], str], width: int) -> list[str]:
    """A row for each task: its number, its name, the target, and the tasks above it by number."""
    targets = {one.view.task.target for one in live}
    title = _cut(targets.pop()) if len(targets) == 1 else "target"
    gap = " " * (len(live) <= MOST_APART)
    digits = len(str(len(live)))
    beside = digits + len(title) + (len(live) - 1) * (1 + len(gap)) + len("   *    ")
    room = max(NAME_WIDTH, width - beside)
    names = [_cut(one.name, room) + (" *" if one.uncommitted else "") for one in live]
    rows = []
    for digit in range(digits):  # the numbers of the columns stand from top to bottom
        heads = gap.join(str(n).rjust(digits)[digit] for n in range(1, len(live)))
        last = digit == digits - 1
        rows.append(["", "TASK" * last, title * last, heads])
    for number, one in enumerate(live):
        mark = cells.get((one.name,), CLEAN) if one.view.target else UNKNOWN
        marks = gap.join(cells.get((above.name, one.name), CLEAN) for above in live[:number])
        rows.append([str(number + 1).rjust(digits), names[number], mark.center(len(title)), marks])
    return output.table(rows).splitlines()


def _cut(name: str, width: int = NAME_WIDTH) -> str:
    """A name in so many letters, with its end, by which those that begin alike differ."""
    end = width // 3
    return name if len(name) <= width else f"{name[: width - 1 - end]}…{name[-end:]}"
