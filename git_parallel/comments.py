"""What a reviewer has to say of a task's work, until its agent is told."""

import os
import re
import shlex
from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct, structs

from git_parallel.errors import ParallelError, UnsafeError, UsageError
from git_parallel.records import find_record, write_record
from git_parallel.repository import Repository
from git_parallel.review import LOCK, span_of
from git_parallel.task import Run, now
from git_parallel.task_folder import TaskFolder
from git_parallel.task_view import TaskView

FILE = "comments.json"
HEADING = "The review of your work has these comments:"
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"(?::(\d+))?', re.DOTALL)
NUMBERED = re.compile(r"(.+):(\d+)", re.DOTALL)
ESCAPE = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)
LETTERS = dict(zip(b"abtnvfr", b"\a\b\t\n\v\f\r", strict=True))
MAX_QUOTE = 200
BLOB, SUBMODULE = "blob", "commit"


class Comment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One comment on a tip: on a line of a file as it is there, on a file, or on all of it. `quote`
    is the line; with a minus before it, one that was removed there. `run` is the last one that has
    it in its prompt.
    """

    tip: str
    text: str
    time: datetime
    path: str | None = None
    line: int | None = None
    quote: str = ""
    run: int | None = None

    @property
    def place(self) -> str:
        """`FILE:LINE`, `FILE`, or nothing, in a form that `on` understands."""
        if self.path is None:
            return ""
        return shown(self.path) + (f":{self.line}" if self.line else "")


class Comments(Struct, frozen=True, forbid_unknown_fields=True):
    """All comments on a task, the oldest first."""

    comments: tuple[Comment, ...] = ()
    version: int = 1


def load(folder: TaskFolder) -> tuple[Comment, ...]:
    """All comments on a task, those that were sent among them; raises ParallelError."""
    found = find_record(folder.path / FILE, Comments)
    return found.comments if found else ()


def waiting(folder: TaskFolder, *, idle: bool = False) -> tuple[Comment, ...]:
    """The comments that no agent was told yet: no run has them in its prompt, or it ended before
    its command got through. `idle`: who asks holds the task, so no run of it is under way. Raises
    ParallelError.
    """
    alive = not idle and folder.alive  # first: a run that ends meanwhile is not one that was lost
    known = load(folder)
    if not any(comment.run for comment in known):
        return known
    runs = folder.runs()
    heard = {run.number for run in runs if run.got_through}
    if alive and runs[-1:] and runs[-1].result is None:
        heard.add(runs[-1].number)
    return tuple(comment for comment in known if comment.run not in heard)


def listener(folder: TaskFolder) -> Run | None:
    """The newest run whose command was told anything, if there is one."""
    return next((run for run in reversed(folder.runs()) if folder.hears(run)), None)


def delivery(folder: TaskFolder, *, deaf: bool = False) -> str:
    """The command by which the agent of a task hears the comments that wait: what ran last would
    run again, and may be a command that is told nothing. `deaf`: such a one is about to run.
    """
    again = f"git parallel run {folder.task().name}"
    last = folder.last_run()
    if not deaf and (last is None or folder.hears(last)):
        return again
    told = listener(folder)
    if told is None:
        return f"{again} --agent NAME"
    return f"{again} --agent {told.agent}" if told.agent else f"{again} -m TEXT"


def add(repository: Repository, folder: TaskFolder, new: Sequence[Comment]) -> None:
    """Keep comments; raises ParallelError."""
    with repository.store.locked(name=LOCK):
        try:
            write_record(folder.path / FILE, Comments((*load(folder), *new)))
        except FileNotFoundError as error:
            raise moved_away(folder) from error


def moved_away(folder: TaskFolder) -> UnsafeError:
    """The error where a task is no more that somebody says something of."""
    words = f"`{folder.slug}` was moved away meanwhile"
    return UnsafeError(words, hint=f"git parallel undo {folder.slug}")


def nth(folder: TaskFolder, number: int) -> Comment:
    """The n-th of those that wait, counted from 1; raises ParallelError."""
    left = waiting(folder)
    if not 1 <= number <= len(left):
        raise ParallelError(f"there is no comment {number} that waits")
    return left[number - 1]


def drop(repository: Repository, folder: TaskFolder, gone: Comment) -> None:
    """Forget a comment; raises ParallelError."""
    with repository.store.locked(name=LOCK):
        kept = tuple(comment for comment in load(folder) if comment != gone)
        write_record(folder.path / FILE, Comments(kept))


def sent(repository: Repository, folder: TaskFolder, told: Sequence[Comment], number: int) -> None:
    """Keep that comments are in the prompt of a run; others may have come meanwhile."""
    if not told:
        return
    with repository.store.locked(name=LOCK):
        left = load(folder)
        now_sent = tuple(structs.replace(r, run=number) if r in told else r for r in left)
        write_record(folder.path / FILE, Comments(now_sent))


def on(repository: Repository, view: TaskView, place: str, text: str) -> Comment:
    """A comment on `FILE:LINE` or `FILE`, which may be in quotes as git puts them round unusual
    names; raises ParallelError where the task has no such line.
    """
    tip = span_of(view).tip
    path, line = _found(repository, view, _readings(place))
    quote = _line(repository, tip, path, line) if line is not None else ""
    return whole(tip, text, path=path, line=line, quote=quote)


def whole(
    tip: str, text: str, *, path: str | None = None, line: int | None = None, quote: str = ""
) -> Comment:
    """A comment on all of a task, or on a place that is known to exist; raises UsageError."""
    said = text.strip("\n")
    if not said.strip():
        raise UsageError("a comment needs a text")
    for part in (said, path or ""):
        try:
            part.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"a comment has to be UTF-8, and so has its file: {part}") from error
    told = quote.encode("utf-8", "surrogateescape").decode("utf-8", "replace").rstrip("\r")
    cut = told if len(told) <= MAX_QUOTE else told[: MAX_QUOTE - 1] + "…"
    return Comment(tip=tip, text=said, time=now(), path=path, line=line, quote=cut)


def _readings(place: str) -> list[tuple[str, int | None]]:
    """What a `FILE:LINE` can mean, the likeliest first: a file's name may end like that itself."""
    if quoted := QUOTED.fullmatch(place):
        return [(unquoted(quoted[1]), int(quoted[2]) if quoted[2] else None)]
    numbered = NUMBERED.fullmatch(place)
    return [*([(numbered[1], int(numbered[2]))] if numbered else []), (place, None)]


def _found(
    repository: Repository, view: TaskView, readings: Sequence[tuple[str, int | None]]
) -> tuple[str, int | None]:
    changed = view.facts.paths if view.facts else ()
    for path, line in readings:
        if line is None and path in changed:
            return path, line  # a file that the task deleted can be spoken of, too
        if _entry(repository, view.tip or "", path):
            return path, line
    for path, line in readings:
        if path in changed:
            raise _gone(repository, view, path, line)
    raise ParallelError(
        f"`{view.task.name}` has no file {shown(readings[0][0])} (paths count from the top)",
        hint=f"git parallel review {view.task.name} --files",
    )


def _gone(repository: Repository, view: TaskView, path: str, line: int | None) -> ParallelError:
    """The error for a line of a file that a task deleted or renamed."""
    name, span = view.task.name, span_of(view)
    renamed = ("diff-tree", "-r", "-M", "--diff-filter=R", "--name-status", "-z")
    fields = repository.git.fields(*renamed, span.fork, span.tip)
    names = dict(zip(fields[1::3], fields[2::3], strict=True))
    if new := names.get(path):
        place = shlex.quote(f"{shown(new)}:{line}")
        hint = f"git parallel review {name} --comment {place} TEXT"
        return ParallelError(f"`{name}` renamed {shown(path)} to {shown(new)}", hint=hint)
    hint = f"git parallel review {name} --edit"
    return ParallelError(f"`{name}` deleted {shown(path)}, it has no lines now", hint=hint)


def _entry(repository: Repository, tip: str, path: str) -> tuple[str, str] | None:
    """The type and the id of what stands at a path of a commit, unless that is a folder."""
    git = repository.git.at(repository.git.folder, GIT_LITERAL_PATHSPECS="1")
    outside = not path or "\0" in path or path.startswith("/") or ".." in path.split("/")
    for field in () if outside else git.fields("ls-tree", "-z", "--full-tree", tip, "--", path):
        head, _, name = field.partition("\t")
        _mode, kind, object_id = head.split(" ")
        if name == path and kind in (BLOB, SUBMODULE):
            return kind, object_id
    return None


def _line(repository: Repository, tip: str, path: str, line: int) -> str:
    """A line of a file; raises ParallelError where it has none of that number."""
    kind, object_id = _entry(repository, tip, path) or ("", "")
    content = repository.git.run("cat-file", BLOB, object_id).out if kind == BLOB else ""
    if "\0" in content:
        raise ParallelError(f"{shown(path)} has no lines: it is binary", hint="name it alone")
    lines = content.removesuffix("\n").split("\n") if content else []
    if not 1 <= line <= len(lines):
        many = f"{len(lines)} {'line' if len(lines) == 1 else 'lines'}"
        raise ParallelError(f"{shown(path)} has no line {line}: it has {many}")
    return lines[line - 1]


def prompt_with(before: bytes | None, told: Sequence[Comment], tip: str | None) -> bytes:
    """What to tell an agent: what the user asks of it, byte for byte, and then the comments, if
    there are any; those on another commit than its tip say so.
    """
    if before and not told:
        return before
    blocks = [_block(comment, tip) for comment in told]
    text = "\n\n".join([HEADING, *blocks]).encode() + b"\n"
    if not before:
        return text
    return before + b"\n" * (1 if before.endswith(b"\n") else 2) + text


def _block(comment: Comment, tip: str | None) -> str:
    place = comment.place
    if place and comment.tip != tip:
        place += f" (as of {comment.tip[:12]})"
    said = f"{place}: {comment.text}" if place else comment.text
    return f"{said}\n> {comment.quote}" if comment.quote else said


def shown(path: str) -> str:
    """A path as people read it: in git's quotes where it has unusual characters (git-config(1),
    core.quotePath), or could be taken for one with a line.
    """
    if path.isprintable() and '"' not in path and not NUMBERED.fullmatch(path):
        return path
    known = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(known.get(c) or (c if c.isprintable() else _octal(c)) for c in path) + '"'


def _octal(character: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(character))


def unquoted(text: str) -> str:
    """What stands between git's quotes, without its escapes."""

    def escaped(found: re.Match[bytes]) -> bytes:
        code = found[1]
        if len(code) == len("000"):
            return bytes([int(code, 8) & 0xFF])
        return bytes([LETTERS.get(code[0], code[0])])

    return os.fsdecode(ESCAPE.sub(escaped, os.fsencode(text)))
