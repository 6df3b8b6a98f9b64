"""Real package managers on small real projects: each gets a task ready, and each of its traps."""

import json
import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import tools
from tests.conftest import NPM_SETTINGS, Repo, run

pytestmark = pytest.mark.slow
PYPROJECT = """\
[project]
name = "my-shop"
version = "1.0"
requires-python = ">=3.11"
dependencies = {dependencies}
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[tool.hatch.build.targets.wheel]
packages = ["src/my_shop"]
"""
# What a task's command prints: where the project's package and the compiled one come from.
PYTHON_PROBE = (
    "import my_shop, markupsafe._speedups as c; print(my_shop.__file__); print(c.__file__)"
)
NODE_PROBE = "console.log(require.resolve('is-number')); console.log(require.resolve('member'))"


@dataclass(frozen=True)
class Project:
    """A project of one package manager: its files, how its lockfile is made, and what breaks it."""

    step: str
    files: dict[str, str]
    lock: tuple[str, ...]
    ignored: str
    probe: str
    broken: dict[str, str]
    needs: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    makes: str = ".venv"


def python(dependencies: list[str]) -> dict[str, str]:
    return {
        "pyproject.toml": PYPROJECT.format(dependencies=json.dumps(dependencies)),
        "src/my_shop/__init__.py": "",
    }


def node(dependencies: list[str], **more: object) -> dict[str, str]:
    top = {"name": "top", "version": "1.0.0", "private": True, "workspaces": ["packages/*"]}
    wanted = {**dict.fromkeys(dependencies, "^7.0.0"), "member": more.pop("member", "1.0.0")}
    member = {"name": "member", "version": "1.0.0", "main": "index.js"}
    return {
        "package.json": json.dumps({**top, "dependencies": wanted, **more}, indent=2) + "\n",
        "packages/member/package.json": json.dumps(member, indent=2) + "\n",
        "packages/member/index.js": "module.exports = 7\n",
    }


REQUIREMENTS = "markupsafe\n-e .\n"
PROJECTS = {
    "uv": Project(
        step="uv",
        files={
            **python(["markupsafe"]),
            "members/till/pyproject.toml": PYPROJECT.format(dependencies="[]")
            .replace("my-shop", "till")
            .replace("my_shop", "till"),
            "members/till/src/till/__init__.py": "",
        },
        lock=("uv", "lock", "--quiet"),
        ignored=".venv/\n",
        probe=f'python -c "{PYTHON_PROBE}"',
        broken=python(["markupsafe", "iniconfig"]),
    ),
    "pip": Project(
        step="pip",
        files={**python([]), "requirements.txt": REQUIREMENTS},
        lock=(),
        ignored=".venv/\n",
        probe=f'python -c "{PYTHON_PROBE}"',
        broken={"requirements.txt": "markupsafe==0.0.0.1\n"},
    ),
    "poetry": Project(
        step="poetry",
        files=python([]),
        lock=("poetry", "lock", "--no-interaction"),
        ignored=".venv/\n",
        probe=f'python -c "{PYTHON_PROBE}"',
        broken={},
        needs=("poetry",),
    ),
    "pdm": Project(
        step="pdm",
        files=python(["markupsafe"]),
        lock=("pdm", "lock", "--quiet"),
        ignored=".venv/\n.pdm-python\n",
        probe=f'python -c "{PYTHON_PROBE}"',
        broken=python(["markupsafe", "iniconfig"]),
        needs=("pdm",),
    ),
    "pipenv": Project(
        step="pipenv",
        files={
            **python([]),
            "Pipfile": '[packages]\nmarkupsafe = "*"\nmy-shop = {path = ".", editable = true}\n',
        },
        lock=("pipenv", "lock"),
        ignored=".venv/\n",
        probe=f'python -c "{PYTHON_PROBE}"',
        broken={"Pipfile": '[packages]\nmarkupsafe = "*"\niniconfig = "*"\n'},
        needs=("pipenv",),
        env={"PIPENV_IGNORE_VIRTUALENVS": "1", "PIPENV_VENV_IN_PROJECT": "1"},
    ),
    "npm": Project(
        step="npm",
        files=node(["is-number"]),
        lock=("npm", "install", "--package-lock-only", "--silent"),
        ignored="node_modules/\n",
        probe=f'node -e "{NODE_PROBE}"',
        broken=node(["is-number", "is-odd"]),
        makes="node_modules",
    ),
    "pnpm": Project(
        step="pnpm",
        files={
            **node(["is-number"], member="workspace:*"),
            "pnpm-workspace.yaml": "packages:\n  - packages/*\n",
        },
        lock=("pnpm", "install", "--lockfile-only", "--silent"),
        ignored="node_modules/\n",
        probe=f'node -e "{NODE_PROBE}"',
        broken=node(["is-number", "is-odd"], member="workspace:*"),
        needs=("pnpm",),
        makes="node_modules",
    ),
    "yarn": Project(
        step="yarn",
        files=node(["is-number"]),
        lock=("yarn", "install", "--silent"),
        ignored="node_modules/\n",
        probe=f'node -e "{NODE_PROBE}"',
        broken=node(["is-number", "is-odd"]),
        needs=("yarn",),
        makes="node_modules",
    ),
    "yarn-berry": Project(
        step="yarn-berry",
        files={
            **node(["is-number"], member="workspace:*"),
            ".yarnrc.yml": "nodeLinker: node-modules\nenableTelemetry: false\n",
            "yarn.lock": "",
        },
        lock=("yarn", "install", "--mode=update-lockfile"),
        ignored="node_modules/\n.yarn/\n",
        probe=f'node -e "{NODE_PROBE}"',
        broken=node(["is-number", "is-odd"], member="workspace:*"),
        needs=("yarn-berry",),
        makes="node_modules",
    ),
    "bun": Project(
        step="bun",
        files=node(["is-number"], member="workspace:*"),
        lock=("bun", "install", "--lockfile-only", "--silent"),
        ignored="node_modules/\n",
        probe=f'node -e "{NODE_PROBE}"',
        broken=node(["is-number", "is-odd"], member="workspace:*"),
        needs=("bun",),
        makes="node_modules",
    ),
}


@pytest.fixture(params=PROJECTS)
def project(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose package manager is there, with caches that all tests share."""
    found = PROJECTS[request.param]
    monkeypatch.setenv("PATH", tools.need(*found.needs))
    cache = tools.PLACE / "cache"
    caches = {
        "UV_CACHE_DIR": "uv",
        "PIP_CACHE_DIR": "pip",
        "POETRY_CACHE_DIR": "poetry",
        "PDM_CACHE_DIR": "pdm",
        "PIPENV_CACHE_DIR": "pipenv",
        "npm_config_cache": "npm",
        "npm_config_store_dir": "pnpm",
        "YARN_CACHE_FOLDER": f"yarn-{request.param}",
        "YARN_GLOBAL_FOLDER": "berry",
        "BUN_INSTALL_CACHE_DIR": "bun",
    }
    for name, folder in caches.items():
        monkeypatch.setenv(name, str(cache / folder))
    if NPM_SETTINGS.exists():
        monkeypatch.setenv("npm_config_userconfig", str(NPM_SETTINGS))
    for name, value in found.env.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def ready(project: Project, repo: Repo) -> Repo:
    """A repository of the project, with its lockfile committed and nothing installed."""
    repo.write(".gitignore", project.ignored)
    files = dict(project.files)
    if project.step == "poetry":
        files["pyproject.toml"] = _poetry(repo.path)
    if project.step == "uv":
        files["pyproject.toml"] += '[tool.uv.workspace]\nmembers = ["members/*"]\n'
    for name, text in files.items():
        repo.write(name, text)
    if project.lock:
        run(*project.lock, cwd=repo.path, env={"YARN_ENABLE_IMMUTABLE_INSTALLS": "0"})
    shutil.rmtree(repo.path / project.makes, ignore_errors=True)
    repo.git("add", ".")
    repo.git("commit", "--quiet", "-m", "A project")
    return repo


def _poetry(top: Path) -> str:
    """A project whose one dependency is a wheel in the tree: not every mirror of PyPI has the pages
    that poetry asks it for.
    """
    download = (sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", top / "wheels")
    run(*download, "markupsafe", cwd=top, env={"HOME": tools.UNSEALED["HOME"]})
    (wheel,) = (top / "wheels").iterdir()
    return (
        '[tool.poetry]\nname = "my-shop"\nversion = "1.0"\ndescription = ""\nauthors = []\n'
        'packages = [{include = "my_shop", from = "src"}]\n[tool.poetry.dependencies]\n'
        f'python = ">=3.11"\nmarkupsafe = {{path = "wheels/{wheel.name}"}}\n'
        '[build-system]\nrequires = ["poetry-core"]\nbuild-backend = "poetry.core.masonry.api"\n'
    )


def steps(repo: Repo, name: str) -> list[tuple[str, str]]:
    listed = repo.json("show", name)["environment"]["steps"]
    return [(step["name"], step["outcome"]) for step in listed]


def test_gets_a_task_ready_with_its_own_packages(project: Project, ready: Repo) -> None:
    path = ready.start("x", f"{project.probe} > where")
    task = ready.task("x")
    assert task["status"] == "ready", ready.parallel("log", "x").stdout
    own, other = (path / "where").read_text().splitlines()
    assert Path(own).is_relative_to(path)
    assert Path(other).is_relative_to(path)
    assert steps(ready, "x") == [("files", "ok"), (project.step, "ok")]
    assert ready.git("-C", path, "status", "--porcelain") == ""
    assert not (ready.path / project.makes).exists()
    assert ready.parallel("bootstrap", "x").stderr == f"○ {path} is ready\n"


def test_a_lockfile_that_does_not_fit_fails_and_stays(project: Project, ready: Repo) -> None:
    broken = dict(project.broken)
    if project.step == "poetry":
        text = (ready.path / "pyproject.toml").read_text()
        broken["pyproject.toml"] = text.replace("[build", 'iniconfig = "*"\n[build')
    for name, text in broken.items():
        ready.write(name, text)
    ready.git("commit", "--quiet", "-am", "Forget the lockfile")
    path = ready.start("x", "touch agent")
    task = ready.task("x")
    assert task["status"] == "failed", ready.parallel("log", "x").stdout
    assert task["reason"].startswith("its environment is not ready: ")
    assert not (path / "agent").exists()
    assert ready.git("-C", path, "status", "--porcelain") == ""
    assert "↳ git parallel run x" in ready.parallel("list").stdout


def test_a_link_to_other_packages_is_refused(project: Project, ready: Repo) -> None:
    others = ready.path / project.makes
    others.mkdir()
    (others / "precious").touch()
    path = Path(ready.parallel("start", "x", "--no-bootstrap").stdout.strip())
    (path / project.makes).symlink_to(others)
    told = ready.parallel("bootstrap", "x", ok=1).stderr
    assert f"{project.makes} is a link to another tree's" in told
    assert (others / "precious").exists()
    (path / project.makes).unlink()
    ready.parallel("bootstrap", "x")


def test_what_was_deleted_is_made_again(project: Project, ready: Repo) -> None:
    path = ready.start("x", f"{project.probe} > where")
    shutil.rmtree(path / project.makes)
    told = ready.parallel("bootstrap", "x").stderr
    assert f"✓ {project.step}, " in told
    assert (path / project.makes).is_dir()


@pytest.mark.parametrize("project", ["uv"], indirect=True)
def test_a_copied_virtual_environment_is_found_out(project: Project, ready: Repo) -> None:
    run("uv", "sync", "--quiet", cwd=ready.path)
    path = Path(ready.parallel("start", "x", "--no-bootstrap").stdout.strip())
    run("cp", "-a", ready.path / ".venv", path / ".venv", cwd=path)
    wrong = run(".venv/bin/python", "-c", PYTHON_PROBE, cwd=path).stdout.splitlines()
    assert Path(wrong[0]).is_relative_to(ready.path)  # what this is about
    told = ready.parallel("bootstrap", "x", ok=1).stderr
    assert f"leads to another environment, {ready.path}/.venv: this one is a copy" in told
    shutil.rmtree(path / ".venv")
    ready.parallel("bootstrap", "x")
    right = run(".venv/bin/python", "-c", PYTHON_PROBE, cwd=path).stdout.splitlines()
    assert Path(right[0]).is_relative_to(path)


@pytest.mark.parametrize("project", ["uv"], indirect=True)
def test_the_environments_of_the_caller_are_left_behind(project: Project, ready: Repo) -> None:
    run("uv", "sync", "--quiet", cwd=ready.path)
    main = ready.path / ".venv"
    env = {
        "VIRTUAL_ENV": str(main),
        "PYTHONPATH": str(ready.path / "src"),
        "NODE_PATH": str(ready.path / "node_modules"),
        "PATH": f"{main}/bin:{os.environ['PATH']}",
    }
    before = run("tar", "c", ".venv", cwd=ready.path).stdout
    words = ("--wait", "--", "sh", "-c", f"{project.probe} > where; env > env")
    path = Path(ready.parallel("start", "x", *words, env=env).stdout.strip())
    assert Path((path / "where").read_text().splitlines()[0]).is_relative_to(path)
    seen = dict(line.partition("=")[::2] for line in (path / "env").read_text().splitlines())
    assert seen["VIRTUAL_ENV"] == f"{path}/.venv"
    assert str(main) not in seen["PATH"]
    assert "PYTHONPATH" not in seen
    assert "NODE_PATH" not in seen
    assert run("tar", "c", ".venv", cwd=ready.path).stdout == before


@pytest.mark.parametrize("project", ["npm"], indirect=True)
def test_copies_what_npm_has_installed_where_the_lockfiles_agree(
    project: Project, ready: Repo
) -> None:
    run("npm", "ci", "--silent", cwd=ready.path)
    (ready.path / "node_modules" / ".cache").mkdir()
    path = ready.start("x", f"{project.probe} > where")
    log = ready.parallel("log", "x").stdout
    assert f"── copy {ready.path}/node_modules" in log
    assert "npm ci" not in log
    own, member = (path / "where").read_text().splitlines()
    assert Path(own).is_relative_to(path / "node_modules")
    assert member == f"{path}/packages/member/index.js"
    assert not (path / "node_modules" / ".cache").exists()
    theirs, ours = (tree / "node_modules/is-number/index.js" for tree in (ready.path, path))
    assert theirs.stat().st_ino != ours.stat().st_ino


@pytest.mark.parametrize("project", ["npm"], indirect=True)
@pytest.mark.parametrize("harm", ["another note", "changed", "gone", "another lockfile"])
def test_does_not_trust_a_copy_that_is_not_what_the_lockfile_says(
    project: Project, ready: Repo, harm: str
) -> None:
    run("npm", "ci", "--silent", cwd=ready.path)
    package = ready.path / "node_modules" / "is-number"
    if harm == "another note":
        run(
            "npm", "install", "--silent", "--no-save", "is-number@7.0.0-rc", cwd=ready.path, ok=None
        )
        note = ready.path / "node_modules" / ".package-lock.json"
        note.write_text(note.read_text().replace('"7.0.0"', '"6.0.0"'))
    elif harm == "changed":
        manifest = package / "package.json"
        manifest.write_text(manifest.read_text().replace('"7.0.0"', '"6.0.0"'))
    elif harm == "gone":
        shutil.rmtree(package)
    else:
        lock = ready.path / "package-lock.json"
        lock.write_text(lock.read_text() + "\n")
    path = ready.start("x", f"{project.probe} > where")
    assert "npm ci" in ready.parallel("log", "x").stdout
    assert Path((path / "where").read_text().splitlines()[0]).is_relative_to(path)


@pytest.mark.parametrize("project", ["npm"], indirect=True)
def test_a_linked_node_modules_is_named_and_not_committed(project: Project, ready: Repo) -> None:
    """`node_modules/` ignores a folder and not a link: git shows it as untracked, and the agent's
    `git add` takes it.
    """
    run("npm", "ci", "--silent", cwd=ready.path)
    link = 'ln -s "$GIT_PARALLEL_MAIN/node_modules" node_modules'
    ready.parallel("config", "set", "environment.run", json.dumps([link]))
    ready.parallel("config", "set", "managers.npm.run", "[]")
    path = Path(ready.parallel("start", "x").stdout.strip())
    ready.parallel("wait", "x", ok=None)
    assert ready.git("-C", path, "status", "--porcelain") == "?? node_modules"
    ready.parallel("config", "set", "managers.npm.run", '[["npm", "ci"]]')
    told = ready.parallel("bootstrap", "x", ok=1).stderr
    assert "node_modules is a link to another tree's" in told
    assert (ready.path / "node_modules" / "is-number").is_dir()


@pytest.mark.parametrize("project", ["uv", "npm"], indirect=True)
def test_without_a_network_it_fails_and_is_finished_later(project: Project, ready: Repo) -> None:
    if run("unshare", "--net", "true", cwd=ready.path, ok=None).returncode:
        pytest.skip("a process can't be cut off from the network here")
    cold = {"UV_CACHE_DIR": f"{ready.path}.cache", "npm_config_cache": f"{ready.path}.cache"}
    cold |= {"UV_HTTP_RETRIES": "0", "npm_config_fetch_retries": "0"}
    words = ("start", "x", "--wait", "--", "sh", "-c", "touch agent")
    done = run("unshare", "--net", "git", "parallel", *words, cwd=ready.path, env=cold, ok=1)
    assert "x is failed: its environment is not ready" in done.stderr
    assert "↳ git parallel run x" in done.stderr
    path = Path(ready.task("x")["path"])
    assert not (path / "agent").exists()
    ready.parallel("run", "x", "--wait")
    assert (path / "agent").exists()


PRESENT = {
    "cargo": {
        "Cargo.toml": '[package]\nname = "x"\nversion = "0.1.0"\nedition = "2021"\n',
        "Cargo.lock": 'version = 3\n[[package]]\nname = "x"\nversion = "0.1.0"\n',
        "src/main.rs": "fn main() {}\n",
    },
    "go": {"go.mod": "module example.com/x\n\ngo 1.18\n", "go.sum": ""},
    "bundle": {"Gemfile": "", "Gemfile.lock": "PLATFORMS\n  ruby\n\nDEPENDENCIES\n"},
    "composer": {
        "composer.json": "{}\n",
        "composer.lock": '{"content-hash": "99914b932bd37a50b983c5e7c90ae93b", "packages": [], '
        '"packages-dev": [], "minimum-stability": "stable", "plugin-api-version": "2.3.0"}\n',
    },
}


@pytest.mark.parametrize("program", PRESENT)
def test_fetches_with_what_is_on_this_machine(
    program: str, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not on this machine")
    for name in ("CARGO_HOME", "RUSTUP_HOME"):
        home = Path(tools.UNSEALED["HOME"]) / f".{name.partition('_')[0].lower()}"
        monkeypatch.setenv(name, tools.UNSEALED.get(name, str(home)))
    repo.write(".gitignore", "vendor/\ntarget/\n")
    for name, text in PRESENT[program].items():
        repo.write(name, text)
    repo.git("add", ".")
    repo.git("commit", "--quiet", "-m", "A project")
    path = repo.start("x", "touch agent")
    assert (path / "agent").exists(), repo.parallel("log", "x").stdout
    listed = steps(repo, "x")
    assert [outcome for _, outcome in listed] == ["ok", "ok"]
