"""Forecasts where `.gitattributes` have a say: the target's count, wherever one asks."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Repo, run

UNION = "log.txt merge=union\n"
PLACES = ["main", "linked", "subfolder", "elsewhere", "bare"]


def line(text: str, more: str = "") -> str:
    return f"echo {text} >> sub/log.txt; {more} git add . && git commit -qm {text}"


def make(make_repo: Callable[..., Repo], place: str, *, union: bool) -> tuple[Repo, Path]:
    """A repository whose target `main` has the attributes, or all other branches have them, and a
    folder to ask in; `bare` and `elsewhere` have the target nowhere checked out.
    """
    repo = make_repo()
    repo.commit("sub/log.txt", "begin\n")
    repo.git("branch", "other")
    attributes = "sub/.gitattributes"
    if union:
        repo.commit(attributes, UNION)
    else:
        repo.git("switch", "--quiet", "other")
        repo.commit(attributes, UNION)
        repo.git("switch", "--quiet", "main")
    if place == "bare":
        bare = Repo(repo.path.parent / "bare.git")
        run("git", "clone", "--quiet", "--bare", repo.path, bare.path, cwd=repo.path)
        return bare, bare.path
    if place == "elsewhere":
        repo.git("switch", "--quiet", "other")
    if place == "linked":
        linked = repo.path.parent / "linked"
        repo.git("worktree", "add", "--quiet", str(linked), "other")
        return repo, linked
    return repo, repo.path / "sub" if place == "subfolder" else repo.path


def truth(repo: Repo, ours: str, theirs: str) -> list[str]:
    """What plain git says of a merge: the paths in conflict."""
    clone = repo.path.parent / "clone"
    if not clone.exists():
        run("git", "clone", "--quiet", repo.path, clone, cwd=repo.path.parent)
    run("git", "checkout", "--quiet", "--force", "--detach", f"origin/{ours}", cwd=clone)
    run("git", "merge", "--quiet", f"origin/{theirs}", cwd=clone, ok=(0, 1))
    paths = run("git", "diff", "--name-only", "--diff-filter=U", cwd=clone).stdout.split()
    run("git", "merge", "--abort", cwd=clone, ok=None)
    return paths


@pytest.mark.parametrize(
    ("place", "union"),
    [
        pytest.param(*case, marks=() if case == ("linked", True) else pytest.mark.slow)
        for case in itertools.product(PLACES, [True, False])
    ],
)
def test_foresees_by_the_attributes_of_the_target(
    make_repo: Callable[..., Repo], place: str, union: bool
) -> None:
    repo, folder = make(make_repo, place, union=union)
    repo.start("x", line("x"), "main")
    repo.start("y", line("y"), "main")
    wanted = [] if union else ["sub/log.txt"]
    assert truth(repo, "parallel/x", "parallel/y") == wanted
    found = repo.parallel("conflicts", "--json", cwd=folder, ok=None).stdout
    assert ('"sub/log.txt"' in found) is not union
    assert repo.parallel("conflicts", "--json", cwd=folder, ok=None).stdout == found
    assert ("left out" in repo.parallel("plan", cwd=folder).stdout) is not union
    repo.parallel("merge", "x", cwd=folder)
    tasks = repo.parallel("list", "--json", cwd=folder).stdout
    assert ('"sub/log.txt"' in tasks) is not union
    repo.parallel("merge", "y", cwd=folder, ok=0 if union else 1)
    assert repo.git("show", "main:sub/log.txt").split() == ["begin", "x", *(["y"] * union)]


@pytest.mark.slow
def test_counts_those_of_a_worktree_that_was_sparse_once(make_repo: Callable[..., Repo]) -> None:
    repo, _ = make(make_repo, "main", union=False)
    repo.start("x", line("x"))
    repo.commit("sub/log.txt", "begin\nmain\n")
    repo.git("sparse-checkout", "set", "sub")
    repo.git("sparse-checkout", "disable")
    repo.write("sub/.gitattributes", UNION)
    assert repo.json("conflicts")["conflicts"] == []
    repo.write("sub/.gitattributes", "")
    assert repo.json("conflicts")["conflicts"] != []


@pytest.mark.slow
def test_follows_attributes_where_the_target_is_gone(make_repo: Callable[..., Repo]) -> None:
    repo, _ = make(make_repo, "main", union=False)
    repo.git("branch", "release")
    for name in ("x", "y"):
        repo.start(name, line(name), "release", "--target", "release")
    repo.git("branch", "--quiet", "-D", "release")
    assert [one["tasks"] for one in repo.json("conflicts")["conflicts"]] == [
        ["x", "y"],
        ["x"],
        ["y"],
    ]
    repo.write("sub/.gitattributes", UNION)
    assert [one["paths"] for one in repo.json("conflicts")["conflicts"]] == [None, None]


@pytest.mark.slow
def test_counts_the_attributes_that_a_task_brings_itself(make_repo: Callable[..., Repo]) -> None:
    repo, _ = make(make_repo, "main", union=False)
    repo.start("a", line("a", f"echo '{UNION.strip()}' > sub/.gitattributes;"))
    repo.start("b", line("b"))
    assert truth(repo, "parallel/a", "parallel/b") == []
    assert repo.json("conflicts")["conflicts"] == []
    repo.parallel("merge", "a", "b")
    assert repo.git("show", "main:sub/log.txt").split() == ["begin", "a", "b"]


@pytest.mark.slow
def test_a_stack_is_merged_by_the_attributes_of_its_root(make_repo: Callable[..., Repo]) -> None:
    repo, _ = make(make_repo, "elsewhere", union=True)
    repo.start("a", line("a"), "main")
    repo.start("b", "echo b > b.txt; git add . && git commit -qm b", "parallel/a")
    repo.start("c", line("c"), "main")
    assert repo.json("conflicts")["conflicts"] == []
    repo.parallel("merge", "a", "b", "c")
    assert repo.git("show", "main:sub/log.txt").split() == ["begin", "a", "c"]
    assert repo.git("show", "main:b.txt") == "b"


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["f merge=union", "f -merge"])
@pytest.mark.parametrize("older", ["a", "b"])
def test_plans_for_both_orders_where_a_task_changes_attributes(
    make_repo: Callable[..., Repo], rule: str, older: str
) -> None:
    """One rule lets the other task land after this one, and one only before it."""
    repo = make_repo()
    repo.commit("f", "".join(f"{n}\n" for n in range(9)))
    places = ("$a", "$a") if "union" in rule else ("1i", "$a")
    edits = [
        f"sed -i.bak '{at} {name}' f; rm f.bak;" for at, name in zip(places, "ab", strict=True)
    ]
    bring = f"echo '{rule}' > .gitattributes; git add .;"
    scripts = {"a": edits[0], "b": f"{edits[1]} {bring}"}
    for name in (older, *{"a", "b"} - {older}):
        repo.start(name, f"{scripts[name]} git commit -qam {name}", "main")
    found = repo.json("conflicts")["conflicts"]
    assert [set(one["tasks"]) for one in found] == ([] if "union" in rule else [{"a", "b"}])
    order = ["b", "a"] if "union" in rule else ["a", "b"]
    assert repo.json("plan")["order"] == order
    assert [one["name"] for one in repo.json("merge", "--all")["landed"]] == order
    text = repo.git("show", "main:f").split()
    assert {"a", "b"} < set(text)


@pytest.mark.slow
@pytest.mark.parametrize("older", ["a", "b"])
def test_tells_the_same_of_two_that_both_change_attributes_whichever_is_older(
    make_repo: Callable[..., Repo], older: str
) -> None:
    repo = make_repo()
    repo.commit("f", "f\n")
    scripts = {
        "a": "mkdir x; echo '* text' > x/.gitattributes; echo A >> f",
        "b": "echo 'f merge=union' > .gitattributes; echo B >> f",
    }
    for name in (older, *{"a", "b"} - {older}):
        repo.start(name, f"{scripts[name]}; git add .; git commit -qm {name}", "main")
    found = repo.json("conflicts")["conflicts"]
    assert [(set(one["tasks"]), one["paths"]) for one in found] == [({"a", "b"}, ["f"])]
    assert repo.json("plan")["order"] == ["b", "a"]
    assert repo.json("conflicts")["conflicts"] == found


@pytest.mark.slow
@pytest.mark.parametrize("folder", [True, False])
def test_asks_again_where_the_target_renamed_what_it_has_attributes_for(
    make_repo: Callable[..., Repo], folder: bool
) -> None:
    repo = make_repo()
    repo.commit("d/f", "".join(f"{n}\n" for n in range(20)))
    repo.commit("d/g", "g\n")
    repo.start("a", "echo a >> d/f; git commit -qam a")
    repo.start("b", "echo b >> d/g; git commit -qam b")
    if not folder:
        (repo.path / "e").mkdir()
    repo.git("mv", *(["d", "e"] if folder else ["d/f", "e/f"]))
    repo.commit("e/f", "".join(f"{n}\n" for n in (*range(20), "main")))

    def told() -> list[tuple[list[str], list[str]]]:
        found = [(one["tasks"], one["paths"]) for one in repo.json("conflicts")["conflicts"]]
        assert bool(repo.task("a")["conflicts"]) == bool(found)
        return found

    conflict = [(["a"], ["e/f"])]
    assert told() == conflict
    repo.write("e/.gitattributes", "f merge=union\n")
    assert told() == []
    (repo.path / "e/.gitattributes").unlink()
    assert told() == conflict


@pytest.mark.slow
def test_counts_attributes_that_a_task_has_not_committed(make_repo: Callable[..., Repo]) -> None:
    repo, _ = make(make_repo, "main", union=False)
    repo.start("a", line("a"))
    repo.parallel("start", "b", "--no-bootstrap")
    path = Path(repo.parallel("path", "b").stdout.strip())
    with (path / "sub/log.txt").open("a") as file:
        file.write("b\n")
    assert repo.json("conflicts")["conflicts"] != []
    (path / "sub/.gitattributes").write_text(UNION)
    assert repo.json("conflicts")["conflicts"] == []
    repo.git("-C", str(path), "add", "--all")
    repo.git("-C", str(path), "commit", "--quiet", "-m", "b")
    assert repo.json("conflicts")["conflicts"] == []
    (path / "sub/.gitattributes").write_text("")
    (found,) = repo.json("conflicts")["conflicts"]
    assert (found["tasks"], found["uncommitted"]) == (["a", "b"], ["b"])
