"""What only the worktree of a task knows stays in git while the task is in the trash, whatever git
collects: what is staged, all sides of conflicts, what an operation that is not finished holds.
"""

import shutil
from pathlib import Path

import pytest

from git_parallel.worktree import operations_in
from tests.conftest import Repo, mostly_slow, run

STEPS = {
    "staged": "",
    "a merge": "git merge main",
    "a merge with an autostash": "echo dirty > own.txt; git merge --autostash main",
    "a rebase": "git rebase main",
    "a rebase with an autostash": "echo dirty > own.txt; git rebase --autostash main",
    "a rebase by hand": "GIT_SEQUENCE_EDITOR='sed -i.bak 1s/pick/edit/' git rebase -i base",
    "a cherry-pick": "git cherry-pick main",
    "a revert": "echo more > readme.txt; git commit -qam more; git revert --no-edit HEAD~1",
    "detached": "git switch -q --detach; git commit -q --allow-empty -m loose",
}
ENDS = {
    "a merge with an autostash": "git merge --abort",
    "a rebase with an autostash": "git rebase --abort",
}


def everything(path: Path) -> list[str]:
    """What git knows in a worktree beyond its files."""
    asked = (
        ("ls-files", "--stage"),
        ("rev-parse", "HEAD"),
        ("for-each-ref", "refs/heads", "refs/stash"),
    )
    return [run("git", *words, cwd=path).stdout for words in asked]


@pytest.mark.parametrize("what", mostly_slow(STEPS, quick=["a merge"]))
def test_what_only_a_worktree_knows_survives_gc_in_the_trash(repo: Repo, what: str) -> None:
    repo.git("tag", "base")
    path = Path(repo.parallel("start", "x", "--no-bootstrap").stdout.strip())
    repo.commit("readme.txt", "one\ntwo\ntheirs\nfour\nfive\n")
    Repo(path).commit("own.txt", "own\n")
    Repo(path).commit("readme.txt", "one\ntwo\nours\nfour\nfive\n")
    run("sh", "-c", STEPS[what], cwd=path, ok=None)
    assert operations_in(repo.path / ".git/worktrees/x") or what in ("staged", "detached")
    for name in ("only here", "söme"):
        (path / name).write_text(f"{name}\n")
        run("git", "add", name, cwd=path)
    before = everything(path)
    shutil.rmtree(path)
    repo.parallel("remove", "x", "--delete-branch")
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("gc", "--quiet", "--prune=now")
    repo.parallel("undo", "x")
    repo.parallel("doctor", "--fix")
    assert everything(path) == before
    assert (path / "only here").read_text() == "only here\n"
    assert "missing" not in run("git", "fsck", "--no-dangling", cwd=path).stdout
    if what in ENDS:
        run("sh", "-c", ENDS[what], cwd=path)
        assert (path / "own.txt").read_text() == "dirty\n"
