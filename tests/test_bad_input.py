"""Wrong command lines and hostile names: a message that names the thing, and nothing changed."""

from pathlib import Path

import pytest

from tests.conftest import Repo, run


def snapshot(repo: Repo) -> dict[str, bytes]:
    """Every file beside and in the repository, with its content."""
    home = repo.path.parent
    return {
        str(path.relative_to(home)): path.read_bytes() if path.is_file() else b""
        for path in sorted(home.rglob("*"))
        if "home" not in path.relative_to(home).parts[:1]
    }


WRONG = [
    (["start", "../x", "--", "true"], "`../x`"),
    (["start", "-x", "--", "true"], "-x"),
    (["start", "a b", "--", "true"], "`a b`"),
    (["start", "$(touch pwned)", "--", "true"], "`$(touch pwned)`"),
    (["start", "a" * 300, "--", "true"], "too long"),
    (["start", "a\nb", "--", "true"], "`a\\nb`"),
    (["start", "x.lock", "--", "true"], "`x.lock`"),
    (["start", "@", "--", "true"], "`@`"),
    (["start", "🎉", "--", "true"], "`🎉`"),
    (["start", ".state", "--", "true"], "`.state`"),
    (["start", "a..b", "--", "true"], "`a..b`"),
    (["start", "a/../b", "--", "true"], "`a/../b`"),
    (["start", "HEAD", "--", "true"], "`HEAD`"),
    (["start", "\x1b[2Jx", "--", "true"], "`\\x1b[2Jx`"),
    (["start", "", "--", "true"], "needs a name"),
    (["start"], "TASK"),
    (["start", "a", "--"], "no command after `--`"),
    (["start", "a", "nosuch", "--", "true"], "`nosuch`"),
    (["start", "a", "--target", "nosuch", "--", "true"], "`nosuch`"),
    (["start", "a", "--target", "main", "--branch", "main", "--", "true"], "main"),
    (["start", "a", "--branch", "a b", "--", "true"], "`a b`"),
    (["start", "a", "--branch", "main/x", "--", "true"], "main/x"),
    (["start", "a", "-m", "x", "-F", "y"], "-m and -F"),
    (["start", "a", "-m", ""], "prompt is empty"),
    (["start", "a", "-F", "nosuch"], "nosuch"),
    (["start", "a", "-m", "x", "--agent", "nosuch"], "`nosuch`"),
    (["start", "a", "-m", "x", "--agent", "claude", "--", "true"], "--agent"),
    (["start", "a", "--agent", "claude"], "prompt"),
    (["start", "a", "--frob"], "--frob"),
    (["frob"], "frob"),
    (["list", "x"], "x"),
    (["show", "nosuch"], "`nosuch`"),
    (["log", "nosuch"], "`nosuch`"),
    (["run", "nosuch", "--", "true"], "`nosuch`"),
    (["stop", "nosuch"], "`nosuch`"),
    (["stop"], "TASK"),
    (["wait", "nosuch"], "`nosuch`"),
    (["wait", "--timeout", "x"], "x"),
    (["path", "nosuch"], "`nosuch`"),
    (["exec", "nosuch"], "--"),
    (["exec", "nosuch", "--", "true"], "`nosuch`"),
    (["review", "nosuch"], "`nosuch`"),
    (["merge"], "--all"),
    (["merge", "nosuch"], "`nosuch`"),
    (["merge", "nosuch", "--strategy", "octopus"], "octopus"),
    (["remove"], "TASK"),
    (["remove", "nosuch"], "`nosuch`"),
    (["undo", "nosuch"], "trash"),
    (["trust", "--yes", "--list"], "--yes"),
    (["config", "set", "nosuch.key", "1"], "nosuch"),
    (["config", "set", "runs.limit", "many"], "runs.limit"),
    (["config", "set", "merge.strategy", "octopus"], "octopus"),
]


@pytest.mark.parametrize(("words", "named"), WRONG, ids=lambda value: repr(value)[:40])
def test_refuses_and_changes_nothing(repo: Repo, words: list[str], named: str) -> None:
    before = snapshot(repo)
    done = repo.parallel(*words, ok=(1, 2))
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert snapshot(repo) == before


def test_refuses_a_name_that_differs_only_in_case(repo: Repo) -> None:
    repo.start("fix", "true")
    done = repo.parallel("start", "FIX", "--", "true", ok=1)
    assert "there is a task `fix` already" in done.stderr
    assert repo.git("branch", "--list", "--format=%(refname:short)") == "main\nparallel/fix"


def test_refuses_a_name_below_another_one(repo: Repo) -> None:
    repo.start("feat", "true")
    done = repo.parallel("start", "feat/x", "--", "true", ok=1)
    assert "parallel/feat" in done.stderr
    assert repo.names() == ["feat"]


def test_says_that_there_is_no_repository(tmp_path: Path) -> None:
    done = run("git", "parallel", "list", cwd=tmp_path, ok=1)
    assert done.stderr == "✗ not in a git repository\n↳ cd into one, or make one: git init\n"


def test_says_that_there_is_no_commit(tmp_path: Path) -> None:
    run("git", "init", "--quiet", tmp_path / "empty", cwd=tmp_path)
    done = run("git", "parallel", "start", "x", "--", "true", cwd=tmp_path / "empty", ok=1)
    assert done.stderr == (
        '✗ this repository has no commit to start from\n↳ git commit --allow-empty -m "Begin"\n'
    )
    assert not (tmp_path / "empty" / ".git" / "parallel").exists()


def test_says_that_git_is_missing(repo: Repo, tmp_path: Path) -> None:
    from tests.conftest import PROGRAM

    done = run(PROGRAM, "list", cwd=repo.path, ok=1, env={"PATH": str(tmp_path)})
    assert done.stderr == "✗ git is not on PATH\n↳ install git 2.38 or newer\n"


def test_says_that_git_is_too_old(repo: Repo, tmp_path: Path) -> None:
    from tests.conftest import PROGRAM

    real = run("sh", "-c", "command -v git", cwd=tmp_path).stdout.strip()
    old = tmp_path / "old"
    old.mkdir()
    (old / "git").write_text(
        f'#!/bin/sh\n[ "$1" = version ] && echo git version 2.30.1 && exit\nexec {real} "$@"\n'
    )
    (old / "git").chmod(0o755)
    for words in (["list"], ["start", "x", "--", "true"]):
        done = run(PROGRAM, *words, cwd=repo.path, ok=1, env={"PATH": f"{old}:/usr/bin:/bin"})
        assert done.stderr == "✗ git 2.30.1 is too old\n↳ install git 2.38 or newer\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("runs = 3", "`runs`: expected `object`, got `int`"),
        ("[runs]\nlimit = 'x'", "`runs.limit`: expected `int`, got `str`"),
        ("[runs]\nlimits = 1", "unknown key `runs.limits`"),
        ("[agents.x]\ncommand = ['a']\nprompt = 'mail'", "agents.x.prompt is `mail`"),
        ("not toml", ".git-parallel.toml"),
    ],
)
def test_names_file_and_key_of_a_wrong_configuration(repo: Repo, text: str, said: str) -> None:
    repo.write(".git-parallel.toml", text)
    done = repo.parallel("start", "x", "--", "true", ok=1)
    assert str(repo.path / ".git-parallel.toml") in done.stderr
    assert said in done.stderr
