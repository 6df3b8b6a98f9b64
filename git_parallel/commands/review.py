"""`git parallel review`: what is ready, what a task changed, and what you make of it."""

from pathlib import Path

import click
from msgspec import Struct

from git_parallel import cleanup, output
from git_parallel.commands import attempts, diffs, opinion, queue, render
from git_parallel.errors import UsageError
from git_parallel.overview import look
from git_parallel.repository import Repository, find_repository
from git_parallel.review import span_of
from git_parallel.task_view import TaskView


@click.command("review")
@click.argument("task", required=False)
@click.option("--stat", "form", flag_value="stat", help="Without the diff.")
@click.option("--files", "form", flag_value="files", help="Only the names of the changed files.")
@click.option("--tool", "form", flag_value="tool", help="The diff in git's difftool.")
@click.option("--since-last", "form", flag_value="since", help="What is new since you looked.")
@click.option("--accept", "verdict", flag_value="accepted", help="It is good as it is now.")
@click.option("--reject", "verdict", flag_value="rejected", help="It is not, and -m says why.")
@click.option("-m", "--message", "text", metavar="TEXT", help="Why, for the agent's next run.")
@click.option(
    "--comment",
    "comments",
    nargs=2,
    multiple=True,
    metavar="FILE:LINE TEXT",
    help="A comment for the agent's next run; several may be given.",
)
@click.option("--edit", is_flag=True, help="Write comments into the diff, in git's editor.")
@click.option("--comments", "listing", is_flag=True, help="List the comments that wait.")
@click.option("--drop", type=int, metavar="N", help="Take the N-th comment that waits back.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    task: str | None,
    form: str | None,
    verdict: str | None,
    text: str | None,
    comments: tuple[tuple[str, str], ...],
    drop: int | None,
    *,
    edit: bool,
    listing: bool,
    as_json: bool,
) -> int:
    """See what a task changed: its commits, its files, its checks, its diff; and whether it merges
    cleanly into its target. Accept it, reject it, or say what is to be done about it. Of several
    attempts: how they compare. Without a name: what is ready for review.
    """
    said = opinion.Said(verdict, text, comments, drop, edit=edit)
    wish = Wish(form, said, listing=listing, as_json=as_json)
    wish.check()
    repository = find_repository(Path.cwd())
    render.tell_swept(repository, cleanup.sweep(repository))
    if task is None:
        wish.refuse_details("name a task", "git parallel review")
        return queue.show(repository, as_json=as_json)
    if found := _attempts(repository, task):
        hint = f"git parallel review {found[0].task.name}"
        wish.refuse_details(f"`{task}` has several attempts: name one of them", hint)
        return _compare(found, as_json=as_json)
    return _review(repository, look(repository, [task]).tasks[0], wish)


class Wish(Struct, frozen=True):
    """What the user wants to see of a task, and to say of it."""

    form: str | None
    said: opinion.Said
    listing: bool
    as_json: bool

    def check(self) -> None:
        """Raise UsageError where the options do not go together."""
        if self.said.text is not None and self.said.verdict is None:
            raise UsageError("-m is for --reject and --accept", hint="--comment FILE:LINE TEXT")
        shows = [self.form, self.said.anything, self.listing]
        if self.form and self.as_json:
            option = "--since-last" if self.form == "since" else f"--{self.form}"
            raise UsageError(f"--json tells paths, numbers and commits, and takes no {option}")
        if sum(map(bool, shows)) > 1:
            raise UsageError("one thing at a time: to see, to list, or to say something")

    def refuse_details(self, message: str, hint: str) -> None:
        """Raise UsageError where something is asked that only one task can answer."""
        if self.form or self.said.anything or self.listing:
            raise UsageError(message, hint=hint)


def _attempts(repository: Repository, name: str) -> list[TaskView]:
    """The attempts at a task; none where the name is a task's own."""
    known = [task for _, task in repository.store.load_tasks()]
    names = [str(task.name) for task in known if task.attempt_of == name]
    if not names or any(task.name == name for task in known):
        return []
    return look(repository, names).tasks


def _compare(found: list[TaskView], *, as_json: bool) -> int:
    if as_json:
        output.json({"version": 1, "tasks": [render.task_json(view) for view in found]})
    else:
        attempts.show(found)
    return 0


def _review(repository: Repository, view: TaskView, wish: Wish) -> int:
    if wish.said.anything:
        opinion.keep(repository, view, wish.said)
    elif wish.listing and not wish.as_json:
        opinion.show(view)
        return 0
    elif not wish.as_json:
        return diffs.show(repository, view, span_of(view), wish.form)
    if wish.as_json:
        output.json(diffs.as_json(repository, view, span_of(view)))
    return 0
