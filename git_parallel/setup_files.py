"""What the setup files of other tools would have run in a new worktree.

Read as their makers describe them: https://cursor.com/docs/configuration/worktrees,
https://developers.openai.com/codex/app/local-environments,
https://docs.conductor.build/core/conductor-json and https://containers.dev/implementors/json_reference.
"""

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from git_parallel.errors import ParallelError
from git_parallel.schema import SetupFile

# `${localEnv:NAME}` and `${localEnv:NAME:default}`, which a shell would stumble over.
DEVCONTAINER_VARIABLE = re.compile(r"\$\{(?:localEnv|containerEnv|env):(\w+)(?::([^}]*))?\}")


class Command(Struct, frozen=True):
    """A command that makes a worktree ready: `shown` to people, trusted under `key` (nothing
    where it is the user's own), run with variables of its own.
    """

    shown: str
    argv: tuple[str, ...]
    key: str = ""
    variables: Mapping[str, str] = {}


def find(main: Path, rows: Mapping[str, SetupFile]) -> tuple[Command, ...]:
    """What the first setup file that says anything would run; raises ParallelError where one of
    them can't be read.
    """
    for row in rows.values():
        for name in row.files:
            if (main / name).is_file() and (commands := _commands(main, name, row)):
                return commands
    return ()


def _commands(main: Path, name: str, row: SetupFile) -> tuple[Command, ...]:
    table = _load(main / name)
    keys = (key.replace("{platform}", sys.platform) for key in row.keys)
    value = next((found for key in keys if (found := _value(table, key))), None)
    parts = value.values() if isinstance(value, dict) else [value]
    return tuple(_command(main, name, row, part) for part in parts if part)


def _command(main: Path, name: str, row: SetupFile, value: Any) -> Command:
    if isinstance(value, str):
        script = Path(name).parent / value
        if row.strings == "path" and (main / script).is_file():
            shown, argv = str(script), (*row.shell[:1], str(script))
        else:
            shown = DEVCONTAINER_VARIABLE.sub(_for_a_shell, value.strip())
            argv = (*row.shell, shown)
    elif isinstance(value, list) and all(isinstance(word, str) for word in value):
        if row.lists == "argv":
            import shlex

            shown, argv = shlex.join(value), tuple(value)
        else:
            shown = "\n".join(value)
            argv = (*row.shell, shown)
    else:
        raise ParallelError(f"{main / name}: it is not clear what to run", hint=OFF)
    return Command(shown, argv, name, row.variables)


def _for_a_shell(variable: re.Match[str]) -> str:
    return f"${{{variable[1]}:-{variable[2] or ''}}}"


OFF = "git parallel config set environment.setup_files false"


def _value(table: Any, key: str) -> Any:
    for part in key.split("."):
        table = table.get(part) if isinstance(table, dict) else None
    return table


def _load(file: Path) -> Any:
    import tomllib

    try:
        text = file.read_text("utf-8")
        return tomllib.loads(text) if file.suffix == ".toml" else _load_json(text)
    except (OSError, ValueError) as error:
        raise ParallelError(f"{file}: {error}", hint=OFF) from error


def _load_json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:  # with comments and trailing commas, as editors write it
        import json5

        return json5.loads(text)


def lines_of(commands: Iterable[Command]) -> list[str]:
    """The commands that need trust, each as one line that names its key."""
    return [f"{command.key}: {command.shown}" for command in commands if command.key]
