"""Run a command on a terminal of its own, where a person can attach."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from git_parallel.errors import ParallelError
from git_parallel.process import Exit
from git_parallel.supervisor import Supervisor
from git_parallel.terminal import Size, Terminal

FORM = "terminal"  # of what it prints
SIZES = {"COLUMNS", "LINES"}  # the program asks its terminal
NO_TERMINAL = ("dumb", "unknown", "")


def run_on_terminal(
    supervisor: Supervisor,
    place: Path,
    size: Size,
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    output: IO[bytes],
    needs: Callable[[str], None],
) -> Exit:
    """Run it to its end, which is the person's to choose, with the terminal's socket at a place;
    `needs` hears what it asks, and an empty text when it asks no more. Raises ParallelError where
    there can be no terminal, or what it printed could not be kept.
    """
    kind = environment.get("TERM", "")
    own = {name: value for name, value in environment.items() if name not in SIZES}
    own["TERM"] = "xterm-256color" if kind in NO_TERMINAL else kind
    try:
        terminal = Terminal(place, output, size, needs)
    except OSError as error:
        raise ParallelError(f"its terminal can't be made: {error}") from error
    with terminal:
        own["GIT_PARALLEL_TERMINAL"] = terminal.device
        ended = supervisor.run(
            command, folder=folder, environment=own, output=output, terminal=terminal
        )
    needs("")
    if terminal.unwritten:
        raise ParallelError(f"what it printed could not be kept: {terminal.unwritten}")
    return ended
