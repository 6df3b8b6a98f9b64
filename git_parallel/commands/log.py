"""`git parallel log`: what a run printed."""

import re
import sys
import time
from pathlib import Path
from typing import BinaryIO, TextIO

import click

from git_parallel import events, output
from git_parallel.errors import ParallelError
from git_parallel.interactive import FORM
from git_parallel.overview import find_folder
from git_parallel.repository import find_repository
from git_parallel.task_folder import TaskFolder

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
@click.option("--raw", is_flag=True, help="As the agent printed it.")
def command(task: str, number: int | None, *, following: bool, raw: bool) -> None:
    """Show what a run printed: its environment, its command, its checks. The events of an agent
    are shown as what it said and which tools it ran.
    """
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
    printer = Printer(folder, number, sys.stdout, raw=raw)
    if following:
        last = folder.last_run()
        if last and last.interactive and last.number == number and folder.alive:
            raise ParallelError(
                f"run {number} of `{record.name}` is on a terminal",
                hint=f"git parallel attach {record.name}",
            )
        _follow(folder, printer)
    else:
        printer.print()


def follow(folder: TaskFolder, stream: TextIO) -> None:
    """Print the log of a task's last run until nobody works on the task any more."""
    last = folder.last_run()
    _follow(folder, Printer(folder, last.number if last else 0, stream, raw=False))


def _follow(folder: TaskFolder, printer: "Printer") -> None:
    while True:
        alive = folder.alive
        printer.print(whole=not alive)
        if not alive:
            return
        time.sleep(POLL_S)


class Printer:
    """Prints a log from where it stopped last, harmless where it goes to a terminal; the events of
    an agent as people read them, unless they are wanted raw.
    """

    def __init__(self, folder: TaskFolder, number: int, stream: TextIO, *, raw: bool) -> None:
        self.log = folder.log(number)
        self.folder = folder
        self.number = number
        self.stream = stream
        self.raw = raw
        self.position = 0

    def print(self, *, whole: bool = True) -> None:
        """Print what is new; of an agent's events only whole lines, unless all of it is `whole`."""
        self.stream.flush()
        try:
            file = self.log.open("rb")
        except FileNotFoundError:
            return
        with file:
            file.seek(self.position)
            try:
                self._copy(file, whole=whole)
                self.stream.buffer.flush()
            except BrokenPipeError as error:  # nobody reads it any more
                output.mute(self.stream)
                raise click.exceptions.Exit(0) from error

    def _copy(self, file: BinaryIO, *, whole: bool) -> None:
        form, offset = ("text", 0) if self.raw else self._form()
        if form == FORM:
            self._show_screen(file, offset, whole=whole)
            return
        by_line = form != "text"
        while chunk := file.readline() if by_line else file.read(CHUNK):
            if by_line and not whole and not chunk.endswith(b"\n"):
                return  # the rest of the line is still to come
            self.position += len(chunk)
            self._write(self._told(chunk, form) if by_line else chunk)

    def _form(self) -> tuple[str, int]:
        """The form of what the run's command printed, as far as its runner has said it, and where
        that begins.
        """
        runs = (run for run in self.folder.runs() if run.number == self.number)
        return next(((run.output, run.offset) for run in runs), ("text", 0))

    def _show_screen(self, file: BinaryIO, offset: int, *, whole: bool) -> None:
        """What could be read on the terminal of an interactive run, in one piece at its end."""
        from git_parallel import screen

        self._write(file.read(max(0, offset - self.position)))
        self.position = file.tell()
        if whole and (printed := file.read()):
            self.position = file.tell()
            self._write(f"{screen.text_of(printed)}\n".encode())

    def _told(self, line: bytes, form: str) -> bytes:
        """A line as people read it; one that is no event stays as it is."""
        if not line.startswith(b'{"'):
            return line
        told = [_shown(event, self.stream) for event in events.parse(form, line)]
        return "".join(f"{words}\n" for words in told if words).encode("utf-8", "surrogateescape")

    def _write(self, content: bytes) -> None:
        safe = self.stream.isatty()
        self.stream.buffer.write(DANGEROUS.sub(_harmless, content) if safe else content)


MARKS = {
    "ran": (output.BUSY, "▸"),
    "failed": (output.ERROR, output.ERROR),
    "denied": (output.WARNING, f"{output.WARNING} denied:"),
    "error": (output.ERROR, f"{output.ERROR} error:"),
}


def _shown(event: events.Event, stream: TextIO) -> str:
    text = output.printable(event.text)
    if event.kind == "said":
        return text
    if event.kind in MARKS:
        glyph, mark = MARKS[event.kind]
        return f"{output.paint(mark, glyph, stream)} {text}"
    if event.kind == "cost" and event.amount:
        return f"{output.NOTHING} cost {event.amount:.2f} USD"
    return ""


def _harmless(match: re.Match[bytes]) -> bytes:
    return b"" if match[1] is not None else match[0]
