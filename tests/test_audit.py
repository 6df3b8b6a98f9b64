"""What a run has no business with: refs, hooks, settings; and what only looks like it."""

import re
from pathlib import Path

import pytest

from tests.conftest import Repo, until

WORK = "echo > f && git add f && git commit -qm f"


@pytest.mark.parametrize(
    ("script", "breach"),
    [
        ("git config core.hooksPath /tmp/evil", "git config core.hookspath"),
        ("git config alias.st '!evil'", "git config alias.st"),
        ("git config remote.origin.url evil", "git config remote.origin.url"),
        ('echo evil > "$(git rev-parse --git-common-dir)/hooks/pre-commit"', "hooks/pre-commit"),
        ("git branch -f release HEAD", "refs/heads/release"),
        ("git push -q . HEAD:release", "refs/heads/release"),
        ("git fetch -q . HEAD:release", "refs/heads/release"),
        ("git update-ref -d refs/heads/release", "refs/heads/release"),
        ("git tag -f v1 HEAD", "refs/tags/v1"),
        ("git tag -d v1", "refs/tags/v1"),
    ],
)
def test_tells_what_a_run_meddled_with(repo: Repo, script: str, breach: str) -> None:
    repo.git("branch", "release")
    repo.git("tag", "v1")
    repo.start("x", f"{WORK} && {script} >/dev/null")
    task = repo.task("x")
    assert (task["status"], task["breaches"]) == ("ready", [breach])


@pytest.mark.slow
def test_what_was_found_stays_until_somebody_allows_it(repo: Repo) -> None:
    repo.git("branch", "release")
    repo.start("x", f"{WORK} && git branch -f release HEAD")
    breach = "refs/heads/release"
    assert f"outside its constraints: {breach}" in repo.parallel("list").stdout
    repo.parallel("run", "x", "--wait", "--", "sh", "-c", "echo more > g")
    assert repo.task("x")["breaches"] == [breach]
    assert f"changed what it may not: {breach}" in repo.parallel("merge", "x", ok=1).stderr
    repo.parallel("merge", "x", "--allow-breaches")


@pytest.mark.slow
def test_what_others_do_meanwhile_is_no_breach_of_its(repo: Repo) -> None:
    gate, origin = repo.path.parent / "gate", Repo(repo.path.parent / "origin")
    repo.git("branch", "release")
    repo.git("branch", "fetched")
    repo.git("clone", "--quiet", str(repo.path), str(origin.path))
    repo.git("remote", "add", "origin", str(origin.path))
    origin.commit("elsewhere.txt", "by somebody else\n")
    repo.start("landed", "echo > l", "--target", "release")
    script = f"while [ ! -e '{gate}' ]; do sleep 0.05; done; {WORK}"
    repo.parallel("start", "x", "--", "sh", "-c", script)
    until(lambda: repo.task("x")["status"] == "running")
    repo.commit("mine.txt", "by a person\n")
    repo.git("fetch", "--quiet", "origin", "main:fetched")
    repo.git("branch", "new")
    repo.git("config", "user.name", "Grace")
    repo.parallel("merge", "landed")
    repo.start("beside", "echo > b")
    repo.git("switch", "--quiet", "release")
    repo.commit("there.txt", "by a person\n")
    gate.touch()
    repo.parallel("wait", "x")
    assert repo.task("x")["status"] == "ready"
    assert repo.task("x")["breaches"] == []


def test_hooks_of_ours_are_none(repo: Repo) -> None:
    hook = repo.path / ".git" / "hooks" / "post-merge"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ntrue\n")
    hook.chmod(0o755)
    gate = repo.path.parent / "gate"
    script = f"while [ ! -e '{gate}' ]; do sleep 0.05; done; {WORK}"
    repo.parallel("start", "x", "--", "sh", "-c", script)
    until(lambda: repo.task("x")["status"] == "running")
    repo.parallel("hooks", "uninstall")
    repo.parallel("hooks", "install")
    gate.touch()
    repo.parallel("wait", "x")
    assert repo.task("x")["breaches"] == []


def test_a_worktree_that_was_turned_elsewhere_is_told(repo: Repo, tmp_path: Path) -> None:
    repo.parallel("start", "x", "--wait", "--", "sh", "-c", "echo gitdir: /x > .git", ok=1)
    task = repo.task("x")
    assert task["status"] == "failed"
    assert ".git of the worktree" in task["breaches"]


@pytest.mark.slow
def test_more_than_a_task_may_change_is_a_breach(repo: Repo) -> None:
    repo.parallel("config", "set", "constraints.max_files", "2")
    repo.parallel("config", "set", "constraints.never", '["docs"]')
    script = "mkdir docs; touch docs/a; seq 5 > b; seq 3 > c"
    repo.start("x", script, "--max-lines", "7", "--never", "c")
    task = repo.task("x")
    assert task["status"] == "ready"
    assert task["breaches"] == ["c", "docs/a", "3 files, 2 at most", "8 lines, 7 at most"]
    told = repo.parallel("merge", "x", ok=1).stderr
    assert told.startswith("✗ `x` changed what it may not: c, docs/a, 3 files, 2 at most, 8 lines")
    shown = repo.parallel("show", "x").stdout
    assert re.search(r"^at most +2 files, 7 lines$", shown, re.MULTILINE)
    repo.start("y", "touch f g h", "--max-files", "0")
    assert repo.task("y")["breaches"] == []


def test_the_brief_tells_how_much_may_change(repo: Repo) -> None:
    repo.start("x", "cat > told", "--max-files", "3", "--max-lines", "40", "-m", "Do it")
    assert "- Change no more than 3 files and 40 lines" in repo.git("show", "parallel/x:told")
