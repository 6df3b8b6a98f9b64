"""Checks on the merged result: in an environment of its own, and once for each result."""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from git_parallel.proof import LIFE_S, MOST, Memory
from git_parallel.store import Store
from tests.conftest import Repo

ADD = "echo new > new.txt && git add . && git commit -qm add"
NAMES = ("SLOT", "PORT", "PORT_9", "DATABASE_SUFFIX")


def check(repo: Repo, *commands: str) -> None:
    """Have these commands as checks, from now on."""
    repo.parallel("config", "set", "checks.run", json.dumps(list(commands)))


@contextlib.contextmanager
def held(repo: Repo) -> Iterator[None]:
    """While main can't move: what is merged passes, and does not land."""
    hook = repo.path / ".git" / "hooks" / "reference-transaction"
    hook.write_text('#!/bin/sh\ntest "$1" != prepared || ! grep -q refs/heads/main\n')
    hook.chmod(0o755)
    yield
    hook.unlink()


def told(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def test_checks_have_a_slot_and_ports_of_their_own(repo: Repo, tmp_path: Path) -> None:
    repo.write(".env", "WEB=1\n")
    repo.commit(".gitignore", ".env\n")
    repo.parallel("init")
    with (repo.state.parent / "config.toml").open("a") as file:
        file.write('[environment.env]\nWEB = "{port}"\n')
    repo.start("x", ADD)
    repo.parallel("start", "y", "--no-bootstrap")
    taken = {str(port) for name in "xy" for port in repo.task(name)["ports"]}
    asked = " ".join(f"$GIT_PARALLEL_{name}" for name in NAMES)
    check(repo, f"echo {asked} $COMPOSE_PROJECT_NAME $PWD $(cat .env) > {tmp_path}/seen")
    repo.parallel("merge", "x")
    (line,) = told(tmp_path / "seen")
    slot, port, last, suffix, project, place, copied = line.replace("my répo", "R").split()
    assert slot == "3"
    assert not taken & {port, last}
    assert copied == f"WEB={port}"
    assert (suffix, project) == ("_x_merge_3", "my-repo-x-merge-3")
    assert Path(place).parent.name == ".scratch"
    assert not (repo.state / ".scratch" / Path(place).name).exists()


@pytest.mark.slow
def test_a_result_that_passed_is_not_checked_again(repo: Repo, tmp_path: Path) -> None:
    check(repo, f"echo ran >> {tmp_path}/ran; test ! -e $HOME/broken")
    repo.start("x", ADD)
    (tmp_path / "ran").unlink()
    broken = tmp_path / "home" / "broken"
    broken.touch()
    for _ in range(2):  # what failed is tried again
        assert "failed with exit code 1" in repo.parallel("merge", "x", ok=1).stderr
    broken.unlink()
    assert told(tmp_path / "ran") == ["ran"] * 2
    with held(repo):
        repo.parallel("merge", "x", ok=1)
    assert repo.git("status", "--porcelain") == ""
    assert told(tmp_path / "ran") == ["ran"] * 3
    done = repo.parallel("merge", "x")
    assert "x merged into main is a tree that has passed the checks before" in done.stderr
    assert told(tmp_path / "ran") == ["ran"] * 3


@pytest.mark.slow
def test_another_command_or_another_tree_is_checked(repo: Repo, tmp_path: Path) -> None:
    repo.start("x", ADD)
    memory = repo.state / "passed.json"
    for number, command in enumerate(["true", "true # too", "true"]):
        check(repo, command)
        with held(repo):
            repo.parallel("merge", "x", ok=1)
        assert len(json.loads(memory.read_text())["times"]) == min(number + 1, 2)
    repo.commit("moved.txt", "moved\n")
    check(repo, f"touch {tmp_path}/ran")
    repo.parallel("merge", "x")
    assert (tmp_path / "ran").exists()


def test_the_memory_is_bounded_and_forgets_in_time(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.create()
    memory = Memory(store)
    assert not memory.holds("a")
    for number in range(MOST + 5):
        memory.keep(str(number))
    assert not memory.holds("4")
    assert memory.holds("5")
    known = json.loads(memory.file.read_text())
    known["times"]["5"] = time.time() - LIFE_S - 1
    memory.file.write_text(json.dumps(known))
    assert not memory.holds("5")
    memory.file.write_text("{")
    assert not memory.holds("6")


def test_what_is_not_trusted_is_not_run(repo: Repo, tmp_path: Path) -> None:
    repo.start("x", ADD)
    repo.commit(".git-parallel.toml", f'[checks]\nrun = ["touch {tmp_path}/ran"]\n')
    assert "not trusted yet" in repo.parallel("merge", "x", ok=1).stderr
    assert not (tmp_path / "ran").exists()
