"""What a run may use up: its niceness, its memory."""

import sys

import pytest

from git_parallel.agent import held_back
from tests.conftest import Repo

GREEDY = f'\'{sys.executable}\' -c \'b = bytearray(300_000_000); open("got", "w").write("all")\''


def test_a_run_yields_to_others(repo: Repo) -> None:
    repo.parallel("config", "set", "runs.nice", "7")
    path = repo.start("x", 'nice > niceness; echo "two  words" > words')
    assert (path / "niceness").read_text() == "7\n"
    assert (path / "words").read_text() == "two  words\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts what a process writes to")
def test_a_run_gets_no_more_memory_than_it_may(repo: Repo) -> None:
    path = repo.start("x", GREEDY)
    assert (path / "got").exists()
    repo.parallel("config", "set", "runs.memory_mib", "200")
    path = repo.start("y", GREEDY)
    assert repo.task("y")["status"] == "failed"
    assert not (path / "got").exists()
    assert "MemoryError" in repo.parallel("log", "y").stdout


def test_nothing_stands_between_where_nothing_is_asked() -> None:
    assert held_back(("make", "a b"), nice=0, memory_mib=0) == ("make", "a b")
