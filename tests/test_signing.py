"""Signed commits by a real gpg, with a throw-away key in a home of its own."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Repo, normal, run
from tests.tools import need_command

ADD = "echo x > x.txt && git add . && git commit -qm 'Add x'"
KEY = """\
%no-protection
Key-Type: RSA
Key-Length: 2048
Name-Real: Ada
Name-Email: ada@example.com
Expire-Date: 0
"""


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of gpg with a key of Ada's; its path is short, as that of a socket must be."""
    need_command("gpg", "gpgconf")
    home = Path(tempfile.mkdtemp(prefix="gpg-"))
    monkeypatch.setenv("GNUPGHOME", str(home))
    run("gpg", "--batch", "--quiet", "--generate-key", cwd=home, stdin=KEY)
    yield home
    run("gpgconf", "--kill", "all", cwd=home, ok=None)
    shutil.rmtree(home, ignore_errors=True)


def make(repo: Repo, *, hooks: bool = False) -> Path:
    """A repository that signs, with a task that is not on top of its target."""
    repo.git("config", "commit.gpgSign", "true")
    path = repo.start("x", ADD)
    repo.commit("moved.txt", "moved\n")
    for name in ("pre-merge-commit", "pre-commit") if hooks else ():
        hook = repo.path / ".git" / "hooks" / name
        hook.write_text("#!/bin/sh\ntrue\n")
        hook.chmod(0o755)
    return path


def signatures(repo: Repo, span: str) -> list[str]:
    """How git finds the signature of each commit (`%G?`): G for good, U where trust is unknown."""
    return repo.git("log", "--format=%G?", span).split()


@pytest.mark.slow
@pytest.mark.parametrize("hooks", [False, True])
@pytest.mark.parametrize(("strategy", "commits"), [("merge", 2), ("squash", 1), ("rebase", 1)])
def test_signs_what_it_makes(
    repo: Repo, keys: Path, strategy: str, commits: int, hooks: bool
) -> None:
    make(repo, hooks=hooks)
    before = repo.git("rev-parse", "main")
    repo.parallel("merge", "x", "--strategy", strategy)

    assert set(signatures(repo, f"{before}..main")) <= {"G", "U"}
    assert len(signatures(repo, f"{before}..main")) == commits
    assert repo.names() == []
    assert keys.exists()


@pytest.mark.slow
def test_signs_a_rebased_task(repo: Repo, keys: Path) -> None:
    make(repo)
    repo.parallel("rebase", "x")
    assert set(signatures(repo, "main..parallel/x")) <= {"G", "U"}
    assert keys.exists()


@pytest.mark.slow
@pytest.mark.parametrize("hooks", [False, True])
@pytest.mark.parametrize("strategy", ["merge", "squash", "rebase"])
def test_a_key_that_is_missing_refuses_with_the_words_of_git(
    repo: Repo, keys: Path, strategy: str, hooks: bool
) -> None:
    path = make(repo, hooks=hooks)
    repo.git("config", "user.signingKey", "nobody@example.com")
    tips = repo.git("rev-parse", "main", "parallel/x")
    done = repo.parallel("merge", "x", "--strategy", strategy, ok=1)
    assert "gpg failed to sign the data" in done.stderr
    assert "bug" not in done.stderr
    assert repo.git("rev-parse", "main", "parallel/x") == tips
    assert repo.git("status", "--porcelain") == ""
    assert run("git", "status", "--porcelain", cwd=path).stdout == ""
    assert repo.names() == ["x"]
    assert repo.git("worktree", "list").count("\n") == 1
    assert keys.exists()


@pytest.mark.slow
def test_a_key_that_is_missing_leaves_a_task_where_it_was(repo: Repo, keys: Path) -> None:
    path = make(repo)
    repo.git("config", "user.signingKey", "nobody@example.com")
    tip = repo.git("rev-parse", "parallel/x")
    done = repo.parallel("rebase", "x", ok=1)
    assert "gpg failed to sign the data" in done.stderr
    assert repo.git("rev-parse", "parallel/x") == tip
    assert run("git", "status", "--porcelain", cwd=path).stdout == ""
    assert not run("git", "rebase", "--abort", cwd=path, ok=128).stdout
    assert keys.exists()


@pytest.mark.slow
@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("strategy", ["merge", "squash", "rebase", "ff"])
def test_refuses_what_nobody_signed_where_signatures_are_verified(
    repo: Repo, keys: Path, strategy: str, elsewhere: bool
) -> None:
    repo.start("x", ADD)
    repo.git("config", "merge.verifySignatures", "true")
    tip = repo.git("rev-parse", "main")
    if elsewhere:
        repo.git("switch", "--quiet", "--detach")
    done = repo.parallel("merge", "x", "--strategy", strategy, ok=1)
    assert "does not have a GPG signature" in done.stderr
    assert repo.git("rev-parse", "main") == tip
    assert keys.exists()


@pytest.mark.slow
@pytest.mark.parametrize("signing", [False, True])
@pytest.mark.parametrize("strategy", ["merge", "squash", "ff"])
def test_takes_what_was_signed_where_signatures_are_verified(
    repo: Repo, keys: Path, strategy: str, signing: bool
) -> None:
    repo.git("config", "commit.gpgSign", "true")
    repo.start("x", ADD)
    repo.git("config", "commit.gpgSign", str(signing).lower())
    repo.git("config", "merge.verifySignatures", "true")
    repo.git("config", "gpg.minTrustLevel", "undefined")
    repo.parallel("merge", "x", "--strategy", strategy)
    assert (repo.path / "x.txt").exists()
    assert keys.exists()


@pytest.mark.slow
def test_signatures_that_git_shows_are_no_part_of_commits_or_messages(
    repo: Repo, keys: Path
) -> None:
    """Between the editor and the merge main moves, so that the message is read from a commit."""
    make(repo)
    repo.git("config", "log.showSignature", "true")
    assert "  SHORT Add x\n" in normal(repo.parallel("review", "x", "--stat").stdout, keys)
    commit, *others = repo.json("review", "x")["commits"]
    assert (commit["subject"], len(commit["commit"]), others) == ("Add x", 40, [])
    moved = repo.path.parent / "moved"
    moves = 'unset $(git rev-parse --local-env-vars); git -C "$REPO" commit -qm moves --allow-empty'
    editor = repo.path.parent / "editor"
    editor.write_text(
        f'#!/bin/sh\necho Mine > "$1"\ntest -e {moved} && exit\ntouch {moved}\n{moves}\n'
    )
    editor.chmod(0o755)
    env = {"GIT_EDITOR": str(editor), "REPO": str(repo.path)}
    repo.parallel("merge", "x", "--edit", env=env)
    assert repo.git("log", "-1", "--no-show-signature", "--format=%B").startswith("Mine\n")
    assert repo.git("log", "-1", "--no-show-signature", "--format=%s", "main^") == "moves"
