"""Put a task's own commits onto another commit, in its worktree, while nobody works there."""

import contextlib
from collections.abc import Iterator

from msgspec import Struct

from git_parallel import review
from git_parallel.changes import changes_between
from git_parallel.errors import GitError, ParallelError, UnsafeError
from git_parallel.forecast import trials
from git_parallel.git import Git
from git_parallel.lock import Lock
from git_parallel.overview import look, no_such_task
from git_parallel.repository import Repository
from git_parallel.task import Task, TaskName
from git_parallel.task_view import TaskView
from git_parallel.untracked import aside, in_the_way
from git_parallel.wording import named, pasted

LOCK_WAIT_S = 1.0
UNKNOWN = "git can't tell whether its worktree is clean"
MOST_NAMED = 5
RULES = ("-c", "rebase.autoStash=false", "-c", "rebase.updateRefs=false")


class Replayed(Struct, frozen=True):
    """The tip that a task had, the one that it has now, and the commit below its own."""

    old: str
    new: str
    onto: str

    @property
    def moved(self) -> bool:
        """Whether there was anything to do."""
        return self.old != self.new


class RebaseStopped(ParallelError):
    """A rebase that waits in the task's worktree; `paths` are in conflict."""

    def __init__(self, view: TaskView, paths: tuple[str, ...]) -> None:
        task = view.task
        ways = [
            f'cd "$(git parallel path {task.name})"  # resolve them, git add, and:',
            "git rebase --continue",
            "git rebase --abort",
        ]
        words = f"the rebase of `{task.name}` onto {task.target} stopped at conflicts in"
        super().__init__(f"{words} {named(paths, 5)}", "\n".join(ways))
        self.paths = paths


@contextlib.contextmanager
def at_rest(repository: Repository, name: TaskName) -> Iterator[TaskView]:
    """A task whose lock we hold, so that no run of it begins; raises UnsafeError where somebody
    works on it, or its worktree is not as its branch has it.
    """
    view = look(repository, [name]).tasks[0]
    try:
        lock = Lock.take(view.folder.lock, wait_s=LOCK_WAIT_S)
    except FileNotFoundError:
        raise no_such_task(name) from None
    if lock is None:
        hint = f"git parallel stop {name}"
        raise UnsafeError(f"`{name}` is being worked on", hint=hint)
    with lock:
        view = look(repository, [name]).tasks[0]
        if reason := _unrest(view):
            raise UnsafeError(f"{_refused(name)}{reason}")
        yield view


def _refused(name: TaskName) -> str:
    return f"`{name}` can't be rebased: "


def reason_in(error: ParallelError, name: TaskName) -> str:
    """Why a task was not rebased, without what is said around it."""
    return error.message.removeprefix(_refused(name)).removeprefix(f"`{name}` ")


def _unrest(view: TaskView) -> str:
    """Why a task's worktree can't be changed, or nothing; its lock is ours."""
    worktree = view.worktree
    if worktree is None or not worktree.intact:
        return f"its worktree {view.task.path} is gone"
    if worktree.operations:
        return f"{worktree.operations[0]} is not finished in its worktree"
    if worktree.branch != f"refs/heads/{view.task.branch}":
        return f"its worktree is not on its branch {view.task.branch}"
    if view.target is None:
        return f"its target {view.task.target} is gone"
    if view.dirty is None:
        return UNKNOWN
    if view.dirty:
        return f"{view.dirty} uncommitted {'path' if view.dirty == 1 else 'paths'} in its worktree"
    return ""


def own_base(repository: Repository, view: TaskView, onto: str) -> str:
    """The commit that a task's own commits begin after: where it left the line of `onto` or, where
    that is further back than what it started from, as below another task's commits, that. Raises
    UnsafeError where it has nothing in common with that line.
    """
    git, tip, base = repository.git, view.tip or "", view.task.base
    fork = git.run("merge-base", onto, tip, ok=(0, 1)).out.strip()
    if _is_below(git, base, tip) and (not fork or _is_below(git, fork, base)):
        return base
    if not fork:
        words = f"its history has nothing in common with {view.task.target}"
        raise UnsafeError(f"{_refused(view.task.name)}{words}")
    return fork


def refuse_merges(repository: Repository, view: TaskView, base: str, *, way_out: str = "") -> None:
    """Raise UnsafeError where a merge among a task's own commits holds what neither side has, such
    as a conflict that somebody resolved: git replays what the others changed, and drops that. The
    way out is a merge of the target by hand, if no other is given.
    """
    if any(_holds_more(repository, base, view.tip or "")):
        words = "a merge among its commits holds changes that a rebase would drop"
        hint = way_out or merge_by_hand(view.task)
        raise UnsafeError(f"{_refused(view.task.name)}{words}", hint=hint)


def merge_by_hand(task: Task) -> str:
    """The command that merges a task's target into it, in its worktree."""
    return f'git -C "$(git parallel path {task.name})" merge {pasted(task.target)}'


def _holds_more(repository: Repository, base: str, tip: str) -> Iterator[bool]:
    """Of each merge above a base, whether it is another than git makes of its two parents."""
    asked = ("--merges", "--no-commit-header", "--format=%T %P", f"{base}..{tip}")
    found = [line.split() for line in repository.git.lines("rev-list", *asked)]
    pairs = [(parents[0], parents[1]) for _, *parents in found]
    made = trials(repository.git, repository.common, pairs)
    for (tree, *parents), pair in zip(found, pairs, strict=True):
        yield len(parents) > 2 or not made[pair].clean or made[pair].tree != tree


def _is_below(git: Git, ancestor: str, commit: str) -> bool:
    return git.says_yes("merge-base", "--is-ancestor", ancestor, commit)


def replay(repository: Repository, view: TaskView, *, onto: str, base: str) -> Replayed:
    """Rebase a task that is `at_rest`: its commits after `base` onto another commit; the old tip
    stays in the reflog. Raises RebaseStopped, with the rebase as it stands, or ParallelError,
    with everything as it was.
    """
    assert view.worktree and view.tip
    git = repository.git_in(view.worktree.path)
    git.environment |= {"GIT_EDITOR": ":", "GIT_SEQUENCE_EDITOR": ":"}
    if base != onto:
        refuse_merges(repository, view, base)
        _refuse_to_overwrite(repository, view, onto)
        try:
            git.run(*RULES, "rebase", "--quiet", "--onto", onto, base)
        except GitError as error:
            if paths := git.fields("diff", "--name-only", "--diff-filter=U", "-z"):
                raise RebaseStopped(view, tuple(paths)) from error
            give_up(repository, view)  # such as a key to sign with that is missing
            raise
    done = Replayed(view.tip, git.text("rev-parse", "HEAD"), onto)
    view.folder.write_retarget(view.task.target, base=onto)
    review.carry(repository, view.folder, done.old, done.new, onto)
    return done


def _refuse_to_overwrite(repository: Repository, view: TaskView, onto: str) -> None:
    """Raise UnsafeError where a file that git does not track is in the way of what comes new."""
    assert view.worktree and view.tip
    pair, place = (view.tip, onto), view.worktree.path
    change = changes_between(repository.git, [pair])[pair]
    if there := list(in_the_way(place, change)):
        words = f"files in {place} that git does not track would be overwritten: "
        raise UnsafeError(
            f"{_refused(view.task.name)}{words}{', '.join(there[:MOST_NAMED])}",
            hint=aside(place, change, there[0]),
        )


def give_up(repository: Repository, view: TaskView) -> None:
    """Take a rebase back that we began and that has stopped."""
    if view.worktree and any("rebase" in what for what in view.worktree.operations):
        repository.git_in(view.worktree.path).run("rebase", "--abort")
