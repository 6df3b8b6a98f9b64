"""How the trash is emptied: by age, by size, in the background, and never without a word."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Repo, run, until

ADD = "echo new > new.txt && git add . && git commit -qm add"
DAY_S = 86_400.0


def move(repo: Repo, name: str, *, mib: int = 0, days_ago: float = 0.0) -> Path:
    """Have a task of that size in the trash, moved there so many days ago; returns its journal."""
    path = repo.start(name, ADD)
    if mib:
        (path / "big.local").write_bytes(b"x" * (mib << 20))
    repo.parallel("remove", name, "--delete-branch")
    journal = next(repo.state.glob(f"trash/{name}-*/journal.json"))
    told = json.loads(journal.read_text())
    journal.write_text(json.dumps({**told, "moved": time.time() - days_ago * DAY_S}))
    (repo.state / "trash.json").unlink(missing_ok=True)
    return journal


def looked(repo: Repo) -> None:
    """Wait until somebody has looked at the trash as it is now."""
    found = repo.state / "trash.json"
    trash = repo.state / "trash"

    def fresh() -> bool:
        repo.parallel("cleanup")
        return found.exists() and found.stat().st_mtime_ns > trash.stat().st_mtime_ns

    until(fresh)


def held(repo: Repo) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = json.loads((repo.state / "trash.json").read_text())
    return found


def test_shows_how_much_it_holds_and_when_it_goes(repo: Repo) -> None:
    repo.commit(".gitignore", "*.local\n")
    move(repo, "x", mib=3, days_ago=1)
    looked(repo)
    head, row = repo.parallel("undo", "--list").stdout.splitlines()
    assert head.split() == ["ID", "TASK", "AGE", "SIZE", "GOES", "IN", "WHY"]
    assert row.split()[1:] == ["x", "1d", "3.0", "MiB", "12d", "removed"] or "3.1" in row


@pytest.mark.slow
def test_tells_two_days_before_something_goes(repo: Repo) -> None:
    move(repo, "x", days_ago=11.9)
    repo.start("y", ADD)
    looked(repo)
    assert "leaves the trash" not in repo.parallel("list").stdout
    journal = move(repo, "z", days_ago=12.9)
    looked(repo)
    told = repo.parallel("list").stdout
    assert f"▲ z leaves the trash in 1d ↳ git parallel undo {journal.parent.name}\n" in told
    assert "x leaves" not in told


@pytest.mark.slow
def test_the_oldest_go_where_it_holds_too_much_but_not_without_a_word(repo: Repo) -> None:
    repo.commit(".gitignore", "*.local\n")
    first = move(repo, "x", mib=3, days_ago=2)
    move(repo, "y", mib=1, days_ago=1)
    move(repo, "z", mib=9)
    repo.start("here", ADD)
    looked(repo)
    assert held(repo)["crowded"] == {}
    repo.parallel("config", "set", "cleanup.keep_mib", "11")
    (repo.state / "trash.json").unlink()
    looked(repo)
    name = first.parent.name
    assert list(held(repo)["crowded"]) == [name]
    assert f"x leaves the trash in 1d ↳ git parallel undo {name}" in repo.parallel("list").stdout
    found = held(repo)
    found["crowded"][name] -= 3 * DAY_S
    found["told"][name] -= 3 * DAY_S
    (repo.state / "trash.json").write_text(json.dumps(found))
    repo.parallel("cleanup")
    until(lambda: not first.exists())
    assert repo.git("for-each-ref", f"refs/parallel/trash/{name}") == ""
    rows = repo.parallel("undo", "--list").stdout.splitlines()[1:]
    assert [row.split()[1] for row in rows] == ["y", "z"]


@pytest.mark.slow
def test_what_a_wrong_clock_makes_look_old_is_told_of_first(repo: Repo) -> None:
    journal = move(repo, "x", days_ago=400)
    repo.start("here", ADD)
    looked(repo)
    told = repo.parallel("list").stdout
    assert f"x leaves the trash in 1d ↳ git parallel undo {journal.parent.name}" in told
    assert journal.exists()


def test_never_takes_the_newest_for_its_size(repo: Repo) -> None:
    repo.commit(".gitignore", "*.local\n")
    move(repo, "x", mib=3)
    repo.parallel("config", "set", "cleanup.keep_mib", "1")
    looked(repo)
    assert held(repo)["crowded"] == {}


def test_a_project_does_not_say_how_much_the_trash_may_hold(
    make_repo: Callable[..., Repo],
) -> None:
    repo = make_repo()
    repo.write(".git-parallel.toml", "[cleanup]\nkeep_mib = 1\n")
    assert "cleanup.keep_mib" in run("git", "parallel", "config", cwd=repo.path, ok=1).stderr
