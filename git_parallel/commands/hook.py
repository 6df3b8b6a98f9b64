"""`git parallel hook <name>`: what the shims call, once they have found something to do."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from git_parallel import cleanup, environment, output
from git_parallel.commands import render
from git_parallel.config import Loaded
from git_parallel.errors import ParallelError
from git_parallel.git import clean_environment
from git_parallel.process import Stopped, Supervisor
from git_parallel.repository import Repository, find_repository
from git_parallel.trust import Trust
from git_parallel.worktree import Worktree, find_worktree


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
        if name == "post-checkout" and _is_new_worktree(repository, old, flag):
            _bootstrap(repository)
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


def _is_new_worktree(repository: Repository, old: str, flag: str) -> bool:
    linked = repository.git_dir != repository.common
    return flag == "1" and bool(old) and not old.strip("0") and linked


def _bootstrap(repository: Repository) -> None:
    """Make a worktree usable that somebody else has just made, in the foreground."""
    worktree = find_worktree(repository.git_dir)
    loaded = repository.configuration()
    if worktree is None or worktree.slug or not loaded.config.environment.foreign:
        return
    record = bootstrap_here(repository, worktree, loaded)
    if record.copied or len(record.steps) > 1 or record.trouble:
        tell_record(record, worktree.path)


def bootstrap_here(
    repository: Repository, worktree: Worktree, loaded: Loaded
) -> environment.Record:
    """Bootstrap a worktree on this terminal and return the record; raises Stopped on Ctrl-C."""
    with (worktree.admin / "parallel.log").open("ab", 0) as file:
        return environment.bootstrap(
            worktree,
            repository.main,
            loaded,
            trusted=Trust(repository.store.state).covers(loaded),
            run=Supervisor(f"{repository.key}/{worktree.id}").run,
            output=file,
            variables=_variables(repository, worktree),
            told=tell_step,
        )


def _variables(repository: Repository, worktree: Worktree) -> Mapping[str, str]:
    """What the steps are told: of the task, where the worktree belongs to one."""
    if worktree.slug is None:
        return os.environ
    folder = repository.store.folder(worktree.slug)
    return environment.of_task(
        folder.task(), os.environ, worktree.path, main=repository.place, brief=folder.brief
    )


def tell_step(name: str) -> None:
    """Narrate a step that may take a while; the copying of files does not."""
    if name != "files":
        output.tell(output.BUSY, name)


def tell_record(record: environment.Record, path: Path) -> None:
    """Narrate what a bootstrap came to."""
    trouble = record.trouble
    if trouble is None:
        files = f", {output.count(len(record.copied), 'file')} copied" if record.copied else ""
        steps = [f"{s.name} {s.seconds:g}s" for s in record.steps if s.name != "files"]
        output.tell(output.DONE, f"{path} is ready{files}{': ' if steps else ''}{', '.join(steps)}")
        return
    hint = f"less {record.log}"
    if trouble.outcome == environment.BLOCKED:
        hint = "git parallel trust && git parallel bootstrap"
    output.tell(output.WARNING, f"{path} is not ready: {trouble.reason}", hint=hint)
