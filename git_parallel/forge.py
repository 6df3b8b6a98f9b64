"""Requests at a forge: the branch is pushed, and `gh` or `glab` opens a pull or merge request.

A request that was merged there is evidence where its head is the task's tip, it went into the same
branch of the same repository, and the commit that came of it has arrived in the local target.
"""

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, structs

from git_parallel import message, process
from git_parallel.errors import ParallelError
from git_parallel.git import clean_environment
from git_parallel.lock import Lock, is_held
from git_parallel.process import NOT_FOUND_EXIT, ask
from git_parallel.pushed import push
from git_parallel.records import Landed, find_record, write_record
from git_parallel.repository import Branch, Repository
from git_parallel.task_folder import TaskFolder
from git_parallel.task_view import TaskView
from git_parallel.wording import last_words

RECORD = "request.json"
ASK_S = 20.0
MAKE_S = 120.0
PAUSE_S = 300.0  # before a forge that gave no answer is asked again in the background
MOST_BODY = 60_000  # a description may have 65,536 characters at GitHub
QUIET = {"NO_COLOR": "1", "GH_PROMPT_DISABLED": "1", "GH_NO_UPDATE_NOTIFIER": "1"}
NO_LOGIN_EXIT = 4  # gh's (https://cli.github.com/manual/gh_help_exit-codes)
LOGIN = re.compile(r"(?i)auth(en|ori[sz]|\b)|\blog(ged)?[ -]?(in|out)\b|credential|\btoken|\b401\b")
Answer = Mapping[str, Any]


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    """A request that was opened for a task: for which commit, into which branch of the forge,
    where the target was when the forge was last asked whether it is merged, and when it last gave
    no answer, in seconds since the epoch.
    """

    program: str
    url: str
    head: str
    into: str
    asked: str = ""
    failed: float = 0.0
    version: int = 1


class Merged(Struct, frozen=True):
    """A request that was merged: its head, and the commit that came of it."""

    head: str
    into: str
    commit: str


class Forge(Struct, frozen=True):
    """How a forge is asked by its own program; `{branch}`, `{into}`, `{title}` and `{body}` stand
    for what it is about, and `parse` reads one entry of the merged ones.
    """

    program: str
    host: str
    login: str
    opened: Sequence[str]
    merged: Sequence[str]
    make: Sequence[str]
    url: str
    parse: Callable[[Answer], Merged | None]


def _of_github(entry: Answer) -> Merged | None:
    """An entry of `gh pr list --json` (https://cli.github.com/manual/gh_pr_list)."""
    commit = (entry.get("mergeCommit") or {}).get("oid")
    if entry.get("isCrossRepository") is not False or not commit:
        return None
    return Merged(entry["headRefOid"], entry["baseRefName"], commit)


def _of_gitlab(entry: Answer) -> Merged | None:
    """An entry of `glab mr list --output json`: as GitLab's API has it
    (https://docs.gitlab.com/api/merge_requests/). A fast-forward has no commit but its head.
    """
    commit = entry.get("merge_commit_sha") or entry.get("squash_commit_sha") or entry.get("sha")
    same = entry.get("source_project_id") == entry.get("target_project_id") is not None
    if not same or not commit or entry.get("state") != "merged":
        return None
    return Merged(entry["sha"], entry["target_branch"], commit)


FORGES = (
    Forge(
        program="gh",
        host="github",
        login="gh auth login",
        opened=("pr", "list", "--head", "{branch}", "--base", "{into}", "--json", "url"),
        merged=(
            *("pr", "list", "--head", "{branch}", "--state", "merged", "--json"),
            "headRefOid,baseRefName,mergeCommit,isCrossRepository",
        ),
        make=(
            *("pr", "create", "--head", "{branch}", "--base", "{into}"),
            *("--title", "{title}", "--body", "{body}"),
        ),
        url="url",
        parse=_of_github,
    ),
    Forge(
        program="glab",
        host="gitlab",
        login="glab auth login",
        opened=(
            *("mr", "list", "--source-branch", "{branch}", "--target-branch", "{into}"),
            *("--output", "json"),
        ),
        merged=("mr", "list", "--source-branch", "{branch}", "--merged", "--output", "json"),
        make=(
            *("mr", "create", "--source-branch", "{branch}", "--target-branch", "{into}"),
            *("--title", "{title}", "--description", "{body}", "--yes"),
        ),
        url="web_url",
        parse=_of_gitlab,
    ),
)


def request(repository: Repository, view: TaskView, given: str | None = None) -> Request:
    """Push a task's branch and open a request for it, or find the one that is open; raises
    ParallelError with what the forge's program says. `given` is the title and the description.
    """
    assert view.tip and view.target
    forge, remote, into = destination(repository, view)
    values = {"branch": view.task.branch, "into": into}
    facts = view.facts
    below = facts.fork if facts and facts.apart and facts.fork else view.target.tip
    title, body = message.of_request(repository.git, view.task, below, view.tip, given)
    values |= {"title": title, "body": body[:MOST_BODY]}
    url = _url_of(forge, _listed(repository, forge, forge.opened, values))  # or nothing is pushed
    before = _request_of(view.folder)
    push(repository, view, remote, *([before.head] if before else []))
    url = url or _open(repository, forge, values)
    opened = Request(forge.program, url, view.tip, into)
    write_record(view.folder.path / RECORD, opened)
    return opened


def start(repository: Repository, views: Iterable[TaskView]) -> None:
    """Let a background process ask the forges, if there is anything to ask, since a forge may be
    slow to answer: whoever calls waits for nothing.
    """
    if any(_open_ones(views, PAUSE_S)) and not is_held(_lock(repository)):
        process.detach(
            ["recognise", str(repository.place)],
            folder=repository.common,
            log=repository.store.state / "forge.log",
        )


@contextlib.contextmanager
def alone(repository: Repository) -> Iterator[bool]:
    """Whether we are the only background process of this repository that asks; it is so long."""
    with contextlib.ExitStack() as held:
        if lock := Lock.take(_lock(repository)):
            held.enter_context(lock)
        yield lock is not None


def _lock(repository: Repository) -> Path:
    return repository.store.state / "forge"


def recognise(repository: Repository, views: Iterable[TaskView], *, pause_s: float = 0.0) -> bool:
    """Record what was merged at a forge and has arrived here; returns whether anything was. It asks
    once for each commit that the target comes to, and what can't be known says nothing; a forge
    that gave no answer is left alone for so many seconds.
    """
    found, silent = False, set[str]()
    for view, opened, target in _open_ones(views, pause_s):
        try:
            if opened.program not in silent:  # the others would only wait as long
                found |= _ask_whether_merged(repository, view, opened, target)
        except ParallelError:
            silent.add(opened.program)
        except FileNotFoundError:  # it was moved away while the forge was asked
            continue
        if opened.program in silent:
            _keep(view, structs.replace(opened, failed=time.time()))
    return found


def _open_ones(
    views: Iterable[TaskView], pause_s: float
) -> Iterator[tuple[TaskView, Request, Branch]]:
    """The tasks with a request that may have been merged since the forge was asked."""
    now = time.time()
    for view in views:
        opened = _request_of(view.folder)
        if not opened or view.evidence or view.alive or view.tip != opened.head or not view.target:
            continue
        if opened.asked != view.target.tip and now - opened.failed >= pause_s:
            yield view, opened, view.target


def _request_of(folder: TaskFolder) -> Request | None:
    try:
        return find_record(folder.path / RECORD, Request)
    except ParallelError:
        return None


def _ask_whether_merged(
    repository: Repository, view: TaskView, opened: Request, target: Branch
) -> bool:
    """Whether a request was merged; raises ParallelError where the forge does not say."""
    forge = next(forge for forge in FORGES if forge.program == opened.program)
    values = {"branch": view.task.branch, "into": opened.into}
    entries = _listed(repository, forge, forge.merged, values)
    try:
        merged = [one for entry in entries if (one := forge.parse(entry))]
    except (KeyError, TypeError, AttributeError) as error:
        raise ParallelError(f"{forge.program} gave a list of another form") from error
    for one in merged:
        same = (one.head, one.into) == (opened.head, opened.into)
        if same and _has_arrived(repository, one.commit, target):
            view.folder.write_landed(Landed(one.head, view.task.target, one.commit, "request"))
            return True
    _keep(view, structs.replace(opened, asked=target.tip, failed=0.0))
    return False


def _keep(view: TaskView, request: Request) -> None:
    with contextlib.suppress(FileNotFoundError):  # it was moved away while the forge was asked
        write_record(view.folder.path / RECORD, request, durable=False)


def _has_arrived(repository: Repository, commit: str, target: Branch) -> bool:
    words = ("merge-base", "--is-ancestor", commit, target.tip)
    return repository.git.run(*words, ok=(0, 1, 128)).code == 0


def destination(repository: Repository, view: TaskView) -> tuple[Forge, str, str]:
    """The forge, the remote of a task's target, and what that is called there."""
    target, settings = view.task.target, repository.settings()
    remotes = repository.git.lines("remote")
    named = settings.get(f"branch.{target}.remote") or "origin"
    remote = named if named in remotes else next(iter(remotes), "")
    if not remote:
        raise ParallelError(
            f"`{view.task.name}` can't be pushed: there is no remote",
            hint="git remote add origin URL",
        )
    upstream = settings.get(f"branch.{target}.merge", "")
    forge = _forge_of(settings.get(f"remote.{remote}.url", ""))
    return forge, remote, upstream.removeprefix("refs/heads/") or target


def _forge_of(url: str) -> Forge:
    """The forge that a remote's address names, else the one whose program is there."""
    import shutil

    named = [forge for forge in FORGES if forge.host in url.casefold()]
    for forge in named or FORGES:
        if shutil.which(forge.program):
            return forge
    wanted = " or ".join(f"`{forge.program}`" for forge in named or FORGES)
    raise ParallelError(
        f"{wanted} is not on PATH, and opens the requests",
        hint="https://cli.github.com, https://gitlab.com/gitlab-org/cli",
    )


def _open(repository: Repository, forge: Forge, values: Mapping[str, str]) -> str:
    said = _say(repository, forge, forge.make, values, limit_s=MAKE_S)
    links = [word for word in said.split() if word.startswith(("https://", "http://"))]
    if not links:
        raise ParallelError(f"{forge.program} opened no request: {last_words(said)}")
    return links[-1]


def _url_of(forge: Forge, entries: Sequence[Any]) -> str:
    """The address of the open request, if there is one; raises ParallelError."""
    match entries:
        case []:
            return ""
        case [{forge.url: str(url)}, *_] if url:
            return url
    raise ParallelError(f"{forge.program} gave a list of another form")


def _listed(
    repository: Repository, forge: Forge, words: Sequence[str], values: Mapping[str, str]
) -> list[Any]:
    """The list that a forge's program prints; raises ParallelError where it prints none."""
    said = _say(repository, forge, words, values)
    try:
        return msgspec.json.decode(said[said.index("[") :], type=list[Any])
    except ValueError as error:  # msgspec's own is one
        raise ParallelError(f"{forge.program} gave no list: {last_words(said)}") from error


def _say(
    repository: Repository,
    forge: Forge,
    words: Sequence[str],
    values: Mapping[str, str],
    *,
    limit_s: float = ASK_S,
) -> str:
    """What a forge's program prints; raises ParallelError where it fails."""
    filled = [values.get(word[1:-1], word) if word[:1] == "{" else word for word in words]
    environment = {**clean_environment(os.environ), **QUIET}
    command, place = [forge.program, *filled], Path(repository.place)
    ended, said = ask(command, folder=place, environment=environment, timeout_s=limit_s)
    if ended.code == NOT_FOUND_EXIT or ended.words:
        raise ParallelError(ended.words)
    if ended.code:
        what = f"{forge.program} {' '.join(words[:2])}"
        outside = ended.code == NO_LOGIN_EXIT or LOGIN.search(said)
        hint = forge.login if outside else ""
        raise ParallelError(f"{what} failed: {last_words(said)}", hint=hint)
    return said
