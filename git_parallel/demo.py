"""The whole story on a throw-away repository: the stage that `git parallel demo` plays on, and the
steps of the play.

All of it lies in one temporary folder, its user's home too, and all of its processes carry a mark.
Whatever happens, both are gone at the end.
"""

import contextlib
import os
import shlex
import shutil
import signal
import site
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w
from msgspec import Struct

from git_parallel import process, tree
from git_parallel.errors import ParallelError
from git_parallel.git import Git, check_version, clean_environment

if TYPE_CHECKING:
    import psutil

FILES = Path(__file__).with_name("demo_files")
MARK = "GIT_PARALLEL_DEMO"
SLOTS = 2
LIMIT_S = 60.0


class Stage:
    """A small program in a repository, in a folder that holds everything else as well."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repository = folder / "shop"
        self.environment = _environment(folder)
        self.git = Git(self.repository, self.environment)

    def perform(self, line: str) -> int:
        """Run a command line of the play, its output going to stdout; returns its exit code."""
        words = shlex.split(line)
        ours = words[:2] == ["git", "parallel"]
        command = [*process.own_program(), *words[2:]] if ours else self.git.argv(*words[1:])
        return process.show(command, folder=self.repository, environment=self.environment).code

    def await_work(self) -> None:
        """Wait until as many agents are at work as there are slots."""
        _await(lambda: len(os.listdir(self.folder / "at-work")) == SLOTS)

    def go_on(self) -> None:
        """Let the agents go on: they wait for their audience."""
        (self.folder / "go-on").touch()

    def await_rest(self) -> None:
        """Wait until nothing runs in the background: a runner sweeps at its end, and what the next
        command is to clean up would already be gone.
        """
        _await(lambda: not self.processes())

    def processes(self) -> list["psutil.Process"]:
        """What was started on this stage and still runs."""
        return tree.tagged(str(self.folder), variable=MARK)


class Step(Struct, frozen=True):
    """One line that says what is to be seen, and the command lines that show it; `cue` is waited
    for before.
    """

    told: str
    commands: tuple[str, ...]
    exit_code: int = 0
    cue: Callable[[Stage], None] = lambda _: None


def play() -> list[Step]:
    """The steps, in their order."""
    tasks = _shop()["tasks"].items()
    starts = [f'git parallel start {name} -m "{task["prompt"]}"' for name, task in tasks]
    return [
        Step("A small program, in a temporary folder.", ("git ls-files",)),
        Step(
            "Its tests must pass in every task; what a project brings to run, you approve once.",
            ("git parallel trust --yes",),
        ),
        Step(
            "Start three tasks: each gets a branch, a worktree and an agent (here a stand-in).",
            tuple(starts),
        ),
        *WORK,
        *LANDING,
    ]


WORK = (
    Step(
        f"They work in the background, here {SLOTS} at once.",
        ("git parallel list",),
        cue=Stage.await_work,
    ),
    Step("Do something else, or wait for them.", ("git parallel wait",), cue=Stage.go_on),
    Step(
        "Ready: the agent ended well, something changed, the checks passed.",
        ("git parallel list",),
    ),
    Step("What an agent printed is in its log.", ("git parallel log discount",)),
    Step("Merging every pair on trial shows which collide.", ("git parallel conflicts",)),
    Step("See what one of them did.", ("git parallel review discount --stat",)),
)
LANDING = (
    Step(
        "Merge it: prepared aside, checked, then landed; its worktree is cleaned up.",
        ("git parallel merge discount",),
        cue=Stage.await_rest,
    ),
    Step("Merge another with plain git: a hook cleans up.", ("git merge parallel/receipt",)),
    Step(
        "The last one collides with what is merged: it is refused, and nothing has changed.",
        ("git parallel merge shipping",),
        exit_code=1,
    ),
    Step(
        "Nothing is ever lost: a task that was cleaned up comes back as it was.",
        ("git parallel undo discount", "git parallel list"),
    ),
)


@contextlib.contextmanager
def open_stage() -> Iterator[Stage]:
    """A stage that is set up; afterwards it is gone with every process that was started on it.

    SIGTERM and SIGHUP interrupt the program as Ctrl-C does. Raises ParallelError.
    """
    ends = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if _is_heard(n)]
    for number in ends:
        signal.signal(number, signal.default_int_handler)
    try:
        folder = Path(tempfile.mkdtemp(prefix="git-parallel-demo-")).resolve()
    except OSError as error:
        raise ParallelError(f"there is no temporary folder to play in: {error}") from error
    stage = Stage(folder)
    try:
        _set_up(stage)
        yield stage
    finally:
        for number in ends:
            signal.signal(number, signal.SIG_IGN)
        try:
            tree.end(stage.processes)
        finally:
            shutil.rmtree(folder)


def _is_heard(number: signal.Signals) -> bool:
    """Whether a signal would reach us: under `nohup` SIGHUP does not."""
    return signal.getsignal(number) is not signal.SIG_IGN


def _environment(folder: Path) -> dict[str, str]:
    """The environment of a user who never configured anything, and whose home is on the stage."""
    inherited = clean_environment(os.environ)
    kept = {n: v for n, v in inherited.items() if not n.startswith(("GIT_", "XDG_"))}
    home = folder / "home"
    return {
        **kept,
        MARK: str(folder),
        "PATH": os.pathsep.join([str(folder / "bin"), kept.get("PATH", os.defpath)]),
        "HOME": str(home),
        "TMPDIR": str(folder / "tmp"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local" / "share"),
        "XDG_STATE_HOME": str(home / ".local" / "state"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_PAGER": "cat",
        "PYTHONUSERBASE": site.getuserbase(),  # or `pip install --user` would follow HOME
    }


def _set_up(stage: Stage) -> None:
    check_version(Git(stage.folder, stage.environment))
    for name in ("home", "tmp", "bin", "at-work"):
        (stage.folder / name).mkdir()
    for name, command in (("python3", [sys.executable]), ("git-parallel", process.own_program())):
        program = stage.folder / "bin" / name
        program.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
        program.chmod(0o755)
    _make_repository(stage)


def _make_repository(stage: Stage) -> None:
    for name, text in _shop()["files"].items():
        file = stage.repository / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    stage.git.run("init", "--quiet", "--template=", "--initial-branch=main")
    stage.git.run("config", "user.name", "Demo")
    stage.git.run("config", "user.email", "demo@example.com")
    stage.git.run("add", "--all")
    stage.git.run("commit", "--quiet", "-m", "Open a small shop")
    settings = {
        "agent": "stand-in",
        "agents": {"stand-in": {"command": ["python3", str(FILES / "agent.py")]}},
        "runs": {"limit": SLOTS},
        "notify": {"desktop": False, "terminal": False},
    }
    file = stage.repository / ".git" / "parallel" / "config.toml"
    file.parent.mkdir()
    file.write_text(tomli_w.dumps(settings), "utf-8")


def _shop() -> dict[str, Any]:
    return tomllib.loads((FILES / "shop.toml").read_text("utf-8"))


def _await(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not fact():
        if time.monotonic() > deadline:
            raise ParallelError(f"nothing went on for {LIMIT_S:g} s")
        time.sleep(0.05)
