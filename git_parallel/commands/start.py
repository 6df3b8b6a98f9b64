"""`git parallel start`: make a task and set to work on it."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec import structs

from git_parallel import hooks, output, runner
from git_parallel.commands import choice
from git_parallel.config import Loaded
from git_parallel.creation import Created, creating
from git_parallel.draft import Request
from git_parallel.errors import ParallelError, UsageError
from git_parallel.repository import Repository, find_repository
from git_parallel.task import Status, Task, parse_name
from git_parallel.task_folder import TaskFolder
from git_parallel.trust import Trust, shown
from git_parallel.wording import in_line, pasted

if TYPE_CHECKING:
    from git_parallel.task_view import TaskView

LIMIT = click.IntRange(0)
GOOD = (Status.READY, Status.MERGED)


@click.command("start")
@click.argument("task")
@click.argument("start_point", required=False, metavar="[START_POINT] [-- COMMAND...]")
@click.option("-m", "--message", "text", metavar="TEXT", help="What the agent is asked to do.")
@click.option("-F", "--file", "file", metavar="FILE", help="Read that from a file, `-` for stdin.")
@click.option("--agent", "agent_name", metavar="NAME", help="The agent to run, or several: a,b.")
@click.option("--model", metavar="NAME", help="The model that it is to use.")
@click.option("--effort", metavar="LEVEL", help="The effort that it is to make.")
@click.option("--interactive", is_flag=True, help="On a terminal, to be attached to.")
@click.option("--attempts", type=click.IntRange(1, 99), metavar="N", help="So many, side by side.")
@click.option("--touch", multiple=True, metavar="GLOB", help="A path that the task may change.")
@click.option("--never", multiple=True, metavar="GLOB", help="A path that it must not change.")
@click.option("--max-files", type=LIMIT, metavar="N", help="So many files at most.")
@click.option("--max-lines", type=LIMIT, metavar="N", help="So many lines at most.")
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
    attempts: int | None,
    touch: tuple[str, ...],
    never: tuple[str, ...],
    max_files: int | None,
    max_lines: int | None,
    after: tuple[str, ...],
    target: str | None,
    branch: str | None,
    *,
    interactive: bool,
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
    loaded = repository.configuration()
    wish = choice.Wish(agent_name, model, effort, prompt, words, interactive)
    attempts_of = _attempts(task, wish, attempts)
    chosen = {name: choice.choose(repository, loaded, one) for name, one in attempts_of.items()}
    if branch and len(chosen) > 1:
        raise UsageError("--branch and several attempts can't be used together")
    ask_for_trust(repository, loaded)
    rules = loaded.config.constraints
    request = Request(
        name=task,
        start_point=start_point,
        target=target,
        branch=branch,
        prompt=None if prompt is None else prompt.decode("utf-8", "surrogateescape"),
        touch=touch,
        never=tuple(dict.fromkeys((*never, *rules.never))),
        max_files=rules.max_files if max_files is None else max_files,
        max_lines=rules.max_lines if max_lines is None else max_lines,
        after=_predecessors(repository, after, nothing_runs=None in chosen.values()),
        carry=carry,
    )
    makes = Maker(repository, loaded, prompt, bootstrap=not no_bootstrap)
    return _finish_all(repository, makes.all(request, chosen), wait=wait, as_json=as_json)


def _attempts(task: str, wish: choice.Wish, number: int | None) -> dict[str, choice.Wish]:
    """What each attempt is to run, by its name; the agents take turns. One attempt is no more than
    the task itself.
    """
    agents = wish.agent.split(",") if wish.agent else [None]
    count = number or len(agents)
    if count == 1:
        return {task: wish}
    if not (wish.prompt or wish.words):
        raise UsageError("attempts need something to start: -m TEXT, or -- COMMAND")
    turns = (structs.replace(wish, agent=agents[n % len(agents)]) for n in range(count))
    return {f"{task}.{n}": one for n, one in enumerate(turns, start=1)}


class Maker:
    """Makes the tasks of one `start`."""

    def __init__(
        self, repository: Repository, loaded: Loaded, prompt: bytes | None, *, bootstrap: bool
    ) -> None:
        self.repository = repository
        self.loaded = loaded
        self.prompt = prompt
        self.bootstrap = bootstrap
        self.settings = repository.settings()

    def all(self, request: Request, chosen: Mapping[str, choice.Chosen | None]) -> list[Created]:
        """Make the attempts at what was asked for, each with what is to run in it, on one base;
        raises ParallelError.
        """
        task = request.name
        made: list[Created] = []
        for name, what in chosen.items():
            if name != task:  # one attempt alone is the task itself
                request = structs.replace(request, name=name, attempt_of=task)
            made.append(self._make(request, what))
            if len(made) == 1:
                base, target = made[0].task.base, made[0].task.target
                request = structs.replace(request, start_point=base, target=target)
                self._prepare_repository(made[0])
            _tell(made[-1], what)
            if len(made) == 1 and request.touch:
                _warn_of_overlaps(self.repository, made[0].task)
        return made

    def _make(self, request: Request, chosen: choice.Chosen | None) -> Created:
        """Make a task and hand it to its runner; raises ParallelError, with nothing left of it."""
        repository, loaded = self.repository, self.loaded
        with (
            choice.preflight(repository, loaded, chosen) as make_sure,
            creating(repository, request, self.settings, loaded.config.target) as created,
        ):
            run = chosen.run(1, bootstrap=self.bootstrap) if chosen else None
            choice.keep_brief(repository, created.folder, 1, self.prompt, loaded)
            make_sure()
            if run or self.bootstrap:
                runner.launch(repository, created.folder, created.lock, run)
            else:
                created.folder.made()
        return created

    def _prepare_repository(self, first: Created) -> None:
        """What the first task of a repository brings along: its hooks, and what they watch."""
        self.repository.remember_place()
        install_hooks(self.repository, self.settings)
        self.repository.store.remember_target(first.task.target, first.target_tip)


def _finish_all(repository: Repository, made: list[Created], *, wait: bool, as_json: bool) -> int:
    """Print the answer for all that was made; several tasks are one object in JSON."""
    if len(made) == 1:
        path = made[0].task.path
        return finish(repository, made[0].folder, path, wait=wait, as_json=as_json)
    from git_parallel.commands import render
    from git_parallel.overview import look

    codes = [_await(repository, one.folder) for one in made] if wait else [0]
    if as_json:
        views = look(repository, [str(one.task.name) for one in made]).tasks
        output.json({"version": 1, "tasks": [render.task_json(view) for view in views]})
    else:
        output.answer("\n".join(one.task.path for one in made))
    return max(codes)


def _predecessors(
    repository: Repository, names: tuple[str, ...], *, nothing_runs: bool
) -> tuple[str, ...]:
    """The slugs of the tasks to start after; raises ParallelError where there is no such."""
    if not names:
        return ()
    from git_parallel.overview import find_folder

    if nothing_runs:
        raise UsageError("--after needs something to start: -m TEXT, or -- COMMAND")
    return tuple(find_folder(repository, name)[0].slug for name in names)


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
        output.tell(output.DONE, what, hint=f"cd {pasted(task.path)}")
        return
    who = chosen.agent or Path(chosen.command[0]).name
    follow = "attach" if chosen.interactive else "log -f"
    output.tell(output.DONE, f"{what}, with {who}", hint=f"git parallel {follow} {task.name}")


def _warn_of_overlaps(repository: Repository, task: Task) -> None:
    """Say whose ground a new task enters, by what it may touch."""
    from git_parallel.neighbours import neighbours, overlaps

    met = overlaps(task, neighbours(repository, task))
    told = [
        f"{name} ({', '.join(where[:3])}{' …' if where[3:] else ''})" for name, where in met.items()
    ]
    if told:
        words = in_line(f"{task.name} may touch what others work on: {', '.join(told)}")
        output.tell(output.WARNING, output.printable(words), hint="git parallel conflicts")


def finish(
    repository: Repository, folder: TaskFolder, path: str, *, wait: bool, as_json: bool
) -> int:
    """Print the answer of `start` and `run`, at once or when the run has ended."""
    code = _await(repository, folder) if wait else 0
    if not as_json:
        output.answer(path)
        return code
    from git_parallel.commands import render
    from git_parallel.overview import look

    view = look(repository, [folder.task().name]).tasks[0]
    output.json({"version": 1, **render.task_json(view)})
    return code


def _await(repository: Repository, folder: TaskFolder) -> int:
    """Follow a run to its end and say what it came to; returns 0 where it came out well."""
    from git_parallel.commands import render
    from git_parallel.commands.log import follow
    from git_parallel.overview import look

    name = folder.task().name
    last = folder.last_run()
    try:
        if last and last.interactive and sys.stdin.isatty() and sys.stdout.isatty():
            from git_parallel.commands.attach import attach

            return attach(repository, folder, str(name))
        follow(folder, sys.stderr)
    except KeyboardInterrupt:
        output.tell(output.NOTHING, f"{name} goes on", hint=f"git parallel log -f {name}")
        raise
    view = look(repository, [name]).tasks[0]
    render.tell_status(view)
    return 0 if came_out_well(view) else 1


def came_out_well(view: "TaskView") -> bool:
    """Whether an awaited task is what `wait` waits for; one without a run only has to be usable."""
    return view.status in GOOD or (view.run is None and not view.alive and not view.trouble)
