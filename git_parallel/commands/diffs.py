"""What a task changed, as git shows it: its colours, its pager, its tools."""

from typing import Any

from git_parallel import comments, forecast, output, review
from git_parallel.brief import first_line
from git_parallel.changes import SUBMODULES
from git_parallel.commands import opinion, paging, render
from git_parallel.errors import ParallelError
from git_parallel.git import Git
from git_parallel.records import Reviewed
from git_parallel.repository import Repository
from git_parallel.review import News, Span
from git_parallel.task_view import TaskView
from git_parallel.wording import in_line

FORMS = {
    None: ("diff", SUBMODULES, "--stat", "--patch"),
    "stat": ("diff", SUBMODULES, "--stat"),
    "files": ("diff", SUBMODULES, "--name-status"),
    "tool": ("difftool", SUBMODULES),
}
NEW = (  # of merges what they did beside merging, of those of more than two everything
    ("--max-parents=1", "--reverse"),
    # The newest first: git 2.39 forgets the parents of what it has shown, and merges without them.
    ("--min-parents=2", "--max-parents=2", "--topo-order", "--remerge-diff"),
    ("--min-parents=3", "-m"),
)
MOST_PATHS = 1000  # more of them might not fit on a command line
LOOKS = (None, "tool")  # who sees names and numbers only has not looked


def show(repository: Repository, view: TaskView, span: Span, form: str | None) -> int:
    """Show a task in one of the forms; who has seen its diff has looked at it."""
    if form == "since":
        return _since(repository, view, span)
    git = _git_of(repository, view)
    if form == "tool" and git.folder == repository.common:
        words = f"`{view.task.name}` has no worktree, and git's difftool needs one"
        raise ParallelError(words, hint="git parallel doctor")
    if form != "files":
        output.answer(output.printable("\n".join(_summary(repository, view, span))))
    view.folder.seen()
    if view.facts and view.facts.files:
        paging.run(git, *FORMS[form], span.fork, span.tip, "--")
    if form in LOOKS:
        review.looked(repository, view, span)
    return 0


def _git_of(repository: Repository, view: TaskView) -> Git:
    """Git where it has a worktree, with its attributes; difftool needs one."""
    if repository.top is None and view.worktree and view.worktree.intact:
        return repository.git_in(view.path)
    return repository.git


def _since(repository: Repository, view: TaskView, span: Span) -> int:
    """Show what is new since the person looked last."""
    name, last = view.task.name, view.folder.reviewed
    found = review.news(repository, last, span)
    if last is None or found in (News.NEVER, News.GONE):
        why = "you have not looked at" if last is None else "what you saw is no longer here of"
        output.tell(output.NOTHING, f"{why} `{name}`: this is all of it")
        return show(repository, view, span, None)
    if found is News.NOTHING:
        words = f"nothing is new in `{name}` since you looked, {output.age(last.time)} ago"
        output.tell(output.NOTHING, words, hint=f"git parallel review {name}")
        return 0
    _show_new(repository, view, last, span, grown=found is News.GROWN)
    review.looked(repository, view, span)
    view.folder.seen()
    return 0


def _show_new(
    repository: Repository, view: TaskView, last: Reviewed, span: Span, *, grown: bool
) -> None:
    """Show commits that came on top as they are, others beside those that they have taken the place
    of.
    """
    name, ago = view.task.name, f"{output.age(last.time)} ago"
    git = _git_of(repository, view)
    if span.fork == span.tip or not _has_own(view, grown=grown):
        where = f"all is in {view.task.target}" if grown else f"what you saw, {ago}, is not in it"
        hint = "" if grown else f"git log -p {_short(repository, last)}"
        output.tell(output.NOTHING, f"`{name}` has no commits of its own: {where}", hint=hint)
        return
    output.tell(output.NOTHING, f"what is new in `{name}` since you looked, {ago}")
    if grown:
        _show_grown(git, repository, last, span)
    elif last.fork == last.tip:
        paging.run(git, *FORMS[None], span.fork, span.tip, "--")
    else:
        _show_rewritten(git, repository, last, span)


def _has_own(view: TaskView, *, grown: bool) -> bool:
    """Whether a task has commits that its target has not, or had others that were merged."""
    return bool(view.facts and view.facts.ahead) or (view.evidence is not None and not grown)


def _short(repository: Repository, last: Reviewed) -> str:
    return f"{repository.short(last.fork)}..{repository.short(last.tip)}"


def _show_grown(git: Git, repository: Repository, last: Reviewed, span: Span) -> None:
    new = (f"{last.tip}..{span.tip}", f"^{span.target}")
    with forecast.aside(git, repository.common) as scratch:  # to merge again makes objects
        for words in NEW:
            limits = [word for word in words if "parents" in word]
            if git.lines("rev-list", "-n1", *limits, *new):
                _log(scratch, *words, *new)


def _show_rewritten(git: Git, repository: Repository, last: Reviewed, span: Span) -> None:
    old = f"{last.fork}..{last.tip}"
    paging.run(git, "range-diff", old, span.range, "--")
    pairs = review.pairs(repository, old, span.range)
    if pairs.new:
        _log(git, "--no-walk=unsorted", *pairs.new)
    with forecast.aside(git, repository.common) as scratch:
        beyond = review.beyond(scratch, last, span, pairs)
        if beyond.paths:
            output.tell(output.NOTHING, "and what a comparison of commits does not show")
            literal = scratch.at(scratch.folder, GIT_LITERAL_PATHSPECS="1")
            paths = beyond.paths if len(beyond.paths) <= MOST_PATHS else ()
            paging.run(literal, *FORMS[None], beyond.seen, span.tip, "--", *paths)


def _log(git: Git, *revisions: str) -> None:
    paging.run(git, "log", SUBMODULES, "--stat", "--patch", *revisions, "--")


def _summary(repository: Repository, view: TaskView, span: Span) -> list[str]:
    task, run = view.task, view.run
    reason = in_line(render.reason_of(view))
    rows = [
        ["task", task.name],
        ["status", str(view.status) + (f": {reason}" if reason else "")],
        ["prompt", first_line(task.prompt)],
        ["changes", render.changes_of(view)],
        ["merges", _merges(view)],
        ["breaches", in_line(", ".join(view.breaches))],
        ["review", opinion.review_of(view)],
        ["comments", opinion.comments_of(view)],
    ]
    for check in run.checks if run else ():
        passed = {0: "passed", None: "did not run"}.get(check.exit_code, "failed")
        rows.append(["check", f"{check.command}: {passed} in {check.seconds:g}s"])
    lines = output.table([row for row in rows if row[1]]).splitlines()
    commits = _logged(repository, span, "%h %s")
    return [*lines, "", *(f"  {commit}" for commit in commits), ""]


def _logged(repository: Repository, span: Span, form: str) -> list[str]:
    """The commits of a task, in a form of git-log(1)."""
    words = ("log", "-z", "--no-show-signature", f"--format={form}", span.range, "--")
    return repository.git.fields(*words)


def _merges(view: TaskView) -> str:
    words = render.merges_of(view, most=5)
    target = view.task.target
    if words == render.CLEANLY:
        return f"cleanly into {target}"
    return words.replace("conflicts:", f"conflicts with {target}:", 1)


def as_json(repository: Repository, view: TaskView, span: Span) -> dict[str, Any]:
    """A task with its commits, its paths and what was said of it."""
    pairs = [commit.partition(" ") for commit in _logged(repository, span, "%H %s")]
    commits = [{"commit": commit, "subject": subject} for commit, _, subject in pairs]
    paths = list(view.facts.paths) if view.facts else None
    waiting = comments.waiting(view.folder)
    known = comments.load(view.folder)
    said = [_comment_json(comment, waits=comment in waiting) for comment in known]
    answer = {"version": 1, **render.task_json(view), "commits": commits, "paths": paths}
    return {**answer, "comments": said} if said else answer


def _comment_json(comment: comments.Comment, *, waits: bool) -> dict[str, Any]:
    known = {
        "path": comment.path,
        "line": comment.line,
        "text": comment.text,
        "quote": comment.quote,
        "commit": comment.tip,
        "time": comment.time,
        "run": None if waits else comment.run,
    }
    return {key: value for key, value in known.items() if value not in (None, "")}
