"""Several attempts at one task: made from one commit, compared, one of them kept."""

from pathlib import Path

import pytest

from tests.conftest import Repo, until
from tests.test_agents import Agent, claude, codex  # noqa: F401 - fixtures

MAKE = 'echo "$GIT_PARALLEL_TASK" > f && git add f && git commit -qm "Make f"'
SCRIPT = f'{MAKE}; test "$GIT_PARALLEL_TASK" != x.2'


def test_makes_several_tasks_from_one_commit(repo: Repo) -> None:
    done = repo.parallel("start", "x", "--attempts", "3", "--", "sh", "-c", SCRIPT)
    paths = [Path(line) for line in done.stdout.splitlines()]
    assert [path.name for path in paths] == ["x.1", "x.2", "x.3"]
    repo.parallel("wait", ok=None)
    tasks = [repo.task(f"x.{n}") for n in (1, 2, 3)]
    assert len({task["base"] for task in tasks}) == 1
    assert len({task["ports"][0] for task in tasks}) == 3
    assert [task["status"] for task in tasks] == ["ready", "failed", "ready"]


@pytest.fixture
def three(repo: Repo) -> Repo:
    repo.parallel("config", "set", "checks.run", '["test -e f"]')
    words = ("--attempts", "3", "--wait", "--json", "--", "sh", "-c", SCRIPT)
    told = repo.parallel("start", "x", *words, ok=1).stdout
    assert told.startswith("{")
    return repo


def test_compares_them_in_one_table(three: Repo) -> None:
    lines = three.parallel("review", "x").stdout.splitlines()
    head, *rows = [line.split() for line in lines]
    assert head == ["TASK", "STATUS", "AGENT", "CHECKS", "CHANGES", "TIME", "NOTE"]
    assert [row[:2] for row in rows] == [["✓", "x.1"], ["✗", "x.2"], ["✓", "x.3"]]
    assert "1 of 1 passed  1 file +1 -0" in lines[1]
    assert "it ended with exit code 1" in lines[2]
    assert [task["name"] for task in three.json("review", "x")["tasks"]] == ["x.1", "x.2", "x.3"]


@pytest.mark.slow
def test_the_hint_follows_what_the_person_said(three: Repo) -> None:
    def hints() -> list[str]:
        return three.parallel("review", "x").stderr.splitlines()

    assert hints() == ["↳ git parallel review x.1", "↳ git parallel pick x.1"]
    three.parallel("review", "x.1", "--reject", "-m", "no")
    assert hints() == ["↳ git parallel review x.3", "↳ git parallel pick x.3"]
    three.parallel("remove", "x.1", "x.2")
    assert hints() == ["↳ git parallel review x.3", "↳ git parallel merge x.3"]


def test_keeps_one_and_the_others_can_come_back(three: Repo) -> None:
    done = three.parallel("pick", "x.3")
    assert "✓ x.3 is kept ↳ git parallel review x.3" in done.stderr
    assert three.names() == ["x.3"]
    assert (
        three.git("branch", "--list", "parallel/*", "--format=%(refname:short)") == "parallel/x.3"
    )
    three.parallel("undo", "x.1")
    assert three.task("x.1")["status"] == "ready"
    assert three.git("show", "parallel/x.1:f") == "x.1"


def test_one_that_is_at_work_is_not_taken_away(repo: Repo) -> None:
    gate = "while [ ! -e ../gate ]; do sleep 0.05; done"
    repo.parallel("start", "x", "--attempts", "2", "--", "sh", "-c", gate)
    until(lambda: repo.task("x.2")["status"] == "running")
    told = repo.parallel("pick", "x.1", ok=1).stderr
    assert "`x.2` can't be removed: it is running" in told
    assert "git parallel stop x.2" in told
    assert repo.names() == ["x.1", "x.2"]
    repo.parallel("stop", "x.1", "x.2")


@pytest.mark.slow
def test_agents_take_turns(repo: Repo, claude: Agent, codex: Agent) -> None:  # noqa: F811
    claude.does("echo > a")
    codex.does("echo > b")
    words = ("--agent", "claude,codex", "--attempts", "3", "-m", "Add a note", "--wait")
    repo.parallel("start", "x", *words)
    agents = [repo.task(f"x.{n}")["agent"] for n in (1, 2, 3)]
    assert agents == ["claude", "codex", "claude"]
    repo.parallel("start", "y", "--agent", "codex,claude", "-m", "Add a note", "--wait")
    assert [repo.task(f"y.{n}")["agent"] for n in (1, 2)] == ["codex", "claude"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("x", "--attempts", "2"), "attempts need something to start"),
        (("x", "--attempts", "2", "--branch", "b", "--", "true"), "--branch and several attempts"),
        (("x", "--attempts", "0", "--", "true"), "0 is not in the range"),
    ],
)
def test_refuses_what_makes_no_sense(repo: Repo, words: tuple[str, ...], told: str) -> None:
    assert told in repo.parallel("start", *words, ok=2).stderr
    assert repo.names() == []


def test_only_an_attempt_can_be_picked(repo: Repo) -> None:
    repo.start("x", "echo > f")
    told = repo.parallel("pick", "x", ok=1).stderr
    assert "`x` is not one attempt of several" in told
