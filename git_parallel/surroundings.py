"""What is wrong around a repository: git itself, the home, the manual, completion."""

import os
import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import msgspec

from git_parallel.errors import ParallelError
from git_parallel.finding import Finding
from git_parallel.git import check_version
from git_parallel.home import home_of
from git_parallel.process import ask
from git_parallel.repository import Repository

MAN_S = SHELL_S = 3.0
PAGE = "git-parallel.1"
# Tools that do not work below a folder named `.git`, with git parallel's own measurements:
# jest finds no tests, Vite answers 403, and the watchers see no change.
BREAKING = ("jest", "vite", "vitest", "nodemon", "typescript", "watchfiles")
# What each shell is asked, as its user starts it, and the line that its user can write down there.
# Where it does not complete git either, its user can do without, and it says nothing.
YES, NO = "git-parallel: completed", "git-parallel: not completed"
SHELLS = {
    "bash": (
        f"""
        load() {{ declare -F _comp_load && _comp_load "$1" || _completion_loader "$1"; }}
        {{ declare -F __git_main || load git; declare -F _git_parallel || load git-parallel
        }} >/dev/null 2>&1
        if declare -F _git_parallel >/dev/null; then echo "{YES}"
        elif declare -F __git_main >/dev/null; then echo "{NO}"; fi""",
        """echo 'eval "$(git parallel completion bash)"' >>~/.bashrc""",
    ),
    "zsh": (
        f"""if (( $+functions[_git-parallel] )); then echo "{YES}"
        elif (( $+functions[compdef] )); then echo "{NO}"; fi""",
        """echo 'eval "$(git parallel completion zsh)"' >>"${ZDOTDIR:-$HOME}/.zshrc\"""",
    ),
    "fish": (
        f"""if complete -C "git parallel doct" | string match -q "doctor*"; echo "{YES}"
        else; echo "{NO}"; end""",
        "echo 'git parallel completion fish | source' >>~/.config/fish/config.fish",
    ),
}


def surroundings(repository: Repository) -> list[Finding]:
    """What is wrong around a repository."""
    return [*_git(repository), *_home(repository), *_manual(), *_completion()]


def _git(repository: Repository) -> Iterator[Finding]:
    try:
        check_version(repository.git)
    except ParallelError as error:
        why = "merges can't be tried out without touching a worktree"
        yield Finding(kind="git", what=error.message, why=why, command=error.hint)


def _home(repository: Repository) -> Iterator[Finding]:
    home = home_of(repository, repository.settings())
    if ".git" not in home.parts:
        return
    used = [*_tools(repository.original), *(["claude"] if shutil.which("claude") else [])]
    if used:
        yield Finding(
            kind="home",
            what=f"worktrees lie in {home}, below a folder named .git: {', '.join(used)}",
            why="there jest finds no tests, Vite answers 403, watchers see no change, and Claude"
            " Code refuses to write",
            command="git config --unset parallel.root",
        )


def _tools(top: Path | None) -> list[str]:
    """The tools that a project uses and that break there, by its own list of packages."""
    if top is None:
        return []
    try:
        listed = msgspec.json.decode((top / "package.json").read_bytes(), type=dict[str, object])
    except (OSError, msgspec.DecodeError):
        return []
    groups = (listed.get(key) for key in ("dependencies", "devDependencies"))
    names = {name for group in groups if isinstance(group, dict) for name in group}
    return [tool for tool in BREAKING if tool in names]


def _manual() -> Iterator[Finding]:
    """Whether `git parallel --help` finds the page, which git asks man for."""
    if shutil.which("man") is None:
        return
    ended, said = ask(["man", "-w", "git-parallel"], folder=None, environment=None, timeout_s=MAN_S)
    if ended.code == 0 and said.strip():
        return
    page = Path(sysconfig.get_path("data")) / "share" / "man" / "man1" / PAGE
    shelf = Path.home() / ".local" / "share" / "man"
    if not page.exists():
        return
    yield Finding(
        kind="manual",
        what="man does not find the manual",
        why="`git parallel --help` shows nothing",
        command=f"mkdir -p '{shelf}/man1' && ln -s '{page}' '{shelf}/man1/'"
        f' && export MANPATH="{shelf}:"',
        matters=False,
    )


def _completion() -> Iterator[Finding]:
    """Whether the user's shell finds what completes our command lines."""
    shell = os.environ.get("SHELL", "")
    name = Path(shell).name
    if name not in SHELLS:
        return
    question, command = SHELLS[name]
    words = [shell, "-i", "-c", question]
    said = ask(words, folder=None, environment=None, timeout_s=SHELL_S)[1]
    if NO in said.splitlines():
        yield Finding(
            kind="completion",
            what=f"{name} does not complete `git parallel`",
            why="TAB proposes neither commands nor tasks",
            command=command,
            matters=False,
        )
