"""The one door to the git executable.

Git is asked in its machine language only: exit codes, `-z`, full ids. Text is decoded as file
names are, so that a path of any bytes survives the way there and back.
"""

import contextlib
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from git_parallel.errors import GitError, ParallelError
from git_parallel.wording import last_words

if TYPE_CHECKING:
    import subprocess

OLDEST = (2, 38)
Process: TypeAlias = "subprocess.Popen[bytes]"
PIPE = -1  # `subprocess.PIPE`
USAGE_EXIT = 129
PIPE_BYTES = 16_384  # what a pipe takes at once on every system

# `git rev-parse --local-env-vars` of git 2.39, what its hooks add, what hook managers add, and what
# gives the paths that we name another meaning.
REPOSITORY_VARIABLES = frozenset(
    [
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_DIR",
        "GIT_GRAFT_FILE",
        "GIT_IMPLICIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_INTERNAL_SUPER_PREFIX",
        "GIT_NO_REPLACE_OBJECTS",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_REPLACE_REF_BASE",
        "GIT_SHALLOW_FILE",
        "GIT_WORK_TREE",
        "GIT_NAMESPACE",
        "GIT_QUARANTINE_PATH",
        "GIT_REFLOG_ACTION",
        "GIT_EXEC_PATH",
        "GIT_AUTHOR_DATE",
        "GIT_EDITOR",
        "GIT_SEQUENCE_EDITOR",
        "GIT_CHERRY_PICK_HELP",
        "GIT_INTERNAL_GETTEXT_SH_SCHEME",
        "GIT_PUSH_OPTION_COUNT",
        "GIT_LITERAL_PATHSPECS",
        "GIT_GLOB_PATHSPECS",
        "GIT_NOGLOB_PATHSPECS",
        "GIT_ICASE_PATHSPECS",
    ]
)
CONFIG_VARIABLES = frozenset({"GIT_CONFIG", "GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT"})
CONFIG_PAIR = re.compile(r"GIT_CONFIG_(KEY|VALUE)_\d+")

# Our own git calls must not set off our own hooks; other people's still run.
QUIET_HOOKS = {"GIT_PARALLEL_HOOKS": "off", "PRE_COMMIT_ALLOW_NO_CONFIG": "1"}

# For questions whose answers allow a removal: no replaced objects, no grafts.
AS_THEY_ARE = {"GIT_NO_REPLACE_OBJECTS": "1", "GIT_GRAFT_FILE": os.devnull}


def clean_environment(
    environment: Mapping[str, str], *, keep_config: bool = False
) -> dict[str, str]:
    """The environment without what binds a process to one repository, worktree or hook.

    `keep_config` leaves what the user gave with `git -c`, which is right for git calls on the
    user's behalf and wrong for the programs that work on a task.
    """

    def bound(name: str) -> bool:
        return (
            name in REPOSITORY_VARIABLES
            or name.startswith("PRE_COMMIT")
            or (is_config_variable(name) and not keep_config)
        )

    kept = {name: value for name, value in environment.items() if not bound(name)}
    if "PATH" in kept:
        folders = kept["PATH"].split(os.pathsep)
        kept["PATH"] = os.pathsep.join(f for f in folders if Path(f).name != "git-core")
    return kept


def is_config_variable(name: str) -> bool:
    """Whether a variable holds settings that somebody gave for one call (`git -c`)."""
    return name in CONFIG_VARIABLES or CONFIG_PAIR.fullmatch(name) is not None


class Git:
    """Git as run in one folder; `variables` are added to the environment of each call."""

    def __init__(
        self, folder: Path, environment: Mapping[str, str] | None = None, **variables: str
    ) -> None:
        self.folder = folder
        if environment is None:
            environment = clean_environment(os.environ, keep_config=True)
        self.environment = {**environment, **QUIET_HOOKS, **variables}

    def at(self, folder: Path, **variables: str) -> "Git":
        """The same git, run in another folder and with more variables."""
        return Git(folder, {**self.environment, **variables})

    def run(self, *arguments: str, stdin: str | bytes = b"", ok: Sequence[int] = (0,)) -> "Answer":
        """Run git to its end; raises GitError unless it exits with one of `ok`."""
        return self.finish(self.begin(*arguments), stdin, ok)

    def run_from_here(self, *arguments: str) -> "Answer":
        """Run git so that it leaves the current folder of whoever called us alone, as it does with
        its own since 2.35; raises GitError.
        """
        here, there = self._from_here()
        return self.at(here).run(*there, *arguments)

    def run_through(self, *arguments: str, log: Path) -> None:
        """The same to its end, also where we are interrupted or killed meanwhile: in a session of
        its own, and printing into a file.
        """
        import subprocess

        here, there = self._from_here()
        with open(log, "w+b") as file:
            process = subprocess.Popen(
                ["git", *there, *arguments],
                cwd=here,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
            try:
                code = process.wait()
            except KeyboardInterrupt:
                process.wait()
                raise
            if code:
                file.seek(0)
                raise _refusal(arguments, Answer(code, "", os.fsdecode(file.read())))

    def _from_here(self) -> tuple[Path, list[str]]:
        """The folder that we were called in, and what has git work in its own from there."""
        try:
            return Path.cwd(), ["-C", str(self.folder)]
        except FileNotFoundError:
            return self.folder, []

    def begin(self, *arguments: str, stdin: int = PIPE) -> Process:
        """Start git without waiting for it; raises ParallelError where it can't be run."""
        import subprocess  # 3 ms, for which some commands have no use: see early.py

        try:
            return subprocess.Popen(
                ["git", *arguments],
                cwd=self.folder,
                env=self.environment,
                stdin=stdin,
                stdout=PIPE,
                stderr=PIPE,
            )
        except FileNotFoundError as error:
            raise _cannot_run(self.folder) from error
        except (OSError, ValueError) as error:
            raise ParallelError(f"git can't be run in {self.folder}: {error}") from error

    def begin_with(self, stdin: str, *arguments: str) -> Process:
        """Start git with all of its input at hand, so that several can run at the same time."""
        content = os.fsencode(stdin)
        if len(content) <= PIPE_BYTES:
            read, write = os.pipe()
            os.write(write, content)
            os.close(write)
            try:
                return self.begin(*arguments, stdin=read)
            finally:
                os.close(read)
        import tempfile

        with tempfile.TemporaryFile() as file:
            file.write(content)
            file.seek(0)
            return self.begin(*arguments, stdin=file.fileno())

    def argv(self, *arguments: str) -> list[str]:
        """The command line of a git that somebody else supervises, as its hooks may be long."""
        return ["git", *arguments]

    def finish(
        self, process: Process, stdin: str | bytes = b"", ok: Sequence[int] = (0,)
    ) -> "Answer":
        """Wait for what `begin` started."""
        out, err = process.communicate(os.fsencode(stdin) if isinstance(stdin, str) else stdin)
        answer = Answer(process.returncode, os.fsdecode(out), os.fsdecode(err))
        if answer.code not in ok:
            arguments = process.args[1:] if isinstance(process.args, list) else []
            raise _refusal([str(a) for a in arguments], answer)
        return answer

    def ask(self, *arguments: str) -> str:
        """What git printed for a question about worktrees, asked again where one of them may have
        been only half made in that moment; raises GitError.
        """
        for pause_s in (0.02, 0.1):
            with contextlib.suppress(GitError):
                return self.run(*arguments).out
            time.sleep(pause_s)
        return self.run(*arguments).out

    def text(self, *arguments: str, stdin: str | bytes = b"") -> str:
        """What git printed, without the newline at its end."""
        return self.run(*arguments, stdin=stdin).out.removesuffix("\n")

    def lines(self, *arguments: str, stdin: str | bytes = b"") -> list[str]:
        """What git printed, line by line."""
        return self.run(*arguments, stdin=stdin).out.splitlines()

    def fields(self, *arguments: str, stdin: str | bytes = b"") -> list[str]:
        """What git printed with `-z`, field by field."""
        return self.run(*arguments, stdin=stdin).fields

    def says_yes(self, *arguments: str) -> bool:
        """Exit code 0 as True and 1 as False; anything else raises GitError."""
        return self.run(*arguments, ok=(0, 1)).code == 0

    def each(
        self, calls: Sequence[tuple[Path, Sequence[str]]], *, at_once: int = 0
    ) -> Iterator["Answer | GitError"]:
        """The answers of many calls in their order, some of them running at the same time."""
        width = at_once or os.cpu_count() or 1
        started: list[Process] = []  # one for each call, in their order
        for index in range(len(calls)):
            while len(started) < min(len(calls), index + width):
                folder, arguments = calls[len(started)]
                started.append(self.at(folder).begin(*arguments))
            try:
                yield self.finish(started[index])
            except GitError as error:
                yield error


class Answer:
    """How git exited and what it printed."""

    __slots__ = ("code", "err", "out")

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def fields(self) -> list[str]:
        """The output of a `-z` call, field by field."""
        return self.out.removesuffix("\0").split("\0") if self.out else []


def check_version(git: Git) -> None:
    """Raise ParallelError where git is older than what we need."""
    words = git.text("version").split()
    found = re.match(r"(\d+)\.(\d+)", words[2]) if len(words) > 2 else None
    if found and (int(found[1]), int(found[2])) >= OLDEST:
        return
    raise ParallelError(
        f"git {words[2] if len(words) > 2 else '(unknown)'} is too old",
        hint=f"install git {OLDEST[0]}.{OLDEST[1]} or newer",
    )


def end(process: Process) -> None:
    """Let go of what `begin` started, where its answer is not wanted any more."""
    if process.returncode is None:
        process.kill()
        process.communicate()


def status_path(field: str) -> str:
    """The path in a record of `status --porcelain=v2 -z --no-renames` (git-status(1))."""
    return field.split(" ", {"1": 8, "u": 10}.get(field[:1], 1))[-1]


def _refusal(arguments: Iterable[str], answer: Answer) -> GitError:
    words = [a for a in arguments if not a.startswith(("--no-optional-locks", "--config-env="))]
    while len(words) > 1 and words[0] in ("-c", "-C"):
        words = words[2:]
    two = words[:1] in (["worktree"], ["hook"])
    shown = " ".join(words[:2]) if two else " ".join(words[:1])
    said = last_words(answer.err) or f"exit code {answer.code}"
    hint = ""
    if answer.code == USAGE_EXIT:
        hint = f"git {OLDEST[0]}.{OLDEST[1]} or newer is needed: git --version"
    return GitError(f"git {shown} failed: {said}", hint, code=answer.code)


def _cannot_run(folder: Path) -> ParallelError:
    if not folder.is_dir():
        return ParallelError(f"the folder {folder} does not exist")
    return ParallelError("git is not on PATH", hint=f"install git {OLDEST[0]}.{OLDEST[1]} or newer")
