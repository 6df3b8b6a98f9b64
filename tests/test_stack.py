"""Rebasing a task, and tasks that stand on another one: they follow it when it lands."""

import json
from pathlib import Path

import pytest

from tests.conftest import Repo, mostly_slow, normal, run
from tests.test_merge import EDIT, OTHER

STRATEGIES = ["merge", "squash", "rebase", "ff"]


def add(name: str) -> str:
    return f"echo {name} > {name}.txt && git add . && git commit -qm 'Add {name}'"


def subjects(repo: Repo, span: str) -> list[str]:
    return repo.git("log", "--format=%s", span).splitlines()


def test_rebases_a_task_onto_its_target(repo: Repo, tmp_path: Path) -> None:
    path = repo.start("x", add("x"))
    old = repo.git("rev-parse", "parallel/x")
    head = repo.commit("moved.txt", "moved\n")
    done = repo.parallel("rebase", "x")
    assert normal(done.stderr, tmp_path) == (
        "✓ x rebased onto main (SHORT)"
        ' ↳ git -C "$(git parallel path x)" reset --keep SHORT\n'
    )  # fmt: skip
    assert repo.git("rev-parse", "parallel/x^") == head == repo.task("x")["base"]
    assert repo.git("rev-parse", "parallel/x@{1}") == old
    assert sorted(p.name for p in path.glob("*.txt")) == ["moved.txt", "readme.txt", "x.txt"]
    assert repo.parallel("rebase", "x").stderr == "○ x is on top of main already\n"
    back = done.stderr.partition("↳ ")[2].strip()
    run("sh", "-c", back, cwd=repo.path)
    assert repo.git("rev-parse", "parallel/x") == old
    repo.parallel("merge", "x", "--strategy", "squash")
    assert (repo.path / "x.txt").exists()


@pytest.mark.slow
def test_leaves_a_conflict_to_the_person(repo: Repo, tmp_path: Path) -> None:
    path = repo.start("y", OTHER)
    repo.start("x", EDIT)
    repo.parallel("merge", "x")
    done = repo.parallel("rebase", "y", ok=1)
    assert normal(done.stderr, tmp_path) == (
        "✗ the rebase of `y` onto main stopped at conflicts in readme.txt\n"
        '↳ cd "$(git parallel path y)"  # resolve them, git add, and:\n'
        "↳ git rebase --continue\n"
        "↳ git rebase --abort\n"
    )
    assert "a rebase is not finished" in repo.parallel("rebase", "y", ok=1).stderr
    assert "a rebase is not finished in its worktree" in repo.parallel("list").stdout
    (path / "readme.txt").write_text("one\ntwo\nboth\nfour\nfive\n")
    run("git", "add", ".", cwd=path)
    run("git", "rebase", "--continue", cwd=path, env={"GIT_EDITOR": ":"})
    repo.git("merge", "--quiet", "--no-edit", "parallel/y")
    assert repo.names() == []  # its commits were made here, so that it counts as merged
    assert "both" in (repo.path / "readme.txt").read_text()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        ("echo more > more.txt", "1 uncommitted path in its worktree"),
        pytest.param(
            "git switch -q -c other",
            "its worktree is not on its branch parallel/x",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "git bisect start -q",
            "a bisect is not finished in its worktree",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_rebases_only_what_is_at_rest(repo: Repo, spoil: str, why: str) -> None:
    path = repo.start("x", add("x"))
    repo.commit("moved.txt", "moved\n")
    tip = repo.git("rev-parse", "parallel/x")
    run("sh", "-c", spoil, cwd=path)
    assert why in repo.parallel("rebase", "x", ok=1).stderr
    assert repo.git("rev-parse", "parallel/x") == tip


def test_overwrites_no_ignored_file_by_a_rebase(repo: Repo) -> None:
    path = repo.start("x", add("x"))
    repo.commit(".gitignore", "*.local\n")
    repo.parallel("rebase", "x")
    (path / "i.local").write_text("mine\n")
    repo.write("i.local", "theirs\n")
    repo.git("add", "--force", "i.local")
    repo.git("commit", "--quiet", "-m", "Track it")
    tip = repo.git("rev-parse", "parallel/x")
    told = repo.parallel("rebase", "x", ok=1).stderr
    assert "that git does not track would be overwritten: i.local\n↳ mv '" in told
    assert (path / "i.local").read_text() == "mine\n"
    assert repo.git("rev-parse", "parallel/x") == tip
    (path / "i.local").unlink()
    repo.parallel("rebase", "x")
    assert (path / "i.local").read_text() == "theirs\n"


@pytest.mark.slow
def test_does_not_rebase_below_a_run(repo: Repo) -> None:
    repo.start("x", add("x"))
    repo.commit("moved.txt", "moved\n")
    repo.parallel("run", "x", "--", "sleep", "60")
    assert "`x` is being worked on" in repo.parallel("rebase", "x", ok=1).stderr
    repo.parallel("stop", "x")


@pytest.mark.slow
@pytest.mark.parametrize("strategy", mostly_slow(STRATEGIES, ["squash"]))
def test_children_follow_their_parent(repo: Repo, strategy: str) -> None:
    repo.start("a", add("a"))
    repo.start("b", add("b"), "parallel/a")
    repo.start("c", add("c"), "parallel/b")
    assert [repo.task(name)["target"] for name in "abc"] == ["main", "parallel/a", "parallel/b"]
    old = repo.git("rev-parse", "parallel/b")
    if strategy != "ff":
        repo.commit("moved.txt", "moved\n")
    (done,) = repo.json("merge", "a", "--strategy", strategy)["landed"]
    assert (
        done["moved"]
        == [
            {"name": "b", "target": "main", "commit": repo.git("rev-parse", "parallel/b")},
            {"name": "c", "target": "parallel/b", "commit": repo.git("rev-parse", "parallel/c")},
        ][: None if strategy != "ff" else 1]
    )
    head = repo.git("rev-parse", "main")
    assert [repo.task(name)["target"] for name in "bc"] == ["main", "parallel/b"]
    assert repo.git("rev-parse", "parallel/b^") == head == repo.task("b")["base"]
    assert repo.git("rev-parse", "parallel/c^") == repo.git("rev-parse", "parallel/b")
    assert subjects(repo, "main..parallel/c") == ["Add c", "Add b"]
    assert old in repo.git("reflog", "--format=%H", "parallel/b").split()
    assert repo.task("b")["conflicts"] == repo.task("c")["conflicts"] == []
    repo.parallel("merge", "b", "c", "--strategy", strategy)
    assert {p.stem for p in repo.path.glob("?.txt")} == {"a", "b", "c"}
    assert repo.names() == []


@pytest.mark.slow
def test_a_child_that_is_not_at_rest_or_conflicts_is_only_retargeted(repo: Repo) -> None:
    repo.start("a", EDIT)
    path = repo.start("b", add("b"), "parallel/a")
    repo.start(
        "c", "sed -i.bak s/THREE/tres/ readme.txt; rm *.bak; git commit -qam c", "parallel/a"
    )
    tips = [repo.git("rev-parse", f"parallel/{name}") for name in "bc"]
    (path / "mess.txt").write_text("mine\n")
    hook = repo.path / ".git" / "hooks" / "pre-commit"  # the result is not what the child stands on
    hook.write_text("#!/bin/sh\necho other > readme.txt; git add readme.txt\n")
    hook.chmod(0o755)
    done = repo.parallel("merge", "a", "--strategy", "squash")
    assert (
        "▲ b stood on it and is for main now, but not rebased: "
        "1 uncommitted path in its worktree ↳ git parallel rebase b\n"
    ) in done.stderr
    assert "not rebased: it conflicts in readme.txt ↳ git parallel rebase c\n" in done.stderr
    assert [repo.git("rev-parse", f"parallel/{name}") for name in "bc"] == tips
    assert [repo.task(name)["target"] for name in "bc"] == ["main", "main"]
    assert (path / "mess.txt").read_text() == "mine\n"
    (path / "mess.txt").unlink()
    hook.unlink()
    repo.parallel("rebase", "b")  # it still knows which commits are its own
    assert subjects(repo, "main..parallel/b") == ["Add b"]
    record = json.loads((repo.state / "tasks" / "b" / "retarget.json").read_text())
    assert record["base"] == repo.git("rev-parse", "main")


@pytest.mark.slow
def test_nothing_moves_below_a_run_of_the_parent(repo: Repo) -> None:
    repo.start("a", add("a"))
    repo.start("b", add("b"), "parallel/a")
    tip = repo.git("rev-parse", "parallel/a")
    repo.parallel("run", "a", "--", "sleep", "60")
    for words in ([], ["--dry-run"]):
        done = repo.parallel("merge", "b", *words, ok=1)
        assert "`b` can't be merged: `a`, its target, is being worked on" in done.stderr
    assert repo.git("rev-parse", "parallel/a") == tip
    repo.parallel("stop", "a")
    repo.parallel("merge", "b")
    assert repo.git("show", "parallel/a:b.txt") == "b"


def squash_by_git(repo: Repo, name: str) -> str:
    """Merge a task as a forge does, without a word to us; returns what our hook said."""
    repo.git("merge", "--quiet", "--squash", f"parallel/{name}")
    return run("git", "commit", "--quiet", "-m", f"Land {name}", cwd=repo.path).stderr


def begin_stack(repo: Repo) -> Path:
    """A task, and another one that was started from its branch and changes the same lines."""
    repo.start("a", EDIT)
    edit = "sed -i.bak s/THREE/tres/ readme.txt; rm *.bak; echo b > b.txt; git add ."
    path = repo.start("b", f"{edit}; git commit -qm 'Add b'", "parallel/a")
    repo.start("other", "echo other > other.txt; git add . && git commit -qm 'Add other'")
    return path


@pytest.mark.slow
def test_a_child_of_what_was_squashed_elsewhere_counts_its_own_commits(repo: Repo) -> None:
    path = begin_stack(repo)
    parent, tip = repo.git("rev-parse", "parallel/a"), repo.git("rev-parse", "parallel/b")
    repo.commit("moved.txt", "moved\n")
    squash_by_git(repo, "a")
    assert repo.names() == ["b", "other"]
    task = repo.task("b")
    assert (task["target"], task["base"]) == ("main", parent)
    assert (task["files"], task["ahead"], task["conflicts"]) == (2, 1, [])
    assert [c["subject"] for c in repo.json("review", "b")["commits"]] == ["Add b"]
    assert repo.json("conflicts")["conflicts"] == []
    assert sorted(repo.json("plan")["order"]) == ["b", "other"]
    assert repo.git("rev-parse", "parallel/b") == tip  # nobody asked for a rebase
    assert (path / "b.txt").exists()


@pytest.mark.slow
@pytest.mark.parametrize("hooks", [False, True])
@pytest.mark.parametrize("strategy", STRATEGIES[:3])
def test_such_a_child_lands_with_its_own_commits_only(
    repo: Repo, strategy: str, hooks: bool
) -> None:
    begin_stack(repo)
    squash_by_git(repo, "a")
    assert repo.names() == ["b", "other"]
    repo.commit("readme.txt", "one\ntwo\nTHREE\nfour\nfive\nsix\n")
    for name in ("pre-merge-commit", "pre-commit") if hooks else ():
        hook = repo.path / ".git" / "hooks" / name
        hook.write_text("#!/bin/sh\ntrue\n")
        hook.chmod(0o755)
    config = repo.path / ".git" / "parallel" / "config.toml"
    config.write_text(f'[merge]\nstrategy = "{strategy}"\n')
    assert sorted(repo.json("plan")["order"]) == ["b", "other"]
    before = repo.git("rev-parse", "main")
    repo.parallel("merge", "b", "--dry-run")
    assert repo.git("rev-parse", "main") == before
    repo.parallel("merge", "b")
    assert repo.git("show", "main:readme.txt").split() == [
        "one",
        "two",
        "tres",
        "four",
        "five",
        "six",
    ]
    merges = repo.git("log", "--format=%s", f"{before}..main").splitlines()
    assert "Add b" in merges and not [s for s in merges if "three" in s.lower()]
    assert repo.names() == ["other"]


@pytest.mark.slow
def test_tells_of_what_stood_on_a_task_that_landed_elsewhere(repo: Repo) -> None:
    begin_stack(repo)
    assert squash_by_git(repo, "a").splitlines()[1:] == [
        "▲ b stood on it and is for main now, but not rebased: "
        "its commits stand on those of a ↳ git parallel rebase b"
    ]
    told = "which main does not have: git parallel rebase b\n"
    assert told in repo.parallel("show", "b").stdout
    repo.parallel("rebase", "b")
    assert told not in repo.parallel("show", "b").stdout
    assert subjects(repo, "main..parallel/b") == ["Add b"]
    assert repo.task("b")["ahead"] == 1
    repo.parallel("merge", "b")
    assert (repo.path / "b.txt").exists()


@pytest.mark.slow
def test_a_child_of_what_was_merged_elsewhere_has_it_in_its_target(repo: Repo) -> None:
    begin_stack(repo)
    repo.git("merge", "--quiet", "--no-ff", "-m", "Land a", "parallel/a")
    task = repo.task("b")
    assert (task["target"], task["ahead"], task["conflicts"]) == ("main", 1, [])
    record = json.loads((repo.state / "tasks" / "b" / "retarget.json").read_text())
    assert record["stands_on"] is None
    repo.parallel("merge", "b")
    assert (repo.path / "b.txt").exists()


@pytest.mark.slow
def test_a_child_that_took_in_its_target_since_is_compared_with_that(repo: Repo) -> None:
    path = begin_stack(repo)
    squash_by_git(repo, "a")
    repo.names()
    repo.commit("moved.txt", "moved\n")
    run("git", "merge", "--quiet", "-X", "ours", "-m", "Take main in", "main", cwd=path)
    task = repo.task("b")
    assert (task["files"], task["conflicts"]) == (2, [])
    assert "moved.txt" not in repo.json("show", "b")["paths"]


@pytest.mark.slow
def test_a_second_child_of_the_same_parent_is_planned_beside_the_first(repo: Repo) -> None:
    begin_stack(repo)
    repo.start("c", add("c"), "parallel/a")
    repo.start("d", add("d"), "parallel/b")
    squash_by_git(repo, "a")
    assert set(repo.names()) == {"b", "c", "d", "other"}
    assert repo.json("conflicts")["conflicts"] == []
    assert set(repo.json("plan")["order"]) == {"b", "c", "d", "other"}
    repo.parallel("merge", "--all", "--strategy", "squash")
    assert repo.names() == []
    assert {p.stem for p in repo.path.glob("?.txt")} == {"b", "c", "d"}
    assert "tres" in (repo.path / "readme.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["merge", "squash"])
def test_a_child_that_lands_before_its_parent_in_one_call(repo: Repo, strategy: str) -> None:
    repo.start("x", "echo > x.txt")
    repo.start("y", "echo > y.txt", "parallel/x")
    told = repo.parallel("merge", "y", "x", "--strategy", strategy).stderr
    assert "rebased" not in told
    assert (repo.path / "x.txt").exists() and (repo.path / "y.txt").exists()
    assert repo.names() == []


# Merges among a task's own commits.


def take_in(path: Path, branch: str = "main") -> None:
    """Merge a branch into the task of a worktree, with a change that neither side has."""
    run("git", "merge", "--quiet", "--no-commit", branch, cwd=path)
    (path / "readme.txt").write_text("adapted\n")
    run("git", "commit", "--quiet", "-am", f"Take {branch} in", cwd=path)


@pytest.mark.slow
def test_does_not_rebase_away_what_only_a_merge_holds(repo: Repo) -> None:
    path = repo.start("x", add("x"))
    repo.commit("moved.txt", "moved\n")
    take_in(path)
    repo.commit("more.txt", "more\n")
    tip, head = repo.git("rev-parse", "parallel/x"), repo.git("rev-parse", "main")
    words = "`x` can't be rebased: a merge among its commits holds changes that a rebase would drop"
    told = repo.parallel("rebase", "x", ok=1).stderr
    assert told == f'✗ {words}\n↳ git -C "$(git parallel path x)" merge main\n'
    for dry in (["--dry-run"], []):
        told = repo.parallel("merge", "x", "--strategy", "rebase", *dry, ok=1).stderr
        assert told == f"✗ {words}\n↳ git parallel merge x --strategy merge\n"
    assert (repo.git("rev-parse", "parallel/x"), repo.git("rev-parse", "main")) == (tip, head)
    repo.parallel("merge", "x", "--strategy", "merge")
    assert (repo.path / "readme.txt").read_text() == "adapted\n"


@pytest.mark.slow
def test_rebases_over_a_merge_that_holds_nothing_of_its_own(repo: Repo) -> None:
    path = repo.start("x", add("x"))
    repo.commit("moved.txt", "moved\n")
    run("git", "merge", "--quiet", "--no-edit", "main", cwd=path)
    repo.commit("more.txt", "more\n")
    repo.parallel("rebase", "x")
    assert subjects(repo, "main..parallel/x") == ["Add x"]


@pytest.mark.slow
def test_a_child_whose_merge_holds_more_stays_as_it_is(repo: Repo) -> None:
    repo.start("a", add("a"))
    path = repo.start("b", add("b"), "parallel/a")
    repo.commit("moved.txt", "moved\n")
    take_in(path)
    tip = repo.git("rev-parse", "parallel/b")
    told = repo.parallel("merge", "a").stderr
    assert "not rebased: a merge among its commits holds changes that a rebase would drop" in told
    assert repo.git("rev-parse", "parallel/b") == tip
    repo.parallel("merge", "b")
    assert (repo.path / "readme.txt").read_text() == "adapted\n"


@pytest.mark.slow
def test_does_not_call_a_history_of_its_own_rebased(repo: Repo) -> None:
    path = repo.start("x", add("x"))
    run("git", "switch", "--quiet", "--orphan", "new", cwd=path)
    run("git", "commit", "--quiet", "--allow-empty", "-m", "Begin anew", cwd=path)
    run("git", "branch", "--quiet", "--force", "parallel/x", cwd=path)
    run("git", "switch", "--quiet", "parallel/x", cwd=path)
    told = repo.parallel("rebase", "x", ok=1).stderr
    assert told == "✗ `x` can't be rebased: its history has nothing in common with main\n"


@pytest.mark.slow
def test_such_a_child_of_what_was_squashed_lands_once_it_took_in_its_target(repo: Repo) -> None:
    repo.start("a", add("a"))
    path = repo.start("b", add("b"), "parallel/a")
    repo.git("switch", "--quiet", "-c", "side")
    repo.commit("side.txt", "side\n")
    repo.git("switch", "--quiet", "main")
    take_in(path, "side")
    repo.parallel("merge", "a", "--strategy", "squash")
    for words in (["rebase", "b"], ["merge", "b"]):
        told = repo.parallel(*words, ok=1).stderr
        assert told == (
            "✗ `b` can't be rebased: a merge among its commits holds changes that a rebase would"
            ' drop\n↳ git -C "$(git parallel path b)" merge main\n'
        )
    run("sh", "-c", told.partition("↳ ")[2], cwd=repo.path)
    repo.parallel("merge", "b")
    assert (repo.path / "readme.txt").read_text() == "adapted\n"
    assert (repo.path / "b.txt").exists()


# A parent that was rewritten.


@pytest.mark.slow
def test_children_follow_a_parent_that_is_rebased(repo: Repo, tmp_path: Path) -> None:
    repo.start("a", add("a"))
    repo.start("b", add("b"), "parallel/a")
    repo.start("c", add("c"), "parallel/b")
    path = repo.start("d", add("d"), "parallel/a")
    (path / "mess.txt").write_text("mine\n")
    repo.commit("moved.txt", "moved\n")
    assert normal(repo.parallel("rebase", "a").stderr, tmp_path) == (
        "✓ a rebased onto main (SHORT)"
        ' ↳ git -C "$(git parallel path a)" reset --keep SHORT\n'
        "✓ b stands on it, and was rebased onto parallel/a, too (SHORT)\n"
        "✓ c stands on it, and was rebased onto parallel/b, too (SHORT)\n"
        "▲ d stands on it, and was not rebased: 1 uncommitted path in its worktree"
        " ↳ git parallel rebase d\n"
    )
    assert subjects(repo, "parallel/a..parallel/b") == ["Add b"]
    assert subjects(repo, "parallel/b..parallel/c") == ["Add c"]
    assert [repo.task(name)["ahead"] for name in "abcd"] == [1, 1, 1, 1]
    (path / "mess.txt").unlink()
    repo.parallel("merge", "d")  # it brings nothing of the old commits of a
    assert subjects(repo, "main..parallel/a").count("Add a") == 1
    assert sorted(subjects(repo, "main..parallel/a^2")) == ["Add a", "Add d"]


@pytest.mark.slow
def test_a_child_follows_a_parent_that_was_amended(repo: Repo) -> None:
    path = repo.start("a", add("a"))
    repo.start("b", add("b"), "parallel/a")
    (path / "a.txt").write_text("amended\n")
    run("git", "commit", "--quiet", "-a", "--amend", "-m", "Add a better", cwd=path)
    assert "b stood on it and is for main now, rebased" in repo.parallel("merge", "a").stderr
    assert subjects(repo, "main..parallel/b") == ["Add b"]


@pytest.mark.slow
def test_a_branch_that_others_go_into_is_not_deleted(repo: Repo) -> None:
    repo.start("a", add("a"))
    repo.parallel("start", "e")
    repo.start("b", add("b"), "parallel/a")
    repo.start("f", add("f"), "parallel/e")
    told = repo.parallel("remove", "a", "--delete-branch", ok=1).stderr
    assert told == (
        "✗ `a` can't be removed with its branch: b is to be merged into that\n"
        "↳ git parallel remove a\n"
    )
    repo.parallel("remove", "a", "e")
    repo.parallel("merge", "b", "f")
    assert subjects(repo, "main..parallel/a") and subjects(repo, "main..parallel/e")


@pytest.mark.slow
def test_a_child_that_can_not_follow_counts_from_what_it_was_started_on(repo: Repo) -> None:
    path = repo.start("a", add("a"))
    child = repo.start("b", add("b"), "parallel/a")
    run("git", "commit", "--quiet", "--amend", "-m", "Add a better", cwd=path)
    repo.commit("moved.txt", "moved\n")
    (child / "mess.txt").write_text("mine\n")
    assert "▲ b stands on it, and was not rebased" in repo.parallel("rebase", "a").stderr
    assert [c["subject"] for c in repo.json("review", "b")["commits"]] == ["Add b"]
    (child / "mess.txt").unlink()
    repo.parallel("merge", "a")
    repo.parallel("rebase", "b", ok=(0, 1))
    assert subjects(repo, "main..parallel/b") == ["Add b"]


# A task that waits for the one that it stands on.


@pytest.mark.slow
def test_a_task_that_waited_begins_where_the_awaited_one_is(repo: Repo) -> None:
    hold = f"until test -e {str(repo.path)!r}/go; do sleep 0.05; done"
    repo.parallel("start", "a", "--", "sh", "-c", f"{hold}; {add('a')}")
    words = ("start", "b", "parallel/a", "--after", "a", "--", "sh", "-c", f"ls; {add('b')}")
    repo.parallel(*words)
    repo.write("go", "")
    repo.parallel("wait", "a", "b")
    assert subjects(repo, "parallel/a..parallel/b") == ["Add b"]
    task = repo.task("b")
    assert (task["base"], task["behind"]) == (repo.git("rev-parse", "parallel/a"), 0)
    assert "a.txt" in repo.parallel("log", "b").stdout


@pytest.mark.slow
def test_a_task_that_waited_keeps_what_somebody_did_meanwhile(repo: Repo) -> None:
    hold = f"until test -e {str(repo.path)!r}/go; do sleep 0.05; done"
    repo.parallel("start", "a", "--", "sh", "-c", f"{hold}; {add('a')}")
    repo.parallel("start", "b", "parallel/a", "--after", "a", "--", "sh", "-c", add("b"))
    path = Path(repo.task("b")["path"])
    (path / "mine.txt").write_text("mine\n")
    run("git", "add", ".", cwd=path)
    run("git", "commit", "--quiet", "-m", "Mine", cwd=path)
    repo.write("go", "")
    repo.parallel("wait", "a", "b")
    assert subjects(repo, "main..parallel/b") == ["Add b", "Mine"]
