"""What a person has looked at in a task, what they made of it, and what is new since then."""

import enum
import os
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec import Struct, structs

from git_parallel import forecast
from git_parallel.changes import NO_FILE, SUBMODULES
from git_parallel.errors import ParallelError, UnsafeError
from git_parallel.git import Git
from git_parallel.records import Reviewed, Verdict
from git_parallel.repository import Repository
from git_parallel.task import Status, now
from git_parallel.task_folder import TaskFolder
from git_parallel.task_view import TaskView

LOCK = "review"
NEW_COMMITS = "new commits"
PAIR = re.compile(r" *(?:\d+|-): +([0-9a-f]+|-+) ([=!<>]) +(?:\d+|-): +([0-9a-f]+|-+) ")
PATCH = re.compile(r"^diff --git ", re.MULTILINE)
HUNK = re.compile(r"^@@.*$", re.MULTILINE)
FIRST = "\n@@"
BINARY = "-"
FILE = "100644"


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
        words = f"`{view.task.name}` can't be compared: {unknown(view)}"
        raise ParallelError(words, hint=explanation(view))
    return Span(view.facts.fork, view.tip, view.facts.target_tip)


def unknown(view: TaskView) -> str:
    """Why it is not known what a task did; nothing where it is."""
    known = view.tip is not None and view.facts is not None and view.facts.fork is not None
    return "" if known else view.trouble or "git can't tell what it changed"


def explanation(view: TaskView) -> str:
    """The command that tells more of a task of which something is not known."""
    return "git parallel doctor" if view.broken else f"git parallel show {view.task.name}"


def ready(views: Iterable[TaskView], order: Sequence[str]) -> list[TaskView]:
    """The tasks that are ready and can be reviewed: in the order in which they are to be merged,
    then what that leaves out, small before large, and what was rejected last.
    """
    places = {name: place for place, name in enumerate(order)}
    waiting = [view for view in views if view.status is Status.READY and not unknown(view)]
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


class Pairs(Struct, frozen=True):
    """How git-range-diff(1) pairs the commits of two ranges: it shows the patches of those that
    differ, and no more than the subject of those that are `new`.
    """

    new: list[str]
    differing: list[tuple[str, str]]


def pairs(repository: Repository, seen: str, span: str) -> Pairs:
    """The pairs of the commits of two ranges, the oldest first; raises GitError."""
    told = repository.git.lines("range-diff", "--no-patch", "--no-color", seen, span, "--")
    found = [match.groups() for line in told if (match := PAIR.match(line))]
    differing = [(old, new) for old, mark, new in found if mark != "="]
    return Pairs([new for _, mark, new in found if mark == ">"], differing)


class Beyond(Struct, frozen=True):
    """What a range-diff does not show: the paths that differ between what a person saw, brought
    onto the commit that the task stands on now, and the task; and that first side of them.
    """

    seen: str
    paths: list[str]


def beyond(git: Git, reviewed: Reviewed, span: Span, known: Pairs) -> Beyond:
    """What is to be shown below a range-diff, which leaves out merges, and does not tell one binary
    file from another, or the mode that a file is added with; `git` puts objects aside. Raises
    GitError.
    """
    seen = _brought(git, reviewed, span)
    differ = _differing(git, seen, span.tip)
    ranges = (f"{reviewed.fork}..{reviewed.tip}", span.range)
    merges = any(git.lines("rev-list", "--merges", "-n1", each) for each in ranges)
    shown = set() if merges else _shown(git, known.differing)
    return Beyond(seen, [path for path, plain in differ.items() if not plain or path not in shown])


def _brought(git: Git, reviewed: Reviewed, span: Span) -> str:
    """What a person saw on the commit that the task stands on now; where that is not known, only
    that commit, so that all of the task is new.
    """
    if reviewed.fork == span.fork:
        return reviewed.tip
    pair = (span.fork, reviewed.tip)
    trial = forecast.merged_since(git, [pair], {pair: reviewed.fork})[pair]
    return trial.tree or span.fork


def _differing(git: Git, old: str, new: str) -> dict[str, bool]:
    """The paths that differ, and whether it is only lines of text that do."""
    words = ("diff-tree", "-r", "-z", "--no-renames", "--no-ext-diff", "--raw", "--numstat")
    fields = iter(git.fields(*words, SUBMODULES, old, new))
    ordinary, plain = {}, {}
    for field in fields:
        if field.startswith(":"):
            old_mode, new_mode = field[1:].split(" ")[:2]
            file = old_mode == NO_FILE and new_mode == FILE
            ordinary[next(fields)] = file or new_mode in (old_mode, NO_FILE)
        else:
            added, _, path = field.split("\t", 2)
            plain[path] = ordinary[path] and added != BINARY
    return plain


def _shown(git: Git, differing: Sequence[tuple[str, str]]) -> set[str]:
    """The paths whose lines differ between the commits of some pairs, wherever they stand."""
    shown = set()
    for pair in differing:
        old, new = (_lines(git, commit) for commit in pair)
        shown |= {path for path in old.keys() | new.keys() if old.get(path) != new.get(path)}
    return shown


def _lines(git: Git, commit: str) -> dict[str, str]:
    """The lines of a commit's patch, by path, without the submodules that a range-diff leaves out
    as .gitmodules has it; nothing where git leaves a path out of it, as where a filter makes both
    sides alike, so that it is not known which.
    """
    if not commit.strip("-"):
        return {}
    words = ("diff-tree", "--root", "-r", "-z", "--no-renames", "--no-commit-id", "--no-ext-diff")
    told = git.run(*words, "--textconv", "--raw", "-p", commit).out
    heads, _, patch = told.partition("\0diff --git ")
    paths, parts = heads.split("\0")[1::2], PATCH.split(patch)
    bodies = [HUNK.sub("", f"@@{part.partition(FIRST)[2]}") for part in parts]
    return dict(zip(paths, bodies, strict=True)) if len(paths) == len(parts) else {}
