"""The house rules that the imports show: one order, one door a side effect, no drawers."""

import ast
import graphlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
PACKAGE = TOP / "git_parallel"
MODULES = sorted(PACKAGE.glob("*.py"))
COMMANDS = sorted((PACKAGE / "commands").glob("*.py"))
MAX_LINES = 330
TERMINAL = {"commands", "cli", "output"}
PROCESSES = {"git", "process", "supervisor"}
DRAWERS = {"utils", "util", "helpers", "helper", "models", "services", "manager", "common", "misc"}


def order() -> list[str]:
    """The modules in their import order, as CONTRIBUTING.md lists them."""
    text = (TOP / "CONTRIBUTING.md").read_text()
    block = text.partition("git_parallel/\n")[2].partition("```")[0]
    return re.findall(r"^  (\w+)(?:\.py|/) ", block, re.MULTILINE)


def place(module: Path) -> str:
    """A module's entry in the list."""
    return "commands" if module.parent.name == "commands" else module.stem


def imported(module: Path) -> Iterator[str]:
    """The full names of all that a module imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(module.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def ours(module: Path) -> set[str]:
    """What a module imports of the package: `git`, `task`, `commands`."""
    parts = [name.split(".") for name in imported(module)]
    return {part[1] for part in parts if part[0] == "git_parallel" and part[1] != "__version__"}


def roots(module: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(module)}


def prints(module: Path) -> bool:
    names = (n for n in ast.walk(ast.parse(module.read_bytes())) if isinstance(n, ast.Name))
    return any(name.id == "print" for name in names)


def test_the_list_in_contributing_names_every_module_once() -> None:
    listed = order()
    assert len(listed) == len(set(listed))
    assert set(listed) == {m.stem for m in MODULES} - {"__init__", "__main__"} | {"commands"}


@pytest.mark.parametrize("module", [*MODULES, *COMMANDS], ids=lambda m: str(m.relative_to(PACKAGE)))
def test_imports_only_what_stands_before_it(module: Path) -> None:
    listed = [*order(), "__main__"]
    at = 0 if module.stem == "__init__" else listed.index(place(module))
    allowed = set(listed[:at]) | ({"commands"} if place(module) == "commands" else set())
    assert ours(module) - allowed == set()


def test_commands_do_not_import_each_other_in_a_circle() -> None:
    prefix = "git_parallel.commands."
    graph = {
        command.stem: {
            name.removeprefix(prefix).partition(".")[0]
            for name in imported(command)
            if name.startswith(prefix)
        }
        for command in COMMANDS
    }
    graphlib.TopologicalSorter(graph).prepare()


def test_only_commands_and_output_know_that_there_is_a_terminal() -> None:
    knowing = {place(m) for m in [*MODULES, *COMMANDS] if "click" in roots(m) or prints(m)}
    assert knowing - TERMINAL == set()


def test_only_the_doors_start_programs() -> None:
    found = {place(m) for m in [*MODULES, *COMMANDS] if "subprocess" in roots(m)}
    assert found == PROCESSES


def test_no_module_is_a_drawer() -> None:
    assert {m.stem for m in [*MODULES, *COMMANDS]} & DRAWERS == set()


def test_no_module_is_long() -> None:
    lengths = {str(m.relative_to(PACKAGE)): m.read_bytes().count(b"\n") for m in MODULES + COMMANDS}
    assert {name: lines for name, lines in lengths.items() if lines >= MAX_LINES} == {}
