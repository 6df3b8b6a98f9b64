"""Notices: the inbox always, the others where they can be had, and never in the way."""

import json
import os
import re
from pathlib import Path

import pytest

from git_parallel.notice import Ending, summary
from tests.conftest import PROGRAM, Repo, run, until


def program(folder: Path, name: str, text: str) -> dict[str, str]:
    """A program of that name in front of PATH."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def test_the_inbox_keeps_a_notice_until_somebody_looks(repo: Repo) -> None:
    repo.start("good", "echo > f")
    repo.start("bad", "exit 3")
    lines = repo.parallel("list").stdout.splitlines()
    assert lines[-2].startswith("▲ good is ready, ")
    assert lines[-2].endswith("↳ git parallel review good")
    assert lines[-1].startswith("▲ bad is failed, ")
    assert lines[-1].endswith("↳ git parallel log bad")
    assert repo.task("good")["notice"] == {"status": "ready", "reason": ""}
    repo.parallel("review", "good", "--stat")
    repo.parallel("show", "bad")
    assert "▲" not in repo.parallel("list").stdout


def test_says_nothing_about_what_a_person_stopped(repo: Repo) -> None:
    repo.parallel("start", "x", "--", "sleep", "300")
    repo.parallel("stop", "x")
    assert "notice" not in repo.task("x")


def test_tells_the_desktop(repo: Repo, tmp_path: Path) -> None:
    told = tmp_path / "told"
    env = program(tmp_path / "bin", "notify-send", f'printf "%s|" "$@" > "{told}"')
    env["DISPLAY"] = ":77"
    repo.parallel("start", "x", "--", "sh", "-c", "echo > f", env=env)
    until(told.exists)
    expected = "--app-name=git parallel|--|git parallel: x|x is ready|"
    until(lambda: told.read_text() == expected)


def test_tells_no_desktop_where_there_is_none(repo: Repo, tmp_path: Path) -> None:
    told = tmp_path / "told"
    env = program(tmp_path / "bin", "notify-send", f'touch "{told}"')
    repo.parallel("start", "x", "--wait", "--", "sh", "-c", "echo > f", env=env)
    assert not told.exists()


def test_runs_the_command_of_the_user(repo: Repo, tmp_path: Path) -> None:
    told = tmp_path / "told"
    script = f'echo "$1 $GIT_PARALLEL_STATUS" > "{told}"'
    command = ["sh", "-c", script, "sh", "{task} is {status}: {reason}"]
    repo.parallel("config", "set", "notify.command", json.dumps(command))
    repo.start("x", "exit 3")
    until(told.exists)
    until(lambda: told.read_text() == "x is failed: it ended with exit code 3 failed\n")


def test_ten_that_end_at_once_are_told_of_together(repo: Repo, tmp_path: Path) -> None:
    told, gate = tmp_path / "told", tmp_path / "gate"
    env = program(tmp_path / "bin", "notify-send", f'printf "%s\\n" "$*" >> "{told}"')
    env["DISPLAY"] = ":77"
    repo.parallel("config", "set", "runs.limit", "10")
    for number in range(10):
        script = f"while [ ! -e '{gate}' ]; do sleep 0.02; done; echo > f; exit {number // 7}"
        repo.parallel("start", f"t{number}", "--", "sh", "-c", script, env=env)
    until(lambda: [t["status"] for t in repo.json("list")["tasks"]] == ["running"] * 10)
    gate.touch()
    repo.parallel("wait", ok=None)
    until(lambda: told.exists() and _named(told.read_text()) == {f"t{n}" for n in range(10)})
    lines = told.read_text().splitlines()
    assert len(lines) <= 3  # one, where the machine has time for all ten at once
    assert any("tasks" in line and " ready" in line for line in lines)


def _named(text: str) -> set[str]:
    return set(re.findall(r"\bt\d\b", text))


def test_a_summary_counts_what_came_out() -> None:
    endings = [Ending(n, s, "", "") for n, s in (("a", "ready"), ("b", "failed"), ("c", "ready"))]
    assert summary(endings) == "2 ready, 1 failed: a, b, c"
    assert summary([Ending("a", "failed", "no luck", "")]) == "a is failed: no luck"


@pytest.mark.slow
def test_what_the_users_command_leaves_running_goes_on(repo: Repo, tmp_path: Path) -> None:
    told = tmp_path / "told"
    command = ["sh", "-c", f'{{ sleep 2.5; touch "{told}"; }} &']
    repo.parallel("config", "set", "notify.command", json.dumps(command))
    repo.start("x", "echo > f")
    until(told.exists)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["exit 1", "sleep 300", "kill -9 $$"])
def test_a_bad_notice_hurts_nobody(repo: Repo, tmp_path: Path, text: str) -> None:
    env = program(tmp_path / "bin", "notify-send", text) | {"DISPLAY": ":77"}
    repo.parallel("config", "set", "notify.command", '["/nonexistent"]')
    repo.parallel("start", "x", "--wait", "--", "sh", "-c", "echo > f", env=env)
    assert repo.task("x")["status"] == "ready"


def test_rings_the_terminal_that_started_it(repo: Repo, tmp_path: Path) -> None:
    if run("sh", "-c", "command -v tmux", cwd=tmp_path, ok=None).returncode:
        pytest.skip("tmux is not installed")
    server = ("tmux", "-L", f"b{os.getpid()}", "-f", "/dev/null")
    run(*server, "new-session", "-d", "-s", "s", "-c", repo.path, "sleep 300", cwd=tmp_path)
    try:
        command = f"'{PROGRAM}' start x -- sh -c 'sleep 0.3; echo > f'; sleep 300"
        run(*server, "new-window", "-d", "-t", "s:5", "-c", repo.path, command, cwd=tmp_path)

        def flags() -> str:
            told = run(
                *server, "display-message", "-p", "-t", "s:5", "#{window_bell_flag}", cwd=tmp_path
            )
            return told.stdout.strip()

        until(lambda: flags() == "1")
        screen = run(*server, "capture-pane", "-p", "-t", "s:5", cwd=tmp_path).stdout
        assert "x started on parallel/x" in screen
        assert "is ready" not in screen
    finally:
        run(*server, "kill-server", cwd=tmp_path)
