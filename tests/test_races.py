"""Many merges at once, and others at work in the same places: each lands once, or not at all."""

import itertools
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import PROGRAM, Repo, run

TEN = [f"t{number}" for number in range(10)]


def merge_at_once(repo: Repo, names: list[str], *words: str) -> dict[str, tuple[int, str]]:
    """Merge each of them by a process of its own; the exit codes and what they said, by name."""
    calls = {
        name: subprocess.Popen(
            [PROGRAM, "merge", name, *words],
            cwd=repo.path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for name in names
    }
    said = {name: call.communicate()[1].decode() for name, call in calls.items()}
    return {name: (calls[name].returncode, said[name]) for name in names}


@contextmanager
def meanwhile(act: Callable[[int], object]) -> Iterator[list[int]]:
    """Do something over and over until the end of the block; yields the numbers of the times."""
    ended, times = threading.Event(), []

    def again() -> None:
        for number in itertools.count():
            if ended.is_set():
                return
            act(number)
            times.append(number)

    thread = threading.Thread(target=again)
    thread.start()
    try:
        yield times
    finally:
        ended.set()
        thread.join()


def landed(repo: Repo) -> list[str]:
    """The tasks that main holds a merge of, one entry for each merge."""
    merges = repo.git("log", "--first-parent", "--merges", "--format=%s", "main").splitlines()
    return sorted(line.partition("parallel/")[2].rstrip("'") for line in merges)


def check_all(repo: Repo, ended: dict[str, tuple[int, str]]) -> None:
    """Each task has landed once, or it was refused and is as it was."""
    done = sorted(name for name, (code, _) in ended.items() if code == 0)
    assert landed(repo) == done, ended
    for name, (code, said) in ended.items():
        held = repo.git("ls-tree", "--name-only", "main", f"{name}.txt") == f"{name}.txt"
        assert held == (code == 0), said
        if code:
            # Or it saw what the other's git was just writing.
            assert "keeps moving" in said or "would be overwritten" in said, said
            assert repo.git("show", f"parallel/{name}:{name}.txt") == name
            assert repo.task(name)["status"] == "ready"
    assert repo.git("fsck", "--strict", "--no-dangling").strip() == ""
    assert repo.git("worktree", "list").count("\n") == len(repo.names())
    assert not list((repo.state / ".scratch").glob("*"))


def start(repo: Repo, names: list[str]) -> None:
    for name in names:
        repo.parallel("start", name, "--", "sh", "-c", f"echo {name} > {name}.txt")
    repo.parallel("wait", *names)


def commit_aside(repo: Repo, number: int) -> None:
    """Somebody commits to main without a look at any worktree, as a fetch or another tool does."""
    old = repo.git("rev-parse", "main")
    new = repo.git("commit-tree", f"{old}^{{tree}}", "-p", old, "-m", f"Other {number}")
    repo.git("update-ref", "refs/heads/main", new, old, ok=(0, 1, 128))


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["merge", "squash", "rebase"])
def test_ten_merges_at_once_land_each_once(repo: Repo, strategy: str) -> None:
    start(repo, TEN)
    repo.write("mine.txt", "mine\n")
    repo.write("readme.txt", "mine\n")
    ended = merge_at_once(repo, TEN, "--strategy", strategy)
    assert [code for code, _ in ended.values()] == [0] * 10, ended
    assert {path.stem for path in repo.path.glob("t?.txt")} == set(TEN)
    assert repo.git("rev-list", "--count", "--no-merges", "main") == "11"
    assert repo.git("status", "--porcelain").splitlines() == [" M readme.txt", "?? mine.txt"]
    assert (repo.path / "readme.txt").read_text() == "mine\n"
    assert repo.names() == []
    assert repo.git("fsck", "--strict", "--no-dangling").strip() == ""


@pytest.mark.slow
def test_ten_merges_beside_somebody_who_commits_there(repo: Repo) -> None:
    """In the target's own worktree, with dirty files lying about in it."""
    start(repo, TEN)
    repo.write("mine.txt", "mine\n")
    repo.write("readme.txt", "mine\n")
    done: list[int] = []

    def commit(number: int) -> None:
        repo.write("other.txt", f"{number}\n")
        repo.git("add", "other.txt", ok=(0, 128))
        words = ("commit", "--quiet", "-m", f"Other {number}", "--", "other.txt")
        if run("git", *words, cwd=repo.path, ok=None).returncode == 0:
            done.append(number)

    with meanwhile(commit) as times:
        ended = merge_at_once(repo, TEN)
    assert times
    check_all(repo, ended)
    others = repo.git("log", "--format=%s", "--grep=^Other", "main").splitlines()
    assert sorted(others) == sorted(f"Other {number}" for number in done)
    assert (repo.path / "readme.txt").read_text() == "mine\n"
    assert (repo.path / "mine.txt").read_text() == "mine\n"
    left = repo.git("status", "--porcelain").splitlines()
    assert {line[3:] for line in left} <= {"readme.txt", "mine.txt", "other.txt"}


@pytest.mark.slow
def test_ten_merges_into_a_branch_that_moves_and_is_checked_out_nowhere(repo: Repo) -> None:
    start(repo, TEN)
    repo.git("switch", "--quiet", "-c", "elsewhere")
    repo.write("readme.txt", "mine\n")
    with meanwhile(lambda number: commit_aside(repo, number)) as times:
        ended = merge_at_once(repo, TEN)
    assert times
    check_all(repo, ended)
    assert repo.git("status", "--porcelain").splitlines() == [" M readme.txt"]
    others = repo.git("log", "--first-parent", "--format=%s", "--grep=^Other", "main")
    assert len(set(others.splitlines())) == len(others.splitlines())


@pytest.mark.slow
def test_a_target_that_moves_is_prepared_for_again(repo: Repo, tmp_path: Path) -> None:
    for name in "xy":
        repo.start(name, f"echo {name} > {name}.txt")
    ran = tmp_path / "ran"
    script = tmp_path / "check"
    script.write_text(
        "unset $(git rev-parse --local-env-vars)\n"
        f'echo ran >> {ran}; test "$(wc -l < {ran})" -gt $TIMES && exit\n'
        f"git -C '{repo.path}' commit -q --allow-empty -m Moved\n"
        f"date > '{repo.path}/'$(date +%N); cd '{repo.path}'; git add .; git commit -qm Moved\n"
    )
    repo.parallel("config", "set", "checks.run", json.dumps([f"sh {script}"]))
    repo.parallel("merge", "x", env={"TIMES": "2"})
    assert ran.read_text().split() == ["ran"] * 3
    assert landed(repo) == ["x"]
    ran.unlink()
    done = repo.parallel("merge", "y", ok=1, env={"TIMES": "9"})
    assert "✗ main keeps moving\n↳ git parallel merge y\n" in done.stderr
    assert ran.read_text().split() == ["ran"] * 3
    assert landed(repo) == ["x"]
    assert repo.task("y")["status"] == "ready"
