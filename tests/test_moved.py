"""Repositories and worktrees that were moved, copied or broken by hand: led back, told apart,
explained; and whatever was in them is still somewhere.
"""

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Repo, normal, run, until


@pytest.fixture
def whole(tmp_path: Path, make_repo: Callable[..., Repo]) -> Repo:
    """A repository in a folder of its own, with a task x that has a commit and a draft, and a task
    in the trash.
    """
    repo = make_repo(at=tmp_path / "pläce one")
    for name, file in (("x", "work"), ("gone", "old")):
        repo.parallel("start", name, "--no-bootstrap")
        Repo(home_of(repo) / name).commit(f"{file}.txt", f"{file}\n", file)
    (home_of(repo) / "x" / "draft.txt").write_text("draft\n")
    repo.parallel("remove", "gone")
    return repo


def home_of(repo: Repo) -> Path:
    return repo.path.with_name(f"{repo.path.name}.parallel")


def moved(repo: Repo, to: Path) -> Repo:
    to.parent.mkdir(parents=True, exist_ok=True)
    repo.path.rename(to)
    return Repo(to)


def is_whole(repo: Repo, path: Path) -> None:
    """The task x is where it should be, its files too, and git is content on both ends."""
    assert repo.parallel("path", "x").stdout == f"{path}\n"
    assert (path / "draft.txt").read_text() == "draft\n"
    assert Repo(path).git("log", "-1", "--format=%s") == "work"
    assert Repo(path).git("rev-parse", "--git-common-dir") == str(repo.path / ".git")
    listed = repo.git("worktree", "list", "--porcelain")
    assert f"worktree {path}\n" in listed and "prunable" not in listed
    assert (repo.path / ".git" / "parallel" / "x").resolve() == path.resolve()
    task = repo.task("x")
    assert (task["path"], task.get("reason")) == (str(path), None)


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below a folder: its content and when it was changed."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return {str(f): (f.read_bytes(), f.stat().st_mtime_ns) for f in files}


def test_a_repository_that_was_moved_with_its_home_is_led_back_by_the_next_command(
    whole: Repo, tmp_path: Path
) -> None:
    whole.path.parent.rename(tmp_path / "plâce two")
    repo = Repo(tmp_path / "plâce two" / whole.path.name)
    told = repo.parallel("list").stderr
    assert told == "✓ this repository was moved: 1 worktree led back to it\n"
    is_whole(repo, home_of(repo) / "x")
    repo.parallel("undo", "gone")
    assert (home_of(repo) / "gone" / "old.txt").read_text() == "old\n"
    assert Repo(home_of(repo) / "gone").git("status", "--porcelain") == ""
    assert repo.parallel("list").stderr == ""
    assert repo.parallel("doctor").returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tasks/x/task.json", "tasks/x/slot.json", "trash/*/journal.json"])
def test_a_damaged_record_in_a_repository_that_was_moved_stops_nothing_else(
    whole: Repo, tmp_path: Path, name: str
) -> None:
    (record,) = whole.state.glob(name) if "*" in name else [whole.state / name]
    good = record.read_bytes() if record.exists() else b""
    record.write_text("{")
    whole.parallel("start", "y", "--no-bootstrap")
    whole.path.parent.rename(tmp_path / "two")
    repo = Repo(tmp_path / "two" / whole.path.name)
    now = repo.state / record.relative_to(whole.state)
    assert "worktrees led back to it" in repo.parallel("list").stderr
    assert repo.task("y")["path"] == str(home_of(repo) / "y")
    assert repo.parallel("doctor", ok=1).stdout == (
        f"✗ {now} can't be read: Input data was truncated; what can't be read is never taken for"
        f" nothing\n↳ less '{now}'\n"
    )
    repo.parallel("remove", "y")
    repo.parallel("undo", "y")
    now.write_bytes(good) if good else now.unlink()
    repo.parallel("doctor", "--fix")
    assert repo.json("doctor")["findings"] == []
    is_whole(repo, home_of(repo) / "x")
    repo.parallel("undo", "gone")
    assert (home_of(repo) / "gone" / "old.txt").read_text() == "old\n"


@pytest.mark.slow
def test_what_is_in_the_way_of_leading_back_is_named(whole: Repo, tmp_path: Path) -> None:
    whole.path.parent.rename(tmp_path / "two")
    repo = Repo(tmp_path / "two" / whole.path.name)
    place = repo.state / "place"
    place.rename(tmp_path / "place")
    place.mkdir()
    for words in ("list", "doctor"):
        assert repo.parallel(words, ok=1).stderr == (
            f"✗ {place} can't be read: Is a directory\n↳ move it away: mv '{place}' '{place}.old'\n"
        )
    place.rename(f"{place}.old")
    (tmp_path / "place").rename(place)
    repo.parallel("list")
    is_whole(repo, home_of(repo) / "x")


@pytest.mark.slow
def test_a_repository_that_was_moved_without_its_home_is_led_back(
    whole: Repo, tmp_path: Path
) -> None:
    home = home_of(whole)
    repo = moved(whole, tmp_path / "elsewhere" / "other name")
    assert "1 worktree led back" in repo.parallel("list").stderr
    is_whole(repo, home / "x")
    repo.parallel("undo", "gone")
    assert (home / "gone" / "old.txt").read_text() == "old\n"


@pytest.mark.slow
def test_a_repository_and_its_home_that_were_renamed_are_led_back(
    whole: Repo, tmp_path: Path
) -> None:
    home_of(whole).rename(tmp_path / "new.parallel")
    repo = moved(whole, tmp_path / "new")
    repo.parallel("list")
    is_whole(repo, tmp_path / "new.parallel" / "x")
    repo.parallel("undo", "gone")
    assert (tmp_path / "new.parallel" / "gone" / "old.txt").read_text() == "old\n"


def test_a_moved_repository_is_led_back_from_inside_a_worktree_that_moved_along(
    whole: Repo, tmp_path: Path
) -> None:
    whole.path.parent.rename(tmp_path / "two")
    repo = Repo(tmp_path / "two" / whole.path.name)
    inside = home_of(repo) / "x"
    assert run("git", "status", cwd=inside, ok=128)
    assert repo.parallel("list", cwd=inside).stdout.startswith("  TASK")
    is_whole(repo, inside)


@pytest.mark.slow
def test_a_worktree_says_that_its_repository_was_moved_away(whole: Repo, tmp_path: Path) -> None:
    inside = home_of(whole) / "x"
    repo = moved(whole, tmp_path / "away" / "renamed")
    assert normal(repo.parallel("list", cwd=inside, ok=1).stderr, tmp_path) == (
        "✗ the repository of TMP/pläce one/my répo.parallel/x is not in TMP/pläce one/my répo any"
        " more\n↳ where it is now, git parallel list leads its worktrees back\n"
    )
    repo.parallel("list")
    is_whole(repo, inside)


def test_a_worktree_inside_the_main_one_moves_with_it(repo: Repo, tmp_path: Path) -> None:
    repo.git("worktree", "add", "--quiet", "-b", "x", ".claude/worktrees/x")
    repo.parallel("adopt", ".claude/worktrees/x")
    Repo(repo.path / ".claude/worktrees/x").commit("work.txt", "work\n", "work")
    (repo.path / ".claude/worktrees/x/draft.txt").write_text("draft\n")
    now = moved(repo, tmp_path / "deep" / "er")
    now.parallel("list")
    is_whole(now, now.path / ".claude/worktrees/x")


@pytest.mark.slow
def test_the_submodules_of_a_worktree_follow_a_move_and_a_copy(
    repo: Repo, tmp_path: Path, make_repo: Callable[..., Repo]
) -> None:
    library = make_repo("library")
    repo.git("submodule", "--quiet", "add", str(library.path), "lib/sub mödule")
    repo.git("commit", "--quiet", "-m", "Add a library")
    path = repo.start("x", "echo work > work.txt")
    inner = Repo(path / "lib" / "sub mödule")
    tip = inner.commit("inner.txt", "inner\n")
    now = moved(repo, tmp_path / "deep" / "er" / "new")
    now.parallel("list")
    assert inner.git("rev-parse", "HEAD") == tip
    assert inner.git("fsck", "--connectivity-only") == ""
    assert "inner.txt" in inner.git("ls-files")
    shutil.copytree(path.parent, tmp_path / "deep" / "copied.parallel", symlinks=True)
    shutil.copytree(now.path, tmp_path / "deep" / "copied", symlinks=True)
    copy, before = Repo(tmp_path / "deep" / "copied"), snapshot(now.path)
    copy.parallel("doctor", "--fix")
    copied = Repo(tmp_path / "deep" / "copied.parallel" / "x" / "lib" / "sub mödule")
    assert copied.git("rev-parse", "HEAD") == tip
    copied.commit("more.txt", "more\n")
    assert inner.git("rev-parse", "HEAD") == tip
    assert snapshot(now.path) == before


def test_a_bare_repository_that_was_moved_is_led_back(repo: Repo, tmp_path: Path) -> None:
    run("git", "clone", "--quiet", "--bare", repo.path, tmp_path / "b.git", cwd=tmp_path)
    bare = Repo(tmp_path / "b.git")
    path = bare.start("x", "echo work > work.txt")
    assert "b-" in str(path)
    now = moved(bare, tmp_path / "büro" / "c.git")
    now.parallel("list")
    assert now.parallel("path", "x").stdout == f"{path}\n"
    assert Repo(path).git("rev-parse", "--git-common-dir") == str(now.path)
    assert Repo(path).git("log", "-1", "--format=%s") == "x: work of the command"


def test_a_repository_with_a_separate_git_dir_survives_a_move_of_either_part(
    tmp_path: Path,
) -> None:
    (tmp_path / "main").mkdir()
    repo = Repo(tmp_path / "main")
    repo.git("init", "--quiet", "--separate-git-dir", tmp_path / "store")
    repo.commit("readme.txt", "one\n")
    path = repo.start("x", "echo work > work.txt")
    now = moved(repo, tmp_path / "moved main")
    assert now.names() == ["x"]
    assert now.parallel("path", "x").stdout == f"{path}\n"
    (tmp_path / "store").rename(tmp_path / "moved store")
    (now.path / ".git").write_text(f"gitdir: {tmp_path / 'moved store'}\n")
    assert "1 worktree led back" in now.parallel("list").stderr
    assert Repo(path).git("rev-parse", "--git-common-dir") == str(tmp_path / "moved store")
    assert (path / "work.txt").read_text() == "work\n"


def test_the_address_follows_a_worktree_that_git_moved(whole: Repo, tmp_path: Path) -> None:
    whole.git("worktree", "move", home_of(whole) / "x", tmp_path / "x elsewhere")
    whole.parallel("list")
    is_whole(whole, tmp_path / "x elsewhere")


def test_a_worktree_that_was_moved_by_hand_is_known_where_it_is_at_the_next_call_from_it(
    whole: Repo, tmp_path: Path
) -> None:
    (home_of(whole) / "x").rename(tmp_path / "by hand")
    whole.parallel("list", cwd=tmp_path / "by hand")
    is_whole(whole, tmp_path / "by hand")


def test_a_copy_never_touches_the_original(whole: Repo, tmp_path: Path) -> None:
    shutil.copytree(whole.path.parent, tmp_path / "copy", symlinks=True)
    copy = Repo(tmp_path / "copy" / whole.path.name)
    before = snapshot(whole.path.parent)
    done = copy.parallel("list")
    assert normal(done.stderr, tmp_path) == (
        "▲ this repository is a copy of TMP/pläce one/my répo, and the worktrees are that one's"
        " ↳ git parallel doctor --fix\n"
    )
    refused = copy.parallel("run", "x", "--", "touch", "intruder", ok=1).stderr
    assert refused == "✗ `x` has no worktree to run in\n↳ git parallel doctor\n"
    copy.parallel("path", "x", ok=1)
    copy.parallel("exec", "x", "--", "touch", "intruder", ok=None)
    copy.parallel("undo", "gone", ok=1)
    copy.parallel("cleanup")
    refused = copy.parallel("list", cwd=home_of(copy) / "x", ok=1).stderr
    assert normal(refused, tmp_path).splitlines()[0] == (
        "✗ TMP/copy/my répo.parallel/x is a copy of the worktree TMP/pläce one/my répo.parallel/x,"
        " and git would work on that one's branch here"
    )
    copy.parallel("merge", "x", "--no-check", ok=None)
    copy.parallel("remove", "x", ok=None)
    assert snapshot(whole.path.parent) == before
    is_whole(whole, home_of(whole) / "x")


@pytest.mark.slow
def test_doctor_makes_a_copy_with_its_home_one_of_its_own(whole: Repo, tmp_path: Path) -> None:
    shutil.copytree(whole.path.parent, tmp_path / "copy", symlinks=True)
    copy = Repo(tmp_path / "copy" / whole.path.name)
    before = snapshot(whole.path.parent)
    told = normal(copy.parallel("doctor", ok=1).stdout, tmp_path)
    assert told == (
        "✗ this repository is a copy of TMP/pläce one/my répo; its worktrees are the original's:"
        " nothing runs in them or is removed from here\n"
        "↳ git parallel doctor --fix\n"
    )
    told = normal(copy.parallel("doctor", "--fix").stdout, tmp_path)
    assert told == "✓ this repository is a copy of TMP/pläce one/my répo: mended\n"
    is_whole(copy, home_of(copy) / "x")
    copy.parallel("undo", "gone")
    assert (home_of(copy) / "gone" / "old.txt").read_text() == "old\n"
    assert copy.task("x")["ports"] != whole.task("x")["ports"]
    copy.parallel("remove", "gone")
    before_now = {name: state[0] for name, state in snapshot(whole.path.parent).items()}
    assert before_now.items() >= {k: v[0] for k, v in before.items()}.items()
    is_whole(whole, home_of(whole) / "x")
    whole.parallel("undo", "gone")
    assert (home_of(whole) / "gone" / "old.txt").read_text() == "old\n"


@pytest.mark.slow
def test_doctor_parts_a_copy_without_its_home_from_the_original(
    whole: Repo, tmp_path: Path
) -> None:
    shutil.copytree(whole.path, tmp_path / "copy", symlinks=True)
    copy = Repo(tmp_path / "copy")
    before = snapshot(home_of(whole))
    tip = copy.git("rev-parse", "parallel/x")
    copy.parallel("doctor", "--fix")
    assert copy.names() == []
    assert copy.git("rev-parse", "parallel/x") == tip
    assert copy.git("worktree", "list", "--porcelain").count("worktree ") == 1
    copy.parallel("undo", "gone", ok=1)
    copy.start("x", "true", "--branch", "parallel/x")
    assert (tmp_path / "copy.parallel" / "x" / "work.txt").exists()
    assert snapshot(home_of(whole)) == before
    is_whole(whole, home_of(whole) / "x")


@pytest.mark.slow
def test_a_copy_of_a_worktree_that_git_took_for_it_is_not_removed_as_the_task(
    whole: Repo, tmp_path: Path
) -> None:
    path = home_of(whole) / "x"
    shutil.copytree(path, tmp_path / "copied x", symlinks=True)
    admin = whole.path / ".git" / "worktrees" / "x"
    (admin / "gitdir").write_text(f"{tmp_path / 'copied x'}/.git\n")  # as git does it after a day
    both = "TMP/copied x and TMP/pläce one/my répo.parallel/x both say that they are its worktree"
    assert broken(whole) == (
        "▲ x is not whole ↳ git parallel doctor --fix",
        f"✗ x: {both}; one is a copy, and git works on the same branch from both\n"
        "↳ move the copy away, then: git worktree repair 'TMP/pläce one/my répo.parallel/x'\n",
    )
    (path / "draft.txt").unlink()
    (tmp_path / "copied x" / "draft.txt").unlink()
    assert both in normal(whole.parallel("remove", "x", ok=1).stderr, tmp_path)
    (path / "draft.txt").write_text("draft\n")
    (tmp_path / "copied x").rename(tmp_path / "away")
    whole.git("worktree", "repair", path)
    whole.parallel("list")
    is_whole(whole, path)


@pytest.mark.slow
def test_a_copy_with_a_worktree_inside_it_becomes_its_own(repo: Repo, tmp_path: Path) -> None:
    repo.git("worktree", "add", "--quiet", "-b", "x", ".claude/worktrees/x")
    repo.parallel("adopt", ".claude/worktrees/x")
    Repo(repo.path / ".claude/worktrees/x").commit("work.txt", "work\n", "work")
    (repo.path / ".claude/worktrees/x/draft.txt").write_text("draft\n")
    shutil.copytree(repo.path, tmp_path / "copy", symlinks=True)
    copy, before = Repo(tmp_path / "copy"), snapshot(repo.path)
    told = copy.parallel("list", cwd=copy.path / ".claude/worktrees/x", ok=1).stderr
    assert "is a copy of the worktree " in told
    copy.parallel("doctor", "--fix")
    is_whole(copy, copy.path / ".claude/worktrees/x")
    assert snapshot(repo.path) == before


@pytest.mark.slow
def test_a_copy_takes_nothing_when_its_original_was_moved_meanwhile(
    whole: Repo, tmp_path: Path
) -> None:
    shutil.copytree(whole.path, tmp_path / "copy", symlinks=True)
    home = home_of(whole)
    now = moved(whole, tmp_path / "away")
    Repo(tmp_path / "copy").parallel("list")
    now.parallel("list")
    is_whole(now, home / "x")


@pytest.mark.slow
def test_a_repository_reached_by_a_link_is_neither_moved_nor_copied(
    whole: Repo, tmp_path: Path
) -> None:
    before = (whole.state / "place").read_bytes()
    (tmp_path / "link").symlink_to(whole.path.parent)
    linked = Repo(tmp_path / "link" / whole.path.name)
    assert linked.parallel("list").stderr == ""
    assert (whole.state / "place").read_bytes() == before


def test_what_runs_is_still_known_after_a_move(whole: Repo, tmp_path: Path) -> None:
    hold = "touch $HOME/in; until test -e $HOME/go; do sleep 0.05; done"
    whole.parallel("start", "live", "--no-bootstrap", "--", "sh", "-c", hold)
    record = whole.state / "tasks" / "live" / "run-1.json"
    until((Path(os.environ["HOME"]) / "in").exists)
    runner = int(until(lambda: json.loads(record.read_text())["pid"]))
    whole.path.parent.rename(tmp_path / "two")
    repo = Repo(tmp_path / "two" / whole.path.name)
    assert repo.task("live")["status"] == "running"
    os.kill(runner, signal.SIGKILL)
    until(lambda: repo.task("live")["status"] == "lost")
    assert "still runs (git parallel stop live)" in repo.parallel("remove", "live", ok=1).stderr
    assert "ended sh" in repo.parallel("stop", "live").stderr
    repo.parallel("remove", "live")


@pytest.mark.slow
def test_a_repository_that_came_whole_from_another_disk_is_led_back(
    whole: Repo, tmp_path: Path
) -> None:
    disk = Path("/dev/shm")
    if not os.access(disk, os.W_OK) or disk.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    with tempfile.TemporaryDirectory(dir=disk) as other:
        for part in (whole.path, home_of(whole)):
            shutil.move(part, other)
        repo = Repo(Path(other) / whole.path.name)
        assert "1 worktree led back" in repo.parallel("list").stderr
        is_whole(repo, home_of(repo) / "x")


def broken(repo: Repo) -> tuple[str, str]:
    """What `list` and `doctor` say of the task x."""
    (line,) = [s for s in repo.parallel("list").stdout.splitlines() if s.startswith("▲")]
    return line, normal(repo.parallel("doctor", ok=1).stdout, repo.path.parents[1])


@pytest.mark.slow
def test_a_worktree_that_was_deleted_by_hand_is_made_again_with_what_was_staged(
    whole: Repo,
) -> None:
    path = home_of(whole) / "x"
    (path / "staged.txt").write_text("staged\n")
    Repo(path).git("add", "staged.txt")
    shutil.rmtree(path)
    assert broken(whole) == (
        "▲ x is not whole ↳ git parallel doctor --fix",
        "✗ x: its worktree TMP/pläce one/my répo.parallel/x is gone;"
        " there is nothing to run in; what was committed or staged is still there\n"
        "↳ git parallel doctor --fix\n",
    )
    whole.parallel("doctor", "--fix")
    assert Repo(path).git("status", "--porcelain") == "A  staged.txt"
    assert (path / "work.txt").read_text() == "work\n"


@pytest.mark.slow
def test_a_worktree_that_was_deleted_and_pruned_is_made_again_from_its_branch(
    whole: Repo,
) -> None:
    path = home_of(whole) / "x"
    shutil.rmtree(path)
    whole.git("worktree", "prune")
    whole.parallel("doctor", "--fix")
    assert (path / "work.txt").read_text() == "work\n"
    assert "reason" not in whole.task("x")
    assert (whole.path / ".git" / "parallel" / "x").resolve() == path.resolve()


@pytest.mark.slow
def test_a_home_that_vanished_is_explained_and_its_tasks_can_be_removed_and_undone(
    whole: Repo,
) -> None:
    shutil.rmtree(home_of(whole))
    assert broken(whole)[0] == "▲ x is not whole ↳ git parallel doctor --fix"
    assert "gone: what lay in the trash of it is gone" in whole.parallel("doctor", ok=1).stdout
    whole.parallel("remove", "x")
    assert whole.names() == []
    whole.parallel("undo", "x")
    whole.parallel("doctor", "--fix")
    assert (home_of(whole) / "x" / "work.txt").read_text() == "work\n"


@pytest.mark.slow
def test_a_locked_worktree_that_is_not_there_is_not_made_again(whole: Repo) -> None:
    path = home_of(whole) / "x"
    whole.git("worktree", "lock", path)
    path.rename(path.with_name("unplugged"))
    assert "and it is locked" in whole.parallel("doctor", "--fix", ok=1).stdout
    assert not path.exists()


@pytest.mark.slow
def test_a_branch_that_was_renamed_stays_the_tasks_after_doctor(whole: Repo) -> None:
    whole.git("branch", "-m", "parallel/x", "better-name")
    line, told = broken(whole)
    assert line == "▲ x is not whole ↳ git parallel doctor --fix"
    assert told == (
        "✗ x: its branch parallel/x is gone, its worktree is on better-name;"
        " a branch that was renamed is the task's still, if its record says so\n"
        "↳ git parallel doctor --fix\n"
    )
    whole.parallel("doctor", "--fix")
    assert whole.task("x")["branch"] == "better-name"
    assert "reason" not in whole.task("x")


@pytest.mark.slow
def test_a_branch_that_was_deleted_by_hand_is_made_again_where_it_was(whole: Repo) -> None:
    tip = whole.git("rev-parse", "parallel/x")
    whole.git("update-ref", "-d", "refs/heads/parallel/x")
    assert normal(broken(whole)[1], whole.path) == (
        "✗ x: its branch parallel/x is gone; it was at SHORT;"
        " nothing holds its commits, and git drops them some day\n"
        "↳ git parallel doctor --fix\n"
    )
    whole.parallel("doctor", "--fix")
    assert whole.git("rev-parse", "parallel/x") == tip
    assert Repo(home_of(whole) / "x").git("status", "--porcelain") == "?? draft.txt"


def test_a_target_that_is_gone_is_explained_and_not_guessed(whole: Repo) -> None:
    whole.git("switch", "--quiet", "-c", "trunk")  # nothing says that it is called so now
    whole.git("branch", "-D", "main")
    told = whole.parallel("doctor", "--fix", ok=1).stdout
    assert "✗ x: the branch main, which it is to be merged into, is gone; " in told
    assert "↳ git branch main " in told


@pytest.mark.slow
def test_what_could_not_be_mended_is_not_said_to_be(whole: Repo) -> None:
    whole.parallel("start", "y", "--no-bootstrap")
    pointer = f"gitdir: {whole.path}/.git/worktrees/y\n"
    (home_of(whole) / "x" / ".git").write_text(pointer)
    told = whole.parallel("doctor", "--fix", ok=1).stdout
    assert "✗ x: " in told and "↳ could not be mended: it is as it was\n" in told
    assert (home_of(whole) / "x" / ".git").read_text() == pointer


@pytest.mark.slow
def test_a_worktree_whose_git_file_is_broken_is_tied_again(whole: Repo) -> None:
    path = home_of(whole) / "x"
    admin = whole.path / ".git" / "worktrees" / "x"
    (path / ".git").write_text("gitdir: /nowhere/worktrees/x\n")
    assert broken(whole)[0] == "▲ x is not whole ↳ git parallel doctor --fix"
    whole.parallel("doctor", "--fix")
    assert (path / ".git").read_text() == f"gitdir: {admin}\n"
    is_whole(whole, path)


@pytest.mark.slow
def test_other_worktrees_survive_prune_and_repair_by_others(whole: Repo, tmp_path: Path) -> None:
    whole.path.parent.rename(tmp_path / "two")
    repo = Repo(tmp_path / "two" / whole.path.name)
    repo.git("worktree", "repair", home_of(repo) / "x")
    repo.git("worktree", "prune")
    repo.parallel("list")
    is_whole(repo, home_of(repo) / "x")


def test_a_read_only_repository_that_was_moved_can_still_be_listed(
    whole: Repo, tmp_path: Path
) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    whole.path.parent.rename(tmp_path / "two")
    repo = Repo(tmp_path / "two" / whole.path.name)
    repo.state.chmod(0o555)
    try:
        assert repo.names() == ["x"]
    finally:
        repo.state.chmod(0o755)
