"""What a terminal showed, from the log of what was printed to it: as text, or to be painted again.

A terminal emulator reads the log (pyte); what it does not keep, the modes that a program switched
on for its terminal, is found in the bytes (https://invisible-island.net/xterm/ctlseqs/ctlseqs.html,
https://sw.kovidgoyal.net/kitty/keyboard-protocol/).
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyte

from git_parallel.terminal import Size

MOST_READ = 1 << 19  # an emulator reads about a megabyte a second
HISTORY = 10_000
# The size, as the log has it; what clears the screen; and what pyte would print.
NOTABLE = re.compile(
    rb"\x1b\[8;(?P<rows>\d{1,5});(?P<columns>\d{1,5})t"
    rb"|(?P<clear>\x1b\[(?:\?1049[hl]|[23]?J))|\x1b\[[<>=][\d;]*[a-zA-Z]"
)
TAKEN = b"\x1b[?1049"
MODES = re.compile(
    rb"\x1b(?:\[\?(?P<private>[\d;]+)(?P<on>[hl])|\[(?P<kitty>[<>=])[\d;]*u|\[>4;?\d*m|(?P<pad>[=>]))"
)
# Not to be repeated: the columns of the window, a redraw under way, and the alternate screen, since
# whoever looks has one of their own for as long.
PASSING = {b"3", b"40", b"2026", b"47", b"1047", b"1049"}
BEGIN = b"\x1b[?1049h"
# Switches off whatever a program may have switched on, and returns to the screen as it was before.
RESET = (
    b"\x1b[r\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1015l\x1b[?1004l\x1b[?2004l\x1b[?2026l"
    b"\x1b[?2031l\x1b[?1007l\x1b[?1l\x1b>\x1b[<u\x1b[>4;0m\x1b[?7h\x1b[?25h\x1b[0m\x1b[?1049l"
)
COLOURS = ("black", "red", "green", "brown", "blue", "magenta", "cyan", "white")
STYLES = (("bold", "1"), ("italics", "3"), ("underscore", "4"), ("blink", "5"), ("reverse", "7"))


def text_of(printed: bytes) -> str:
    """What was printed to a terminal, as the lines that could be read there; of very much only the
    end, and that it is. Of a program that took the whole screen, it is what stood there last.
    """
    screen = pyte.HistoryScreen(80, 24, history=HISTORY, ratio=0.5)
    shown = _Shown(screen)
    _replay(screen, printed[-MOST_READ:], shown.at)
    left = len(printed) - MOST_READ
    told = [f"… {left} bytes before this"] if left > 0 else []
    return "\n".join([*told, *shown.lines, *_lines(screen)])


class _Shown:
    """What programs showed that took the whole screen, and gave it back; pyte knows but one."""

    def __init__(self, screen: Any) -> None:
        self.screen = screen
        self.lines: list[str] = []
        self._whole = False
        self._last: list[str] = []

    def at(self, sequence: bytes) -> None:
        """The screen is about to be cleared, taken or given back."""
        if self._whole and (lines := _lines(self.screen)):
            self._last = lines
        if sequence.startswith(TAKEN):
            self.lines += self._last if self._whole else _lines(self.screen)
            self._whole, self._last = sequence.endswith(b"h"), []
            self.screen.reset()
            self.screen.history.top.clear()


def _lines(screen: Any) -> list[str]:
    """What scrolled away and what stands there, without the empty end."""
    top = ["".join(line[x].data for x in range(screen.columns)) for line in screen.history.top]
    lines = [line.rstrip() for line in (*top, *screen.display)]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def painted(printed: bytes, size: Size) -> bytes:
    """What brings a terminal of that size into the state in which the printed would have left it,
    as well as can be told: its modes, its text with colours, its cursor.
    """
    screen = pyte.Screen(size.columns, size.rows)
    _replay(screen, printed[-MOST_READ:])
    _resize(screen, size)
    out = [_modes(printed), b"\x1b[0m\x1b[2J"]
    for row in range(screen.lines):
        if cells := _row(screen, row):
            out.append(b"\x1b[%d;1H" % (row + 1) + cells)
    out.append(b"\x1b[0m\x1b[%d;%dH" % (screen.cursor.y + 1, screen.cursor.x + 1))
    return b"".join(out)


def printed_of(log: Path, start: int, end: int | None = None) -> bytes:
    """A part of a log, by its positions; raises OSError."""
    with log.open("rb") as file:
        file.seek(start)
        return file.read() if end is None else file.read(max(0, end - start))


def _replay(screen: Any, printed: bytes, cleared: Callable[[bytes], None] | None = None) -> None:
    """Have an emulator read it; `cleared` hears of each sequence that clears the whole screen."""
    stream = pyte.ByteStream(screen)
    position = 0
    for found in NOTABLE.finditer(printed):
        stream.feed(printed[position : found.start()])
        position = found.end()
        if found["rows"]:
            _resize(screen, Size(int(found["rows"]), int(found["columns"])))
        elif found["clear"]:
            if cleared:
                cleared(found["clear"])
            stream.feed(found["clear"])
    stream.feed(printed[position:])


def _resize(screen: Any, size: Size) -> None:
    """Change the size as terminals do, where the cursor stays with its line; pyte by itself drops
    the lines at the top.
    """
    if (over := screen.cursor.y + 1 - size.rows) > 0:
        screen.cursor.y = screen.lines - 1
        for _ in range(over):
            screen.index()
        screen.cursor.y = size.rows - 1
    for row in range(size.rows, screen.lines):
        screen.buffer.pop(row, None)
    screen.lines = min(screen.lines, size.rows)
    screen.resize(size.rows, size.columns)


def _modes(printed: bytes) -> bytes:
    """The sequences that bring about the modes that are on at the end."""
    private: dict[bytes, bytes] = {}
    others: dict[bytes, bytes] = {}
    kitty: list[bytes] = []
    for found in MODES.finditer(printed):
        if found["private"]:
            private |= dict.fromkeys(found["private"].split(b";"), found["on"])
        elif found["kitty"] == b"<":
            kitty = kitty[:-1]
        elif found["kitty"]:
            kitty.append(found[0])
        else:
            others[b"pad" if found["pad"] else b"keys"] = found[0]
    told = [mode for mode in private if mode not in PASSING]
    switched = [b"\x1b[?%b%b" % (mode, private[mode]) for mode in told]
    return b"".join([*switched, *others.values(), *kitty])


def _row(screen: Any, row: int) -> bytes:
    cells = screen.buffer[row]
    width = max((x for x, cell in cells.items() if cell != screen.default_char), default=-1) + 1
    out, style = "", ""
    for x in range(min(width, screen.columns)):
        cell = cells[x]
        if (wanted := _style(cell)) != style:
            out, style = f"{out}\x1b[0{wanted}m", wanted
        out += cell.data
    return (out + ("\x1b[0m" if style else "")).encode("utf-8", "replace")


def _style(cell: Any) -> str:
    codes = [code for name, code in STYLES if getattr(cell, name)]
    codes += [*_colour(cell.fg, 30), *_colour(cell.bg, 40)]
    return "".join(f";{code}" for code in codes)


def _colour(name: str, first: int) -> list[str]:
    """The codes of a colour as pyte names it: one of eight, bright or not, or as RGB."""
    if name == "default":
        return []
    plain = name.removeprefix("bright")
    if plain in COLOURS or plain == "yellow":
        index = COLOURS.index("brown" if plain == "yellow" else plain)
        return [str(first + index + (60 if plain != name else 0))]
    return [f"{first + 8};2;{int(name[:2], 16)};{int(name[2:4], 16)};{int(name[4:6], 16)}"]
