"""What a person says of a task: a verdict, remarks; and how the agent gets to hear of them."""

from msgspec import Struct, structs

from git_parallel import output, remarks, review
from git_parallel.commands import editing
from git_parallel.commands.choice import Wish
from git_parallel.errors import UsageError
from git_parallel.overview import TaskView
from git_parallel.records import Verdict
from git_parallel.remarks import Remark
from git_parallel.repository import Repository
from git_parallel.review import Span, span_of
from git_parallel.store import TaskFolder
from git_parallel.task import Run

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
    new = [remarks.on(repository, view, place, text) for place, text in said.comments]
    rejected = said.verdict == Verdict.REJECTED
    if rejected and said.text is not None:
        new.append(remarks.whole(span.tip, said.text))
    if said.verdict == Verdict.ACCEPTED:
        review.judge(repository, view, Verdict.ACCEPTED, said.text or "")
    if said.drop is not None:
        gone = remarks.drop(repository, view.folder, said.drop)
        output.tell(output.DONE, output.printable(f"taken back: {_line(gone)}"))
    if said.edit:  # when nothing that could still be refused would take what was written with it
        new += editing.remarks_on(repository, view, span)
    if new:
        remarks.add(repository, view.folder, new)
    if rejected:
        if not remarks.waiting(view.folder):
            raise UsageError("say what is wrong with it", hint="--reject -m TEXT")
        review.judge(repository, view, Verdict.REJECTED, said.text or "")
    view.folder.seen()
    _tell(repository, view, span, said)


def _tell(repository: Repository, view: TaskView, span: Span, said: Said) -> None:
    name, left = view.task.name, len(remarks.waiting(view.folder))
    if said.verdict:
        words = f"{name} {said.verdict} at {repository.short(span.tip)}"
        accepted = said.verdict == Verdict.ACCEPTED
        output.tell(output.DONE, words, hint=f"git parallel merge {name}" if accepted else "")
        if accepted and view.dirty:
            uncommitted = output.count(view.dirty, "uncommitted path")
            output.tell(output.WARNING, f"without {uncommitted} in {view.path}")
    if left:
        wait = "remark waits" if left == 1 else "remarks wait"
        output.tell(output.DONE, f"{left} {wait} for its agent", hint=f"git parallel run {name}")
    elif not said.verdict:
        output.tell(output.NOTHING, f"nothing is said of {name}")


def show(view: TaskView) -> None:
    """Print the remarks that wait."""
    name, waiting = view.task.name, remarks.waiting(view.folder)
    if not waiting:
        hint = f"git parallel review {name} --edit"
        output.tell(output.NOTHING, f"no remarks on {name} wait for its agent", hint=hint)
        return
    for number, remark in enumerate(waiting, start=1):
        output.answer(output.printable(f"{number}  {_line(remark)}"))
        for line in remark.text.split("\n")[1:]:
            output.answer(output.printable(f"   {line}"))
        if remark.quote:
            output.answer(output.printable(f"   > {remark.quote}"))
    output.tell(output.HINT, f"git parallel run {name}")


def _line(remark: Remark) -> str:
    first = remark.text.partition("\n")[0]
    return f"{remark.place}: {first}" if remark.place else first


def take_along(
    repository: Repository, folder: TaskFolder, last: Run | None, wish: Wish
) -> tuple[Wish, tuple[Remark, ...]]:
    """What to run, and the remarks that its prompt has now. A command that is told nothing else is
    no agent: the remarks go on waiting.
    """
    waiting = remarks.waiting(folder)
    if not waiting or not _listens(folder, last, wish):
        return wish, ()
    task = folder.task()
    branch = repository.branches(f"refs/heads/{task.branch}").get(f"refs/heads/{task.branch}")
    prompt = remarks.prompt_with(wish.prompt, waiting, branch.tip if branch else None)
    words = output.count(len(waiting), "remark of the review", "remarks of the review")
    output.tell(output.NOTHING, f"with {words}")
    return structs.replace(wish, prompt=prompt), waiting


def _listens(folder: TaskFolder, last: Run | None, wish: Wish) -> bool:
    if wish.prompt is not None:
        return True
    if wish.words:
        return False
    return bool(wish.agent or last is None or last.agent or folder.prompt(last.number).exists())


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


def remarks_of(view: TaskView) -> str:
    """How many remarks wait for a task's agent."""
    waiting = len(remarks.waiting(view.folder))
    if not waiting:
        return ""
    return f"{waiting} {'waits' if waiting == 1 else 'wait'} for its agent"
