"""A file of one task that can't be read: that task is named and left alone, the others go on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Repo, mostly_slow, until

ADD = "echo new > new.txt && git add . && git commit -qm add"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])


def newer(path: Path) -> None:
    path.write_text(path.read_text().replace("{", '{\n  "from_the_future": true,', 1))


@pytest.mark.parametrize("harm", mostly_slow([cut, newer], quick=[cut]))
@pytest.mark.parametrize("name", ["task.json", "run-1.json"])
def test_names_it_and_goes_on(repo: Repo, harm: Callable[[Path], None], name: str) -> None:
    path = repo.start("x", ADD)
    record = repo.state / "tasks" / "x" / name
    good = record.read_bytes()
    harm(record)
    listed = repo.json("list")
    assert [damaged["name"] for damaged in listed["damaged"]] == ["x"]
    assert f"{record} can't be read" in listed["damaged"][0]["reason"]
    row = repo.parallel("list").stdout.splitlines()[1]
    assert row.split(maxsplit=3)[:3] == ["✗", "x", "damaged"]
    assert f"{record} can't be read" in row
    other = repo.start("y", ADD.replace("new", "y"))
    assert repo.names() == ["y"]
    for words in (
        ["remove", "x"],
        ["merge", "x"],
        ["show", "x"],
        ["remove", "--delete-branch", "x"],
    ):
        assert f"{record} can't be read" in repo.parallel(*words, ok=1).stderr
    repo.git("merge", "--quiet", "--no-edit", "parallel/x", "parallel/y")
    until(lambda: not other.exists())
    kept = repo.json("cleanup")["kept"]
    assert [task["name"] for task in kept] == ["x"]
    assert path.is_dir()
    assert "there is a task `x`" in repo.parallel("start", "x", ok=1).stderr or name == "task.json"
    record.write_bytes(good)
    assert [task["name"] for task in repo.json("cleanup")["cleaned"]] == ["x"]


@pytest.mark.slow
def test_a_damaged_journal_keeps_only_its_own(repo: Repo) -> None:
    for name in ("x", "y"):
        repo.start(name, ADD)
        repo.parallel("remove", name, "--delete-branch")
    journal = next(repo.state.glob("trash/x-*/journal.json"))
    good = journal.read_bytes()
    cut(journal)
    repo.parallel("undo", "y")
    assert f"{journal} can't be read" in repo.parallel("undo", "--list").stderr
    repo.parallel("config", "set", "cleanup.keep_days", "0")
    repo.parallel("cleanup")
    journal.write_bytes(good)
    repo.parallel("undo", "x")
    assert sorted(repo.names()) == ["x", "y"]


def test_does_not_bring_back_over_a_task_that_can_not_be_read(repo: Repo) -> None:
    repo.start("x", ADD)
    repo.parallel("remove", "x", "--delete-branch")
    path = repo.start("x", ADD)
    cut(repo.state / "tasks" / "x" / "task.json")
    assert "can't be read" in repo.parallel("undo", "x", ok=1).stderr
    assert path.is_dir()
    assert repo.parallel("undo", "--list").stdout.count("\n") == 2
