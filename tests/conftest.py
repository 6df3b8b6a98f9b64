"""The seal around every test, and a real repository to work in."""

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.sampled import EVERY, SAMPLED

PROGRAM = Path(sys.executable).with_name("git-parallel")
NPM_SETTINGS = Path.home() / ".npmrc"  # before the seal hides the home
DATE = "2026-01-02T03:04:05Z"
LONG_S = 60.0


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """More workers than processors: most tests wait for background processes now and then."""
    return 2 * (os.cpu_count() or 1)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave most variants of costly tests to the slow suite."""
    seen: Counter[str] = Counter()
    for item in items:
        name = item.name.partition("[")[0]
        if name in SAMPLED and item.get_closest_marker("slow") is None:
            if seen[name] % EVERY:
                item.add_marker(pytest.mark.slow)
            seen[name] += 1


Finished = subprocess.CompletedProcess[str]


@pytest.fixture(autouse=True)
def seal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing of the machine gets in: no inherited git, no home, no agent, no network."""
    for name in list(os.environ):
        if name.startswith(
            ("GIT_", "XDG_", "PRE_COMMIT", "GIT_PARALLEL", "PYTEST_XDIST", "PYTHON")
        ):
            monkeypatch.delenv(name)
    for name in ("VIRTUAL_ENV", "DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "WAYLAND_DISPLAY", "TMUX"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    settings = {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local" / "share"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ALLOW_PROTOCOL": "file",
        "GIT_AUTHOR_DATE": DATE,
        "GIT_COMMITTER_DATE": DATE,
        "GIT_EDITOR": "false",
        "TERM": "dumb",
        "SHELL": "/bin/sh",
        "LC_ALL": "C.UTF-8",
        "PATH": f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    (home / ".gitconfig").write_text(
        "[user]\n\tname = Ada\n\temail = ada@example.com\n[init]\n\tdefaultBranch = main\n"
        '[protocol "file"]\n\tallow = always\n[advice]\n\tdetachedHead = false\n'
    )
    yield
    _end_processes_below(tmp_path)


def _end_processes_below(folder: Path) -> None:
    for process in psutil.process_iter():
        try:
            ours = str(folder) in process.environ().get("HOME", "")
            if ours and process.pid != os.getpid():
                process.kill()
        except (psutil.Error, OSError):
            continue


def run(
    *command: str | Path,
    cwd: Path,
    ok: int | tuple[int, ...] | None = 0,
    stdin: str | bytes = b"",
    env: dict[str, str] | None = None,
) -> Finished:
    """Run a program to its end; `ok` is the exit code that it must have, None for any."""
    raw = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        input=raw,
        capture_output=True,
        env={**os.environ, **(env or {})},
        timeout=60,
        check=False,
    )
    answer = Finished(
        done.args,
        done.returncode,
        done.stdout.decode("utf-8", "replace"),
        done.stderr.decode("utf-8", "replace"),
    )
    allowed = (ok,) if isinstance(ok, int) else ok
    if allowed is not None and answer.returncode not in allowed:
        raise AssertionError(f"{command} gave {answer.returncode}\n{answer.stdout}{answer.stderr}")
    return answer


class Repo:
    """A repository for tests, driven from outside as a person would."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def git(self, *words: str | Path, ok: int | tuple[int, ...] | None = 0) -> str:
        """What git printed, without the last newline."""
        return run("git", *words, cwd=self.path, ok=ok).stdout.removesuffix("\n")

    def parallel(
        self, *words: str | Path, ok: int | tuple[int, ...] | None = 0, **options: Any
    ) -> Finished:
        """Run the installed program here, as git does it."""
        return run("git", "parallel", *words, cwd=options.pop("cwd", self.path), ok=ok, **options)

    def json(self, *words: str, ok: int | tuple[int, ...] | None = 0) -> Any:
        """The JSON that a command printed."""
        first, *rest = words
        return json.loads(self.parallel(first, "--json", *rest, ok=ok).stdout)

    def task(self, name: str) -> dict[str, Any]:
        """A task as `list --json` tells of it."""
        tasks = {task["name"]: task for task in self.json("list")["tasks"]}
        found: dict[str, Any] = tasks[name]
        return found

    def names(self) -> list[str]:
        """The names of all tasks."""
        return [task["name"] for task in self.json("list")["tasks"]]

    def write(self, name: str, text: str) -> Path:
        """Write a file of the main worktree."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def commit(self, name: str, text: str, message: str = "") -> str:
        """Commit a file and return the commit."""
        self.write(name, text)
        self.git("add", "--", name)
        self.git("commit", "--quiet", "-m", message or f"Change {name}")
        return self.git("rev-parse", "HEAD")

    def start(self, name: str, script: str, *words: str) -> Path:
        """Start a task on a shell script, wait for its end, and return its worktree."""
        words = ("start", name, *words, "--wait", "--", "sh", "-c", script)
        return Path(self.parallel(*words, ok=(0, 1)).stdout.strip())

    @property
    def state(self) -> Path:
        """Our own files in it."""
        return self.path / ".git" / "parallel" / ".state"


@pytest.fixture
def make_repo(tmp_path: Path) -> Callable[..., Repo]:
    """Make a repository with one commit."""

    def make(name: str = "my répo", *, at: Path | None = None) -> Repo:
        path = (at or tmp_path) / name
        path.mkdir(parents=True)
        repo = Repo(path)
        repo.git("init", "--quiet")
        repo.commit("readme.txt", "one\ntwo\nthree\nfour\nfive\n", "Begin")
        return repo

    return make


@pytest.fixture
def repo(make_repo: Callable[..., Repo]) -> Repo:
    """A repository with one commit, its path with a space and an accent."""
    return make_repo()


def mostly_slow(values: Iterable[Any], quick: Iterable[Any]) -> list[Any]:
    """Parameters of which the normal suite takes the quick ones, and the slow suite the rest."""
    known = list(quick)
    return [v if v in known else pytest.param(v, marks=pytest.mark.slow) for v in values]


def until(fact: Callable[[], Any], *, limit_s: float = LONG_S) -> Any:
    """Wait for a fact and return it; fails when it does not come about."""
    deadline = time.monotonic() + limit_s
    while not (found := fact()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)
    return found


def normal(text: str, tmp_path: Path) -> str:
    """A text without what differs from run to run: paths, commits, ages, times."""
    text = text.replace(str(tmp_path), "TMP")
    text = re.sub(r"\b[0-9a-f]{40}\b", "COMMIT", text)
    text = re.sub(r"\b(?=[0-9a-f]*\d)[0-9a-f]{7}\b", "SHORT", text)
    text = re.sub(r"\b\d+[smh] ago", "NOW ago", text)
    return re.sub(r"\b[0-5]?\ds\b", "NOW", text)
