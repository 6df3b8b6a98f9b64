"""`--after`: a task starts when others are ready, and holds nobody up until then."""

import json
from pathlib import Path

import pytest

from tests.conftest import Repo, until


@pytest.fixture
def gate(repo: Repo) -> Path:
    """A task `first` that ends when this file is there."""
    path = repo.path.parent / "gate"
    script = f"while [ ! -e '{path}' ]; do sleep 0.05; done; echo > f; test ! -s '{path}'"
    repo.parallel("start", "first", "--", "sh", "-c", script)
    return path


def after(repo: Repo, name: str, *names: str) -> None:
    words = [word for other in names for word in ("--after", other)]
    repo.parallel("start", name, *words, "--", "sh", "-c", f"echo > {name}")


def reason(repo: Repo, name: str) -> tuple[str, str]:
    task = repo.task(name)
    return task["status"], task.get("reason", "")


def test_starts_when_the_other_is_ready(repo: Repo, gate: Path) -> None:
    repo.parallel("config", "set", "runs.limit", "1")
    after(repo, "second", "first")
    until(lambda: reason(repo, "second") == ("queued", "after first"))
    assert "after first" in repo.parallel("list").stdout
    gate.touch()
    assert repo.parallel("wait", "first", "second").returncode == 0
    assert repo.task("second")["status"] == "ready"
    assert repo.task("second")["after"] == ["first"]


def test_holds_nobody_up_meanwhile(repo: Repo, gate: Path) -> None:
    repo.parallel("config", "set", "runs.limit", "2")
    after(repo, "second", "first")
    repo.parallel("start", "third", "--wait", "--", "sh", "-c", "echo > third")
    assert repo.task("third")["status"] == "ready"
    assert repo.task("second")["status"] == "queued"


def test_stays_queued_where_the_other_fails_and_goes_on_when_it_is_mended(
    repo: Repo, gate: Path
) -> None:
    after(repo, "second", "first")
    gate.write_text("fail")
    until(lambda: reason(repo, "second") == ("queued", "after first, which is failed"))
    repo.parallel("run", "first", "--", "sh", "-c", "echo > g")
    repo.parallel("wait", "second")
    assert repo.task("second")["status"] == "ready"


def test_a_waiting_task_can_be_stopped(repo: Repo, gate: Path) -> None:
    after(repo, "second", "first")
    until(lambda: reason(repo, "second") == ("queued", "after first"))
    repo.parallel("stop", "second")
    assert repo.task("second")["status"] == "stopped"


@pytest.mark.slow
def test_one_that_was_merged_is_enough_and_one_that_was_removed_is_not(
    repo: Repo, gate: Path
) -> None:
    gate.touch()
    repo.parallel("wait", "first")
    repo.start("other", "echo > o")
    after(repo, "second", "first", "other")
    repo.parallel("wait", "second")
    repo.parallel("merge", "first")
    task = repo.state / "tasks" / "second" / "task.json"
    assert json.loads(task.read_text())["after"] == ["first", "other"]
    repo.parallel("stop", "second")
    repo.start("late", "echo > l", "--after", "second")
    assert repo.task("late")["status"] == "ready"


@pytest.mark.slow
def test_says_that_the_other_is_gone(repo: Repo, gate: Path) -> None:
    after(repo, "second", "first")
    repo.parallel("stop", "first")
    repo.parallel("remove", "first", "--delete-branch")
    until(lambda: reason(repo, "second") == ("queued", "after first, which is gone"))
    repo.parallel("undo", "first")
    until(lambda: reason(repo, "second") == ("queued", "after first, which is stopped"))
    repo.parallel("stop", "second")


@pytest.mark.slow
def test_a_landed_one_counts_when_it_is_cleaned_up(repo: Repo, gate: Path) -> None:
    repo.start("other", "echo > o")
    after(repo, "second", "other", "first")
    until(lambda: reason(repo, "second") == ("queued", "after first"))
    repo.parallel("merge", "other")
    assert "other" not in repo.names()
    gate.touch()
    repo.parallel("wait", "second")
    assert repo.task("second")["status"] == "ready"


def test_refuses_what_is_no_task_and_nothing_to_start(repo: Repo) -> None:
    told = repo.parallel("start", "x", "--after", "nobody", "--", "true", ok=1).stderr
    assert "there is no task `nobody`" in told
    repo.start("first", "echo > f")
    told = repo.parallel("start", "x", "--after", "first", ok=2).stderr
    assert "--after needs something to start" in told
    assert repo.names() == ["first"]
