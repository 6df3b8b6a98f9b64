"""A preset or a plain command becomes what the runner starts."""

import contextlib
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from git_parallel.config import Loaded
from git_parallel.errors import ParallelError, UsageError
from git_parallel.git import clean_environment
from git_parallel.process import asking
from git_parallel.schema import Agent
from git_parallel.trust import Approvals

PREFLIGHT_S = 15.0
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
PLACE = re.compile(r"\{(?:brief|file|hooks)\}")
TELL = Path(__file__).with_name("tell")  # what hooks of agents run
MAX_ARGUMENT_BYTES = 120_000  # Linux takes 128 KiB in one argument (MAX_ARG_STRLEN)


class Call(Struct, frozen=True):
    """A command line, whether the brief goes to its standard input, and its own variables."""

    command: tuple[str, ...]
    stdin: bool
    variables: Mapping[str, str] = {}


def choose(loaded: Loaded, name: str | None, approvals: Approvals) -> str:
    """The name of the preset to use: the one named, the configured one, or the first whose
    program is on PATH; raises ParallelError.
    """
    presets = loaded.config.agents
    wanted = name or loaded.config.agent
    if wanted is None:
        wanted = next((n for n, agent in presets.items() if shutil.which(agent.command[0])), None)
    if wanted is None:
        raise ParallelError(
            "no agent to give the prompt to",
            hint=f"install one of {', '.join(presets)}, or name a command: -- COMMAND",
        )
    if wanted not in presets:
        raise ParallelError(
            f"`{wanted}` is not an agent", hint=f"choose one of {', '.join(presets)}"
        )
    program = presets[wanted].command[0]
    if not approvals.allow(f"agents.{wanted}"):
        raise ParallelError(
            f"the agent `{wanted}` comes from the project and is not trusted yet",
            hint="git parallel trust",
        )
    if "/" not in program and shutil.which(program) is None:
        raise ParallelError(
            f"the agent `{wanted}` needs the program `{program}`, which is not on PATH",
            hint=f"install {program}, or name another agent: --agent NAME",
        )
    return wanted


def command_of(
    name: str,
    preset: Agent,
    *,
    model: str | None,
    effort: str | None,
    session: str | None,
    interactive: bool,
) -> tuple[tuple[str, ...], str | None]:
    """The command line of a preset, and the session that it will be known by, if that is ours to
    choose. `session` is the conversation to go on with, where the agent can. Raises UsageError.
    """
    row = preset.interactive if interactive else preset
    if row is None:
        raise UsageError(
            f"the agent `{name}` has no interactive command",
            hint=f"git parallel config set agents.{name}.interactive.command '[\"{name}\"]'",
        )
    command = row.resume if session and row.resume else row.command
    added: tuple[str, ...] = ()
    for option, value, words in (("model", model, preset.model), ("effort", effort, preset.effort)):
        if value is None:
            continue
        if not words:
            raise UsageError(f"the agent `{name}` takes no {option}", hint="git parallel config")
        added += tuple(word.replace(f"{{{option}}}", value) for word in words)
    if interactive:  # options stand before the words of the prompt
        command = (*command[:1], *added, *command[1:])
    else:
        command += added
    if not any("{session}" in word for word in command):
        return command, None
    known = session or str(uuid.uuid4())
    return tuple(word.replace("{session}", known) for word in command), known


@contextlib.contextmanager
def preflight(preset: Agent, folder: Path) -> Iterator[Callable[[], str]]:
    """Ask an agent whether it could work, while something else goes on; what is yielded waits for
    the answer, and returns why it could not, or nothing.
    """
    if preset.preflight is None:
        yield str
        return
    environment = clean_environment(os.environ)
    with asking(preset.preflight.ask, folder=folder, environment=environment) as answer:

        def why_not() -> str:
            ended, said = answer(PREFLIGHT_S)
            return ended.words or unready(preset, said, failed=bool(ended.code))

        yield why_not


def unready(preset: Agent, said: str, *, failed: bool) -> str:
    """Why an agent can't work, in its own words, by what its preflight said; or nothing."""
    preflight = preset.preflight
    if preflight is None:
        return ""
    plain = COLOUR.sub("", said)
    unsaid = re.search(preflight.says, plain, re.IGNORECASE) is None
    if not (failed or unsaid):
        return ""
    lines = [line.strip(" ,│└┌●") for line in plain.splitlines() if any(map(str.isalpha, line))]
    if not lines:
        return f"`{' '.join(preflight.ask)}` failed"
    return lines[0] if failed else lines[-1]


def held_back(command: tuple[str, ...], *, nice: int, memory_mib: int) -> tuple[str, ...]:
    """A command line that yields to others and holds no more memory than that, where anything is
    asked. The limit is of each process, on what it can write to (RLIMIT_DATA, setrlimit(2)).
    """
    limits = f"ulimit -d {memory_mib * 1024} && " if memory_mib > 0 else ""
    prefix = f"nice -n {nice} " if nice else ""
    if not limits and not prefix:
        return command
    return ("sh", "-c", f'{limits}exec {prefix}"$@"', "sh", *command)


def call_of(preset: Agent | None, command: tuple[str, ...], brief: Path) -> Call:
    """What to start; a command that is nobody's preset gets the brief on its standard input.

    Raises ParallelError where the brief is too long for an argument.
    """
    if preset is None:
        return Call(command, stdin=True)
    value = _argument(command, brief) if preset.prompt == "argument" else str(brief)
    filled = tuple(word.replace("{brief}", value) for word in command)
    return Call(filled, stdin=preset.prompt == "stdin", variables=preset.env)


def call_on_terminal(preset: Agent | None, command: tuple[str, ...], brief: Path) -> Call:
    """What to start where a person answers; raises ParallelError as `call_of` does."""
    if preset is None or preset.interactive is None:
        return Call(command, stdin=False)
    values = {"{file}": str(brief), "{hooks}": preset.interactive.hooks.strip()}
    if any("{brief}" in word for word in command):
        values["{brief}"] = _argument(command, brief)
    filled = tuple(PLACE.sub(lambda found: values[found[0]], word) for word in command)
    return Call(filled, stdin=False, variables={**preset.env, "GIT_PARALLEL_TELL": str(TELL)})


def _argument(command: tuple[str, ...], brief: Path) -> str:
    value = brief.read_text("utf-8", "surrogateescape")
    if len(value.encode("utf-8", "surrogateescape")) > MAX_ARGUMENT_BYTES:
        raise ParallelError(f"the prompt is too long for an argument of `{command[0]}`")
    return value
