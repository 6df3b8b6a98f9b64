"""The last step of a merge, where the target's files move: all of it or nothing."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.conftest import PROGRAM, Repo, run, until

SLOW = "sleep 1; cat"


def state(repo: Repo) -> tuple[str, str, str]:
    """The branches, the index, and what is not committed."""
    return (
        repo.git("for-each-ref", "refs/heads/main"),
        repo.git("ls-files", "--stage"),
        repo.git("status", "--porcelain"),
    )


def test_leaves_alone_what_is_staged_even_where_it_is_the_same(repo: Repo) -> None:
    repo.commit("other.txt", "other\n")
    repo.start("x", "echo new > readme.txt; echo new > other.txt")
    repo.write("readme.txt", "new\n")
    repo.git("add", "readme.txt")
    repo.write("other.txt", "mine\n")
    before = state(repo)
    told = repo.parallel("merge", "x", ok=1).stderr
    assert "would be overwritten: other.txt, readme.txt" in told
    assert state(repo) == before


@pytest.mark.slow
@pytest.mark.parametrize("how", ["merge", "cherry-pick", "revert"])
def test_refuses_in_the_middle_of_something_of_the_users(repo: Repo, how: str) -> None:
    repo.start("x", "echo new > readme.txt")
    repo.commit("other.txt", "other\n")
    words = {"merge": ("merge", "--no-ff", "--no-commit"), "cherry-pick": ("cherry-pick", "-n")}
    repo.git(*words.get(how, ("revert", "-n")), "parallel/x" if how != "revert" else "HEAD")
    if how == "cherry-pick":
        (repo.path / ".git" / "CHERRY_PICK_HEAD").write_text(repo.git("rev-parse", "parallel/x"))
    if how == "revert":
        repo.git("reset", "--quiet", "--hard")
        (repo.path / ".git" / "REVERT_HEAD").write_text(repo.git("rev-parse", "HEAD"))
    before = state(repo)
    told = repo.parallel("merge", "x", ok=1).stderr
    assert f"a {how} is not finished in" in told
    assert state(repo) == before
    assert (repo.path / ".git" / f"{how.upper().replace('-', '_')}_HEAD").exists()


@pytest.mark.slow
def test_options_for_merges_count_once(repo: Repo) -> None:
    for options in ("--squash", "--no-ff", "-s ours", "--no-commit"):
        repo.git("config", "branch.main.mergeOptions", options)
        name = options.strip("-").replace(" ", "-")
        repo.start(name, f"echo {name} > {name}.txt")
        done = repo.json("merge", name, "--strategy", "ff")
        assert repo.git("rev-parse", "main") == done["landed"][0]["commit"]
        assert repo.git("status", "--porcelain") == ""
        assert (repo.path / f"{name}.txt").exists()


@pytest.mark.slow
def test_does_not_move_what_is_checked_out_where_nobody_can_look(repo: Repo) -> None:
    repo.git("branch", "release")
    place, away = repo.path.parent / "usb", repo.path.parent / "away"
    repo.git("worktree", "add", "--quiet", "--lock", str(place), "release")
    repo.start("x", "echo new > readme.txt", "release")
    place.rename(away)
    before = repo.git("rev-parse", "release")
    told = repo.parallel("merge", "x", ok=1).stderr
    assert f"release is checked out in {place}, which is not there" in told
    assert repo.git("rev-parse", "release") == before
    away.rename(place)
    repo.parallel("merge", "x")
    assert run("git", "status", "--porcelain", cwd=place).stdout == ""


TAKEN_BACK = "✓ the merge of x into main was interrupted, and is taken back"


def is_landed(repo: Repo) -> bool:
    return repo.git("rev-parse", "main") == repo.git("rev-parse", "parallel/x")


@pytest.fixture
def merging(repo: Repo) -> Iterator[tuple[Repo, subprocess.Popen[bytes]]]:
    """A merge that has written one file of three, in a process group of its own."""
    repo.commit(".gitattributes", "slow filter=slow\n")
    repo.git("config", "filter.slow.clean", "cat")
    repo.git("config", "filter.slow.smudge", "cat")
    repo.start("x", "echo new > readme.txt; echo new > slow; echo new > zoo; echo a > a")
    repo.git("config", "filter.slow.smudge", SLOW)
    merge = subprocess.Popen(
        [PROGRAM, "merge", "x", "--strategy", "ff"],
        cwd=repo.path,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until((repo.path / "a").exists)
    yield repo, merge
    merge.kill()
    merge.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_comes_to_its_end_whoever_is_interrupted(
    merging: tuple[Repo, subprocess.Popen[bytes]], number: signal.Signals
) -> None:
    repo, merge = merging
    os.killpg(merge.pid, number)
    assert merge.wait() == (130 if number is signal.SIGINT else -signal.SIGKILL)
    until(lambda: (repo.path / "zoo").exists() and not (repo.path / ".git/index.lock").exists())
    until(lambda: is_landed(repo))
    assert repo.git("status", "--porcelain") == ""
    assert "interrupted" not in repo.parallel("list").stderr
    assert repo.json("doctor")["findings"] == []


def kill_all(repo: Repo, merge: subprocess.Popen[bytes]) -> None:
    """Kill the merge and the git that it has called."""
    below = psutil.Process(merge.pid).children(recursive=True)
    merge.kill()
    for process in below:
        process.kill()
    merge.wait()
    time.sleep(0.1)
    (repo.path / ".git" / "index.lock").unlink(missing_ok=True)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["merge", "doctor", "undo"])
@pytest.mark.parametrize("cut", [False, True])
def test_what_was_killed_is_told_and_taken_back(
    merging: tuple[Repo, subprocess.Popen[bytes]], way: str, cut: bool
) -> None:
    repo, merge = merging
    repo.write("mine.txt", "mine\n")
    kill_all(repo, merge)
    if cut:
        repo.write("readme.txt", "ne")
    assert repo.git("status", "--porcelain").splitlines()[:1] == [" M readme.txt"]
    words = "▲ the merge of x into main was interrupted ↳ git parallel merge x\n"
    assert repo.parallel("list").stderr.startswith(words)
    assert "the merge of x into main was interrupted" in repo.parallel("doctor", ok=1).stdout
    repo.git("config", "filter.slow.smudge", "cat")
    if way != "merge":
        way_back = ("doctor", "--fix") if way == "doctor" else ("undo", "--merge", "x")
        told = repo.parallel(*way_back).stderr
        assert (TAKEN_BACK in told) == (way == "undo")
        assert repo.git("status", "--porcelain") == "?? mine.txt"
        assert not is_landed(repo)
    told = repo.parallel("merge", "x", "--strategy", "ff").stderr
    assert (TAKEN_BACK in told) == (way == "merge")
    assert repo.git("status", "--porcelain") == "?? mine.txt"
    assert repo.git("show", "main:zoo") == "new"
    assert repo.json("doctor")["findings"] == []


@pytest.mark.slow
@pytest.mark.parametrize("way", ["merge", "doctor"])
def test_what_was_killed_is_taken_back_also_where_the_task_is_gone(
    merging: tuple[Repo, subprocess.Popen[bytes]], way: str
) -> None:
    repo, merge = merging
    kill_all(repo, merge)
    repo.parallel("remove", "x")
    words = "▲ the merge of x into main was interrupted ↳ git parallel doctor --fix\n"
    assert repo.parallel("list").stderr.startswith(words)
    assert repo.json("doctor", ok=1)["findings"][0]["command"] == "git parallel doctor --fix"
    if way == "merge":
        told = repo.parallel("merge", "x", ok=1).stderr.splitlines()
        assert told[:2] == [TAKEN_BACK, "✗ there is no task `x`"]
    else:
        repo.parallel("doctor", "--fix")
    assert repo.git("status", "--porcelain") == ""
    assert "interrupted" not in repo.parallel("list").stderr


@pytest.mark.slow
def test_what_a_person_changed_since_is_named_and_stays(
    merging: tuple[Repo, subprocess.Popen[bytes]],
) -> None:
    repo, merge = merging
    kill_all(repo, merge)
    repo.write("readme.txt", "mine\n")
    for _ in range(2):
        told = repo.parallel("merge", "x", ok=1).stderr
        assert "would be overwritten: readme.txt" in told
        assert (repo.path / "readme.txt").read_text() == "mine\n"
    repo.git("checkout", "--", "readme.txt")
    repo.parallel("merge", "x")
    assert repo.git("status", "--porcelain") == ""
