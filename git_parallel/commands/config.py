"""`git parallel config`: what is configured, and where."""

import tomllib
from pathlib import Path
from typing import Any

import click
import msgspec

from git_parallel import config, output, records, temporary
from git_parallel.errors import ParallelError, UsageError
from git_parallel.repository import find_repository


@click.group("config", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """Show the configuration, and the file that each key comes from."""
    if context.invoked_subcommand is None:
        show()


def show() -> None:
    """Print every key with its value and its origin."""
    loaded = find_repository(Path.cwd()).configuration()
    values = _flat(msgspec.to_builtins(loaded.config))
    rows = [[key, loaded.origins.get(key, "defaults"), _toml(value)] for key, value in values]
    output.answer(output.table([row for row in rows if row[2]], width=output.terminal_width()))


def _flat(table: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in table.items():
        nested = isinstance(value, dict)
        found += _flat(value, f"{prefix}{key}.") if nested else [(prefix + key, value)]
    return found


def _toml(value: Any) -> str:
    return "" if value is None else msgspec.json.encode(value).decode()


@command.command("set")
@click.argument("key")
@click.argument("value")
def set_key(key: str, value: str) -> None:
    """Write a key of this clone's own file; the value is TOML, or else a text."""
    import tomli_w

    repository = find_repository(Path.cwd())
    file = repository.store.parallel / "config.toml"
    table = tomllib.loads(file.read_text("utf-8")) if file.exists() else {}
    place = table
    *sections, last = key.split(".")
    for section in sections:
        place = place.setdefault(section, {})
        if not isinstance(place, dict):
            raise UsageError(f"`{key}` is not a key")
    place[last] = _parse(value)
    content = tomli_w.dumps(table).encode()
    with temporary.folder() as scratch:
        candidate = scratch / file.name
        candidate.write_bytes(content)
        try:
            config.load(repository.original, candidate)
        except ParallelError as error:
            words = error.message.replace(str(candidate), str(file))
            raise ParallelError(words, hint=error.hint) from error
    repository.store.create()
    records.write(file, content)
    output.tell(output.DONE, f"{key} is {_toml(place[last])} in this clone")


def _parse(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
