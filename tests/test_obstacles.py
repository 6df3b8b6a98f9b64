"""What is in the way of a merge in the target's worktree: refused beforehand, and named."""

import subprocess
from pathlib import Path

import pytest

from git_parallel import records, retreat
from tests.conftest import Repo, mostly_slow, run

IGNORE = "*.log\nbuild/\n"


def contents(path: Path) -> dict[str, bytes]:
    files = (p for p in path.rglob("*") if p.is_file() and ".git" not in p.parts)
    return {str(p.relative_to(path)): p.read_bytes() for p in files}


def everything(repo: Repo) -> tuple[dict[str, bytes], str, str]:
    """The files, the branch and the index of the main worktree."""
    return contents(repo.path), repo.git("rev-parse", "main"), repo.git("ls-files", "-s")


# What the task does, what lies in the target's worktree, and the path that is named.
CASES = {
    "changed": ("echo new > readme.txt", "echo mine > readme.txt", "readme.txt"),
    "staged": ("echo new > readme.txt", "echo mine > readme.txt; git add .", "readme.txt"),
    "deleted here": ("echo new > readme.txt", "rm readme.txt", "readme.txt"),
    "deleted there": ("git rm -q readme.txt", "echo mine > readme.txt", "readme.txt"),
    "renamed there": ("git mv readme.txt r.txt", "echo mine > readme.txt", "readme.txt"),
    "untracked": ("echo new > new.txt", "echo mine > new.txt", "new.txt"),
    "the same, untracked": ("echo new > new.txt", "echo new > new.txt", "new.txt"),
    "staged as new": ("echo new > new.txt", "echo mine > new.txt; git add .", "new.txt"),
    "ignored": ("echo new > a.log && git add -f a.log", "echo mine > a.log", "a.log"),
    "an ignored link": ("echo new > a.log && git add -f .", "ln -s nowhere a.log", "a.log"),
    "a file for a folder": ("mkdir d && echo new > d/f", "echo mine > d", "d"),
    "an ignored file for a folder": (
        "mkdir d.log && echo new > d.log/f && git add -f .",
        "echo mine > d.log",
        "d.log",
    ),
    "a folder for a file": ("echo new > d", "mkdir d; echo mine > d/f", "d/f"),
    "an ignored folder for a file": (
        "echo new > build",
        "mkdir build; echo 1 > build/f",
        "build/f",
    ),
    "hidden": (
        "echo new > readme.txt",
        "git update-index --assume-unchanged readme.txt; echo mine > readme.txt",
        "readme.txt",
    ),
}


QUICK = ("staged", "deleted here", "ignored", "an ignored folder for a file", "hidden")


@pytest.mark.parametrize("case", mostly_slow(CASES, QUICK))
def test_refuses_what_it_would_overwrite_and_names_it(repo: Repo, case: str) -> None:
    work, mess, named = CASES[case]
    repo.commit(".gitignore", IGNORE)
    repo.start("x", f"{work} && git add . && git commit -qm work")
    run("sh", "-c", mess, cwd=repo.path)
    before = everything(repo)
    done = repo.json("merge", "x", ok=1)
    assert done["refused"][0]["reason"].endswith(f" would be overwritten: {named}")
    dry = repo.json("merge", "x", "--dry-run", ok=1)
    assert dry["refused"] == done["refused"]
    assert (
        contents(repo.path),
        repo.git("rev-parse", "main"),
        repo.git("ls-files", "-s"),
    ) == before
    assert not (repo.path / ".git" / "index.lock").exists()


# What the task does, what lies in the target's worktree, and where that is in the end.
WAYS = {
    "a folder": ("echo new > n", "mkdir n; echo mine > n/y; echo mine > n/z", ["n.mine/y"]),
    "beside what is tracked": (
        "git rm -qr d; echo new > d",
        "mkdir d/s; echo mine > d/s/z",
        ["d.mine/s/z"],
    ),
    "a name that is taken": (
        "echo new > n",
        "echo mine > n; echo too > n.mine",
        ["n.mine", "n.mine2"],
    ),
    "a name with a quote": ('echo new > "it\'s"', 'echo mine > "it\'s"', ["it's.mine"]),
    "promised to the index": (
        "mkdir n; echo new > n/f",
        "mkdir n; echo mine > n/f; git add -N n/f",
        ["n/f.mine"],
    ),
    "promised under a name like a pattern": (
        "echo new > '*'",
        "echo mine > '*'; git add -N '*'",
        ["*.mine"],
    ),
    "beside what was promised": (
        "echo new > readme.txt",
        "echo mine > readme.txt; echo p > p; git add -N p",
        [],
    ),
    "new in the index": ("echo new > n", "echo mine > n; git add n", []),
    "assumed to be unchanged": (
        "echo new > readme.txt",
        "git update-index --assume-unchanged readme.txt; echo mine > readme.txt",
        [],
    ),
    "skipped": (
        "echo new > readme.txt",
        "git update-index --skip-worktree readme.txt; echo mine > readme.txt",
        [],
    ),
}


@pytest.mark.parametrize("case", mostly_slow(WAYS, ["a folder", "skipped"]))
def test_the_way_out_leads_out_and_keeps_it(repo: Repo, case: str) -> None:
    work, mess, kept = WAYS[case]
    repo.commit("d/f", "f\n")
    repo.start("x", f"{work} && git add . && git commit -qm work")
    run("sh", "-c", mess, cwd=repo.path)
    for _ in range(3):
        done = repo.parallel("merge", "x", ok=None)
        if done.returncode == 0:
            break
        run("sh", "-ec", done.stderr.rpartition("↳ ")[2], cwd=repo.path)
    assert repo.names() == []
    assert repo.git("status", "--porcelain", "-uno") == ""
    stashed = repo.git("stash", "list").splitlines()
    assert len(stashed) == (not kept)
    for path in kept or ["readme.txt" if "readme" in work else "n"]:
        text = (repo.path / path).read_text() if kept else repo.git("show", f"stash:{path}")
        assert text.strip() in ("mine", "too")


def test_leaves_alone_what_is_not_in_the_way(repo: Repo) -> None:
    repo.commit(".gitignore", IGNORE)
    repo.commit("other.txt", "other\n")
    repo.commit("d/f.txt", "f\n")
    work = "echo new > readme.txt; echo new > new.txt; git rm -qr d; echo d > d"
    repo.start("x", f"{work}; git add . && git commit -qm work")
    mess = "echo mine > other.txt; git add .; echo more >> other.txt; echo u > u; echo i > i.log"
    run("sh", "-c", f"{mess}; echo staged > s.txt; git add s.txt; rm .gitignore", cwd=repo.path)
    staged = repo.git("show", ":other.txt")
    repo.parallel("merge", "x")
    found = contents(repo.path)
    assert found["other.txt"] == b"mine\nmore\n"
    assert (found["u"], found["i.log"], found["s.txt"]) == (b"u\n", b"i\n", b"staged\n")
    assert found["d"] == b"d\n"
    assert found["readme.txt"] == found["new.txt"] == b"new\n"
    assert repo.git("show", ":other.txt") == staged
    assert repo.git("status", "--porcelain", "-uno").splitlines() == [
        " D .gitignore",
        "MM other.txt",
        "A  s.txt",
    ]


def test_refuses_a_target_that_is_being_rebased(repo: Repo) -> None:
    repo.start("x", "echo new > new.txt")
    repo.git("switch", "--quiet", "-c", "side")
    repo.commit("readme.txt", "side\n")
    repo.git("switch", "--quiet", "main")
    repo.commit("readme.txt", "main\n")
    repo.git("rebase", "--quiet", "side", ok=1)
    before = repo.git("rev-parse", "main")
    assert "main is being rebased in" in repo.parallel("merge", "x", ok=1).stderr
    repo.git("rebase", "--abort")
    assert repo.git("rev-parse", "main") == before
    repo.parallel("merge", "x")


def test_waits_for_somebody_elses_git(repo: Repo) -> None:
    repo.start("x", "echo new > new.txt")
    lock = repo.path / ".git" / "index.lock"
    lock.touch()
    freed = "until test -e .git/parallel/.state/tasks/x/landed.json; do sleep 0.01; done"
    with subprocess.Popen(["sh", "-c", f"{freed}; rm .git/index.lock"], cwd=repo.path):
        repo.parallel("merge", "x")
    assert (repo.path / "new.txt").exists()


@pytest.fixture
def bumps(repo: Repo, tmp_path: Path) -> tuple[Repo, Repo]:
    """A repository with a submodule, and this; tasks b1 and b2 have it at a newer commit."""
    run("git", "init", "--quiet", tmp_path / "sub", cwd=tmp_path)
    sub = Repo(tmp_path / "sub")
    commits = [sub.commit("file", f"{number}\n") for number in range(3)]
    repo.git("submodule", "--quiet", "add", tmp_path / "sub", "s")
    own = Repo(repo.path / "s")
    own.git("reset", "--quiet", "--hard", commits[0])
    repo.git("commit", "--quiet", "-am", "Add it")
    for name, commit in zip(("b1", "b2"), commits[1:], strict=True):
        bump = f"git update-index --cacheinfo 160000,{commit},s && echo {name} > {name}.txt"
        work = f"{bump} && git add {name}.txt && git commit -qm {name}"
        repo.start(name, work, *(["parallel/b1"] if name == "b2" else []), "--no-bootstrap")
    return repo, own


def in_index(repo: Repo) -> str:
    return repo.git("ls-files", "-s", "s").split()[1]


def test_a_submodule_that_lags_behind_is_not_in_the_way(bumps: tuple[Repo, Repo]) -> None:
    repo, own = bumps
    head = own.git("rev-parse", "HEAD")
    own.write("file", "mine\n")
    own.write("untracked", "mine\n")
    repo.parallel("merge", "b1")
    bumped = in_index(repo)
    repo.parallel("merge", "b2")
    assert len({head, bumped, in_index(repo)}) == 3
    repo.parallel("undo", "--merge", "b2")
    assert in_index(repo) == bumped
    assert repo.git("status", "--porcelain") == " M s"
    assert own.git("rev-parse", "HEAD") == head
    assert contents(own.path) == {"file": b"mine\n", "untracked": b"mine\n"}


@pytest.mark.slow
@pytest.mark.parametrize("why", ["staged", "recurse", "a file"])
def test_a_submodule_that_somebody_else_may_mean_is_in_the_way(
    bumps: tuple[Repo, Repo], why: str
) -> None:
    repo, own = bumps
    own.git("switch", "--quiet", "-c", "mine")
    own.commit("file", "mine\n")
    if why == "staged":
        repo.git("add", "s")
    elif why == "recurse":
        repo.git("config", "submodule.recurse", "true")
    else:
        own.path.rename(repo.path.parent / "away")
        own.path.write_text("mine\n")
    before = everything(repo)
    told = repo.parallel("merge", "b1", ok=1).stderr
    assert "would be overwritten: s\n" in told
    assert everything(repo) == before


@pytest.mark.slow
def test_a_file_that_comes_for_a_submodule_takes_nothing_of_it(bumps: tuple[Repo, Repo]) -> None:
    repo, own = bumps
    own.write("untracked", "mine\n")
    repo.start("x", "git rm -qf s; echo new > s; git add . && git commit -qm x", "--no-bootstrap")
    done = repo.parallel("merge", "x", ok=1)
    assert "that git does not track would be overwritten: s/" in done.stderr
    run("sh", "-ec", done.stderr.rpartition("↳ ")[2], cwd=repo.path)
    repo.parallel("merge", "x")
    assert (repo.path / "s").read_text() == "new\n"
    assert (repo.path / "s.mine" / "untracked").read_text() == "mine\n"
    assert (repo.path / "s.mine" / "file").exists()


@pytest.mark.slow
def test_a_submodule_that_a_killed_merge_moved_goes_back(bumps: tuple[Repo, Repo]) -> None:
    repo, _ = bumps
    before, bumped = repo.git("rev-parse", "main", "parallel/b1").split()
    index = repo.git("ls-files", "-s")
    way = retreat.Retreat("b1", "b1", "main", bumped, before, landing=True)
    records.write_record(repo.state / "retreat.json", way)
    repo.git("read-tree", "-m", "-u", before, bumped)
    repo.parallel("doctor", "--fix")
    assert repo.git("ls-files", "-s") == index
    assert repo.git("status", "--porcelain") == ""
