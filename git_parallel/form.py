"""The text in which a reviewer writes comments below the lines of a diff, as in a mail. Pure.

A line of ours begins with `>`; whatever else stands there is a comment on the line of ours above
it. A line of the new side has its number, so that it is found again in a form that was cut down.
"""

import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from git_parallel.errors import ParallelError

MARK = ">"
HUNK = re.compile(r"@@ -\d+(?:,\d+)? \+(\d+)(?:,\d+)? @@")
SECTION = "diff --git "
HEADER = f"{MARK} ==== "
TYPE_CHANGED, TWO_NAMES = "T", "RC"
GUTTER = 5


class Line(Struct, frozen=True):
    """A line of a form, and the place of a comment below it; `quote` as a comment has it."""

    text: str
    path: str | None = None
    line: int | None = None
    quote: str = ""


def paths_of(raw: Sequence[str]) -> list[str]:
    """The paths of the sections of a patch, from the fields of `git diff-tree --raw -z` for the
    same commits (git-diff-tree(1), RAW OUTPUT FORMAT).
    """
    fields = iter(raw)
    found = []
    for head in fields:
        status = head.rpartition(" ")[2]
        path = next(fields)
        if status[0] in TWO_NAMES:
            path = next(fields)
        found += [path, path] if status[0] == TYPE_CHANGED else [path]  # removed, and made anew
    return found


def lines_of(intro: Sequence[str], paths: Sequence[str], patch: str) -> list[Line]:
    """All lines of the form for a patch; `intro` stands above it."""
    lines = [Line(f"{MARK} {text}".rstrip()) for text in intro]
    sections = re.split(rf"^(?={SECTION})", patch, flags=re.MULTILINE)[1:]
    for path, section in zip(paths, sections, strict=True):
        lines += [Line(MARK), Line(f"{HEADER}{_plain(path)}", path)]
        lines += _section(path, section.removesuffix("\n").split("\n"))
    return lines


def _section(path: str, patch: Sequence[str]) -> Iterator[Line]:
    number = 0  # of the last line of the new side
    inside = False
    for text in patch[1:]:
        if hunk := HUNK.match(text):
            number, inside = max(int(hunk[1]) - 1, 0), True
            yield Line(f"{MARK} {'':{GUTTER}} {text}", path)
        elif not inside:
            if not text.startswith(("index ", "--- ", "+++ ")):
                yield Line(f"{MARK} {'':{GUTTER}} {text}", path)
        elif text.startswith("-"):
            yield Line(f"{MARK} {'':{GUTTER}} {text}", path, number or None, text)
        elif text.startswith("\\"):
            yield Line(f"{MARK} {'':{GUTTER}} {text}", path, number or None)
        else:
            number += 1
            yield Line(f"{MARK} {number:{GUTTER}} {text or ' '}", path, number, text[1:])


def _plain(path: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in path)


def written(lines: Sequence[Line], text: str) -> list[tuple[Line, str]]:
    """The comments in a form that came back, each with the line of ours that it stands below.

    Raises ParallelError where one of our lines was changed: what was written there would be lost,
    and nobody knows what stands below it; and where so many are gone that it could be several.
    """
    above_all, *blocks = _blocks(text)
    texts, kept = [line.text.rstrip() for line in lines], [ours for ours, _ in blocks]
    first = _places(texts, kept)
    last = [len(lines) - 1 - at for at in reversed(_places(texts[::-1], kept[::-1]))]
    found, file = [(Line(""), above_all[1])], None
    for (ours, said), low, high in zip(blocks, first, last, strict=True):
        if ours.startswith(HEADER):
            file = lines[low].path if low == high else None
        if said:
            meant = [lines[at] for at in range(low, high + 1) if texts[at] == ours]
            found.append((_only(meant, file), said))
    return [(line, said) for line, said in found if said]


def _only(meant: Sequence[Line], file: str | None) -> Line:
    """The line that is meant, which stands in the file whose header is above it, if it can."""
    there = [line for line in meant if line.path == file] or meant
    if any(line != there[0] for line in there):
        words = "this line stands several times in the form, keep what stands above it there"
        raise ParallelError(f"{words}: {there[0].text}")
    return there[0]


def _blocks(text: str) -> list[tuple[str, str]]:
    """The lines of ours in a text, each with what stands below it; first what stands above all."""
    found = [("", list[str]())]
    for line in text.split("\n"):
        if line.startswith(MARK):
            found.append((line.rstrip(), []))
        else:
            found[-1][1].append(line.removesuffix("\r"))
    return [(ours, _trimmed(block)) for ours, block in found]


def _places(texts: Sequence[str], kept: Sequence[str]) -> list[int]:
    """Where the lines that were kept stand in the form, each behind the one before."""
    found, at = [], -1
    for text in kept:
        try:
            at = texts.index(text, at + 1)
        except ValueError:
            raise ParallelError(f"this line of the form was changed: {text}") from None
        found.append(at)
    return found


def _trimmed(block: Sequence[str]) -> str:
    full = [i for i, line in enumerate(block) if line.strip()]
    return "\n".join(block[full[0] : full[-1] + 1]) if full else ""
