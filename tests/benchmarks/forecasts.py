"""How long it takes to foresee what collides, beside a process of `git merge-tree` a pair."""

import itertools
import json
import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

from tests.benchmarks.comparison import Limit, Result
from tests.benchmarks.scratch import Repo, Scratch

FILES, FOLDERS, COMMITS = 5000, 100, 3000
LINES = 150
BEHIND = 100  # commits that main may be ahead of where a task forked
FASTER = {10: 6, 30: 30, 100: 100}  # tasks -> how many times faster than a process a pair
PLANNED = 30  # tasks that may take a second to plan
MOST_PAIRS = 450  # of the other side are timed, and all of them are reckoned from these


def conflicts(scratch: Scratch, runs: int, *, tasks: int) -> list[Result]:
    """`conflicts` the first time and again, and `git merge-tree` for each pair."""
    repo = _forest(scratch, f"forest{tasks}", tasks)
    memory = repo.path / ".git" / "parallel" / ".state" / "pairs.json"
    repo.run("git", "parallel", "list")

    def first() -> float:
        memory.unlink(missing_ok=True)
        return repo.clock("git-parallel", "conflicts", "--json")

    rounds = min(runs, 5)
    ours = [first() for _ in range(rounds + 1)][1:]
    theirs = _a_process_a_pair(repo, tasks)
    limit = Limit("times", round(1 / FASTER[tasks], 3))
    what = f"conflicts, {tasks} tasks (git: a process a pair)"
    return [
        Result(what, median(ours), theirs, limit, (min(ours),)),
        _again(repo, f"conflicts again, {tasks} tasks (Python's start)", runs),
        _plan(repo, f"plan, {tasks} ready tasks", rounds, limited=tasks == PLANNED),
    ]


def _plan(repo: Repo, what: str, runs: int, *, limited: bool) -> Result:
    assert len(json.loads(repo.run("git-parallel", "plan", "--json"))["order"]) > 1
    took = [repo.clock("git-parallel", "plan", "--json") for _ in range(runs)]
    return Result(what, median(took), limit=Limit("ms", 1000) if limited else None)


def _again(repo: Repo, what: str, runs: int) -> Result:
    python = str(repo.scratch.folder / "venv" / "bin" / "python")
    pairs = [
        (repo.clock("git-parallel", "conflicts", "--json"), repo.clock(python, "-c", "pass"))
        for _ in range(runs + 1)
    ][1:]
    ours, theirs = zip(*pairs, strict=True)
    return Result(
        what, median(ours), median(theirs), Limit("ms more", 40), (min(ours), min(theirs))
    )


def _a_process_a_pair(repo: Repo, tasks: int) -> float:
    """The milliseconds that all pairs take one by one; of very many only some are timed."""
    tips = repo.run("git", "for-each-ref", "--format=%(objectname)", "refs/heads/parallel").split()
    assert len(tips) == tasks
    pairs = list(itertools.combinations(tips, 2)) + [("main", tip) for tip in tips]
    timed = random.Random(1).sample(pairs, min(MOST_PAIRS, len(pairs)))
    began = time.perf_counter()
    for pair in timed:
        repo.run("git", "merge-tree", "--write-tree", *pair, ok=(0, 1))
    return (time.perf_counter() - began) * 1000 * len(pairs) / len(timed)


def _forest(scratch: Scratch, name: str, tasks: int) -> Repo:
    """A repository with a long history and so many tasks, one pair in ten with a common file.

    The tasks are started on a commit of one file, and their branches moved onto the history then:
    so many worktrees of so many files would take minutes, and none of them is looked at.
    """
    repo = Repo(scratch, scratch.folder / name)
    repo.path.mkdir()
    repo.run("git", "init", "--quiet")
    stream = "".join(_history(tasks))
    (scratch.folder / "stream").write_text(stream)
    repo.run("sh", "-c", f"git fast-import --quiet <'{scratch.folder}/stream'")
    repo.run("git", "symbolic-ref", "HEAD", "refs/heads/small")
    repo.run("git", "reset", "--quiet", "--hard")
    names = [f"t{number}" for number in range(tasks)]
    script = 'echo "$0" >"$0" && git add . && git commit -qm "$0"'
    for task in names:
        words = ("--target", "main", "--", "sh", "-c", script, task)
        repo.run("git", "parallel", "start", task, *words)
    repo.run("git", "parallel", "wait", *names)
    scratch.settle()
    for number, task in enumerate(names):
        repo.run("git", "update-ref", f"refs/heads/parallel/{task}", f"work{number}")
        record = repo.path / ".git" / "parallel" / ".state" / "tasks" / task / "task.json"
        known = json.loads(record.read_text())
        base = repo.run("git", "rev-parse", f"work{number}~1")
        record.write_text(json.dumps({**known, "base": base}))
        repo.run("git", "branch", "--quiet", "-D", f"work{number}")
    repo.run("git", "gc", "--quiet")
    scratch.settle()
    return repo


def _history(tasks: int) -> Iterator[str]:
    """The stream: `small`, `main`, and a branch of one commit for each task."""
    source = random.Random(FILES)
    yield _commit("small", 1, None, {"readme.txt": "one\n"})
    yield _commit("main", 2, None, {_path(n): _text(n, ()) for n in range(FILES)})
    for number in range(3, COMMITS + 2):
        file = source.randrange(FILES // 2)
        yield _commit("main", number, number - 1, {_path(file): _text(file, (number,))})
    pairs = list(itertools.combinations(range(tasks), 2))
    shared = source.sample(pairs, len(pairs) // 10)
    files = dict(
        zip(shared, source.sample(range(FILES // 2, FILES - 500), len(shared)), strict=True)
    )
    for task in range(tasks):
        own = {FILES - 1 - 3 * task - n: LINES // 2 for n in range(3)}
        for pair, file in files.items():
            if task in pair:  # every other one collides, the rest only meets
                own[file] = LINES // 2 if sum(pair) % 2 else (1, LINES - 2)[pair.index(task)]
        base = COMMITS + 1 - source.randrange(BEHIND)
        changed = {_path(file): _text(file, (task,), at=at) for file, at in own.items()}
        changed[f"folder{task % FOLDERS:03}/new{task}.txt"] = _text(task, (task,))
        yield _commit(f"work{task}", COMMITS + 2 + task, base, changed)


def _path(number: int) -> str:
    return f"folder{number % FOLDERS:03}/file{number:05}.txt"


def _text(number: int, marks: tuple[int, ...], *, at: int = 0) -> str:
    lines = [f"line {n} of file {number}" for n in range(LINES)]
    lines[at] += "".join(f", changed by {mark}" for mark in marks)
    return "\n".join([*lines, ""])


def _commit(branch: str, mark: int, parent: int | None, files: dict[str, str]) -> str:
    head = f"commit refs/heads/{branch}\nmark :{mark}\n"
    head += f"committer Ada <ada@example.com> {1_700_000_000 + mark} +0000\ndata 1\nx\n"
    head += "" if parent is None else f"from :{parent}\n"
    parts = (f"M 100644 inline {path}\ndata {len(text)}\n{text}\n" for path, text in files.items())
    return head + "".join(parts)


FORECASTS: dict[str, Callable[[Scratch, int], list[Result]]] = {
    f"conflicts-{tasks}": partial(conflicts, tasks=tasks) for tasks in FASTER
}
