"""Killed, failed or held at every door: the next command explains what is there, nothing is gone.

`tests/doors.py` counts the doors of a process: its writes, renames, fsyncs, unlinks and spawns. The
quick tests take a few of them, the slow ones go on until a command comes through untouched.
"""

import contextlib
import errno
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from git_parallel.lock import Lock, is_held
from tests import survivors
from tests.conftest import Repo, mostly_slow, run, until
from tests.doors import Trap
from tests.resident import Ended, Resident, resident

KILLED = -signal.SIGKILL
PARTS = 4
EVERY = 3  # of the doors, where all of them take too long


@pytest.fixture(scope="module")
def server() -> Iterator[Resident]:
    with resident() as found:
        yield found


class Place:
    """A repository with tasks, that can be made anew for each door."""

    def __init__(self, server: Resident, template: Path) -> None:
        self.server = server
        self.top = Path(tempfile.mkdtemp(prefix="place-", dir=template.parent)) / "repo"
        shutil.copytree(template, self.top, symlinks=True)
        self.git_dir = self.top / ".git"
        self.home = self.top.parent / "repo.parallel"
        self.written: set[str] = set()

    def git(self, *words: str, at: Path | None = None) -> str:
        return run("git", *words, cwd=at or self.top, ok=None).stdout.strip()

    def call(self, *words: str, trap: Trap | None = None) -> Ended:
        return self.server.call(self.top, *words, trap=trap)

    def write(self, path: Path) -> None:
        self.written.add(f"<{len(self.written)}>")
        with path.open("a") as file:
            file.write(f"<{len(self.written) - 1}>\n")

    def task(self, name: str) -> Path:
        """A task with a commit, an ignored file and a stash."""
        assert self.call("start", name, "--no-bootstrap").code == 0
        path = self.home / name
        self.write(path / "readme.txt")
        self.git("stash", at=path)
        self.write(path / f"{name}.txt")
        self.write(path / "mine.local")
        self.git("add", ".", at=path)
        self.git("commit", "-qm", f"Make {name}", at=path)
        return path

    def halves(self) -> list[Path]:
        """What says of a task that its `start` is not through."""
        return sorted(self.git_dir.glob("parallel/.state/tasks/*/making.json"))

    def names(self) -> list[str]:
        done = self.call("list", "--json")
        assert done.code == 0, done
        return [task["name"] for task in json.loads(done.out)["tasks"]]

    def names_of_all(self) -> list[str]:
        """The names of all tasks, in the trash or not."""
        state = self.git_dir / "parallel" / ".state"
        records = [*state.glob("tasks/*/task.json"), *state.glob("trash/*/task/task.json")]
        return sorted(json.loads(path.read_bytes())["name"] for path in records)

    def rests(self) -> bool:
        """Whether nothing that a dead process spawned goes on."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/cwd").startswith(str(self.top.parent)):
                    return False
        return True

    def lost(self) -> set[str]:
        """What was written and is nowhere."""
        with survivors.Objects(self.git_dir) as objects:
            _, marks = objects.reachable(survivors.roots(self.git_dir))
        for folder in {self.top.parent, self.home}:
            for content in survivors.files(folder).values():
                marks |= survivors.tokens(content)
        return self.written - marks

    def explained(self) -> None:
        """Nothing is gone, `list` is whole, and records and worktrees agree after it."""
        assert not self.lost()
        done = self.call("list", "--all")
        assert done.code == 0, done
        assert survivors.disagreements(self.git_dir) == []
        assert not self.lost()
        assert self.git("fsck", "--strict", "--no-dangling") == ""


@pytest.fixture
def template(tmp_path: Path, server: Resident) -> Path:
    path = tmp_path / "template"
    path.mkdir()
    repo = Repo(path)
    repo.git("init", "--quiet")
    repo.write(".gitignore", "*.local\n")
    repo.git("add", ".gitignore")
    repo.commit("readme.txt", "one\ntwo\nthree\n", "Begin")
    server.call(path, "hooks", "uninstall")
    return path


Scene = Callable[[Place], Any]


def _start(place: Place) -> None:
    place.task("other")


def _one(place: Place) -> None:
    place.task("x")


def _diverged(place: Place) -> None:
    place.task("x")
    place.task("child")
    place.write(place.top / "main.txt")
    place.git("add", ".")
    place.git("commit", "-qm", "Go on")


def _removed(place: Place) -> None:
    place.task("x")
    assert place.call("remove", "x", "--delete-branch").code == 0


def _merged(place: Place) -> None:
    path = place.task("x")
    place.git("merge", "-q", "--no-ff", "--no-edit", "parallel/x")
    (path / "mine.local").rename(place.top / "mine.local")
    for there in (path, *path.rglob("*")):
        os.utime(there, (1, 1))


def _landed(place: Place) -> None:
    """A merge of ours that changed, deleted and added files, and whose task went away."""
    place.write(place.top / "old.txt")
    place.git("add", ".")
    place.git("commit", "-qm", "Have something old")
    path = place.task("x")
    place.git("rm", "-q", "old.txt", at=path)
    place.write(path / "readme.txt")
    place.git("commit", "-qam", "Change and delete", at=path)
    place.write(place.top / "main.txt")
    place.git("add", ".")
    place.git("commit", "-qm", "Go on")
    (path / "mine.local").rename(place.top / "mine.local")
    for there in (path, *path.rglob("*")):
        os.utime(there, (1, 1))
    assert place.call("merge", "x").code == 0
    assert not path.exists()


def _theirs(place: Place) -> None:
    path = place.home / "theirs"
    place.git("worktree", "add", "-q", "-b", "theirs", str(path))
    place.write(path / "draft.local")


def _without_files(place: Place) -> Path:
    """A task x all of whose files are elsewhere too."""
    path = place.task("x")
    (path / "mine.local").rename(place.top / "mine.local")
    return path


def _deleted(place: Place) -> None:
    shutil.rmtree(_without_files(place))


def _pruned(place: Place) -> None:
    _deleted(place)
    place.git("worktree", "prune")


def _unmarked(place: Place) -> None:
    place.task("x")
    (place.git_dir / "worktrees" / "x" / "parallel-task").unlink()
    (place.git_dir / "parallel" / "x").unlink()


def _cut_off(place: Place) -> None:
    (place.task("x") / ".git").write_text("gitdir: /nowhere/worktrees/x\n")


def _renamed(place: Place) -> None:
    place.task("x")
    place.git("branch", "-m", "parallel/x", "better")


def _branchless(place: Place) -> None:
    place.task("x")
    place.git("update-ref", "-d", "refs/heads/parallel/x")


def _half(scene: Scene, at: int, *words: str) -> Scene:
    """A scene in which a command was killed at a door."""

    def be(place: Place) -> None:
        scene(place)
        assert place.call(*words, trap=Trap(at=at)).code == KILLED
        until(place.rests)

    return be


def _locked_by_the_dead(place: Place) -> None:
    lock = place.git_dir / "worktrees" / place.task("x").name / "index.lock"
    lock.touch()
    os.utime(lock, (1, 1))


def _copied(place: Place) -> None:
    """The copy of a repository and of its home, at the place of which the rest goes on."""
    place.task("x")
    place.task("gone")
    assert place.call("remove", "gone").code == 0
    copy = place.top.parent / "copy"
    copy.mkdir()
    for folder in (place.top, place.home):
        shutil.copytree(folder, copy / folder.name, symlinks=True)
    place.top, place.git_dir = copy / "repo", copy / "repo" / ".git"
    place.home = copy / "repo.parallel"


FIX = ("doctor", "--fix", "--json")
MENDED: dict[str, tuple[Scene, tuple[str, ...]]] = {
    "adopt": (_theirs, ("adopt", "../repo.parallel/theirs")),
    "a worktree that was deleted": (_deleted, FIX),
    "a worktree that was pruned": (_pruned, FIX),
    "a worktree without its mark": (_unmarked, FIX),
    "a worktree that leads nowhere": (_cut_off, FIX),
    "a branch that was renamed": (_renamed, FIX),
    "a branch that was deleted": (_branchless, FIX),
    "a removal that was killed": (_half(_one, 34, "remove", "x", "--delete-branch"), FIX),
    "an undo that was killed": (_half(_removed, 22, "undo", "x"), FIX),
    "an undo of a merge that was killed": (_half(_landed, 18, "undo", "--merge", "x"), FIX),
    "a lock of a git that died": (_locked_by_the_dead, FIX),
    "a copy": (_copied, FIX),
}


COMMANDS: dict[str, tuple[Scene, tuple[str, ...]]] = {
    "start": (_start, ("start", "x", "--no-bootstrap")),
    "start-run": (_start, ("start", "x", "--no-bootstrap", "--", "true")),
    "run": (_one, ("run", "x", "--no-bootstrap", "--", "true")),
    "merge": (_diverged, ("merge", "x")),
    "squash": (_diverged, ("merge", "x", "--strategy", "squash")),
    "rebase": (_diverged, ("rebase", "x")),
    "remove": (_one, ("remove", "x", "--delete-branch")),
    "undo": (_removed, ("undo", "x")),
    "undo-merge": (_landed, ("undo", "--merge", "x")),
    "cleanup": (_merged, ("cleanup",)),
    "list": (_merged, ("list",)),
}
# What the same command says where it had come to its end, or nearly, before it was killed.
SAYS = {
    "start": ("there is a task `x` already",),
    "start-run": ("there is a task `x` already",),
    "run": ("its `start` was interrupted",),
    "merge": ("there is no task `x`", "it is merged already"),
    "squash": ("there is no task `x`", "it is merged already"),
    "rebase": ("",),
    "remove": ("there is no task `x`",),
    "undo": ("the trash is empty", "is not in the trash"),
    "undo-merge": ("no merge of `x` by git parallel is known",),
}


def diagnosed(place: Place) -> list[dict[str, Any]]:
    """What `doctor` says holds up work; what it names has a reason and a way out."""
    done = place.call("doctor", "--json")
    found: list[dict[str, Any]] = json.loads(done.out)["findings"]
    matter = [one for one in found if one["matters"]]
    assert done.code == (1 if matter else 0), done
    assert all(one["why"] and one["command"] for one in found), found
    return matter


def mend(place: Place, *, doctor_first: bool) -> None:
    """The next thing that a person does, and what must hold then: `doctor --fix` leaves nothing but
    starts that were killed, which a person has to do again or remove, and names them.
    """
    if doctor_first:
        done = place.call("doctor", "--fix", "--json")
        assert done.code in (0, 1) and "a bug of" not in done.err, done
        assert survivors.disagreements(place.git_dir) == []
        left = diagnosed(place)
        half = [path.parent.name for path in place.halves()]
        assert [one["kind"] for one in left] == ["interrupted"] * len(half), left
        assert {one["command"] for one in left} == {f"git parallel remove {n}" for n in half}
        assert place.git("status", "--porcelain") == ""
    place.explained()


def kill(server: Resident, template: Path, what: str, at: int, *, after: bool) -> bool:
    """Kill a command at a door, and go on; returns whether there was such a door."""
    scene, words = COMMANDS[what]
    place = Place(server, template)
    scene(place)
    code = place.call(*words, trap=Trap(at=at, after=after)).code
    until(place.rests)
    mend(place, doctor_first=after)
    again = place.call(*words)
    assert again.code == 0 or any(said in again.err for said in SAYS[what]), again
    until(place.rests)
    mend(place, doctor_first=False)
    assert place.git("status", "--porcelain") == ""
    assert code in (0, KILLED), code
    shutil.rmtree(place.top.parent, ignore_errors=True)
    return code == KILLED


@pytest.mark.parametrize("at", [5, 11, 17])
@pytest.mark.parametrize("what", ["start", "merge", "remove", "undo"])
def test_a_command_killed_at_a_door_is_done_again(
    server: Resident, template: Path, what: str, at: int
) -> None:
    kill(server, template, what, at, after=at % 2 == 0)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("what", COMMANDS)
def test_a_command_killed_at_every_door_is_done_again(
    server: Resident, template: Path, what: str, part: int
) -> None:
    for at in itertools.count(1 + part, PARTS):
        there = [kill(server, template, what, at, after=after) for after in (False, True)]
        if not any(there):
            assert at > PARTS, "no door was counted"
            return


def kill_mending(server: Resident, template: Path, what: str, at: int, *, after: bool) -> bool:
    """The same with what mends, and once more; returns whether there was such a door."""
    scene, words = MENDED[what]
    place = Place(server, template)
    scene(place)
    before = place.names_of_all()
    code = place.call(*words, trap=Trap(at=at, after=after)).code
    until(place.rests)
    assert not place.lost()
    mend(place, doctor_first=True)
    again = place.call(*words)
    assert again.code == 0 or "is the task `theirs` already" in again.err, again
    mend(place, doctor_first=True)
    assert place.names_of_all() == (before or ["theirs"])
    for name in place.names():
        assert place.git("status", "--porcelain", at=place.home / name) == "", name
    assert code in (0, KILLED), code
    shutil.rmtree(place.top.parent, ignore_errors=True)
    return code == KILLED


@pytest.mark.parametrize(
    ("what", "at"),
    [("adopt", 14), ("a worktree that was deleted", 21), ("a removal that was killed", 20)],
)
def test_what_mends_is_killed_and_mends_again(
    server: Resident, template: Path, what: str, at: int
) -> None:
    assert kill_mending(server, template, what, at, after=True)


@pytest.mark.slow
@pytest.mark.parametrize("what", MENDED)
def test_what_mends_is_killed_at_many_doors_and_mends_again(
    server: Resident, template: Path, what: str
) -> None:
    for at in itertools.count(2, EVERY):
        if not kill_mending(server, template, what, at, after=False):
            assert at > EVERY, "no door was counted"
            return


def kill_runner(server: Resident, template: Path, at: int, *, after: bool) -> bool:
    """Kill a runner at a door; returns whether there was such a door."""
    place = Place(server, template)
    place.written.add("<0>")
    script = "echo '<0>' >> new.txt; echo '<0>' >> mine.local"
    words = ("x", "--no-bootstrap", "--", "sh", "-c", script)
    assert place.call("start", *words, trap=Trap(at=at, after=after, runner=True)).code == 0
    record = place.git_dir / "parallel/.state/tasks/x/run-1.json"
    until(place.rests)
    known = json.loads(record.read_bytes())
    if not (place.home / "x" / "new.txt").exists():
        place.written.clear()
    place.explained()
    status = json.loads(place.call("list", "--json").out)["tasks"][0]
    if known["phase"] != "ended":
        assert status["status"] == "lost", status
        assert status["reason"]
        words_again = (
            ("run", *words) if "interrupted" not in status["reason"] else ("start", *words)
        )
        assert place.call("stop", "x").code == 0
        assert place.call(*words_again).code == 0
        until(place.rests)
        status = json.loads(place.call("list", "--json").out)["tasks"][0]
    assert status["status"] == "ready", status
    place.explained()
    shutil.rmtree(place.top.parent, ignore_errors=True)
    return bool(known["phase"] != "ended")


@pytest.mark.slow
@pytest.mark.parametrize("at", [4, 13, 22])
def test_a_runner_killed_at_a_door_is_lost_and_can_run_again(
    server: Resident, template: Path, at: int
) -> None:
    kill_runner(server, template, at, after=False)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_a_runner_killed_at_every_door_is_lost_and_can_run_again(
    server: Resident, template: Path, part: int
) -> None:
    met = 0
    for at in range(1 + part, 60, PARTS):
        met += kill_runner(server, template, at, after=part % 2 == 0)
    assert met


# Two at once: one is held at a door while the other does what it can

PAIRS: dict[str, tuple[Scene, tuple[str, ...], tuple[str, ...]]] = {
    "start, start": (_start, ("start", "x", "--no-bootstrap"), ("start", "x", "--no-bootstrap")),
    "start, remove": (_start, ("start", "x", "--no-bootstrap"), ("remove", "x")),
    "start, list": (_start, ("start", "x", "--no-bootstrap"), ("cleanup",)),
    "remove, start": (_one, ("remove", "x", "--delete-branch"), ("start", "x", "--no-bootstrap")),
    "remove, run": (_one, ("remove", "x"), ("run", "x", "--no-bootstrap", "--", "true")),
    "remove, merge": (_diverged, ("remove", "x"), ("merge", "x")),
    "remove, rebase": (_diverged, ("remove", "x"), ("rebase", "x")),
    "remove, list": (_one, ("remove", "x"), ("list",)),
    "merge, remove": (_diverged, ("merge", "x"), ("remove", "x")),
    "merge, merge": (_diverged, ("merge", "x"), ("merge", "child")),
    "merge, rebase": (_diverged, ("merge", "x"), ("rebase", "x")),
    "undo, undo": (_removed, ("undo", "x"), ("undo", "x")),
    "undo, start": (_removed, ("undo", "x"), ("start", "x", "--no-bootstrap")),
    "cleanup, run": (_merged, ("cleanup",), ("run", "x", "--no-bootstrap", "--", "true")),
    "cleanup, cleanup": (_merged, ("cleanup",), ("cleanup",)),
    "run, cleanup": (_merged, ("run", "x", "--no-bootstrap", "--", "true"), ("cleanup",)),
    "run, remove": (_one, ("run", "x", "--no-bootstrap", "--", "true"), ("remove", "x")),
    "run, run": (
        _one,
        ("run", "x", "--no-bootstrap", "--", "true"),
        ("run", "x", "--no-bootstrap", "--", "true"),
    ),
    "run, stop": (_one, ("run", "x", "--no-bootstrap", "--", "true"), ("stop", "x")),
    "stop, run": (_one, ("stop", "x"), ("run", "x", "--no-bootstrap", "--", "true")),
    "stop, remove": (_one, ("stop", "x"), ("remove", "x")),
    "remove, stop": (_one, ("remove", "x"), ("stop", "x")),
    "remove, remove": (_one, ("remove", "x"), ("remove", "x")),
}
BESIDE_S = 0.4


class Held:
    """A command that waits at a door, if there is one of that number."""

    def __init__(self, place: Place, at: int, *words: str) -> None:
        self._reached, self._go = place.top.parent / "reached", place.top.parent / "go"
        trap = Trap(kind="hold", at=at, reached=str(self._reached), go=str(self._go))
        self._call = place.server.begin(place.top, *words, trap=trap)
        until(lambda: self._reached.exists() or self._call.has_ended())
        self.there = self._reached.exists()

    def let_go(self) -> Ended:
        self._go.touch()
        return self._call.ended()


def hold(server: Resident, template: Path, what: str, at: int) -> bool:
    """Hold one command at a door for as long as another one takes, or has to wait for it; returns
    whether there was such a door.
    """
    scene, one, other = PAIRS[what]
    place = Place(server, template)
    scene(place)
    held = Held(place, at, *one)
    beside = server.begin(place.top, *other)
    with contextlib.suppress(AssertionError):  # it waits for a lock: then both go on
        until(beside.has_ended, limit_s=BESIDE_S)
    ends = [held.let_go(), beside.ended()]
    until(place.rests)
    for end in ends:
        assert end.code in (0, 1), (what, at, ends)
        assert (end.code == 1) == ("✗" in end.err), (what, at, ends)
        assert "Errno" not in end.err and "No such file" not in end.err, (what, at, ends)
    if what == "start, start":
        assert sorted(end.code for end in ends) == [0, 1], (at, ends)
    place.explained()
    shutil.rmtree(place.top.parent, ignore_errors=True)
    return held.there


@pytest.mark.parametrize(
    ("what", "at"),
    [("start, start", 12), ("remove, run", 8), ("merge, remove", 9), ("undo, undo", 4)],
)
def test_two_commands_at_once_agree(server: Resident, template: Path, what: str, at: int) -> None:
    assert hold(server, template, what, at)


@pytest.mark.slow
@pytest.mark.parametrize("what", PAIRS)
def test_two_commands_at_once_agree_at_every_door(
    server: Resident, template: Path, what: str
) -> None:
    met = 0
    for at in itertools.count(1):
        if not hold(server, template, what, at):
            break
        met += 1
    assert met or what.startswith("stop")


@pytest.mark.parametrize("at", mostly_slow(range(1, 19), quick=[12, 15]))
def test_a_start_that_fails_deletes_only_what_is_its_own(
    server: Resident, template: Path, at: int
) -> None:
    """Whatever comes to stand in its place meanwhile."""
    place = Place(server, template)
    place.task("other")
    held = Held(place, at, "start", "x", "--no-bootstrap")
    theirs = place.home / "x"
    assert not theirs.exists(), "it is too late"
    place.git("worktree", "add", "-q", "-b", "mine", str(theirs))
    place.write(theirs / "mine.local")
    done = held.let_go()
    assert done.code == 1, done
    assert not place.lost()
    assert place.git("branch", "--show-current", at=theirs) == "mine"
    place.explained()
    assert place.names() == ["other"]


def test_a_run_refuses_a_task_whose_start_was_interrupted(server: Resident, template: Path) -> None:
    place = Place(server, template)
    seen = False
    for at in range(14, 30):
        code = place.call("start", "x", "--no-bootstrap", trap=Trap(at=at)).code
        until(place.rests)
        if code == KILLED and place.names():
            done = place.call("run", "x", "--", "true")
            assert done.code == 1
            assert done.err == (
                "✗ `x` can't be run: its `start` was interrupted\n↳ git parallel start x\n"
            )
            seen = True
            break
    assert seen
    done = place.call("start", "x", "--no-bootstrap")
    assert done.code == 0
    place.explained()


@pytest.mark.slow
def test_a_task_comes_back_where_a_new_start_of_its_name_was_killed(
    server: Resident, template: Path
) -> None:
    """What that had claimed is deleted, and not the record of what comes back."""
    place = Place(server, template)
    path = place.task("x")
    assert place.call("remove", "x", "--delete-branch").code == 0
    at = itertools.count(1)
    while not place.halves():
        assert place.call("start", "x", "--no-bootstrap", trap=Trap(at=next(at))).code == KILLED
    assert not (place.halves()[0].parent / "task.json").exists()
    assert place.call("undo", "x").code == 0
    place.explained()
    assert place.names() == ["x"]
    assert path.is_dir()


def test_a_lock_whose_folder_moved_while_somebody_waited_is_not_taken(tmp_path: Path) -> None:
    folder = tmp_path / "task"
    folder.mkdir()
    held = Lock.take(folder / "lock")
    assert held
    with ThreadPoolExecutor() as pool:
        waits = pool.submit(Lock.take, folder / "lock", wait_s=30)
        until(lambda: len(os.listdir("/proc/self/fd")) > 0 and is_held(folder / "lock"))
        folder.rename(tmp_path / "gone")
        held.release()
        with pytest.raises(FileNotFoundError):
            waits.result()


# The machine says no

WRITES = "replace rename fsync symlink mkdir open"


def fail(server: Resident, template: Path, what: str, at: int, number: int) -> bool:
    """Have all writes of a command fail from a door on, and go on when that is over; returns
    whether there was such a door.
    """
    scene, words = COMMANDS[what]
    place = Place(server, template)
    scene(place)
    done = place.call(*words, trap=Trap(kind="fail", at=at, number=number, only=WRITES))
    until(place.rests)
    assert done.code in (0, 1), (at, done)
    assert done.code == 0 or ("✗" in done.err and "a bug of" not in done.err), (at, done)
    mend(place, doctor_first=True)
    again = place.call(*words)
    assert again.code == 0 or any(said in again.err for said in SAYS[what]), (at, done, again)
    until(place.rests)
    mend(place, doctor_first=True)
    shutil.rmtree(place.top.parent, ignore_errors=True)
    return done.code != 0


MACHINE = {"full": errno.ENOSPC, "read-only": errno.EROFS, "other": errno.EXDEV}
SAMPLE = [
    ("start", 2, errno.ENOSPC),
    ("start", 6, errno.EDQUOT),
    ("remove", 2, errno.EROFS),
    ("remove", 6, errno.ENOSPC),
    ("undo-merge", 3, errno.EROFS),
]


@pytest.mark.parametrize(("what", "at", "number"), SAMPLE)
def test_a_disk_that_takes_no_more_is_told_and_costs_nothing(
    server: Resident, template: Path, what: str, at: int, number: int
) -> None:
    assert fail(server, template, what, at, number)


@pytest.mark.slow
@pytest.mark.parametrize("why", MACHINE)
@pytest.mark.parametrize("what", [name for name in COMMANDS if name != "list"])
def test_a_machine_that_refuses_every_write_is_told_and_costs_nothing(
    server: Resident, template: Path, what: str, why: str
) -> None:
    quiet = 0  # what is written on the side may fail
    for at in itertools.count(1, EVERY if what == "undo-merge" else 1):
        quiet = 0 if fail(server, template, what, at, MACHINE[why]) else quiet + 1
        if quiet > 3:
            break
    assert at > 4


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    path = tmp_path / "disk"
    path.mkdir()
    made = run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path, cwd=tmp_path, ok=None)
    if made.returncode:
        pytest.skip(f"no disk can be mounted here: {made.stderr.strip()}")
    yield path
    run("umount", "-l", path, cwd=tmp_path)


def test_a_disk_that_is_really_full_costs_nothing(
    server: Resident, template: Path, small_disk: Path
) -> None:
    shutil.copytree(template, small_disk / "repo", symlinks=True)
    place = Place(server, template)
    place.top, place.git_dir = small_disk / "repo", small_disk / "repo" / ".git"
    place.home = small_disk / "repo.parallel"
    place.task("x")
    with contextlib.suppress(OSError), (small_disk / "ballast").open("wb", 0) as ballast:
        while True:
            ballast.write(bytes(1 << 12))
    for words in (("start", "y", "--no-bootstrap"), ("merge", "x"), ("remove", "x")):
        done = place.call(*words)
        assert done.code == 1 and "✗" in done.err and "a bug of" not in done.err, done
        assert not place.lost()
    (small_disk / "ballast").unlink()
    place.explained()
    assert place.names() == ["x"]
    for words in (("start", "y", "--no-bootstrap"), ("remove", "x"), ("undo", "x")):
        assert place.call(*words).code == 0
        place.explained()


@pytest.mark.slow
def test_a_home_on_another_disk_than_the_repository(server: Resident, template: Path) -> None:
    if not os.access("/dev/shm", os.W_OK) or os.stat("/dev/shm").st_dev == template.stat().st_dev:
        pytest.skip("/dev/shm is no other disk")
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="git-parallel-") as other:
        place = Place(server, template)
        place.git("config", "parallel.root", other)
        place.home = Path(other)
        path = place.task("x")
        before = survivors.files(path)
        for words in (("remove", "x", "--delete-branch"), ("undo", "x")):
            assert place.call(*words).code == 0
            place.explained()
        assert survivors.files(path) == before
        shutil.move(path / "mine.local", place.top / "mine.local")
        again: list[tuple[str, ...]] = [("merge", "x"), ("remove", "x"), ("undo", "x")]
        for more in again:
            done = place.call(*more)
            assert done.code == 0, done
        assert survivors.disagreements(place.git_dir) == []


def test_a_disk_that_is_read_only_is_told(
    server: Resident, template: Path, small_disk: Path
) -> None:
    shutil.copytree(template, small_disk / "repo", symlinks=True)
    place = Place(server, template)
    place.top, place.git_dir = small_disk / "repo", small_disk / "repo" / ".git"
    place.home = small_disk / "repo.parallel"
    path = place.task("x")
    before = survivors.files(path)
    run("mount", "-o", "remount,ro", small_disk, cwd=template)
    for words in (("start", "y", "--no-bootstrap"), ("merge", "x"), ("remove", "x")):
        done = place.call(*words)
        assert done.code == 1 and "✗" in done.err and "a bug of" not in done.err, done
    assert place.names() == ["x"]
    run("mount", "-o", "remount,rw", small_disk, cwd=template)
    place.explained()
    assert survivors.files(path) == before
    assert place.names() == ["x"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_nobody_may_write_to_is_told(server: Resident, template: Path) -> None:
    place = Place(server, template)
    place.task("x")
    for folder in (place.git_dir / "parallel" / ".state" / "tasks", place.home):
        folder.chmod(0o555)
        for words in (("start", "y", "--no-bootstrap"), ("remove", "x")):
            done = place.call(*words)
            assert done.code == 1 and "a bug of" not in done.err, done
        folder.chmod(0o755)
        place.explained()
    assert place.names() == ["x"]


DAY_S = 86_400.0


@pytest.mark.parametrize("jump_s", [-400 * DAY_S, -60.0, 60.0, DAY_S])
def test_a_clock_that_jumps_changes_nothing(
    server: Resident, template: Path, jump_s: float
) -> None:
    """Forwards by less than the trash keeps things; backwards by any time."""
    place = Place(server, template)
    path = place.task("x")
    before = survivors.files(path)
    clock = Trap(clock_s=jump_s)
    assert place.call("remove", "x", "--delete-branch", trap=clock).code == 0
    place.explained()
    assert place.call("list", "--all").code == 0
    assert place.call("start", "y", "--no-bootstrap").code == 0
    assert place.call("remove", "y", trap=clock).code == 0
    assert place.call("cleanup", trap=clock).code == 0
    until(place.rests)
    assert place.call("undo", "x").code == 0
    assert survivors.files(path) == before
    place.explained()


@pytest.mark.slow
@pytest.mark.parametrize("jump_s", [-30 * DAY_S, 30 * DAY_S])
def test_a_clock_that_jumps_while_something_runs_ends_nothing(
    server: Resident, template: Path, jump_s: float
) -> None:
    """It was wrong by so much when the run began, and is right from when the runner rests on."""
    place = Place(server, template)
    script = "until test -e ../go; do sleep 0.1; done; echo new > new.txt"
    words = ("x", "--no-bootstrap", "--", "sh", "-c", script)
    assert place.call("start", *words, trap=Trap(clock_s=jump_s, runner=True)).code == 0
    folder = place.git_dir / "parallel/.state/tasks/x"
    until((folder / "resting.json").exists)  # the next life of the runner is without the trap

    def status(*, silent_s: float) -> str:
        wrote = time.time() + jump_s - silent_s
        os.utime(folder / "run-1.log", (wrote, wrote))
        done = place.call("list", "--json")
        return str(json.loads(done.out)["tasks"][0]["status"])

    assert status(silent_s=60) == "running"
    assert status(silent_s=3600) == "stalled"
    assert place.call("cleanup").code == 0
    assert place.call("wait", "x", "--timeout", "0.2").code == 1
    (place.home / "go").touch()
    assert place.call("wait", "x").code == 0
    until(place.rests)
    (place.home / "go").unlink()
    known = json.loads((folder / "run-1.json").read_bytes())
    assert (known["result"], known["exit_code"]) == ("ready", 0)
    shown = place.call("show", "x").out + place.call("list").out
    assert not re.search(r"-\d+[smhd]\b", shown)
    place.explained()


@pytest.mark.slow
def test_a_clock_that_was_a_month_ahead_for_a_while_empties_nothing_untold(
    server: Resident, template: Path
) -> None:
    place = Place(server, template)
    path = place.task("x")
    place.task("here")
    before = survivors.files(path)
    assert place.call("remove", "x", "--delete-branch").code == 0
    ahead = Trap(clock_s=30 * DAY_S)
    purge = ("purge", str(place.git_dir), "14", "4096")  # what the others leave to the background
    for words in (("list",), purge, ("cleanup",), purge, ("undo", "--list"), purge):
        assert place.call(*words, trap=ahead).code == 0
        until(place.rests)
    assert "x leaves the trash" in place.call("list", trap=ahead).out
    for words in (("cleanup",), purge, ("list", "--all"), purge, ("undo", "--list")):
        assert place.call(*words).code == 0
        until(place.rests)
    assert place.call("undo", "x").code == 0
    assert survivors.files(path) == before
    place.explained()


def everything_at_once(server: Resident, template: Path, number: int, merges: int) -> None:
    """Not with `gc --prune=now`: beside that, plain git's own commits break (git-gc(1))."""
    place = Place(server, template)
    for n in range(merges):
        place.task(f"m{n}")
    for n in range(number):
        place.task(f"r{n}")
    calls: list[tuple[str, ...]] = [("start", f"s{n}", "--no-bootstrap") for n in range(number)]
    calls += [("remove", f"r{n}", "--delete-branch") for n in range(number)]
    calls += [("merge", f"m{n}") for n in range(merges)]
    begun = [server.begin(place.top, *words) for words in calls]
    plain = [
        subprocess.Popen(["git", *words], cwd=place.top, stderr=subprocess.DEVNULL)
        for words in (("gc", "--quiet"), ("worktree", "prune"))
    ]
    ends = [call.ended() for call in begun]
    for other in plain:
        other.wait()
    wrong = [(call.words, end) for call, end in zip(begun, ends, strict=True) if end.code]
    assert not wrong, wrong
    place.explained()
    landed = place.git("log", "--first-parent", "--merges", "--format=%s", "main").splitlines()
    assert len(landed) == merges
    left = {name for name in place.names() if not name.startswith("m")}
    assert left == {f"s{n}" for n in range(number)}
    assert len(list((place.git_dir / "parallel/.state/trash").glob("r*"))) == number
    for n in range(number):
        assert place.call("undo", f"r{n}").code == 0
    place.explained()


@pytest.mark.slow
def test_starts_removes_merges_gc_and_prune_at_once(server: Resident, template: Path) -> None:
    everything_at_once(server, template, 4, 2)


@pytest.mark.slow
def test_many_starts_removes_merges_gc_and_prune_at_once(server: Resident, template: Path) -> None:
    everything_at_once(server, template, 24, 8)
