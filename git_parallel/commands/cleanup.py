"""`git parallel cleanup`: the sweep, by hand."""

from pathlib import Path

import click

from git_parallel import cleanup, output
from git_parallel.commands import render
from git_parallel.repository import find_repository


@click.command("cleanup")
@click.option("--dry-run", is_flag=True, help="Only say what would happen.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, dry_run: bool, as_json: bool) -> None:
    """Move the worktrees of merged tasks to the trash; say why the others stay."""
    repository = find_repository(Path.cwd())
    swept = cleanup.sweep(repository, asked=True, dry_run=dry_run)
    if as_json:
        cleaned = [{"name": c.name, "evidence": c.evidence} for c in swept.cleaned]
        kept = [{"name": k.name, "reason": k.reason} for k in swept.kept]
        output.json({"version": 1, "cleaned": cleaned, "kept": kept})
        return
    if dry_run:
        for cleaned_task in swept.cleaned:
            words = f"{cleaned_task.name} would be cleaned up ({cleaned_task.evidence.text})"
            output.tell(output.NOTHING, words)
    else:
        render.tell_swept(repository, swept)
    for task in swept.kept:
        output.tell(output.NOTHING, f"{task.name} stays: {output.printable(task.reason)}")
    if not swept.cleaned and not swept.kept:
        output.tell(output.NOTHING, "no tasks here")
