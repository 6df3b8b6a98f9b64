"""The manual tells of every command and option, and of nothing else; the package brings it."""

import re
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest

from git_parallel import cli, config, variables
from git_parallel.task import Status
from tests.conftest import run

TOP = Path(__file__).parents[1]
PAGE = TOP / "man" / "git-parallel.1"
COMPLETIONS = {
    "bash-completion/completions/git-parallel",
    "zsh/site-functions/_git-parallel",
    "zsh/site-functions/_git_parallel",
    "fish/vendor_completions.d/git-parallel.fish",
}
GITS_OWN = {"--help", "--version"}


def text() -> str:
    """The page without fonts, its dashes as people type them."""
    plain = re.sub(r"\\f[BIRP]|\\&", "", PAGE.read_text())
    return plain.replace(r"\-", "-").replace(r"\(aq", "'")


def section(name: str) -> str:
    """What stands below a heading of either size."""
    heading = "SS" if name in cli.COMMANDS else "SH"
    pattern = rf"^\.{heading} {re.escape(name)}\n(.*?)(?=^\.S[SH] |\Z)"
    found = re.search(pattern, text(), re.DOTALL | re.MULTILINE)
    assert found, f"there is no section {name}"
    return found[1]


def options(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


def commands_below(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for part in command.commands.values():
            yield from commands_below(part, f"{name} {part.name}")


def commands_of(name: str) -> list[tuple[str, click.Command]]:
    command = cli.group.get_command(click.Context(cli.group), name)
    assert command
    return list(commands_below(command, name))


def long_options(name: str) -> set[str]:
    words = [
        word
        for _, command in commands_of(name)
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for word in parameter.opts
    ]
    return {word for word in words if word.startswith("--")}


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_tells_of_a_command_and_exactly_its_options(name: str) -> None:
    told = section(name)
    assert options(told) == long_options(name)
    for part, _ in commands_of(name)[1:]:
        word = part.removeprefix(f"{name} ")
        assert re.search(rf"^\.B[RI]? {word}\b", told, re.MULTILINE), part


def test_tells_of_the_commands_in_their_order_and_of_no_other() -> None:
    assert re.findall(r"^\.SS (.*)$", text(), re.MULTILINE) == list(cli.COMMANDS)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_synopsis_has_a_command_with_its_options(name: str) -> None:
    pattern = rf"^git parallel {name}\b(.*(\n +.*)*)"
    lines = re.findall(pattern, section("SYNOPSIS"), re.MULTILINE)
    assert len(lines) == 1
    short = {"--message", "--file", "--follow"}
    assert options(lines[0][0]) == long_options(name) - short


def test_names_no_option_that_does_not_exist() -> None:
    known = {option for name in cli.COMMANDS for option in long_options(name)}
    assert options(text()) - known == GITS_OWN


def test_tells_of_every_status() -> None:
    told = re.findall(r"^\.B (\w+)$", section("STATUSES"), re.MULTILINE)
    assert told == [str(status) for status in Status]


def test_tells_of_every_key_of_the_configuration() -> None:
    told = section("CONFIGURATION")
    loaded = config.load(None, Path("none"))
    for key, value in msgspec.to_builtins(loaded.config).items():
        if not isinstance(value, dict):
            assert re.search(rf"^\.B {key}$", told, re.MULTILINE), key
            continue
        rows = key in ("agents", "managers", "setup_files", "approvals")
        for name in next(iter(value.values())) if rows else value:
            pattern = rf"{key}\. name .*\.{name}\b" if rows else rf"\b{key}\.{name}\b"
            assert re.search(rf"^\.BR? .*{pattern}", told, re.MULTILINE), f"{key}.{name}"


def test_tells_of_every_variable_that_a_command_is_given() -> None:
    given = re.findall(r'"(GIT_PARALLEL_\w+)"', Path(variables.__file__).read_text())
    assert len(given) >= 7
    told = set(re.findall(r"GIT_PARALLEL_\w+", section("ENVIRONMENT")))
    assert {*given, "GIT_PARALLEL_BRIEF", "GIT_PARALLEL_HOOKS"} <= told


def test_groff_has_nothing_to_complain_of() -> None:
    if shutil.which("groff") is None:
        pytest.skip("groff is not on this machine")
    done = run("groff", "-man", "-Tutf8", "-ww", "-z", PAGE, cwd=TOP)
    assert done.stdout + done.stderr == ""


def test_the_built_package_has_all_that_it_needs(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="hatchling, which builds the package, is not installed")
    build = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation")
    run(*build, "--quiet", "-w", tmp_path, TOP, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    shared = {name.partition("/data/share/")[2] for name in names}
    assert {*COMPLETIONS, "man/man1/git-parallel.1"} <= shared
    hooks = {f"git_parallel/shims/{hook.name}" for hook in (TOP / "hooks").iterdir()}
    assert "git_parallel/shims/post-checkout" in hooks
    assert {*hooks, "git_parallel/defaults.toml"} <= set(names)
