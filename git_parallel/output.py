"""What people see: the answer on stdout, the narration on stderr, and JSON for programs.

It imports nothing that takes long, because hooks print too.
"""

import errno
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import msgspec

from git_parallel import __version__
from git_parallel.errors import EXIT_BUG, EXIT_INTERRUPTED, EXIT_REFUSED, ParallelError

DONE, NOTHING, WARNING, ERROR, HINT, BUSY = "✓", "○", "▲", "✗", "↳", "◎"
COLOURS = {DONE: "32", NOTHING: "2", WARNING: "33", ERROR: "31", HINT: "36", BUSY: "34"}
CLEAR = "\x1b[K"
NO_BUGS = frozenset(  # what the machine is short of, or does not let us do
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EXDEV}
    | {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENAMETOOLONG}
)
TAIL_BYTES = 1 << 16
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def answer(text: str) -> None:
    """Print a part of the answer."""
    _print(text, sys.stdout)


def tell(glyph: str, text: str, hint: str = "") -> None:
    """Narrate: what happened, and the command that goes on from there."""
    tail = f" {paint(HINT, HINT, sys.stderr)} {hint}" if hint else ""
    clear = CLEAR if has_colour(sys.stderr) else ""  # what `begin` may have left
    _print(f"{clear}{paint(glyph, glyph, sys.stderr)} {text}{tail}", sys.stderr)


def begin(text: str) -> None:
    """Narrate what is under way: on a terminal the next line that is told takes its place."""
    line = f"{paint(BUSY, BUSY, sys.stderr)} {printable(text)}"
    if has_colour(sys.stderr):
        sys.stderr.write(f"{line}{CLEAR}\r")
        sys.stderr.flush()
    else:
        _print(line, sys.stderr)


def guarded(work: Callable[[], int]) -> int:
    """The exit code of some work: its own, 1 where it was refused, 2 for a wrong command line, 3
    for a bug of ours, 130 where it was interrupted.
    """
    try:
        return work()
    except ParallelError as problem:
        error(problem)
        return problem.exit_code
    except KeyboardInterrupt:
        tell(ERROR, "interrupted")
        return EXIT_INTERRUPTED
    except OSError as trouble:
        return _tell_trouble(trouble) if _is_of_the_machine(trouble) else _report(trouble)
    except Exception as bug:  # the report says where it is, the terminal gets one line
        return _report(bug)


def _is_of_the_machine(trouble: OSError) -> bool:
    """Whether that is no bug of ours; `tempfile`, where no folder takes a file, names none."""
    nowhere = trouble.errno == errno.ENOENT and trouble.filename is None
    return trouble.errno in NO_BUGS or nowhere


def _tell_trouble(trouble: OSError) -> int:
    place = os.fsdecode(trouble.filename) if isinstance(trouble.filename, str | bytes) else ""
    words = f"{place}: {trouble.strerror}" if place else str(trouble.strerror)
    full = trouble.errno in (errno.ENOSPC, errno.EDQUOT, errno.ENOENT)
    error(ParallelError(words, hint="make room and do it again: df -h ." if full else ""))
    return EXIT_REFUSED


def _report(bug: Exception) -> int:
    import tempfile
    import traceback

    said = printable((str(bug).splitlines() or [""])[0])
    words = f"a bug of git parallel: {type(bug).__name__}: {said}"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="git-parallel-bug-", suffix=".txt", delete=False, errors="backslashreplace"
        ) as file:
            file.write(f"git parallel {__version__}, Python {sys.version}\n{sys.argv[1:]}\n\n")
            traceback.print_exc(file=file)
    except OSError:  # there may be no room for a report
        tell(ERROR, words)
        return EXIT_BUG
    tell(ERROR, words, hint=f"report it with {file.name}")
    return EXIT_BUG


def narrate(text: str) -> None:
    """Narrate a line that belongs to the one before."""
    _print(text, sys.stderr)


def error(problem: ParallelError) -> None:
    """Print an error and the way out of it."""
    _print(f"{paint(ERROR, ERROR, sys.stderr)} {printable(problem.message)}", sys.stderr)
    for way in problem.hint.splitlines():
        _print(f"{paint(HINT, HINT, sys.stderr)} {printable(way)}", sys.stderr)


def json(value: object) -> None:
    """Print one object, with times in ISO 8601."""
    text = msgspec.json.format(msgspec.json.encode(_encodable(value)), indent=2)
    _print(text.decode(), sys.stdout)


def _encodable(value: Any) -> Any:
    """The value with what is not Unicode in file names replaced, which JSON has no way to say."""
    if isinstance(value, str):
        if value.isascii():
            return value
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(microsecond=0)
    if isinstance(value, Mapping):
        return {_encodable(k): _encodable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(v) for v in value]
    if isinstance(value, msgspec.Struct):
        return _encodable(msgspec.to_builtins(value))
    return value


def paint(text: str, glyph: str, stream: IO[str]) -> str:
    """A text in the colour of a glyph, where the stream shows colours."""
    return f"\x1b[{COLOURS[glyph]}m{text}\x1b[m" if has_colour(stream) else text


def has_colour(stream: IO[str]) -> bool:
    """Whether a stream is a terminal that shows colours, and nobody asked for none."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def printable(text: str) -> str:
    """A text that can't change the terminal: control characters escaped."""
    return "".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    if 0xDC80 <= ord(character) <= 0xDCFF:
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape", "surrogatepass").decode()


def table(rows: Sequence[Sequence[str]], *, width: int | None = None) -> str:
    """Rows as aligned columns; the last column is cut where a line would be wider than `width`."""
    columns = max(len(row) for row in rows)
    full = [[*row, *[""] * (columns - len(row))] for row in rows]
    used = [c for c in range(columns) if any(row[c] for row in full)]
    widths = {c: max(_width(row[c]) for row in full) for c in used}
    return "\n".join(_line(row, used, widths, width) for row in full)


def table_width(rows: Sequence[Sequence[str]]) -> int:
    """How wide the table of some rows is, all of the same length."""
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    return sum(widths) + 2 * (sum(width > 0 for width in widths) - 1)


def titled(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """Rows below their titles; a column that is empty has none, and is left out of a table."""
    return [[t if any(row[c] for row in rows) else "" for c, t in enumerate(titles)], *rows]


def _line(row: Sequence[str], used: list[int], widths: Mapping[int, int], limit: int | None) -> str:
    cells = [row[c] + " " * (widths[c] - _width(row[c])) for c in used]
    line = "  ".join(cells).rstrip()
    if limit and _width(line) > limit:
        room = limit - _width("  ".join(cells[:-1])) - 3
        line = "  ".join([*cells[:-1], _start(row[used[-1]], max(room, 8)).rstrip() + "…"])
    return line


def _start(text: str, room: int) -> str:
    """The start of a text that fits into so many cells of a terminal."""
    start = text[:room]
    while _width(start) > room:
        start = start[:-1]
    return start


def _width(text: str) -> int:
    plain = ESCAPE.sub("", text) if "\x1b" in text else text
    if all(c < "\u0300" or c in COLOURS for c in plain):
        return len(plain)
    from wcwidth import wcswidth

    return max(wcswidth(plain), 0) or len(plain)


def tail(log: Path, lines: int, *, position: int = 0) -> list[str]:
    """The last lines of a log, or of what stands behind a position of it, fit to be shown."""
    try:
        content = log.read_bytes()[position:][-TAIL_BYTES:]
    except OSError:
        return []
    return [printable(line) for line in content.decode("utf-8", "replace").splitlines()[-lines:]]


def age(moment: datetime) -> str:
    """How long ago a moment was, in the largest unit that fits."""
    return duration((datetime.now(UTC) - moment).total_seconds())


def duration(seconds: float) -> str:
    """A length of time in its largest unit."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"


def size(number: int) -> str:
    """A number of bytes in its largest unit."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if number >= factor:
            return f"{number / factor:.1f} {unit}"
    return f"{number} B"


def count(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def terminal_width() -> int | None:
    """The width of the terminal that stdout is, or None where it is none."""
    if not sys.stdout.isatty():
        return None
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns
    except OSError:
        return None


def _print(text: str, stream: IO[str]) -> None:
    try:
        stream.write(text + "\n")
        stream.flush()
    except BrokenPipeError:
        mute(stream)


def mute(stream: IO[str]) -> None:
    """Let what is still to be printed go nowhere: nobody reads it, and the work goes on."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
