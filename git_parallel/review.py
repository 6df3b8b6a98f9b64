"""What a person has looked at in a task, what they made of it, and what is new since then."""

import enum
import os
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec import Struct, structs

from git_parallel.errors import ParallelError, UnsafeError
from git_parallel.records import Reviewed, Verdict
from git_parallel.repository import Repository
from git_parallel.task import Status, now
from git_parallel.task_folder import TaskFolder
from git_parallel.task_view import TaskView

LOCK = "review"
NEW_COMMITS = "new commits"
UNPAIRED = re.compile(r" *-: +-+ > +\d+: +([0-9a-f]+) ")


class Span(Struct, frozen=True):
    """What a task did: from the commit where it left its target to its tip, and where that is."""

    fork: str
    tip: str
    target: str

    @property
    def range(self) -> str:
        """It as git's ranges have it."""
        return f"{self.fork}..{self.tip}"


def span_of(view: TaskView) -> Span:
    """What a task did; raises ParallelError where that is not known."""
    if view.tip is None or view.facts is None or view.facts.fork is None:
        raise ParallelError(f"`{view.task.name}` can't be compared: {view.trouble or 'no target'}")
    return Span(view.facts.fork, view.tip, view.facts.target_tip)


def ready(views: Iterable[TaskView], order: Sequence[str]) -> list[TaskView]:
    """The tasks that are ready for review: in the order in which they are to be merged, then what
    that leaves out, small before large, and what was rejected last.
    """
    places = {name: place for place, name in enumerate(order)}
    waiting = [view for view in views if view.status is Status.READY]
    return sorted(waiting, key=lambda view: _rank(view, places.get(str(view.task.name))))


def _rank(view: TaskView, place: int | None) -> tuple[bool, int, int, datetime]:
    rejected = view.folder.verdict(view.tip) is Verdict.REJECTED
    size = view.facts.lines if view.facts else 0
    return rejected, sys.maxsize if place is None else place, size, view.task.created


def standing(view: TaskView) -> str:
    """What a person made of a task as it is now: a verdict, `new commits` where they have seen
    another tip than this, nothing where they never looked.
    """
    reviewed = view.folder.reviewed
    if reviewed is None:
        return ""
    return str(reviewed.verdict) if reviewed.tip == view.tip else NEW_COMMITS


def looked(repository: Repository, view: TaskView, span: Span) -> None:
    """Keep that a person has looked at a task; their verdict on the same tip stays."""
    folder = view.folder
    if not os.access(folder.path, os.W_OK):
        return  # a repository that can only be read is reviewed all the same
    with repository.store.locked(name=LOCK):
        if folder.verdict(span.tip) is None:
            folder.write_reviewed(Reviewed(span.tip, span.fork, Verdict.SEEN, now()))


def refuse_unseen(view: TaskView, span: Span) -> None:
    """Raise UnsafeError where a person would judge commits that came after they had looked."""
    last = view.folder.reviewed
    if last and last.tip != span.tip:
        name = view.task.name
        raise UnsafeError(
            f"`{name}` has changed since you looked at it",
            hint=f"git parallel review {name} --since-last",
        )


def judge(
    repository: Repository, view: TaskView, span: Span, verdict: Verdict, note: str = ""
) -> None:
    """Keep a person's verdict on a task's tip; raises UnsafeError as `refuse_unseen` does."""
    with repository.store.locked(name=LOCK):
        refuse_unseen(view, span)
        view.folder.write_reviewed(Reviewed(span.tip, span.fork, verdict, now(), note))


def carry(repository: Repository, folder: TaskFolder, old: str, new: str, fork: str) -> None:
    """Keep a rejection where we have put the same changes onto another commit. What else a person
    made of a tip says nothing of the next one.
    """
    if folder.reviewed is None:
        return
    with repository.store.locked(name=LOCK):
        reviewed = folder.reviewed
        if reviewed and reviewed.tip == old and reviewed.verdict is Verdict.REJECTED:
            folder.write_reviewed(structs.replace(reviewed, tip=new, fork=fork))


def rejected_within(repository: Repository, view: TaskView) -> str:
    """The name of a rejected task of whose commits another one has some that its target has not,
    so that they would land with it; empty where there is none. Raises GitError.
    """
    for folder, task in repository.store.load_tasks():
        reviewed = folder.reviewed
        if reviewed and reviewed.verdict is Verdict.REJECTED and task.slug != view.task.slug:
            branches = repository.branches(f"refs/heads/{task.branch}").values()
            current = any(branch.tip == reviewed.tip for branch in branches)
            if current and _brings(repository, view, reviewed):
                return str(task.name)
    return ""


def _brings(repository: Repository, view: TaskView, reviewed: Reviewed) -> bool:
    """Whether a task has commits of another one's that its target has not."""
    if view.tip is None or view.target is None:
        return False
    git, theirs = repository.git, (f"^{reviewed.fork}", f"^{view.target.tip}", reviewed.tip)
    own = set(git.lines("rev-list", *theirs))
    return not own <= set(git.lines("rev-list", *theirs, f"^{view.tip}"))


class News(enum.Enum):
    """What became of a task since a person looked at it."""

    NEVER = "they never looked"
    NOTHING = "it is what they saw"
    GROWN = "commits came on top"
    REWRITTEN = "its commits are others"
    GONE = "what they saw is no longer here"


def news(repository: Repository, reviewed: Reviewed | None, span: Span) -> News:
    """What became of a task since a person looked at it; raises GitError."""
    if reviewed is None:
        return News.NEVER
    if reviewed.tip == span.tip:
        return News.NOTHING
    git = repository.git
    seen = (reviewed.tip, reviewed.fork)
    if any(git.run("cat-file", "-e", commit, ok=(0, 1, 128)).code for commit in seen):
        return News.GONE
    grown = git.says_yes("merge-base", "--is-ancestor", reviewed.tip, span.tip)
    return News.GROWN if grown else News.REWRITTEN


def unpaired(repository: Repository, seen: str, span: str) -> list[str]:
    """The commits of a range that take the place of none in another one, the oldest first: of those
    git-range-diff(1) shows no more than the subject. Raises GitError.
    """
    pairs = repository.git.lines("range-diff", "--no-patch", "--no-color", seen, span, "--")
    return [found[1] for line in pairs if (found := UNPAIRED.match(line))]
