"""How long it takes to make a worktree ready, beside package managers alone in the same tree."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

from tests.benchmarks.comparison import Limit, Result, Side, compare
from tests.benchmarks.scratch import Repo, Scratch

PYTHON = ["pandas", "jupyterlab", "requests", "fastapi", "django", "sqlalchemy", "rich", "pytest"]
NODE = ["express@4", "webpack@5", "eslint@9", "jest@29", "typescript@5", "react@18", "react-dom@18"]
PYPROJECT = f"""\
[project]
name = "big"
version = "1"
requires-python = ">=3.11"
dependencies = {json.dumps(PYTHON)}
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[tool.hatch.build.targets.wheel]
packages = ["src/big"]
"""
NPM_CI = ("npm", "ci", "--prefer-offline", "--no-audit", "--no-fund")


def uv(scratch: Scratch, runs: int) -> list[Result]:
    """A worktree with some hundred Python packages, and `uv sync --frozen` in it."""
    if shutil.which("uv", path=scratch.environment["PATH"]) is None:
        scratch.environment["PATH"] += f":{Path(sys.executable).parent}"  # uv is of the test extra
    repo = scratch.repository("uv", files=200, folders=10)
    (repo.path / "src" / "big").mkdir(parents=True)
    (repo.path / "src" / "big" / "__init__.py").touch()
    (repo.path / "pyproject.toml").write_text(PYPROJECT)
    _install(repo, ".venv/", "uv", "sync", "--quiet")
    ready, alone = _sides(scratch, repo, "uv", "sync", "--quiet", "--frozen")
    return [compare("bootstrap, 100 packages of uv", ready, alone, Limit("times", 1.3), runs)]


def npm(scratch: Scratch, runs: int) -> list[Result]:
    """A worktree with 570 Node packages that the main one has too, and a warm `npm ci` in it."""
    repo = scratch.repository("npm", files=200, folders=10)
    (repo.path / "package.json").write_text('{"name": "big", "version": "1.0.0"}\n')
    quiet = ("--silent", "--no-audit", "--no-fund")
    _install(repo, "node_modules/", "npm", "install", *quiet, *NODE)
    ready, alone = _sides(scratch, repo, *NPM_CI)
    rounds = min(runs, 5)
    return [compare("bootstrap, 570 packages of npm", ready, alone, Limit("times", 0.2), rounds)]


def _install(repo: Repo, ignored: str, *install: str) -> None:
    """Install in the main worktree and commit the lockfile."""
    (repo.path / ".gitignore").write_text(ignored + "\n")
    repo.run(*install)
    repo.run("git", "add", "--all")
    repo.run("git", "commit", "--quiet", "-m", "Add packages")


def _sides(scratch: Scratch, repo: Repo, *command: str) -> tuple[Side, Side]:
    """A bootstrap and a command alone, each in a new worktree: what is deleted there before would
    make what is created after it slow.
    """

    def new(name: str) -> Repo:
        worktree = Path(repo.run("git", "parallel", "start", name, "--no-bootstrap"))
        scratch.settle()
        return Repo(scratch, worktree)

    def ours(number: int) -> float:
        return new(f"ours{number}").clock("git", "parallel", "bootstrap")

    def theirs(number: int) -> float:
        return new(f"theirs{number}").clock(*command)

    return ours, theirs


def again(scratch: Scratch, runs: int) -> list[Result]:
    """A bootstrap that finds nothing to do, and Python's start."""
    repo = scratch.repository("again", files=5000, folders=100)
    (repo.path / ".gitignore").write_text(".env\n")
    (repo.path / ".env").write_text("A=1\n")
    repo.run("git", "add", "--all")
    repo.run("git", "commit", "--quiet", "-m", "Ignore")
    repo.run("git", "parallel", "config", "set", "environment.run", '["true"]')
    repo.run("git", "parallel", "start", "x")
    scratch.settle()
    python = str(scratch.folder / "venv" / "bin" / "python")

    def ours(_: int) -> float:
        return repo.clock("git", "parallel", "bootstrap", "x")

    def theirs(_: int) -> float:
        return repo.clock(python, "-c", "pass")

    what = "bootstrap, nothing to do, 5,000 files (python)"
    return [compare(what, ours, theirs, Limit("ms more", 80), runs * 3)]


def copies(scratch: Scratch, runs: int) -> list[Result]:
    """A bootstrap that copies 500 small ignored files, and `cp` of each of their folders."""
    repo = scratch.repository("copies", files=200, folders=10)
    (repo.path / ".gitignore").write_text(".env*\n")
    for number in range(500):
        folder = repo.path / f"folder{number % 10:04}"
        (folder / f".env.{number}").write_text(f"KEY={number}\n" * 20)
    repo.run("git", "add", "--all")
    repo.run("git", "commit", "--quiet", "-m", "Ignore")
    worktree = Path(repo.run("git", "parallel", "start", "x", "--no-bootstrap"))

    def clear() -> None:
        for copy in worktree.glob("*/.env*"):
            copy.unlink()
        (repo.path / ".git" / "worktrees" / "x" / "parallel.json").unlink(missing_ok=True)
        scratch.settle()

    def ours(_: int) -> float:
        clear()
        return repo.clock("git", "parallel", "bootstrap", "x")

    def theirs(_: int) -> float:
        clear()
        script = 'for d in folder*; do cp -p "$d"/.env* "$0/$d"; done'
        return repo.clock("sh", "-c", script, str(worktree))

    copied = compare("bootstrap, 500 files to copy (cp)", ours, theirs, Limit("ms more", 150), runs)
    settled = [repo.clock("git", "parallel", "bootstrap", "x") for _ in range(runs)]
    return [copied, Result("bootstrap, 500 copies that are as they were", median(settled))]


ENVIRONMENTS: dict[str, Callable[[Scratch, int], list[Result]]] = {
    "uv": uv,
    "npm": npm,
    "again": again,
    "copies": copies,
}
