"""Stands for an agent in `git parallel demo`: reads its brief, changes the code, runs the tests and
commits. It does what shop.toml says about its task, a little slower than it could.

It is a program of its own, run in a task's worktree, and knows nothing of git parallel's insides.
"""

import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path

PAUSE_S = 0.25
LIMIT_S = 60.0


def main() -> None:
    """Work on the task that the environment names."""
    name = os.environ["GIT_PARALLEL_TASK"]
    shop = tomllib.loads(Path(__file__).with_name("shop.toml").read_text("utf-8"))
    task = shop["tasks"][name]
    say(f"Brief: {sys.stdin.readline().strip()}")
    wait_for_the_audience(Path(os.environ["GIT_PARALLEL_DEMO"]), name)
    replace(Path(task["changes"]), task["old"], task["new"])
    add(Path(task["adds"]), task["test"])
    say("Run the tests")
    run("python3", "-m", "unittest", "-q")
    say("Commit")
    run("git", "add", "--all")
    run("git", "commit", "--quiet", "-m", task["commit"])


def say(text: str) -> None:
    """Print what is going on, and take the time that thinking takes."""
    print(f"● {text}", flush=True)  # noqa: T201 - what an agent prints is the log of its run
    time.sleep(PAUSE_S)


def wait_for_the_audience(demo: Path, name: str) -> None:
    """Tell that work has begun, and go on when it has been seen."""
    (demo / "at-work" / name).touch()
    deadline = time.monotonic() + LIMIT_S
    while not (demo / "go-on").exists() and time.monotonic() < deadline:
        time.sleep(0.02)


def replace(path: Path, old: str, new: str) -> None:
    """Replace a text in a file."""
    text = path.read_text("utf-8")
    if old not in text:
        sys.exit(f"{path} is not what was expected")
    say(f"Edit {path}")
    path.write_text(text.replace(old, new), "utf-8")


def add(path: Path, text: str) -> None:
    """Write a new file."""
    say(f"Write {path}")
    path.write_text(text, "utf-8")


def run(*command: str) -> None:
    """Run a program, and end as it does where it fails."""
    if code := subprocess.run(command, check=False).returncode:
        sys.exit(code)


if __name__ == "__main__":
    main()
