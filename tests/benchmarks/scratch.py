"""Scratch repositories in a sealed environment, and commands that are run and timed in them."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

INHERITED = ("GIT_", "XDG_", "PYTHON", "PRE_COMMIT", "UV_", "PIP_")
DESKTOP = ("VIRTUAL_ENV", "DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "TMUX")
NO_HOOKS = ("-c", f"core.hooksPath={os.devnull}")
LIMIT_S = 300.0
ROOT = Path(__file__).parents[2]
SETTINGS = """\
[user]
\tname = Ada
\temail = ada@example.com
[init]
\tdefaultBranch = main
[gc]
\tauto = 0
[maintenance]
\tauto = false
"""


class Scratch:
    """A temporary folder that holds everything of a benchmark: home, repositories, trash."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.trash = folder / "trash"
        self.home.mkdir()
        self.trash.mkdir()
        (self.home / ".gitconfig").write_text(SETTINGS)
        self.environment = _sealed(os.environ, self.home, self._installed())

    def _installed(self) -> Path:
        """The folder of a program that is installed as users do it, without what tests need."""
        place = self.folder / "venv"
        install = (str(place / "bin" / "pip"), "install", "--quiet", str(ROOT))
        for command in ((sys.executable, "-m", "venv", str(place)), install):
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return place / "bin"

    def repository(self, name: str, *, files: int, folders: int) -> "Repo":
        """A repository with one commit of so many files, packed as a clone would be."""
        repo = Repo(self, self.folder / name)
        repo.path.mkdir()
        write_tree(repo.path, files=files, folders=folders)
        repo.run("git", "init", "--quiet")
        repo.run("git", "add", "--all")
        repo.run("git", "commit", "--quiet", "-m", "Begin")
        repo.run("git", "gc", "--quiet")
        return repo

    def settle(self) -> None:
        """Wait until nothing of ours runs and nothing waits to be written.

        A runner lives on after its run has ended (it refreshes the index and sweeps), and would
        compete with what is measured next; so would the files of the other side, still unwritten.
        """
        deadline = time.monotonic() + LIMIT_S
        while any(self._is_home_of(process) for process in psutil.process_iter()):
            if time.monotonic() > deadline:
                raise TimeoutError("a process of the benchmark does not end")
            time.sleep(0.02)
        os.sync()

    def discard(self, path: Path) -> None:
        """Move a folder out of the way: a mass deletion would slow what is created after it."""
        path.rename(self.trash / f"{time.monotonic_ns()}-{path.name}")

    def _is_home_of(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get("HOME") == str(self.home)
        except (psutil.Error, OSError):
            return False


class Repo:
    """A scratch repository, driven from outside as a person would."""

    def __init__(self, scratch: Scratch, path: Path) -> None:
        self.scratch = scratch
        self.path = path

    def run(
        self, *command: str, ok: Sequence[int] = (0,), variables: Mapping[str, str] | None = None
    ) -> str:
        """Run a command to its end and return what it printed."""
        environment = {**self.scratch.environment, **(variables or {})}
        done = subprocess.run(
            command,
            cwd=self.path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
        if done.returncode not in ok:
            raise RuntimeError(f"{command} gave {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout.removesuffix("\n")

    def clock(self, *command: str) -> float:
        """How many milliseconds a command takes."""
        began = time.perf_counter()
        self.run(*command)
        return (time.perf_counter() - began) * 1000

    def start_tasks(self, *names: str) -> list[Path]:
        """Start tasks that commit three files each, and return their worktrees when all is done."""
        script = 'for n in 1 2 3; do echo "$0" >"$0-$n.txt"; done; git add . && git commit -qm "$0"'
        words = ("--", "sh", "-c", script)
        paths = [Path(self.run("git", "parallel", "start", n, *words, n)) for n in names]
        self.run("git", "parallel", "wait", *names)
        self.scratch.settle()
        return paths

    def move_target(self) -> None:
        """Make a commit on the current branch that no hook hears of."""
        self.run("git", *NO_HOOKS, "commit", "--quiet", "--allow-empty", "-m", "Move on")


def _sealed(inherited: Mapping[str, str], home: Path, program: Path) -> dict[str, str]:
    """The environment without what the machine or its user would bring into a measurement."""
    kept = {n: v for n, v in inherited.items() if not n.startswith(INHERITED) and n not in DESKTOP}
    return {
        **kept,
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local" / "share"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_EDITOR": "false",
        "TERM": "dumb",
        "LC_ALL": "C.UTF-8",
        "PATH": f"{program}{os.pathsep}{inherited.get('PATH', os.defpath)}",
    }


def write_tree(top: Path, *, files: int, folders: int, lines: int = 300) -> None:
    """Write files of up to so many lines, the same ones each time, evenly into folders."""
    source = random.Random(files)
    words = [source.randbytes(source.randint(2, 6)).hex() for _ in range(400)]
    stock = [" ".join(source.choices(words, k=source.randint(1, 8))) + "\n" for _ in range(2000)]
    for number in range(folders):
        (top / f"folder{number:04}").mkdir(parents=True)
    for number in range(files):
        text = "".join(source.choices(stock, k=source.randint(1, lines)))
        (top / f"folder{number % folders:04}" / f"file{number:05}.txt").write_text(text)
