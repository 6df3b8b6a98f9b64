"""Comments that a person writes into the diff of a task, in git's editor."""

import os
import tempfile
from pathlib import Path

from git_parallel import comments, form, review
from git_parallel.comments import Comment
from git_parallel.errors import ParallelError
from git_parallel.process import foreground
from git_parallel.repository import Repository
from git_parallel.review import Span
from git_parallel.task_view import TaskView

INTRO = (
    "What do you say of `{name}`?",
    "Write it below the line that it is about: what does not begin with `>` is",
    "yours. Lines that you do not need may go. Nothing written, nothing kept.",
)


def comments_on(repository: Repository, view: TaskView, span: Span) -> list[Comment]:
    """The comments that a person writes into the diff in git's editor; what they wrote stays in its
    file where it can't be understood. Raises ParallelError.
    """
    lines = _form(repository, view, span)
    content = os.fsencode("\n".join(line.text for line in lines) + "\n")
    handle, name = tempfile.mkstemp(prefix="review-", suffix=".txt", dir=view.folder.path)
    file = Path(name)
    with open(handle, "wb") as stream:
        stream.write(content)
    try:
        _open_editor(repository, file)
        text = os.fsdecode(file.read_bytes())
        found = form.written(lines, text)
        new = [_comment(span.tip, line, said) for line, said in found]
    except ParallelError as error:
        if file.read_bytes() == content:
            file.unlink()
            raise
        raise ParallelError(error.message, hint=f"what you wrote is in {file}") from error
    file.unlink()
    review.looked(repository, view, span)
    return new


def _comment(tip: str, line: form.Line, said: str) -> Comment:
    return comments.whole(tip, said, path=line.path, line=line.line, quote=line.quote)


def _form(repository: Repository, view: TaskView, span: Span) -> list[form.Line]:
    git, same = repository.git, ("diff-tree", "-r", "-M", "--no-ext-diff", "--no-color")
    raw = git.fields(*same, "--raw", "-z", span.fork, span.tip)
    patch = git.run(*same, "--patch", "--no-textconv", "--submodule=short", span.fork, span.tip).out
    intro = [text.format(name=view.task.name) for text in INTRO]
    return form.lines_of(intro, form.paths_of(raw), patch)


def _open_editor(repository: Repository, file: Path) -> None:
    """Let a person write in a file as git does it (git-var(1)); raises ParallelError."""
    git = repository.git
    if own := os.environ.get("GIT_EDITOR"):
        git = git.at(git.folder, GIT_EDITOR=own)
    editor = git.text("var", "GIT_EDITOR")
    command = ["sh", "-c", f'{editor} "$@"', editor, str(file)]
    done = foreground(command, folder=git.folder, environment=git.environment)
    if done.code:
        raise ParallelError(f"the editor failed: {editor}", hint="git var GIT_EDITOR")
