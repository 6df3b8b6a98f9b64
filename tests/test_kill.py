"""SIGKILL at every door: the state can be explained afterwards, and no work is gone.

A small program stands before git on PATH (and a hook inside Python before renames and writes): it
kills its caller at the n-th call, before or after the real one.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import Repo, run, until
from tests.survivors import disagreements

EDIT = "sed -i.bak s/three/THREE/ readme.txt && rm readme.txt.bak && git commit -qam edit"

# Runs our program and kills its whole process at the n-th write, rename, unlink or spawn, before
# it or (a negative number) after it, while what was spawned goes on.
BOMB = """
import os, signal, subprocess, sys
left = abs(int(sys.argv[1]))
after = sys.argv[1].startswith("-")
sys.argv = ["git-parallel", *sys.argv[2:]]

def armed(function):
    def call(*words, **named):
        global left
        left -= 1
        if left == 0 and after:
            function(*words, **named)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*words, **named)
    return call

for name in ("replace", "rename", "fsync", "unlink", "symlink", "mkdir", "rmdir"):
    setattr(os, name, armed(getattr(os, name)))
start = subprocess.Popen.__init__
subprocess.Popen.__init__ = armed(start)
from git_parallel.__main__ import main
main()
"""


def bomb(repo: Repo, step: int, *words: str) -> int:
    """Run a command that is killed at a step; returns its exit code."""
    done = subprocess.run(
        [sys.executable, "-c", BOMB, str(step), *words],
        cwd=repo.path,
        capture_output=True,
        timeout=120,
        check=False,
    )
    return done.returncode


def steps(limit: int, *, every: int) -> list[Any]:
    """All steps up to a limit; the normal suite takes a part of them, the slow one all."""
    return [
        number if number % every == 0 else pytest.param(number, marks=pytest.mark.slow)
        for number in range(1, limit + 1)
    ]


def contents(path: Path) -> dict[str, bytes]:
    files = (p for p in path.rglob("*") if p.is_file() and not p.is_symlink())
    return {str(p.relative_to(path)): p.read_bytes() for p in files if p.name != ".git"}


def explained(repo: Repo) -> None:
    """Every command can read what is there, and git finds nothing wrong with it."""
    for words in (["list"], ["cleanup", "--json"]):
        done = repo.parallel(*words)
        assert "can't be read" not in done.stderr
    assert repo.git("fsck", "--strict", "--no-dangling").strip() == ""
    assert repo.git("status", "--porcelain") == ""


@pytest.mark.parametrize("step", steps(24, every=4))
def test_start_killed_anywhere_can_be_started_again(repo: Repo, step: int) -> None:
    repo.parallel("init")
    before = repo.git("rev-parse", "main")
    killed = bomb(repo, step, "start", "x", "--", "sh", "-c", EDIT)
    explained(repo)
    if killed == 0:
        repo.parallel("wait", "x", ok=None)
        assert repo.task("x")["status"] == "ready"
        return
    assert killed == -signal.SIGKILL
    tasks = {task["name"]: task for task in repo.json("list")["tasks"]}
    if "x" in tasks and tasks["x"]["status"] not in ("lost",):
        repo.parallel("wait", "x", ok=None)
        assert repo.task("x")["status"] == "ready"
        return
    if "x" in tasks:
        assert tasks["x"]["reason"]
    again = repo.parallel("start", "x", "--", "sh", "-c", EDIT, ok=(0, 1))
    if again.returncode:
        assert "there is a task `x` already" in again.stderr
        repo.parallel("run", "x", "--wait", "--", "sh", "-c", EDIT)
    repo.parallel("wait", "x", ok=None)
    assert repo.task("x")["status"] == "ready"
    assert repo.git("rev-parse", "main") == before


@pytest.mark.parametrize("step", steps(24, every=4))
def test_remove_killed_anywhere_loses_nothing(repo: Repo, step: int) -> None:
    repo.commit(".gitignore", "*.local\n")
    path = repo.start("x", EDIT)
    (path / "keep.local").write_text("mine")
    tip = repo.git("rev-parse", "parallel/x")
    content = contents(path)
    killed = bomb(repo, step, "remove", "x", "--delete-branch")
    explained(repo)
    if "x" not in repo.names():
        repo.parallel("undo", "x")
    assert killed in (0, -signal.SIGKILL)
    assert repo.task("x")["head"] == tip
    assert contents(path) == content
    assert run("git", "status", "--porcelain", cwd=path).stdout == ""
    repo.parallel("remove", "x", "--delete-branch")
    assert repo.names() == []
    assert repo.git("worktree", "list").count("\n") == 0


@pytest.mark.slow
@pytest.mark.parametrize("step", steps(20, every=7))
def test_undo_killed_anywhere_loses_nothing(repo: Repo, step: int) -> None:
    path = repo.start("x", EDIT)
    tip = repo.git("rev-parse", "parallel/x")
    content = contents(path)
    repo.parallel("remove", "x", "--delete-branch")
    bomb(repo, step, "undo", "x")
    explained(repo)
    if "x" not in repo.names():
        repo.parallel("undo", "x")
    assert repo.task("x")["head"] == tip
    assert contents(path) == content
    assert run("git", "status", "--porcelain", cwd=path).stdout == ""


@pytest.mark.parametrize("step", steps(24, every=4))
def test_list_tells_of_a_task_whose_removal_was_killed(repo: Repo, step: int) -> None:
    """However far it was, and whatever git pruned meanwhile."""
    path = repo.start("x", EDIT)
    (path / "readme.txt").write_text("staged\n")
    run("git", "stash", cwd=path)
    bomb(repo, step, "remove", "x", "--delete-branch")
    repo.git("worktree", "prune")
    told = repo.parallel("list", "--all").stdout
    assert "x " in told
    if not repo.names():
        repo.parallel("undo", "x")
    assert repo.task("x")["status"] == "ready"
    assert disagreements(repo.path / ".git") == []
    assert run("git", "log", "--format=%s", "-1", cwd=path).stdout == "edit\n"


@pytest.mark.parametrize("step", steps(24, every=6))
def test_a_removal_that_was_killed_makes_room_for_who_came_after_it(repo: Repo, step: int) -> None:
    path = repo.start("x", EDIT)
    content = contents(path)
    bomb(repo, step, "remove", "x", "--delete-branch")
    path.mkdir(exist_ok=True)
    (path / "mine").write_text("mine")
    repo.parallel("list")
    assert (path / "mine").read_text() == "mine"
    if repo.names():
        assert contents(path) == {**content, "mine": b"mine"}
        return
    path.rename(path.with_name("y"))
    repo.parallel("undo", "x")
    assert contents(path) == content
    assert repo.task("x")["status"] == "ready"


def both_sides(limit: int, *, every: int) -> list[Any]:
    """All steps up to a limit, killed before and after; the slow suite takes those after."""
    later = [pytest.param(-number, marks=pytest.mark.slow) for number in range(1, limit + 1)]
    return [*steps(limit, every=every), *later]


def at_rest(repo: Repo) -> bool:
    """Whether no git that was spawned goes on."""
    names = [p.name() for p in psutil.process_iter() if _works_for(p, repo)]
    return "git" not in names


def _works_for(process: psutil.Process, repo: Repo) -> bool:
    try:
        return process.cwd().startswith(str(repo.path.parent))
    except (psutil.Error, OSError):
        return False


@pytest.mark.slow
@pytest.mark.parametrize("step", both_sides(62, every=30))
def test_merge_killed_anywhere_is_before_or_after(repo: Repo, step: int) -> None:
    path = repo.start("x", EDIT)
    tip, old = repo.git("rev-parse", "parallel/x"), repo.git("rev-parse", "main")
    repo.commit("other.txt", "other\n")
    before = repo.git("rev-parse", "main")
    bomb(repo, step, "merge", "x")
    until(lambda: at_rest(repo))
    repo.parallel("list")
    explained(repo)
    now = repo.git("rev-parse", "main")
    if now == before:
        assert path.is_dir()
        repo.parallel("merge", "x")
    merged = repo.git("rev-parse", "main^1", "main^2").split()
    assert merged == [before, tip]
    assert old != before
    assert "THREE" in (repo.path / "readme.txt").read_text()
    repo.parallel("list")
    assert repo.names() == []


@pytest.mark.slow
@pytest.mark.parametrize("step", both_sides(124, every=62))
def test_merge_with_checks_and_hooks_killed_anywhere_is_before_or_after(
    repo: Repo, step: int
) -> None:
    hook = repo.path / ".git" / "hooks" / "commit-msg"
    hook.write_text("#!/bin/sh\n")
    hook.chmod(0o755)
    repo.start("x", EDIT)
    repo.start("child", "echo c > c.txt", "parallel/x")
    child = repo.git("rev-parse", "parallel/child")
    before = repo.commit("other.txt", "other\n")
    repo.write("mine.txt", "mine\n")
    repo.parallel("config", "set", "checks.run", '["grep -q THREE readme.txt"]')
    killed = bomb(repo, step, "merge", "x", "--strategy", "squash")
    assert killed in (0, -signal.SIGKILL)
    until(lambda: at_rest(repo))
    (repo.path / "mine.txt").rename(repo.path.parent / "mine.txt")
    repo.parallel("cleanup")
    explained(repo)
    if repo.git("rev-parse", "main") == before:
        repo.parallel("merge", "x", "--strategy", "squash")
    assert repo.git("rev-parse", "main^") == before
    assert (repo.path / "other.txt").read_text() == "other\n"
    assert "THREE" in (repo.path / "readme.txt").read_text()
    repo.parallel("cleanup")
    assert repo.names() == ["child"]
    assert repo.git("worktree", "list").count("\n") == 1
    assert not list((repo.state / ".scratch").glob("*"))
    assert repo.task("child")["target"] == "main"
    if repo.git("rev-parse", "parallel/child") == child:
        repo.parallel("rebase", "child", ok=(0, 1))
    assert repo.git("show", "parallel/child:c.txt") == "c"
    if not repo.task("child")["behind"]:
        assert repo.git("rev-list", "--count", "main..parallel/child") == "1"


@pytest.mark.parametrize("phase", ["preparing", "running", "collecting", "checking", "queued"])
def test_a_runner_killed_in_any_phase_shows_as_lost(repo: Repo, phase: str) -> None:
    hold = "until test -e $HOME/go; do sleep 0.05; done"
    if phase == "queued":
        repo.parallel("config", "set", "runs.limit", "1")
        repo.parallel("start", "first", "--", "sh", "-c", hold)
    if phase == "preparing":
        repo.parallel("config", "set", "environment.run", f'["{hold}"]')
    if phase == "checking":
        repo.parallel("config", "set", "checks.run", f'["{hold}"]')
    if phase == "collecting":
        hook = repo.path / ".git" / "hooks" / "pre-commit"
        hook.write_text(f"#!/bin/sh\n{hold}\n")
        hook.chmod(0o755)
    script = hold if phase == "running" else "echo new > new.txt"
    path = Path(repo.parallel("start", "x", "--", "sh", "-c", script).stdout.strip())
    record = repo.state / "tasks" / "x" / "run-1.json"
    until(lambda: json.loads(record.read_text())["phase"] == phase)
    until(lambda: json.loads(record.read_text())["pid"])
    os.kill(json.loads(record.read_text())["pid"], signal.SIGKILL)
    until(lambda: repo.task("x")["status"] == "lost")
    assert repo.task("x")["reason"] == f"its runner died while {phase}"
    if phase in ("collecting", "checking"):
        assert (path / "new.txt").read_text() == "new\n"
    repo.parallel("stop", "x")
    (Path(os.environ["HOME"]) / "go").touch()
    repo.parallel("run", "x", "--wait", "--", "sh", "-c", "echo again > again.txt")
    assert repo.task("x")["status"] == "ready"
