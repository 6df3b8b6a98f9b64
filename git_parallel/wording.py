"""Paths, and what programs say, as parts of a line that we print."""

import re
from collections.abc import Sequence
from pathlib import Path


def named(names: Sequence[str], most: int) -> str:
    """The first of some paths, and how many there are beside them: in one line, whatever characters
    are in them.
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return in_line(", ".join(names[:most])) + more


def in_line(name: str) -> str:
    """A path as a part of a line, which it can't end."""
    return name.replace("\n", "\\n")


def pasted(word: Path | str) -> str:
    """A path, or a name, as one word of a command that can be pasted into a shell."""
    import shlex  # not needed until something is amiss

    return shlex.quote(str(word))


def last_words(text: str, *, lines: int = 3) -> str:
    """What a program wrote on stderr, fit for the end of a message: the first paragraph of its
    first error, where it names one as git does, else the end. Without git's hints, which are about
    what it left there, where it said more than them.
    """
    found = re.search(r"^(fatal|error): ", text, re.MULTILINE)
    point = text[found.start() :].partition("\n\n")[0] if found else text
    every = [line.strip() for line in _safe(point).splitlines() if line.strip()]
    said = [line for line in every if not line.startswith("hint:")] or every
    told = [re.sub(r"^(fatal|error|hint|warning): ", "", line) for line in said]
    return "; ".join(told[:lines] if found else told[-lines:]).replace(":; ", ": ")


def _safe(text: str) -> str:
    return "".join(c for c in text if c == "\n" or c.isprintable())
