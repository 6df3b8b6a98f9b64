"""What the agent is told: the prompt as given, where it works, how to finish. Pure."""

from collections.abc import Sequence

from git_parallel.task import Task


def compose(task: Task, prompt: str | None, checks: Sequence[str]) -> str:
    """The brief of a task; it begins with the prompt, byte for byte."""
    rules = [
        f"You work on the branch `{task.branch}`, in a git worktree of your own: this folder.",
        "Stay in this folder: other people and agents work beside it.",
        "Commit your work to this branch. Do not push, do not switch branches, do not merge.",
        *_constraints(task),
        *(f"This must pass before you finish: {check}" for check in checks),
    ]
    told = "\n".join(f"- {rule}" for rule in rules)
    head = f"{prompt}\n\n---\n\n" if prompt else ""
    return f"{head}{told}\n"


def _constraints(task: Task) -> list[str]:
    told = []
    if task.touch:
        told.append(f"Change only files that match: {'  '.join(task.touch)}")
    if task.never:
        told.append(f"Never change files that match: {'  '.join(task.never)}")
    return told


def first_line(prompt: str | None, *, width: int = 72) -> str:
    """The first line of a prompt, cut to a width."""
    lines = (prompt or "").strip().splitlines()
    line = lines[0].strip() if lines else ""
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"
