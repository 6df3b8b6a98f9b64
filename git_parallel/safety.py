"""May a worktree be moved away? Every check fails closed: what can't be found out keeps it.

The order and the reasons follow what plain `git worktree remove` destroys without a word: ignored
files, edits hidden from status, paused operations, detached commits, nested repositories.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct, structs

from git_parallel import environment, ignored, submodules, tree
from git_parallel.changes import SUBMODULES
from git_parallel.errors import ParallelError
from git_parallel.git import Git, Process, clean_environment, end, status_path
from git_parallel.index import copied
from git_parallel.relocation import rival_of
from git_parallel.repository import Repository
from git_parallel.runner import leftovers
from git_parallel.schema import Regenerable
from git_parallel.task import Task
from git_parallel.task_folder import TaskFolder
from git_parallel.wording import named
from git_parallel.worktree import LOCKS, Worktree, operations_in

STILL_S = 60.0  # a file changed this recently may have a person behind it
NAMED = 3
GIT_ARGUMENTS = (
    *("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}"),
    *("-c", "submodule.recurse=false", "--no-optional-locks"),
)
STATUS = (
    *(*GIT_ARGUMENTS, "status", "--porcelain=v2", "-z", "--no-renames", "-uall"),
    SUBMODULES,
)
CONTENT = (*STATUS, "--ignored=matching")


class Subject(Struct, frozen=True):
    """What is to be moved away. `explicit`: a person named it, so that what the trash keeps may
    go there, and this terminal may stand in it.
    """

    repository: Repository
    folder: TaskFolder
    task: Task
    worktree: Worktree
    regenerable: Regenerable
    explicit: bool

    @property
    def git(self) -> Git:
        """Git in the worktree, bound to nothing that the caller's environment says."""
        return Git(self.worktree.path, clean_environment(os.environ))


class Tree(Struct, frozen=True):
    """The worktree or a submodule in it, whose paths begin with `prefix`; `flagged` are the paths
    whose changes git does not look for, `status` is what looks for the others meanwhile.
    """

    git: Git
    prefix: str
    flagged: tuple[str, ...]
    status: "Process | None"


class Verdict(Struct, frozen=True):
    """Why it must stay (nothing, if it may go), and the ignored files that can't be made again."""

    reasons: tuple[str, ...]
    precious: tuple[str, ...] = ()


def inspect(subject: Subject) -> Verdict:
    """Check whether a worktree may be moved away; never raises for what it finds."""
    trees: list[Tree] = []
    try:
        return _inspect(subject, trees)
    finally:
        for status in (one.status for one in trees if one.status):
            end(status)


def _inspect(subject: Subject, trees: list[Tree]) -> Verdict:
    reasons: list[str] = []
    checks = (
        *(_identity, _lock, _activity, _operations, _head),
        *(lambda s: _find_trees(s, trees), lambda _: _hidden(trees)),
        lambda s: _submodules(s, trees),
    )
    for check in checks:
        reasons += _closed(check, subject)
        if reasons:
            return Verdict(tuple(reasons))
    precious: list[str] = []
    reasons += _closed(lambda s: _content(s, trees, precious), subject)
    if precious and not subject.explicit:
        way = f"git parallel remove {subject.task.name}"
        reasons.append(f"ignored files that can't be made again: {named(precious, NAMED)} ({way})")
    return Verdict(tuple(reasons), tuple(precious))


def _closed(check: Callable[[Subject], Iterator[str]], subject: Subject) -> list[str]:
    try:
        return list(check(subject))
    except (ParallelError, OSError, ValueError) as error:
        return [f"it could not be checked: {error}"]


def unchanged(subject: Subject) -> bool:
    """A last quick look before the move: nothing uncommitted, nothing under way."""
    worktree = subject.worktree
    if worktree.operations or any(_git_locks(worktree)):
        return False
    return not subject.git.fields(*STATUS)


def _identity(subject: Subject) -> Iterator[str]:
    worktree = subject.worktree
    main = subject.repository.main
    if worktree.path.is_symlink() or (main and worktree.path.resolve() == main.resolve()):
        yield f"{worktree.path} is not a worktree of a task"
    elif not worktree.intact:
        yield f"{worktree.path}/.git does not lead back to this repository (git worktree repair)"
    elif rival := rival_of(worktree, Path(subject.task.path)):
        yield f"{worktree.path} and {rival} both say that they are its worktree"


def _lock(subject: Subject) -> Iterator[str]:
    reason = subject.worktree.locked
    if reason is not None:
        yield f"it is locked{f': {reason}' if reason else ''} (git worktree unlock)"


def _activity(subject: Subject) -> Iterator[str]:
    folder, worktree = subject.folder, subject.worktree
    if folder.alive:
        yield f"it is being worked on (git parallel stop {subject.task.name})"
        return
    run = folder.last_run()
    if run and run.result is None and (left := leftovers(subject.repository, folder, run)):
        yield f"{named(left, NAMED)} still runs (git parallel stop {subject.task.name})"
        return
    spare = tree.ancestors() if subject.explicit else frozenset({os.getpid()})
    if inside := tree.inside(worktree.path, spare=spare):
        yield f"{named(inside, NAMED)} still uses it"
    for lock in _git_locks(worktree):
        yield f"git is at work in it, or died there (then delete it): {lock}"
    by_hand = run is None or run.interactive
    if not subject.explicit and by_hand and _moved_recently(subject):
        yield "a file in it was changed less than a minute ago"


def _git_locks(worktree: Worktree) -> Iterator[Path]:
    locks = (worktree.admin / name for name in LOCKS)
    return (lock for lock in locks if lock.exists())


def _moved_recently(subject: Subject) -> bool:
    tree = subject.worktree.path
    changed = subject.git.fields(
        *GIT_ARGUMENTS, "diff", "--name-only", "-z", subject.task.base, "HEAD"
    )
    places = [tree, *(tree / name for name in changed)]
    newest = max(place.lstat().st_mtime for place in places if os.path.lexists(place))
    return time.time() - newest < STILL_S


def _operations(subject: Subject) -> Iterator[str]:
    for what in subject.worktree.operations:
        yield f"{what} is not finished in it (git status says how to go on)"
    for place in ("rebase-merge/autostash", "rebase-apply/autostash"):
        if (subject.worktree.admin / place).exists():
            yield "an autostash waits in it (git rebase --continue, or --abort)"


def _head(subject: Subject) -> Iterator[str]:
    if not subject.explicit and subject.worktree.branch != f"refs/heads/{subject.task.branch}":
        yield f"its HEAD is not on {subject.task.branch} (git switch {subject.task.branch})"


def _content(subject: Subject, trees: list[Tree], precious: list[str]) -> Iterator[str]:
    """Uncommitted paths are reasons; ignored ones that can't be made again go into `precious`."""
    known = environment.record_of(subject.worktree)
    copied = known.copied if known else {}
    for one in trees:
        here = {} if one.prefix else copied
        yield from _content_of(one, here, subject.regenerable, precious)


def _content_of(
    one: Tree, copied: dict[str, str], rules: Regenerable, precious: list[str]
) -> Iterator[str]:
    """The same in one tree."""
    git, prefix = one.git, one.prefix
    fields = git.finish(one.status).fields if one.status else git.fields(*CONTENT)
    changed = [prefix + status_path(field) for field in fields if not field.startswith("! ")]
    if changed:
        yield f"not committed: {named(changed, NAMED)}"
        return
    walked = 0
    for name in (field[2:] for field in fields if field.startswith("! ")):
        place = git.folder / name
        if name.endswith("/"):
            nested, count = ignored.nested_repository(place, ignored.MAX_WALKED - walked)
            walked += count
            if nested:
                yield f"a repository of its own lies in {nested} (move it away)"
        if not ignored.can_be_made_again(place, name, copied, rules):
            precious.append(prefix + name)


def _find_trees(subject: Subject, trees: list[Tree]) -> Iterator[str]:
    """Look through the indexes of the worktree and of the submodules that have files, once; the
    status of the worktree is begun before, since both take long where there are many files.
    """
    todo = [(subject.git, "")]
    while todo:
        git, prefix = todo.pop()
        status = None if prefix else git.begin(*CONTENT)
        try:
            listed = git.run(*GIT_ARGUMENTS, "ls-files", "-v", "--stage", "-z").out
        finally:
            trees.append(Tree(git, prefix, (), status))
        trees[-1] = structs.replace(trees[-1], flagged=tuple(_flagged(listed)))
        for path in submodules.links(listed):
            inner = git.at(git.folder / path)
            if (inner.folder / ".git").exists():
                todo.append((inner, f"{prefix}{path}/"))
    yield from ()


def _flagged(listed: str) -> Iterator[str]:
    """The paths that are assume-unchanged or skip-worktree, as `ls-files -v` tells them."""
    if listed.count("\0H ") + listed.startswith("H ") == listed.count("\0"):
        return  # nothing is flagged: told apart without a look at each of very many
    for field in listed.removesuffix("\0").split("\0"):
        if field[0].islower() or field[0] == "S":
            yield field.partition("\t")[2]


def _hidden(trees: Sequence[Tree]) -> Iterator[str]:
    """Edits under assume-unchanged or skip-worktree, found in a copy of the index without them."""
    for one in trees:
        present = [name for name in one.flagged if os.path.lexists(one.git.folder / name)]
        if present:
            yield from _hidden_in(one.git, one.prefix, present)


def _hidden_in(git: Git, prefix: str, present: list[str]) -> Iterator[str]:
    index = Path(git.text("rev-parse", "--path-format=absolute", "--git-path", "index"))
    with copied(git, index) as aside:
        names = "\0".join(present) + "\0"
        for flag in ("--no-assume-unchanged", "--no-skip-worktree"):
            aside.run("update-index", flag, "-z", "--stdin", stdin=names)
        aside.run("update-index", "-q", "--refresh", ok=(0, 1))  # only touched is not changed
        changed = aside.fields("diff-files", SUBMODULES, "--name-only", "-z")
    shown = [prefix + name for name in sorted(set(changed) & set(present))]
    if shown:
        way = "git update-index --no-assume-unchanged --no-skip-worktree"
        yield f"edited, but hidden from git status: {named(shown, NAMED)} ({way})"


def _submodules(subject: Subject, trees: Sequence[Tree]) -> Iterator[str]:
    """Commits, stashes and unfinished operations in submodules that exist nowhere else."""
    known = set(submodules.git_dirs(subject.worktree.admin / "modules"))
    inner = [one.git for one in trees if one.prefix]
    known |= {Path(git.text("rev-parse", "--absolute-git-dir")) for git in inner}
    for modules in sorted(known):
        git = Git(modules, {**clean_environment(os.environ), "GIT_DIR": str(modules)})
        name = modules.parent.name if modules.name == ".git" else modules.name
        # What the repository's own module has, which its objects are borrowed from, is not lost.
        elsewhere = ("--remotes", "--alternate-refs")
        if git.text("rev-list", "-n1", "--all", "HEAD", "--not", *elsewhere):
            yield f"the submodule {name} has commits that no remote has (push them)"
        if (modules / "refs" / "stash").exists() or (modules / "logs/refs/stash").exists():
            yield f"the submodule {name} has a stash (git stash pop)"
        for what in operations_in(modules):
            yield f"{what} is not finished in the submodule {name}"
