"""The messages of the commits that a merge makes."""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from git_parallel.brief import first_line
from git_parallel.git import Git
from git_parallel.task import Task

WIDTH = 72
MARKS = "#;@!$%^&|:"  # those of git-config(1), `core.commentChar`
FORM = "%aN <%aE>%x01%B%x01%(trailers:key=Co-authored-by,valueonly,separator=%x02)"


class Made(Struct, frozen=True):
    """A commit of a task: who made it, beside its author, and what it says."""

    author: str
    others: tuple[str, ...]
    message: str

    @property
    def subject(self) -> str:
        """The first line of its message."""
        return self.message.partition("\n")[0]


def of_merge(git: Git, task: Task, tip: str) -> str:
    """What git itself says of a merge of the task's branch into its target."""
    line = f"{tip}\t\tbranch '{task.branch}' of .\n"
    return git.text("fmt-merge-msg", "--into-name", task.target, stdin=line)


def of_squash(git: Git, task: Task, target: str, tip: str, given: str | None) -> str:
    """A message for all commits of a task as one, from its prompt and theirs, or as `given`; with
    a trailer for each author that is not the committer, and one for the task.
    """
    commits = _commits(git, f"{target}..{tip}")
    text = _composed(task, commits) if given is None else given
    committer = git.text("var", "GIT_COMMITTER_IDENT")
    trailers = [f"Co-authored-by: {who}" for who in co_authors(commits, committer)]
    return with_trailers(git, text, [*trailers, f"Parallel-Task: {task.name}"])


def of_request(git: Git, task: Task, target: str, tip: str, given: str | None) -> tuple[str, str]:
    """The title of a request and its description: what was asked, what was done."""
    commits = _commits(git, f"{target}..{tip}")
    if given:
        title, _, body = given.strip().partition("\n")
        return title, body.strip()
    if not task.prompt and len(commits) == 1:
        return commits[0].subject or task.name, commits[0].message.partition("\n")[2].strip()
    title = first_line(task.prompt) or (commits[0].subject if commits else "") or task.name
    listed = "\n".join(f"* {made.subject}" for made in commits)
    asked = (task.prompt or "").strip()
    return title, "\n\n".join(part for part in (asked if asked != title else "", listed) if part)


def cleaned(git: Git, text: str, settings: Mapping[str, str]) -> str:
    """A message as git commits it that nobody edits (git-commit(1), `--cleanup`)."""
    mode = settings.get("commit.cleanup")
    if mode == "verbatim":
        return text
    return git.run("stripspace", *(["-s"] if mode == "strip" else []), stdin=text).out


def marked(text: str, settings: Mapping[str, str]) -> tuple[str, ...]:
    """Options for git where it opens an editor on a message: another mark for comments, where a
    line begins with the usual one, and would be taken for a comment.
    """
    first = {line[:1] for line in text.splitlines()}
    known = settings.get("core.commentchar", MARKS[0])
    if known[:1] not in first and known != "auto":
        return ()
    free = next((mark for mark in MARKS if mark not in first), MARKS[0])
    return ("-c", f"core.commentChar={free}")


def _commits(git: Git, span: str) -> list[Made]:
    """The commits of a span, the oldest first, without merges."""
    log = ("log", "-z", "--reverse", "--no-merges", "--no-show-signature", f"--format={FORM}", span)
    found = []
    for entry in git.fields(*log):
        author, message, others = entry.split("\x01")
        named = tuple(who.strip() for who in others.split("\x02") if who.strip())
        found.append(Made(author, named, message.strip()))
    return found


def _composed(task: Task, commits: list[Made]) -> str:
    """The title from the prompt, then what the commits say; a single commit speaks for itself."""
    title = first_line(task.prompt)
    if not title and len(commits) == 1:
        return commits[0].message or task.name
    parts = [title or (commits[0].subject if commits else "") or task.name]
    if title.endswith("…"):  # it was cut
        import textwrap

        whole = (task.prompt or "").strip().splitlines()[0]
        parts.append(textwrap.fill(whole, WIDTH, break_long_words=False))
    subjects = [f"* {made.subject}" for made in commits if made.subject not in ("", title)]
    parts += ["\n".join(subjects)] if subjects else []
    return "\n\n".join(parts)


def co_authors(commits: Iterable[Made], committer: str) -> list[str]:
    """Who had a part in the commits beside the committer, each once, by address. Pure."""
    seen = {_address(committer.rpartition(">")[0] + ">")}
    found = []
    for made in commits:
        for who in (made.author, *made.others):
            if _address(who) not in seen:
                seen.add(_address(who))
                found.append(who)
    return found


def _address(who: str) -> str:
    return who.rpartition("<")[2].removesuffix(">").casefold()


def with_trailers(git: Git, text: str, trailers: Iterable[str]) -> str:
    """A message with trailers behind those that it has (git-interpret-trailers(1))."""
    rules = (
        "--no-divider",
        "--where",
        "end",
        "--if-exists",
        "addIfDifferent",
        "--if-missing",
        "add",
    )
    words = [word for trailer in trailers for word in ("--trailer", trailer)]
    known = text.rstrip("\n") + "\n"
    return git.run("interpret-trailers", *rules, *words, stdin=known).out
