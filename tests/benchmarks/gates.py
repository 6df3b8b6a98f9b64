"""What is counted and not timed: processes of git, imported modules, objects left behind."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.background import idle_runner
from tests.benchmarks.comparison import Gate
from tests.benchmarks.scratch import Repo, Scratch
from tests.benchmarks.sweeps import sweep
from tests.benchmarks.timings import TASKS

TAG = "GIT_PARALLEL_RUN"  # in the environment of a runner, and of all that it starts
HEAVY = ("click", "dulwich", "rich", "psutil", "tomli_w", "wcwidth")


def processes(scratch: Scratch) -> list[Gate]:
    """How many processes of git our commands start."""
    repo = scratch.repository("processes", files=200, folders=10)
    run = ("--", "true")
    first = _count(repo, "the first start in a repository", None, "start", "x0", *run)
    start = _count(repo, "start x -- true", 7, "start", "x1", *run)
    repo.run("git", "parallel", "remove", "--delete-branch", "x0", "x1")
    repo.start_tasks(*TASKS)
    repo.run("git", "parallel", "list")
    listed = _count(repo, "list, 10 tasks", len(TASKS) + 3, "list")
    found = _count(repo, "conflicts, 10 tasks", 4, "conflicts")
    repo.move_target()
    sweep = ("cleanup", "--dry-run")
    swept = _count(repo, "cleanup --dry-run, 10 tasks, the target moved", 5, *sweep)
    repo.move_target()
    moved = _count(repo, "conflicts, 10 tasks, the target moved", None, "conflicts")
    repo.move_target()
    again = _count(repo, "list, 10 tasks, the target moved", None, "list")
    return [first, start, listed, found, swept, moved, again]


def _count(repo: Repo, what: str, limit: int | None, *words: str) -> Gate:
    """Count what a command of ours starts, and what that starts in turn.

    Git writes a file of events for each of its processes into a folder (git's trace2, "Trace2
    Targets"). Its session id has a slash where another git is above it, and none where we are. A
    detached runner inherits all that, but it alone has the tag of a run in its environment, and
    git tells of that variable: so the runner's processes, and those below them, are left out.
    """
    events = repo.scratch.folder / "events" / f"{len(what)}-{'-'.join(words)}".replace("/", "_")
    events.mkdir(parents=True)
    trace = {"GIT_TRACE2_EVENT": str(events), "GIT_TRACE2_ENV_VARS": TAG}
    repo.run("git-parallel", *words, variables=trace)
    repo.scratch.settle()
    started = [session for session in map(_session, events.iterdir()) if session]
    ours = sum("/" not in session for session in started)
    return Gate(what, ours, limit, in_all=len(started))


def _session(file: Path) -> str | None:
    """The session id of the process that wrote a file, or None if it is of a runner."""
    events = list(_events(file))
    if any(event["event"] == "def_param" and event["param"] == TAG for event in events):
        return None
    return next((str(event["sid"]) for event in events if event["event"] == "start"), None)


def _events(file: Path) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in file.read_text(errors="replace").splitlines())


def imports(scratch: Scratch) -> list[Gate]:
    """Which modules a hook that has something to do imports."""
    repo = scratch.repository("imports", files=20, folders=2)
    repo.start_tasks("t0")
    repo.move_target()
    words = ("hook", "post-checkout", "HEAD~1", "HEAD", "1")
    # Through a shell, as the answer is on stderr: "import time: self | cumulative | module".
    command = [sys.executable, "-X", "importtime", "-m", "git_parallel", *words]
    told = repo.run("sh", "-c", '"$@" 2>&1', "sh", *command).splitlines()
    modules = {line.rpartition("|")[2].strip() for line in told if line.startswith("import time:")}
    heavy = sorted(modules & set(HEAVY))
    what = "modules of click and other heavy ones in `hook post-checkout`"
    return [
        Gate(what, len(heavy), 0, note=", ".join(heavy)),
        Gate("modules in `hook post-checkout` in all", len(modules)),
    ]


def objects(scratch: Scratch) -> list[Gate]:
    """How many loose objects trial merges leave behind."""
    repo = scratch.repository("objects", files=200, folders=10)
    repo.start_tasks(*TASKS)
    repo.move_target()
    before = _loose_objects(repo)
    repo.run("git", "parallel", "list")
    repo.run("git", "parallel", "conflicts")
    return [Gate("loose objects left by list and conflicts", _loose_objects(repo) - before, 0)]


def _loose_objects(repo: Repo) -> int:
    return int(repo.run("git", "count-objects").split()[0])


GATES: dict[str, Callable[[Scratch], list[Gate]]] = {
    "processes": processes,
    "imports": imports,
    "objects": objects,
    "idle-runner": idle_runner,
    "sweep": lambda scratch: sweep(scratch, _count),
}
