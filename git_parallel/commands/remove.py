"""`git parallel remove`: move tasks to the trash because a person says so."""

import shlex
from pathlib import Path

import click

from git_parallel import journal, output, safety, trash
from git_parallel.draft import BRANCH_PREFIX
from git_parallel.errors import ParallelError, UnsafeError
from git_parallel.overview import look
from git_parallel.repository import Repository, find_repository
from git_parallel.task_view import TaskView
from git_parallel.wording import named


@click.command("remove")
@click.argument("tasks", nargs=-1, required=True)
@click.option("--delete-branch", is_flag=True, help="Also its branch; undo brings both back.")
def command(tasks: tuple[str, ...], *, delete_branch: bool) -> int:
    """Move tasks to the trash. Their branches stay, unless you say otherwise; uncommitted work,
    and whoever works in it, makes it refuse. `git parallel undo` brings a task back.
    """
    repository = find_repository(Path.cwd())
    names = [view.task.name for view in look(repository, tasks, files=False).tasks]
    code = 0
    for name in names:
        try:
            remove(repository, name, delete_branch=delete_branch)
        except ParallelError as error:
            output.error(error)
            code = error.exit_code
    return code


def remove(repository: Repository, name: str, *, delete_branch: bool) -> None:
    """Move a task to the trash and say so; raises ParallelError where it has to stay."""
    rules = repository.configuration().config
    precious: tuple[str, ...] = ()
    with repository.store.locked():
        trash.recover(repository)
        view = look(repository, [name], files=False).tasks[0]
        if view.alive:
            raise UnsafeError(
                f"`{name}` can't be removed: it is {view.status}", hint=f"git parallel stop {name}"
            )
        if view.worktree and view.worktree.path.exists() and not _half_made(view):
            subject = safety.Subject(
                repository, view.folder, view.task, view.worktree, rules.regenerable, True
            )
            verdict = safety.inspect(subject)
            if verdict.reasons:
                raise UnsafeError(
                    f"`{name}` can't be removed: {'; '.join(verdict.reasons)}",
                    hint=f'cd "$(git parallel path {name})" && git status',
                )
            precious = verdict.precious
        tasks, branch = repository.store.load_tasks(), view.task.branch
        children = [task.name for _, task in tasks if task.target == branch]
        if delete_branch and children:
            goes = f"{named(children, 3)} is to be merged into that"
            raise UnsafeError(
                f"`{name}` can't be removed with its branch: {goes}",
                hint=f"git parallel remove {name}",
            )
        entry = trash.move(
            repository,
            view.folder,
            view.task,
            view.worktree,
            tip=view.tip,
            drop_branch=_drops_branch(view, asked=delete_branch) and not children,
            why=journal.REMOVED,
        )
    _tell(repository, view, entry, precious, rules.cleanup.keep_days)


def _half_made(view: TaskView) -> bool:
    """A `start` that was killed left it: nobody has worked in it, and git may not read it."""
    return view.folder.making is not None


def _drops_branch(view: TaskView, *, asked: bool) -> bool:
    """The branch goes if that was asked for, if it landed, or if it is ours and holds nothing."""
    ours = view.task.branch.startswith(BRANCH_PREFIX)
    unused = view.landed_here or view.tip == view.task.base
    return asked or (ours and unused)


def _tell(
    repository: Repository,
    view: TaskView,
    entry: journal.Entry,
    precious: tuple[str, ...],
    keep_days: float,
) -> None:
    name = view.task.name
    stays = view.tip is not None and not entry.journal.drop_branch
    branch = f", its branch {view.task.branch} stays" if stays else ""
    words = f"{name} is in the trash for {keep_days:g} days{branch}"
    output.tell(output.DONE, words, hint=f"git parallel undo {name}")
    for path in precious:
        output.tell(output.WARNING, f"in the trash with it, and ignored by git: {path}")
    here = Path.cwd() if _cwd_exists() else None
    tree = Path(entry.journal.tree) if entry.journal.tree else None
    if tree and (here is None or here.is_relative_to(tree)):
        place = shlex.quote(str(repository.place))
        output.tell(output.WARNING, "your shell still stands in it", hint=f"cd {place}")


def _cwd_exists() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True
