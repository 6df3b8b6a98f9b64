"""`git parallel hook <name>`: what the shims call, once they have found something to do."""

import os
from collections.abc import Sequence
from pathlib import Path

from git_parallel import cleanup, environment, output
from git_parallel.commands import render
from git_parallel.errors import ParallelError
from git_parallel.git import clean_environment
from git_parallel.repository import Repository, find_repository
from git_parallel.supervisor import Stopped
from git_parallel.worktree import find_worktree


def main(arguments: Sequence[str]) -> int:
    """Do what a hook is there for. Always returns 0: a hook of ours never makes git fail."""
    name, *rest = arguments or [""]
    old, _, flag = _checkout_arguments(rest)
    kept = clean_environment(os.environ)
    os.environ.clear()
    os.environ.update(kept)
    try:
        repository = find_repository(Path.cwd())
        if not repository.store.exists:
            return 0
        new = name == "post-checkout" and flag == "1" and bool(old) and not old.strip("0")
        if name != "post-commit":  # who commits a lockfile has just installed what it says
            _bootstrap(repository, name, new=new)
        render.tell_swept(repository, cleanup.sweep(repository))
    except (ParallelError, Stopped) as error:
        output.tell(output.WARNING, f"git parallel: {error}")
    except Exception:  # git must not fail because of us, and the user must hear of it
        import traceback

        traceback.print_exc()
    return 0


def _checkout_arguments(given: Sequence[str]) -> tuple[str, str, str]:
    """What git passes to post-checkout; pre-commit passes it in the environment instead."""
    if len(given) == 3:
        return given[0], given[1], given[2]
    names = ("PRE_COMMIT_FROM_REF", "PRE_COMMIT_TO_REF", "PRE_COMMIT_CHECKOUT_TYPE")
    old, new, flag = (os.environ.get(name, "") for name in names)
    return old, new, flag


def _bootstrap(repository: Repository, name: str, *, new: bool) -> None:
    """Make a worktree usable that somebody else has just made, or bring one up to date that was
    bootstrapped before; in the foreground, and without a word where there is nothing to do.
    """
    worktree = find_worktree(repository.git_dir)
    if worktree is None or (name == "post-checkout" and worktree.operations):
        return  # a rebase begins with a checkout, and tells when it has ended
    if environment.record_of(worktree) is None:
        loaded = repository.configuration()
        if not new or worktree.slug or not loaded.config.environment.foreign:
            return
    from git_parallel.commands import narration

    done = narration.bootstrap_here(repository, worktree)
    if done.steps or done.record.trouble or (new and done.record.copied):
        narration.tell_done(done, worktree)
