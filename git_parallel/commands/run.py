"""`git parallel run`: one more run on a task, to follow up or to try again."""

from pathlib import Path

import click
from msgspec import structs

from git_parallel import comments, runner
from git_parallel.commands import choice, opinion
from git_parallel.commands.start import ask_for_trust, finish
from git_parallel.config import Loaded
from git_parallel.errors import ParallelError, UnsafeError, UsageError
from git_parallel.lock import Lock
from git_parallel.overview import find_folder, no_such_task
from git_parallel.repository import Repository, find_repository
from git_parallel.task import Run, Task
from git_parallel.task_folder import TaskFolder

LOCK_WAIT_S = 1.0


@click.command("run")
@click.argument("task")
@click.option("-m", "--message", "text", metavar="TEXT", help="What the agent is asked to do now.")
@click.option("-F", "--file", "file", metavar="FILE", help="Read that from a file, `-` for stdin.")
@click.option("--agent", "agent_name", metavar="NAME", help="The agent to run.")
@click.option("--model", metavar="NAME", help="The model that it is to use.")
@click.option("--effort", metavar="LEVEL", help="The effort that it is to make.")
@click.option("--interactive", is_flag=True, help="On a terminal, to be attached to.")
@click.option("--no-bootstrap", is_flag=True, help="Leave the environment as it is.")
@click.option("--wait", is_flag=True, help="Follow the run to its end.")
@click.option("--json", "as_json", is_flag=True, help="Print the task as JSON.")
@click.pass_obj
def command(
    words: tuple[str, ...] | None,
    task: str,
    text: str | None,
    file: str | None,
    agent_name: str | None,
    model: str | None,
    effort: str | None,
    *,
    interactive: bool,
    no_bootstrap: bool,
    wait: bool,
    as_json: bool,
) -> int:
    """Run an agent or a command on a task once more: what ran last, where nothing else is named."""
    repository = find_repository(Path.cwd())
    folder, record = find_folder(repository, task)
    wish = choice.Wish(
        agent_name, model, effort, choice.read_prompt(text, file), words, interactive
    )
    if words == ():
        raise UsageError("there is no command after `--`")
    loaded = repository.configuration()
    ask_for_trust(repository, loaded)
    with take(repository, folder, record) as lock:
        _refuse_without_worktree(repository, record)
        _run(repository, loaded, folder, lock, wish, bootstrap=not no_bootstrap)
    worktree = repository.worktree_of(record.slug)
    path = str(worktree.path) if worktree else record.path
    return finish(repository, folder, path, wait=wait, as_json=as_json)


def _run(
    repository: Repository,
    loaded: Loaded,
    folder: TaskFolder,
    lock: Lock,
    wish: choice.Wish,
    *,
    bootstrap: bool,
) -> None:
    """Hand the next run of a task to its runner, with the comments that wait for it."""
    last = folder.last_run()
    before = _before(folder, last, wish)
    wish, told = opinion.take_along(repository, loaded, folder, before, wish)
    chosen, prompt = _chosen(repository, loaded, folder, before, wish)
    number = last.number + 1 if last else 1
    run = chosen.run(number, bootstrap=bootstrap)
    run = structs.replace(run, meddled=last.meddled if last else ())  # it is not undone by this
    with choice.preflight(repository, loaded, chosen) as make_sure:
        make_sure()
    folder.seen()
    choice.keep_brief(repository, folder, number, prompt, loaded)
    runner.launch(repository, folder, lock, run)
    comments.sent(repository, folder, told, number)


def _refuse_without_worktree(repository: Repository, task: Task) -> None:
    """Raise ParallelError where there is nothing to run in, or only what belongs to others."""
    worktree = repository.worktree_of(task.slug)
    if worktree is None or not worktree.intact:
        raise ParallelError(f"`{task.name}` has no worktree to run in", hint="git parallel doctor")


def take(repository: Repository, folder: TaskFolder, task: Task) -> Lock:
    """The lock of a task that nobody works on; raises UnsafeError where somebody does."""
    try:
        lock = Lock.take(folder.lock, wait_s=LOCK_WAIT_S)
    except FileNotFoundError:
        raise no_such_task(task.name) from None
    if lock is None:
        raise UnsafeError(
            f"`{task.name}` is being worked on", hint=f"git parallel stop {task.name}"
        )
    if folder.making:
        lock.release()
        raise UnsafeError(
            f"`{task.name}` can't be run: its `start` was interrupted",
            hint=f"git parallel start {task.name}",
        )
    last = folder.last_run()
    if last and last.result is None and (left := runner.leftovers(repository, folder, last)):
        lock.release()
        raise UnsafeError(
            f"processes of `{task.name}` live on: {', '.join(left)}",
            hint=f"git parallel stop {task.name}",
        )
    return lock


def _before(folder: TaskFolder, last: Run | None, wish: choice.Wish) -> Run | None:
    """The run that this one repeats or follows up: a command of the user's own does neither, and
    what is told to an agent does not follow a command that was told nothing.
    """
    if wish.words:
        return None
    tells = wish.prompt is not None or wish.names
    return (comments.listener(folder) if tells else None) or last


def _chosen(
    repository: Repository, loaded: Loaded, folder: TaskFolder, last: Run | None, wish: choice.Wish
) -> tuple[choice.Chosen, bytes | None]:
    """What to run and with which prompt; what is not named is as it was. A new prompt for the agent
    that ran last goes on with its conversation, where it can.
    """
    follows_up = wish.prompt is not None and not wish.repeats
    if last and wish.agent is None and last.agent in loaded.config.agents:
        wish = structs.replace(wish, agent=last.agent if follows_up or wish.names else None)
    before = folder.prompt(last.number) if last else None
    if wish.prompt is None and before and before.exists():
        wish = structs.replace(wish, prompt=before.read_bytes())
    if last and not wish.agent:
        return choice.again(last), wish.prompt
    session = None
    if last and last.agent == wish.agent and follows_up:
        session = last.session if choice.goes_on(loaded, last, wish) else None
        model, effort = wish.model or last.model, wish.effort or last.effort
        wish = structs.replace(wish, model=model, effort=effort)
    chosen = choice.choose(repository, loaded, wish, session=session)
    if chosen is None:
        raise ParallelError("there is nothing to run again", hint="-m TEXT, or -- COMMAND")
    return chosen, wish.prompt
