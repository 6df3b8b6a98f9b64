"""Where merges are made and checked: a scratch worktree for each, made when it is first needed."""

import contextlib
import functools
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from git_parallel import variables
from git_parallel.bootstrap import bootstrap
from git_parallel.config import Loaded
from git_parallel.git import QUIET_HOOKS, Git, is_config_variable
from git_parallel.hook_files import hooks_folder
from git_parallel.process import Exit, foreground
from git_parallel.repository import Repository
from git_parallel.scratch import Scratch, scratch
from git_parallel.site import Site
from git_parallel.supervisor import Stopped, Supervisor
from git_parallel.task_view import TaskView
from git_parallel.trust import Approvals

TAIL_BYTES = 4096


class Workshop:
    """What all the merges of one call have in common. `told` hears what is going on, a line at a
    time; `editor` is the user's, for the messages that are to be edited.
    """

    def __init__(
        self,
        repository: Repository,
        loaded: Loaded,
        approvals: Approvals,
        *,
        told: Callable[[str], None],
        editor: str = ":",
    ) -> None:
        self.repository = repository
        self.loaded = loaded
        self.approvals = approvals
        self.told = told
        self.editor = editor

    @functools.cached_property
    def settings(self) -> Mapping[str, str]:
        """Git's configuration."""
        return self.repository.settings()

    @functools.cached_property
    def supervisor(self) -> Supervisor:
        """What runs the programs of all the merges, and ends them on Ctrl-C."""
        return Supervisor(f"{self.repository.key}/merge/{os.getpid()}")

    @contextlib.contextmanager
    def bench(self, view: TaskView, *, hooks: bool = True) -> Iterator["Bench"]:
        """The place for one merge; nothing of it is left afterwards but its log. Without `hooks`
        nobody's run, since nothing is to come of it.
        """
        with contextlib.ExitStack() as held:
            yield Bench(self, view, held, hooks=hooks)


class Bench:
    """A place to make one merge and to check it: one scratch worktree, whatever it is asked for."""

    def __init__(
        self, shop: Workshop, view: TaskView, held: contextlib.ExitStack, *, hooks: bool
    ) -> None:
        self.shop = shop
        self.view = view
        self.hooks = hooks
        self.repository = shop.repository
        self.log = view.folder.path / "merge.log"
        self._held = held
        self._scratch: Scratch | None = None
        self._begin = 0

    @functools.cached_property
    def output(self) -> IO[bytes]:
        """The log of this merge, begun anew."""
        return self._held.enter_context(self.log.open("w+b", 0))

    def at(self, commit: str) -> Scratch:
        """The scratch worktree, on a commit, with nothing in it that git sees."""
        if self._scratch is None:
            made = scratch(self.repository, self.view.task, commit)
            self._scratch = self._held.enter_context(made)
            return self._scratch
        git = self.git
        git.run("reset", "--hard", "--quiet")
        git.run("clean", "-ffd", "--quiet")
        git.run("-c", "submodule.recurse=false", "checkout", "--quiet", "--detach", commit)
        return self._scratch

    @property
    def scratch(self) -> Scratch:
        """The scratch worktree as it is."""
        assert self._scratch, "`at` makes it"
        return self._scratch

    @property
    def folder(self) -> Path:
        """The folder of the scratch worktree."""
        return self.scratch.worktree.path.resolve()

    @property
    def git(self) -> Git:
        """Git in the scratch worktree."""
        return self.repository.git_in(self.folder)

    def bootstrap(self) -> str:
        """Make the scratch worktree usable; returns why it is not, or nothing."""
        shop, place = self.shop, self.scratch
        site = Site(
            self.repository,
            place.worktree,
            place.task,
            shop.loaded,
            shop.approvals,
            supervisor=shop.supervisor,
            output=self.output,
            base=os.environ,
        )
        step = bootstrap(site).trouble
        return f"its environment is not ready: {step.told}" if step else ""

    @property
    def what(self) -> str:
        """What is made here, in words."""
        return f"{self.view.task.name} merged into {self.view.task.target}"

    @property
    def variables(self) -> dict[str, str]:
        """What programs find in their environment: the slot and the ports are of this place."""
        shop, place = self.shop, self.scratch
        known = (place.task, shop.loaded, shop.approvals)
        own = variables.of_worktree(self.repository, self.folder, *known)
        return variables.around(os.environ, self.folder, own)

    def run_git(self, *words: str, edit: bool = False) -> Exit:
        """Run a git whose hooks and drivers may take long, as if in the target's own worktree:
        below the supervisor with its output in the log or, to edit a message, on this terminal.
        Raises Stopped where it was interrupted.
        """
        git = self.git
        config = {n: v for n, v in git.environment.items() if is_config_variable(n)}
        editor = {"GIT_EDITOR": self.shop.editor if edit else ":"}
        environment = {**self.variables, **config, **QUIET_HOOKS, **editor}
        command = git.argv(*self._hooks(), *words)
        if edit:
            done = foreground(command, folder=self.folder, environment=environment)
            if done.code == -signal.SIGINT:
                raise Stopped("it was interrupted")
            return done
        supervisor, self._begin = self.shop.supervisor, self.output.tell()
        return supervisor.run(
            command, folder=self.folder, environment=environment, output=self.output
        )

    def said(self) -> str:
        """The end of what the last git said in the log."""
        self.output.seek(self._begin)
        return self.output.read()[-TAIL_BYTES:].decode("utf-8", "replace")

    def _hooks(self) -> Sequence[str]:
        """Have git find the hooks of the worktree that this one stands for: a relative folder of
        them may be untracked, and missing here (husky's is).
        """
        if not self.hooks:
            return ("-c", f"core.hooksPath={os.devnull}")
        if "core.hookspath" not in self.shop.settings:
            return ()
        folder = hooks_folder(self.repository.common, self.place, self.shop.settings)
        return ("-c", f"core.hooksPath={folder}")

    @property
    def place(self) -> Path:
        """The worktree that this one stands for: the target's, else the main one."""
        target = self.view.target
        found = target.worktree if target else None
        return found if found and found.is_dir() else self.repository.place
