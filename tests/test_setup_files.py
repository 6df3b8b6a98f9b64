"""What other tools' setup files, direnv and mise do in a new worktree, and with whose leave."""

import json
import os
from pathlib import Path

import pytest

from git_parallel import config, setup_files
from git_parallel.config import Loaded
from tests import tools
from tests.conftest import Repo, run
from tests.test_environment import person

ROWS = config.load(None, Path("none")).config.setup_files


def found(folder: Path, name: str, text: str) -> list[tuple[str, tuple[str, ...]]]:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return [(command.shown, command.argv) for command in setup_files.find(folder, ROWS)]


BASH = ("bash", "-ec")
CODEX = ("bash", "-eo", "pipefail", "-c")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            ".cursor/worktrees.json",
            '{"setup-worktree": ["cd app", "npm ci"], "setup-worktree-windows": ["no"]}',
            [("cd app\nnpm ci", (*BASH, "cd app\nnpm ci"))],
        ),
        (
            ".cursor/worktrees.json",
            '{"setup-worktree": ["no"], "setup-worktree-unix": "make ready"}',
            [("make ready", (*BASH, "make ready"))],
        ),
        (
            ".codex/environments/environment.toml",
            'version = 1\n[setup]\nscript = """\nmake\n"""\n[setup.linux]\nscript = ""\n',
            [("make", (*CODEX, "make"))],
        ),
        (
            "conductor.json",
            '{"scripts": {"setup": "./setup.sh", "run": "no"}}',
            [("./setup.sh", ("bash", "-c", "./setup.sh"))],
        ),
        (
            ".conductor/settings.toml",
            '[scripts]\nsetup = "make"\n[scripts.run.web]\ncommand = "no"\n',
            [("make", ("bash", "-c", "make"))],
        ),
        (
            ".devcontainer/devcontainer.json",
            '// ours\n{"postCreateCommand": "echo ${localEnv:USER:me} ${HOME}", /* end */}',
            [("echo ${USER:-me} ${HOME}", ("sh", "-c", "echo ${USER:-me} ${HOME}"))],
        ),
        (
            ".devcontainer.json",
            '{"postCreateCommand": ["npm", "run", "a b"]}',
            [("npm run 'a b'", ("npm", "run", "a b"))],
        ),
        (
            ".devcontainer.json",
            '{"postCreateCommand": {"one": "make", "two": ["true"]}}',
            [("make", ("sh", "-c", "make")), ("true", ("true",))],
        ),
        ("conductor.json", '{"scripts": {"setup": ""}}', []),
        ("conductor.json", '["of another tool"]', []),
    ],
)
def test_reads_what_other_tools_would_run(
    tmp_path: Path, name: str, text: str, expected: list[tuple[str, tuple[str, ...]]]
) -> None:
    assert found(tmp_path, name, text) == expected


def test_a_string_of_cursors_is_a_script_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / ".cursor").mkdir()
    (tmp_path / ".cursor" / "setup.sh").touch()
    script = found(tmp_path, ".cursor/worktrees.json", '{"setup-worktree": "setup.sh"}')
    assert script == [(".cursor/setup.sh", ("bash", ".cursor/setup.sh"))]


@pytest.mark.parametrize("text", ["{", '{"scripts": {"setup": 7}}'])
def test_a_file_that_can_not_be_read_is_named(repo: Repo, text: str) -> None:
    repo.commit("conductor.json", text)
    told = repo.parallel("start", "x", ok=1).stderr
    assert f"✗ {repo.path}/conductor.json: " in told
    assert "↳ git parallel config set environment.setup_files false" in told
    repo.parallel("config", "set", "environment.setup_files", "false")
    repo.parallel("start", "x")


SCRIPT = "echo $CONDUCTOR_WORKSPACE_NAME $CONDUCTOR_PORT > told"


def test_runs_them_after_trust_with_the_variables_that_they_know(repo: Repo) -> None:
    repo.commit(".gitignore", "told\n")
    repo.commit("conductor.json", json.dumps({"scripts": {"setup": SCRIPT}}))
    done = repo.parallel("start", "x")
    assert f"    conductor.json: {SCRIPT}\n" in done.stderr
    repo.parallel("wait", "x", ok=1)
    path = Path(repo.task("x")["path"])
    assert not (path / "told").exists()
    assert "git parallel trust && git parallel bootstrap x" in repo.parallel("list").stdout
    repo.parallel("trust", "--yes")
    repo.parallel("bootstrap", "x")
    assert (path / "told").read_text() == f"x {repo.task('x')['ports'][0]}\n"


def test_a_projects_own_steps_come_instead(repo: Repo) -> None:
    repo.commit("conductor.json", json.dumps({"scripts": {"setup": "touch theirs"}}))
    repo.commit(".git-parallel.toml", '[environment]\nrun = ["touch ours"]\n')
    repo.parallel("trust", "--yes")
    path = person(repo)
    assert (path / "ours").exists()
    assert not (path / "theirs").exists()
    repo.commit(".git-parallel.toml", "[environment]\nrun = []\n")
    path = person(repo, "y")
    assert not (path / "theirs").exists()


def test_an_agent_can_not_add_one_in_its_own_worktree(repo: Repo) -> None:
    evil = json.dumps({"scripts": {"setup": "touch ../pwned"}})
    path = repo.start("x", f"printf %s '{evil}' > conductor.json")
    repo.parallel("run", "x", "--wait", "--", "sh", "-c", "echo > more")
    assert repo.task("x")["status"] == "ready"
    assert not (path.parent / "pwned").exists()


def test_a_project_can_not_change_how_they_are_read(repo: Repo) -> None:
    repo.commit(".git-parallel.toml", '[setup_files.cursor]\nshell = ["python3", "-c"]\n')
    assert "a project can't set `setup_files`" in repo.parallel("start", "x", ok=1).stderr


def test_shows_a_script_of_several_lines_as_lines(repo: Repo) -> None:
    lines = json.dumps({"setup-worktree": ["echo one", "echo \x1b[2J\rtwo"]})
    repo.commit(".cursor/worktrees.json", lines)
    told = repo.parallel("start", "x").stderr
    assert "    .cursor/worktrees.json: echo one\n      echo \\x1b[2J\\rtwo\n" in told


def test_allows_for_direnv_only_what_main_allows(repo: Repo) -> None:
    tools.need_command("direnv")

    def allowed(path: Path) -> bool:
        return "Found RC allowed true" in run("direnv", "status", cwd=path).stdout or (
            "Found RC allowed 0" in run("direnv", "status", cwd=path).stdout
        )

    repo.commit(".envrc", "export A=1\n")
    assert not allowed(person(repo, "before"))
    listed = repo.json("show", "before")["environment"]["steps"][1]
    assert (listed["name"], listed["outcome"]) == ("direnv", "skipped")
    assert listed["reason"] == ".envrc is not allowed in the main worktree"
    run("direnv", "allow", ".", cwd=repo.path)
    assert allowed(person(repo, "after"))
    repo.git("branch", "other")
    (repo.path / ".envrc").write_text("export A=1\nrm -rf /\n")
    run("direnv", "allow", ".", cwd=repo.path)
    assert not allowed(person(repo, "changed"))


def test_asks_mise_in_the_same_way(repo: Repo, tmp_path: Path) -> None:
    """By a stand-in that prints what mise does; the slow suite asks mise itself."""
    stand_in = tmp_path / "bin" / "mise"
    stand_in.parent.mkdir()
    stand_in.write_text(
        '#!/bin/sh\n[ -z "$CI" ] || [ "$2" != --show ] || { echo "/: trusted"; exit; }\n'
        'case $2 in --show) echo "~/outer: untrusted"; echo "$PWD: $(cat ../said)";;\n'
        f"*) echo $PWD $2 >>'{tmp_path}/trusted';; esac\n"
    )
    stand_in.chmod(0o755)
    env = {"PATH": f"{stand_in.parent}:{os.environ['PATH']}"}
    repo.commit("mise.toml", "[tools]\n")
    path = Path(repo.parallel("start", "x", "--no-bootstrap").stdout.strip())
    for said in ("untrusted", "trusted"):
        (repo.path.parent / "said").write_text(said)
        assert not (tmp_path / "trusted").exists()
        run("git", "parallel", "bootstrap", "x", cwd=repo.path, env=env | {"CI": ""})
    assert (tmp_path / "trusted").read_text() == f"{path} mise.toml\n"


@pytest.mark.slow
def test_trusts_for_mise_only_what_main_trusts(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", tools.need("mise"))
    monkeypatch.delenv("CI", raising=False)
    repo.commit("mise.toml", "[env]\nA = '{{ exec(command=\"echo 1\") }}'\n")

    def trusted(path: Path) -> bool:
        return run("mise", "trust", "--show", cwd=path).stdout.rstrip().endswith(": trusted")

    assert not trusted(person(repo, "before"))
    run("mise", "trust", "--quiet", cwd=repo.path)
    assert trusted(person(repo, "after"))
    repo.git("branch", "other")
    (repo.path / "mise.toml").write_text("[env]\nA = '2'\n")
    listed = repo.json("show", "after")["environment"]["steps"]
    assert ("mise", "ok") in [(step["name"], step["outcome"]) for step in listed]


def test_loads_nothing_of_this_for_a_list(repo: Repo) -> None:
    loaded = config.load(repo.path, Path("none"))
    assert isinstance(loaded, Loaded)
    assert "steps" not in vars(loaded)
