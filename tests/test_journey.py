"""Whole days, in a repository cloned from this project's own history."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Repo, run

ROOT = Path(__file__).parents[1]
README = "README.md"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder whose name has a space and letters of other languages."""
    folder = tmp_path / "мой дом ü"
    folder.mkdir()
    return folder


def clone(place: Path, name: str, *options: str) -> Path:
    """This project's own history, on a branch of a known name."""
    source = place / "source"
    run("git", "clone", "--quiet", ROOT, source, cwd=place)
    run("git", "switch", "--quiet", "-C", "trunk", cwd=source)
    single = ("--single-branch", "--branch", "trunk")
    run("git", "clone", "--quiet", *single, *options, source, place / name, cwd=place)
    return place / name


def plain(place: Path) -> Path:
    return clone(place, "проект")


def bare(place: Path) -> Path:
    return clone(place, "проект.git", "--bare")


def separate(place: Path) -> Path:
    return clone(place, "проект", f"--separate-git-dir={place}/git dir")


def linked(place: Path) -> Path:
    main = plain(place)
    run("git", "worktree", "add", "--quiet", "-b", "mine", place / "linked", cwd=main)
    return place / "linked"


def from_elsewhere(place: Path) -> Path:
    return plain(place)


OFTEN: list[Callable[[Path], Path]] = [plain, bare]
SELDOM: list[Callable[[Path], Path]] = [separate, linked, from_elsewhere]
KINDS = [*OFTEN, *(pytest.param(kind, marks=pytest.mark.slow) for kind in SELDOM)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_day(kind: Callable[[Path], Path], place: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is not a clone: there is no history to work on")
    where = kind(place)
    repo = Repo(where)
    if kind is from_elsewhere:
        # As `git -C`, from a folder that has nothing to do with it.
        repo.parallel = lambda *words, ok=0, **options: run(  # type: ignore[method-assign]
            "git", "-C", where, "parallel", *words, cwd=place, ok=ok, **options
        )
    target = repo.git("rev-parse", "--abbrev-ref", "HEAD")

    # Three tasks at once: one good, one that fails, one that collides with the first.
    prompt = ("-m", "Say more\nin the readme")
    paths = {
        "good": repo.start("good", f"sed -i.bak '1s/$/ one/' {README}; rm {README}.bak", *prompt),
        "bad": repo.start("bad", "echo oh no; exit 3"),
        "other": repo.start(
            "other", f"sed -i.bak '1s/$/ two/' {README} && rm {README}.bak && git commit -qam two"
        ),
    }
    tasks = {task["name"]: task for task in repo.json("list")["tasks"]}
    assert {name: task["status"] for name, task in tasks.items()} == {
        "good": "ready",
        "bad": "failed",
        "other": "ready",
    }
    assert {task["target"] for task in tasks.values()} == {target}
    for name, path in paths.items():
        assert path == Path(repo.parallel("path", name).stdout.strip())
        assert run("git", "status", "--porcelain", cwd=path).stdout == ""
    shown = repo.parallel("list").stdout
    assert "▲ good is ready" in shown
    assert "it ended with exit code 3" in shown
    assert "oh no" in repo.parallel("log", "bad").stdout
    assert "Say more" in repo.parallel("show", "good").stdout
    assert repo.json("conflicts")["conflicts"] == [
        {"tasks": ["good", "other"], "paths": [README], "kinds": ["content"]}
    ]
    reviewed = repo.parallel("review", "good").stdout
    assert f"merges   cleanly into {target}" in reviewed
    assert "Say more" in reviewed
    inside = run(
        "git", "parallel", "exec", "good", "--", "git", "log", "-1", "--format=%s", cwd=where
    )
    assert inside.stdout == "Say more\n"

    # From inside a task, too.
    assert "good" in run("git", "parallel", "list", cwd=paths["bad"]).stdout

    # One is merged by us, cleaned up, and brought back; the other collides.
    merged = repo.parallel("merge", "good")
    assert "✓ good merged into" in merged.stderr
    assert "✓ good cleaned up (merged into" in merged.stderr
    assert not paths["good"].exists()
    assert " one" in repo.git("show", f"{target}:{README}").splitlines()[0]
    refused = repo.parallel("merge", "other", ok=1)
    assert f"conflicts with {target} in {README}" in refused.stderr
    repo.parallel("undo", "good")
    assert paths["good"].is_dir()
    assert repo.task("good")["status"] == "merged"
    repo.parallel("cleanup")
    assert not paths["good"].exists()

    # The conflict is resolved in the task, and plain git merges it; a hook cleans up.
    run("git", "merge", "--quiet", target, cwd=paths["other"], ok=1)
    text = (paths["other"] / README).read_text()
    lines = [line for line in text.splitlines(keepends=True) if line[:7] not in ("<" * 7, "=" * 7)]
    kept = [line for line in lines if line[:7] != ">" * 7]
    (paths["other"] / README).write_text("".join(kept))
    run("git", "commit", "--quiet", "--all", "--no-edit", cwd=paths["other"])
    if kind is bare:
        repo.parallel("merge", "other")
    else:
        done = run("git", "merge", "--no-edit", "parallel/other", cwd=where)
        assert "✓ other cleaned up (merged into" in done.stderr
    assert not paths["other"].exists()

    # Nobody needs the failed one any more; a task of a person comes and goes.
    repo.parallel("remove", "bad")
    mine = Path(repo.parallel("start", "mine-now").stdout.strip())
    repo.parallel("wait", "mine-now")
    (mine / "note").write_text("mine")
    assert "not committed: note" in repo.parallel("remove", "mine-now", ok=1).stderr
    (mine / "note").unlink()
    repo.parallel("remove", "mine-now")
    assert repo.json("list")["tasks"] == []
    assert repo.git("for-each-ref", "refs/heads/parallel") == ""
    assert repo.git("fsck", "--strict", "--no-dangling").strip() == ""
    if kind is not bare:
        assert repo.git("status", "--porcelain") == ""
    repo.parallel("hooks", "uninstall")
    common = Path(repo.git("rev-parse", "--path-format=absolute", "--git-common-dir"))
    samples = [p.name for p in (common / "hooks").iterdir() if p.suffix != ".sample"]
    assert samples == []


def test_works_under_git_dir(place: Path) -> None:
    where = plain(place)
    repo = Repo(where)
    repo.start("x", "echo > new")
    env = {"GIT_DIR": str(where / ".git")}
    done = run("git", "parallel", "merge", "x", cwd=place, env=env)
    assert "✓ x merged into" in done.stderr
    assert (where / "new").exists()
    assert os.listdir(place / "проект.parallel") == [".trash"]
