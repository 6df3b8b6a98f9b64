"""Push a task's branch: what we pushed before may be replaced, what somebody else pushed may not.

What the remote has by us is written down before each push, too: one that was cut off may have
arrived.
"""

import contextlib

from msgspec import Struct

from git_parallel.errors import GitError, ParallelError
from git_parallel.git import Answer, Git
from git_parallel.records import find_record, write_record
from git_parallel.repository import Repository
from git_parallel.task_folder import TaskFolder
from git_parallel.task_view import TaskView
from git_parallel.wording import last_words, pasted

RECORD = "pushed.json"
NOWHERE = ""  # as git's leases have a ref that is not there
REFUSED = "!\t"  # a ref in the output of `git push --porcelain` (git-push(1), OUTPUT)
STALE, REJECTED = "(stale info)", "[rejected]"
END = "error: failed to push"


class Pushed(Struct, frozen=True, forbid_unknown_fields=True):
    """The commits of a task that its branch at the remote may be at, the newest first."""

    commits: tuple[str, ...]
    version: int = 1


def push(repository: Repository, view: TaskView, remote: str, *before: str) -> None:
    """Push the tip of a task; `before` are commits that were pushed, as others have written down.
    Raises ParallelError with git's reason.
    """
    assert view.tip
    ref = f"refs/heads/{view.task.branch}"
    known = list(dict.fromkeys([*_known(view.folder), *before]))
    _write(view.folder, view.tip, *known)
    git = _git(repository, view, remote)
    # Where that failed, or was cut off, it is not known which of them is there, if any is.
    leases = [[f"--force-with-lease={ref}:{one}"] for one in [*known, NOWHERE]] if known else [[]]
    for lease in leases:
        words = ("push", "--quiet", "--porcelain", *lease, remote, f"{view.tip}:{ref}")
        answer = git.run(*words, ok=(0, 1))
        if answer.code == 0:
            _write(view.folder, view.tip)
            return
        if STALE not in answer.out:
            break
    raise _refusal(answer, remote, view.task.branch)


def _known(folder: TaskFolder) -> tuple[str, ...]:
    with contextlib.suppress(ParallelError):  # then git says what it does not replace
        if found := find_record(folder.path / RECORD, Pushed):
            return found.commits
    return ()


def _write(folder: TaskFolder, *commits: str) -> None:
    write_record(folder.path / RECORD, Pushed(tuple(dict.fromkeys(commits))))


def _git(repository: Repository, view: TaskView, remote: str) -> Git:
    """Git in the task's worktree, whose files a hook may want; where the remote's address is a path
    from where git is, in the folder that this was meant for.
    """
    urls = repository.git.lines("remote", "get-url", "--push", "--all", remote)
    beside = not view.path.is_dir() or any(map(_is_relative, urls))
    return repository.git_in(repository.place if beside else view.path)


def _is_relative(url: str) -> bool:
    """Whether an address is a path that does not begin at the root (git-fetch(1), GIT URLS)."""
    return not url.startswith("/") and ":" not in url.partition("/")[0]


def _refusal(answer: Answer, remote: str, branch: str) -> GitError:
    """Why a push was refused, in the words of whoever did it: git, a hook, the remote."""
    refused = [line for line in answer.out.splitlines() if line.startswith(REFUSED)]
    reason = refused[0].rpartition("\t")[2] if refused else ""
    told = last_words(answer.err.partition(END)[0] or ("" if reason else answer.err))
    words = "; ".join(word for word in (told, reason) if word)
    hint = ""
    if reason.startswith(REJECTED):
        there = f"git fetch {pasted(remote)} {pasted(branch)}"
        hint = f"{there} && git log -p {pasted(branch)}..FETCH_HEAD"
    return GitError(f"git push failed: {words}", hint, code=answer.code)
