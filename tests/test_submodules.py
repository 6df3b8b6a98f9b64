"""Submodules and git-lfs: what git leaves empty in a new worktree is there."""

import sys
from pathlib import Path

import pytest

from tests import tools
from tests.conftest import Repo, run
from tests.test_environment import person


@pytest.fixture
def nested(repo: Repo, tmp_path: Path) -> Repo:
    """A repository with a submodule that has one, whose origins can't be reached any more."""
    for name in ("inner", "outer"):
        run("git", "init", "--quiet", tmp_path / name, cwd=tmp_path)
        Repo(tmp_path / name).commit("file", f"{name}\n")
    outer = Repo(tmp_path / "outer")
    outer.git("submodule", "--quiet", "add", "../inner", "deep er")
    outer.git("commit", "--quiet", "-m", "Add inner")
    repo.git("submodule", "--quiet", "add", tmp_path / "outer", "libs/out er")
    repo.git("commit", "--quiet", "-m", "Add outer")
    repo.git("submodule", "--quiet", "update", "--init", "--recursive")
    (tmp_path / "inner").rename(tmp_path / "away")
    (tmp_path / "outer").rename(tmp_path / "away too")
    return repo


def test_fills_submodules_from_what_is_there_without_a_network(
    nested: Repo, tmp_path: Path
) -> None:
    path = person(nested)
    assert (path / "libs" / "out er" / "file").read_text() == "outer\n"
    assert (path / "libs" / "out er" / "deep er" / "file").read_text() == "inner\n"
    states = nested.git("-C", path, "submodule", "status", "--recursive").splitlines()
    assert [line[0] for line in states] == [" ", " "]
    assert nested.git("-C", path, "status", "--porcelain") == ""
    module = Repo(path / "libs" / "out er")
    assert module.git("remote", "get-url", "origin") == str(tmp_path / "outer")
    borrowed = Path(module.git("rev-parse", "--git-path", "objects/info/alternates"))
    original = nested.path / ".git" / "modules" / "libs" / "out er"
    assert borrowed.read_text() == f"{original}/objects\n"
    assert Repo(path / "libs/out er/deep er").git("remote", "get-url", "origin") == str(
        tmp_path / "inner"
    )
    listed = nested.json("show", "x")["environment"]["steps"]
    assert [step["name"] for step in listed] == ["files", "submodules"]
    assert nested.parallel("bootstrap", "x").stderr == f"○ {path} is ready\n"


@pytest.mark.slow
def test_what_is_borrowed_is_not_pruned(nested: Repo) -> None:
    original = Repo(nested.path / "libs" / "out er")
    only_here = original.commit("file", "never pushed\n")
    nested.git("commit", "--quiet", "-am", "Use it")
    path = person(nested)
    original.git("reset", "--quiet", "--hard", "HEAD~1")
    original.git("reflog", "expire", "--expire=now", "--all")
    original.git("gc", "--quiet", "--prune=now")
    module = Repo(path / "libs" / "out er")
    assert module.git("rev-parse", "HEAD") == only_here
    module.git("fsck", "--connectivity-only")


@pytest.mark.slow
def test_a_commit_that_only_the_main_repository_has_does_not_keep_a_task(nested: Repo) -> None:
    Repo(nested.path / "libs" / "out er").commit("file", "never pushed\n")
    nested.git("commit", "--quiet", "-am", "Use it")
    path = nested.start("x", "echo > f")
    nested.parallel("merge", "x")
    assert not path.exists(), nested.parallel("cleanup").stderr


@pytest.mark.slow
def test_a_commit_made_in_a_submodule_keeps_the_task(nested: Repo) -> None:
    script = (
        "cd 'libs/out er' && echo >f && git add f && git commit -qm new && cd ../.. && git add ."
    )
    path = nested.start("x", f"{script} && git commit -qm x")
    nested.parallel("merge", "x")
    assert path.exists()
    assert "has commits that no remote has" in nested.parallel("cleanup", "--json").stdout


@pytest.mark.slow
def test_pins_go_when_the_trash_is_emptied(nested: Repo) -> None:
    original = nested.path / ".git" / "modules" / "libs" / "out er"

    def pins() -> str:
        return run("git", "for-each-ref", "refs/parallel", cwd=original).stdout

    person(nested)
    assert "refs/parallel/x/" in pins()
    nested.parallel("remove", "x")
    assert pins()
    words = ("from git_parallel.__main__ import main; main()", "purge", str(nested.path / ".git"))
    run(sys.executable, "-c", *words, "0", "0", cwd=nested.path)
    assert pins() == ""


@pytest.mark.slow
def test_work_in_a_submodule_stays_on_a_later_bootstrap(nested: Repo) -> None:
    path = person(nested)
    module = Repo(path / "libs" / "out er")
    made = module.commit("file", "mine\n")
    nested.parallel("bootstrap", "x")
    assert module.git("rev-parse", "HEAD") == made


@pytest.mark.slow
def test_a_submodule_that_can_not_be_had_is_named(nested: Repo) -> None:
    run("rm", "-rf", ".git/modules", "libs", cwd=nested.path)
    path = nested.start("x", "touch agent")
    assert not (path / "agent").exists()
    assert "submodules: `submodule libs/out er` ended with" in nested.task("x")["reason"]


MOVE = "git update-index --cacheinfo 160000,$(git rev-parse HEAD),sub"


@pytest.fixture
def ignored(repo: Repo) -> Repo:
    """A repository with a submodule whose commits git is told to ignore."""
    settings = "\tpath = sub\n\turl = ../sub\n\tignore = all\n"
    (repo.path / "sub").mkdir()
    head = repo.commit(".gitmodules", f'[submodule "sub"]\n{settings}')
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{head},sub")
    repo.git("commit", "--quiet", "-m", "Add sub")
    return repo


@pytest.mark.slow
def test_a_submodule_that_git_ignores_is_a_change_all_the_same(ignored: Repo) -> None:
    words = ("--no-bootstrap", "--never", "sub")
    ignored.start("x", f"{MOVE} && git commit -qm bump", *words)
    task = ignored.task("x")
    assert (task["status"], task["breaches"]) == ("ready", ["sub"])
    assert ignored.json("review", "x")["paths"] == ["sub"]
    for form, word in (("--files", "M\tsub"), ("--stat", "1 file changed"), ("", "+Subproject")):
        assert word in ignored.parallel("review", "x", *form.split()).stdout
    refused = ignored.parallel("merge", "x", ok=1).stderr
    assert "sub" in refused and "changes nothing" not in refused
    ignored.parallel("merge", "x", "--allow-breaches")
    assert ignored.git("diff", "--ignore-submodules=none", "--name-only", "HEAD~", "HEAD") == "sub"


@pytest.mark.slow
def test_what_is_new_in_a_submodule_that_git_ignores_is_shown(ignored: Repo) -> None:
    move = f"{MOVE} && git commit -qm bump"
    path = ignored.start("x", move, "--no-bootstrap")
    ignored.parallel("review", "x")
    run("sh", "-c", move, cwd=path)
    assert "+Subproject" in ignored.parallel("review", "x", "--since-last").stdout
    run("git", "reset", "--quiet", "--soft", "HEAD~2", cwd=path)
    run("sh", "-c", f"echo >f && git add f && {move}", cwd=path)
    shown = ignored.parallel("review", "x", "--since-last").stdout
    assert "+++ b/f" in shown and "+Subproject" in shown
    edited = ignored.parallel("review", "x", "--edit", env={"GIT_EDITOR": "cp $1 form; cat"})
    assert "+Subproject" in edited.stdout


@pytest.mark.slow
def test_commits_a_submodule_that_git_ignores(ignored: Repo) -> None:
    script = "git init -q sub && cd sub && git commit -q --allow-empty -m new"
    path = ignored.start("x", script, "--no-bootstrap")
    assert ignored.task("x")["status"] == "ready"
    assert Repo(path).git("rev-parse", "HEAD:sub") == Repo(path / "sub").git("rev-parse", "HEAD")


@pytest.fixture
def large(repo: Repo) -> Repo:
    """A repository with a file that git-lfs keeps."""
    tools.need_command("git-lfs")
    repo.git("lfs", "install", "--local")
    repo.commit("deep/.gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    repo.commit("deep/large.bin", "large\n" * 100)
    return repo


def test_fills_what_git_lfs_left_as_pointers(large: Repo) -> None:
    skip = {"GIT_LFS_SKIP_SMUDGE": "1"}
    path = Path(large.parallel("start", "x", "--no-bootstrap", env=skip).stdout.strip())
    assert (path / "deep" / "large.bin").read_text().startswith("version https://git-lfs")
    large.parallel("bootstrap", "x")
    assert (path / "deep" / "large.bin").read_text() == "large\n" * 100
    assert large.git("-C", path, "status", "--porcelain") == ""


@pytest.mark.slow
def test_names_what_git_lfs_can_not_fill(large: Repo) -> None:
    run("rm", "-rf", ".git/lfs/objects", cwd=large.path)
    skip = {"GIT_LFS_SKIP_SMUDGE": "1"}
    large.parallel("start", "x", "--wait", env=skip, ok=1)
    reason = large.parallel("show", "x").stdout
    assert "git-lfs can't fill deep/large.bin" in reason


def test_is_content_with_pointers_where_the_main_worktree_is(large: Repo) -> None:
    pointer = large.git("cat-file", "blob", "HEAD:deep/large.bin") + "\n"
    large.write("deep/large.bin", pointer)
    run("rm", "-rf", ".git/lfs/objects", cwd=large.path)
    skip = {"GIT_LFS_SKIP_SMUDGE": "1"}
    large.parallel("start", "x", "--wait", env=skip)
