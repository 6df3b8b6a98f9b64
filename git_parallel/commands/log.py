"""`git parallel log`: what a run printed."""

import re
import sys
import time
from pathlib import Path
from typing import TextIO

import click

from git_parallel import output
from git_parallel.errors import ParallelError
from git_parallel.overview import find_folder
from git_parallel.repository import find_repository
from git_parallel.store import TaskFolder

CHUNK = 1 << 16
POLL_S = 0.1
# Everything that could change a terminal but colours: other escape sequences, control characters.
DANGEROUS = re.compile(
    rb"\x1b\[[0-9;]*m|(\x1b(\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(\x07|\x1b\\)?|.?)"
    rb"|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]|\r(?!\n))",
    re.DOTALL,
)


@click.command("log")
@click.argument("task")
@click.option("-f", "--follow", "following", is_flag=True, help="Go on until the run ends.")
@click.option("--run", "number", type=click.IntRange(min=0), help="Another run than the last one.")
def command(task: str, number: int | None, *, following: bool) -> None:
    """Show what a run printed: its environment, its command, its checks."""
    repository = find_repository(Path.cwd())
    folder, record = find_folder(repository, task)
    if number is None:
        last = folder.last_run()
        number = last.number if last else 0
    log = folder.log(number)
    if not log.exists():
        runs = ", ".join(str(run.number) for run in folder.runs())
        hint = f"it had these: {runs}" if runs else f"git parallel show {record.name}"
        raise ParallelError(f"`{record.name}` has no log of run {number}", hint=hint)
    if following:
        follow(folder, sys.stdout, log=log)
    else:
        copy(log, sys.stdout, 0)


def follow(folder: TaskFolder, stream: TextIO, *, log: Path | None = None) -> None:
    """Print the log of a task's last run until nobody works on the task any more."""
    position = 0
    while True:
        alive = folder.alive
        if log is None:
            last = folder.last_run()
            log = folder.log(last.number if last else 0)
        position = copy(log, stream, position)
        if not alive:
            return
        time.sleep(POLL_S)


def copy(log: Path, stream: TextIO, position: int) -> int:
    """Print a log from a position on, harmless where it goes to a terminal; returns its end."""
    safe = stream.isatty()
    stream.flush()
    try:
        file = log.open("rb")
    except FileNotFoundError:
        return position
    with file:
        file.seek(position)
        try:
            while chunk := file.read(CHUNK):
                stream.buffer.write(DANGEROUS.sub(_harmless, chunk) if safe else chunk)
            stream.buffer.flush()
        except BrokenPipeError as error:  # nobody reads it any more
            output.mute(stream)
            raise click.exceptions.Exit(0) from error
        return file.tell()


def _harmless(match: re.Match[bytes]) -> bytes:
    return b"" if match[1] is not None else match[0]
