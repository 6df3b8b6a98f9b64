"""Write down the words that completion knows, as click has them:

    python -m tests.vocabulary

The commands of a program take a tenth of a second to import, and TAB can't wait for that.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from git_parallel import cli, completion, config

HEAD = """\
# What `git parallel complete` proposes, of every command: its arguments (`...` for the last one, as
# often as one likes), its options with their values (a `+` for those that can be repeated).
# Written by `python -m tests.vocabulary`; tests/test_completion.py says when that is due.
"""
BY_METAVAR = {
    "BRANCH": "branches",
    "FILE": "files",
    "GLOB": "files",
    "FILE:LINE TEXT": "files text",
    "TASK": "tasks",
}
# What the declarations don't say: names that are new, and which tasks a command is for.
OF_ITS_OWN = {
    ("start", "task"): "text",
    ("start", "start_point"): "commits",
    ("start", "agent_name"): "agents",
    ("run", "agent_name"): "agents",
    ("log", "number"): "runs",
    ("attach", "task"): "attachable",
    ("wait", "tasks"): "running",
    ("stop", "tasks"): "running",
    ("pick", "task"): "attempts",
    ("undo", "task"): "trash",
    ("adopt", "path"): "worktrees",
    ("adopt", "name"): "text",
}


def text() -> str:
    """The whole file."""
    return HEAD + "".join(f"{line}\n" for command in commands() for line in command)


def commands() -> Iterator[list[str]]:
    """The lines of each command."""
    top = cli.group.make_context("git parallel", [], resilient_parsing=True)
    yield _command("", "", cli.group, top)
    for name, words in cli.COMMANDS.items():
        command = cli.group.get_command(top, name)
        assert command
        here = click.Context(command, info_name=name, parent=top)
        yield _command(name, words, command, here)
        if isinstance(command, click.Group):
            for part, below in command.commands.items():
                inner = click.Context(below, info_name=part, parent=here)
                yield _command(f"{name} {part}", _plain(below.help), below, inner)


def _command(name: str, words: str, command: click.Command, context: click.Context) -> list[str]:
    found = [f"{name or '.'}\t{words or _plain(command.help)}"]
    for parameter in command.get_params(context):
        kind = _kind(name, parameter)
        if isinstance(parameter, click.Option):
            names = " ".join(sorted(parameter.opts, key=len, reverse=True))
            more = "+" if parameter.multiple else ""
            found.append(f"\t{names}\t{more}{kind}\t{_plain(parameter.help)}")
        else:
            found.append(f"\t{'...' if parameter.nargs < 0 else '.'}\t{kind}")
    if name in cli.TAKES_COMMAND:
        found.append("\t--\tcommand")
    return found


def _kind(name: str, parameter: click.Parameter) -> str:
    if (name, parameter.name) in OF_ITS_OWN:
        return OF_ITS_OWN[name, str(parameter.name)]
    if isinstance(parameter, click.Option) and (parameter.is_flag or parameter.is_eager):
        return "-"
    if isinstance(parameter.type, click.Choice):
        return f"={'|'.join(parameter.type.choices)}"
    if parameter.name == "key":
        return f"={'|'.join(_keys())}"
    if parameter.name in ("task", "tasks"):
        return "tasks"
    return BY_METAVAR.get(parameter.metavar or "", "text")


def _keys() -> list[str]:
    """The keys that `config set` can set one by one."""
    found: list[str] = []
    for key, value in msgspec.to_builtins(config.load(None, Path("none")).config).items():
        table: dict[str, Any] = value if isinstance(value, dict) else {}
        if any(isinstance(row, dict) for row in table.values()):
            rows = any(not isinstance(row, dict) for row in table.values())
            found += [f"{key}.{name}" for name in table if rows]
        elif isinstance(value, dict):
            found += [f"{key}.{name}" for name in table]
        else:
            found.append(key)
    return found


def _plain(text: str | None) -> str:
    return " ".join((text or "").partition("\n\n")[0].split()).rstrip(".")


def main() -> None:
    """Write the file."""
    Path(completion.VOCABULARY).write_text(text(), "utf-8")


if __name__ == "__main__":
    main()
