"""When a worktree is made ready, in which steps, and what is seen of it."""

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import tools
from tests.conftest import PROGRAM, Repo, run, until
from tests.test_environment import person, record

TOY = "cat toy.lock >> made/log; echo toy $PWD; test ! -e bad || exit 3"


@pytest.fixture
def toy(repo: Repo) -> Repo:
    """A repository with a package manager of its own, which notes each call in `made/log`."""
    run = json.dumps([["sh", "-c", f"mkdir -p made; {TOY}"]])
    row = f'{{ecosystem = "toy", lockfile = "toy.lock", makes = ["made"], run = {run}}}'
    repo.parallel("config", "set", "managers.toy", row)
    repo.write(".gitignore", "made/\nbad\n")
    repo.write("toy.lock", "one\n")
    repo.git("add", ".")
    repo.git("commit", "--quiet", "-m", "A project")
    repo.git("branch", "old")
    repo.commit("toy.lock", "two\n")
    return repo


def calls(path: Path) -> str:
    return (path / "made" / "log").read_text()


@pytest.mark.slow
def test_makes_every_member_ready_the_top_first(toy: Repo) -> None:
    for folder in ("b/c", "a", "examples/x", "a/node_modules/y", ".hidden"):
        toy.write(f"{folder}/toy.lock", f"{folder}\n")
    toy.git("add", "--force", ".")
    toy.git("commit", "--quiet", "-m", "Members")
    path = person(toy)
    listed = toy.json("show", "x")["environment"]["steps"]
    assert [step["name"] for step in listed] == ["files", "toy", "toy in a", "toy in b/c"]
    assert calls(path / "b" / "c") == "b/c\n"
    toy.parallel("config", "set", "environment.skip", '["a", "examples"]')
    toy.parallel("bootstrap", "x")
    listed = toy.json("show", "x")["environment"]["steps"]
    names = ["files", "toy", "toy in .hidden", "toy in b/c"]
    assert [step["name"] for step in listed] == names


@pytest.mark.slow
def test_a_member_whose_manager_is_missing_is_left_out_and_said(toy: Repo) -> None:
    row = '{ecosystem = "none", lockfile = "none.lock", run = [["no-such"]]}'
    toy.parallel("config", "set", "managers.none", row)
    toy.commit("sub/none.lock", "")
    person(toy)
    step = toy.json("show", "x")["environment"]["steps"][-1]
    assert (step["name"], step["outcome"]) == ("none in sub", "skipped")
    assert step["reason"] == "`no-such` was not found on PATH"
    assert toy.task("x")["status"] == "idle"
    toy.commit("none.lock", "")
    toy.start("y", "true")
    assert toy.task("y")["reason"].endswith("none: `no-such` was not found on PATH")
    toy.parallel("config", "set", "managers.none.run", "[]")
    toy.parallel("bootstrap", "y")


def test_a_failed_fetch_that_is_not_needed_is_told_and_no_more(toy: Repo) -> None:
    row = '{ecosystem = "lazy", lockfile = "lazy.lock", run = [["false"]], needed = false}'
    toy.parallel("config", "set", "managers.lazy", row)
    toy.commit("lazy.lock", "")
    path = toy.start("x", "touch agent")
    assert (path / "agent").exists()
    step = toy.json("show", "x")["environment"]["steps"][-1]
    assert (step["name"], step["outcome"]) == ("lazy", "skipped")
    assert (
        "○ lazy left out: `false` ended with exit code 1" in toy.parallel("bootstrap", "x").stderr
    )


def test_only_what_has_changed_is_done_again(toy: Repo) -> None:
    toy.commit("a/toy.lock", "one\n")
    path = person(toy)
    (path / "a" / "toy.lock").write_text("two\n")
    told = toy.parallel("bootstrap", "x").stderr
    assert "✓ toy in a, " in told
    assert "toy," not in told
    assert (calls(path), calls(path / "a")) == ("two\n", "one\ntwo\n")


def test_a_failed_step_keeps_what_comes_after_it(toy: Repo) -> None:
    toy.commit("a/toy.lock", "one\n")
    path = person(toy)
    (path / "toy.lock").write_text("three\n")
    (path / "bad").touch()
    told = toy.parallel("bootstrap", "x", ok=1).stderr
    assert "  | toy " in told
    assert "ended with exit code 3 ↳ git parallel bootstrap x" in told
    (path / "bad").unlink()
    toy.parallel("bootstrap", "x")
    assert calls(path / "a") == "one\n"


def test_a_switch_that_changes_a_lockfile_makes_ready_again(toy: Repo) -> None:
    path = person(toy)
    told = run("git", "switch", "--quiet", "--detach", "old", cwd=path).stderr
    assert "✓ toy, " in told
    assert calls(path) == "two\none\n"
    assert run("git", "switch", "--quiet", "-c", "another", cwd=path).stderr == ""
    assert f"✓ {path} is ready" in run("git", "merge", "--quiet", "main", cwd=path).stderr
    assert calls(path) == "two\none\ntwo\n"


@pytest.mark.slow
def test_a_pull_and_a_rebase_do_so_too(toy: Repo, tmp_path: Path) -> None:
    path = person(toy)
    run("git", "reset", "--quiet", "--hard", "old", cwd=path)
    toy.parallel("bootstrap", "x")
    run("git", "commit", "--quiet", "--allow-empty", "-m", "mine", cwd=path)
    run("git", "pull", "--quiet", "--rebase", toy.path, "main", cwd=path)
    assert calls(path) == "two\none\ntwo\n"
    toy.commit("toy.lock", "three\n")
    run("git", "pull", "--quiet", "--no-rebase", "--no-edit", toy.path, "main", cwd=path)
    assert calls(path) == "two\none\ntwo\nthree\n"


def test_a_commit_of_a_lockfile_does_not(toy: Repo) -> None:
    path = person(toy)
    (path / "toy.lock").write_text("three\n")
    run("git", "commit", "--quiet", "-am", "add a package", cwd=path)
    assert calls(path) == "two\n"


def test_a_switch_in_the_main_worktree_makes_nothing_ready(toy: Repo) -> None:
    person(toy)
    assert toy.git("switch", "--quiet", "old") == ""
    assert not (toy.path / "made").exists()


def test_worktrees_of_others_are_made_ready_at_once_and_later(toy: Repo, tmp_path: Path) -> None:
    toy.parallel("init")
    there = tmp_path / "there"
    told = run("git", "worktree", "add", "--quiet", there, "old", cwd=toy.path).stderr
    assert f"✓ {there} is ready" in told
    assert calls(there) == "one\n"
    run("git", "merge", "--quiet", "main", cwd=there)
    assert calls(there) == "one\ntwo\n"
    (there / "made" / "log").unlink()
    (there / "made").rmdir()
    toy.parallel("bootstrap", os.path.relpath(there, toy.path))
    assert calls(there) == "two\n"
    assert "there is no task `nowhere`" in toy.parallel("bootstrap", "nowhere", ok=1).stderr
    assert "this is the main worktree" in toy.parallel("bootstrap", ".", ok=1).stderr


@pytest.mark.slow
def test_a_worktree_made_without_a_hook_is_made_ready_by_hand(toy: Repo, tmp_path: Path) -> None:
    toy.parallel("init")
    there = tmp_path / "there"
    off = ("-c", "core.hooksPath=/dev/null")
    run("git", *off, "worktree", "add", "--quiet", there, "old", cwd=toy.path)
    assert not (there / "made").exists()
    run(PROGRAM, "bootstrap", cwd=there)
    assert calls(there) == "one\n"


@pytest.mark.slow
def test_husky_whose_hooks_path_is_relative(toy: Repo, tmp_path: Path) -> None:
    """Made as husky 9 does it: an untracked folder that new worktrees have not."""
    folder = toy.path / ".husky" / "_"
    folder.mkdir(parents=True)
    (folder / ".gitignore").write_text("*\n")
    (folder / "h").write_text("#!/bin/sh\n")
    for name in ("post-checkout", "post-merge"):
        (folder / name).write_text('#!/usr/bin/env sh\n. "$(dirname "$0")/h"\n')
        (folder / name).chmod(0o755)
    toy.git("config", "core.hooksPath", ".husky/_")
    path = person(toy)
    assert calls(path) == "two\n"
    there = tmp_path / "there"
    run("git", "worktree", "add", "--quiet", there, "old", cwd=toy.path)
    assert calls(there) == "one\n"
    run("git", "switch", "--quiet", "--detach", "main", cwd=there)  # no hook there: nothing happens
    assert calls(there) == "one\n"
    run(PROGRAM, "bootstrap", cwd=there)
    assert calls(there) == "one\ntwo\n"


@pytest.mark.slow
def test_shows_which_step_is_under_way_and_for_how_long(toy: Repo) -> None:
    gate = toy.path.parent / "gate"
    step = f"while [ ! -e '{gate}' ]; do sleep 0.05; done"
    toy.parallel("config", "set", "environment.run", json.dumps([step]))
    toy.parallel("start", "x")
    toy.parallel("start", "y", "--", "true")
    for name in ("x", "y"):
        task = until(partial(_preparing, toy, name, "while"))
        assert task["reason"].startswith(f"{step}, ")
        assert task["reason"].endswith("s")
    assert "preparing" in toy.parallel("list").stdout
    gate.touch()
    toy.parallel("wait", "x", "y", ok=None)
    assert toy.task("x")["status"] == "idle"


def _preparing(repo: Repo, name: str, step: str) -> dict[str, Any] | None:
    task = repo.task(name)
    known = task["status"] == "preparing" and task.get("reason", "").startswith(step)
    return task if known else None


def test_a_killed_bootstrap_of_a_runner_is_finished_by_the_next(toy: Repo) -> None:
    step = "echo $PPID > ../pid; while [ ! -e ../gate ]; do sleep 0.05; done"
    toy.parallel("config", "set", "environment.run", json.dumps([step]))
    toy.parallel("start", "x", "--", "touch", "agent")
    path = Path(toy.task("x")["path"])
    pid = until(lambda: (path.parent / "pid").exists() and (path.parent / "pid").read_text())
    os.kill(int(pid), 9)
    until(lambda: toy.task("x")["status"] == "lost")
    toy.parallel("stop", "x")
    (path.parent / "gate").touch()
    toy.parallel("run", "x", "--wait")
    assert (path / "agent").exists()
    assert calls(path) == "two\n"
    assert record(toy, "x")["doing"] is None


def lives(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


@pytest.mark.slow
def test_what_a_killed_bootstrap_left_running_is_ended_first(toy: Repo) -> None:
    step = "echo $$ > ../pid; test -e ../gate || sleep 1000"
    toy.parallel("config", "set", "environment.run", json.dumps([step]))
    path = Path(toy.parallel("start", "x", "--no-bootstrap").stdout.strip())
    child = subprocess.Popen([PROGRAM, "bootstrap"], cwd=path, stderr=subprocess.DEVNULL)
    pid = until(lambda: (path.parent / "pid").exists() and (path.parent / "pid").read_text())
    child.kill()
    child.wait()
    assert lives(int(pid))
    (path.parent / "gate").touch()
    toy.parallel("bootstrap", "x")
    assert not lives(int(pid))
    assert record(toy, "x")["doing"] is None


def test_a_full_disk_is_said_and_nothing_half_written(toy: Repo, tmp_path: Path) -> None:
    if run("unshare", "--mount", "true", cwd=tmp_path, ok=None).returncode:
        pytest.skip("nothing can be mounted here")
    toy.commit(".gitignore", "made/\nbad\n.env*\n")
    toy.write(".env.local", "A=1\n" * 50_000)
    path = Path(toy.parallel("start", "x", "--no-bootstrap").stdout.strip())
    admin = toy.path / ".git" / "worktrees" / "x"
    small = (
        f"cp -a '{admin}' ../aside && mount -t tmpfs -o size=128k none '{admin}' &&"
        f" cp -a ../aside/. '{admin}' && git parallel bootstrap x"
    )
    done = run("unshare", "--mount", "sh", "-c", small, cwd=toy.path, ok=1)
    assert "No space left on device" in done.stderr
    assert not (path / ".env.local").exists()
    toy.parallel("bootstrap", "x")
    assert (path / ".env.local").read_text() == "A=1\n" * 50_000


def test_a_read_only_worktree_is_said(toy: Repo, tmp_path: Path) -> None:
    if run("unshare", "--mount", "true", cwd=tmp_path, ok=None).returncode:
        pytest.skip("nothing can be mounted here")
    toy.commit(".gitignore", "made/\nbad\n.env\n")
    toy.write(".env", "A=1\n")
    path = Path(toy.parallel("start", "x", "--no-bootstrap").stdout.strip())
    frozen = f"mount --bind -o ro '{path}' '{path}' && git parallel bootstrap x"
    done = run("unshare", "--mount", "sh", "-c", frozen, cwd=toy.path, ok=1)
    assert f"{path} is not ready: files: " in done.stderr
    assert "Read-only file system" in done.stderr


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator["Terminal"]:
    """A real terminal, in tmux."""
    tools.need_command("tmux")
    found = Terminal(tmp_path / "tmux")
    yield found
    found.tmux("kill-server", ok=None)


class Terminal:
    """A terminal that a test types into and reads."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket

    def tmux(self, *words: str, ok: int | None = 0) -> str:
        return run("tmux", "-S", self.socket, *words, cwd=self.socket.parent, ok=ok).stdout

    def run(self, folder: Path, line: str) -> None:
        words = ("new-session", "-d", "-x", "120", "-y", "40", "-c", str(folder), "sh")
        self.tmux(*words)
        self.type(f"export TERM=xterm PS1='$ '; {line}")

    def type(self, text: str) -> None:
        self.tmux("send-keys", "-l", text)
        self.tmux("send-keys", "Enter")

    @property
    def screen(self) -> str:
        return self.tmux("capture-pane", "-p", "-J")


@pytest.mark.slow
def test_asks_on_a_terminal_and_takes_the_answer(repo: Repo, terminal: Terminal) -> None:
    repo.commit(".git-parallel.toml", '[environment]\nrun = ["touch ../ran # \\u001b[2J"]\n')
    terminal.run(repo.path, "git parallel start x")
    until(lambda: "Run them in every worktree of this clone?" in terminal.screen)
    assert "environment.run: touch ../ran # \\x1b[2J" in terminal.screen
    terminal.type("n")
    until(lambda: "x started on" in terminal.screen)
    until(lambda: repo.task("x")["status"] == "idle")
    assert "git parallel trust && git parallel bootstrap x" in repo.parallel("list").stdout
    terminal.type("clear; git parallel bootstrap x")
    until(lambda: "Run them in every worktree of this clone?" in terminal.screen)
    terminal.type("y")
    until(lambda: "x is ready" in terminal.screen)
    assert (Path(repo.task("x")["path"]).parent / "ran").exists()
    terminal.type("clear; git parallel start y")
    until(lambda: "y started on" in terminal.screen)
    assert "Run them" not in terminal.screen


def test_a_step_has_one_line_on_a_terminal(toy: Repo, terminal: Terminal) -> None:
    step = "while [ ! -e ../gate ]; do sleep 0.05; done"
    toy.parallel("config", "set", "environment.run", json.dumps([step]))
    toy.parallel("start", "x", "--no-bootstrap")
    terminal.run(toy.path, "git parallel bootstrap x")
    until(lambda: f"◎ {step}" in terminal.screen)
    assert "✓ toy, " in terminal.screen
    assert "◎ toy" not in terminal.screen
    (Path(toy.task("x")["path"]).parent / "gate").touch()
    until(lambda: "x is ready" in terminal.screen)
    assert "◎" not in terminal.screen
    assert f"✓ {step}, " in terminal.screen


@pytest.mark.slow
def test_two_bootstraps_of_a_runner_and_a_person_do_it_once(toy: Repo) -> None:
    toy.parallel("config", "set", "environment.run", '["sleep 0.3; echo >> ../count"]')
    toy.parallel("start", "x", "--", "true")
    path = Path(toy.task("x")["path"])
    child = subprocess.Popen([PROGRAM, "bootstrap"], cwd=path, stderr=subprocess.DEVNULL)
    assert child.wait() == 0
    toy.parallel("wait", "x", ok=1)
    assert (path.parent / "count").read_text() == "\n"
    assert calls(path) == "two\n"


def test_programs_of_the_main_worktree_are_not_on_the_path(repo: Repo) -> None:
    for folder in ("bin", "tools"):
        repo.commit(f"{folder}/probe", f"#!/bin/sh\necho {folder} $0\n")
        (repo.path / folder / "probe").chmod(0o755)
    repo.git("commit", "--quiet", "-am", "executable")
    shutil.rmtree(repo.path / "tools" / "x", ignore_errors=True)
    places = f"{repo.path}/node_modules/.bin:{repo.path}/bin:{os.environ['PATH']}"
    (repo.path / "node_modules" / ".bin").mkdir(parents=True)
    words = ("start", "x", "--wait", "--", "sh", "-c", "probe > seen; echo $PATH >> seen")
    path = Path(repo.parallel(*words, env={"PATH": places}).stdout.strip())
    told, seen = (path / "seen").read_text().splitlines()
    assert told == f"bin {path}/bin/probe"
    assert f"{repo.path}/" not in seen


def test_a_bootstrap_with_nothing_to_do_starts_no_program_but_git(toy: Repo) -> None:
    path = person(toy)
    began = time.monotonic()
    run(PROGRAM, "bootstrap", cwd=path)
    assert time.monotonic() - began < 30  # hung, if longer
    assert calls(path) == "two\n"
