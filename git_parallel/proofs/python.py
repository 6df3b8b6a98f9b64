"""Is this virtual environment this tree's own? Run by its own interpreter, in isolated mode.

It exits with 1 and says what is wrong where the environment, one of its programs or a package that
is developed here belongs to another tree: then tests would pass against code that nobody changed.
It knows nothing of the rest of git parallel, and works from Python 3.8 on.
"""

import json
import os
import re
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

TOP = Path.cwd().resolve()  # the folder of the project
TREE = Path(os.environ.get("GIT_PARALLEL_ROOT") or TOP).resolve()
INTERPRETER = re.compile(rb"^#!.*?(/[^\n'\"]*?)/bin/(?:python|pypy)", re.DOTALL)
ACTIVATED = re.compile(rb"^\s*(?:export )?VIRTUAL_ENV=['\"]?(/[^\n'\"]*)", re.MULTILINE)
NAME = re.compile(r"^name\s*=\s*[\"']([^\"']+)", re.MULTILINE)


def main() -> str:
    """What is wrong, or nothing."""
    home = Path(sys.prefix).resolve()
    if not is_below(home, TREE):
        return f"the virtual environment is that of another tree: {home}"
    return wrong_program(home) or wrong_install() or wrong_import()


def is_below(path: Path, top: Path) -> bool:
    """Whether a resolved path lies in a tree."""
    return path == top or top in path.parents


def wrong_program(home: Path) -> str:
    """A program of the environment that leads to another one: what a copied one is full of."""
    for program in sorted((home / "bin").iterdir()):
        if program.is_symlink() or not program.is_file():
            continue
        with program.open("rb") as file:
            head = file.read(4096)
        pattern = ACTIVATED if program.name == "activate" else INTERPRETER
        found = pattern.search(head)
        other = Path(os.fsdecode(found[1])) if found else home
        if (other / "pyvenv.cfg").exists() and other.resolve() != home:
            return f"{program.name} leads to another environment, {other}: this one is a copy"
    return ""


def wrong_install() -> str:
    """A package that is installed from the sources of another worktree of this repository."""
    main = os.environ.get("GIT_PARALLEL_MAIN")
    if not main:
        return ""
    for package in metadata.distributions():
        source = source_of(package)
        if source and is_below(source, Path(main).resolve()) and not is_below(source, TREE):
            return f"{package.metadata['Name']} is installed from another tree: {source}"
    return ""


def source_of(package: metadata.Distribution) -> "Path | None":
    """The folder that a package was installed from, if it was (PEP 610)."""
    url = json.loads(package.read_text("direct_url.json") or "{}").get("url", "")
    parts = urlsplit(url)
    return Path(unquote(parts.path)).resolve() if parts.scheme == "file" else None


def wrong_import() -> str:
    """The project's own package, where an import finds it outside of this tree."""
    manifest = TOP / "pyproject.toml"
    named = NAME.search(manifest.read_text("utf-8")) if manifest.exists() else None
    name = re.sub(r"[-.]+", "_", named[1]).lower() if named else ""
    if not any((TOP / place / name).is_dir() for place in ("", "src") if name.isidentifier()):
        return ""
    spec = find_spec(name)
    places = [spec.origin, *(spec.submodule_search_locations or ())] if spec else []
    for place in places:
        if place and os.path.isabs(place) and not is_below(Path(place).resolve(), TREE):
            return f"{name} is imported from {place}, not from this tree"
    return ""


if __name__ == "__main__":
    sys.exit(main() or 0)
