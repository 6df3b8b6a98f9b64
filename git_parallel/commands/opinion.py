"""What a person says of a task: a verdict, comments; and how the agent gets to hear of them."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from msgspec import Struct, structs

from git_parallel import comments, output, review
from git_parallel.commands import editing
from git_parallel.commands.choice import Wish, goes_on
from git_parallel.comments import Comment
from git_parallel.config import Loaded
from git_parallel.errors import UsageError
from git_parallel.records import Verdict
from git_parallel.repository import Repository
from git_parallel.review import Span, span_of
from git_parallel.task import Run
from git_parallel.task_folder import TaskFolder
from git_parallel.task_view import TaskView

VERBS = {Verdict.SEEN: "looked at", Verdict.ACCEPTED: "accepted", Verdict.REJECTED: "rejected"}


class Said(Struct, frozen=True):
    """What a person says of a task on the command line."""

    verdict: str | None
    text: str | None
    comments: tuple[tuple[str, str], ...]
    drop: int | None
    edit: bool

    @property
    def anything(self) -> bool:
        """Whether they say something at all."""
        return bool(self.verdict or self.comments or self.edit or self.drop is not None)


def keep(repository: Repository, view: TaskView, said: Said) -> None:
    """Keep what a person says of a task, and tell what that came to; raises ParallelError."""
    span = span_of(view)
    new = [comments.on(repository, view, place, text) for place, text in said.comments]
    rejected = said.verdict == Verdict.REJECTED
    if rejected and said.text is not None:
        new.append(comments.whole(span.tip, said.text))
    if said.verdict:
        review.refuse_unseen(view, span)
    gone = comments.nth(view.folder, said.drop) if said.drop is not None else None
    # Last: whatever is refused before this takes nothing with it that was written.
    edited: AbstractContextManager[list[Comment]] = nullcontext([])
    if said.edit:
        edited = editing.comments_on(repository, view, span)
    with edited as written:
        new += written
        if rejected and not new and set(comments.waiting(view.folder)) <= {gone}:
            hint = f"git parallel review {view.task.name} --reject -m TEXT"
            raise UsageError("say what is wrong with it", hint=hint)
        _change(repository, view.folder, gone, new)
    if said.verdict:
        review.judge(repository, view, span, Verdict(said.verdict), said.text or "")
    view.folder.seen()
    _tell(repository, view, span, said)


def _change(
    repository: Repository, folder: TaskFolder, gone: Comment | None, new: Sequence[Comment]
) -> None:
    if gone:
        comments.drop(repository, folder, gone)
        output.tell(output.DONE, output.printable(f"taken back: {_line(gone)}"))
        if gone.run:
            hint = f"git parallel run {folder.task().name} -m TEXT"
            output.tell(output.WARNING, f"the prompt of run {gone.run} has it still", hint=hint)
    if new:
        comments.add(repository, folder, new)


def _tell(repository: Repository, view: TaskView, span: Span, said: Said) -> None:
    name, left = view.task.name, len(comments.waiting(view.folder))
    if said.verdict:
        words = f"{name} {said.verdict} at {repository.short(span.tip)}"
        accepted = said.verdict == Verdict.ACCEPTED
        merges = accepted and span.fork != span.tip
        output.tell(output.DONE, words, hint=f"git parallel merge {name}" if merges else "")
        if accepted and view.dirty:
            uncommitted = output.count(view.dirty, "uncommitted path")
            output.tell(output.WARNING, f"without {uncommitted} in {view.path}")
    if left:
        wait = "comment waits" if left == 1 else "comments wait"
        hint = comments.delivery(view.folder)
        output.tell(output.DONE, f"{left} {wait} for its agent", hint=hint)
    elif not said.verdict and said.drop is None:
        output.tell(output.NOTHING, f"nothing is said of {name}")


def show(view: TaskView) -> None:
    """Print the comments that wait."""
    name, waiting = view.task.name, comments.waiting(view.folder)
    if not waiting:
        hint = f"git parallel review {name} --edit"
        output.tell(output.NOTHING, f"no comments on {name} wait for its agent", hint=hint)
        return
    for number, comment in enumerate(waiting, start=1):
        output.answer(output.printable(f"{number}  {_line(comment)}"))
        for line in comment.text.split("\n")[1:]:
            output.answer(output.printable(f"   {line}"))
        if comment.quote:
            output.answer(output.printable(f"   > {comment.quote}"))
    output.tell(output.HINT, comments.delivery(view.folder))


def _line(comment: Comment) -> str:
    first = comment.text.partition("\n")[0]
    return f"{comment.place}: {first}" if comment.place else first


def take_along(
    repository: Repository, loaded: Loaded, folder: TaskFolder, last: Run | None, wish: Wish
) -> tuple[Wish, tuple[Comment, ...]]:
    """What to run, and the comments that its prompt has now. A command that is told nothing else is
    no agent: the comments go on waiting.
    """
    waiting = comments.waiting(folder, idle=True)
    if not waiting:
        return wish, ()
    words = output.count(len(waiting), "comment of the review", "comments of the review")
    if not _listens(folder, last, wish):
        output.tell(output.NOTHING, f"without {words}", hint=comments.delivery(folder, deaf=True))
        return wish, ()
    output.tell(output.NOTHING, f"with {words}")
    task = folder.task()
    branch = repository.branches(f"refs/heads/{task.branch}").get(f"refs/heads/{task.branch}")
    new = [c for c in waiting if last is None or c.run != last.number]
    wish = _asked(loaded, folder, last, wish, missed=len(new) < len(waiting))
    told = new if wish.repeats else waiting
    prompt = comments.prompt_with(wish.prompt, told, branch.tip if branch else None)
    return structs.replace(wish, prompt=prompt), waiting


def _listens(folder: TaskFolder, last: Run | None, wish: Wish) -> bool:
    if wish.prompt is not None:
        return True
    if wish.words:
        return False
    return wish.names or last is None or folder.hears(last)


def _asked(
    loaded: Loaded, folder: TaskFolder, last: Run | None, wish: Wish, *, missed: bool
) -> Wish:
    """What the user asks. Where that is nothing new, the prompt of the run before again, but to an
    agent that goes on with the conversation, unless it `missed` comments of that prompt.
    """
    if wish.prompt is not None or last is None:
        return wish
    kept = folder.prompt(last.number)
    if not kept.exists() or (goes_on(loaded, last, wish) and not missed):
        return wish
    return structs.replace(wish, prompt=kept.read_bytes(), repeats=True)


def review_of(view: TaskView) -> str:
    """What a person made of a task, when, and why; nothing where they never looked."""
    reviewed = view.folder.reviewed
    if reviewed is None:
        return ""
    ago = f"{output.age(reviewed.time)} ago"
    if reviewed.tip != view.tip:
        return f"{review.NEW_COMMITS} since you {VERBS[reviewed.verdict]} it, {ago}"
    note = f": {reviewed.note.partition(chr(10))[0]}" if reviewed.note else ""
    return f"{reviewed.verdict} {ago}{note}"


def comments_of(view: TaskView) -> str:
    """How many comments wait for a task's agent."""
    waiting = len(comments.waiting(view.folder))
    if not waiting:
        return ""
    return f"{waiting} {'waits' if waiting == 1 else 'wait'} for its agent"
