"""Starting tasks: what is made, what is said, and what is gone again when it fails."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import PROGRAM, Repo, normal, run, until
from tests.test_bad_input import snapshot

REPORT = 'printf "%s\\n" "$PWD" "$(pwd -P)"; env | sort; cat "$GIT_PARALLEL_BRIEF"'


def test_makes_branch_worktree_address_and_brief(repo: Repo, tmp_path: Path) -> None:
    done = repo.parallel("start", "fix/login", "-m", "Fix it", "--", "cat")
    assert normal(done.stdout, tmp_path) == "TMP/my répo.parallel/fix-login\n"
    assert normal(done.stderr, tmp_path) == (
        "✓ hooks installed in TMP/my répo/.git/hooks: post-checkout, post-merge, post-commit,"
        " post-rewrite ↳ git parallel hooks\n"
        "✓ fix/login started on parallel/fix/login, to be merged into main, with cat"
        " ↳ git parallel log -f fix/login\n"
    )
    address = repo.path / ".git" / "parallel" / "fix-login"
    assert address.is_symlink()
    assert address.resolve() == Path(done.stdout.strip())
    assert not os.path.isabs(os.readlink(address))
    repo.parallel("wait", "fix/login", ok=1)
    told = repo.parallel("log", "fix/login").stdout
    assert told.startswith("Fix it\n\n---\n")
    assert told == (repo.state / "tasks" / "fix-login" / "brief.md").read_text()
    assert repo.git("status", "--porcelain") == ""


def test_gives_the_command_a_clean_environment(repo: Repo, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    env = {
        "GIT_CONFIG_PARAMETERS": "'user.name'='Eve'",
        "GIT_EDITOR": "vi",
        "VIRTUAL_ENV": str(venv),
        "PYTHONPATH": "/elsewhere",
        "NODE_PATH": "/elsewhere",
        "PATH": f"{venv}/bin{os.pathsep}{os.environ['PATH']}",
    }
    done = repo.parallel("start", "x", "-m", "p", "--wait", "--", "sh", "-c", REPORT, ok=1, env=env)
    path = done.stdout.strip()
    lines = repo.parallel("log", "x").stdout.splitlines()
    told = dict(line.partition("=")[::2] for line in lines if "=" in line)
    assert lines[:2] == [path, path]
    assert told["PWD"] == path
    gone = {"GIT_DIR", "GIT_EDITOR", "GIT_EXEC_PATH", "GIT_CONFIG_PARAMETERS", "VIRTUAL_ENV"}
    assert not (gone | {"PYTHONPATH", "NODE_PATH", "GIT_PARALLEL_HOOKS"}) & set(told)
    assert str(venv) not in told["PATH"]
    assert "git-core" not in told["PATH"]
    assert told["GIT_PARALLEL_TASK"] == "x"
    assert told["GIT_PARALLEL_BRANCH"] == "parallel/x"
    assert told["GIT_PARALLEL_TARGET"] == "main"
    assert told["GIT_PARALLEL_BASE"] == repo.git("rev-parse", "main")
    assert told["GIT_PARALLEL_MAIN"] == str(repo.path)


def test_takes_a_long_and_odd_prompt_byte_for_byte(repo: Repo, tmp_path: Path) -> None:
    prompt = (b"quote ' \" ` $(x) \\ \xff\xfe \xf0\x9f\x8e\x89 \x1b[2J\r\n" * 9000)[:300_000]
    file = tmp_path / "prompt"
    file.write_bytes(prompt)
    path = repo.start("x", "cat > got", "-F", str(file))
    assert (path / "got").read_bytes().startswith(prompt + b"\n\n---\n")
    assert repo.task("x")["status"] == "ready"
    assert "\x1b[2J" not in repo.parallel("show", "x").stdout
    again = repo.parallel(
        "start", "y", "-F", "-", "--wait", "--", "sh", "-c", "cat > got", stdin=prompt
    )
    assert (Path(again.stdout.strip()) / "got").read_bytes().startswith(prompt)


def test_starts_from_a_branch_a_tag_and_a_commit(repo: Repo) -> None:
    first = repo.git("rev-parse", "HEAD")
    repo.git("tag", "v1")
    repo.git("branch", "release")
    repo.commit("b.txt", "b\n")
    for name, start, base, target in (
        ("plain", None, "main", "main"),
        ("branch", "release", first, "release"),
        ("tag", "v1", first, "main"),
        ("commit", first[:10], first, "main"),
    ):
        repo.parallel("start", name, *([start] if start else []))
        task = repo.task(name)
        assert (task["base"], task["target"]) == (repo.git("rev-parse", base), target)


def test_starts_from_a_remote_branch_without_an_upstream(make_repo: Callable[..., Repo]) -> None:
    origin = make_repo("origin")
    clone = Repo(origin.path.parent / "clone")
    origin.git("clone", "--quiet", ".", clone.path)
    clone.parallel("start", "x", "origin/main")
    assert clone.task("x")["target"] == "main"
    assert "branch.parallel" not in clone.git("config", "--list")


def test_starts_on_a_detached_head(repo: Repo) -> None:
    repo.git("checkout", "--quiet", "--detach")
    repo.parallel("start", "x")
    assert repo.task("x")["target"] == "main"


def test_carries_uncommitted_changes_along(repo: Repo) -> None:
    repo.commit("gone.txt", "gone\n")
    repo.write("readme.txt", "staged\n")
    repo.git("add", "readme.txt")
    repo.write("readme.txt", "staged and more\n")
    repo.write("new ü.txt", "new\n")
    (repo.path / "binary").write_bytes(bytes(range(256)) * 20)
    (repo.path / "gone.txt").unlink()
    before = repo.git("status", "--porcelain")
    done = repo.parallel("start", "x", "--carry")
    path = Path(done.stdout.strip())
    assert "4 changed files carried along" in done.stderr
    assert (path / "readme.txt").read_text() == "staged and more\n"
    assert (path / "new ü.txt").read_text() == "new\n"
    assert (path / "binary").read_bytes() == bytes(range(256)) * 20
    assert not (path / "gone.txt").exists()
    assert repo.git("status", "--porcelain") == before
    assert repo.task("x")["dirty"] == 4


def test_refuses_to_carry_what_does_not_fit(repo: Repo) -> None:
    repo.git("branch", "old")
    repo.commit("readme.txt", "other\n")
    repo.write("readme.txt", "changed\n")
    before = snapshot(repo)
    done = repo.parallel("start", "x", "old", "--carry", ok=1)
    assert "do not fit" in done.stderr
    assert set(snapshot(repo)) - set(before) <= _bookkeeping(repo)
    assert repo.names() == []


def _bookkeeping(repo: Repo) -> set[str]:
    """What a first call leaves whatever happens: folders of ours, a lock, git's own empty ones."""
    git = f"{repo.path.name}/.git"
    ours = {f"{git}/parallel", f"{git}/parallel/.state", f"{git}/parallel/.state/tasks"}
    heads = {f"{git}/refs/heads/parallel", f"{git}/logs/refs/heads/parallel", f"{git}/worktrees"}
    objects = {
        str(path.relative_to(repo.path.parent)) for path in (repo.path / ".git/objects").rglob("*")
    }
    return ours | heads | objects | {f"{git}/parallel/.state/lock"}


def test_leaves_nothing_behind_when_a_hook_refuses(repo: Repo) -> None:
    hook = repo.path / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho no way >&2\nexit 3\n")
    hook.chmod(0o755)
    before = snapshot(repo)
    done = repo.parallel("start", "x", "--", "true", ok=1)
    assert "git hook run failed: no way" in done.stderr
    assert set(snapshot(repo)) - set(before) <= _bookkeeping(repo)
    assert hook.read_text() == "#!/bin/sh\necho no way >&2\nexit 3\n"
    assert repo.git("worktree", "list").count("\n") == 0
    hook.unlink()
    repo.start("x", "true")
    assert repo.task("x")["status"] == "empty"


def test_leaves_nothing_behind_when_the_home_can_not_be_written(repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    repo.git("config", "parallel.root", str(tmp_path / "file" / "home"))
    before = snapshot(repo)
    done = repo.parallel("start", "x", "--", "true", ok=1)
    assert str(tmp_path / "file" / "home") in done.stderr
    assert set(snapshot(repo)) - set(before) <= _bookkeeping(repo)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_leaves_nothing_behind_when_the_disk_is_full(repo: Repo, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small, cwd=tmp_path, ok=None)
    if mounted.returncode:
        pytest.skip("mount is not allowed here")
    try:
        (repo.path / "big").write_bytes(os.urandom(3_000_000))
        repo.git("add", "big")
        repo.git("commit", "--quiet", "-m", "big")
        repo.git("config", "parallel.root", str(small / "home"))
        done = repo.parallel("start", "x", "--", "true", ok=1)
        assert "git reset failed" in done.stderr
        assert not (small / "home").exists()
        assert repo.names() == []
        assert repo.git("branch", "--list", "parallel/*") == ""
        assert not (repo.path / ".git" / "worktrees" / "x").exists()
    finally:
        run("umount", small, cwd=tmp_path)


def test_does_not_touch_what_it_did_not_make(repo: Repo) -> None:
    repo.git("branch", "parallel/x")
    done = repo.parallel("start", "x", "--", "true", ok=1)
    assert "the branch parallel/x exists already" in done.stderr
    assert repo.git("rev-parse", "parallel/x") == repo.git("rev-parse", "main")
    other = repo.path.parent / "my répo.parallel" / "y"
    other.mkdir(parents=True)
    (other / "file").write_text("mine")
    assert "exists already" in repo.parallel("start", "y", "--", "true", ok=1).stderr
    assert (other / "file").read_text() == "mine"
    assert repo.names() == []


def test_refuses_a_branch_that_is_checked_out_elsewhere(repo: Repo) -> None:
    repo.git("worktree", "add", "--quiet", "-b", "topic", "../elsewhere")
    done = repo.parallel("start", "x", "--branch", "topic", "--target", "main", ok=1)
    assert "topic is checked out in" in done.stderr
    assert repo.names() == []


def test_continues_on_an_existing_branch(repo: Repo) -> None:
    base = repo.git("rev-parse", "HEAD")
    repo.git("switch", "--quiet", "-c", "topic")
    repo.commit("topic.txt", "t\n")
    repo.git("switch", "--quiet", "main")
    repo.parallel("start", "x", "--branch", "topic")
    task = repo.task("x")
    assert (task["branch"], task["base"], task["ahead"]) == ("topic", base, 1)


@pytest.mark.slow
def test_twenty_four_at_once_all_succeed(repo: Repo) -> None:
    calls = [
        subprocess.Popen(
            [PROGRAM, "start", f"t{n}", "--", "sh", "-c", f"echo {n} > {n}.txt"],
            cwd=repo.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for n in range(24)
    ]
    said = [call.communicate() for call in calls]
    failed = [text for call, text in zip(calls, said, strict=True) if call.returncode]
    assert failed == []
    repo.parallel("wait")
    tasks = repo.json("list")["tasks"]
    assert [task["status"] for task in tasks] == ["ready"] * 24
    assert len({task["slot"] for task in tasks}) == 24
    assert len({task["path"] for task in tasks}) == 24
    assert repo.git("fsck", "--strict", "--no-dangling").strip() == ""


def test_two_starts_of_one_name_make_one_task(repo: Repo) -> None:
    calls = [
        subprocess.Popen([PROGRAM, "start", "x"], cwd=repo.path, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    said = [call.communicate()[1].decode() for call in calls]
    assert sorted(call.returncode for call in calls) == [0, 1, 1, 1]
    assert sum("there is a task `x` already" in text for text in said) == 3
    assert repo.names() == ["x"]


def test_keeps_the_home_beside_the_repository_unless_it_must_not(
    make_repo: Callable[..., Repo], tmp_path: Path
) -> None:
    outer = make_repo("outer")
    inner = make_repo("inner", at=outer.path)
    path = Path(inner.parallel("start", "x").stdout.strip())
    assert path.is_relative_to(tmp_path / "home" / ".local" / "share" / "git-parallel")
    outer.git("config", "parallel.root", ".worktrees")
    path = Path(outer.parallel("start", "x").stdout.strip())
    assert path == outer.path / ".worktrees" / "x"
    assert outer.git("status", "--porcelain", "--", ".worktrees") == ""
    plain = make_repo("plain")
    plain.git("config", "parallel.root", ".git/parallel")
    path = Path(plain.parallel("start", "x").stdout.strip())
    assert path == plain.path / ".git" / "parallel" / "x"
    assert not path.is_symlink()
    until(lambda: plain.task("x")["status"] == "idle")
    plain.parallel("remove", "x")
    plain.parallel("undo")
    assert plain.task("x")["status"] == "idle"


def test_prints_the_task_as_json(repo: Repo) -> None:
    task = repo.json("start", "x", "-m", "Fix", "--wait", "--", "sh", "-c", "echo > new")
    assert task["version"] == 1
    known = "name status branch target base head path address ahead behind dirty files insertions"
    known += " deletions conflicts breaches run slot ports"
    assert set(known.split()) <= set(task)
    assert (task["name"], task["status"], task["ahead"], task["files"]) == ("x", "ready", 1, 1)
    assert task["run"]["number"] == 1
    assert task["run"]["exit_code"] == 0
