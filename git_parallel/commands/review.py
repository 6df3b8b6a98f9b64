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
@click.option("--stat", is_flag=True, help="Without the diff.")
@click.option("--files", is_flag=True, help="Only the names of the changed files.")
@click.option("--tool", is_flag=True, help="The diff in git's difftool.")
@click.option("--since-last", "since", is_flag=True, help="What is new since you looked.")
@click.option("--accept", is_flag=True, help="It is good as it is now.")
@click.option("--reject", is_flag=True, help="It is not, and -m says why.")
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
    text: str | None,
    comments: tuple[tuple[str, str], ...],
    drop: int | None,
    *,
    accept: bool,
    reject: bool,
    edit: bool,
    listing: bool,
    as_json: bool,
    **forms: bool,
) -> int:
    """See what a task changed: its commits, its files, its checks, its diff; and whether it merges
    cleanly into its target. Accept it, reject it, or say what is to be done about it. Of several
    attempts: how they compare. Without a name: what is ready for review.
    """
    if accept and reject:
        raise UsageError("--accept and --reject can't be used together")
    verdict = "accepted" if accept else "rejected" if reject else None
    said = opinion.Said(verdict, text, comments, drop, edit=edit)
    wish = Wish([form for form in forms if forms[form]], said, listing=listing, as_json=as_json)
    wish.check()
    _refuse_options_as_texts(wish.said)
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


def _refuse_options_as_texts(said: opinion.Said) -> None:
    """Raise UsageError where a text was forgotten, so that an option was taken for it."""
    options = [word for one in click.get_current_context().command.params for word in one.opts]
    for text in (said.text, *(text for _, text in said.comments)):
        if text in options:
            raise UsageError(f"a text is missing before {text}", hint="git parallel review -h")


class Wish(Struct, frozen=True):
    """What the user wants to see of a task, and to say of it."""

    forms: list[str]
    said: opinion.Said
    listing: bool
    as_json: bool

    def check(self) -> None:
        """Raise UsageError where the options do not go together."""
        if self.said.text is not None and self.said.verdict is None:
            raise UsageError("-m is for --reject and --accept", hint="--comment FILE:LINE TEXT")
        if self.forms and self.as_json:
            option = "--since-last" if self.forms[0] == "since" else f"--{self.forms[0]}"
            raise UsageError(f"--json tells paths, numbers and commits, and takes no {option}")
        shows = [*self.forms, self.said.anything, self.listing]
        if sum(map(bool, shows)) > 1:
            raise UsageError("one thing at a time: to see, to list, or to say something")

    def refuse_details(self, message: str, hint: str) -> None:
        """Raise UsageError where something is asked that only one task can answer."""
        if self.forms or self.said.anything or self.listing:
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
        return diffs.show(repository, view, span_of(view), next(iter(wish.forms), None))
    if wish.as_json:
        output.json(diffs.as_json(repository, view, span_of(view)))
    return 0
