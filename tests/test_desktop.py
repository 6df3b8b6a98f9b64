"""Notices on a real desktop: dunst on a virtual screen, in a session bus of its own."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tools
from tests.conftest import Repo, run, until

pytestmark = pytest.mark.slow
SESSION = """\
exec 3>display
Xvfb -displayfd 3 -screen 0 640x480x8 >/dev/null 2>&1 &
until [ -s display ]; do sleep 0.05; done
export DISPLAY=:$(cat display)
dunst >/dev/null 2>&1 &
until dunstctl count >/dev/null 2>&1; do sleep 0.05; done
env >session.part && mv session.part session
wait
"""


@pytest.fixture
def desktop(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The variables of a session in which notices are shown."""
    tools.need_command("dunst", "Xvfb", "dbus-run-session", "notify-send")
    folder = tmp_path / "desktop"
    folder.mkdir()
    session = subprocess.Popen(
        ["dbus-run-session", "--", "sh", "-c", SESSION],
        cwd=folder,
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    try:
        until((folder / "session").exists)
        lines = (line.partition("=") for line in (folder / "session").read_text().splitlines())
        known = {name: value for name, _, value in lines}
        yield {name: known[name] for name in ("DISPLAY", "DBUS_SESSION_BUS_ADDRESS")}
    finally:
        os.killpg(session.pid, signal.SIGTERM)
        session.wait()


def shown(desktop: dict[str, str], folder: Path) -> list[tuple[str, str]]:
    """The notices that were shown so far: their titles and texts, the oldest first."""
    run("dunstctl", "close-all", cwd=folder, env=desktop)
    history = json.loads(run("dunstctl", "history", cwd=folder, env=desktop).stdout)
    told = [(one["summary"]["data"], one["body"]["data"]) for one in history["data"][0]]
    return told[::-1]


def test_shows_what_is_ready_and_what_failed(repo: Repo, desktop: dict[str, str]) -> None:
    repo.parallel("start", "good", "--wait", "--", "sh", "-c", "echo > f", env=desktop)
    until(lambda: len(shown(desktop, repo.path)) == 1)
    repo.parallel("start", "bad", "--wait", "--", "sh", "-c", "exit 3", env=desktop, ok=1)
    until(lambda: len(shown(desktop, repo.path)) == 2)
    assert shown(desktop, repo.path) == [
        ("git parallel: good", "good is ready"),
        ("git parallel: bad", "bad is failed: it ended with exit code 3"),
    ]


def test_shows_one_summary_of_ten(repo: Repo, desktop: dict[str, str]) -> None:
    repo.parallel("config", "set", "runs.limit", "10")
    gate = repo.path.parent / "gate"
    script = f"while [ ! -e '{gate}' ]; do sleep 0.02; done; echo > f"
    for number in range(10):
        repo.parallel("start", f"t{number}", "--", "sh", "-c", script, env=desktop)
    until(lambda: [t["status"] for t in repo.json("list")["tasks"]] == ["running"] * 10)
    gate.touch()
    until(lambda: sum(f"t{n}" in _texts(desktop, repo) for n in range(10)) == 10)
    told = shown(desktop, repo.path)
    assert len(told) <= 3
    assert any(title.endswith(" tasks") for title, _ in told)


def _texts(desktop: dict[str, str], repo: Repo) -> str:
    return " ".join(text for _, text in shown(desktop, repo.path))
