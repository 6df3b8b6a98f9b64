"""Doctor says what is wrong, why it matters and what mends it, and mends what can lose nothing."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from git_parallel import diagnosis, surroundings
from git_parallel.repository import find_repository, repository_at
from tests import tools
from tests.conftest import Repo, mostly_slow, normal, run, until

LONG_AGO_S = 300


@pytest.fixture
def task(repo: Repo) -> Repo:
    """A repository with a task x that has a commit; seen from its worktree."""
    repo.parallel("start", "x", "--no-bootstrap")
    path = Path(repo.task("x")["path"])
    Repo(path).commit("work.txt", "work\n", "work")
    return Repo(path)


def doctor(repo: Repo, *words: str, ok: int = 0) -> str:
    return normal(repo.parallel("doctor", *words, ok=ok).stdout, repo.path.parent)


def age(path: Path) -> None:
    past = time.time() - LONG_AGO_S
    os.utime(path, (past, past))


WELL = "✓ nothing is wrong here\n"


def test_is_content_where_all_is_well(repo: Repo, task: Repo) -> None:
    done = repo.parallel("doctor", cwd=task.path)
    assert done.stdout == WELL
    told = repo.json("doctor")
    assert (told["version"], told["findings"]) == (1, [])
    assert {agent["name"] for agent in told["agents"]} >= {"claude", "codex"}


def test_is_content_where_nothing_is_ours_and_makes_nothing(repo: Repo) -> None:
    assert doctor(repo) == WELL
    assert not (repo.path / ".git" / "parallel").exists()


@pytest.mark.slow
def test_a_lock_of_a_git_that_died_is_put_aside(repo: Repo, task: Repo) -> None:
    lock = repo.path / ".git" / "worktrees" / "x" / "index.lock"
    lock.write_bytes(b"half an index")
    assert doctor(repo) == WELL  # it may be at work
    age(lock)
    assert doctor(repo, ok=1) == (
        "✗ TMP/my répo/.git/worktrees/x/index.lock was left by a git that died;"
        " git refuses to change anything in TMP/my répo.parallel/x\n"
        "↳ rm 'TMP/my répo/.git/worktrees/x/index.lock'\n"
    )
    assert doctor(repo, "--fix") == (
        "✓ TMP/my répo/.git/worktrees/x/index.lock was left by a git that died: mended\n"
    )
    assert [f.read_bytes() for f in (repo.state / "aside").iterdir()] == [b"half an index"]
    task.commit("more.txt", "more\n")


@pytest.mark.slow
def test_what_git_is_in_the_middle_of_is_named_and_nothing_is_done_to_it(
    repo: Repo, task: Repo
) -> None:
    run("git", "rebase", "-q", "--exec", "false", "main", cwd=task.path, ok=1)
    assert doctor(repo) == (
        "▲ x: a rebase is not finished in its worktree; "
        "the task can't be merged, rebased or removed before that\n"
        "↳ git -C 'TMP/my répo.parallel/x' status\n"
    )
    run("git", "rebase", "--continue", cwd=task.path)
    assert doctor(repo) == WELL


@pytest.mark.slow
def test_tasks_follow_a_target_that_was_renamed(repo: Repo, task: Repo) -> None:
    repo.start("y", "echo y > y.txt; git add .; git commit -qm y", "parallel/x")
    for old, new in (("parallel/x", "feature"), ("main", "master"), ("master", "trunk")):
        repo.git("branch", "--move", old, new)
    assert "✗ `y` can't be merged: its target parallel/x is gone" in repo.parallel(
        "merge", "y", ok=1
    ).stderr  # fmt: skip
    told = doctor(repo, ok=1)
    assert "✗ x: the branch main, which it is to be merged into, is trunk now; " in told
    assert "✗ y: the branch parallel/x, which it is to be merged into, is feature now; " in told
    doctor(repo, "--fix")
    assert [repo.task(name)["target"] for name in "xy"] == ["trunk", "feature"]
    assert doctor(repo) == WELL
    repo.parallel("merge", "y", "x")
    assert (repo.path / "y.txt").exists()


@pytest.mark.slow
def test_a_lock_is_left_alone_while_somebody_is_in_the_worktree(repo: Repo, task: Repo) -> None:
    lock = repo.path / ".git" / "worktrees" / "x" / "index.lock"
    lock.touch()
    age(lock)
    hold = "until test -e $HOME/go; do sleep 0.05; done"
    repo.parallel("start", "y", "--", "sh", "-c", f"cd {str(task.path)!r}; touch $HOME/in; {hold}")
    until((Path(os.environ["HOME"]) / "in").exists)
    assert doctor(repo, "--fix") == WELL
    assert lock.exists()
    repo.parallel("stop", "y")


@pytest.mark.slow
@pytest.mark.parametrize("place", ["", "elsewhere"])
def test_a_lock_of_a_branch_is_told_where_it_holds_up_a_merge_and_put_aside(
    repo: Repo, task: Repo, place: str
) -> None:
    if place:
        repo.git("switch", "--quiet", "-c", place)
    lock = repo.path / ".git" / "refs" / "heads" / "main.lock"
    lock.touch()
    before = repo.git("rev-parse", "main")
    told = repo.parallel("merge", "x", ok=1).stderr
    assert "cannot lock ref" in told
    assert told.endswith("\n↳ git parallel doctor\n")
    assert (repo.git("rev-parse", "main"), repo.git("status", "--porcelain")) == (before, "")
    assert doctor(repo) == WELL  # it may be at work
    age(lock)
    hold = "touch $HOME/in; until test -e $HOME/go; do sleep 0.05; done"
    repo.parallel("start", "y", "--", "sh", "-c", hold)
    until((Path(os.environ["HOME"]) / "in").exists)
    name = "TMP/my répo/.git/refs/heads/main.lock"
    assert doctor(repo, ok=1) == (
        f"✗ {name} was left by a git that died; git refuses to move main\n↳ rm '{name}'\n"
    )
    assert doctor(repo, "--fix") == f"✓ {name} was left by a git that died: mended\n"
    repo.parallel("stop", "y")
    repo.parallel("merge", "x")
    assert repo.git("rev-parse", "main") != before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["packed-refs", "refs/heads/parallel/x"])
def test_a_lock_of_refs_is_left_alone_while_a_git_is_at_work(
    repo: Repo, task: Repo, name: str
) -> None:
    lock = repo.path / ".git" / f"{name}.lock"
    lock.touch()
    age(lock)
    waits = "!touch $HOME/in; until test -e $HOME/go; do sleep 0.05; done"
    words = ("git", "-c", f"alias.wait={waits}", "wait")
    home = Path(os.environ["HOME"])
    with subprocess.Popen(words, cwd=task.path, start_new_session=True):
        until((home / "in").exists)
        assert doctor(repo, "--fix") == WELL
        (home / "go").touch()
    assert lock.exists()
    assert f"{name}.lock was left by a git that died: mended" in doctor(repo, "--fix")
    assert not lock.exists()


@pytest.mark.slow
def test_ports_of_a_repository_that_is_gone_are_given_back(
    repo: Repo, task: Repo, tmp_path: Path
) -> None:
    other = Repo(tmp_path / "other")
    shutil.copytree(repo.path, other.path)
    shutil.rmtree(other.path / ".git" / "parallel")
    run("git", "worktree", "prune", cwd=other.path)
    other.parallel("start", "far", "--branch", "far", "--no-bootstrap")
    registry = Path(os.environ["HOME"]) / ".local" / "state" / "git-parallel" / "ports"
    mine, (gone,) = (
        str(repo.task("x")["ports"][0]),
        {p.name for p in registry.iterdir()}
        - {
            "lock",
            str(repo.task("x")["ports"][0]),
        },
    )
    shutil.rmtree(other.path)
    age(registry / gone)
    age(registry / mine)
    assert doctor(repo) == (
        f"▲ ports of tasks that are gone: {gone}; they are given out again, but the list grows\n"
        "↳ git parallel doctor --fix\n"
    )
    assert doctor(repo, "--fix") == f"✓ ports of tasks that are gone: {gone}: mended\n"
    assert {p.name for p in registry.iterdir()} == {"lock", mine}


@pytest.mark.slow
def test_hooks_that_husky_shadows_are_explained(repo: Repo, task: Repo) -> None:
    repo.write(".husky/_/post-merge", "#!/bin/sh\n")
    repo.git("config", "core.hooksPath", ".husky/_")
    told = doctor(repo, "--fix")
    first, second = told.splitlines()
    assert first == (
        "▲ hooks are not reached in TMP/my répo/.husky/_: post-checkout, post-merge, post-commit,"
        " post-rewrite (.husky/_ is part of the project (core.hooksPath)); new worktrees are not"
        " made ready, and merged ones go only at the next command of ours"
    )
    assert second.startswith("↳ add to post-merge and its sisters: ")
    repo.git("config", "--unset", "core.hooksPath")
    (repo.path / ".git" / "hooks" / "post-merge").unlink()
    assert "post-merge (nothing is there): mended" in doctor(repo, "--fix")
    assert doctor(repo) == WELL


@pytest.mark.slow
def test_a_line_in_a_hook_follows_a_repository_that_was_moved(
    repo: Repo, task: Repo, tmp_path: Path
) -> None:
    hook = repo.path / ".git" / "hooks" / "post-merge"
    hook.write_text("#!/bin/sh\necho theirs\n")
    repo.parallel("hooks", "install")
    repo.path.rename(tmp_path / "new")
    moved = Repo(tmp_path / "new")
    assert "(its line leads to where this repository was)" in doctor(moved)
    doctor(moved, "--fix")
    text = (moved.path / ".git" / "hooks" / "post-merge").read_text()
    assert text.count("# git parallel") == 1
    assert str(moved.path) in text
    assert text.endswith("\necho theirs\n")


def test_a_record_that_can_not_be_read_is_named_and_nothing_is_done_to_it(
    repo: Repo, task: Repo
) -> None:
    record = repo.state / "tasks" / "x" / "task.json"
    record.write_text("{")
    assert doctor(repo, "--fix", ok=1) == (
        "✗ TMP/my répo/.git/parallel/.state/tasks/x/task.json can't be read: Input data was"
        " truncated; what can't be read is never taken for nothing\n"
        "↳ less 'TMP/my répo/.git/parallel/.state/tasks/x/task.json'\n"
    )
    assert record.read_text() == "{"


def test_a_record_that_can_not_be_read_hides_nothing_else(repo: Repo, task: Repo) -> None:
    repo.parallel("start", "gone", "--no-bootstrap")
    repo.parallel("remove", "gone")
    repo.parallel("start", "y", "--no-bootstrap")
    shutil.rmtree(repo.task("y")["path"])
    (journal,) = repo.state.glob("trash/gone-*/journal.json")
    (repo.state / "tasks" / "x" / "landed.json").write_text("{")
    journal.write_text("{")
    told = doctor(repo, "--fix", ok=1)
    assert told.count("can't be read: ") == 2
    assert "/tasks/x/landed.json can't be read" in told
    assert "/journal.json can't be read" in told
    assert "y: its worktree TMP/my répo.parallel/y is gone: mended" in told


@pytest.mark.slow
def test_a_record_that_somebody_deleted_is_named_and_its_files_stay(repo: Repo, task: Repo) -> None:
    folder = repo.state / "tasks" / "x"
    (folder / "task.json").unlink()
    told = (
        "✗ TMP/my répo/.git/parallel/.state/tasks/x/task.json is gone, and other files of the task"
        " are there; no command of ours knows the task; its branch and its worktree are as they"
        " were\n"
        "↳ move 'TMP/my répo/.git/parallel/.state/tasks/x' away, then: git worktree list\n"
    )
    assert doctor(repo, "--fix", ok=1) == told
    repo.parallel("start", "x", "--branch", "new", "--no-bootstrap", ok=(0, 1))
    assert (folder / "brief.md").exists()
    assert doctor(repo, "--fix", ok=1) == told


def test_a_configuration_that_can_not_be_read_is_named(repo: Repo, task: Repo) -> None:
    (repo.path / ".git" / "parallel" / "config.toml").write_text("x = ")
    told = doctor(repo, ok=1)
    assert told.startswith("✗ TMP/my répo/.git/parallel/config.toml: ")
    assert "; nothing starts before it can be read\n↳ less 'TMP/my répo/" in told


def test_processes_whose_runner_died_are_named_and_never_ended(repo: Repo) -> None:
    hold = "touch $HOME/in; until test -e $HOME/go; do sleep 0.05; done"
    repo.parallel("start", "x", "--", "sh", "-c", hold)
    record = repo.state / "tasks" / "x" / "run-1.json"
    until((Path(os.environ["HOME"]) / "in").exists)
    until(lambda: json.loads(record.read_text())["pid"])
    os.kill(json.loads(record.read_text())["pid"], signal.SIGKILL)
    until(lambda: repo.task("x")["status"] == "lost")
    told = doctor(repo, "--fix", ok=1)
    assert told.startswith("✗ x: its runner died, and ")
    assert told.endswith(
        " goes on; nobody records what it does; it holds up the next run and every removal\n"
        "↳ git parallel stop x\n"
    )
    repo.parallel("stop", "x")
    assert doctor(repo) == WELL


@pytest.mark.slow
def test_a_move_to_the_trash_that_was_killed_is_taken_back(repo: Repo, task: Repo) -> None:
    repo.parallel("remove", "x")
    (journal,) = repo.state.glob("trash/*/journal.json")
    journal.write_text(journal.read_text().replace('"kept"', '"moving"'))
    assert doctor(repo, ok=1) == (
        "✗ a move to the trash, or back, was killed; its task is half here and half there\n"
        "↳ git parallel doctor --fix\n"
    )
    doctor(repo, "--fix")
    assert repo.names() == ["x"]
    assert (task.path / "work.txt").read_text() == "work\n"


def test_a_large_trash_is_named(repo: Repo, task: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    (task.path / "big.bin").write_bytes(bytes(1 << 20))
    repo.write(".git/info/exclude", "big.bin\n")
    repo.parallel("remove", "x")
    monkeypatch.chdir(repo.path)
    here = find_repository(repo.path)
    assert diagnosis.findings(here) == []
    monkeypatch.setattr(diagnosis, "LARGE", 1 << 20)
    (finding,) = diagnosis.findings(here)
    assert (finding.what, finding.matters) == ("the trash takes up 0.0 GiB", False)
    monkeypatch.setattr(diagnosis, "MOST_COUNTED", 1)
    (finding,) = diagnosis.findings(here)
    assert finding.what == "the trash takes up more than 0.0 GiB"


def test_an_interrupted_start_is_explained(repo: Repo, task: Repo) -> None:
    making = {"path": str(task.path), "branch": "parallel/x", "made_branch": True, "base": "0"}
    (repo.state / "tasks" / "x" / "making.json").write_text(json.dumps(making))
    assert doctor(repo, "--fix", ok=1) == (
        "✗ x: its start was interrupted; nothing runs on it, and its name is taken\n"
        "↳ git parallel remove x\n"
    )


@pytest.mark.slow
def test_a_home_below_the_git_dir_is_named_where_a_tool_breaks_there(
    repo: Repo, task: Repo
) -> None:
    repo.git("config", "parallel.root", ".git/parallel")
    assert doctor(repo) == WELL
    repo.write("package.json", '{"devDependencies": {"jest": "29", "left-pad": "1"}}')
    assert doctor(repo, ok=1) == (
        "✗ worktrees lie in TMP/my répo/.git/parallel, below a folder named .git: jest; there jest"
        " finds no tests, Vite answers 403, watchers see no change, and Claude Code refuses to"
        " write\n"
        "↳ git config --unset parallel.root\n"
    )


def program(folder: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_a_git_that_is_too_old_is_named(
    repo: Repo, task: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shutil.which("git")
    text = f'[ "$1" = version ] && echo git version 2.30.1 && exit\nexec {real} "$@"'
    program(tmp_path / "old", "git", text, monkeypatch)
    told = run("git-parallel", "doctor", cwd=repo.path, ok=1).stdout
    assert told == (
        "✗ git 2.30.1 is too old; merges can't be tried out without touching a worktree\n"
        "↳ install git 2.38 or newer\n"
    )


def test_a_manual_that_man_does_not_find_is_named_with_the_way_there(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    page = tmp_path / "share" / "man" / "man1" / "git-parallel.1"
    page.parent.mkdir(parents=True)
    page.touch()
    here = repository_at(repo.path / ".git", repo.path)
    program(tmp_path / "man", "man", "exit 16", monkeypatch)
    (finding,) = surroundings.surroundings(here)
    assert finding.what == "man does not find the manual"
    assert not finding.matters
    assert f"ln -s '{page}'" in finding.command
    program(tmp_path / "man", "man", f"echo {page}", monkeypatch)
    assert surroundings.surroundings(here) == []


RC = {
    "bash": (".bashrc", ". '{}'\n"),
    "zsh": (".zshrc", "autoload -Uz compinit && compinit -u\n"),
    "fish": (".config/fish/config.fish", ""),
}


@pytest.mark.parametrize("shell", mostly_slow(RC, ["bash"]))
def test_a_shell_that_completes_git_but_not_us_is_named_with_the_line_that_mends_it(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, shell: str
) -> None:
    tools.need_command(shell)
    name, text = RC[shell]
    file = Path(os.environ["HOME"]) / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text.format(tools.need_gits_completion()) if shell == "bash" else text)
    monkeypatch.setenv("SHELL", str(shutil.which(shell)))
    first, second = doctor(repo).splitlines()
    assert first == (
        f"▲ {shell} does not complete `git parallel`; TAB proposes neither commands nor tasks"
    )
    run("sh", "-c", second.removeprefix("↳ "), cwd=repo.path)
    assert doctor(repo) == WELL


@pytest.mark.slow
@pytest.mark.parametrize("text", ["echo hello", "exit 1", "sleep 60"])
def test_a_shell_that_does_not_say_is_not_blamed(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    program(tmp_path / "own", "zsh", text, monkeypatch)
    monkeypatch.setenv("SHELL", str(tmp_path / "own" / "zsh"))
    assert doctor(repo) == WELL
