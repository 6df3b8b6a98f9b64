"""`git parallel start`: make a task and set to work on it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from git_parallel import hooks, output, runner
from git_parallel.commands import choice
from git_parallel.config import Loaded
from git_parallel.creation import Created, creating
from git_parallel.draft import Request
from git_parallel.errors import ParallelError, UsageError
from git_parallel.repository import Repository, find_repository
from git_parallel.store import TaskFolder
from git_parallel.task import Status, parse_name
from git_parallel.trust import Trust, shown

if TYPE_CHECKING:
    from git_parallel.overview import TaskView

GOOD = (Status.READY, Status.MERGED)


@click.command("start")
@click.argument("task")
@click.argument("start_point", required=False, metavar="[START_POINT] [-- COMMAND...]")
@click.option("-m", "--message", "text", metavar="TEXT", help="What the agent is asked to do.")
@click.option("-F", "--file", "file", metavar="FILE", help="Read that from a file, `-` for stdin.")
@click.option("--agent", "agent_name", metavar="NAME", help="The agent to run.")
@click.option("--model", metavar="NAME", help="The model that it is to use.")
@click.option("--effort", metavar="LEVEL", help="The effort that it is to make.")
@click.option("--touch", multiple=True, metavar="GLOB", help="A path that the task may change.")
@click.option("--never", multiple=True, metavar="GLOB", help="A path that it must not change.")
@click.option("--after", multiple=True, metavar="TASK", help="A task that must be ready before.")
@click.option("--target", metavar="BRANCH", help="The branch that it will be merged into.")
@click.option("--branch", metavar="NAME", help="Its branch, instead of parallel/<task>.")
@click.option("--carry", is_flag=True, help="Take the uncommitted changes from here along.")
@click.option("--no-bootstrap", is_flag=True, help="Leave the environment as git makes it.")
@click.option("--wait", is_flag=True, help="Follow the run to its end.")
@click.option("--json", "as_json", is_flag=True, help="Print the task as JSON.")
@click.pass_obj
def command(
    words: tuple[str, ...] | None,
    task: str,
    start_point: str | None,
    text: str | None,
    file: str | None,
    agent_name: str | None,
    model: str | None,
    effort: str | None,
    touch: tuple[str, ...],
    never: tuple[str, ...],
    after: tuple[str, ...],
    target: str | None,
    branch: str | None,
    *,
    carry: bool,
    no_bootstrap: bool,
    wait: bool,
    as_json: bool,
) -> int:
    """Make a task: its branch, its worktree, its environment; and work on it in the background.

    With a prompt (-m, -F) the configured agent runs, with -- COMMAND that command; with neither,
    the worktree is made ready for you.
    """
    parse_name(task)
    if words == ():
        raise UsageError("there is no command after `--`", hint="git parallel start x -- make")
    prompt = choice.read_prompt(text, file)
    repository = find_repository(Path.cwd())
    settings = repository.settings()
    loaded = repository.configuration()
    wish = choice.Wish(agent_name, model, effort, prompt, words)
    chosen = choice.choose(repository, loaded, wish)
    ask_for_trust(repository, loaded)
    request = Request(
        name=task,
        start_point=start_point,
        target=target,
        branch=branch,
        prompt=None if prompt is None else prompt.decode("utf-8", "surrogateescape"),
        touch=touch,
        never=never,
        after=tuple(folder.slug for folder in _predecessors(repository, after, chosen)),
        carry=carry,
    )
    with (
        choice.preflight(repository, loaded, chosen) as make_sure,
        creating(repository, request, settings, loaded.config.target) as created,
    ):
        run = chosen.run(1, bootstrap=not no_bootstrap) if chosen else None
        choice.keep_brief(repository, created.folder, 1, prompt, loaded)
        make_sure()
        if run or not no_bootstrap:
            runner.launch(repository, created.folder, created.lock, run)
        else:
            created.folder.made()
    repository.remember_main()
    install_hooks(repository, settings)
    repository.store.remember_target(created.task.target, created.target_tip)
    _tell(created, chosen)
    return finish(repository, created.folder, created.task.path, wait=wait, as_json=as_json)


def _predecessors(
    repository: Repository, names: tuple[str, ...], chosen: choice.Chosen | None
) -> list[TaskFolder]:
    """The tasks that a task is to start after; raises ParallelError where there is no such."""
    if not names:
        return []
    from git_parallel.overview import find_folder

    if chosen is None:
        raise UsageError("--after needs something to start: -m TEXT, or -- COMMAND")
    return [find_folder(repository, name)[0] for name in names]


def install_hooks(repository: Repository, settings: dict[str, str]) -> None:
    """Install the hooks on first use, and again where something wrote over them; says so."""
    if (repository.store.state / "hooks.off").exists():
        return
    try:
        changed = [hook for hook in hooks.install(repository, settings) if hook.changed]
    except ParallelError as error:
        told = repository.store.state / "hooks.told"
        repository.store.create()
        if not told.exists() or told.read_text() != error.message:
            output.tell(output.WARNING, error.message, hint=error.hint)
            told.write_text(error.message)
        return
    if changed:
        names = ", ".join(hook.name for hook in changed)
        folder = changed[0].path.parent
        output.tell(output.DONE, f"hooks installed in {folder}: {names}", hint="git parallel hooks")


def ask_for_trust(repository: Repository, loaded: Loaded) -> None:
    """Ask for the approval of what the project brings, where there is somebody to ask."""
    trust = Trust(repository.store.state)
    missing = trust.missing(loaded.project_commands)
    if not missing:
        return
    output.tell(output.WARNING, "this project brings commands that you have not approved:")
    for line in missing:
        output.narrate(f"    {shown(line)}")
    if sys.stdin.isatty() and sys.stderr.isatty():
        if click.confirm("Run them in every worktree of this clone?", err=True):
            trust.approve(missing)
        return
    output.tell(output.HINT, "git parallel trust")


def _tell(created: Created, chosen: choice.Chosen | None) -> None:
    task = created.task
    if created.cleared:
        output.tell(
            output.NOTHING, f"what an interrupted start of {task.name} left is in the trash"
        )
    if created.carried:
        output.tell(output.DONE, f"{output.count(created.carried, 'changed file')} carried along")
    what = f"{task.name} started on {task.branch}, to be merged into {task.target}"
    if chosen is None:
        output.tell(output.DONE, what, hint=f"cd '{task.path}'")
        return
    who = chosen.agent or Path(chosen.command[0]).name
    output.tell(output.DONE, f"{what}, with {who}", hint=f"git parallel log -f {task.name}")


def finish(
    repository: Repository, folder: TaskFolder, path: str, *, wait: bool, as_json: bool
) -> int:
    """Print the answer of `start` and `run`, at once or when the run has ended."""
    if not wait and not as_json:
        output.answer(path)
        return 0
    from git_parallel.commands import render
    from git_parallel.commands.log import follow
    from git_parallel.overview import look

    name = folder.task().name
    if wait:
        try:
            follow(folder, sys.stderr)
        except KeyboardInterrupt:
            output.tell(output.NOTHING, f"{name} goes on", hint=f"git parallel log -f {name}")
            raise
    view = look(repository, [name]).tasks[0]
    if as_json:
        output.json({"version": 1, **render.task_json(view)})
    else:
        output.answer(path)
    if not wait:
        return 0
    render.tell_status(view)
    return 0 if came_out_well(view) else 1


def came_out_well(view: "TaskView") -> bool:
    """Whether an awaited task is what `wait` waits for; one without a run only has to be usable."""
    return view.status in GOOD or (view.run is None and not view.alive and not view.trouble)
