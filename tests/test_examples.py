"""The examples: each is copied to a repository of its own and taken from a start to a cleanup."""

import re
import shutil
import tomllib
from pathlib import Path

import pytest

from tests.conftest import Repo, run

EXAMPLES = Path(__file__).parents[1] / "examples"
MADE = shutil.ignore_patterns(".venv", "node_modules", "__pycache__")
NEEDS = {
    "python": ("uv",),
    "node": ("npm", "node"),
    "monorepo": ("uv", "npm", "node"),
    "custom-agent": (),
}
STEPS = {
    "python": ["files", "uv"],
    "node": ["files", "npm"],
    "monorepo": ["files", "uv in backend", "npm in frontend"],
    "custom-agent": ["files"],
}
MISTAKES = {
    "python": ("greeting/__init__.py", "stranger", "nobody"),
    "node": ("words.js", "toLowerCase", "toUpperCase"),
    "monorepo": ("frontend/till.js", "toFixed(2)", "toFixed(1)"),
    "custom-agent": ("list.md", "- salt", "salt"),
}


OFTEN = ("python", "custom-agent")
EACH = [n if n in OFTEN else pytest.param(n, marks=pytest.mark.slow) for n in NEEDS]


@pytest.fixture(params=EACH)
def example(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    for program in NEEDS[name]:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not on this machine")
    return name


@pytest.fixture
def copied(example: str, tmp_path: Path) -> Repo:
    path = tmp_path / "a copy"
    shutil.copytree(EXAMPLES / example, path, ignore=MADE)
    return Repo(path)


def told(example: str) -> list[str]:
    """The commands that a README names: to get ready, to start a task, to await and merge it."""
    text = (EXAMPLES / example / "README.md").read_text()
    lines = [line for line in re.findall(r"`([^`]+)`", text) if line.startswith("git ")]
    ready, rest = lines
    start, wait, merge = rest.split(" && ")
    return [ready.replace("git parallel trust", "git parallel trust --yes"), start, wait, merge]


def checks_of(example: str) -> list[str]:
    table = tomllib.loads((EXAMPLES / example / ".git-parallel.toml").read_text())
    return list(table["checks"]["run"])


@pytest.mark.slow
def test_does_what_its_readme_says(example: str, copied: Repo) -> None:
    ready, start, wait, merge = told(example)
    for line in (ready, start, wait):
        run("sh", "-c", line, cwd=copied.path)
    (name,) = copied.names()
    before = copied.git("rev-parse", "HEAD")

    task = copied.task(name)
    assert (task["status"], task["files"]) == ("ready", 1)
    passed = [(check["command"], check["exit_code"]) for check in task["run"]["checks"]]
    assert passed == [(command, 0) for command in checks_of(example)]
    steps = copied.json("show", name)["environment"]["steps"]
    assert [(step["name"], step["outcome"]) for step in steps] == [
        (s, "ok") for s in STEPS[example]
    ]

    run("sh", "-c", merge, cwd=copied.path)
    assert copied.names() == []
    assert not Path(task["path"]).exists()
    assert copied.git("diff", "--shortstat", before, "HEAD") == " 1 file changed, 1 insertion(+)"
    assert copied.git("status", "--porcelain") == ""


@pytest.mark.slow
def test_a_mistake_fails_its_checks(example: str, copied: Repo) -> None:
    run("sh", "-c", told(example)[0], cwd=copied.path)
    file, old, new = MISTAKES[example]
    assert old in (copied.path / file).read_text()

    copied.start("mistake", f"sed 's/{old}/{new}/' {file} >x && mv x {file}")
    task = copied.task("mistake")
    assert task["status"] == "failed"
    assert task["run"]["checks"][-1]["exit_code"] != 0
    assert "merged into main: the check" in copied.parallel("merge", "mistake", ok=1).stderr


def test_no_lock_file_names_a_host() -> None:
    locks = [*EXAMPLES.glob("**/uv.lock"), *EXAMPLES.glob("**/package-lock.json")]
    assert len(locks) == 4
    assert [lock for lock in locks if "://" in lock.read_text()] == []


def test_every_readme_has_three_lines() -> None:
    assert {folder.name for folder in EXAMPLES.iterdir()} == set(NEEDS)
    lines = {name: (EXAMPLES / name / "README.md").read_text().count("\n") for name in NEEDS}
    assert lines == dict.fromkeys(NEEDS, 3)
