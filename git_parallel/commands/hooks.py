"""`git parallel hooks`: install, uninstall or inspect the four hooks."""

from pathlib import Path

import click

from git_parallel import hooks, output
from git_parallel.repository import Repository, find_repository


@click.group("hooks", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> int:
    """Install, uninstall or inspect the hooks of this repository."""
    return show() if context.invoked_subcommand is None else 0


@command.command("install")
@click.option("--shared", is_flag=True, help="Also into a folder that serves other repositories.")
def install(*, shared: bool) -> int:
    """Install the four hooks beside whatever is there."""
    return install_and_tell(find_repository(Path.cwd()), shared=shared)


@command.command("uninstall")
def uninstall() -> int:
    """Put every hook back as it was found."""
    repository = find_repository(Path.cwd())
    done = hooks.uninstall(repository, repository.settings())
    repository.store.create()
    (repository.store.state / "hooks.off").touch()
    for hook in done:
        output.tell(output.DONE if hook.changed else output.NOTHING, f"{hook.name}: {hook.how}")
    return 0


@command.command("status")
def status() -> int:
    """Show where git looks for hooks, and whether ours are reached."""
    return show()


def show() -> int:
    """Print the state of the four hooks; 1 if one of them is not reached."""
    repository = find_repository(Path.cwd())
    place, states = hooks.status(repository, repository.settings())
    rows = []
    for hook in states:
        mark = output.DONE if hook.installed else output.WARNING
        rows.append([f"{mark} {hook.name}", "installed" if hook.installed else "missing", hook.how])
    output.answer(f"{place.folder}" + (f": {place.trouble}" if place.trouble else ""))
    output.answer(output.table(rows))
    return 0 if all(hook.installed for hook in states) else 1


def install_and_tell(repository: Repository, *, shared: bool) -> int:
    """Install the hooks and say what was done."""
    repository.store.create()
    (repository.store.state / "hooks.off").unlink(missing_ok=True)
    for hook in hooks.install(repository, repository.settings(), shared=shared):
        glyph = output.DONE if hook.changed else output.NOTHING
        output.tell(glyph, f"{hook.path}: {hook.how}")
    return 0
