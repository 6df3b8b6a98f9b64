"""`undo --merge`: the target goes back where that is safe; else nothing is touched."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Repo, mostly_slow, normal, run

EDIT = "sed -i.bak s/three/THREE/ readme.txt && rm readme.txt.bak && git commit -qam edit"
WORK = EDIT + " && git rm -q old.txt && echo new > new.txt && git add . && git commit -qm more"


@pytest.fixture
def merged(repo: Repo) -> tuple[Repo, Path, str]:
    """A repository where x was merged and cleaned up, its worktree then, and main before."""
    repo.commit("old.txt", "old\n")
    path = repo.start("x", WORK)
    before = repo.commit("other.txt", "other\n")
    repo.parallel("merge", "x")
    assert not path.exists()
    return repo, path, before


@pytest.mark.parametrize(
    "strategy", mostly_slow(["merge", "squash", "rebase", "ff"], ["merge", "rebase"])
)
def test_takes_back_a_merge_of_any_strategy(repo: Repo, strategy: str) -> None:
    repo.commit("old.txt", "old\n")
    path = repo.start("x", WORK)
    if strategy != "ff":
        repo.commit("other.txt", "other\n")
    before, tip = repo.git("rev-parse", "main"), repo.git("rev-parse", "parallel/x")
    repo.parallel("merge", "x", "--strategy", strategy)
    done = repo.parallel("undo", "--merge", "x")
    short = repo.git("rev-parse", "--short", before)
    assert done.stdout == f"{path}\n"
    assert done.stderr.splitlines()[:2] == [
        f"✓ main is back at {short}, without x",
        "✓ x is back ↳ git parallel show x",
    ]
    assert repo.git("rev-parse", "main", "parallel/x").split() == [before, tip]
    assert repo.git("status", "--porcelain") == ""
    assert run("git", "status", "--porcelain", cwd=path).stdout == ""
    assert repo.task("x")["status"] == "ready"
    assert "is not known" not in repo.parallel("merge", "x").stderr
    assert repo.git("show", "main:new.txt") == "new"


@pytest.mark.slow
def test_keeps_what_is_not_committed_elsewhere(merged: tuple[Repo, Path, str]) -> None:
    repo, _, before = merged
    repo.write("other.txt", "mine\n")
    repo.write("note", "mine\n")
    repo.write("staged", "mine\n")
    repo.git("add", "staged")
    repo.parallel("undo", "--merge", "x")
    assert repo.git("rev-parse", "main") == before
    assert repo.git("status", "--porcelain").splitlines() == [
        " M other.txt",
        "A  staged",
        "?? note",
    ]


IN_THE_WAY = {
    "edited": "echo mine > readme.txt",
    "staged": "echo mine > readme.txt; git add readme.txt",
    "hidden": "git update-index --assume-unchanged readme.txt; echo mine > readme.txt",
    "untracked where one comes back": "echo mine > old.txt",
    "ignored where one comes back": "echo old.txt >> .git/info/exclude; echo mine > old.txt",
}


@pytest.mark.parametrize("steps", IN_THE_WAY.values(), ids=list(IN_THE_WAY))
def test_touches_nothing_where_something_is_in_the_way(
    merged: tuple[Repo, Path, str], steps: str
) -> None:
    repo, path, before = merged
    run("sh", "-ec", steps, cwd=repo.path)
    now = repo.git("rev-parse", "main")
    status = repo.git("status", "--porcelain")
    done = repo.parallel("undo", "--merge", "x", ok=1)
    assert " would be overwritten: " in done.stderr
    assert now == repo.git("rev-parse", "main") != before
    assert repo.git("status", "--porcelain") == status
    assert not path.exists()
    assert "mine" in (repo.path / ("old.txt" if "old.txt" in steps else "readme.txt")).read_text()


def test_a_file_outside_of_a_sparse_checkout_is_not_in_the_way(repo: Repo) -> None:
    repo.commit("s/f", "f\n")
    before = repo.commit("t/g", "g\n")
    repo.start("x", "echo more >> s/f && git commit -qam more")
    repo.git("sparse-checkout", "set", "t")
    repo.parallel("merge", "x")
    repo.parallel("undo", "--merge", "x")
    assert repo.git("rev-parse", "main") == before
    assert repo.git("status", "--porcelain") == ""
    assert not (repo.path / "s").exists()


@pytest.mark.slow
def test_a_folder_of_what_is_tracked_is_not_in_the_way_of_a_file(repo: Repo) -> None:
    work = "git rm -q readme.txt && mkdir readme.txt && echo f > readme.txt/f && git add ."
    repo.start("x", f"{work} && git commit -qm work")
    repo.parallel("merge", "x")
    repo.write("readme.txt/mine", "mine\n")
    told = repo.parallel("undo", "--merge", "x", ok=1).stderr
    assert "would be overwritten: readme.txt/mine\n" in told
    run("sh", "-ec", told.rpartition("↳ ")[2], cwd=repo.path)
    repo.parallel("undo", "--merge", "x")
    assert (repo.path / "readme.txt").read_text().startswith("one")
    assert (repo.path / "readme.txt.mine" / "mine").read_text() == "mine\n"


def test_says_how_to_revert_where_the_target_moved_on(merged: tuple[Repo, Path, str]) -> None:
    repo, path, _ = merged
    result = repo.git("rev-parse", "main")
    repo.commit("later.txt", "later\n")
    done = repo.parallel("undo", "--merge", "x", ok=1)
    assert done.stderr == (
        f"✗ main has moved on since `x` was merged\n↳ git revert -m 1 {result}\n"
    )
    assert not path.exists()
    repo.git("revert", "--no-edit", "-m", "1", result)
    assert (repo.path / "old.txt").exists()


@pytest.mark.slow
def test_says_how_to_revert_what_was_pushed(merged: tuple[Repo, Path, str], tmp_path: Path) -> None:
    repo, _, _ = merged
    repo.git("init", "--quiet", "--bare", str(tmp_path / "origin"))
    repo.git("remote", "add", "origin", str(tmp_path / "origin"))
    repo.git("push", "--quiet", "-u", "origin", "main")
    done = repo.parallel("undo", "--merge", "x", ok=1)
    assert "the merge of `x` is in origin/main already" in done.stderr
    assert "git revert -m 1 " in done.stderr


@pytest.mark.slow
def test_moves_a_target_that_is_not_checked_out(merged: tuple[Repo, Path, str]) -> None:
    repo, path, before = merged
    repo.git("switch", "--quiet", "-c", "elsewhere")
    repo.parallel("undo", "--merge", "x")
    assert repo.git("rev-parse", "main") == before
    assert path.is_dir()
    assert repo.git("status", "--porcelain") == ""


@pytest.mark.slow
def test_takes_back_what_is_merged_and_was_brought_back(merged: tuple[Repo, Path, str]) -> None:
    repo, path, before = merged
    repo.parallel("undo", "x")
    assert repo.task("x")["status"] == "merged"
    repo.parallel("undo", "--merge", "x")
    assert repo.git("rev-parse", "main") == before
    assert path.is_dir()
    assert "no merge of `x`" in repo.parallel("undo", "--merge", "x", ok=1).stderr


@pytest.mark.slow
def test_refuses_before_anything_where_a_new_task_has_the_name(
    merged: tuple[Repo, Path, str],
) -> None:
    repo, _, before = merged
    repo.start("x", "echo z > z; git add z; git commit -qm z")
    assert "there is a new task `x`" in repo.parallel("undo", "--merge", "x", ok=1).stderr
    assert repo.git("rev-parse", "main") != before


# Killed after the ref has moved, before or while git brings the files along

Half = Callable[[Repo], None]


def nothing_written(repo: Repo) -> None:
    pass


def half_written(repo: Repo) -> None:
    """Git writes the files one after the other, and the index at the end."""
    (repo.path / "old.txt").write_text("old\n")
    (repo.path / "new.txt").unlink()


def all_written(repo: Repo) -> None:
    half_written(repo)
    (repo.path / "readme.txt").write_text("one\ntwo\nthree\nfour\nfive\n")


HALVES = [nothing_written, half_written, all_written]


@pytest.fixture
def cut_off(merged: tuple[Repo, Path, str], tmp_path: Path) -> tuple[Repo, Path, str]:
    """The same, with `undo --merge` killed when it was about to call for the files."""
    repo, path, before = merged
    real = shutil.which("git")
    (tmp_path / "bin").mkdir()
    script = f"""#!/bin/sh
case "$*" in
*--dry-run*) ;;
*"read-tree -m -u"*) kill -9 $PPID; exit 1 ;;
esac
exec {real} "$@"
"""
    (tmp_path / "bin" / "git").write_text(script)
    (tmp_path / "bin" / "git").chmod(0o755)
    way = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    words = ("git-parallel", "undo", "--merge", "x")
    run(*words, cwd=repo.path, env={"PATH": way}, ok=-signal.SIGKILL)
    assert repo.git("rev-parse", "main") == before
    assert repo.git("status", "--porcelain") != ""
    return repo, path, before


def is_taken_back(repo: Repo, path: Path, before: str) -> None:
    assert repo.git("rev-parse", "main") == before
    assert run("git", "status", "--porcelain", cwd=path).stdout == ""
    assert repo.names() == ["x"]
    assert repo.json("doctor")["findings"] == []


@pytest.mark.slow
@pytest.mark.parametrize("half", HALVES)
def test_finishes_what_was_killed(cut_off: tuple[Repo, Path, str], half: Half) -> None:
    repo, path, before = cut_off
    half(repo)
    repo.write("other.txt", "mine\n")
    repo.write("staged", "mine\n")
    repo.git("add", "staged")
    done = repo.parallel("undo", "--merge", "x")
    assert done.stdout == f"{path}\n"
    assert "without x" in done.stderr
    assert repo.git("status", "--porcelain").splitlines() == [" M other.txt", "A  staged"]
    is_taken_back(repo, path, before)


@pytest.mark.slow
@pytest.mark.parametrize("half", HALVES)
def test_doctor_explains_what_was_killed_and_finishes_it(
    cut_off: tuple[Repo, Path, str], half: Half, tmp_path: Path
) -> None:
    repo, path, before = cut_off
    half(repo)
    assert normal(repo.parallel("doctor", ok=1).stdout, tmp_path) == (
        "✗ to take back the merge of x into main was interrupted; where main is checked out, what"
        " it brought may look like changes of yours\n"
        "↳ git parallel undo --merge x\n"
    )
    words = (
        "▲ to take back the merge of x into main was interrupted ↳ git parallel undo --merge x\n"
    )
    assert repo.parallel("list").stderr.startswith(words)
    repo.parallel("doctor", "--fix")
    assert repo.git("status", "--porcelain") == ""
    assert "interrupted" not in repo.parallel("list").stderr
    is_taken_back(repo, path, before)


@pytest.mark.slow
@pytest.mark.parametrize("half", mostly_slow(HALVES, quick=[half_written]))
def test_what_a_person_changed_since_it_was_killed_stays(
    cut_off: tuple[Repo, Path, str], half: Half
) -> None:
    repo, path, before = cut_off
    half(repo)
    was = (repo.path / "readme.txt").read_text()
    repo.write("readme.txt", "mine\n")
    status = repo.git("status", "--porcelain")
    for words in (("undo", "--merge", "x"), ("merge", "x")):
        told = repo.parallel(*words, ok=1).stderr
        assert f"uncommitted changes in {repo.path} would be overwritten: readme.txt" in told
    assert "could not be mended" in repo.parallel("doctor", "--fix", ok=1).stdout
    assert repo.git("status", "--porcelain") == status
    assert (repo.path / "readme.txt").read_text() == "mine\n"
    repo.write("readme.txt", was)
    repo.parallel("undo", "--merge", "x")
    assert repo.git("status", "--porcelain") == ""
    is_taken_back(repo, path, before)


RESETS = [
    ("reset", "--hard"),
    ("commit", "-qm", "Keep one", "readme.txt"),
    ("stash",),
    ("switch", "-c", "new"),
]


@pytest.mark.slow
@pytest.mark.parametrize("words", RESETS, ids=" ".join)
def test_leaves_alone_what_a_person_made_of_it(
    cut_off: tuple[Repo, Path, str], words: tuple[str, ...]
) -> None:
    repo, path, _ = cut_off
    repo.git(*words)
    tip, status = repo.git("rev-parse", "main"), repo.git("status", "--porcelain")
    assert repo.parallel("undo", "--merge", "x").stdout == f"{path}\n"
    assert repo.git("status", "--porcelain") == status
    is_taken_back(repo, path, tip)


@pytest.mark.slow
def test_another_merge_finishes_it_first(cut_off: tuple[Repo, Path, str]) -> None:
    repo, path, _ = cut_off
    repo.start("y", "echo y > y && git add y && git commit -qm y")
    done = repo.parallel("merge", "y")
    assert "without x" in done.stderr
    assert repo.git("status", "--porcelain") == ""
    assert path.is_dir()
    assert repo.git("ls-tree", "--name-only", "main").splitlines() == [
        *("old.txt", "other.txt", "readme.txt", "y"),
    ]


def note(name: str) -> str:
    return f"echo {name} > {name}.txt && git add . && git commit -qm 'Add {name}'"


@pytest.mark.parametrize("strategy", mostly_slow(["merge", "squash", "rebase", "ff"], ["squash"]))
def test_a_task_that_followed_goes_back_with_it(repo: Repo, strategy: str) -> None:
    repo.start("x", note("x"))
    repo.start("y", note("y"), "parallel/x")
    repo.start("z", note("z"), "parallel/y")
    if strategy != "ff":
        repo.commit("moved.txt", "moved\n")
    repo.parallel("merge", "x", "--strategy", strategy)
    assert repo.task("y")["target"] == "main"
    told = repo.parallel("undo", "--merge", "x").stderr
    assert "✓ y stood on it and is for parallel/x now" in told
    assert [repo.task(name)["target"] for name in "xyz"] == ["main", "parallel/x", "parallel/y"]
    log = repo.git("log", "--format=%s", "main..parallel/z").splitlines()
    assert log == ["Add z", "Add y", "Add x"]
    repo.parallel("merge", "y", "--strategy", strategy)
    assert not (repo.path / "x.txt").exists()
    repo.parallel("merge", "x", "z", "--strategy", strategy)
    assert {path.stem for path in repo.path.glob("?.txt")} == {"x", "y", "z"}


@pytest.mark.slow
def test_what_stands_on_it_and_stays_does_not_land_it_again(repo: Repo) -> None:
    repo.start("x", note("x"))
    path = repo.start("y", note("y"), "parallel/x")
    repo.parallel("merge", "x", "--strategy", "squash")
    repo.start("z", note("z"))
    (path / "mess").write_text("mine\n")
    told = repo.parallel("undo", "--merge", "x").stderr
    assert (
        "▲ y stood on it and is for parallel/x now, but not rebased: 1 uncommitted path in its"
        " worktree ↳ git parallel rebase y\n"
    ) in told
    assert (
        "▲ z stood on it and is for main now, but not rebased: its commits stand on those of x"
        " ↳ git parallel rebase z\n"
    ) in told
    (path / "mess").unlink()
    assert repo.task("y")["ahead"] == repo.task("z")["ahead"] == 1
    repo.parallel("merge", "z", "--strategy", "squash")
    assert (repo.path / "z.txt").exists() and not (repo.path / "x.txt").exists()
    repo.parallel("rebase", "y")
    assert repo.git("log", "--format=%s", "parallel/x..parallel/y") == "Add y"
