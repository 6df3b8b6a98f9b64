"""Comments that a person writes into the diff of a task, in git's editor."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from git_parallel import comments, form, review
from git_parallel.changes import SUBMODULES
from git_parallel.comments import Comment
from git_parallel.errors import ParallelError
from git_parallel.journal import entries
from git_parallel.process import foreground
from git_parallel.repository import Repository
from git_parallel.review import Span
from git_parallel.task_view import TaskView

INTRO = (
    "What do you say of `{name}`?",
    "Write it below the line that it is about: what does not begin with `>` is",
    "yours. Lines that you do not need may go. Nothing written, nothing kept.",
)


@contextlib.contextmanager
def comments_on(repository: Repository, view: TaskView, span: Span) -> Iterator[list[Comment]]:
    """The comments that a person writes into the diff in git's editor; what they wrote stays in its
    file where it can't be understood, or not be kept. Raises ParallelError.
    """
    lines = _form(repository, view, span)
    content = os.fsencode("\n".join(line.text for line in lines) + "\n")
    handle, name = tempfile.mkstemp(prefix="review-", suffix=".txt", dir=view.folder.path)
    file = Path(name)
    with open(handle, "wb") as stream:
        stream.write(content)
    try:
        text = _edited(repository, view, file)
        yield [_comment(span.tip, line, said) for line, said in form.written(lines, text)]
    except ParallelError as error:
        left = _whereabouts(repository, file)
        if left is None:
            raise
        if left.read_bytes() == content:
            left.unlink()
            raise
        raise ParallelError(error.message, hint=f"what you wrote is in {left}") from error
    file.unlink()
    review.looked(repository, view, span)


def _edited(repository: Repository, view: TaskView, file: Path) -> str:
    editor = _open_editor(repository, file)
    try:
        return os.fsdecode(file.read_bytes())
    except FileNotFoundError as error:
        if not view.folder.path.is_dir():
            raise comments.moved_away(view.folder) from error
        hint = "git var GIT_EDITOR"
        raise ParallelError(f"the editor left no file: {editor}", hint) from error


def _whereabouts(repository: Repository, file: Path) -> Path | None:
    """Where a file of a task is: it goes to the trash with it."""
    places = [file, *(entry.record / file.name for entry in entries(repository))]
    return next((place for place in places if place.exists()), None)


def _comment(tip: str, line: form.Line, said: str) -> Comment:
    return comments.whole(tip, said, path=line.path, line=line.line, quote=line.quote)


def _form(repository: Repository, view: TaskView, span: Span) -> list[form.Line]:
    git = repository.git
    same = ("diff-tree", "-r", "-M", "--no-ext-diff", "--no-color", SUBMODULES)
    raw = git.fields(*same, "--raw", "-z", span.fork, span.tip)
    patch = git.run(*same, "--patch", "--no-textconv", "--submodule=short", span.fork, span.tip).out
    intro = [text.format(name=view.task.name) for text in INTRO]
    return form.lines_of(intro, form.paths_of(raw), patch)


def _open_editor(repository: Repository, file: Path) -> str:
    """Let a person write in a file as git does it (git-var(1)); returns the editor's command.
    Raises ParallelError.
    """
    git = repository.git
    if own := os.environ.get("GIT_EDITOR"):
        git = git.at(git.folder, GIT_EDITOR=own)
    editor = git.text("var", "GIT_EDITOR")
    command = ["sh", "-c", f'{editor} "$@"', editor, str(file)]
    done = foreground(command, folder=git.folder, environment=git.environment)
    if done.code:
        raise ParallelError(f"the editor failed: {editor}", hint="git var GIT_EDITOR")
    return editor
