"""`git parallel completion`: what a shell needs to complete our command lines."""

from pathlib import Path

import click

from git_parallel import completion, output


@click.command("completion")
@click.argument("shell", type=click.Choice(tuple(completion.SCRIPTS)))
def command(shell: str) -> None:
    """Print the completion for bash, zsh or fish, for a shell that does not find it by itself.

    eval "$(git parallel completion bash)" loads it; the README says where that line belongs.
    """
    script = Path(completion.HERE) / "completions" / completion.SCRIPTS[shell]
    output.answer(script.read_text("utf-8").rstrip("\n"))
