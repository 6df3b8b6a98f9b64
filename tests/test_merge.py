"""Landing: the strategies, what is refused, and that nothing else moves."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from git_parallel.lock import Lock
from tests.conftest import PROGRAM, Repo, normal, run

EDIT = "sed -i.bak s/three/THREE/ readme.txt && rm readme.txt.bak && git commit -qam edit"
OTHER = "sed -i.bak s/three/drei/ readme.txt && rm readme.txt.bak && git commit -qam other"
ADD = "echo new > new.txt && git add . && git commit -qm add && echo 2 >> new.txt"


def shape(repo: Repo) -> list[str]:
    """The commits of main above the first, each with the number of its parents."""
    lines = repo.git("log", "--format=%s|%P", "main").splitlines()[:-1]
    return [f"{line.split('|')[0]} ({len(line.split('|')[1].split())})" for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("merge", ["Merge branch 'parallel/x' (2)", "Move on (1)", "x: work of the command (1)"]),
        ("squash", ["add (1)", "Move on (1)"]),
        ("rebase", ["x: work of the command (1)", "add (1)", "Move on (1)"]),
    ],
)
def test_lands_by_every_strategy(repo: Repo, strategy: str, expected: list[str]) -> None:
    repo.start("x", ADD)
    repo.commit("moved.txt", "moved\n", "Move on")
    done = repo.json("merge", "x", "--strategy", strategy)
    assert [entry["name"] for entry in done["landed"]] == ["x"]
    assert done["landed"][0]["commit"] == repo.git("rev-parse", "main")
    assert done["refused"] == []
    assert shape(repo)[: len(expected)] == expected or strategy == "merge"
    assert shape(repo)[0] == expected[0]
    assert repo.git("show", "main:new.txt") == "new\n2"
    assert (repo.path / "new.txt").read_text() == "new\n2\n"
    assert repo.git("status", "--porcelain") == ""
    assert repo.git("for-each-ref", "refs/heads", "--format=%(refname:short)") == "main"
    assert repo.names() == []
    assert repo.git("worktree", "list").count("\n") == 0


@pytest.mark.slow
def test_fast_forwards_only_where_that_is_possible(repo: Repo) -> None:
    repo.start("x", ADD)
    repo.start("y", EDIT)
    tip = repo.git("rev-parse", "parallel/x")
    repo.parallel("merge", "x", "--strategy", "ff")
    assert repo.git("rev-parse", "main") == tip
    refused = repo.parallel("merge", "y", "--strategy", "ff", ok=1)
    assert "main has moved on" in refused.stderr
    assert repo.git("rev-parse", "main") == tip


def test_makes_the_same_tree_as_plain_git(repo: Repo, tmp_path: Path) -> None:
    repo.start("x", ADD)
    repo.start("y", EDIT)
    clone = tmp_path / "clone"
    run("git", "clone", "--quiet", repo.path, clone, cwd=tmp_path)
    for name in ("x", "y"):
        run("git", "merge", "--quiet", "--no-edit", f"origin/parallel/{name}", cwd=clone)
    repo.parallel("merge", "--all")
    assert repo.git("rev-parse", "main^{tree}") == (
        run("git", "rev-parse", "HEAD^{tree}", cwd=clone).stdout.strip()
    )


@pytest.mark.slow
def test_refuses_a_conflict_and_changes_nothing(repo: Repo, tmp_path: Path) -> None:
    repo.start("x", EDIT)
    repo.start("y", OTHER)
    where = {"paths": ["readme.txt"], "kinds": ["content"]}
    assert repo.json("conflicts")["conflicts"] == [{"tasks": ["x", "y"], **where}]
    assert "✗ x and y: readme.txt (content)\n" in repo.parallel("conflicts").stdout
    repo.parallel("merge", "x")
    before = (repo.git("rev-parse", "main"), repo.git("for-each-ref"))
    by_hand = '↳ git -C "$(git parallel path y)" merge main\n'
    for strategy in ("merge", "squash", "rebase"):
        done = repo.parallel("merge", "y", "--strategy", strategy, ok=1)
        assert normal(done.stderr, tmp_path) == (
            "✗ `y` conflicts with main in readme.txt\n"
            "↳ git parallel rebase y\n" + by_hand * (strategy != "rebase")
        )
    assert (repo.git("rev-parse", "main"), repo.git("for-each-ref")) == before
    assert repo.git("status", "--porcelain") == ""
    assert repo.git("worktree", "list").count("\n") == 1
    conflicts = [{"tasks": ["y"], "target": "main", "paths": ["readme.txt"]}]
    told = repo.json("conflicts")["conflicts"]
    assert told == [{"tasks": ["y"], "target": "main", **where}]
    assert repo.task("y")["conflicts"] == conflicts


def test_keeps_dirty_files_and_refuses_those_it_would_change(repo: Repo) -> None:
    repo.commit("other.txt", "other\n")
    repo.start("x", EDIT)
    repo.write("other.txt", "mine\n")
    repo.write("untracked.txt", "mine\n")
    repo.write("readme.txt", "mine\n")
    head = repo.git("rev-parse", "main")
    done = repo.parallel("merge", "x", ok=1)
    assert "would be overwritten: readme.txt" in done.stderr
    assert repo.git("rev-parse", "main") == head
    assert (repo.path / "readme.txt").read_text() == "mine\n"
    repo.git("checkout", "--quiet", "readme.txt")
    repo.parallel("merge", "x")
    assert (repo.path / "other.txt").read_text() == "mine\n"
    assert (repo.path / "untracked.txt").read_text() == "mine\n"
    assert "THREE" in (repo.path / "readme.txt").read_text()


def test_refuses_to_overwrite_an_untracked_file(repo: Repo) -> None:
    repo.start("x", ADD)
    repo.write("new.txt", "mine\n")
    done = repo.parallel("merge", "x", ok=1)
    assert "would be overwritten: new.txt" in done.stderr
    assert (repo.path / "new.txt").read_text() == "mine\n"


def test_lands_in_a_target_that_is_checked_out_elsewhere_or_nowhere(repo: Repo) -> None:
    repo.git("branch", "release")
    repo.start("x", ADD, "release")
    repo.start("y", EDIT, "release")
    repo.parallel("merge", "x")
    assert repo.git("show", "release:new.txt") == "new\n2"
    elsewhere = repo.path.parent / "release tree"
    repo.git("worktree", "add", "--quiet", str(elsewhere), "release")
    repo.parallel("merge", "y")
    assert "THREE" in (elsewhere / "readme.txt").read_text()
    assert run("git", "status", "--porcelain", cwd=elsewhere).stdout == ""
    assert repo.git("rev-parse", "main") != repo.git("rev-parse", "release")


def test_checks_the_combination_before_it_lands(repo: Repo) -> None:
    check = "sh -c '! { test -e a && test -e b; }'"
    repo.parallel("config", "set", "checks.run", f'["{check}"]')
    repo.start("a", "echo > a")
    repo.start("b", "echo > b")
    assert [repo.task(n)["status"] for n in "ab"] == ["ready", "ready"]
    done = repo.json("merge", "--all", ok=1)
    assert [entry["name"] for entry in done["landed"]] == ["a"]
    assert done["refused"][0]["name"] == "b"
    assert "merged into main: the check" in done["refused"][0]["reason"]
    assert not (repo.path / "b").exists()
    assert repo.git("worktree", "list").count("\n") == 1
    repo.parallel("merge", "b", "--no-check")
    assert (repo.path / "b").exists()


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("true", "it has no commit of its own"),
        ("echo > f; exit 1", "1 uncommitted path in its worktree"),
    ],
)
def test_refuses_what_is_not_finished(repo: Repo, script: str, why: str) -> None:
    repo.start("x", script)
    assert why in repo.parallel("merge", "x", ok=1).stderr


def test_says_the_way_out_where_the_worktree_is_gone(repo: Repo) -> None:
    path = repo.start("x", EDIT)
    shutil.rmtree(path)
    told = repo.parallel("merge", "x", ok=1).stderr.splitlines()
    assert told == [
        f"✗ `x` can't be merged: its worktree {path} is gone",
        "↳ git parallel doctor --fix",
    ]
    repo.parallel("doctor", "--fix")
    repo.parallel("merge", "x")


@pytest.mark.slow
def test_says_how_to_see_why_git_can_not_tell(repo: Repo) -> None:
    path = repo.start("x", EDIT)
    (repo.path / ".git" / "worktrees" / "x" / "index").write_text("broken")
    told = repo.parallel("merge", "x", ok=1).stderr
    assert "can't tell whether its worktree is clean" in told
    done = run("sh", "-c", told.rpartition("↳ ")[2], cwd=repo.path, ok=128)
    assert "index" in done.stderr
    assert path.is_dir()


def test_merges_what_a_person_committed(repo: Repo) -> None:
    path = Path(repo.parallel("start", "x").stdout.strip())
    repo.parallel("wait", "x")
    run("sh", "-c", EDIT, cwd=path)
    repo.parallel("merge", "x")
    assert "THREE" in (repo.path / "readme.txt").read_text()


def test_a_dry_run_moves_nothing(repo: Repo) -> None:
    repo.start("x", EDIT)
    head = repo.git("rev-parse", "main")
    done = repo.parallel("merge", "x", "--dry-run")
    assert done.stderr == "○ x would be merged into main (merge), 1 path\n"
    assert repo.git("rev-parse", "main") == head
    assert repo.names() == ["x"]


def test_runs_the_hooks_of_others_when_it_lands(repo: Repo) -> None:
    repo.start("x", EDIT)
    hook = repo.path / ".git" / "hooks" / "post-merge"
    hook.write_text(hook.read_text().replace("code=0\n", "code=0\ntouch merged\n", 1))
    repo.parallel("merge", "x")
    assert (repo.path / "merged").exists()


@pytest.mark.slow
def test_a_task_that_somebody_else_swept_meanwhile_has_landed(repo: Repo) -> None:
    repo.start("x", EDIT)
    repo.start("y", ADD)
    hook = repo.path / ".git" / "hooks" / "post-merge"
    hook.write_text("#!/bin/sh\nunset GIT_DIR\ngit parallel cleanup --json > swept\n")
    done = json.loads(repo.parallel("merge", "x", "y", "--json").stdout)
    swept = json.loads((repo.path / "swept").read_text())["cleaned"]
    assert [one["name"] for one in swept] == ["y"]
    assert [one["name"] for one in done["landed"]] == ["x", "y"]
    assert done["refused"] == []
    assert repo.names() == []


@pytest.mark.slow
def test_a_merge_that_was_killed_left_no_scratch_for_long(repo: Repo) -> None:
    repo.parallel("config", "set", "checks.run", '["kill -9 $PPID"]')
    repo.start("x", EDIT, "--no-bootstrap")
    repo.parallel("config", "set", "checks.run", "[]")
    repo.parallel("run", "x", "--wait", "--", "true")
    repo.parallel("config", "set", "checks.run", '["kill -9 $PPID"]')
    head = repo.git("rev-parse", "main")
    done = repo.parallel("merge", "x", ok=None)
    assert done.returncode == -9 or done.returncode == 137
    assert repo.git("rev-parse", "main") == head
    repo.parallel("cleanup")
    assert repo.git("worktree", "list").count("\n") == 1
    assert not (repo.path.parent / "my répo.parallel" / ".scratch").exists()


def test_reviews_a_task(repo: Repo, tmp_path: Path) -> None:
    repo.start("x", EDIT, "-m", "Shout\nthree")
    repo.start("y", OTHER)
    assert normal(repo.parallel("review", "x").stdout, tmp_path) == (
        "task     x\n"
        "status   ready\n"
        "prompt   Shout\n"
        "changes  1 file +1 -1\n"
        "merges   cleanly into main\n"
        "\n"
        "  SHORT edit\n"
        "\n"
        " readme.txt | 2 +-\n"
        " 1 file changed, 1 insertion(+), 1 deletion(-)\n"
        "\n"
        "diff --git a/readme.txt b/readme.txt\n"
        "index SHORT..SHORT 100644\n"
        "--- a/readme.txt\n"
        "+++ b/readme.txt\n"
        "@@ -1,5 +1,5 @@\n"
        " one\n"
        " two\n"
        "-three\n"
        "+THREE\n"
        " four\n"
        " five\n"
    )
    told = repo.json("review", "x")
    assert [commit["subject"] for commit in told["commits"]] == ["edit"]
    assert told["paths"] == ["readme.txt"]
    repo.parallel("merge", "x")
    assert "conflicts with main: readme.txt" in repo.parallel("review", "y", "--stat").stdout
    queue = repo.parallel("review").stdout.splitlines()
    assert queue[1].split()[:2] == ["✓", "y"]


def test_shows_the_diff_in_the_pager_of_git(repo: Repo, tmp_path: Path) -> None:
    repo.start("x", EDIT)
    if run("sh", "-c", "command -v script", cwd=tmp_path, ok=None).returncode:
        pytest.skip("script(1) is not installed")
    env = {"GIT_PAGER": f"cat > {tmp_path}/paged", "TERM": "xterm"}
    command = f"{PROGRAM} review x"
    run("script", "-qec", command, "/dev/null", cwd=repo.path, env=env)
    assert "THREE" in (tmp_path / "paged").read_text()


@pytest.mark.slow
def test_tries_several_one_onto_the_other(repo: Repo) -> None:
    repo.start("x", EDIT)
    repo.start("y", OTHER)
    repo.start("z", ADD)
    done = repo.json("merge", "--all", "--dry-run", ok=1)
    assert [entry["name"] for entry in done["landed"]] == ["x", "z"]
    reason = "`y` conflicts with main in readme.txt, once x, z landed"
    assert done["refused"] == [{"name": "y", "reason": reason, "paths": ["readme.txt"]}]
    assert "would be merged" in repo.parallel("merge", "y", "--dry-run").stderr


@pytest.mark.slow
def test_names_only_what_goes_into_the_same_branch_where_tries_conflict(repo: Repo) -> None:
    repo.git("branch", "release")
    repo.start("x", EDIT)
    repo.start("a", EDIT, "release", "--target", "release")
    repo.start("s", ADD, "parallel/x")
    repo.start("y", OTHER)
    (left,) = repo.json("plan")["left"]
    assert (left["name"], left["collides"]) == ("y", ["x", "s"])
    done = repo.json("merge", "x", "a", "s", "y", "--dry-run", ok=1)
    assert [entry["name"] for entry in done["landed"]] == ["x", "a", "s"]
    assert [one["reason"] for one in done["refused"]] == [
        "`y` conflicts with main in readme.txt, once x, s landed"
    ]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["merge", "squash", "rebase", "ff"])
def test_tries_a_stack_as_it_will_be(repo: Repo, strategy: str) -> None:
    repo.start("x", EDIT)
    repo.start("y", ADD, "parallel/x")
    how = ("--strategy", strategy)
    tried = repo.parallel("merge", "x", "y", "--dry-run", *how).stderr
    assert f"y would be merged into main ({strategy}), 1 path\n" in tried
    tried = repo.parallel("merge", "y", "x", "--dry-run", *how).stderr
    assert f"y would be merged into parallel/x ({strategy}), 1 path\n" in tried
    assert f"x would be merged into main ({strategy}), 2 paths\n" in tried
    repo.parallel("merge", "x", "y", *how)
    if strategy == "ff":
        repo.start("z", "echo z > z")
        repo.start("w", "echo w > w")
        told = repo.parallel("merge", "z", "w", "--dry-run", *how, ok=1).stderr
        assert "`w` can't be fast-forwarded: main has moved on" in told


def test_leaves_the_folder_that_it_was_called_from(repo: Repo) -> None:
    repo.commit("d/f", "f\n")
    repo.start("x", "git rm -q d/f && git commit -qm gone")
    repo.parallel("merge", "x", cwd=repo.path / "d")
    assert list((repo.path / "d").iterdir()) == []
    repo.parallel("undo", "--merge", "x", cwd=repo.path / "d")
    assert (repo.path / "d" / "f").exists()


@pytest.mark.slow
def test_changes_nothing_where_a_file_comes_for_the_folder_that_it_was_called_from(
    repo: Repo,
) -> None:
    repo.commit("d/f", "f\n")
    repo.start("x", "git rm -q d/f && echo d > d && git add . && git commit -qm file")
    told = repo.parallel("merge", "x", cwd=repo.path / "d", ok=1).stderr
    assert "Refusing to remove the current working directory" in told
    assert (repo.path / "d" / "f").read_text() == "f\n"
    assert repo.git("status", "--porcelain") == ""
    repo.parallel("merge", "x")


@pytest.mark.slow
@pytest.mark.parametrize("words", [("merge", "x"), ("undo", "--merge", "x")], ids=" ".join)
def test_says_what_it_waits_for(repo: Repo, words: tuple[str, ...]) -> None:
    repo.start("x", ADD)
    if words[0] == "undo":
        repo.parallel("merge", "x")
    held = Lock.take(repo.state / "landing")
    assert held
    command = ["git-parallel", *words]
    with subprocess.Popen(command, cwd=repo.path, stderr=subprocess.PIPE, text=True) as waits:
        assert waits.stderr
        told = waits.stderr.readline()
        held.release()
    assert told == f"◎ waiting for another git parallel: fuser '{repo.state}/landing'\n"
    assert waits.returncode == 0


@pytest.mark.slow
def test_says_that_a_merge_changes_nothing(repo: Repo) -> None:
    repo.start("x", "git commit -q --allow-empty -m nothing")
    told = repo.parallel("merge", "x").stderr
    assert told.splitlines()[0].endswith("): it changes nothing")
