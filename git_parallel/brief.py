"""What the agent is told: the prompt as given, where it works, who is beside it, how to finish."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from git_parallel import records
from git_parallel.changes import limits
from git_parallel.errors import ParallelError
from git_parallel.task import Task
from git_parallel.task_folder import TaskFolder

PLACEHOLDER = re.compile(r"\{(prompt|task|branch|target|constraints|checks|neighbours)\}")
MOST_NEIGHBOURS = 12
MOST_PATHS = 6


class Neighbour(Struct, frozen=True):
    """Another live task: its name, its prompt, what it has changed and what it may."""

    name: str
    prompt: str | None
    paths: tuple[str, ...]
    touch: tuple[str, ...]


def write(
    folder: TaskFolder,
    number: int,
    template: str,
    checks: Sequence[str],
    neighbours: Sequence[Neighbour] = (),
) -> None:
    """Write what the agent of a run is told, whose prompt is kept already, if it has one."""
    try:
        prompt = folder.prompt(number).read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        prompt = None
    told = compose(template, folder.task(), prompt, checks, neighbours)
    records.write(folder.brief, told.encode("utf-8", "surrogateescape"), durable=False)


def load_template(place: Path, name: str) -> str:
    """The text that briefs are made from: the file of that name below a folder, or ours where
    there is no name; raises ParallelError. A link may not lead out of the folder: a project could
    have any file of the user's told to an agent.
    """
    file = place / Path(name).expanduser() if name else Path(__file__).with_name("brief.md")
    if file.is_relative_to(place) and not file.resolve().is_relative_to(place.resolve()):
        raise ParallelError(f"the template of the brief leads out of the project: {file}")
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ParallelError(
            f"the template of the brief can't be read: {error}", hint="git parallel config"
        ) from error


def compose(
    template: str,
    task: Task,
    prompt: str | None,
    checks: Sequence[str],
    neighbours: Sequence[Neighbour] = (),
) -> str:
    """The brief of a task; the prompt in it is what was given, byte for byte."""
    values = {
        "prompt": prompt or "",
        "task": task.name,
        "branch": task.branch,
        "target": task.target,
        "constraints": _listed(_constraints(task)),
        "checks": _listed(f"This must pass before you finish: {check}" for check in checks),
        "neighbours": _listed(_neighbours(neighbours)),
    }
    # What has nothing to say leaves no line behind, and a rule under nothing goes with it.
    lines = [line for line in template.splitlines() if values.get(line.strip("{} "), "x")]
    while lines and lines[0].strip() in ("", "---"):
        del lines[0]
    return PLACEHOLDER.sub(lambda found: values[found[1]], "\n".join(lines)) + "\n"


def _listed(rules: Iterable[str]) -> str:
    return "\n".join(f"- {rule}" for rule in rules)


def _constraints(task: Task) -> list[str]:
    told = []
    if task.touch:
        told.append(f"Change only files that match: {'  '.join(task.touch)}")
    if task.never:
        told.append(f"Never change files that match: {'  '.join(task.never)}")
    if bounds := limits(task):
        told.append(f"Change no more than {' and '.join(bounds)}")
    return told


def _neighbours(neighbours: Sequence[Neighbour]) -> list[str]:
    told = [_neighbour(one) for one in neighbours[:MOST_NEIGHBOURS]]
    return [f"Work goes on beside yours, leave it its files: {line}" for line in told]


def _neighbour(one: Neighbour) -> str:
    words = f"`{one.name}`"
    if line := first_line(one.prompt):
        words += f" ({line})"
    if one.paths:
        more = f" and {len(one.paths) - MOST_PATHS} more" if one.paths[MOST_PATHS:] else ""
        words += f", which has changed {', '.join(one.paths[:MOST_PATHS])}{more}"
    if one.touch:
        words += f", which may change {'  '.join(one.touch)}"
    return words


def first_line(prompt: str | None, *, width: int = 72) -> str:
    """The first line of a prompt, cut to a width."""
    lines = (prompt or "").strip().splitlines()
    line = lines[0].strip() if lines else ""
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"
