"""Is this virtual environment this tree's own? Run by its own interpreter, in isolated mode.

It exits with 1 and says what is wrong where the environment, one of its programs or a package that
is developed here belongs to another tree: then tests would pass against code that nobody changed.
It knows nothing of the rest of git parallel, works from Python 3.8 on, and imports little, since
an installation by uv takes no longer than the import of a few modules more.
"""

import os
import re
import sys
from importlib.util import find_spec

TOP = os.path.realpath(os.getcwd())  # the folder of the project
TREE = os.path.realpath(os.environ.get("GIT_PARALLEL_ROOT") or TOP)
MAIN = os.path.realpath(os.environ.get("GIT_PARALLEL_MAIN") or TREE)
INTERPRETER = re.compile(rb"^#!.*?(/[^\n'\"]*?)/bin/(?:python|pypy)", re.DOTALL)
ACTIVATED = re.compile(rb"^\s*(?:export )?VIRTUAL_ENV=['\"]?(/[^\n'\"]*)", re.MULTILINE)
INSTALLED_FROM = re.compile(rb'"url":\s*"file://([^"]*)"')
NAME = re.compile(rb"^name\s*=\s*[\"']([^\"']+)", re.MULTILINE)


def main() -> str:
    """What is wrong, or nothing."""
    home = os.path.realpath(sys.prefix)
    if not is_below(home, TREE):
        return f"the virtual environment is that of another tree: {home}"
    return wrong_program(home) or wrong_install() or wrong_import()


def is_below(path: str, top: str) -> bool:
    """Whether a real path lies in a tree."""
    return path == top or path.startswith(top + os.sep)


def content(path: str, limit: int = -1) -> bytes:
    """The content of a file, or its beginning; nothing where there is none."""
    try:
        with open(path, "rb") as file:
            return file.read(limit)
    except OSError:
        return b""


def wrong_program(home: str) -> str:
    """A program of the environment that leads to another one: what a copied one is full of."""
    for program in sorted(os.scandir(f"{home}/bin"), key=lambda entry: entry.name):
        if not program.is_file(follow_symlinks=False):
            continue
        pattern = ACTIVATED if program.name == "activate" else INTERPRETER
        found = pattern.search(content(program.path, 4096))
        other = os.fsdecode(found[1]) if found else home
        if os.path.exists(f"{other}/pyvenv.cfg") and os.path.realpath(other) != home:
            return f"{program.name} leads to another environment, {other}: this one is a copy"
    return ""


def wrong_install() -> str:
    """A package that is installed from the sources of the main worktree (PEP 610)."""
    for place in sys.path:
        entries = os.listdir(place) if os.path.isdir(place) else []
        for name in (entry for entry in entries if entry.endswith(".dist-info")):
            found = INSTALLED_FROM.search(content(f"{place}/{name}/direct_url.json"))
            source = os.path.realpath(unquoted(found[1])) if found else TREE
            if is_below(source, MAIN) and not is_below(source, TREE):
                return f"{name.partition('-')[0]} is installed from another tree: {source}"
    return ""


def unquoted(url: bytes) -> str:
    """The path in a URL."""
    if b"%" not in url:
        return os.fsdecode(url)
    from urllib.parse import unquote_to_bytes

    return os.fsdecode(unquote_to_bytes(url))


def wrong_import() -> str:
    """The project's own package, where an import finds it outside of this tree."""
    named = NAME.search(content(f"{TOP}/pyproject.toml"))
    name = re.sub(r"[-.]+", "_", named[1].decode()).lower() if named else ""
    places = (f"{TOP}/{name}", f"{TOP}/src/{name}")
    if not name.isidentifier() or not any(map(os.path.isdir, places)):
        return ""
    spec = find_spec(name)
    found = [spec.origin, *(spec.submodule_search_locations or ())] if spec else []
    for place in found:
        if place and os.path.isabs(place) and not is_below(os.path.realpath(place), TREE):
            return f"{name} is imported from {place}, not from this tree"
    return ""


if __name__ == "__main__":
    sys.exit(main() or 0)
