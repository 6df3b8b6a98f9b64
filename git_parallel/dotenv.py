"""The dotenv format, `KEY=value` a line: write it, and give keys of a file other values. Pure.

There is no standard. What is written here is read alike by a shell, by docker compose
(https://docs.docker.com/compose/how-tos/environment-variables/env-file/) and by the dotenv
libraries: plain where that is possible, else in single quotes, else in double quotes.
"""

import os
import re
from collections.abc import Callable, Mapping

PLAIN = re.compile(r"[\w./:@%+,=-]*")
VALUE = rb"""("(?:[^"\\]|\\.)*"|'[^']*'|[^\n]*?)([ \t]+#[^\n]*|[ \t]*)(?=\r?$)"""


def is_dotenv(name: str) -> bool:
    """Whether a file of that path is one, by its name."""
    base = name.rpartition("/")[2]
    return base == ".env" or base.startswith(".env.") or base.endswith(".env")


def compose(values: Mapping[str, str]) -> str:
    """A file of these values."""
    return "".join(f"{key}={quote(value)}\n" for key, value in values.items())


def quote(value: str) -> str:
    """A value as it stands behind `KEY=`."""
    if PLAIN.fullmatch(value):
        return value
    if "'" not in value and "\n" not in value:
        return f"'{value}'"
    escaped = re.sub(r'([\\"$`])', r"\\\1", value).replace("\n", "\\n")
    return f'"{escaped}"'


def rewrite(content: bytes, values: Mapping[str, str]) -> bytes:
    """The content with other values for the keys that it has; every other byte stays."""
    for key, value in values.items():
        content = _line_of(key).sub(_with(quote(value)), content)
    return content


def _line_of(key: str) -> re.Pattern[bytes]:
    head = rb"^([ \t]*(?:export[ \t]+)?" + re.escape(os.fsencode(key)) + rb"[ \t]*=[ \t]*)"
    return re.compile(head + VALUE, re.MULTILINE)


def _with(value: str) -> Callable[[re.Match[bytes]], bytes]:
    return lambda line: line[1] + os.fsencode(value) + line[3]
