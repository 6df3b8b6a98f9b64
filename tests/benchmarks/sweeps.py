"""What a merge costs where our hooks are: the sweep beside many live tasks, and beside none."""

from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.comparison import Gate, Limit, Result, compare
from tests.benchmarks.scratch import NO_HOOKS, Repo, Scratch

LIVE = (1, 50, 200)
# For any number of live tasks: where are we, the refs, the graph, the changes, the trial merges,
# and once more for the one that goes, with what is looked at before it does.
SPAWNS = 18

Count = Callable[[Repo, str, int | None, str], Gate]


def sweep(scratch: Scratch, count: Count) -> list[Gate]:
    """How many processes of git a sweep starts after a merge beside so many live tasks."""
    gates = []
    for live in LIVE:
        repo = _with_tasks(scratch, f"sweep{live}", live)
        _merge(repo, "t0")
        took: list[float] = []
        gate = count(repo, f"cleanup after a merge, {live} live tasks", SPAWNS, "cleanup")
        repo.start_tasks("t1")
        _merge(repo, "t1")
        took.append(repo.clock("git", "parallel", "cleanup"))
        gates.append(Gate(gate.what, gate.count, gate.limit, gate.in_all, f"{took[0]:.0f} ms"))
    return gates


def _with_tasks(scratch: Scratch, name: str, live: int) -> Repo:
    """A repository with one task to be merged, and so many others with a commit each."""
    repo = scratch.repository(name, files=200, folders=10)
    repo.start_tasks("t0")
    for number in range(live):
        words = ("git", "parallel", "start", f"live{number}", "--no-bootstrap")
        worktree = Repo(scratch, Path(repo.run(*words)))
        (worktree.path / f"live{number}.txt").write_text("live\n")
        worktree.run("git", *NO_HOOKS, "add", "--all")
        worktree.run("git", *NO_HOOKS, "commit", "--quiet", "-m", "Live")
    scratch.settle()
    repo.run("git", "parallel", "list")
    return repo


def _merge(repo: Repo, name: str) -> None:
    words = ("merge", "--quiet", "--no-ff", "--no-edit", f"parallel/{name}")
    repo.run("git", *NO_HOOKS, *words)


def merge_of_others(scratch: Scratch, runs: int) -> list[Result]:
    """`git merge` with our hooks and without, in a repository where nothing is ours."""
    repo = scratch.repository("merge-none", files=200, folders=10)
    repo.run("git", "parallel", "hooks", "install")
    repo.run("git", "branch", "before")
    repo.move_target()
    repo.run("git", "branch", "after")

    def forward(*options: str) -> float:
        repo.run("git", "reset", "--quiet", "--hard", "before")
        return repo.clock("git", *options, "merge", "--quiet", "--ff-only", "after")

    def ours(_: int) -> float:
        return forward()

    def theirs(_: int) -> float:
        return forward(*NO_HOOKS)

    what = "git merge, hooks and no task"
    return [compare(what, ours, theirs, Limit("ms more", 2.5), runs * 41 // 9)]
