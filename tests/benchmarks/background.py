"""What a run in the background costs: the wait for its first byte, the memory of its runner."""

import time
from pathlib import Path
from statistics import median

import psutil

from tests.benchmarks.comparison import Gate, Limit, Result
from tests.benchmarks.scratch import Repo, Scratch

MIB = 1 << 20
RESTED_S = 6.0  # a runner rests some seconds after its command has begun


def first_byte(scratch: Scratch, runs: int) -> list[Result]:
    """From `start` to the first byte of what it runs, where nothing has to be bootstrapped."""
    repo = scratch.repository("first", files=200, folders=10)
    took = [_to_first_byte(scratch, repo, f"x{number}") for number in range(runs + 1)][1:]
    what = "start to the first byte of the agent, 200 files"
    return [Result(what, median(took), limit=Limit("ms", 250), least=(min(took),))]


def _to_first_byte(scratch: Scratch, repo: Repo, name: str) -> float:
    """The command tells itself when it ran: nobody has to watch for it, and slow it down."""
    began = time.time_ns()
    repo.run("git", "parallel", "start", name, "--", "date", "+%s%N")
    repo.run("git", "parallel", "wait", name, ok=(0, 1))
    told = int(repo.run("git", "parallel", "log", name).split()[0])
    scratch.settle()
    repo.run("git", "parallel", "remove", "--delete-branch", name)
    return (told - began) / 1e6


def idle_runner(scratch: Scratch) -> list[Gate]:
    """The memory of a runner whose command has nothing to say."""
    repo = scratch.repository("idle", files=20, folders=2)
    repo.run("git", "parallel", "start", "idle", "--", "sleep", "600")
    time.sleep(RESTED_S)
    size = _runner_of(repo.path).memory_info().rss
    repo.run("git", "parallel", "stop", "idle")
    return [Gate("MiB of an idle runner, resident", -(-size // MIB), 15)]


def _runner_of(top: Path) -> psutil.Process:
    """The parent of the command of the task."""
    worktree = top.with_name(f"{top.name}.parallel") / "idle"
    sleeping = (p for p in psutil.process_iter() if p.name() == "sleep")
    command = next(p for p in sleeping if Path(p.cwd()) == worktree)
    runner = command.parent()
    assert runner is not None
    return runner
