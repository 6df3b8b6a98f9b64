"""Make the result of a merge aside, as commits that nothing leads to yet.

Where nothing but commits has a say in it, that is a trial merge and a new commit object: quick, and
without files. Where hooks, merge drivers, recorded resolutions or an editor have one, git itself
merges in a scratch worktree.
"""

import os
import shlex
from pathlib import Path

from msgspec import Struct

from git_parallel import forecast, message
from git_parallel.changes import Change, changes_between
from git_parallel.errors import GitError, ParallelError
from git_parallel.git import Git
from git_parallel.hook_files import has_hook
from git_parallel.replay import merge_by_hand, own_base, refuse_merges
from git_parallel.repository import Branch
from git_parallel.task_view import TaskView
from git_parallel.wording import last_words, named, pasted
from git_parallel.workshop import Bench

MERGE_HOOKS = ("pre-merge-commit", "prepare-commit-msg", "commit-msg")
SQUASH_HOOKS = ("pre-commit", "prepare-commit-msg", "commit-msg", "post-commit")
# What of `.gitattributes` changes a merge (gitattributes(5), "Performing a three-way merge").
ATTRIBUTES = "merge|binary"
SILENT = "git did not commit it, and did not say why"
VERIFY = "merge.verifysignatures"


class Wish(Struct, frozen=True, kw_only=True):
    """How the result is to be made; `message` is the user's own, `edit` opens an editor on it."""

    strategy: str
    message: str | None = None
    edit: bool = False


class Prepared(Struct, frozen=True):
    """A merge that exists as commits and nowhere else yet."""

    result: str
    target: Branch
    tip: str
    strategy: str
    change: Change

    @property
    def paths(self) -> list[str]:
        """What it changes in the target."""
        return self.change.paths


class ConflictError(ParallelError):
    """Two tips don't merge; `paths` says where."""

    def __init__(self, message: str, hint: str, paths: tuple[str, ...]) -> None:
        super().__init__(message, hint)
        self.paths = paths


def prepare(bench: Bench, wish: Wish) -> Prepared:
    """Make the commits of a merge, reachable from nothing yet; raises ConflictError."""
    view = bench.view
    assert view.tip and view.target  # `landing.refusal` has looked
    make = {"merge": _merge, "squash": _squash, "rebase": _rebase, "ff": _ff}[wish.strategy]
    tip = view.tip
    if view.facts and view.facts.apart:  # what it stands on has landed, and is not to land again
        tip = _rebase(bench, wish, view.target, tip)
    rebased = tip != view.tip and wish.strategy in ("rebase", "ff")
    result = tip if rebased else make(bench, wish, view.target, tip)
    if wish.strategy in ("rebase", "ff") and _verifies(bench):
        result = _verified(bench, view.target.tip, result)
    pair = (view.target.tip, result)
    change = changes_between(bench.repository.git, [pair])[pair]
    return Prepared(result, view.target, view.tip, wish.strategy, change)


def conflict(view: TaskView, paths: tuple[str, ...], *, replayed: bool = False) -> ConflictError:
    """The error for a task that does not merge, with the ways on: in its worktree, by its agent, by
    a merge by hand; that is of no use where its commits are `replayed` one by one.
    """
    task, where = view.task, named(paths, 5)
    ways = [f"git parallel rebase {task.name}"]
    if view.run and view.run.agent:
        words = f"Rebase onto {task.target} and resolve the conflicts in {where}"
        ways.append(f"git parallel run {task.name} -m {pasted(words)}")
    if not replayed:
        ways.append(merge_by_hand(task))
    words = f"`{task.name}` conflicts with {task.target} in {where}"
    return ConflictError(words, "\n".join(ways), paths)


def _merge(bench: Bench, wish: Wish, target: Branch, tip: str) -> str:
    git, view = bench.repository.git, bench.view
    text = message.of_merge(git, view.task, tip) if wish.message is None else wish.message
    if _is_plain(bench, wish, MERGE_HOOKS) and (tree := _plain_tree(bench, target.tip, tip)):
        return _commit(bench, tree, (target.tip, tip), text)
    _prepare_place(bench, target.tip, MERGE_HOOKS)
    words = (*_merge_options(bench), "--no-ff", "--no-squash", "--commit", "--no-stat", "--quiet")
    edit = "--edit" if wish.edit else "--no-edit"
    named = ("-F", _kept(bench, text))
    marked = message.marked(text, bench.shop.settings) if wish.edit else ()
    code = bench.run_git(*marked, "merge", *words, edit, *named, tip, edit=wish.edit).code
    if code and _was_resolved(bench):
        code = bench.run_git(*marked, "commit", "--quiet", edit, edit=wish.edit).code
    return _made(bench, code, edited=wish.edit)


def _squash(bench: Bench, wish: Wish, target: Branch, tip: str) -> str:
    git, view = bench.repository.git, bench.view
    text = message.of_squash(git, view.task, target.tip, tip, wish.message)
    if _is_plain(bench, wish, SQUASH_HOOKS) and (tree := _plain_tree(bench, target.tip, tip)):
        if tree == target.tree:
            raise _nothing_to_squash(view)
        return _commit(bench, tree, (target.tip,), text)
    _prepare_place(bench, target.tip, SQUASH_HOOKS)
    words = (*_merge_options(bench), "--squash", "--ff", "--no-stat", "--quiet")
    code = bench.run_git("merge", *words, tip).code
    if code and not _was_resolved(bench):
        return _made(bench, code)
    if bench.git.says_yes("diff", "--cached", "--quiet", "--no-ext-diff"):
        raise _nothing_to_squash(view)
    edit = ("--edit",) if wish.edit else ()
    marked = message.marked(text, bench.shop.settings) if wish.edit else ()
    words = ("--quiet", *edit, "-F", _kept(bench, text))
    code = bench.run_git(*marked, "commit", *words, edit=wish.edit).code
    return _made(bench, code, edited=wish.edit)


def _nothing_to_squash(view: TaskView) -> ParallelError:
    words = f"a squash of it would change nothing in {view.task.target}"
    return ParallelError(
        f"`{view.task.name}` can't be merged: {words}", hint=f"git parallel show {view.task.name}"
    )


def _ff(bench: Bench, _wish: Wish, target: Branch, tip: str) -> str:
    view = bench.view
    if view.facts is None or view.facts.behind:
        raise ParallelError(
            f"`{view.task.name}` can't be fast-forwarded: {target.ref.removeprefix('refs/heads/')}"
            " has moved on",
            hint=f"git parallel merge {view.task.name} --strategy rebase",
        )
    return tip


def _rebase(bench: Bench, _wish: Wish, target: Branch, tip: str) -> str:
    view = bench.view
    base = own_base(bench.repository, view, target.tip)
    apart = view.facts is not None and view.facts.apart  # then every strategy rebases it
    way_out = "" if apart else f"git parallel merge {view.task.name} --strategy merge"
    refuse_merges(bench.repository, view, base, way_out=way_out)
    bench.at(tip)
    plain = ("-c", "rebase.autoStash=false", "-c", "rebase.updateRefs=false")
    onto = ("--quiet", "--onto", target.tip, base)
    code = bench.run_git(*plain, "rebase", *onto).code
    most = int(bench.repository.git.text("rev-list", "--count", f"{base}..{tip}")) if code else 0
    for _ in range(most):
        if code and _was_resolved(bench):
            code = bench.run_git("rebase", "--continue").code
    if code and (paths := _unmerged(bench)):
        raise conflict(bench.view, paths, replayed=True)
    return _made(bench, code)


def _verified(bench: Bench, target: str, result: str) -> str:
    """A result whose signature git finds good, as it asks for one where it merges."""
    bench.at(target)
    words = ("merge", "--verify-signatures", "--ff-only", "--no-stat", "--quiet", result)
    return _made(bench, bench.run_git("-c", f"core.hooksPath={os.devnull}", *words).code)


def _is_plain(bench: Bench, wish: Wish, hooks: tuple[str, ...]) -> bool:
    """Whether nothing but commits has a say in a merge, unless it proves to conflict."""
    if wish.edit or _verifies(bench) or _merge_options(bench):
        return False
    if _has_hooks(bench, hooks):
        return False
    return _reads_attributes(bench) or not _has_attributes(bench)


def _has_hooks(bench: Bench, hooks: tuple[str, ...]) -> bool:
    known = (bench.repository.common, bench.place, bench.shop.settings)
    return bench.hooks and any(has_hook(name, *known) for name in hooks)


def _reads_attributes(bench: Bench) -> bool:
    """Whether a trial merge finds the target's `.gitattributes`: it reads those of the worktree
    that it runs in (2.39), as `git merge` does there.
    """
    target = bench.view.target
    here = target is not None and target.worktree == bench.place
    return here and not _is_set(bench, "core.sparsecheckout")


def _has_attributes(bench: Bench) -> bool:
    """Whether a tracked `.gitattributes` of the target may change a merge."""
    renormalize = _is_set(bench, "merge.renormalize")
    wanted = ("-e", "") if renormalize else ("-E", "-e", ATTRIBUTES)
    target = bench.view.target
    assert target
    search = ("grep", "--quiet", "--no-color", *wanted, target.tip)
    return bench.repository.git.says_yes(*search, "--", ":(top,glob)**/.gitattributes")


def _merge_options(bench: Bench) -> tuple[str, ...]:
    """The target's own `branch.<name>.mergeOptions` (git-merge(1)), which git on no branch would
    not find; raises ParallelError where it can't be split into words.
    """
    key = f"branch.{bench.view.task.target}.mergeoptions"
    try:
        return tuple(shlex.split(bench.shop.settings.get(key, "")))
    except ValueError as error:
        shown = f"git config --show-origin --get-all {pasted(key)}"
        raise ParallelError(f"bad {key}: {error}", hint=f"{shown}\ngit config --edit") from error


def _verifies(bench: Bench) -> bool:
    """Whether git verifies signatures where it merges."""
    told = [word for word in _merge_options(bench) if word.endswith("verify-signatures")]
    return not told[-1].startswith("--no-") if told else _is_set(bench, VERIFY)


def _plain_tree(bench: Bench, ours: str, theirs: str) -> str:
    """The tree of a trial merge; nothing where recorded resolutions may help with its conflicts;
    raises ConflictError where they can't.
    """
    trial = forecast.trial(_trial_git(bench), ours, theirs)
    if trial.unknown:
        raise ParallelError(f"`{bench.view.task.name}` can't be merged: {trial.unknown}")
    if trial.conflicts and not _resolves_by_itself(bench):
        raise conflict(bench.view, trial.conflicts)
    return "" if trial.conflicts else trial.tree


def _trial_git(bench: Bench) -> Git:
    """Git for a trial merge: in the target's worktree or, where it has none, where no
    `.gitattributes` of another branch lies about.
    """
    if _reads_attributes(bench):
        return bench.repository.git_in(bench.place)
    common = str(bench.repository.common)
    return bench.repository.git.at(Path(common), GIT_DIR=common, GIT_WORK_TREE=common)


def _resolves_by_itself(bench: Bench) -> bool:
    """Whether git stages recorded resolutions (git-rerere(1)); without `rerere.autoUpdate` it
    leaves them to a person to look at.
    """
    if not _is_set(bench, "rerere.autoupdate"):
        return False
    if "rerere.enabled" in bench.shop.settings:
        return _is_set(bench, "rerere.enabled")
    return (bench.repository.common / "rr-cache").is_dir()


def _commit(bench: Bench, tree: str, parents: tuple[str, ...], text: str) -> str:
    arguments = [word for parent in parents for word in ("-p", parent)]
    arguments += ["-S"] if _is_set(bench, "commit.gpgsign") else []
    git = bench.repository.git
    text = message.cleaned(git, text, bench.shop.settings)
    if not text.strip():
        name = bench.view.task.name
        words = f"`{name}` can't be merged: its message is empty"
        raise ParallelError(words, hint=f"git parallel merge {name} -m TEXT")
    return git.text("commit-tree", tree, *arguments, "-F", "-", stdin=text.rstrip("\n") + "\n")


def _is_set(bench: Bench, key: str) -> bool:
    """Whether a setting is on, in the words of git-config(1)."""
    value = bench.shop.settings.get(key, "no").casefold()
    return value in ("true", "yes", "on") or (value.isdigit() and int(value) != 0)


def _prepare_place(bench: Bench, commit: str, hooks: tuple[str, ...]) -> None:
    """The scratch worktree, on the target; made usable where hooks may need that. What they miss
    then, they say themselves.
    """
    bench.at(commit)
    if _has_hooks(bench, hooks):
        bench.shop.told(f"preparing {bench.what} for the hooks")
        bench.bootstrap()


def _kept(bench: Bench, text: str) -> str:
    """The file with a message."""
    file = bench.scratch.worktree.admin / "parallel-message"
    file.write_text(text.rstrip("\n") + "\n", "utf-8", "surrogateescape")
    return str(file)


def _unmerged(bench: Bench) -> tuple[str, ...]:
    return tuple(bench.git.fields("diff", "--name-only", "--diff-filter=U", "-z"))


def _was_resolved(bench: Bench) -> bool:
    """Whether git stopped at conflicts and has resolved all of them as they were once before."""
    if _unmerged(bench) or not _resolves_by_itself(bench):
        return False
    return bool(bench.git.run("ls-files", "--resolve-undo").out)


def _made(bench: Bench, code: int, *, edited: bool = False) -> str:
    """The commit that git has made; raises ConflictError, or ParallelError with what it said, but
    where it said that on this terminal, as for a message that was `edited`.
    """
    if code == 0:
        return bench.git.text("rev-parse", "HEAD")
    if paths := _unmerged(bench):
        raise conflict(bench.view, paths)
    name = bench.view.task.name
    if edited:
        words = f"`{name}` can't be merged: git did not commit it, and said why above"
        raise GitError(words, f"git parallel merge {name} -m TEXT", code=code)
    words = f"`{name}` can't be merged: {last_words(bench.said()) or SILENT}"
    raise GitError(words, f"less {pasted(bench.log)}", code=code)
