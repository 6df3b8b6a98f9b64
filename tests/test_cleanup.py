"""What counts as merged, what may go, and that all of it comes back."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Repo, run, until
from tests.witness import everything

EDIT = "sed -i.bak s/three/THREE/ readme.txt && rm readme.txt.bak && git commit -qam edit"
ADD = "echo new > new.txt && git add . && git commit -qm add"


def verdict(repo: Repo) -> tuple[str, str]:
    """The rule by which x counts as merged, or why it does not."""
    told = repo.json("cleanup", "--dry-run")
    for cleaned in told["cleaned"]:
        return cleaned["evidence"]["rule"], cleaned["evidence"]["text"]
    return "", told["kept"][0]["reason"]


def merge(repo: Repo, *words: str) -> None:
    repo.git("merge", "--quiet", "--no-edit", *words, "parallel/x")


def squash(repo: Repo) -> None:
    repo.git("merge", "--quiet", "--squash", "parallel/x")
    repo.git("commit", "--quiet", "-m", "squashed")


Scenario = Callable[[Repo, Path], None]


def fast_forward(repo: Repo, _path: Path) -> None:
    merge(repo)


def true_merge(repo: Repo, _path: Path) -> None:
    repo.commit("other.txt", "other\n")
    merge(repo)


def octopus(repo: Repo, _path: Path) -> None:
    repo.git("branch", "side")
    repo.git("switch", "--quiet", "side")
    repo.commit("side.txt", "side\n")
    repo.git("switch", "--quiet", "main")
    repo.commit("main.txt", "main\n")
    repo.git("merge", "--quiet", "--no-edit", "side", "parallel/x")


def squash_merge(repo: Repo, _path: Path) -> None:
    repo.commit("other.txt", "other\n")
    squash(repo)


def rebased_elsewhere(repo: Repo, _path: Path) -> None:
    repo.commit("other.txt", "other\n")
    repo.git("cherry-pick", "main..parallel/x")


def merged_then_others(repo: Repo, _path: Path) -> None:
    merge(repo)
    repo.commit("later.txt", "later\n")


def untouched(_repo: Repo, _path: Path) -> None:
    pass


def merged_and_more_commits(repo: Repo, path: Path) -> None:
    merge(repo)
    run("sh", "-c", "echo > more; git add .; git commit -qm more", cwd=path)


def dropped(repo: Repo, _path: Path) -> None:
    repo.commit("other.txt", "other\n")
    merge(repo, "--strategy", "ours")


def reverted(repo: Repo, _path: Path) -> None:
    repo.commit("other.txt", "other\n")
    merge(repo)
    repo.git("revert", "--no-edit", "-m", "1", "HEAD")


def squash_reverted(repo: Repo, _path: Path) -> None:
    squash(repo)
    repo.git("revert", "--no-edit", "HEAD")


def partly_landed(repo: Repo, path: Path) -> None:
    run("sh", "-c", "echo > more; git add .; git commit -qm more", cwd=path)
    repo.git("cherry-pick", "parallel/x~1")


def whitespace_variant(repo: Repo, _path: Path) -> None:
    repo.commit("readme.txt", "one\ntwo\n  THREE\nfour\nfive\n")


def updated_only(repo: Repo, path: Path) -> None:
    run("git", "reset", "--quiet", "--hard", "HEAD~", cwd=path)
    repo.commit("other.txt", "other\n")
    run("git", "merge", "--quiet", "main", cwd=path)


def orphan(repo: Repo, path: Path) -> None:
    merge(repo)
    script = "git checkout -q --orphan o; git commit -qm o; git branch -qf parallel/x o"
    run("sh", "-c", f"{script}; git checkout -q parallel/x", cwd=path)


def target_gone(repo: Repo, _path: Path) -> None:
    repo.git("branch", "-m", "main", "trunk")


MERGED: list[tuple[Scenario, str]] = [
    (fast_forward, "M2"),
    (true_merge, "M2"),
    (octopus, "M2"),
    (merged_then_others, "M2"),
    (squash_merge, "M5"),
    (rebased_elsewhere, "M5"),
]
NOT_MERGED: list[tuple[Scenario, str]] = [
    (untouched, "not merged into main"),
    (merged_and_more_commits, "not merged into main"),
    (dropped, "its changes were dropped by the merge"),
    (reverted, "its changes were reverted in main"),
    (squash_reverted, "not merged into main"),
    (partly_landed, "not merged into main"),
    (whitespace_variant, "not merged into main"),
    (updated_only, "no commit of its own yet"),
    (orphan, "its history has nothing in common with main"),
    (target_gone, "not known whether it is merged: there is no branch main"),
]


@pytest.mark.parametrize(("scenario", "rule"), MERGED, ids=lambda v: getattr(v, "__name__", v))
def test_knows_that_it_is_merged(repo: Repo, scenario: Scenario, rule: str) -> None:
    path = repo.start("x", EDIT)
    repo.git("config", "core.hooksPath", "/dev/null")
    scenario(repo, path)
    found = verdict(repo)
    assert found[0] == rule, found
    cleaned = repo.json("cleanup")["cleaned"]
    assert [c["name"] for c in cleaned] == ["x"]
    assert not path.exists()
    assert repo.git("branch", "--list", "parallel/x") == ""


@pytest.mark.parametrize(("scenario", "why"), NOT_MERGED, ids=lambda v: getattr(v, "__name__", v))
def test_is_not_taken_in(repo: Repo, scenario: Scenario, why: str) -> None:
    path = repo.start("x", EDIT)
    repo.git("config", "core.hooksPath", "/dev/null")
    scenario(repo, path)
    found = verdict(repo)
    assert found[0] == ""
    assert why in found[1]
    assert repo.json("cleanup")["cleaned"] == []
    assert path.is_dir()


def test_never_takes_a_fresh_worktree_for_merged(repo: Repo) -> None:
    repo.parallel("start", "x")
    repo.parallel("wait", "x")
    repo.commit("other.txt", "other\n")
    assert repo.json("cleanup")["cleaned"] == []
    assert repo.task("x")["status"] == "idle"
    run("git", "merge", "--quiet", "--ff-only", "main", cwd=Path(repo.task("x")["path"]))
    assert repo.json("cleanup")["kept"] == [{"name": "x", "reason": "no commit of its own yet"}]


def untracked(path: Path) -> None:
    (path / "note").write_text("mine")


def modified(path: Path) -> None:
    (path / "readme.txt").write_text("mine")


def staged(path: Path) -> None:
    untracked(path)
    run("git", "add", "note", cwd=path)


def hidden_by_config(path: Path) -> None:
    untracked(path)
    run("git", "config", "status.showUntrackedFiles", "no", cwd=path)


def assume_unchanged(path: Path) -> None:
    run("git", "update-index", "--assume-unchanged", "readme.txt", cwd=path)
    modified(path)


def skip_worktree(path: Path) -> None:
    run("git", "update-index", "--skip-worktree", "readme.txt", cwd=path)
    modified(path)


def paused_rebase(path: Path) -> None:
    run("git", "rebase", "--exec", "false", "HEAD~", cwd=path, ok=1)


def autostash(path: Path) -> None:
    modified(path)
    run("git", "rebase", "--autostash", "--exec", "false", "HEAD~", cwd=path, ok=1)


def bisecting(path: Path) -> None:
    run("git", "bisect", "start", cwd=path)


def cherry_picking(path: Path) -> None:
    script = "git switch -qc o HEAD~; echo z > readme.txt; git commit -qam z; git switch -q -"
    run("sh", "-c", f"{script}; git cherry-pick o", cwd=path, ok=1)


def nested(path: Path) -> None:
    (path / "inner").mkdir()
    run("git", "init", "--quiet", cwd=path / "inner")


def locked(path: Path) -> None:
    run("git", "worktree", "lock", "--reason", "do not touch", path, cwd=path)


def git_at_work(path: Path) -> None:
    admin = Path(run("git", "rev-parse", "--git-dir", cwd=path).stdout.strip())
    (admin / "index.lock").touch()


# What keeps a worktree, whoever asks, and the words that it is kept with.
DANGERS: list[tuple[Callable[[Path], None], str]] = [
    (untracked, "not committed: note"),
    (modified, "not committed: readme.txt"),
    (staged, "not committed: note"),
    (hidden_by_config, "not committed: note"),
    (assume_unchanged, "edited, but hidden from git status: readme.txt"),
    (skip_worktree, "edited, but hidden from git status: readme.txt"),
    (paused_rebase, "a rebase is not finished in it"),
    (autostash, "a rebase is not finished in it"),
    (bisecting, "a bisect is not finished in it"),
    (cherry_picking, "a cherry-pick is not finished in it"),
    (nested, "not committed: inner/"),
    (locked, "it is locked: do not touch"),
    (git_at_work, "git is at work in it, or died there"),
]


@pytest.mark.parametrize(("danger", "why"), DANGERS, ids=lambda v: getattr(v, "__name__", v))
def test_keeps_what_holds_work(
    repo: Repo, danger: Callable[[Path], None], why: str, tmp_path: Path
) -> None:
    path = repo.start("x", EDIT)
    danger(path)
    content = {p: p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}
    done = repo.parallel("remove", "x", ok=1)
    assert why in done.stderr
    repo.git("merge", "--quiet", "--no-edit", "parallel/x")
    assert why in repo.json("cleanup")["kept"][0]["reason"]
    repo.parallel("list")
    assert {p: p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()} == content


def test_sees_a_hidden_edit_in_the_second_of_the_index(repo: Repo) -> None:
    """One of the same size, which git only finds as the file is not older than the index."""
    path = repo.path.with_name("x")
    repo.git("worktree", "add", "--quiet", path)
    repo.parallel("adopt", path)
    repo.git("config", "core.checkStat", "minimal")
    repo.git("config", "core.trustCtime", "false")
    readme, worktree = path / "readme.txt", Repo(path)
    os.utime(readme, (1, 1))
    worktree.git("update-index", "--refresh")
    worktree.git("update-index", "--assume-unchanged", "readme.txt")
    readme.write_text(readme.read_text().swapcase())
    for written in (readme, Path(worktree.git("rev-parse", "--git-path", "index"))):
        os.utime(written, (1, 1))
    told = repo.parallel("remove", "x", ok=1).stderr
    assert "edited, but hidden from git status: readme.txt" in told


def ignored_data(path: Path) -> None:
    (path / "data.sqlite").write_text("rows")


def ignored_env(path: Path) -> None:
    (path / ".env").write_text("edited")


def ignored_folder(path: Path) -> None:
    (path / "build").mkdir()
    (path / "build" / "notes").write_text("mine")


@pytest.mark.slow
@pytest.mark.parametrize("danger", [ignored_data, ignored_env, ignored_folder])
def test_keeps_ignored_files_from_the_sweep_and_names_them_on_remove(
    repo: Repo, danger: Callable[[Path], None]
) -> None:
    repo.commit(".gitignore", "*.sqlite\n.env\nbuild/\nnode_modules/\n")
    repo.write(".env", "original")
    path = repo.start("x", EDIT)
    assert (path / ".env").read_text() == "original"
    danger(path)
    repo.git("merge", "--quiet", "parallel/x")
    assert "can't be made again" in repo.json("cleanup")["kept"][0]["reason"]
    assert "stays: ignored files that can't be made again" in repo.task("x")["reason"]
    done = repo.parallel("remove", "x")
    assert "in the trash with it, and ignored by git" in done.stderr
    repo.parallel("undo", "x")
    assert path.is_dir()
    assert "can't be made again" in repo.json("cleanup")["kept"][0]["reason"]


def test_lets_go_what_can_be_made_again(repo: Repo) -> None:
    repo.commit(".gitignore", ".env\nnode_modules/\n.venv/\n__pycache__/\n")
    repo.commit("package.json", "{}\n")
    repo.write(".env", "original")
    path = repo.start("x", EDIT)
    for name in ("node_modules/a/index.js", ".venv/pyvenv.cfg", "pkg/__pycache__/a.pyc"):
        (path / name).parent.mkdir(parents=True)
        (path / name).write_text("")
    repo.git("merge", "--quiet", "parallel/x")
    assert not path.exists()


def test_keeps_a_repository_in_an_ignored_folder(repo: Repo) -> None:
    repo.commit(".gitignore", "node_modules/\n")
    repo.commit("package.json", "{}\n")
    path = repo.start("x", EDIT)
    (path / "node_modules" / "dep").mkdir(parents=True)
    run("git", "init", "--quiet", cwd=path / "node_modules" / "dep")
    assert "a repository of its own lies in" in repo.parallel("remove", "x", ok=1).stderr


def test_keeps_where_a_process_is_and_names_it(repo: Repo) -> None:
    path = repo.start("x", EDIT)
    with subprocess.Popen(["sleep", "300"], cwd=path) as sleeper:
        repo.git("merge", "--quiet", "parallel/x")
        expected = f"sleep ({sleeper.pid}) still uses it"
        assert repo.json("cleanup")["kept"] == [{"name": "x", "reason": expected}]
        assert expected in repo.parallel("remove", "x", ok=1).stderr
        sleeper.kill()


def test_keeps_a_worktree_where_a_person_just_worked(repo: Repo) -> None:
    path = Path(repo.parallel("start", "x").stdout.strip())
    repo.parallel("wait", "x")
    run("sh", "-c", EDIT, cwd=path)
    repo.git("merge", "--quiet", "parallel/x")
    assert "changed less than a minute ago" in repo.json("cleanup")["kept"][0]["reason"]
    for place in (path, path / "readme.txt"):
        os.utime(place, (1, 1))
    assert [c["name"] for c in repo.json("cleanup")["cleaned"]] == ["x"]


@pytest.mark.slow
def test_keeps_commits_in_a_submodule(make_repo: Callable[..., Repo]) -> None:
    library = make_repo("library")
    repo = make_repo("project")
    repo.git("submodule", "--quiet", "add", str(library.path), "lib")
    repo.git("commit", "--quiet", "-m", "Add lib")
    path = repo.start("x", EDIT)
    script = "git submodule --quiet update --init; cd lib; echo > f; git add .; git commit -qm f"
    run("sh", "-c", script, cwd=path)
    run("git", "commit", "--quiet", "-am", "Bump", cwd=path)
    assert "the submodule lib has commits" in repo.parallel("remove", "x", ok=1).stderr
    assert "the submodule lib has commits" in _after_merge(repo)


def _after_merge(repo: Repo) -> str:
    repo.git("merge", "--quiet", "parallel/x")
    reason: str = repo.json("cleanup")["kept"][0]["reason"]
    return reason


def test_brings_back_exactly_what_was_there(repo: Repo) -> None:
    repo.commit(".gitignore", "*.local\n")
    path = repo.start("x", EDIT)
    run("sh", "-c", "git commit -q --allow-empty -m gone; git reset -q --hard HEAD~", cwd=path)
    (path / "keep.local").write_text("mine")
    (path / "keep.local").chmod(0o600)
    admin = repo.path / ".git" / "worktrees" / "x"
    logs = [admin / "logs" / "HEAD", repo.path / ".git/logs/refs/heads/parallel/x"]
    repo.git("config", "branch.parallel/x.description", "A description")
    before = (repo.task("x")["head"], [log.read_bytes() for log in logs])
    objects = everything(repo.path)

    repo.parallel("remove", "x", "--delete-branch")
    assert not path.exists()
    assert not admin.exists()
    assert repo.git("branch", "--list", "parallel/x") == ""
    assert repo.git("worktree", "list").count("\n") == 0
    assert repo.names() == []
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("gc", "--quiet", "--prune=now")
    assert objects <= everything(repo.path)

    repo.parallel("undo", "x")
    assert (repo.task("x")["head"], [log.read_bytes() for log in logs]) == before
    assert (path / "keep.local").read_text() == "mine"
    assert (path / "keep.local").stat().st_mode & 0o777 == 0o600
    assert repo.git("config", "branch.parallel/x.description") == "A description"
    assert run("git", "status", "--porcelain", cwd=path).stdout == ""
    assert run("git", "reflog", "-1", "--format=%gs", cwd=path).stdout.startswith("reset")
    assert repo.git("for-each-ref", "refs/parallel") == ""
    assert (repo.path / ".git" / "parallel" / "x").resolve() == path.resolve()
    assert objects <= everything(repo.path)


@pytest.mark.slow
def test_a_new_worktree_may_take_the_place_meanwhile(repo: Repo) -> None:
    path = repo.start("x", EDIT)
    repo.parallel("remove", "x", "--delete-branch")
    repo.git("worktree", "add", "--quiet", "-b", "other", "../elsewhere/x")
    repo.parallel("undo", "x")
    assert run("git", "status", "--porcelain", cwd=path).stdout == ""
    assert run("git", "rev-parse", "--abbrev-ref", "HEAD", cwd=path).stdout == "parallel/x\n"
    other = repo.path.parent / "elsewhere" / "x"
    assert run("git", "rev-parse", "--abbrev-ref", "HEAD", cwd=other).stdout == "other\n"


@pytest.mark.slow
def test_refuses_to_bring_back_over_something_new(repo: Repo) -> None:
    repo.start("x", EDIT)
    repo.parallel("remove", "x", "--delete-branch")
    repo.start("x", ADD)
    assert "there is a new task `x`" in repo.parallel("undo", "x", ok=1).stderr
    repo.parallel("remove", "x", "--delete-branch")
    rows = repo.parallel("undo", "--list").stdout.splitlines()
    assert len(rows) == 3
    repo.parallel("undo", rows[1].split()[0])
    assert repo.task("x")["insertions"] == 1
    assert repo.git("show", "parallel/x:readme.txt").count("THREE") == 1


def test_an_unmerged_branch_stays_and_undo_connects_it_again(repo: Repo) -> None:
    repo.start("x", EDIT)
    tip = repo.git("rev-parse", "parallel/x")
    done = repo.parallel("remove", "x")
    assert "its branch parallel/x stays" in done.stderr
    assert repo.git("rev-parse", "parallel/x") == tip
    repo.parallel("undo")
    assert repo.task("x")["status"] == "ready"
    assert "✓ x cleaned up" in repo.parallel("merge", "x").stderr


@pytest.mark.slow
def test_what_was_brought_back_stays(repo: Repo) -> None:
    repo.start("x", EDIT)
    repo.git("merge", "--quiet", "parallel/x")
    assert repo.names() == []
    repo.parallel("undo", "x")
    assert repo.task("x")["status"] == "merged"
    repo.commit("other.txt", "other\n")
    assert repo.names() == ["x"]
    assert [c["name"] for c in repo.json("cleanup")["cleaned"]] == ["x"]


@pytest.mark.slow
def test_removes_what_lost_its_worktree_by_hand(repo: Repo) -> None:
    path = repo.start("x", EDIT)
    repo.git("worktree", "remove", "--force", str(path))
    task = repo.task("x")
    assert "is gone" in task["reason"]
    repo.parallel("remove", "x")
    assert repo.names() == []
    repo.parallel("undo", "x")
    assert repo.names() == ["x"]


@pytest.mark.slow
def test_empties_the_trash_when_its_time_has_come(repo: Repo) -> None:
    repo.start("x", EDIT)
    repo.parallel("remove", "x", "--delete-branch")
    trash = repo.path.parent / "my répo.parallel" / ".trash"
    assert trash.is_dir()
    repo.parallel("cleanup")
    assert trash.is_dir()
    repo.parallel("config", "set", "cleanup.keep_days", "0")
    repo.parallel("cleanup")
    until(lambda: not trash.exists())
    until(lambda: repo.git("for-each-ref", "refs/parallel") == "")


@pytest.mark.slow
def test_leaves_all_alone_where_cleanup_is_not_automatic(repo: Repo) -> None:
    repo.parallel("config", "set", "cleanup.automatic", "false")
    path = repo.start("x", EDIT)
    repo.git("merge", "--quiet", "parallel/x")
    assert repo.task("x")["status"] == "merged"
    assert path.is_dir()
    repo.parallel("cleanup")
    assert not path.exists()


@pytest.mark.slow
def test_children_go_where_their_parent_went(repo: Repo) -> None:
    path = repo.start("x", EDIT)
    run("git", "parallel", "start", "child", "--", "sh", "-c", ADD, cwd=path)
    repo.parallel("wait", "child")
    assert repo.task("child")["target"] == "parallel/x"
    repo.parallel("merge", "x")
    assert repo.task("child")["target"] == "main"
    repo.parallel("merge", "child")
    assert repo.git("show", "main:new.txt") == "new"


@pytest.mark.slow
def test_what_only_the_upstream_has_goes_without_its_branch(repo: Repo, tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    repo.git("init", "--quiet", "--bare", str(origin))
    repo.git("remote", "add", "origin", str(origin))
    repo.git("push", "--quiet", "--set-upstream", "origin", "main")
    path = repo.start("x", EDIT)
    repo.git("config", "core.hooksPath", "/dev/null")
    repo.git("switch", "--quiet", "--detach")
    squash(repo)
    repo.git("push", "--quiet", "origin", "HEAD:main")
    repo.git("switch", "--quiet", "main")
    found = repo.json("cleanup", "--dry-run")["cleaned"][0]["evidence"]
    assert (found["rule"], found["target"]) == ("M5", "origin/main")
    told = repo.parallel("cleanup").stderr
    assert "merged into origin/main, not yet in main" in told
    assert "its branch parallel/x stays" in told
    assert not path.exists()
    assert repo.git("branch", "--list", "parallel/x").strip() == "parallel/x"
    repo.parallel("undo", "x")
    repo.git("pull", "--quiet")
    repo.parallel("cleanup")
    assert repo.git("branch", "--list", "parallel/x") == ""
