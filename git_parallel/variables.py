"""What programs that work in a worktree find in their environment."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from git_parallel import dotenv, slot
from git_parallel.config import Loaded
from git_parallel.git import clean_environment
from git_parallel.repository import Repository
from git_parallel.task import Task
from git_parallel.trust import Approvals

FILE = ".env.parallel"
HEAD = "# Written by git parallel, and again at each bootstrap: the variables of this task.\n"
PLACEHOLDER = re.compile(r"\{(\w+)\}")
# A git that neither asks nor tidies up while it works on a task.
QUIET = {"gc.auto": "0", "maintenance.auto": "false"}


# What would make an installer or an interpreter act on another environment than the worktree's.
FOREIGN_ENVIRONMENT = frozenset(
    [
        *("VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT", "PYTHONHOME", "PYTHONPATH", "PYTHONUSERBASE"),
        *("CONDA_PREFIX", "CONDA_DEFAULT_ENV", "CONDA_PROMPT_MODIFIER", "CONDA_SHLVL"),
        *(
            "UV_PYTHON",
            "UV_PROJECT",
            "UV_PROJECT_ENVIRONMENT",
            "UV_SYSTEM_PYTHON",
            "UV_WORKING_DIR",
        ),
        *(
            "PIP_TARGET",
            "PIP_PREFIX",
            "PIP_ROOT",
            "PIP_USER",
            "PIP_PYTHON",
            "PIP_REQUIRE_VIRTUALENV",
        ),
        *("PIPENV_ACTIVE", "PIPENV_PIPFILE", "PIPENV_CUSTOM_VENV_NAME", "POETRY_ACTIVE"),
        *("PDM_PROJECT_ROOT", "PDM_IN_VENV", "NODE_PATH", "BUNDLE_GEMFILE", "BUNDLE_BIN_PATH"),
        *("npm_config_local_prefix", "npm_execpath", "npm_node_execpath", "npm_command"),
        *("INIT_CWD", "PWD", "OLDPWD"),
        *(f"GIT_PARALLEL_{name}" for name in ("TASK", "BRANCH", "BASE", "TARGET", "MAIN", "ROOT")),
        *(f"GIT_PARALLEL_{name}" for name in ("SLOT", "DATABASE_SUFFIX", "BRIEF", "HOOKS")),
    ]
)
# What an outer `npm run` says of its own package, and an outer git parallel of its own task.
FOREIGN_PREFIXES = ("npm_package_", "npm_lifecycle_", "GIT_PARALLEL_PORT")


def of_worktree(
    repository: Repository, folder: Path, task: Task | None, loaded: Loaded, approvals: Approvals
) -> dict[str, str]:
    """What tells a program in a worktree where it is and, where that belongs to a task, which one
    it works on, which ports and names are its own, and the variables of `[environment.env]`.
    """
    main = repository.original or repository.common
    place = {"GIT_PARALLEL_MAIN": str(main), "GIT_PARALLEL_ROOT": str(folder)}
    if task is None:
        return place
    own = {
        "GIT_PARALLEL_TASK": task.name,
        "GIT_PARALLEL_BRANCH": task.branch,
        "GIT_PARALLEL_BASE": task.base,
        "GIT_PARALLEL_TARGET": task.target,
        **place,
        "GIT_PARALLEL_SLOT": str(task.slot),
        "GIT_PARALLEL_PORT": str(task.ports[0]),
        **{f"GIT_PARALLEL_PORT_{n}": str(port) for n, port in enumerate(task.ports)},
        "GIT_PARALLEL_DATABASE_SUFFIX": slot.database_suffix(task),
        "COMPOSE_PROJECT_NAME": slot.project_name(_name(repository), task),
    }
    return {**fill(templates(loaded, approvals), own), **own}


def _name(repository: Repository) -> str:
    """What people call a repository: the name of its folder."""
    return (repository.main or repository.common).name.removesuffix(".git")


def templates(loaded: Loaded, approvals: Approvals) -> Mapping[str, str]:
    """The variables of `[environment.env]` as they are written, as far as they may be set."""
    return loaded.config.environment.env if approvals.allow("environment.env") else {}


def fill(texts: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """The texts with `{port}`, `{slot}` and the like filled in; other braces stay."""
    known = {name.removeprefix("GIT_PARALLEL_").lower(): value for name, value in values.items()}
    known["compose_project"] = values.get("COMPOSE_PROJECT_NAME", "")
    return {
        name: PLACEHOLDER.sub(lambda m: known.get(m[1], m[0]), text) for name, text in texts.items()
    }


def around(base: Mapping[str, str], folder: Path, own: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a program in a worktree: what is left of ours, bound to no other
    tree, and its own variables.
    """
    main = Path(own["GIT_PARALLEL_MAIN"]) if "GIT_PARALLEL_MAIN" in own else None
    pairs = {
        f"GIT_CONFIG_{part}_{number}": value
        for number, pair in enumerate(QUIET.items())
        for part, value in zip(("KEY", "VALUE"), pair, strict=True)
    }
    return {
        **task_environment(base, folder, main),
        **pairs,
        "GIT_CONFIG_COUNT": str(len(QUIET)),
        "GIT_TERMINAL_PROMPT": "0",
        **own,
    }


def of_virtual_environment(folder: Path) -> dict[str, str]:
    """What puts a worktree's virtual environment first in this shell; nothing if it has none."""
    around_it = task_environment(os.environ, folder)
    if "VIRTUAL_ENV" not in around_it:
        return {}
    return {name: around_it[name] for name in ("VIRTUAL_ENV", "PATH")}


def content_of_file(own: Mapping[str, str]) -> bytes:
    """What stands in `.env.parallel`."""
    return (HEAD + dotenv.compose(own)).encode("utf-8", "surrogateescape")


def exports(values: Iterable[tuple[str, str]]) -> str:
    """Commands that export the variables, in words that bash, zsh and fish read alike.

    Fish knows an escaped backslash inside of single quotes and the others do not, so quotes and
    backslashes stand outside of them.
    """
    return "".join(f"export {name}={_quoted(value)};\n" for name, value in values)


def _quoted(value: str) -> str:
    parts = re.split(r"(['\\])", value)
    words = [f"\\{part}" if part in ("'", "\\") else f"'{part}'" for part in parts if part]
    return "".join(words) or "''"


def task_environment(
    base: Mapping[str, str], folder: Path, main: Path | None = None
) -> dict[str, str]:
    """The environment for a program that works in a worktree: bound to no other repository and to
    no other worktree's packages, with the worktree's own virtual environment where it has one.

    What stands on PATH below `main`, the tree that the worktree was made after, is looked for in
    the worktree instead.
    """
    clean = clean_environment(base)
    kept = {
        name: value
        for name, value in clean.items()
        if name not in FOREIGN_ENVIRONMENT and not name.startswith(FOREIGN_PREFIXES)
    }
    path = [p for p in clean.get("PATH", os.defpath).split(os.pathsep) if p not in _foreign(base)]
    path = [own for place in path if (own := _own_place(place, folder, main))]
    programs = folder / ".venv" / "bin"
    if programs.is_dir():
        kept["VIRTUAL_ENV"] = str(programs.parent)
        path = [str(programs), *(place for place in path if place != str(programs))]
    return {**kept, "PATH": os.pathsep.join(path), "PWD": str(folder)}


def _foreign(base: Mapping[str, str]) -> set[str]:
    """The entries of PATH that come with the environments that are left behind."""
    homes = [base[name] for name in ("VIRTUAL_ENV", "CONDA_PREFIX") if base.get(name)]
    if _is_conda_base(base):
        homes = [home for home in homes if home != base.get("CONDA_PREFIX")]
    modules = [f"{m}/.bin" for m in base.get("NODE_PATH", "").split(os.pathsep) if m]
    libraries = [p for p in base.get("PYTHONPATH", "").split(os.pathsep) if p]
    return {*(f"{home.rstrip('/')}/bin" for home in homes), *modules, *libraries}


def _own_place(place: str, folder: Path, main: Path | None) -> str | None:
    """An entry of PATH as it is right for a worktree; None where that has no such folder."""
    if main is None or not Path(place).is_relative_to(main) or Path(place).is_relative_to(folder):
        return place
    own = folder / Path(place).relative_to(main)
    return str(own) if own.is_dir() else None


def _is_conda_base(base: Mapping[str, str]) -> bool:
    return base.get("CONDA_DEFAULT_ENV") == "base"  # its bin often holds the user's only python
