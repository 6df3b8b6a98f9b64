"""A repository and its worktrees: what we ask git about refs and worktrees, and tell it."""

import contextlib
import functools
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from git_parallel import early, inside, records, relocation
from git_parallel.errors import ParallelError
from git_parallel.git import AS_THEY_ARE, Git, check_version
from git_parallel.history import History
from git_parallel.hook_files import has_hook
from git_parallel.store import Store
from git_parallel.wording import pasted
from git_parallel.worktree import (
    MADE_HERE,
    TASK_MARK,
    Worktree,
    content,
    find_worktree,
    reflog,
)

if TYPE_CHECKING:
    from git_parallel import config


class Branch(Struct, frozen=True):
    """A ref as `for-each-ref` told it; `worktree` is where it is checked out, `upstream` the ref
    that it follows, if any.
    """

    ref: str
    tip: str
    tree: str
    worktree: Path | None
    current: bool
    upstream: str = ""


class Repository:
    """A repository as seen from one folder of it."""

    def __init__(
        self, git: Git, *, common: Path, git_dir: Path, top: Path | None, bare: bool
    ) -> None:
        self.git = git
        self.common = common
        self.git_dir = git_dir
        self.top = top
        self.bare = bare
        self.store = Store(common / "parallel")
        self._short: dict[str, str] = {}
        self.settled = relocation.Settled()

    @property
    def main(self) -> Path | None:
        """The main worktree; None if the repository is bare, or if it can't be known from here."""
        if self.git_dir == self.common:
            return self.top
        beside = self.common.parent
        if self.common.name == ".git" and (beside / ".git").exists():
            return beside
        return self._remembered_main

    @functools.cached_property
    def _remembered_main(self) -> Path | None:
        """The main worktree of a git dir that lies elsewhere; git itself forgets where it is."""
        try:
            main = Path(os.fsdecode((self.store.state / "main").read_bytes()))
            pointer = (main / ".git").read_text().strip().removeprefix("gitdir: ")
        except OSError:
            return None
        return main if (main / pointer).resolve() == self.common.resolve() else None

    def remember_place(self) -> None:
        """Keep where the git dir is and, where that is elsewhere, the main worktree."""
        if not self.settled.copy_of:
            relocation.remember(self.store, self.common)
        if self.main and self.git_dir == self.common and self.common.parent != self.main:
            (self.store.state / "main").write_bytes(os.fsencode(self.main))

    def _checkout(self, place: str) -> Path | None:
        """Where a branch is checked out; git names the git dir itself for a bare repository, whose
        HEAD is no checkout, and for a main worktree whose git dir lies elsewhere.
        """
        if not place:
            return None
        if (path := Path(place)) != self.common:
            return None if relocation.is_of_others(path, self.common) else path
        if self.main:
            return self.main
        asked = self.git.run("config", "--type=bool", "core.bare", ok=(0, 1))
        return None if asked.out.strip() == "true" else self.common

    @property
    def current_branch(self) -> str | None:
        """The branch that HEAD names here, or None where it is detached."""
        head = (content(self.git_dir / "HEAD") or "").partition("ref: refs/heads/")
        return head[2] or None

    @property
    def place(self) -> Path:
        """A folder to run git in that no task removes."""
        return self.main or self.common

    def git_in(self, folder: Path) -> Git:
        """Git in one of the worktrees: what `git` is bound to where there is none stays behind."""
        git = self.git.at(folder)
        git.environment.pop("GIT_DIR", None)
        return git

    @property
    def key(self) -> str:
        """A short text that tells this repository from others on this machine."""
        return relocation.key_of(self.common)

    def tag(self, slug: str, run: int) -> str:
        """What marks the processes of a run."""
        return f"{self.key}/{slug}/{run}"

    def tags(self, slug: str, run: int) -> list[str]:
        """The same, and what marked them where this repository was before it was moved."""
        before = [] if self.settled.copy_of else relocation.former_keys(self.store)
        return [f"{key}/{slug}/{run}" for key in (self.key, *before)]

    def branches(self, *patterns: str) -> dict[str, Branch]:
        """The refs that match the patterns (all branches, if none is given), by their full name."""
        asked = ("for-each-ref", early.REF_FORM, *(patterns or ("refs/heads",)))
        known = early.outcome(*asked)
        found = {}
        for line in (self.git.ask(*asked) if known is None else known).splitlines():
            tip, ref, place, mark, tree, upstream = line.split("\0")
            found[ref] = Branch(ref, tip, tree, self._checkout(place), mark == "*", upstream)
        return found

    def made_commits(self, branch: str, worktree: Worktree | None) -> frozenset[str]:
        """The commits that were made on a branch or in its worktree, as far as their reflogs tell;
        a move to a commit of others is none.
        """
        logs = [self.common / "logs" / "refs" / "heads" / branch]
        if worktree:
            logs.append(worktree.admin / "logs" / "HEAD")
        entries = (entry for log in logs for entry in reflog(log))
        return frozenset(commit for commit, words in entries if MADE_HERE.match(words))

    def worktrees(self) -> list[Worktree]:
        """The linked worktrees, in the order of their ids; a broken admin folder is left out, and
        so is one that was copied with the repository and leads to the original's worktree.
        """
        return [w for w in self.admins() if not relocation.is_of_others(w.path, self.common)]

    def admins(self) -> list[Worktree]:
        """What every admin folder that can be read says, true or not."""
        folder = self.common / "worktrees"
        try:
            names = sorted(os.listdir(folder))
        except FileNotFoundError:
            return []
        found = [find_worktree(folder / name) for name in names]
        return [worktree for worktree in found if worktree]

    def mark(self, worktree: Worktree, slug: str) -> None:
        """Say that a worktree belongs to a task."""
        records.write(worktree.admin / TASK_MARK, os.fsencode(f"{slug}\n"), durable=False)

    def worktree_of(self, slug: str) -> Worktree | None:
        """The worktree of a task, wherever it was moved to."""
        return next((w for w in self.worktrees() if w.slug == slug), None)

    def add_worktree(self, path: Path, branch: str, base: str, *, create: bool) -> Worktree:
        """Make an empty worktree on a branch, under the store's lock; raises GitError.

        Git itself stumbles over a worktree that another of its processes has only half made
        ("failed to read commondir", 2.39), so this part is short and done one after the other.
        """
        new = ["--no-track", "-b", branch, str(path), base] if create else [str(path), branch]
        return self._add(path, new)

    def add_detached(self, path: Path, commit: str) -> Worktree:
        """The same on no branch."""
        return self._add(path, ["--detach", str(path), commit])

    def _add(self, path: Path, new: Sequence[str]) -> Worktree:
        self.git.run("worktree", "add", "--quiet", "--no-checkout", *new)
        found = next((w for w in self.worktrees() if w.path.resolve() == path.resolve()), None)
        if found is None:
            raise ParallelError(f"git made {path} but does not list it")
        return found

    def fill(self, worktree: Worktree, tip: str, settings: Mapping[str, str]) -> None:
        """Check out the files of a new worktree and run other people's post-checkout hook, as `git
        worktree add` does it; raises GitError where one of them fails.
        """
        git = self.git_in(worktree.path)
        git.run(*_parallel_checkout(), "reset", "--hard", "--quiet", "--no-recurse-submodules")
        if has_hook("post-checkout", self.common, self.place, settings):
            arguments = ("--", "0" * len(tip), tip, "1")
            git.run("hook", "run", "--ignore-missing", "post-checkout", *arguments)

    @property
    def true_git(self) -> Git:
        """Git that sees commits as they are, whatever `git replace` shows in their place."""
        return self.git.at(self.git.folder, **AS_THEY_ARE)

    def history(self, tips: Sequence[str], floor: str) -> History:
        """The graph above a common ancestor of all tips; `floor` is a guess at one, and where it
        proves wrong, git is asked for the best.
        """
        history = self._history_above(tips, [floor])
        if all(history.contains(tip, floor) for tip in tips):
            return history
        answer = self.true_git.run("merge-base", "--octopus", *tips, ok=(0, 1))
        return self._history_above(tips, answer.out.split()[:1])

    def _history_above(self, tips: Iterable[str], floor: Sequence[str]) -> History:
        asked = "\n".join([*tips, *(f"^{f}" for f in floor)]) + "\n"
        lines = self.true_git.lines("rev-list", "--parents", "--stdin", stdin=asked)
        parents = {commit: tuple(above) for commit, *above in map(str.split, lines)}
        return History(parents, floor[0] if floor else None)

    def resolve(self, revision: str) -> str:
        """The full id of the commit that a revision names; raises ParallelError."""
        arguments = ("rev-parse", "--verify", "--quiet", "--end-of-options", revision + "^{commit}")
        answer = self.git.run(*arguments, ok=(0, 1, 128))
        if answer.code:
            raise ParallelError(f"`{revision}` is not a commit here", hint="git branch --all")
        return answer.out.strip()

    def short(self, commit: str) -> str:
        """A commit as git abbreviates it here."""
        if commit not in self._short:
            self._short[commit] = self.git.text("rev-parse", "--short", commit)
        return self._short[commit]

    @functools.cached_property
    def original(self) -> Path | None:
        """The worktree that others are made after: the main one or, where there is none, the one
        on the branch that the repository's HEAD names. None where there is neither.
        """
        if self.main:
            return self.main
        head = (content(self.common / "HEAD") or "").removeprefix("ref: ")
        likely = (w for w in self.worktrees() if w.branch == head and w.intact and not w.slug)
        return next((w.path for w in likely), None)

    def configuration(self) -> "config.Loaded":
        """What is configured here; raises ParallelError where a file is wrong."""
        from git_parallel import config

        return config.load(self.original, self.store.parallel / "config.toml")

    def settings(self) -> dict[str, str]:
        """Git's configuration, its keys as git has them; the last value of each, or true."""
        found = {}
        known = early.answer(*early.SETTINGS)
        listed = self.git.run(*early.SETTINGS).out if known is None else known
        for field in listed.removesuffix("\0").split("\0"):
            key, newline, value = field.partition("\n")
            found[key] = value if newline else "true"
        return found

    def default_branch(
        self, branches: Mapping[str, Branch], settings: Mapping[str, str]
    ) -> str | None:
        """The branch that the repository's main line most likely is, or None."""
        with contextlib.suppress(OSError):
            head = (self.common / "refs/remotes/origin/HEAD").read_text().strip()
            name = head.removeprefix("ref: refs/remotes/origin/")
            if f"refs/heads/{name}" in branches:
                return name
        likely = [settings.get("init.defaultbranch", ""), "main", "master", "trunk"]
        return next((n for n in likely if n and f"refs/heads/{n}" in branches), None)


def repository_at(common: Path, main: Path | None) -> Repository:
    """A repository of which everything is known already, without asking git."""
    git = Git(main) if main else Git(common, GIT_DIR=str(common))
    return Repository(git, common=common, git_dir=common, top=main, bare=main is None)


def find_repository(folder: Path) -> Repository:
    """The repository of a folder, as git's environment has it; raises ParallelError."""
    lines = (early.outcome(*early.WHERE) or "").splitlines()
    if not lines:
        answer = Git(folder, os.environ).run(*early.WHERE, ok=(0, 128, 129))
        lines = answer.out.splitlines()
        if len(lines) < 3:
            if inside.reconnect(folder):
                return find_repository(folder)
            raise inside.cut_off(folder) or _not_found(folder, answer.err)
    top = Path(lines[3]) if len(lines) > 3 and (Path(lines[3]) / ".git").exists() else None
    common, git_dir = Path(lines[0]), Path(lines[1])
    if lines[0] != lines[0].encode("utf-8", "replace").decode():
        raise ParallelError(f"the path of this repository is not UTF-8: {lines[0]}")
    repository = _seen_from(top, common=common, git_dir=git_dir, bare=lines[2] == "true")
    if repository.top and repository.git_dir != common:
        inside.refuse_copied(repository.top, repository.git_dir)
    if not repository.store.exists:
        check_version(repository.git)
    repository.settled = relocation.settle(common, repository.main)
    return repository


def _seen_from(top: Path | None, *, common: Path, git_dir: Path, bare: bool) -> Repository:
    if top is None and common.name == ".git" and not bare and (common.parent / ".git").exists():
        top, git_dir = common.parent, common
    git = Git(top) if top else Git(common, GIT_DIR=str(common))
    return Repository(git, common=common, git_dir=git_dir, top=top, bare=bare)


def _not_found(folder: Path, said: str) -> ParallelError:
    if "dubious ownership" in said:
        return ParallelError(
            "this repository belongs to another user, and git does not trust it",
            hint=f"git config --global --add safe.directory {pasted(folder)}",
        )
    return ParallelError("not in a git repository", hint="cd into one, or make one: git init")


def _parallel_checkout() -> list[str]:
    """Several checkout workers help on a cold cache, and cost nothing in a large tree."""
    workers = min(4, os.cpu_count() or 1)
    return ["-c", f"checkout.workers={workers}", "-c", "checkout.thresholdForParallelism=1000"]
