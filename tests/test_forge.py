"""Requests at a forge: a bare repository is the remote, small programs stand for gh and glab."""

import json
import os
import sys
import time
from pathlib import Path

import pytest

from git_parallel.forge import destination
from git_parallel.overview import look
from git_parallel.repository import find_repository
from tests.conftest import Repo, mostly_slow, run, until

ADD = "echo new > new.txt && git add . && git commit -qm 'Add new'"

# Keeps what it is told below its own folder: every call, and the requests as the real ones list
# them, which it changes to merged where a file names the commit that came of it.
PROGRAM = """\
import json, pathlib, subprocess, sys, time
place, words = pathlib.Path(__file__).parent, sys.argv[1:]
with open(place / "calls", "a") as calls:
    calls.write(" ".join(words[:2]) + "\\n")
while (place / "held").exists():
    time.sleep(0.05)
if (place / "logged-out").exists():
    sys.exit("To get started with GitHub CLI, please run:  gh auth login")
given = dict(zip(words[2::2], words[3::2]))
file = place / "requests.json"
if words[1] == "create":
    if (place / "refuses").exists():
        sys.exit((place / "refuses").read_text())
    file.write_text(json.dumps(given))
    print("\\nhttps://forge.example/r/1")
    sys.exit()
known = json.loads(file.read_text()) if file.exists() else {}
done = json.loads((place / "merged").read_text()) if (place / "merged").exists() else {}
merged = "--merged" in words or given.get("--state") == "merged"
entry = {"url": "https://forge.example/r/1", "web_url": "https://forge.example/r/1", **done}
print(json.dumps([entry] if known and merged == bool(done) else []))
"""


class Forge:
    """A forge as its program shows it."""

    def __init__(self, place: Path, name: str) -> None:
        self.place = place
        self.name = name
        place.mkdir()
        program = place / name
        program.write_text(f"#!{sys.executable}\n{PROGRAM}")
        program.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        file = self.place / "calls"
        return file.read_text().splitlines() if file.exists() else []

    @property
    def request(self) -> dict[str, str]:
        found: dict[str, str] = json.loads((self.place / "requests.json").read_text())
        return found

    def merge(self, head: str, commit: str, **other: object) -> None:
        """The request with this head was merged, and this commit came of it."""
        told: dict[str, object] = {
            "headRefOid": head,
            "baseRefName": "main",
            "mergeCommit": {"oid": commit},
            "isCrossRepository": False,
            "sha": head,
            "squash_commit_sha": commit,
            "target_branch": "main",
            "state": "merged",
            "source_project_id": 1,
            "target_project_id": 1,
        }
        (self.place / "merged").write_text(json.dumps({**told, **other}))


@pytest.fixture(params=mostly_slow(["gh", "glab"], ["gh"]))
def forge(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Forge:
    made = Forge(tmp_path / "forge", request.param)
    monkeypatch.setenv("PATH", f"{made.place}{os.pathsep}{os.environ['PATH']}")
    return made


@pytest.fixture
def origin(repo: Repo, tmp_path: Path) -> Path:
    """A remote of the repository."""
    path = tmp_path / "origin.git"
    run("git", "clone", "--quiet", "--bare", repo.path, path, cwd=tmp_path)
    repo.git("remote", "add", "origin", str(path))
    repo.git("fetch", "--quiet", "origin")
    repo.git("branch", "--quiet", "--set-upstream-to=origin/main", "main")
    return path


def squash_there(origin: Path, branch: str, tmp_path: Path) -> str:
    """Merge a branch at the remote as a forge does, with a change that only the forge knows to be
    part of that, and then change the same lines there.
    """
    clone = tmp_path / "clone"
    run("git", "clone", "--quiet", origin, clone, cwd=tmp_path)
    run("git", "merge", "--quiet", "--squash", f"origin/{branch}", cwd=clone)
    (clone / "new.txt").write_text("as reviewed\n")
    run("git", "add", ".", cwd=clone)
    run("git", "commit", "--quiet", "-m", "Add new (#1)", cwd=clone)
    commit = run("git", "rev-parse", "HEAD", cwd=clone).stdout.strip()
    (clone / "new.txt").write_text("newer\n")
    run("git", "commit", "--quiet", "-am", "Go on", cwd=clone)
    run("git", "push", "--quiet", "origin", "main", cwd=clone)
    return commit


def test_opens_a_request_and_cleans_up_when_it_was_merged_there(
    repo: Repo, origin: Path, forge: Forge, tmp_path: Path
) -> None:
    repo.start("x", ADD, "-m", "Say what is new\n\nIn a file.")
    done = repo.parallel("merge", "x", "--pr")
    assert done.stderr == "✓ x is to be merged into main: https://forge.example/r/1\n"
    tip = repo.git("rev-parse", "parallel/x")
    pushed = run("git", "rev-parse", "parallel/x", cwd=origin).stdout.strip()
    assert pushed == tip
    assert set(forge.request.values()) >= {
        "parallel/x",
        "main",
        "Say what is new",
        "Say what is new\n\nIn a file.\n\n* Add new",
    }
    again = repo.json("merge", "x", "--pr")
    requested = [{"name": "x", "url": "https://forge.example/r/1"}]
    assert again == {"version": 1, "landed": [], "requested": requested, "refused": []}
    assert sum(call.endswith("create") for call in forge.calls) == 1
    forge.merge(tip, squash_there(origin, "parallel/x", tmp_path))
    repo.parallel("cleanup")
    assert repo.names() == ["x"]  # it has not arrived here
    repo.git("pull", "--quiet")
    until(lambda: repo.names() == [])  # asked in the background


@pytest.mark.slow
def test_only_says_what_it_would_request(repo: Repo, origin: Path, forge: Forge) -> None:
    repo.start("x", ADD)
    repo.write("new.txt", "mine\n")  # in the way of a merge here
    done = repo.parallel("merge", "x", "--pr", "--dry-run")
    assert done.stderr == "○ x would be pushed to origin, to be merged into main there\n"
    done = repo.json("merge", "x", "--pr", "--dry-run")
    assert (done["requested"], done["refused"]) == ([{"name": "x"}], [])
    assert forge.calls == []
    assert "parallel/x" not in run("git", "branch", cwd=origin).stdout
    repo.git("remote", "remove", "origin")
    told = repo.parallel("merge", "x", "--pr", "--dry-run", ok=1).stderr
    assert "there is no remote" in told


@pytest.mark.slow
def test_asks_the_forge_once_for_each_commit_of_the_target(
    repo: Repo, origin: Path, forge: Forge
) -> None:
    repo.start("x", ADD)
    repo.parallel("merge", "x", "--pr")
    for _ in range(3):
        repo.parallel("cleanup")
        repo.parallel("list")
    assert len(forge.calls) == 3  # is one open, open it, is it merged
    head = repo.commit("moved.txt", "moved\n")
    record = repo.state / "tasks" / "x" / "request.json"
    until(lambda: json.loads(record.read_text())["asked"] == head)
    repo.parallel("cleanup")
    assert len(forge.calls) == 4
    assert origin.exists()


@pytest.mark.parametrize(
    "other",
    [
        {"headRefOid": "0" * 40, "sha": "0" * 40},
        {"baseRefName": "release", "target_branch": "release"},
        {"isCrossRepository": True, "source_project_id": 2},
        {"mergeCommit": None, "squash_commit_sha": "1" * 40},
    ],
    ids=["another head", "another branch", "another repository", "a commit that is not here"],
)
def test_what_is_not_this_very_request_is_no_evidence(
    repo: Repo, origin: Path, forge: Forge, other: dict[str, object]
) -> None:
    repo.start("x", ADD)
    repo.parallel("merge", "x", "--pr")
    forge.merge(repo.git("rev-parse", "parallel/x"), repo.git("rev-parse", "main"), **other)
    repo.parallel("cleanup")
    assert repo.names() == ["x"]
    assert origin.exists()


@pytest.mark.slow
def test_a_forge_that_does_not_answer_holds_up_nobody(
    repo: Repo, origin: Path, forge: Forge, tmp_path: Path
) -> None:
    repo.start("x", ADD)
    repo.parallel("merge", "x", "--pr")
    squash_there(origin, "parallel/x", tmp_path)
    known = len(forge.calls)
    (forge.place / "held").touch()
    began = time.monotonic()
    repo.git("pull", "--quiet")
    assert "new.txt" in {path.name for path in repo.path.iterdir()}
    for _ in range(3):
        repo.parallel("review")
    assert time.monotonic() - began < 15.0
    until(lambda: len(forge.calls) > known)
    assert len(forge.calls) == known + 1
    assert repo.names() == ["x"]


@pytest.mark.slow
def test_a_task_may_go_while_a_forge_is_asked_about_it(
    repo: Repo, origin: Path, forge: Forge
) -> None:
    repo.start("x", ADD)
    repo.start("y", "echo y > y.txt && git add . && git commit -qm y")
    repo.parallel("merge", "x", "y", "--pr")
    known = len(forge.calls)
    (forge.place / "held").touch()
    head = repo.commit("moved.txt", "moved\n")
    until(lambda: len(forge.calls) > known)
    repo.parallel("remove", "x")
    (forge.place / "held").unlink()
    record = repo.state / "tasks" / "y" / "request.json"
    until(lambda: json.loads(record.read_text())["asked"] == head)
    assert (repo.state / "forge.log").read_text() == ""
    repo.parallel("undo", "x")
    assert set(repo.names()) == {"x", "y"}
    assert origin.exists()


@pytest.mark.slow
def test_a_forge_that_gave_no_answer_is_asked_again_by_hand(
    repo: Repo, origin: Path, forge: Forge, tmp_path: Path
) -> None:
    repo.start("x", ADD)
    repo.start("y", "echo y > y.txt && git add . && git commit -qm y")
    repo.parallel("merge", "x", "y", "--pr")
    tip = repo.git("rev-parse", "parallel/x")
    known = len(forge.calls)
    (forge.place / "logged-out").touch()
    forge.merge(tip, squash_there(origin, "parallel/x", tmp_path))
    repo.git("pull", "--quiet")
    record = repo.state / "tasks" / "x" / "request.json"
    until(lambda: json.loads(record.read_text())["failed"])
    repo.parallel("review")
    assert len(forge.calls) == known + 1  # neither for the other one, nor soon again
    (forge.place / "logged-out").unlink()
    repo.parallel("cleanup")
    assert repo.names() == ["y"]


@pytest.mark.slow
def test_work_that_came_after_the_request_is_kept(
    repo: Repo, origin: Path, forge: Forge, tmp_path: Path
) -> None:
    path = repo.start("x", ADD)
    repo.parallel("merge", "x", "--pr")
    tip = repo.git("rev-parse", "parallel/x")
    forge.merge(tip, squash_there(origin, "parallel/x", tmp_path))
    run("sh", "-c", "echo > more && git add more && git commit -qm More", cwd=path)
    repo.git("pull", "--quiet")
    assert repo.names() == ["x"]


@pytest.mark.slow
def test_replaces_what_it_pushed_and_nothing_else(
    repo: Repo, origin: Path, forge: Forge, tmp_path: Path
) -> None:
    path = repo.start("x", ADD)
    repo.parallel("merge", "x", "--pr")
    run("git", "commit", "--quiet", "--amend", "-m", "Another", cwd=path)
    repo.parallel("merge", "x", "--pr")
    tip = repo.git("rev-parse", "parallel/x")
    assert run("git", "rev-parse", "parallel/x", cwd=origin).stdout.strip() == tip
    run("git", "update-ref", "refs/heads/parallel/x", "main", cwd=origin)  # somebody else's push
    run("git", "commit", "--quiet", "--amend", "-m", "A third", cwd=path)
    assert "git push failed" in repo.parallel("merge", "x", "--pr", ok=1).stderr
    main = run("git", "rev-parse", "main", cwd=origin).stdout
    assert run("git", "rev-parse", "parallel/x", cwd=origin).stdout == main
    assert forge.calls


def test_replaces_what_it_pushed_where_no_request_came_of_it(
    repo: Repo, origin: Path, forge: Forge
) -> None:
    path = repo.start("x", ADD)
    (forge.place / "refuses").write_text("GraphQL: No commits between main and parallel/x")
    told = repo.parallel("merge", "x", "--pr", ok=1).stderr
    assert told.endswith(" create failed: GraphQL: No commits between main and parallel/x\n")
    run("git", "commit", "--quiet", "--amend", "-m", "Another", cwd=path)
    repo.parallel("merge", "x", "--pr", ok=1)
    (forge.place / "refuses").unlink()
    run("git", "commit", "--quiet", "--amend", "-m", "A third", cwd=path)
    repo.parallel("merge", "x", "--pr")
    tip = repo.git("rev-parse", "parallel/x")
    assert run("git", "rev-parse", "parallel/x", cwd=origin).stdout.strip() == tip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "said", "way"),
    [
        (1, "HTTP 401: Bad credentials (https://api.github.com/graphql)", "gh auth login"),
        (4, "who are you?", "gh auth login"),
        (1, "the author of a commit is not known", ""),
        (1, "pull request create failed: you are not a collaborator", ""),
    ],
)
def test_tells_how_to_log_in_only_where_that_is_missing(
    repo: Repo, origin: Path, tmp_path: Path, code: int, said: str, way: str
) -> None:
    repo.start("x", ADD)
    program = Forge(tmp_path / "forge", "gh").place / "gh"
    program.write_text(f"#!/bin/sh\necho '{said}'\nexit {code}\n")
    path = {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}
    told = repo.parallel("merge", "x", "--pr", ok=1, env=path).stderr.splitlines()
    assert told[1:] == ([f"↳ {way}"] if way else [])
    assert origin.exists()


@pytest.mark.slow
@pytest.mark.parametrize("listed", ['[{"nourl": 1}]', '["x"]', '[{"url": null}]', '[{"url": ""}]'])
def test_a_list_of_another_form_moves_nothing(
    repo: Repo, origin: Path, tmp_path: Path, listed: str
) -> None:
    repo.start("x", ADD)
    program = Forge(tmp_path / "forge", "gh").place / "gh"
    program.write_text(f"#!/bin/sh\necho '{listed}'\n")
    path = {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}
    told = repo.parallel("merge", "x", "--pr", ok=1, env=path).stderr
    assert told == "✗ gh gave a list of another form\n"
    assert "parallel/x" not in run("git", "branch", cwd=origin).stdout


@pytest.mark.slow
@pytest.mark.parametrize("arrived", [True, False])
def test_replaces_what_a_push_left_that_was_cut_off(
    repo: Repo, origin: Path, forge: Forge, arrived: bool
) -> None:
    path = repo.start("x", ADD)
    hook = origin / "hooks" / ("post-receive" if arrived else "pre-receive")
    hook.write_text('#!/bin/sh\nkill -9 $(cat "$0.pid")\nexit 1\n')
    hook.chmod(0o755)
    held = f"echo $$ >'{hook}.pid'; exec git-parallel merge x --pr"
    run("sh", "-c", held, cwd=repo.path, ok=-9)
    ref = ("git", "rev-parse", "--verify", "--quiet", "parallel/x")
    until(lambda: (run(*ref, cwd=origin, ok=None).returncode == 0) == arrived)
    hook.unlink()
    run("git", "commit", "--quiet", "--amend", "-m", "Another", cwd=path)
    repo.parallel("merge", "x", "--pr")
    assert run(*ref, cwd=origin).stdout.strip() == repo.git("rev-parse", "parallel/x")
    assert forge.calls


@pytest.mark.slow
def test_tells_why_a_push_was_refused(repo: Repo, origin: Path, forge: Forge) -> None:
    repo.start("x", ADD)
    repo.git("push", "--quiet", "origin", "main:parallel/x")
    other = repo.git("commit-tree", "-m", "theirs", "main^{tree}")
    run("git", "fetch", "--quiet", repo.path, other, cwd=origin)
    run("git", "update-ref", "refs/heads/parallel/x", other, cwd=origin)
    told = repo.parallel("merge", "x", "--pr", ok=1).stderr.splitlines()
    assert told[0] == "✗ git push failed: [rejected] (non-fast-forward)"
    run("sh", "-c", told[1].removeprefix("↳ "), cwd=repo.path)
    hook = origin / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho >&2 not on a Sunday\nexit 1\n")
    hook.chmod(0o755)
    run("git", "update-ref", "-d", "refs/heads/parallel/x", cwd=origin)
    told = repo.parallel("merge", "x", "--pr", ok=1).stderr.splitlines()
    reason = "remote: not on a Sunday; [remote rejected] (pre-receive hook declined)"
    assert told == [f"✗ git push failed: {reason}"]
    assert forge.calls


@pytest.mark.slow
def test_pushes_to_a_remote_beside_the_repository(repo: Repo, origin: Path, forge: Forge) -> None:
    repo.start("x", ADD)
    repo.git("remote", "set-url", "origin", f"../{origin.name}")
    repo.parallel("merge", "x", "--pr")
    pushed = run("git", "rev-parse", "parallel/x", cwd=origin).stdout.strip()
    assert pushed == repo.git("rev-parse", "parallel/x")
    assert forge.calls


def test_says_what_is_missing(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.start("x", ADD)
    assert "there is no remote" in repo.parallel("merge", "x", "--pr", ok=1).stderr
    repo.git("remote", "add", "origin", str(tmp_path / "github.com"))
    none = repo.parallel("merge", "x", "--pr", ok=1).stderr
    assert none.startswith("✗ `gh` is not on PATH, and opens the requests\n")
    forge = Forge(tmp_path / "forge", "gh")
    (forge.place / "logged-out").touch()
    monkeypatch.setenv("PATH", f"{forge.place}{os.pathsep}{os.environ['PATH']}")
    assert repo.parallel("merge", "x", "--pr", ok=1).stderr == (
        "✗ gh pr list failed: To get started with GitHub CLI, please run:  gh auth login\n"
        "↳ gh auth login\n"
    )
    assert "can't be edited" in repo.parallel("merge", "x", "--pr", "--edit", ok=2).stderr


@pytest.mark.slow
def test_knows_the_forge_of_a_remote_by_its_address_whatever_it_is_called(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "bin"
    place.mkdir()
    for program in ("gh", "glab"):
        (place / program).write_text("#!/bin/sh\n")
        (place / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")
    repo.start("x", ADD)
    repo.git("remote", "add", "Fork", "https://gitlab.com/ada/thing.git")
    (view,) = look(find_repository(repo.path)).tasks
    found, remote, into = destination(find_repository(repo.path), view)
    assert (found.program, remote, into) == ("glab", "Fork", "main")
