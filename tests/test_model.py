"""Random days of work: our commands, plain git, edits and kills in any order; nothing is lost.

The user of this model never destroys anything: each edit adds a line of its own, a mark like
`<7>`, to what is there, and none of their git commands throws a file or a commit away. So after
every step each mark must be in a file of a worktree or of the trash, or in an object that git
keeps (`tests/survivors.py`), and our records and git's worktrees must tell the same story.

Sequences are the same in every run. `GIT_PARALLEL_SEQUENCES=N` makes it N of them,
`GIT_PARALLEL_STEPS=N` makes each that long, and `GIT_PARALLEL_SEED=N` makes others; a failure
prints the steps.

Not in here: our hooks, which sweep beside all else at a time of their own (`test_races.py` has
those), and bootstraps. Commands run in processes forked by `tests/resident.py`, runners are real.
"""

import json
import os
import random
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests import survivors
from tests.conftest import Finished, run, until
from tests.doors import Trap
from tests.resident import Ended, Resident, resident

NAMES = ("a", "b", "c")
FILES = ("shared.txt", "shared.txt", "u0.txt", "u1.txt", "deep/u2.txt", "i.local")
STRATEGIES = ("merge", "squash", "rebase", "ff")
QUICK, BATCHES = 50, 20
MANY = int(os.environ.get("GIT_PARALLEL_SEQUENCES") or 2_000)
STEPS = int(os.environ.get("GIT_PARALLEL_STEPS") or 8)
SEED = int(os.environ.get("GIT_PARALLEL_SEED") or 1)
LONG_AGO_S = 300.0

which = st.integers(0, 5)  # of the tasks that there are; of all worktrees, the main one too
file = st.sampled_from(FILES)
CHANGING: tuple[str, ...] = (
    "commit",
    "commit -f",
    "stage",
    "hide",
    "skip",
    "stash",
    "stash pop",
    "revert",
)
MOVING: tuple[str, ...] = (
    "switch new",
    "switch detach",
    "switch back",
    "reset --soft",
    "reset --mixed",
)
MOVING += ("reset --keep", "rename", "rename back")
KEEPING = ("gc", "prune", "lock", "unlock", "tag")
crash = st.tuples(
    st.sampled_from(("start", "merge", "remove", "undo", "cleanup", "rebase", "remove", "undo")),
    st.integers(1, 40),
    st.booleans(),
)


class Days(RuleBasedStateMachine):
    """One repository, its user and us."""

    server: Resident
    template: Path
    room: Path

    def __init__(self) -> None:
        super().__init__()
        self.top = Path(tempfile.mkdtemp(prefix="day-", dir=self.room)) / "repo"
        shutil.copytree(self.template, self.top, symlinks=True)
        self.git_dir = self.top / ".git"
        self.state = self.git_dir / "parallel" / ".state"
        self.written: set[str] = set()
        self.commits: set[str] = set()
        self.hidden: set[Path] = set()
        self.resting: dict[str, dict[str, bytes]] = {}
        self.runs = 0
        self.story: list[str] = []

    # What we and git are asked to do

    def git(self, folder: Path, *words: str) -> Finished:
        done = run("git", *words, cwd=folder, ok=None)
        self.story.append(f"git {' '.join(words)}  # in {folder.name}: {done.returncode}")
        return done

    def ours(self, *words: str, trap: Trap | None = None) -> Ended:
        """Run a command of ours: it succeeds or refuses in words, and what it moved is whole."""
        self._pass_time()
        before = {path: survivors.files(path) for path in self._worktrees()}
        known = self._trash()
        ended = self.server.call(self.top, *words, trap=trap)
        killed = f", killed at {trap.at}" if trap else ""
        self.story.append(f"git parallel {' '.join(words)}  # {ended.code}{killed}: {ended.err}")
        allowed = (0, 1, -signal.SIGKILL) if trap else (0, 1)
        assert ended.code in allowed, self.tell(ended)
        assert ended.code != 1 or ended.err, self.tell(ended)
        if ended.code == -signal.SIGKILL:
            until(self._quiet)
            self._check_marks()  # before anybody mends anything
            self.server.call(self.top, "list")
        now = self._trash()
        for one, journal in now.items():
            if one not in known and journal["path"]:
                self.resting[one] = before.get(Path(journal["path"]), {})
                self._check_evidence(journal)
        for one, journal in known.items():
            if one not in now and one in self.resting:
                there = survivors.files(Path(journal["path"]))
                assert there == self.resting.pop(one), self.tell(one)
        return ended

    def tell(self, what: object) -> str:
        return "\n".join([*self.story, str(what)])

    def _quiet(self) -> bool:
        """Whether nothing goes on: no git of a killed command, no runner that tidies up."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{pid}/cwd").startswith(str(self.top.parent)):
                    return False
            except OSError:
                continue
        return True

    def _pass_time(self) -> None:
        """Make all files a few minutes old: the sweep spares where somebody is just at work."""
        for path in self._worktrees():
            for there in (path, *path.rglob("*")):
                stat = there.lstat()
                if there.name != ".git" and not there.is_symlink():
                    old = stat.st_mtime - LONG_AGO_S
                    os.utime(there, (old, old))

    def _worktrees(self) -> list[Path]:
        pointers = sorted((self.git_dir / "worktrees").glob("*/gitdir"))
        found = [Path(p.read_text().strip()).parent for p in pointers]
        return [path for path in found if path.is_dir()]

    def _trash(self) -> dict[str, Any]:
        found = sorted((self.state / "trash").glob("*/journal.json"))
        return {path.parent.name: json.loads(path.read_bytes()) for path in found}

    def at(self, where: int) -> Path:
        """One of the worktrees."""
        places = [self.top, *(path for path in self._worktrees() if path.parent.name != ".trash")]
        return places[where % len(places)]

    def task(self, which: int) -> str:
        """One of the tasks, or a name where there is none."""
        found = sorted(path.parent.name for path in self.state.glob("tasks/*/task.json"))
        return found[which % len(found)] if found else NAMES[which % len(NAMES)]

    def mark(self) -> str:
        self.written.add(f"<{len(self.written)}>")
        return f"<{len(self.written) - 1}>"

    # The user edits

    @initialize(file=file)
    def begin(self, file: str) -> None:
        self.ours("start", "a", "--no-bootstrap")
        self.work(1, file, forced=True)

    @rule(where=which, file=file, above=st.booleans())
    def write(self, where: int, file: str, above: bool) -> None:
        path = self.at(where) / file
        path.parent.mkdir(exist_ok=True)
        old = path.read_text() if path.exists() else ""
        new = f"{self.mark()}\n"
        path.write_text(new + old if above else old + new)
        self.story.append(f"write {new.strip()} to {path.relative_to(self.top.parent)}")

    @rule(where=which, file=file, forced=st.booleans())
    def work(self, where: int, file: str, forced: bool) -> None:
        """Write and commit: most of what people do."""
        self.write(where, file, above=False)
        self.git(self.at(where), "add", "-A")
        self._commit(self.at(where), forced=forced)

    def _commit(self, folder: Path, *, forced: bool) -> None:
        if forced and (folder / "i.local").exists():
            self.git(folder, "add", "-f", "i.local")
        if self.git(folder, "commit", "-qam", f"Commit {len(self.story)}").returncode == 0:
            self.commits.add(run("git", "rev-parse", "HEAD", cwd=folder).stdout.strip())

    # The user works with plain git

    @rule(where=which, what=st.sampled_from(CHANGING))
    def change_by_git(self, where: int, what: str) -> None:
        self._use_git(where, what)

    @rule(where=which, what=st.sampled_from(MOVING))
    def move_by_git(self, where: int, what: str) -> None:
        self._use_git(where, what)

    @rule(where=which, what=st.sampled_from(KEEPING))
    def keep_house_by_git(self, where: int, what: str) -> None:
        self._use_git(where, what)

    def _use_git(self, where: int, what: str) -> None:
        folder, (verb, _, more) = self.at(where), what.partition(" ")
        if verb == "commit":
            self._commit(folder, forced=more == "-f")
        elif verb in ("hide", "skip"):
            self._hide(where, "--assume-unchanged" if verb == "hide" else "--skip-worktree")
        elif verb in ("switch", "stash", "reset", "revert"):
            # Git writes over what it was told to overlook.
            if folder not in self.hidden and (verb == "switch" or not self._ignores(folder)):
                self._change(folder, verb, more)
        elif verb in ("lock", "unlock", "prune"):
            self.git(self.top, "worktree", verb, *([] if verb == "prune" else [str(folder)]))
        elif verb == "rename":
            names = f"renamed-{folder.name}", f"parallel/{folder.name}"
            self.git(self.top, "branch", "-m", *(names if more else reversed(names)))
        else:
            gc = ("gc", "--quiet", "--prune=now")
            words = {"gc": gc, "stage": ("add", "-A"), "tag": ("tag", f"t{len(self.story)}")}
            self.git(folder, *words[verb])

    def _hide(self, where: int, flag: str) -> None:
        if self.git(self.at(where), "update-index", flag, "shared.txt").returncode == 0:
            self.hidden.add(self.at(where))
            self.write(where, "shared.txt", above=False)

    def _ignores(self, folder: Path) -> bool:
        """Whether an ignored file lies there that git may write over without a word: only `switch`
        can be told not to (and `merge`, but there git 2.39 minds it in a fast-forward only).
        """
        if not (folder / "i.local").exists():
            return False
        return not run("git", "ls-files", "i.local", cwd=folder).stdout

    def _change(self, folder: Path, verb: str, more: str) -> None:
        branch = "main" if folder == self.top else f"parallel/{folder.name}"
        side = {"new": ("-c", f"side-{len(self.story)}"), "detach": ("--detach",)}
        words = {
            "switch": ("--quiet", "--no-overwrite-ignore", *side.get(more, (branch,))),
            "reset": ("--quiet", more, "HEAD~1"),
            "revert": ("--no-edit", "HEAD"),
            "stash": (more,) if more else (),
        }
        if self.git(folder, verb, *words[verb]).returncode and verb == "revert":
            self.git(folder, "revert", "--abort")

    @rule(which=which, how=st.sampled_from(("--no-ff", "--ff", "--squash", "-Xours", "pick")))
    def merge_by_hand(self, which: int, how: str) -> None:
        if self.top in self.hidden or self._ignores(self.top):
            return
        branch = f"parallel/{self.task(which)}"
        quiet = ("--no-overwrite-ignore", "--no-edit", "--quiet")
        words = ("merge", *quiet, how) if how != "pick" else ("cherry-pick",)
        done = self.git(self.top, *words, branch)
        if done.returncode and (self.git_dir / "MERGE_HEAD").exists():
            self.git(self.top, "merge", "--abort")
        elif done.returncode and how == "pick":
            self.git(self.top, "cherry-pick", "--abort")
        elif how == "--squash":
            self.git(self.top, "commit", "-qm", f"Squash {branch}")

    # The user works with us

    @rule(base=st.sampled_from((0, 0, 0, 1, 2)), again=st.booleans(), carry=st.booleans())
    def start(self, base: int, again: bool, carry: bool) -> None:
        new = [one for one in NAMES if not (self.state / "tasks" / one).exists()]
        words = [f"parallel/{self.task(base)}"] if base else []
        name = NAMES[base] if again or not new else new[0]
        self.ours("start", name, *words, "--no-bootstrap", *(["--carry"] if carry else []))

    @precondition(lambda self: self.runs < 1)
    @rule(which=which, file=file, commits=st.booleans())
    def run_to_its_end(self, which: int, file: str, commits: bool) -> None:
        commit = " && git add -f . && git commit -qm run" if commits else ""
        self._run(self.task(which), file, commit, "--wait")
        until(self._quiet)

    @precondition(lambda self: self.runs < 1)
    @rule(which=which, file=file, stop=st.booleans())
    def run_killed(self, which: int, file: str, stop: bool) -> None:
        """Its command lives on, and everything keeps away from it until it is stopped."""
        name = self.task(which)
        if self._run(name, file, "; sleep 60") and not stop:
            record = max((self.state / "tasks" / name).glob("run-*.json"))
            os.kill(json.loads(record.read_bytes())["pid"], signal.SIGKILL)
            until(lambda: not self._alive())
            self.ours("remove", name)
            assert (self.state / "tasks" / name).exists(), self.tell("removed below a process")
        if (self.state / "tasks" / name).exists():
            assert self.ours("stop", name).code == 0
        until(self._quiet)

    def _run(self, name: str, file: str, after: str, *options: str) -> bool:
        """Run a command that writes; returns whether it did."""
        self.runs += 1
        wrote = Path(tempfile.mkdtemp(dir=self.room)) / "wrote"
        script = f"mkdir -p deep; echo '{self.mark()}' >> {file}; touch {wrote}{after}"
        verb = "run" if (self.state / "tasks" / name).exists() else "start"
        words = (verb, name, "--no-bootstrap", *options, "--", "sh", "-c", script)
        self.ours(*words)
        until(lambda: wrote.exists() or not self._alive())
        if not wrote.exists():
            self.written.discard(f"<{len(self.written) - 1}>")
        return wrote.exists()

    def _alive(self) -> bool:
        tasks = json.loads(self.server.call(self.top, "list", "--json").out)["tasks"]
        return any(t["status"] in ("queued", "preparing", "running") for t in tasks)

    @rule(which=which, strategy=st.sampled_from(STRATEGIES))
    def merge(self, which: int, strategy: str) -> None:
        self.ours("merge", self.task(which), "--strategy", strategy)

    @rule(which=which, delete=st.booleans())
    def remove(self, which: int, delete: bool) -> None:
        self.ours("remove", self.task(which), *(["--delete-branch"] if delete else []))

    @precondition(lambda self: self._trash())
    @rule(which=which)
    def undo(self, which: int) -> None:
        ids = list(self._trash())
        self.ours("undo", *([ids[which % len(ids)]] if which else []))

    @rule(which=which, what=st.sampled_from(("clean", "list", "judge", "rebase", "rebase, no")))
    def consult(self, which: int, what: str) -> None:
        name = self.task(which)
        words = {
            "clean": ("cleanup",),
            "list": ("list", "--all"),
            "judge": ("review", name, *(("--reject", "-m", "no") if which % 2 else ("--accept",))),
        }
        done = self.ours(*words.get(what, ("rebase", name)))
        if "stopped at conflicts" in done.err and what == "rebase, no":
            self.git(self.top.parent / "repo.parallel" / name, "rebase", "--abort")

    @rule(which=which, crash=crash)
    def crash(self, which: int, crash: tuple[str, int, bool]) -> None:
        command, at, after = crash
        more = {"start": ("--no-bootstrap",), "remove": ("--delete-branch",)}
        words = [NAMES[which % 3] if command == "start" else self.task(which)]
        words = [] if command in ("cleanup", "undo") else words
        self.ours(command, *words, *more.get(command, ()), trap=Trap(at=at, after=after))

    # What must hold

    def _check_marks(self) -> None:
        """Everything that was ever written is there."""
        with survivors.Objects(self.git_dir) as objects:
            there, marks = objects.reachable(survivors.roots(self.git_dir))
        for folder in (self.top, self.top.parent / "repo.parallel"):
            for content in survivors.files(folder).values():
                marks |= survivors.tokens(content)
        assert not self.written - marks, self.tell(f"lost: {self.written - marks}")
        assert not self.commits - there, self.tell(f"lost commits: {self.commits - there}")

    def _check_evidence(self, journal: Any) -> None:
        """What the sweep took was merged: all of it is in the history of its target."""
        if journal["why"] in ("removed", "its start was interrupted") or not journal["tip"]:
            return
        record = json.loads((self.state / "trash" / journal["id"] / "task/task.json").read_bytes())
        moved = self.state / "trash" / journal["id"] / "task" / "retarget.json"
        target = json.loads(moved.read_bytes())["target"] if moved.exists() else record["target"]
        tip = survivors.tip_of(self.git_dir, f"refs/heads/{target}")
        with survivors.Objects(self.git_dir) as objects:
            _, mine = objects.reachable([journal["tip"]])
            _, theirs = objects.reachable([tip or ""])
        assert not mine - theirs, self.tell(f"{journal['name']} was not merged: {mine - theirs}")

    def check(self) -> None:
        """All that must hold after every step."""
        self._check_marks()
        assert not survivors.disagreements(self.git_dir), self.tell(
            survivors.disagreements(self.git_dir)
        )

    def check_invariants(self, *words: Any) -> None:
        """Called by hypothesis after each step; what it prints for a failure is in the story."""
        super().check_invariants(*words)
        self.check()

    def teardown(self) -> None:
        done = run("git", "fsck", "--strict", "--no-dangling", cwd=self.top, ok=None)
        assert (done.returncode, done.stdout) == (0, ""), self.tell(done)
        shutil.rmtree(self.top.parent, ignore_errors=True)


@pytest.fixture
def days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Days]]:
    """The machine in a room of its own, with a repository to copy."""
    for name in ("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"):  # of old reflogs `gc` drops the entries
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_PARALLEL_HOOKS", "off")
    template = tmp_path / "template"
    template.mkdir()
    run("git", "init", "--quiet", cwd=template)
    (template / "shared.txt").write_text("one\ntwo\nthree\n")
    (template / ".gitignore").write_text("*.local\n")
    run("git", "add", ".", cwd=template)
    run("git", "commit", "--quiet", "-m", "Begin", cwd=template)
    with resident() as server:
        server.call(template, "hooks", "uninstall")
        yield type("Days", (Days,), {"server": server, "template": template, "room": tmp_path})


def live(days: type[Days], number: int, *, batch: int) -> None:
    """Let so many sequences happen; a batch is always the same ones."""
    wanted = settings(
        max_examples=number,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        verbosity=Verbosity.quiet,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    chosen = random.Random(f"{SEED}/{batch}").randrange(1 << 32)
    run_state_machine_as_test(seed(chosen)(days), settings=wanted)


def test_nothing_is_lost_in_fifty_days(days: type[Days]) -> None:
    live(days, QUICK, batch=0)


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(1, BATCHES + 1))
def test_nothing_is_lost_in_thousands_of_days(days: type[Days], batch: int) -> None:
    live(days, -(-MANY // BATCHES), batch=batch)
