"""Bootstraps: which files are copied, which managers run, what is trusted, what is done again."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import PROGRAM, Repo, run, until


def record(repo: Repo, name: str) -> dict[str, Any]:
    admin = repo.path / ".git" / "worktrees" / name / "parallel.json"
    until(lambda: repo.task(name)["status"] != "preparing")
    found: dict[str, Any] = json.loads(admin.read_text())
    return found


def person(repo: Repo, name: str = "x", *words: str) -> Path:
    """A task for a person, its environment ready."""
    path = Path(repo.parallel("start", name, *words).stdout.strip())
    repo.parallel("wait", name, ok=None)
    return path


def test_copies_what_is_ignored_and_needed(repo: Repo) -> None:
    repo.commit(
        ".gitignore", ".env*\n*.local.json\nbig/\n*.log\nlinks/\n!.env.example\nmaster.key\n"
    )
    repo.commit(".env.example", "SECRET=\n")
    for name in (".env", "deep/er/.env.test", "a.local.json", "master.key"):
        repo.write(name, f"content of {name}\n")
    for name in (".env.production", "debug.log", "big/.env", ".env.sample"):
        repo.write(name, "not this\n")
    repo.write(".env.huge", "x" * 1_100_000)
    (repo.path / "master.key").chmod(0o600)
    path = person(repo)
    copied = sorted(record(repo, "x")["copied"])
    assert copied == [".env", "a.local.json", "deep/er/.env.test", "master.key"]
    for name in copied:
        assert (path / name).read_text() == f"content of {name}\n"
    assert (path / "master.key").stat().st_mode & 0o777 == 0o600
    assert not (path / "big").exists()
    assert repo.task("x")["dirty"] == 0


def test_takes_what_worktreeinclude_names_instead(repo: Repo) -> None:
    repo.commit(".gitignore", ".env\nbig/\n*.pem\n")
    repo.commit(".worktreeinclude", "*.pem\nbig/wanted\nreadme.txt\n")
    for name in (".env", "key.pem", "big/wanted", "big/other"):
        repo.write(name, name)
    repo.write("untracked.pem2", "not ignored")
    person(repo)
    assert sorted(record(repo, "x")["copied"]) == ["big/wanted", "key.pem"]


def test_never_follows_a_link_out_of_the_tree(repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    repo.commit(".gitignore", ".env*\n")
    (repo.path / ".env").symlink_to("/etc/passwd")
    (repo.path / ".env.up").symlink_to("../secret")
    repo.write(".env.real", "real")
    (repo.path / ".env.inside").symlink_to(".env.real")
    path = person(repo)
    assert sorted(record(repo, "x")["copied"]) == [".env.inside", ".env.real"]
    assert os.readlink(path / ".env.inside") == ".env.real"


def test_never_overwrites(repo: Repo) -> None:
    repo.commit(".gitignore", ".env\n")
    path = person(repo)
    (path / ".env").write_text("mine")
    repo.write(".env", "theirs")
    repo.parallel("bootstrap", "x")
    assert (path / ".env").read_text() == "mine"


def test_runs_the_steps_of_the_clone_once(repo: Repo) -> None:
    count = repo.path.parent / "count"
    step = f"echo $GIT_PARALLEL_TASK $GIT_PARALLEL_SLOT >> '{count}'"
    repo.parallel("config", "set", "environment.run", json.dumps([step]))
    person(repo)
    assert count.read_text() == "x 1\n"
    assert repo.parallel("bootstrap", "x").stderr.startswith("○ ")
    repo.parallel("run", "x", "--wait", "--", "sh", "-c", "echo > f")
    assert count.read_text() == "x 1\n"
    repo.parallel("config", "set", "environment.run", json.dumps([step + "; true"]))
    repo.parallel("bootstrap", "x")
    assert count.read_text() == "x 1\nx 1\n"


def test_a_failed_step_keeps_the_agent_from_starting(repo: Repo) -> None:
    repo.parallel("config", "set", "environment.run", '["echo no luck; exit 4", "touch later"]')
    path = repo.start("x", "touch agent")
    task = repo.task("x")
    assert task["status"] == "failed"
    assert "its environment is not ready" in task["reason"]
    assert "ended with exit code 4" in task["reason"]
    assert "no luck" in repo.parallel("log", "x").stdout
    assert not (path / "agent").exists()
    assert not (path / "later").exists()
    repo.parallel("config", "set", "environment.run", '["true"]')
    repo.parallel("run", "x", "--wait")
    assert (path / "agent").exists()


def test_shows_a_failed_environment_of_a_person(repo: Repo) -> None:
    repo.parallel("config", "set", "environment.run", '["exit 4"]')
    person(repo)
    assert "its environment is not ready" in repo.task("x")["reason"]
    assert "exit 4" in repo.parallel("show", "x").stdout
    listed = repo.parallel("list").stdout.splitlines()
    assert listed[-1] == "▲ x is not ready to work in ↳ git parallel bootstrap x"


@pytest.mark.slow
def test_asks_for_trust_in_exactly_the_text(repo: Repo) -> None:
    steps = '[environment]\nrun = ["echo one > one"]\n[checks]\nrun = ["true"]\n'
    repo.commit(".git-parallel.toml", steps)
    done = repo.parallel("start", "x", "--", "sh", "-c", "echo > f")
    assert "environment.run: echo one > one" in done.stderr
    assert "↳ git parallel trust" in done.stderr
    repo.parallel("wait", "x", ok=1)
    task = repo.task("x")
    assert task["status"] == "failed"
    assert "are not trusted yet" in task["reason"]
    assert "git parallel trust" in repo.parallel("list").stdout
    assert not (Path(task["path"]) / "one").exists()
    assert "git parallel trust --yes" in repo.parallel("trust", ok=1).stderr
    repo.parallel("trust", "--yes")
    assert repo.parallel("trust", "--list").stdout.count("✓") == 2
    repo.parallel("run", "x", "--wait")
    assert (Path(task["path"]) / "one").exists()

    repo.commit(".git-parallel.toml", steps.replace("one > one", "two > two"))
    again = repo.parallel("start", "y").stderr
    assert "echo two > two" in again
    assert "checks.run" not in again
    repo.parallel("trust", "--revoke")
    assert "checks.run" in repo.parallel("start", "z").stderr


@pytest.mark.slow
def test_a_project_can_not_notify_by_a_command_without_trust(repo: Repo, tmp_path: Path) -> None:
    told = tmp_path / "told"
    repo.commit(".git-parallel.toml", f'[notify]\ncommand = ["touch", "{told}"]\n')
    repo.start("x", "echo > f")
    until(lambda: not any(str(tmp_path) in word for word in _commands_of_ours()))
    assert not told.exists()
    repo.parallel("trust", "--yes")
    repo.start("y", "echo > f")
    until(told.exists)


def _commands_of_ours() -> list[str]:
    return [word for p in psutil.process_iter(["cmdline"]) for word in p.info["cmdline"] or ()]


@pytest.mark.parametrize("text", ["[cleanup]\nkeep_days = 0", '[regenerable]\nfiles = ["*"]'])
def test_a_project_can_not_shorten_the_life_of_removed_work(repo: Repo, text: str) -> None:
    repo.commit(".git-parallel.toml", f"{text}\n")
    done = repo.parallel("start", "x", ok=1)
    assert "a project can't set `" in done.stderr
    assert repo.parallel("list").returncode == 0


def test_an_agent_can_not_approve_by_editing_its_own_file(repo: Repo) -> None:
    repo.commit(".git-parallel.toml", '[checks]\nrun = ["true"]\n')
    repo.parallel("trust", "--yes")
    evil = "printf '[checks]\\nrun = [\"touch ../pwned\"]\\n' > .git-parallel.toml"
    path = repo.start("x", evil)
    assert repo.task("x")["status"] == "ready"
    assert not (path.parent / "pwned").exists()


def test_escapes_what_a_project_shows(repo: Repo) -> None:
    repo.commit(".git-parallel.toml", '[environment]\nrun = ["echo \\u001b[2J"]\n')
    done = repo.parallel("start", "x")
    assert "\x1b[2J" not in done.stderr
    assert "echo \\x1b[2J" in done.stderr


@pytest.mark.slow
def test_two_bootstraps_at_once_do_it_once(repo: Repo) -> None:
    path = person(repo)
    count = repo.path.parent / "count"
    step = json.dumps([f"sleep 0.3; echo >> '{count}'"])
    repo.parallel("config", "set", "environment.run", step)
    calls = [
        subprocess.Popen([PROGRAM, "bootstrap"], cwd=path, stderr=subprocess.DEVNULL)
        for _ in range(3)
    ]
    assert [call.wait() for call in calls] == [0, 0, 0]
    assert count.read_text() == "\n"


@pytest.mark.slow
def test_a_bootstrap_that_was_killed_is_finished_later(repo: Repo) -> None:
    path = person(repo)
    steps = ["echo >> ../first", "test -e ../go || kill -9 $PPID"]
    repo.parallel("config", "set", "environment.run", json.dumps(steps))
    assert run(PROGRAM, "bootstrap", cwd=path, ok=None).returncode == -9
    (path.parent / "go").touch()
    run(PROGRAM, "bootstrap", cwd=path)
    assert (path.parent / "first").read_text() == "\n"


def test_does_not_copy_a_large_ignored_folder(repo: Repo) -> None:
    repo.commit(".gitignore", "data/\n")
    (repo.path / "data").mkdir()
    with (repo.path / "data" / "big").open("wb") as file:
        file.truncate(300_000_000)
    path = person(repo)
    assert not (path / "data").exists()


@pytest.mark.slow
def test_uv_makes_an_environment_of_its_own(repo: Repo) -> None:
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        pytest.skip("uv is not installed")
    repo.commit(".gitignore", ".venv/\n__pycache__/\n*.egg-info/\n")
    repo.write(
        "pyproject.toml",
        '[project]\nname = "mine"\nversion = "1"\nrequires-python = ">=3.11"\n'
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n',
    )
    repo.write("mine/__init__.py", "")
    run(uv, "sync", "--quiet", cwd=repo.path)
    repo.git("add", ".")
    repo.git("commit", "--quiet", "-m", "uv")
    path = repo.start("x", "python -c 'import mine; print(mine.__file__)' > where")
    assert (path / "where").read_text().strip() == str(path / "mine" / "__init__.py")
    assert [s["name"] for s in record(repo, "x")["steps"]] == ["files", "uv"]


@pytest.mark.slow
def test_pip_installs_what_the_lockfile_says(repo: Repo, tmp_path: Path) -> None:
    repo.commit(".gitignore", ".venv/\n")
    package = tmp_path / "package"
    (package / "hello").mkdir(parents=True)
    (package / "hello" / "__init__.py").write_text("WORD = 'hi'\n")
    (package / "pyproject.toml").write_text(
        '[project]\nname = "hello"\nversion = "1"\n'
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
    )
    program = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    run(*program, "-w", tmp_path, package, cwd=tmp_path)
    (wheel,) = tmp_path.glob("hello-*.whl")
    repo.commit("requirements.txt", f"hello @ {wheel.as_uri()}\n")
    path = repo.start("x", "python -c 'import hello; print(hello.__file__)' > where")
    assert repo.task("x")["status"] == "ready", repo.parallel("log", "x").stdout
    assert (path / "where").read_text().startswith(str(path / ".venv"))


@pytest.mark.slow
def test_npm_installs_what_the_lockfile_says(repo: Repo, tmp_path: Path) -> None:
    if run("sh", "-c", "command -v npm", cwd=tmp_path, ok=None).returncode:
        pytest.skip("npm is not installed")
    repo.commit(".gitignore", "node_modules/\n")
    repo.commit("dep/package.json", '{"name": "dep", "version": "1.0.0", "main": "i.js"}\n')
    repo.commit("dep/i.js", "module.exports = 7\n")
    repo.commit(
        "package.json", '{"name": "x", "version": "1.0.0", "dependencies": {"dep": "file:dep"}}'
    )
    run("npm", "install", "--silent", cwd=repo.path)
    repo.git("add", ".")
    repo.git("commit", "--quiet", "-m", "lock")
    path = repo.start("x", "node -p 'require.resolve(\"dep\")' > where")
    assert (path / "where").read_text().strip() == str(path / "dep" / "i.js")
    repo.write(
        "package.json", '{"name": "x", "version": "1.0.0", "dependencies": {"dep": "file:other"}}'
    )
    repo.git("commit", "--quiet", "-am", "does not fit")
    repo.start("y", "true")
    assert "npm ci" in repo.task("y")["reason"]
    assert "its environment is not ready" in repo.task("y")["reason"]


@pytest.mark.slow
def test_says_which_manager_is_missing(repo: Repo) -> None:
    repo.commit("uv.lock", "version = 1\n")
    env = {"PATH": f"{repo.path.parent}:/usr/bin:/bin"}
    run(PROGRAM, "start", "x", "--", "true", cwd=repo.path, env=env)
    repo.parallel("wait", "x", ok=1)
    assert "`uv` was not found on PATH" in repo.task("x")["reason"]
    repo.parallel("run", "x", "--no-bootstrap", "--wait", "--", "sh", "-c", "echo > f")
    assert repo.task("x")["status"] == "ready"


def test_a_second_bootstrap_has_nothing_to_do(repo: Repo) -> None:
    path = person(repo)
    before = (repo.path / ".git" / "worktrees" / "x" / "parallel.json").read_text()
    time.sleep(0.01)
    run(PROGRAM, "bootstrap", cwd=path)
    after = (repo.path / ".git" / "worktrees" / "x" / "parallel.json").read_text()
    assert json.loads(before)["steps"] == json.loads(after)["steps"]
