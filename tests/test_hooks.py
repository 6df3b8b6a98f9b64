"""Hooks beside everything that may be there, and what they do."""

import os
import stat
from pathlib import Path

import pytest

from tests.conftest import NPM_SETTINGS, PROGRAM, Repo, mostly_slow, run, until

NAMES = ("post-checkout", "post-merge", "post-commit", "post-rewrite")
ROOT = Path(__file__).parents[1]
EDIT = "sed -i.bak s/three/THREE/ readme.txt && rm readme.txt.bak && git commit -qam edit"
RECORD = 'echo "$0 $*" >> "$(git rev-parse --git-common-dir)/called"'


def folder_of(repo: Repo) -> Path:
    return repo.path / ".git" / "hooks"


def listing(folder: Path) -> dict[str, tuple[str, int, bytes]]:
    """What is in a folder, with the kind, the mode and the content of each file."""
    found = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        content = os.fsencode(os.readlink(path)) if path.is_symlink() else b""
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
        found[str(path.relative_to(folder))] = (stat.filemode(mode), mode, content)
    return found


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def nothing(_folder: Path) -> None:
    pass


def users_script(folder: Path) -> None:
    script(folder / "post-checkout", f"#!/bin/sh\n{RECORD}\n")
    script(folder / "post-merge", f"#!/usr/bin/env bash\nset -eu\n{RECORD}\nexit 0\n")


def without_last_newline(folder: Path) -> None:
    script(folder / "post-checkout", f"#!/bin/sh\n{RECORD}")


def another_language(folder: Path) -> None:
    text = (
        "#!/usr/bin/env python3\nimport os, subprocess, sys\n"
        "place = subprocess.check_output(['git', 'rev-parse', '--git-common-dir'], text=True)\n"
        "with open(os.path.join(place.strip(), 'called'), 'a') as file:\n"
        "    print(os.path.basename(sys.argv[0]), file=file)\n"
    )
    script(folder / "post-checkout", text)
    script(folder / "post-merge", text)


def a_link(folder: Path) -> None:
    script(folder.parent / "tools" / "hook", f"#!/bin/sh\n{RECORD}\n")
    for name in ("post-checkout", "post-merge"):
        (folder / name).symlink_to("../tools/hook")


def not_executable(folder: Path) -> None:
    script(folder / "post-checkout", "#!/bin/sh\nexit 1\n")
    (folder / "post-checkout").chmod(0o644)


BEFORE = [nothing, users_script, without_last_newline, another_language, a_link, not_executable]


@pytest.mark.parametrize("before", mostly_slow(BEFORE, quick=BEFORE[:3]), ids=lambda v: v.__name__)
def test_installs_beside_what_is_there_and_restores_it(
    repo: Repo, before: object, tmp_path: Path
) -> None:
    assert callable(before)
    folder_of(repo).mkdir(exist_ok=True)
    before(folder_of(repo))
    found = listing(folder_of(repo))
    repo.parallel("init")
    status = repo.parallel("hooks", "status").stdout
    assert status.count("✓") == 4, status
    again = repo.parallel("hooks", "install")
    assert "✓" not in again.stderr
    path = repo.start("x", EDIT)
    done = run("git", "merge", "--no-edit", "parallel/x", cwd=repo.path)
    assert "✓ x cleaned up (merged into main, " in done.stderr
    assert not path.exists()
    if before not in (nothing, without_last_newline, not_executable):
        called = (repo.path / ".git" / "called").read_text()
        assert "post-merge" in called
    repo.parallel("hooks", "uninstall")
    assert listing(folder_of(repo)) == found
    assert repo.parallel("hooks", "status", ok=1).stdout.count("missing") == 4
    repo.start("y", EDIT)
    assert listing(folder_of(repo)) == found


@pytest.mark.parametrize(
    "way",
    [
        ["git merge --no-edit parallel/x"],
        ["git merge --no-ff --no-edit parallel/x"],
        ["git merge --squash parallel/x", "git commit -m squashed"],
        ["git merge --no-ff --no-commit parallel/x", "git commit --no-edit"],
        ["git cherry-pick parallel/x"],
        ["git pull --no-rebase . parallel/x"],
        ["git rebase parallel/x"],
        ["git pull --rebase . parallel/x"],
    ],
    ids=lambda way: way[0],
)
def test_cleans_up_however_it_was_merged(repo: Repo, way: list[str]) -> None:
    path = repo.start("x", EDIT)
    until(lambda: repo.task("x")["status"] == "ready")
    if any(word in way[0] for word in ("rebase", "cherry-pick", "squash")):
        repo.commit("mine.txt", "mine\n")
    said = ""
    for command in way:
        said += run("sh", "-c", command, cwd=repo.path).stderr
    assert "✓ x cleaned up (merged into main" in said
    assert "↳ git parallel undo x" in said
    assert not path.exists()


@pytest.mark.slow
def test_cleans_up_after_a_conflicted_merge(repo: Repo) -> None:
    path = repo.start("x", EDIT)
    repo.commit("readme.txt", "one\ntwo\ndrei\nfour\nfive\n")
    run("git", "merge", "--no-edit", "parallel/x", cwd=repo.path, ok=1)
    assert path.is_dir()
    repo.write("readme.txt", "one\ntwo\nTHREE drei\nfour\nfive\n")
    done = run("git", "commit", "--quiet", "-am", "Both", cwd=repo.path)
    assert "✓ x cleaned up" in done.stderr
    assert not path.exists()


def test_pulls_and_cleans_up(repo: Repo, tmp_path: Path) -> None:
    repo.git("clone", "--quiet", ".", str(tmp_path / "clone"))
    clone = Repo(tmp_path / "clone")
    path = clone.start("x", EDIT)
    clone.git("push", "--quiet", "origin", "parallel/x")
    repo.git("merge", "--quiet", "--no-ff", "--no-edit", "parallel/x")
    done = run("git", "pull", "--quiet", cwd=clone.path)
    assert "✓ x cleaned up" in done.stderr
    assert not path.exists()


def test_bootstraps_a_worktree_that_git_made(repo: Repo) -> None:
    repo.commit(".gitignore", ".env\n")
    repo.write(".env", "SECRET=1\n")
    repo.parallel("init")
    done = run("git", "worktree", "add", "-b", "topic", "../my other", cwd=repo.path)
    assert "is ready, 1 file copied" in done.stderr
    assert (repo.path.parent / "my other" / ".env").read_text() == "SECRET=1\n"
    worktrees = repo.json("list")["worktrees"]
    assert worktrees == [{"path": str(repo.path.parent / "my other"), "branch": "topic"}]
    assert "topic in ../my other" in repo.parallel("list").stdout


def test_does_nothing_in_a_clone_or_where_nothing_is_ours(repo: Repo, tmp_path: Path) -> None:
    template = tmp_path / "template" / "hooks"
    template.mkdir(parents=True)
    for name in NAMES:
        script(template / name, (ROOT / "hooks" / name).read_text().replace("@PROGRAM@", "false"))
    run(
        "git",
        "clone",
        "--quiet",
        f"--template={template.parent}",
        ".",
        tmp_path / "c",
        cwd=repo.path,
    )
    clone = Repo(tmp_path / "c")
    clone.commit("x.txt", "x\n")
    clone.git("worktree", "add", "--quiet", "../w")
    clone.git("switch", "--quiet", "-c", "other")
    assert not (clone.path / ".git" / "parallel").exists()


def test_never_makes_git_fail(repo: Repo) -> None:
    repo.start("x", EDIT)
    (repo.path / ".git" / "parallel" / "config.toml").write_text("not toml")
    done = run("git", "merge", "--no-edit", "parallel/x", cwd=repo.path)
    assert "config.toml" in done.stderr
    for name in NAMES:
        text = (folder_of(repo) / name).read_text().replace(f"program={PROGRAM}", "program=/gone")
        script(folder_of(repo) / name, text)
    env = {"PATH": "/usr/bin:/bin"}
    run("git", "commit", "--quiet", "--allow-empty", "-m", "x", cwd=repo.path, env=env)
    run("git", "worktree", "add", "--quiet", "../w", cwd=repo.path, env=env)


def test_finds_its_program_with_a_bare_path(repo: Repo) -> None:
    path = repo.start("x", EDIT)
    env = {"PATH": "/usr/bin:/bin"}
    done = run("git", "merge", "--no-edit", "parallel/x", cwd=repo.path, env=env)
    assert "✓ x cleaned up" in done.stderr
    assert not path.exists()


def test_imports_little_for_a_hook(repo: Repo) -> None:
    repo.start("x", EDIT)
    code = (
        "import sys; sys.argv = ['git-parallel', 'hook', 'post-checkout', '0', '1', '1']\n"
        "from git_parallel.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({n.partition('.')[0] for n in sys.modules}))"
    )
    import sys

    done = run(sys.executable, "-c", code, cwd=repo.path)
    for name in ("click", "dulwich", "rich", "psutil", "tomli_w", "wcwidth", "pre_commit"):
        assert f"'{name}'" not in done.stdout


@pytest.mark.slow
def test_leaves_a_folder_of_the_project_alone(repo: Repo) -> None:
    hooks = repo.path / ".githooks"
    script(hooks / "post-merge", "#!/bin/sh\n")
    repo.git("add", ".githooks")
    repo.git("commit", "--quiet", "-m", "hooks")
    repo.git("config", "core.hooksPath", ".githooks")
    done = repo.parallel("start", "x")
    assert "hooks are not installed: .githooks is part of the project" in done.stderr
    assert "hooks are not installed" not in repo.parallel("start", "y").stderr
    assert repo.git("status", "--porcelain") == ""
    path = repo.start("z", EDIT)
    run("git", "merge", "--quiet", "--no-edit", "parallel/z", cwd=repo.path)
    assert path.is_dir()
    repo.parallel("list")
    assert not path.exists()


@pytest.mark.slow
def test_asks_before_it_writes_to_a_shared_folder(repo: Repo, tmp_path: Path) -> None:
    shared = tmp_path / "shared hooks"
    shared.mkdir()
    run("git", "config", "--global", "core.hooksPath", shared, cwd=tmp_path)
    assert "serves other repositories too" in repo.parallel("init", ok=1).stderr
    assert list(shared.iterdir()) == []
    repo.parallel("hooks", "install", "--shared")
    assert sorted(path.name for path in shared.iterdir()) == sorted(NAMES)
    path = repo.start("x", EDIT)
    run("git", "merge", "--quiet", "--no-edit", "parallel/x", cwd=repo.path)
    assert not path.exists()


@pytest.mark.slow
def test_works_with_husky(repo: Repo, tmp_path: Path) -> None:
    if run("sh", "-c", "command -v npm", cwd=tmp_path, ok=None).returncode:
        pytest.skip("npm is not installed")
    repo.commit(".gitignore", "node_modules/\n")
    repo.commit("package.json", '{"name": "x", "version": "1.0.0", "private": true}\n')
    env = {"npm_config_userconfig": str(NPM_SETTINGS)}  # it may name a registry mirror
    done = run("npm", "install", "--no-save", "husky@9", cwd=repo.path, ok=None, env=env)
    if done.returncode:
        pytest.skip("husky can't be installed: " + done.stderr[-200:])
    run("npx", "husky", cwd=repo.path)
    repo.write(".husky/post-merge", f"{RECORD}\n")
    repo.git("add", ".husky")
    repo.git("commit", "--quiet", "-m", "husky")
    found = listing(repo.path / ".husky" / "_")
    repo.parallel("init")
    assert repo.git("status", "--porcelain") == ""
    path = repo.start("x", EDIT)
    done = run("git", "merge", "--no-edit", "parallel/x", cwd=repo.path)
    assert "✓ x cleaned up" in done.stderr
    assert not path.exists()
    assert "post-merge" in (repo.path / ".git" / "called").read_text()
    repo.parallel("hooks", "uninstall")
    assert listing(repo.path / ".husky" / "_") == found


@pytest.mark.slow
def test_works_with_lefthook(repo: Repo) -> None:
    program = PROGRAM.with_name("lefthook")
    if not program.exists():
        pytest.skip("lefthook is not installed")
    step = "commands:\n    x:\n      run: date >> $(git rev-parse --git-common-dir)/called"
    repo.commit("lefthook.yml", f"post-merge:\n  {step}\npost-checkout:\n  {step}\n")
    run(program, "install", cwd=repo.path)
    found = listing(folder_of(repo))
    path = repo.start("x", EDIT)
    done = run("git", "merge", "--no-edit", "parallel/x", cwd=repo.path)
    assert "✓ x cleaned up" in done.stderr
    assert not path.exists()
    assert (repo.path / ".git" / "called").read_text()
    run(program, "install", cwd=repo.path)
    assert "missing" in repo.parallel("hooks", "status", ok=1).stdout
    repo.start("y", "true")
    assert "missing" not in repo.parallel("hooks", "status").stdout
    repo.parallel("hooks", "uninstall")
    left = listing(folder_of(repo)).items()
    assert {n: c for n, c in left if not n.endswith(".old")} == found


@pytest.mark.slow
def test_works_through_pre_commit(repo: Repo, tmp_path: Path) -> None:
    program = PROGRAM.with_name("pre-commit")
    if not program.exists():
        pytest.skip("pre-commit is not installed")
    source = tmp_path / "source"
    run("git", "clone", "--quiet", ROOT, source, cwd=tmp_path)
    revision = run("git", "rev-parse", "HEAD", cwd=source).stdout.strip()
    repo.commit(
        ".pre-commit-config.yaml",
        f"repos:\n- repo: {source}\n  rev: {revision}\n  hooks:\n"
        "  - id: git-parallel-post-checkout\n  - id: git-parallel-post-merge\n",
    )
    repo.commit(".gitignore", ".env\n")
    repo.write(".env", "SECRET=1\n")
    repo.parallel("init")
    repo.parallel("hooks", "uninstall")
    run(program, "install", "-t", "post-checkout", "-t", "post-merge", cwd=repo.path)
    done = run("git", "worktree", "add", "-q", "../by-pre-commit", cwd=repo.path)
    assert "is ready, 1 file copied" in done.stderr
    path = repo.start("x", EDIT)
    done = run("git", "merge", "--no-edit", "parallel/x", cwd=repo.path)
    assert "x cleaned up" in done.stdout + done.stderr
    assert not path.exists()


@pytest.mark.slow
def test_survives_an_install_of_pre_commit_after_ours(repo: Repo) -> None:
    program = PROGRAM.with_name("pre-commit")
    repo.commit(".pre-commit-config.yaml", "repos: []\n")
    repo.parallel("init")
    run(program, "install", "-t", "post-checkout", "-t", "post-merge", cwd=repo.path)
    status = repo.parallel("hooks", "status").stdout
    assert status.count("pre-commit runs it") == 2
    path = repo.start("x", EDIT)
    done = run("git", "merge", "--no-edit", "parallel/x", cwd=repo.path)
    assert (done.stdout + done.stderr).count("x cleaned up") == 1
    assert not path.exists()
    repo.parallel("hooks", "uninstall")
    assert [p.name for p in folder_of(repo).iterdir() if p.suffix == ".legacy"] == []
