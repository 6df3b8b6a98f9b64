"""Ignored files: which are copied, how they follow their originals, what is never touched."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from git_parallel import dotenv
from tests.conftest import PROGRAM, Repo, run
from tests.test_environment import person, record


@pytest.fixture
def copied(repo: Repo) -> Path:
    """A worktree with a copy of `.env`."""
    repo.commit(".gitignore", ".env*\n")
    repo.write(".env", "A=1\n")
    return person(repo)


def bootstrap(repo: Repo) -> str:
    return repo.parallel("bootstrap", "x").stderr


def test_a_copy_that_nobody_edited_follows_its_original(repo: Repo, copied: Path) -> None:
    repo.write(".env", "A=2\n").chmod(0o640)
    bootstrap(repo)
    assert (copied / ".env").read_text() == "A=2\n"
    assert (copied / ".env").stat().st_mode & 0o777 == 0o640
    repo.write(".env", "A=3\n")
    bootstrap(repo)
    assert (copied / ".env").read_text() == "A=3\n"


@pytest.mark.slow
def test_a_copy_that_was_edited_stays_and_is_named(repo: Repo, copied: Path) -> None:
    (copied / ".env").write_text("mine\n")
    assert "stays" not in bootstrap(repo)
    repo.write(".env", "A=2\n")
    assert "▲ .env stays as it was edited here, though its original has changed" in bootstrap(repo)
    assert (copied / ".env").read_text() == "mine\n"
    shown = repo.parallel("show", "x").stdout
    assert "copied .env, edited here while its original changed" in shown
    assert repo.json("show", "x")["environment"]["kept"] == [".env"]
    (copied / ".env").write_text("A=2\n")
    assert "stays" not in bootstrap(repo)


def test_a_copy_that_was_deleted_comes_back(repo: Repo, copied: Path) -> None:
    (copied / ".env").unlink()
    bootstrap(repo)
    assert (copied / ".env").read_text() == "A=1\n"


def test_a_copy_outlives_its_original(repo: Repo, copied: Path) -> None:
    (repo.path / ".env").unlink()
    bootstrap(repo)
    assert (copied / ".env").read_text() == "A=1\n"


def test_a_file_that_was_there_before_is_not_ours(repo: Repo) -> None:
    repo.commit(".gitignore", ".env*\n")
    path = Path(repo.parallel("start", "x", "--no-bootstrap").stdout.strip())
    (path / ".env").write_text("first\n")
    repo.write(".env", "A=1\n")
    bootstrap(repo)
    assert (path / ".env").read_text() == "first\n"
    assert record(repo, "x")["copied"] == {}


def test_a_copy_that_was_made_before_a_kill_is_known_again(repo: Repo, copied: Path) -> None:
    (repo.path / ".git" / "worktrees" / "x" / "parallel.json").unlink()
    bootstrap(repo)
    assert list(record(repo, "x")["copied"]) == [".env"]


def test_a_killed_copy_leaves_nothing_that_could_be_committed(repo: Repo) -> None:
    repo.commit(".gitignore", ".env*\n")
    for number in range(300):
        repo.write(f"{number}/.env", f"SECRET={number}\n" * 2000)
    path = Path(repo.parallel("start", "x", "--no-bootstrap").stdout.strip())
    for delay in (0.1, 0.15, 0.2):
        child = subprocess.Popen([PROGRAM, "bootstrap"], cwd=path, stderr=subprocess.DEVNULL)
        try:
            child.wait(timeout=delay)
        except subprocess.TimeoutExpired:
            child.kill()
        child.wait()
        assert repo.git("-C", path, "status", "--porcelain") == ""
        done = {p.relative_to(path): p.read_bytes() for p in path.glob("*/.env")}
        assert all(text == (repo.path / name).read_bytes() for name, text in done.items())
    bootstrap(repo)
    assert len(record(repo, "x")["copied"]) == 300
    assert not list((repo.path / ".git" / "worktrees" / "x").glob("parallel-copy-*"))


@pytest.mark.parametrize("where", [".worktreeinclude", "environment.copy"])
def test_never_copies_secrets_of_production_that_nobody_named(repo: Repo, where: str) -> None:
    repo.commit(".gitignore", ".env*\n!.env.example\n")
    for name in (".env", ".env.production", "a/.env.production", ".env.template"):
        repo.write(name, "x\n")

    def wanted(*patterns: str) -> None:
        if where == ".worktreeinclude":
            repo.commit(where, "# what we need\n\n" + "".join(f"{p}\n" for p in patterns))
        else:
            repo.parallel("config", "set", where, json.dumps(patterns))

    wanted(".env*")
    person(repo)
    assert list(record(repo, "x")["copied"]) == [".env"]
    wanted(".env*", "/.env.production")
    bootstrap(repo)
    assert list(record(repo, "x")["copied"]) == [".env", ".env.production"]


def test_looks_into_ignored_folders_only_where_a_path_leads_there(repo: Repo) -> None:
    repo.commit(".gitignore", "node_modules/\nconfig/\n*.pem\n")
    for name in ("a.pem", "sub/b.pem", "node_modules/x/c.pem", "config/d.pem", "config/e/f"):
        repo.write(name, name)
    repo.commit(".worktreeinclude", "**/*.pem\n")
    person(repo)
    assert list(record(repo, "x")["copied"]) == ["a.pem", "sub/b.pem"]
    repo.commit(".worktreeinclude", "*.pem\n/config/*.pem\n")
    bootstrap(repo)
    assert sorted(record(repo, "x")["copied"]) == ["a.pem", "config/d.pem", "sub/b.pem"]


def test_never_copies_out_of_a_virtual_environment(repo: Repo) -> None:
    repo.commit(".gitignore", ".venv/\n")
    repo.commit(".worktreeinclude", ".venv/\n")
    repo.write(".venv/pyvenv.cfg", "home = /usr/bin\n")
    repo.write(".venv/bin/python", "")
    person(repo)
    assert record(repo, "x")["copied"] == {}


def test_never_writes_through_a_link_out_of_the_worktree(repo: Repo, tmp_path: Path) -> None:
    repo.commit(".gitignore", ".env\nfolder\n")
    repo.write("folder/.env", "A=1\n")
    (tmp_path / "outside").mkdir()
    path = Path(repo.parallel("start", "x", "--no-bootstrap").stdout.strip())
    (path / "folder").symlink_to(tmp_path / "outside")
    repo.parallel("config", "set", "environment.copy", '["folder/.env"]')
    bootstrap(repo)
    assert list((tmp_path / "outside").iterdir()) == []


def test_copies_to_a_home_on_another_file_system(repo: Repo, tmp_path: Path) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here")
    home = Path(run("mktemp", "-d", "-p", other, cwd=tmp_path).stdout.strip())
    try:
        repo.git("config", "parallel.root", home)
        repo.commit(".gitignore", ".env*\n")
        repo.write(".env", "A=1\n").chmod(0o600)
        (repo.path / ".env.link").symlink_to(".env")
        path = person(repo)
        assert (path / ".env").read_text() == "A=1\n"
        assert (path / ".env").stat().st_mode & 0o777 == 0o600
        repo.write(".env", "A=2\n")
        bootstrap(repo)
        assert (path / ".env.link").read_text() == "A=2\n"
    finally:
        run("rm", "-rf", home, cwd=tmp_path)


def test_a_bare_repository_has_them_from_the_worktree_of_its_branch(
    repo: Repo, tmp_path: Path
) -> None:
    repo.commit(".gitignore", ".env*\n")
    repo.commit(".git-parallel.toml", '[environment]\nrun = ["cp .env seen"]\n')
    bare = Repo(tmp_path / "bare.git")
    run("git", "clone", "--quiet", "--bare", repo.path, bare.path, cwd=tmp_path)
    bare.git("worktree", "add", "--quiet", tmp_path / "main", "main")
    (tmp_path / "main" / ".env").write_text("A=1\n")
    bare.parallel("trust", "--yes")
    path = Path(bare.parallel("start", "x").stdout.strip())
    bare.parallel("wait", "x")
    assert (path / "seen").read_text() == "A=1\n"


@pytest.mark.slow
def test_shares_content_where_the_file_system_can(repo: Repo, tmp_path: Path) -> None:
    image, mount = tmp_path / "image", tmp_path / "mount"
    mount.mkdir()
    run("truncate", "-s", "200M", image, cwd=tmp_path)
    ready = f"mkfs.btrfs -q '{image}' && mount -o loop '{image}' '{mount}'"
    if run("sh", "-c", ready, cwd=tmp_path, ok=None).returncode:
        pytest.skip("btrfs can't be mounted here")
    try:
        run("git", "clone", "--quiet", repo.path, mount / "repo", cwd=tmp_path)
        there = Repo(mount / "repo")
        there.commit(".gitignore", ".env\n")
        (there.path / ".env").write_bytes(os.urandom(900_000))
        path = person(there)
        told = run("btrfs", "filesystem", "du", "--raw", path / ".env", cwd=mount).stdout
        total, exclusive, *_ = told.splitlines()[1].split()
        assert (int(total) > 800_000, exclusive) == (True, "0")
    finally:
        run("umount", "--lazy", mount, cwd=tmp_path)


@pytest.mark.slow
def test_gives_other_values_to_the_keys_of_a_copied_env_only_where_asked(repo: Repo) -> None:
    repo.commit(".gitignore", ".env*\nconfig.local.json\n")
    text = "# ours\nPORT=3000 # the server\nexport URL='http://localhost:3000/'\nOTHER=${PORT}\n"
    repo.write(".env", text)
    repo.write("config.local.json", "PORT=3000\n")
    path = person(repo)
    assert (path / ".env").read_text() == text
    port = repo.task("x")["ports"][0]
    wanted = {"PORT": "{port}", "URL": "http://localhost:{port_1}/{task}?{unknown}", "NEW": "new"}
    for key, value in wanted.items():
        repo.parallel("config", "set", f"environment.env.{key}", value)
    bootstrap(repo)
    assert (path / ".env").read_text() == (
        f"# ours\nPORT={port} # the server\n"
        f"export URL='http://localhost:{port + 1}/x?{{unknown}}'\nOTHER=${{PORT}}\n"
    )
    assert (path / "config.local.json").read_text() == "PORT=3000\n"
    told = repo.parallel("exec", "x", "--", "sh", "-c", "echo $PORT $NEW").stdout
    assert told == f"{port} new\n"
    before = record(repo, "x")["copied"]
    bootstrap(repo)
    assert record(repo, "x")["copied"] == before
    repo.write(".env", "PORT=4000\n")
    bootstrap(repo)
    assert (path / ".env").read_text() == f"PORT={port}\n"


def test_variables_that_a_project_brings_need_trust(repo: Repo) -> None:
    repo.commit(".git-parallel.toml", '[environment.env]\nLD_PRELOAD = "evil.so"\n')
    done = repo.parallel("start", "x")
    assert 'environment.env: {"LD_PRELOAD":"evil.so"}' in done.stderr
    repo.parallel("wait", "x", ok=1)
    assert "LD_PRELOAD" not in repo.parallel("exec", "x", "--", "env").stdout
    assert "git parallel trust && git parallel bootstrap x" in repo.parallel("list").stdout


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("A=1", "A=new"),
        ("A=", "A=new"),
        (" export A = 1 # why", " export A = new # why"),
        ("A='x # y'", "A=new"),
        ('A="x\ny" # two lines', "A=new # two lines"),
        ("A=1\r", "A=new\r"),
        ("AA=1\nB=A=1\n#A=1", "AA=1\nB=A=1\n#A=1"),
        ("A=x#y", "A=new"),
    ],
)
def test_rewrites_a_value_and_no_other_byte(line: str, expected: str) -> None:
    assert dotenv.rewrite(line.encode() + b"\n\xff", {"A": "new"}) == expected.encode() + b"\n\xff"


@pytest.mark.parametrize("value", ["plain", "two words", "it's", 'a "b" $c `d`', "", "a\\b", "ü"])
def test_writes_values_that_a_shell_reads_back(value: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(dotenv.compose({"A": value}))
    assert run("sh", "-c", '. ./file; printf %s "$A"', cwd=tmp_path).stdout == value
