"""What takes how long, beside plain git doing the same."""

import os
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

from tests.benchmarks.background import first_byte
from tests.benchmarks.comparison import Limit, Result, Side, compare
from tests.benchmarks.environments import ENVIRONMENTS
from tests.benchmarks.forecasts import FORECASTS
from tests.benchmarks.scratch import NO_HOOKS, Repo, Scratch, write_tree
from tests.benchmarks.sweeps import merge_of_others

TASKS = [f"t{number}" for number in range(10)]

# What `list` asks of git, asked by a shell: where are we, the refs, the state of each worktree (as
# many at once as we ask), and the graph for ahead and behind.
RAW_LIST = """\
git rev-parse --path-format=absolute --git-common-dir --git-dir --is-bare-repository --show-toplevel
git for-each-ref --format='{form}' refs/heads/main refs/heads/parallel
xargs -P {width} -I @ git -C @ --no-optional-locks status --porcelain=v2 -z <{worktrees}
git rev-list --parents --stdin <{tips}
"""
REF_FORM = "%(objectname)%00%(refname)%00%(worktreepath)%00%(HEAD)%00%(tree)"


def start(scratch: Scratch, runs: int, *, files: int, folders: int, limit: Limit) -> list[Result]:
    """`start` with a command that does nothing, and `git worktree add -b`."""
    repo = scratch.repository(f"start{files}", files=files, folders=folders)

    def ours(number: int) -> float:
        name = f"x{number}"
        took = repo.clock("git", "parallel", "start", name, "--", "true")
        repo.run("git", "parallel", "wait", name, ok=(0, 1))
        scratch.settle()
        repo.run("git", "parallel", "remove", "--delete-branch", name)
        return took

    def theirs(number: int) -> float:
        name, path = f"y{number}", scratch.folder / f"theirs{files}" / f"y{number}"
        # Without our hooks: they would make the worktree usable, which git alone does not.
        took = repo.clock("git", *NO_HOOKS, "worktree", "add", "-b", name, str(path))
        scratch.discard(path)
        repo.run("git", "worktree", "prune")
        repo.run("git", "branch", "--quiet", "-D", name)
        scratch.settle()
        return took

    return [compare(f"start, {files:,} files", ours, theirs, limit, runs)]


def switch(scratch: Scratch, runs: int) -> list[Result]:
    """`git switch` with our hooks and without, beside an idle task and without any task."""
    busy = scratch.repository("switch-task", files=200, folders=10)
    busy.run("git", "parallel", "start", "idle")
    scratch.settle()
    free = scratch.repository("switch-none", files=200, folders=10)
    free.run("git", "parallel", "hooks", "install")
    return [
        _switch("git switch, hooks and one idle task", busy, runs),
        _switch("git switch, hooks and no task", free, runs),
    ]


def _switch(what: str, repo: Repo, runs: int) -> Result:
    repo.run("git", "branch", "other")
    repo.move_target()
    if (repo.path / ".git" / "parallel" / ".state" / "targets").exists():
        repo.run("git", "parallel", "cleanup")  # looks at the target where it is now
    assert (repo.path / ".git" / "hooks" / "post-checkout").exists()

    def there_and_back(*options: str) -> float:
        legs = [repo.clock("git", *options, "switch", "--quiet", to) for to in ("other", "main")]
        return sum(legs) / len(legs)

    def ours(_: int) -> float:
        return there_and_back()

    def theirs(_: int) -> float:
        return there_and_back(*NO_HOOKS)

    return compare(what, ours, theirs, Limit("ms more", 2.5), runs * 41 // 9)


def list_tasks(scratch: Scratch, runs: int) -> list[Result]:
    """`list` of ten tasks, and git asked the same."""
    repo = scratch.repository("list", files=5000, folders=100)
    worktrees = repo.start_tasks(*TASKS)
    first = repo.clock("git", "parallel", "list")
    for worktree in worktrees:
        repo.run("git", "-C", str(worktree), "update-index", "-q", "--refresh", ok=(0, 1))
    theirs = _raw_list(scratch, repo, worktrees)

    def ours(_: int) -> float:
        return repo.clock("git", "parallel", "list")

    steady = compare("list, 10 tasks of 5,000 files", ours, theirs, Limit("times", 1.4), runs)
    moved = [_list_after_a_move(repo) for _ in range(min(runs, 5))]
    return [
        steady,
        Result("list, the first after the runs, once", first),
        Result("list, the first after the target moved", median(moved)),
    ]


def _raw_list(scratch: Scratch, repo: Repo, worktrees: list[Path]) -> Side:
    places, tips = scratch.folder / "worktrees", scratch.folder / "tips"
    places.write_text("".join(f"{worktree}\n" for worktree in worktrees))
    named = repo.run("git", "for-each-ref", "--format=%(objectname)", "refs/heads")
    tips.write_text(f"{named}\n^{repo.run('git', 'rev-parse', 'main')}\n")
    script = RAW_LIST.format(
        form=REF_FORM,
        width=os.cpu_count() or 1,
        worktrees=shlex.quote(str(places)),
        tips=shlex.quote(str(tips)),
    )
    return lambda _: repo.clock("sh", "-ec", script)


def _list_after_a_move(repo: Repo) -> float:
    repo.move_target()
    return repo.clock("git", "parallel", "list")


def remove(scratch: Scratch, runs: int) -> list[Result]:
    """`remove` of a worktree with many ignored files, and `git worktree remove` of one like it."""
    repo = scratch.repository("remove", files=200, folders=10)
    (repo.path / "package.json").write_text('{"name": "x", "version": "1.0.0"}\n')
    (repo.path / ".gitignore").write_text("node_modules/\n")
    repo.run("git", "add", "--all")
    repo.run("git", "commit", "--quiet", "-m", "Add a package")
    worktree = Path(repo.run("git", "parallel", "start", "x"))
    _install_packages(worktree)
    scratch.settle()
    ours = [_remove_and_undo(scratch, repo) for _ in range(runs + 1)][1:]
    theirs = _remove_by_git(scratch, repo)
    what = "remove, 100,000 ignored files (git: once)"
    return [Result(what, median(ours), theirs, Limit("ms", 300), (min(ours), theirs))]


def remove_tracked(scratch: Scratch, runs: int) -> list[Result]:
    """`remove` of a worktree with many tracked files, all of which git has to look at."""
    repo = scratch.repository("tracked", files=100_000, folders=1000)
    repo.run("git", "parallel", "start", "x")
    scratch.settle()
    ours = [_remove_and_undo(scratch, repo) for _ in range(runs + 1)][1:]
    limit = Limit("ms", 300)
    return [Result("remove, 100,000 tracked files", median(ours), limit=limit, least=(min(ours),))]


def _install_packages(worktree: Path) -> None:
    write_tree(worktree / "node_modules", files=100_000, folders=10_000, lines=5)


def _remove_and_undo(scratch: Scratch, repo: Repo) -> float:
    took = repo.clock("git", "parallel", "remove", "x")
    repo.run("git", "parallel", "undo", "x")
    scratch.settle()
    return took


def _remove_by_git(scratch: Scratch, repo: Repo) -> float:
    path = scratch.folder / "theirs"
    repo.run("git", *NO_HOOKS, "worktree", "add", "--quiet", "-b", "y", str(path))
    _install_packages(path)
    scratch.settle()
    return repo.clock("git", "worktree", "remove", str(path))


def merge(scratch: Scratch, runs: int) -> list[Result]:
    """`merge` of a task without checks, and `git merge` of the branch of one like it."""
    repo = scratch.repository("merge", files=5000, folders=100)

    def prepared(name: str) -> str:
        repo.start_tasks(name)
        repo.move_target()
        scratch.settle()
        return name

    def ours(number: int) -> float:
        return repo.clock("git", "parallel", "merge", prepared(f"x{number}"))

    def theirs(number: int) -> float:
        name = prepared(f"y{number}")
        took = repo.clock("git", *NO_HOOKS, "merge", "--quiet", "--no-edit", f"parallel/{name}")
        repo.run("git", "parallel", "cleanup")
        return took

    limit = Limit("ms more", 150)
    return [compare("merge, no checks, 5,000 files", ours, theirs, limit, runs)]


TIMINGS: dict[str, Callable[[Scratch, int], list[Result]]] = {
    "start-small": partial(start, files=200, folders=10, limit=Limit("ms more", 120)),
    "start-large": partial(start, files=5000, folders=100, limit=Limit("times", 1.15)),
    "switch": switch,
    "list": list_tasks,
    "first-byte": first_byte,
    "remove": remove,
    "remove-tracked": remove_tracked,
    "merge": merge,
    "merge-of-others": merge_of_others,
    **ENVIRONMENTS,
    **FORECASTS,
}
