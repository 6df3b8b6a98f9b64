"""Worktrees of others become tasks where they are, and go and come back like any other."""

from pathlib import Path

import pytest

from tests.conftest import Repo, normal, run


@pytest.fixture
def claudes(repo: Repo) -> Path:
    """A worktree as Claude Code makes one: inside the repository, locked, with its own branch."""
    path = repo.path / ".claude" / "worktrees" / "fix login"
    repo.git(
        *("worktree", "add", "--quiet", "--lock", "--reason", "claude session 7 (pid 41)"),
        *("-b", "worktree-fix-login", path),
    )
    repo.write(".git/info/exclude", "/.claude/\n")
    return path


def commit_in(path: Path, name: str = "new.txt") -> str:
    repo = Repo(path)
    return repo.commit(name, "new\n")


def test_a_worktree_of_claude_becomes_a_task_and_its_lock_holds(
    repo: Repo, claudes: Path, tmp_path: Path
) -> None:
    before = repo.git("worktree", "list", "--porcelain")
    repo.parallel("init")
    done = repo.parallel("adopt", ".claude/worktrees/fix login")
    assert normal(done.stdout + done.stderr, tmp_path) == (
        "TMP/my répo/.claude/worktrees/fix login\n"
        "✓ worktree-fix-login adopted on worktree-fix-login, to be merged into main"
        " ↳ git parallel show worktree-fix-login\n"
        "▲ it is locked: claude session 7 (pid 41), and stays until it is unlocked"
        " ↳ git worktree unlock 'TMP/my répo/.claude/worktrees/fix login'\n"
    )
    assert repo.git("worktree", "list", "--porcelain") == before
    assert repo.names() == ["worktree-fix-login"]
    address = repo.path / ".git" / "parallel" / "worktree-fix-login"
    assert address.is_symlink() and address.resolve() == claudes.resolve()
    refused = repo.parallel("remove", "worktree-fix-login", ok=1).stderr
    assert "it is locked: claude session 7 (pid 41) (git worktree unlock)" in refused


def test_an_adopted_task_is_removed_and_comes_back_as_it_was(repo: Repo, claudes: Path) -> None:
    repo.parallel("adopt", claudes, "--name", "login")
    repo.git("worktree", "unlock", claudes)
    tip = commit_in(claudes)
    (claudes / ".env").write_text("SECRET=1\n")
    repo.write(".git/info/exclude", "/.claude/\n.env\n")
    repo.parallel("remove", "login", "--delete-branch")
    assert not claudes.exists()
    assert "worktree-fix-login" not in repo.git("branch", "--list")
    assert repo.git("status", "--porcelain", "--untracked-files=all") == ""
    assert repo.parallel("undo").stdout == f"{claudes}\n"
    assert (claudes / ".env").read_text() == "SECRET=1\n"
    assert Repo(claudes).git("rev-parse", "worktree-fix-login") == tip
    assert Repo(claudes).git("status", "--porcelain") == ""
    assert not list(repo.path.parent.glob("*/.trash"))


@pytest.mark.slow
def test_an_adopted_task_goes_after_its_merge_and_keeps_a_branch_that_is_not_ours(
    repo: Repo, tmp_path: Path
) -> None:
    path = tmp_path / "elsewhere" / "hotfix"
    repo.git("worktree", "add", "--quiet", path)
    base = repo.git("rev-parse", "main")
    commit_in(path)
    repo.commit("other.txt", "other\n")
    repo.parallel("adopt", path)
    assert repo.task("hotfix")["base"] == base
    assert repo.task("hotfix")["ahead"] == 1
    repo.parallel("run", "hotfix", "--wait", "--", "sh", "-c", "echo more > more && git add more")
    repo.parallel("merge", "hotfix", "--no-check")
    assert repo.names() == []
    assert not path.exists()
    assert repo.git("branch", "--list", "hotfix").strip() == "hotfix"
    assert not (tmp_path / "elsewhere" / ".trash").exists()
    repo.parallel("undo", "hotfix")
    assert (path / "more").read_text() == "more\n"


def test_list_says_how_a_worktree_of_others_is_adopted(repo: Repo, claudes: Path) -> None:
    assert repo.parallel("list").stdout == (
        "  TASK       STATUS    NOTE\n"
        "○ fix login  not ours  worktree-fix-login in .claude/worktrees/fix login"
        " ↳ git parallel adopt '.claude/worktrees/fix login'\n"
    )


@pytest.mark.parametrize("place", ["here", "inside"])
def test_the_target_is_what_the_main_worktree_has_checked_out(
    repo: Repo, tmp_path: Path, place: str
) -> None:
    repo.git("switch", "--quiet", "-c", "develop")
    path = tmp_path / "fix"
    repo.git("worktree", "add", "--quiet", path)
    cwd = repo.path if place == "here" else path
    repo.parallel("adopt", path if place == "here" else ".", cwd=cwd)
    assert repo.task("fix")["target"] == "develop"
    assert repo.json("show", "fix")["branch"] == "fix"


@pytest.mark.slow
def test_a_name_is_taken_from_the_branch_or_where_that_only_adds_to_it_from_the_folder(
    repo: Repo, tmp_path: Path
) -> None:
    for folder, branch in (
        ("repo-one", "feature/one"),
        ("two", "worktree-two"),
        ("three", "parallel/three"),
        ("four", "it's+four"),
    ):
        repo.git("worktree", "add", "--quiet", "-b", branch, tmp_path / folder)
        repo.parallel("adopt", tmp_path / folder)
    assert sorted(repo.names()) == ["feature/one", "four", "three", "two"]


def refusal(repo: Repo, *words: str | Path, cwd: Path | None = None) -> str:
    done = repo.parallel("adopt", *words, ok=1, cwd=cwd or repo.path)
    return normal(done.stderr, repo.path.parent)


def test_refuses_what_can_not_become_a_task_and_says_what_to_do(
    repo: Repo, tmp_path: Path, make_repo: object
) -> None:
    fix, other = tmp_path / "fix", tmp_path / "other"
    repo.git("worktree", "add", "--quiet", fix)
    repo.git("worktree", "add", "--quiet", "--detach", other)
    (tmp_path / "plain").mkdir()
    assert refusal(repo, ".") == (
        "✗ . is the main worktree, not a worktree beside it\n"
        "↳ git parallel start fix-login --carry\n"
    )
    assert refusal(repo, tmp_path / "none") == (
        "✗ the folder TMP/none does not exist\n↳ git worktree list\n"
    )
    assert refusal(repo, tmp_path / "plain") == (
        "✗ TMP/plain is not a worktree of this repository\n↳ git worktree list\n"
    )
    assert refusal(repo, other) == (
        "✗ TMP/other is on no branch: its HEAD is detached\n↳ git -C TMP/other switch -c other\n"
    )
    assert refusal(repo, fix, "--target", "fix") == (
        "✗ `fix` can't be merged into itself\n↳ --target BRANCH\n"
    )
    assert refusal(repo, fix, "--target", "none") == (
        "✗ the target `none` is not a branch here\n↳ git branch\n"
    )
    assert not repo.state.exists() or repo.names() == []
    repo.parallel("adopt", fix)
    assert refusal(repo, fix) == ("✗ TMP/fix is the task `fix` already\n↳ git parallel show fix\n")
    repo.git("worktree", "add", "--quiet", "-b", "third", tmp_path / "third")
    assert refusal(repo, tmp_path / "third", "--name", "FIX") == (
        "✗ there is a task `fix` already\n↳ git parallel run fix, or git parallel show fix\n"
    )


def test_refuses_the_bare_repository_itself_and_adopts_a_worktree_of_it(
    repo: Repo, tmp_path: Path
) -> None:
    run("git", "clone", "--quiet", "--bare", repo.path, tmp_path / "bare.git", cwd=tmp_path)
    bare = Repo(tmp_path / "bare.git")
    bare.git("worktree", "add", "--quiet", "-b", "fix", tmp_path / "fix")
    assert refusal(bare, ".").startswith("✗ . is the repository itself, not a worktree beside it\n")
    bare.parallel("adopt", tmp_path / "fix")
    assert bare.task("fix")["target"] == "main"


def test_a_locked_worktree_that_is_out_of_reach_is_not_removed(repo: Repo, tmp_path: Path) -> None:
    path = tmp_path / "disk" / "fix"
    repo.git("worktree", "add", "--quiet", "--lock", "--reason", "on a disk", path)
    repo.parallel("adopt", path)
    (tmp_path / "disk").rename(tmp_path / "unplugged")
    assert refusal_of_remove(repo, "fix") == (
        "✗ `fix` can't be removed: TMP/disk/fix is not there, and locked: on a disk\n"
        "↳ git worktree unlock TMP/disk/fix\n"
    )
    (tmp_path / "unplugged").rename(tmp_path / "disk")
    assert repo.parallel("path", "fix").stdout == f"{path}\n"


def refusal_of_remove(repo: Repo, name: str) -> str:
    return normal(repo.parallel("remove", name, ok=1).stderr, repo.path.parent)


def test_an_adoption_that_was_killed_is_explained_and_completed(repo: Repo, tmp_path: Path) -> None:
    path = tmp_path / "fix"
    repo.git("worktree", "add", "--quiet", path)
    repo.parallel("adopt", path)
    (repo.path / ".git" / "worktrees" / "fix" / "parallel-task").unlink()
    (repo.path / ".git" / "parallel" / "fix").unlink()
    (path / "draft.txt").write_text("draft\n")
    assert normal(repo.parallel("doctor", ok=1).stdout, tmp_path) == (
        "✗ fix: TMP/fix does not say that it is this task's; who adopted it was interrupted\n"
        "↳ git parallel doctor --fix\n"
    )
    repo.parallel("doctor", "--fix")
    assert repo.parallel("path", "fix").stdout == f"{path}\n"
    assert (path / "draft.txt").read_text() == "draft\n"
    assert "uncommitted" in repo.parallel("list").stdout
