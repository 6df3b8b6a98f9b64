"""`git parallel run`: one more run on a task, to follow up or to try again."""

from pathlib import Path

import click

from git_parallel import runner
from git_parallel.commands.start import ask_for_trust, choose, finish, read_prompt
from git_parallel.config import Loaded
from git_parallel.errors import ParallelError, UnsafeError, UsageError
from git_parallel.lock import Lock
from git_parallel.overview import find_folder
from git_parallel.repository import Repository, find_repository
from git_parallel.store import TaskFolder
from git_parallel.task import Run, Task

LOCK_WAIT_S = 1.0


@click.command("run")
@click.argument("task")
@click.option("-m", "--message", "text", metavar="TEXT", help="What the agent is asked to do now.")
@click.option("-F", "--file", "file", metavar="FILE", help="Read that from a file, `-` for stdin.")
@click.option("--agent", "agent_name", metavar="NAME", help="The agent to run.")
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
    *,
    no_bootstrap: bool,
    wait: bool,
    as_json: bool,
) -> int:
    """Run an agent or a command on a task once more: what ran last, where nothing else is named."""
    repository = find_repository(Path.cwd())
    folder, record = find_folder(repository, task)
    prompt = read_prompt(text, file)
    if words == ():
        raise UsageError("there is no command after `--`")
    loaded = repository.configuration()
    ask_for_trust(repository, loaded)
    lock = take(repository, folder, record)
    with lock:
        last = folder.last_run()
        chosen, prompt = _chosen(repository, loaded, folder, last, agent_name, prompt, words)
        number = last.number + 1 if last else 1
        run = runner.new_run(
            number, agent_name=chosen[0], command=chosen[1], bootstrap=not no_bootstrap
        )
        folder.seen()
        runner.write_brief(folder, number, prompt, loaded.config)
        runner.launch(repository, folder, lock, run)
    worktree = repository.worktree_of(record.slug)
    path = str(worktree.path) if worktree else record.path
    return finish(repository, folder, path, wait=wait, as_json=as_json)


def take(repository: Repository, folder: TaskFolder, task: Task) -> Lock:
    """The lock of a task that nobody works on; raises UnsafeError where somebody does."""
    lock = Lock.take(folder.lock, wait_s=LOCK_WAIT_S)
    if lock is None:
        raise UnsafeError(
            f"`{task.name}` is being worked on", hint=f"git parallel stop {task.name}"
        )
    last = folder.last_run()
    if last and last.result is None and (left := runner.leftovers(repository, folder, last)):
        lock.release()
        raise UnsafeError(
            f"processes of `{task.name}` live on: {', '.join(left)}",
            hint=f"git parallel stop {task.name}",
        )
    return lock


def _chosen(
    repository: Repository,
    loaded: Loaded,
    folder: TaskFolder,
    last: Run | None,
    agent_name: str | None,
    prompt: bytes | None,
    words: tuple[str, ...] | None,
) -> tuple[tuple[str | None, tuple[str, ...]], bytes | None]:
    """What to run and with which prompt; what is not named is as it was."""
    if prompt is None and last and folder.prompt(last.number).exists():
        prompt = folder.prompt(last.number).read_bytes()
    if words or agent_name or last is None:
        chosen = choose(repository, loaded, agent_name, prompt, words)
        if chosen is None:
            raise ParallelError("there is nothing to run again", hint="-m TEXT, or -- COMMAND")
        return chosen, prompt
    return (last.agent, last.command), prompt
