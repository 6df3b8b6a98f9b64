"""Take uncommitted changes from one worktree to another, and leave them where they were too."""

from git_parallel.errors import GitError, ParallelError
from git_parallel.git import Git
from git_parallel.index import copied
from git_parallel.repository import Repository
from git_parallel.worktree import Worktree


def uncommitted(repository: Repository) -> str:
    """The uncommitted changes of the current worktree as a patch, made with an index of its own."""
    if repository.top is None:
        raise ParallelError("there is no worktree here to carry changes from")
    with copied(repository.git.at(repository.top), repository.git_dir / "index") as aside:
        aside.run("add", "--all", "--", ".")
        plain = ("--binary", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv")
        return aside.run("diff", "--cached", *plain, "--no-renames", "HEAD").out


def apply(worktree: Worktree, patch: str) -> int:
    """Apply a patch to a new worktree, uncommitted; returns how many files it changes."""
    try:
        Git(worktree.path).run("apply", "--whitespace=nowarn", "-", stdin=patch)
    except GitError as error:
        raise ParallelError(
            f"the uncommitted changes do not fit: {error.message}",
            hint="start from HEAD, or leave --carry out",
        ) from error
    return patch.count("\ndiff --git ") + patch.startswith("diff --git ")
