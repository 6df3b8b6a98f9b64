"""What may be moved away: small real worktrees, the truth beside each.

A row is a name, the steps that are taken in the worktree of x (a shell's; `$MAIN` is the main
worktree, `$ADMIN` the admin folder), and the words with which it is kept from a person who asks
for it and from a sweep; "" is that it goes. What goes comes back exactly as it was, and a witness
that is not git finds every commit meanwhile.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec import structs

from git_parallel import safety, trash
from git_parallel.journal import Entry
from git_parallel.lock import Lock
from git_parallel.records import Making
from git_parallel.repository import Repository, find_repository
from git_parallel.task import Phase, Run, Slug, Task, TaskName, now
from tests import witness
from tests.conftest import Repo, run, until


class Row(NamedTuple):
    """A worktree, and the truth."""

    name: str
    steps: str
    asked: str
    swept: str


def kept(name: str, steps: str, why: str) -> Row:
    """Kept, whoever asks."""
    return Row(name, steps, why, why)


def named(name: str, steps: str, why: str) -> Row:
    """Kept from a sweep; a person can have it."""
    return Row(name, steps, "", why)


def goes(name: str, steps: str) -> Row:
    return Row(name, steps, "", "")


AGAIN = "can't be made again"
HIDDEN = "edited, but hidden from git status: a.txt"
INSIDE = "git init -q lib; (cd lib; echo i >i; git add i; git commit -qm i); "
LIB = INSIDE + "git add lib 2>/dev/null; git commit -qm lib; "
PUSHED = LIB + "git -C lib update-ref refs/remotes/origin/main HEAD; "
SIDE = (
    "git switch -qc side HEAD~; echo side >a.txt; git commit -qam side; git switch -q parallel/x; "
)

ROWS = [
    goes("nothing", "true"),
    # 1. Is it what it says?
    kept("no .git file", "rm .git", "does not lead back"),
    kept("a .git file that leads elsewhere", "echo gitdir: $MAIN/.git >.git", "does not lead back"),
    kept("a .git folder", "rm .git; git init -q", "does not lead back"),
    kept(
        "an admin folder that leads elsewhere",
        "echo $MAIN/.git >$ADMIN/gitdir",
        "is not a worktree",
    ),
    kept("a link in its place", "mv $PWD $PWD.moved; ln -s $PWD.moved $PWD", "is not a worktree"),
    # 2. Locks of others.
    kept("locked", "git worktree lock --reason 'do not touch' .", "it is locked: do not touch"),
    kept("locked without a reason", "git worktree lock .", "it is locked (git worktree unlock)"),
    # 3. Somebody at work; processes are below.
    kept("an index.lock", "touch $ADMIN/index.lock", "git is at work in it, or died there"),
    kept("a HEAD.lock", "touch $ADMIN/HEAD.lock", "git is at work in it, or died there"),
    named("changed just now", "touch a.txt", "a file in it was changed less than a minute ago"),
    # 4. Operations.
    kept("a rebase", "git rebase -q --exec false HEAD~", "a rebase is not finished"),
    kept(
        "a rebase with an autostash",
        "echo z >a.txt; git rebase -q --autostash --exec false HEAD~",
        "a rebase is not finished",
    ),
    kept("an am", "echo nonsense | git am -q", "a rebase or am is not finished"),
    kept("a merge", SIDE + "git merge -q side", "a merge is not finished"),
    kept(
        "a merge without a conflict",
        SIDE + "git merge -q -s ours --no-commit side",
        "a merge is not",
    ),
    kept("a cherry-pick", SIDE + "git cherry-pick side", "a cherry-pick is not finished"),
    kept(
        "a revert",
        "echo z >a.txt; git commit -qam z; git revert --no-edit HEAD~",
        "a revert is not finished",
    ),
    kept("a bisect", "git bisect start", "a bisect is not finished"),
    kept(
        "a squash",
        "git switch -qc s; echo s >s; git add s; git commit -qm s; git switch -q -;"
        "git merge -q --squash s; git reset -q --hard; echo m >$ADMIN/SQUASH_MSG",
        "a squash is not finished",
    ),
    kept(
        "an autostash of a merge",
        "git rev-parse HEAD >$ADMIN/MERGE_AUTOSTASH",
        "an autostash is not",
    ),
    # 5. What is not committed.
    kept("modified", "echo mine >a.txt", "not committed: a.txt"),
    kept("staged", "echo mine >n; git add n", "not committed: n"),
    kept(
        "staged, and not in the tree any more", "echo mine >n; git add n; rm n", "not committed: n"
    ),
    kept("meant to be added", "echo mine >n; git add -N n", "not committed: n"),
    kept("deleted", "rm a.txt", "not committed: a.txt"),
    kept("untracked", "echo mine >note", "not committed: note"),
    kept(
        "untracked, hidden by the configuration",
        "echo mine >note; git config status.showUntrackedFiles no",
        "not committed: note",
    ),
    kept("untracked, its name is odd", "echo mine >'a\nb'", "not committed: "),
    kept("another mode", "chmod +x a.txt", "not committed: a.txt"),
    kept(
        "a monitor that says that nothing changed",
        "printf '#!/bin/sh\\nprintf \"tok\\\\0\"\\n' >$MAIN/.git/mon; chmod +x $MAIN/.git/mon;"
        "git config core.fsmonitor $MAIN/.git/mon; git status -s; echo mine >a.txt",
        "not committed: a.txt",
    ),
    # 6. What is hidden.
    kept("assume-unchanged", "git update-index --assume-unchanged a.txt; echo mine >a.txt", HIDDEN),
    kept("skip-worktree", "git update-index --skip-worktree a.txt; echo mine >a.txt", HIDDEN),
    kept(
        "both", "git update-index --assume-unchanged --skip-worktree a.txt; echo m >a.txt", HIDDEN
    ),
    goes("flagged and not edited", "git update-index --assume-unchanged a.txt"),
    goes(
        "sparse",
        "mkdir d; echo d >d/d; git add d; git commit -qm d; git sparse-checkout set --cone e",
    ),
    kept(
        "sparse, and a file where none should be",
        "mkdir d; echo d >d/d; git add d; git commit -qm d; git sparse-checkout set --cone e;"
        "mkdir d; echo mine >d/d",
        "d/d",
    ),
    # 7. Submodules, and repositories that only look like some.
    kept("a commit in a submodule", LIB, "the submodule lib has commits that no remote has"),
    kept("a stash in a submodule", PUSHED + "(cd lib; echo z >i; git stash -q)", "has a stash"),
    kept("a submodule's edit", PUSHED + "echo z >lib/i", "not committed: lib"),
    kept(
        "a submodule's edit that is to be ignored",
        PUSHED + "git config submodule.lib.ignore all;"
        "git config diff.ignoreSubmodules all; echo z >lib/i",
        "not committed: lib",
    ),
    kept(
        "a submodule's untracked file, hidden by the configuration",
        PUSHED + "git -C lib config status.showUntrackedFiles no; echo z >lib/note",
        "not committed: lib/note",
    ),
    kept(
        "a submodule's hidden edit",
        PUSHED + "cd lib; git update-index --assume-unchanged i; echo z >i",
        "hidden from git status: lib/i",
    ),
    kept(
        "a submodule's rebase",
        PUSHED + "cd lib; git commit -q --allow-empty -m e;"
        "git update-ref refs/remotes/origin/main HEAD; git -C .. commit -qam e;"
        "git bisect start",
        "a bisect is not finished in the submodule lib",
    ),
    named(
        "a submodule's ignored file",
        PUSHED + "echo '*.local' >$(git -C lib rev-parse --absolute-git-dir)/info/exclude;"
        "echo mine >lib/x.local",
        AGAIN,
    ),
    goes("a submodule that a remote has", PUSHED),
    # 8. Repositories within.
    kept("a repository, untracked", "git init -q inner", "not committed: inner/"),
    kept(
        "a repository in an ignored folder",
        "git init -q node_modules/dep",
        "a repository of its own",
    ),
    kept("a bare one", "git init -q --bare node_modules/dep.git", "a repository of its own"),
    kept(
        "a worktree of another repository",
        "git init -q $MAIN/../o; git -C $MAIN/../o commit -q --allow-empty -m o;"
        "git -C $MAIN/../o worktree add -q $PWD/node_modules/o",
        "a repository of its own",
    ),
    # 9. Commits.
    named(
        "a detached commit",
        "git switch -q --detach; echo d >d; git add d; git commit -qm d",
        "its HEAD is not on parallel/x",
    ),
    named("another branch", "git switch -qc other", "its HEAD is not on parallel/x"),
    goes(
        "commits that only the reflog knows",
        "git commit -q --allow-empty -m e; git reset -q --hard @~",
    ),
    goes("an amended commit", "echo z >z; git add z; git commit -qm z; git commit -q --amend -m y"),
    goes(
        "a detached commit that was left",
        "git switch -q --detach; echo d >d; git add d; git commit -qm d; git switch -q -",
    ),
    goes(
        "a ref of the worktree's own",
        "git update-ref refs/worktree/mine $(git commit-tree -m mine HEAD^{tree})",
    ),
    goes("a stash", "echo z >a.txt; git stash -q"),
    # 10. Ignored files.
    named("a database", "echo rows >data.sqlite", f"{AGAIN}: data.sqlite"),
    named("an edited .env", "echo edited >.env", f"{AGAIN}: .env"),
    named(
        "a folder that only sounds like a product",
        "mkdir build; echo m >build/note",
        f"{AGAIN}: build/",
    ),
    named("packages without a lockfile", "mkdir node_modules; echo m >node_modules/m", AGAIN),
    named("a link called node_modules", "ln -s /tmp node_modules", AGAIN),
    named(
        "ignored by the user's own rules",
        "echo note >>$MAIN/.git/info/exclude; echo m >note",
        AGAIN,
    ),
    goes(
        "packages",
        "echo '{}' >package.json; git add package.json; git commit -qm p;"
        "mkdir node_modules; echo m >node_modules/m",
    ),
    goes("compiled Python", "mkdir __pycache__; echo m >__pycache__/m.pyc"),
]
IGNORED = "*.sqlite\n.env\nbuild/\nnode_modules\n__pycache__/\n*.local\n"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with two commits, to be copied."""
    path = tmp_path_factory.mktemp("table") / "repo"
    path.mkdir()
    (path / "a.txt").write_text("a\n")
    (path / ".gitignore").write_text(IGNORED)
    identity = ("-c", "user.name=Ada", "-c", "user.email=a@b")
    for words in (("init", "-qb", "main", "--template="), ("add", "."), ("commit", "-qm", "Begin")):
        subprocess.run(["git", *identity, *words], cwd=path, check=True)
    (path / ".git/info").mkdir(exist_ok=True)
    return path


class Stage:
    """A repository with x as a task of ours, which has a worktree with a commit."""

    def __init__(self, template: Path, place: Path) -> None:
        self.main = place / "repo"
        self.tree = place / "x"
        shutil.copytree(template, self.main, symlinks=True)
        git = Repo(self.main).git
        git("worktree", "add", "-q", "--no-track", "-b", "parallel/x", str(self.tree))
        self.repository: Repository = find_repository(self.main)
        self.repository.store.create()
        worktree = self.repository.worktrees()[0]
        self.admin = worktree.admin
        self.repository.mark(worktree, "x")
        self.task = Task(
            name=TaskName("x"),
            slug=Slug("x"),
            branch="parallel/x",
            target="main",
            base=git("rev-parse", "HEAD"),
            path=str(self.tree),
            slot=1,
            ports=tuple(range(20000, 20010)),
            created=now(),
        )
        self.folder = self.repository.store.claim(self.task, Making("", "", False, ""))
        self.folder.made()
        run("sh", "-ec", "echo x >x.txt; echo x >a.txt; git add .; git commit -qm x", cwd=self.tree)

    def take(self, steps: str, *, fresh: bool = False) -> None:
        """Take steps in the worktree; it looks old afterwards, unless it is to be fresh."""
        around = {"MAIN": str(self.main), "ADMIN": str(self.admin)}
        done = run("sh", "-c", steps, cwd=self.tree, ok=None, env=around)
        assert "not a git command" not in done.stderr, done.stderr
        for path in [self.tree, *self.tree.rglob("*")]:
            if not fresh and ".git" not in path.parts:
                os.utime(path, (1, 1), follow_symlinks=False)

    def subject(self, *, explicit: bool) -> safety.Subject:
        """What is to be moved away."""
        rules = self.repository.configuration().config.regenerable
        worktree = next(w for w in self.repository.admins() if w.slug == "x")
        known = (self.repository, self.folder, self.task, worktree, rules)
        return safety.Subject(*known, explicit)

    def why(self, *, explicit: bool) -> str:
        """Why it must stay; nothing, if it may go."""
        return "; ".join(safety.inspect(self.subject(explicit=explicit)).reasons)

    def move(self) -> Entry:
        """Move it to the trash with its branch."""
        worktree = self.subject(explicit=True).worktree
        known = (self.repository, self.folder, self.task, worktree)
        tip = self.repository.resolve("parallel/x")
        with self.repository.store.locked():
            return trash.move(*known, tip=tip, drop_branch=True, why="removed")

    def state(self) -> list[object]:
        """All that must be the same when it is back: files, refs, logs, settings."""
        branches = Repo(self.main).git("for-each-ref")
        log = (self.main / ".git/logs/refs/heads/parallel/x").read_bytes()
        settings = Repo(self.main).git("config", "--local", "--list")
        return [witness.files(self.tree), witness.files(self.admin), branches, log, settings]


@pytest.fixture
def stage(template: Path, tmp_path: Path) -> Stage:
    return Stage(template, tmp_path)


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_keeps_what_holds_work_and_brings_back_what_went(stage: Stage, row: Row) -> None:
    stage.take(row.steps, fresh=row.name == "changed just now")
    before = witness.files(stage.tree)
    for words, explicit in ((row.asked, True), (row.swept, False)):
        found = stage.why(explicit=explicit)
        assert words in found if words else not found
    assert witness.files(stage.tree) == before
    if not row.asked:
        _goes_and_comes_back(stage)


def _goes_and_comes_back(stage: Stage) -> None:
    run("git", "config", "branch.parallel/x.description", "words", cwd=stage.main)
    before, objects = stage.state(), witness.everything(stage.main)
    commits = witness.below_commits(stage.main)
    entry = stage.move()
    assert not os.path.lexists(stage.tree)
    assert not stage.admin.exists()
    assert commits <= witness.below_refs(stage.main)
    run("git", "-c", "gc.reflogExpire=now", "gc", "-q", "--prune=now", cwd=stage.main)
    assert commits <= witness.everything(stage.main)
    with stage.repository.store.locked():
        trash.bring_back(entry)
    assert stage.state() == before
    assert objects & commits <= witness.everything(stage.main)


UNFINISHED = [
    row
    for row in ROWS
    if row.steps.startswith(("git rebase", "echo z >a.txt; git rebase", "git bisect", SIDE))
]


@pytest.mark.parametrize("row", UNFINISHED, ids=[row.name for row in UNFINISHED])
def test_what_was_begun_in_the_last_moment_comes_back_too(stage: Stage, row: Row) -> None:
    stage.take(row.steps)
    stash = stage.admin / "rebase-merge" / "autostash"
    held = stash.read_text().strip() if stash.exists() else ""
    _goes_and_comes_back(stage)
    assert stage.why(explicit=True)
    if held:
        run("sh", "-c", "git rebase --quiet --continue 2>&1 || git rebase --abort", cwd=stage.tree)
        assert (stage.tree / "a.txt").read_text() == "z\n"


PROGRAMS = {
    "stands in it": "import os, sys, time; os.chdir(sys.argv[1]); print(flush=True);time.sleep(99)",
    "holds a file open": "import sys, time; f = open(sys.argv[1] + '/a.txt'); print(flush=True);"
    "time.sleep(99)",
}


@pytest.mark.parametrize("script", PROGRAMS.values(), ids=list(PROGRAMS))
def test_keeps_what_a_process_uses_and_names_it(stage: Stage, tmp_path: Path, script: str) -> None:
    stage.take("true")
    command = [sys.executable, "-c", script, str(stage.tree)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline()
        for explicit in (True, False):
            assert f"({process.pid}) still uses it" in stage.why(explicit=explicit)
        process.kill()
    until(lambda: not stage.why(explicit=True))


def test_keeps_what_a_runner_holds(stage: Stage) -> None:
    stage.take("true")
    lock = Lock.take(stage.folder.lock)
    assert lock
    assert "it is being worked on (git parallel stop x)" in stage.why(explicit=True)
    lock.release()
    assert not stage.why(explicit=True)


def test_keeps_what_a_person_changed_on_a_terminal_of_ours(stage: Stage) -> None:
    stage.take("touch a.txt x.txt", fresh=True)
    ended = Run(number=1, agent=None, command=("sh",), phase=Phase.ENDED, queued=now())
    stage.folder.write_run(structs.replace(ended, interactive=True))
    assert "less than a minute ago" in stage.why(explicit=False)
    stage.folder.write_run(ended)
    assert not stage.why(explicit=False)


def test_keeps_what_git_can_not_tell_of(stage: Stage) -> None:
    stage.take("true")
    (stage.admin / "index").write_bytes(b"nonsense")
    assert "it could not be checked: git" in stage.why(explicit=True)


def test_a_copy_of_a_repository_leaves_the_worktrees_of_the_original_alone(
    stage: Stage, tmp_path: Path
) -> None:
    stage.take("true")
    shutil.copytree(stage.main, tmp_path / "copy", symlinks=True)
    stage.repository = find_repository(tmp_path / "copy")
    stage.folder = stage.repository.store.folder("x")
    assert "does not lead back to this repository" in stage.why(explicit=True)


def test_the_table_has_both_sides() -> None:
    assert len(ROWS) >= 30
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert {bool(row.asked) for row in ROWS} == {bool(row.swept) for row in ROWS} == {True, False}
