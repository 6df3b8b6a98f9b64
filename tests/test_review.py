"""Reviews: the queue, what is new, verdicts that hold for a tip, comments for the agent."""

import json
import os
import re
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from git_parallel import comments, form
from git_parallel.comments import _readings, shown
from git_parallel.errors import ParallelError
from git_parallel.overview import look
from git_parallel.repository import find_repository
from tests.conftest import PROGRAM, Repo, mostly_slow, normal, run, until
from tests.people import Person
from tests.test_agents import Agent, claude, codex  # noqa: F401 - fixtures
from tests.test_kill import bomb, steps
from tests.tools import need_command

EDIT = "sed -i.bak s/three/THREE/ readme.txt && rm readme.txt.bak && git commit -qam edit"
HEADING = "The review of your work has these comments:\n\n"


def mine(repo: Repo, name: str = "x") -> Repo:
    """A task that a person works on; its worktree."""
    return Repo(Path(repo.parallel("start", name).stdout.strip()))


@pytest.fixture
def task(repo: Repo) -> Repo:
    """The worktree of a task `x` with one commit, which nobody has looked at."""
    found = mine(repo)
    found.commit("readme.txt", "one\ntwo\nTHREE\nfour\nfive\n", "Shout")
    return found


def review(repo: Repo, *words: str, ok: int = 0, **options: Any) -> str:
    """What `review x` says, both ways."""
    done = repo.parallel("review", "x", *words, ok=ok, **options)
    return done.stdout + done.stderr


def verdict(repo: Repo) -> tuple[str, bool]:
    told = repo.task("x")["review"]
    return told["verdict"], told["current"]


# The queue.


@pytest.fixture
def three(repo: Repo) -> Repo:
    repo.parallel("config", "set", "checks.run", '["test -e readme.txt"]')
    long = "Say more, and still more than that, about whatever there is to be said here"
    repo.start("large", "seq 9 > f; git add f; git commit -qm f", "-m", long)
    repo.start("small", EDIT, "-m", "Shout")
    repo.start("other", "sed -i.bak s/three/3/ readme.txt && rm *.bak && git commit -qam other")
    repo.git("merge", "--quiet", "parallel/other")
    repo.parallel("undo", "other", ok=(0, 1))
    repo.parallel("review", "large", "--accept")
    return repo


def test_the_queue_has_what_it_takes_to_choose_and_fits_80_columns(
    three: Repo, tmp_path: Path
) -> None:
    assert normal(three.parallel("review").stdout, tmp_path) == (
        "  TASK   REVIEW    CHANGES       CHECKS  MERGES                 TIME  PROMPT\n"
        "✓ large  accepted  1 file +9 -0  passed  cleanly                NOW    Say more, and still"
        " more than that, about whatever there is to be said…\n"
        "✓ small            1 file +1 -1  passed  conflicts: readme.txt  NOW    Shout\n"
    )
    tasks = three.json("review")["tasks"]
    assert [(t["name"], t["checks"], t["prompt"][:5]) for t in tasks] == [
        ("large", "passed", "Say m"),
        ("small", "passed", "Shout"),
    ]
    assert all(0 < task["seconds"] < 60 for task in tasks)
    narrow = on_terminal(three, f"stty cols 80 && {PROGRAM} review")
    assert normal(narrow, tmp_path) == (
        "✓ large  Say more, and still more than that, about whatever there is to be said…\n"
        "    accepted, 1 file +9 -0, checks passed, merges cleanly, NOW\n"
        "✓ small  Shout\n"
        "    1 file +1 -1, checks passed, merges conflicts: readme.txt, NOW\n"
    )


@pytest.mark.slow
def test_the_queue_tells_of_breaches_costs_and_checks_that_did_not_run(
    repo: Repo,
    claude: Agent,  # noqa: F811
    tmp_path: Path,
) -> None:
    claude.replays("claude-edit", change=True)
    words = ("--never", "note.txt", "-m", "Add a note", "--wait")
    repo.parallel("start", "x", *words, ok=None)
    repo.parallel("config", "set", "checks.run", '["true"]')
    assert normal(repo.parallel("review").stdout, tmp_path) == (
        "  TASK  CHANGES       CHECKS   MERGES   BREACHES  TIME  COST      PROMPT\n"
        "✓ x     1 file +1 -0  not run  cleanly  note.txt  NOW    0.01 USD  Add a note\n"
    )
    assert repo.json("review")["tasks"][0]["checks"] == "not run"


@pytest.mark.slow
def test_what_was_rejected_comes_last_and_new_commits_come_before_it(repo: Repo) -> None:
    for name in "abc":  # a commit that two of them have would be rejected for both
        repo.start(name, EDIT.replace("-qam edit", f"-qam {name}"))
    repo.parallel("review", "a", "--reject", "-m", "No")
    repo.parallel("review", "b", "--accept")
    names = [line.split()[1] for line in repo.parallel("review").stdout.splitlines()[1:]]
    assert names == ["b", "c", "a"]
    Repo(Path(repo.task("b")["path"])).commit("more", "1\n" * 9)
    lines = repo.parallel("review").stdout.splitlines()[1:]
    assert [line.split()[1:4] for line in lines] == [
        ["c", "1", "file"],
        ["b", "new", "commits"],
        ["a", "rejected", "1"],
    ]


def on_terminal(repo: Repo, line: str, **env: str) -> str:
    """What a command prints on a terminal."""
    if run("sh", "-c", "command -v script", cwd=repo.path, ok=None).returncode:
        pytest.skip("script(1) is not installed")
    env = {"TERM": "dumb", **env}
    return run("script", "-qec", line, "/dev/null", cwd=repo.path, env=env).stdout.replace("\r", "")


# What git shows.


def test_the_pager_that_git_is_configured_with_shows_it(repo: Repo, task: Repo) -> None:
    pages = repo.path.parent / "pages"
    repo.git("config", "core.pager", f"cat >> '{pages}'; :")
    on_terminal(repo, f"{PROGRAM} review x")
    assert pages.read_text().count("+THREE") == 1
    task.commit("f", "newest\n")
    on_terminal(repo, f"{PROGRAM} review x --since-last")
    assert pages.read_text().count("+newest") == 1
    repo.git("config", "pager.diff", f"sed s/^/delta:/ >> '{pages}'; :")
    on_terminal(repo, f"{PROGRAM} review x")
    assert "delta:+THREE" in pages.read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "variables", "wanted"),
    [
        ({"core.pager": "core"}, {"GIT_PAGER": "given", "PAGER": "other"}, "given"),
        ({"core.pager": "core"}, {"PAGER": "other"}, "core"),
        ({}, {"PAGER": "other"}, "other"),
        ({"core.pager": "core", "pager.diff": "only"}, {"GIT_PAGER": "given"}, "given"),
        ({"core.pager": "core", "pager.diff": "only"}, {}, "only"),
        ({"core.pager": "core", "pager.diff": "false"}, {}, ""),
        ({"core.pager": "core", "interactive.diffFilter": "filter"}, {}, "core"),
        ({"core.pager": "cat"}, {}, ""),
    ],
)
def test_takes_the_pager_that_git_would_take(
    repo: Repo, task: Repo, settings: dict[str, str], variables: dict[str, str], wanted: str
) -> None:
    """Each pager writes its name before what it shows; of `add -p` there is none in a review."""
    folder = repo.path.parent / "pagers"
    folder.mkdir()
    for name in ("core", "given", "other", "only", "filter"):
        (folder / name).write_text(f"#!/bin/sh\necho '<{name}>'; exec cat\n")
        (folder / name).chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    for key, value in settings.items():
        repo.git("config", key, value)
    shown = on_terminal(repo, f"{PROGRAM} review x", PATH=path, **variables)
    assert shown.count("+THREE") == 1
    plain = on_terminal(repo, "git diff main parallel/x", PATH=path, **variables)
    assert re.findall("<(.*)>", shown) == re.findall("<(.*)>", plain) == [wanted] * bool(wanted)
    piped = repo.parallel("review", "x", env={"PATH": path, **variables}).stdout
    assert "+THREE" in piped and "<" not in piped  # no terminal, no pager
    assert "\x1b" not in piped


@pytest.mark.slow
def test_one_reads_a_long_diff_in_a_real_pager_and_leaves_it(repo: Repo, task: Repo) -> None:
    need_command("less")
    task.commit("big", "".join(f"line {n}\n" for n in range(1000)))
    repo.git("config", "core.pager", "less -R")
    with Person([str(PROGRAM), "review", "x"], repo.path) as person:
        person.sees("big ")
        person.type("/line 500\r")
        person.sees("+line 500")
        assert person.colour_of("+line 500") == "green"
        assert "review" not in repo.task("x")  # they are still at it
        person.type("q")
        assert person.leaves() == 0
    assert verdict(repo) == ("seen", True)


def test_a_pager_that_is_left_early_is_no_failure(repo: Repo, task: Repo) -> None:
    task.commit("big", "much\n" * 100_000)
    on_terminal(repo, f"{PROGRAM} review x", GIT_PAGER="head -1")
    assert verdict(repo) == ("seen", True)


PAGERS = {
    "false": "ended with exit code 1",
    "nosuch --pager": "ended with exit code 127",
    "cat; exit 3": "did not come to its end",
    "kill -9 $$": "did not come to its end",
}


@pytest.mark.parametrize("pager", mostly_slow(PAGERS, ["false"]))
@pytest.mark.parametrize("lines", [1, pytest.param(100_000, marks=pytest.mark.slow)])
def test_a_pager_that_fails_is_no_look(repo: Repo, task: Repo, pager: str, lines: int) -> None:
    task.commit("f", "much\n" * lines)
    said = on_terminal(repo, f"{PROGRAM} review x; echo $?", GIT_PAGER=pager)
    assert f"✗ the pager {PAGERS[pager]}: {pager}\n↳ choose another: GIT_PAGER=less," in said
    assert said.endswith("\n1\n")
    assert "review" not in repo.task("x")
    said = on_terminal(repo, f"{PROGRAM} review x", GIT_PAGER="cat >&2")
    assert "+THREE" in said
    assert verdict(repo) == ("seen", True)


@pytest.mark.slow
def test_an_interrupt_is_for_the_pager(repo: Repo, task: Repo) -> None:
    """It ends a search in less, for one; who goes on to read has a pager that works."""
    need_command("less")
    task.commit("big", "".join(f"line {n}\n" for n in range(1000)))
    repo.git("config", "core.pager", "less -R")
    with Person([str(PROGRAM), "review", "x"], repo.path) as person:
        person.sees("big ")
        person.type("\x03")
        until(lambda: b"\a" in person.printed)  # less rings, and only then reads on
        person.type("/line 500\r")
        person.sees("+line 500")
        person.type("/line 900\r")
        person.sees("+line 900")


@pytest.mark.parametrize("bare", [False, True])
def test_a_difftool_shows_both_sides(repo: Repo, task: Repo, *, bare: bool) -> None:
    if bare:
        run(
            "git",
            "clone",
            "--quiet",
            "--bare",
            "-b",
            "main",
            repo.path,
            "b.git",
            cwd=repo.path.parent,
        )
        repo = Repo(repo.path.parent / "b.git")
        path = Path(repo.parallel("start", "x", "--branch", "y").stdout.strip())
        Repo(path).commit("readme.txt", "one\ntwo\nTHREE\nfour\nfive\n", "Shout")
    seen = repo.path.parent / "seen"
    repo.git("config", "diff.tool", "mine")
    repo.git("config", "difftool.mine.cmd", f'cat "$LOCAL" "$REMOTE" > "{seen}"')
    repo.git("config", "difftool.prompt", "false")
    assert "THREE" not in review(repo, "--tool")
    assert seen.read_text() == "one\ntwo\nthree\nfour\nfive\none\ntwo\nTHREE\nfour\nfive\n"
    assert verdict(repo) == ("seen", True)
    if bare:
        shutil.rmtree(path)
        told = repo.parallel("review", "x", "--tool", ok=1).stderr
        assert (
            "✗ `x` has no worktree, and git's difftool needs one\n↳ git parallel doctor\n" in told
        )
        assert "THREE" in review(repo)


def test_names_alone(repo: Repo, task: Repo) -> None:
    task.git("mv", "readme.txt", "lies mich.txt")
    task.commit("neu\nö", "1\n")
    assert review(repo, "--files") == 'R075\treadme.txt\tlies mich.txt\nA\t"neu\\n\\303\\266"\n'
    assert "review" not in repo.task("x")


def test_a_failure_of_git_is_no_look(repo: Repo, task: Repo) -> None:
    repo.git("config", "diff.external", "false")
    assert "✗ git diff failed" in review(repo, ok=1)
    assert "review" not in repo.task("x")


def test_escapes_in_names_and_subjects_do_not_reach_the_terminal(repo: Repo, task: Repo) -> None:
    task.commit("a\x1b[2Jb", "1\n", "Evil \x1b[31m\u2028subject")
    shown = review(repo)
    assert "\x1b" not in shown
    assert "Evil \\x1b[31m\\u2028subject\n" in shown
    assert "\x1b" not in review(repo, "--comment", '"a\\033[2Jb":1', "say \x1b[2J it")
    listed = review(repo, "--comments")
    assert listed.startswith('1  "a\\033[2Jb":1: say \\x1b[2J it\n   > 1\n')
    assert "has no file" in review(repo, "--comment", "\x1b[2J:1", "x", ok=1)


FORGED = "x\n✓ b accepted by boss"


@pytest.mark.slow
def test_a_line_break_in_a_name_forges_no_line(repo: Repo) -> None:
    name = FORGED.replace("\n", "\\n")
    add = f"printf q > \"$(printf '{name}')\"; git add .; git commit -qm b"
    words = ("--never", "x*", "--wait", "--", "sh", "-c", add)
    started = repo.parallel("start", "x", *words, ok=(0, 1)).stderr
    repo.commit(FORGED, "other\n")
    told = [started, review(repo, "--stat")]
    commands = ["list", "review", "conflicts", "plan", "show x", "merge x"]
    for command in (*commands, "merge x --allow-breaches", "rebase x"):
        done = repo.parallel(*command.split(), ok=(0, 1))
        told.append(done.stdout + done.stderr)
    for each in told:
        assert "✓ b accepted by boss" in each
        assert not re.search("^✓ b", each, re.MULTILINE), each
    assert repo.json("review")["tasks"][0]["breaches"] == [FORGED]


# What is new.


def test_shows_what_is_new_since_the_last_look(repo: Repo, task: Repo) -> None:
    assert "○ you have not looked at `x`: this is all of it\n" in review(repo, "--since-last")
    assert "○ nothing is new in `x` since you looked, " in review(repo, "--since-last")
    task.commit("f", "newest\n", "Grow")
    told = review(repo, "--since-last")
    assert "+newest" in told
    assert "THREE" not in told
    assert "○ nothing is new in `x`" in review(repo, "--since-last")


def test_what_came_from_the_target_is_not_new_work(repo: Repo, task: Repo) -> None:
    review(repo)
    repo.commit("other", "of main\n")
    task.git("merge", "--quiet", "--no-edit", "main")
    task.commit("f", "newest\n", "Grow")
    told = review(repo, "--since-last")
    assert "+newest" in told
    assert "of main" not in told


@pytest.mark.slow
def test_a_rebase_is_compared_commit_by_commit(repo: Repo, task: Repo) -> None:
    task.commit("f", "first\n", "Add f")
    many = "for n in 1 2 3 4 5 6 7 8; do git commit --quiet --allow-empty -m $n; done"
    run("sh", "-c", many, cwd=task.path)  # numbers of two digits
    review(repo)
    repo.commit("other", "of main\n")
    task.git("rebase", "--quiet", "main")
    task.commit("readme.txt", "ONE\ntwo\nTHREE\nfour\nfive\n", "Shout more")
    told = review(repo, "--since-last")
    pairs = [line.split()[2:3] + line.split()[5:] for line in told.splitlines() if line[2:3] == ":"]
    assert [pairs[0], pairs[1], pairs[-1]] == [
        ["=", "Shout"],
        ["=", "Add", "f"],
        [">", "Shout", "more"],
    ]
    assert "\n-one\n+ONE\n" in told
    assert "+first" not in told
    assert "of main" not in told
    assert BEYOND not in told


@pytest.mark.slow
def test_an_amended_commit_is_compared_with_what_it_was(repo: Repo, task: Repo) -> None:
    many = "".join(f"{n}\n" for n in range(20))
    task.commit("f", f"{many}second\n", "Add f")
    review(repo)
    task.write("f", f"{many}last\n")
    task.git("commit", "--quiet", "--all", "--amend", "--no-edit")
    told = review(repo, "--since-last")
    assert "    -+second\n    ++last\n" in told
    assert "diff --git" not in told
    assert BEYOND not in told


def amend(repo: Repo) -> None:
    repo.git("add", "--all")
    repo.git("commit", "--quiet", "--amend", "--no-edit")


BEYOND = "○ and what a comparison of commits does not show\n"
BLOCK = b"".join(b"%d\n" % n for n in range(9))
REWRITES = [
    ("logo", b"\0" * 99, b"\0evil", "Binary files a/logo and b/logo differ\n"),
    ("a.min", b"old\n", b"new\n", "Binary files a/a.min and b/a.min differ\n"),
    ("a.doc", b"old\n", b"new\n", " a.doc | 2 +-\n"),
    ("f", b"".join([BLOCK, b"x\n", BLOCK, BLOCK]), b"".join([BLOCK, BLOCK, b"x\n", BLOCK]), "-x\n"),
]


@pytest.mark.slow
@pytest.mark.parametrize("worded", [False, True])
@pytest.mark.parametrize(("name", "old", "new", "wanted"), REWRITES, ids=lambda v: str(v)[:6])
def test_a_rewrite_hides_nothing_that_commits_compare_as_equal(
    repo: Repo, name: str, old: bytes, new: bytes, wanted: str, *, worded: bool
) -> None:
    """What is binary, what is called so, what a filter makes alike, lines that went elsewhere."""
    (repo.path / "f").write_bytes(BLOCK * 3)
    repo.write(".gitattributes", "*.min -diff\n*.doc diff=doc\n")
    repo.git("config", "diff.doc.textconv", "wc -c <")
    repo.git("add", ".")
    repo.git("commit", "--quiet", "-m", "Before")
    task = mine(repo)
    task.commit("t", "1\n")
    (task.path / name).write_bytes(old)
    task.git("add", name)
    task.git("commit", "--quiet", "-m", "Add it")
    review(repo)
    (task.path / name).write_bytes(new)
    amend(task)
    if worded:
        task.git("commit", "--quiet", "--amend", "-m", "Add that")
    told = review(repo, "--since-last")
    assert ("= 2:" in told) is not worded
    assert wanted in told
    assert BEYOND in told
    assert "○ nothing is new in `x`" in review(repo, "--since-last")


@pytest.mark.parametrize("executable", [False, True])
def test_a_mode_is_shown_where_it_is_not_the_usual_one(
    repo: Repo, task: Repo, *, executable: bool
) -> None:
    if executable:
        task.commit("tool", "one\n")
    review(repo)
    task.write("tool", "one\n").chmod(0o755)
    amend(task)
    shown = review(repo, "--since-last")
    assert ("new mode 100755\n" if executable else "new file mode 100755\n") in shown


@pytest.mark.parametrize("rebased", [False, True])
def test_a_merge_that_was_made_again_hides_nothing(
    repo: Repo, task: Repo, *, rebased: bool
) -> None:
    repo.commit("other", "of main\n")
    task.git("merge", "--quiet", "--no-edit", "main")
    review(repo)
    repo.commit("other", "of main, mended\n")
    if rebased:
        task.git("reset", "--quiet", "--hard", "HEAD^")
        task.git("commit", "--quiet", "--amend", "-m", "Shout again")
        task.git("merge", "--quiet", "--no-edit", "-s", "ours", "main")
    else:
        task.write("evil", "evil\n")
        amend(task)
    told = review(repo, "--since-last")
    changes = re.findall(r"^[-+]\w.*", told, re.MULTILINE)
    assert changes == (["-of main, mended"] if rebased else ["+evil"])


@pytest.mark.slow
def test_where_a_rebase_can_not_be_followed_the_whole_of_a_file_is_shown(
    repo: Repo, task: Repo
) -> None:
    (task.path / "logo").write_bytes(b"\0mine")
    amend(task)
    review(repo)
    (repo.path / "logo").write_bytes(b"\0theirs")
    repo.git("add", "logo")
    repo.git("commit", "--quiet", "-m", "Theirs")
    task.git("rebase", "--quiet", "-X", "theirs", "main")
    shown = review(repo, "--since-last")
    assert "diff --git a/logo b/logo\n" in shown
    assert "diff --git a/readme.txt" not in shown


MERGES = {
    "ours": "git merge --quiet --no-edit -s ours main",
    "dropped": "git merge --quiet --no-commit main; git checkout --quiet HEAD other; "
    "git commit --quiet --no-edit",
    "three": "git branch third main~; git merge --quiet --no-edit -s ours main third",
}


@pytest.mark.parametrize("way", mostly_slow(MERGES, ["ours"]))
@pytest.mark.parametrize("bare", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_merge_that_drops_work_of_the_target_shows_it(
    make_repo: Callable[..., Repo], way: str, *, bare: bool
) -> None:
    """A commit of the task's own stands below the merge, which git 2.39 must not show before it."""
    repo = make_repo()
    other = "".join(f"{n}\n" for n in range(20))
    repo.commit("other", other)
    seen_from = repo
    if bare:
        run("git", "clone", "--quiet", "--bare", repo.path, "b.git", cwd=repo.path.parent)
        seen_from = Repo(repo.path.parent / "b.git")
    task = mine(seen_from)
    task.commit("readme.txt", "ONE\ntwo\nthree\nfour\nfive\n")
    review(seen_from)
    task.commit("f", "newest\n")
    repo.commit("third", "3\n")
    repo.commit("other", other.replace("7\n", "FIX\n"))
    if bare:
        repo.git("push", "--quiet", seen_from.path, "main")
    run("sh", "-c", MERGES[way], cwd=task.path)
    objects = seen_from.git("count-objects")
    told = review(seen_from, "--since-last")
    assert seen_from.git("count-objects") == objects
    assert re.findall(r"^[-+][\w<=>].*", told, re.MULTILINE)[:3] == ["+newest", "-FIX", "+7"]
    assert told.index("+newest") < told.index("-FIX")


@pytest.mark.parametrize("landed", [False, True])
def test_where_nothing_of_its_own_is_left_that_is_said(
    repo: Repo, task: Repo, tmp_path: Path, *, landed: bool
) -> None:
    span = f"{repo.git('rev-parse', '--short', 'main')}..{task.git('rev-parse', '--short', 'HEAD')}"
    if landed:
        task.git("reset", "--quiet", "--hard", "main")
    review(repo)
    repo.commit("other", "of main\n")
    task.git("reset", "--quiet", "--hard", "main")
    gone = f"what you saw, NOW ago, is not in it ↳ git log -p {span}"
    why = "all is in main" if landed else gone
    said = normal(review(repo, "--since-last"), tmp_path)
    assert said == normal(f"○ `x` has no commits of its own: {why}\n", tmp_path)
    assert "✓ x accepted at " in review(repo, "--accept")


def test_after_a_look_at_nothing_all_is_new(repo: Repo, task: Repo) -> None:
    tip = task.git("rev-parse", "HEAD")
    task.git("reset", "--quiet", "--hard", "main")
    review(repo)
    repo.git("commit", "--quiet", "--amend", "-m", "Begin anew")
    task.git("reset", "--quiet", "--hard", "main")
    task.git("cherry-pick", tip)
    assert "\n+THREE\n" in review(repo, "--since-last")


def test_what_is_gone_is_shown_as_a_whole(repo: Repo, task: Repo) -> None:
    review(repo)
    task.git("commit", "--quiet", "--amend", "-m", "Shout again")
    task.git("reflog", "expire", "--expire=now", "--expire-unreachable=now", "--all")
    task.git("gc", "--quiet", "--prune=now")
    told = review(repo, "--since-last")
    assert "○ what you saw is no longer here of `x`: this is all of it\n" in told
    assert "+THREE" in told
    assert verdict(repo) == ("seen", True)


# Verdicts.


@pytest.mark.slow
def test_a_verdict_holds_for_one_tip(repo: Repo, task: Repo, tmp_path: Path) -> None:
    assert "review" not in repo.task("x")
    review(repo)
    assert verdict(repo) == ("seen", True)
    tip = task.git("rev-parse", "--short", "HEAD")
    assert review(repo, "--accept", "-m", "good\nwork") == (
        f"✓ x accepted at {tip} ↳ git parallel merge x\n"
    )
    review(repo)  # to look again takes nothing back
    assert verdict(repo) == ("accepted", True)
    shown = normal(repo.parallel("show", "x").stdout, tmp_path)
    assert "review    accepted NOW ago: good\n" in shown
    task.commit("f", "1\n")
    assert verdict(repo) == ("accepted", False)
    shown = normal(review(repo, "--stat"), tmp_path)
    assert "review   new commits since you accepted it, NOW ago\n" in shown
    assert (
        review(repo, "--reject", "-m", "No", ok=1)
        == review(repo, "--accept", ok=1)
        == ("✗ `x` has changed since you looked at it\n↳ git parallel review x --since-last\n")
    )
    review(repo, "--since-last")
    review(repo, "--accept")
    assert verdict(repo) == ("accepted", True)


def test_what_is_not_committed_is_not_accepted(repo: Repo, task: Repo) -> None:
    task.write("f", "1\n")
    assert f"▲ without 1 uncommitted path in {task.path}\n" in review(repo, "--accept")


@pytest.mark.slow
def test_what_has_no_commits_is_not_said_to_merge(repo: Repo) -> None:
    tip = mine(repo).git("rev-parse", "--short", "HEAD")
    assert review(repo, "--accept") == f"✓ x accepted at {tip}\n"


@pytest.mark.slow
@pytest.mark.parametrize("other_tip", [True, False])
def test_a_rejected_tip_does_not_merge(repo: Repo, task: Repo, *, other_tip: bool) -> None:
    tip = task.git("rev-parse", "--short", "HEAD")
    assert review(repo, "--reject", "-m", "It shouts") == (
        f"✓ x rejected at {tip}\n✓ 1 comment waits for its agent ↳ git parallel run x\n"
    )
    told = repo.parallel("merge", "x", ok=1).stderr
    assert "✗ `x` can't be merged: you rejected it: git parallel run x, or git parallel" in told
    assert repo.git("show", "main:readme.txt").splitlines()[2] == "three"
    if other_tip:
        task.commit("f", "1\n")
    else:
        review(repo, "--accept")
    repo.parallel("merge", "x")
    assert repo.git("show", "main:readme.txt").splitlines()[2] == "THREE"


@pytest.mark.slow
def test_a_review_comes_back_from_the_trash(repo: Repo, task: Repo) -> None:
    review(repo, "--accept", "--comment", "readme.txt:3", "why?")
    repo.parallel("remove", "x")
    repo.parallel("undo", "x")
    assert verdict(repo) == ("accepted", True)
    assert review(repo, "--comments").startswith("1  readme.txt:3: why?\n   > THREE\n")


# Comments, and the agent that is told.


@pytest.mark.slow
def test_comments_reach_the_agent_byte_for_byte(repo: Repo, claude: Agent) -> None:  # noqa: F811
    make = "mkdir -p 'ä b'; seq 9 > 'ä b/c d'; printf 'x\\ny\\tz\\n' > \"$(printf 'n\\nl')\""
    claude.does(f"{make}; git add .; git commit -qm more --allow-empty")
    repo.parallel("start", "x", "-m", "Go", "--wait")
    words = ("--comment", "ä b/c d:9", 'Ünï — `code` $HOME \\n "q"\n  indented\n\n# 12')
    review(repo, *words, "--comment", '"n\\nl":2', "tab?", "--comment", "readme.txt", "too short")
    assert len(repo.json("review", "x")["comments"]) == 3
    done = repo.parallel("run", "x", "--wait")
    assert "○ with 3 comments of the review\n" in done.stderr
    expected = HEADING + (
        'ä b/c d:9: Ünï — `code` $HOME \\n "q"\n  indented\n\n# 12\n> 9\n\n'
        '"n\\nl":2: tab?\n> y\tz\n\n'
        "readme.txt: too short\n"
    )
    assert claude.told.read_bytes().startswith(expected.encode() + b"\n\n---\n")
    kept = (repo.state / "tasks" / "x" / "run-2.prompt").read_bytes()
    assert kept == expected.encode()
    assert [comment["run"] for comment in repo.json("review", "x")["comments"]] == [2, 2, 2]
    assert "--resume" in claude.lines[-1]
    assert "no comments on x wait" in review(repo, "--comments")
    repo.parallel("run", "x", "-m", "And now?", "--wait")
    assert claude.told.read_bytes().startswith(b"And now?\n\n---\n")


def test_a_rejection_goes_below_what_the_user_asks(repo: Repo, claude: Agent) -> None:  # noqa: F811
    claude.does("date +%N > f; git add .; git commit -qm more")
    repo.parallel("start", "x", "-m", "Go", "--wait")
    old = repo.task("x")["head"]
    review(repo, "--reject", "-m", "Not like this", "--comment", "f:1", "Hm")
    path = Path(repo.task("x")["path"])
    Repo(path).commit("f", "other\n")
    repo.parallel("run", "x", "-m", "Try again", "--wait")
    told = claude.told.read_text().partition("\n\n\n---\n")[0]
    quote = repo.git("show", f"{old}:f")
    assert told == (f"Try again\n\n{HEADING}f:1 (as of {old[:12]}): Hm\n> {quote}\n\nNot like this")
    assert verdict(repo) == ("rejected", False)


@pytest.mark.slow
def test_another_agent_hears_what_the_first_one_was_asked(
    repo: Repo,
    claude: Agent,  # noqa: F811
    codex: Agent,  # noqa: F811
) -> None:
    claude.does("echo 1 > f; git add .; git commit -qm more")
    codex.does("echo 2 > f; git commit -qam 2")
    repo.parallel("start", "x", "-m", "Go", "--agent", "claude", "--wait")
    review(repo, "--comment", "f:1", "why?")
    repo.parallel("run", "x", "--agent", "codex", "--wait")
    assert codex.told.read_text().startswith(f"Go\n\n{HEADING}f:1: why?\n> 1\n\n\n---\n")


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["gemini", "sh"])
def test_what_begins_anew_hears_again_what_it_was_asked(
    repo: Repo,
    claude: Agent,  # noqa: F811
    agent: str,
) -> None:
    gemini = Agent(repo.path.parent, "gemini")
    gemini.does("date +%N > f; git add .; git commit -qm more")
    words = ("--agent", "gemini") if agent == "gemini" else ("--", str(gemini.program))
    repo.parallel("start", "x", "-m", "Go", "--wait", *words)
    review(repo, "--comment", "f", "why?")
    repo.parallel("run", "x", "--wait")
    assert gemini.told.read_text().startswith(f"Go\n\n{HEADING}f: why?\n\n\n---\n")
    review(repo, "--comment", "f", "more")
    repo.parallel("run", "x", "--wait")
    told = gemini.told.read_text().partition("\n\n\n---\n")[0]
    assert told == f"Go\n\n{HEADING}f: why?\n\n{HEADING}f: more"


@pytest.mark.slow
def test_a_command_that_is_told_nothing_takes_no_comments(repo: Repo) -> None:
    repo.start("x", EDIT)
    review(repo, "--comment", "readme.txt:3", "why?")
    repo.parallel("run", "x", "--wait", "--", "true")
    repo.parallel("run", "x", "--wait")
    told = review(repo, "--comments")
    assert "why?" in told
    assert told.endswith("↳ git parallel run x --agent NAME\n")
    repo.parallel("run", "x", "-m", "Look", "--wait", "--", "sh", "-c", "cat > told")
    told = (Path(repo.task("x")["path"]) / "told").read_text()
    assert told.startswith(f"Look\n\n{HEADING}readme.txt:3: why?\n> THREE\n")
    assert "no comments" in review(repo, "--comments")


@pytest.mark.slow
def test_a_command_after_an_agent_takes_no_comments(repo: Repo, claude: Agent) -> None:  # noqa: F811
    claude.does("echo 1 > f; git add .; git commit -qm more")
    repo.parallel("start", "x", "-m", "Go", "--wait")
    repo.parallel("run", "x", "--wait", "--", "true")
    review(repo, "--comment", "f:1", "why?")
    done = repo.parallel("run", "x", "--wait")
    assert repo.task("x")["run"]["command"] == ["true"]
    hint = "git parallel run x --agent claude"
    assert f"○ without 1 comment of the review ↳ {hint}\n" in done.stderr
    assert f"↳ {hint}\n" in review(repo, "--comments")
    assert f"✓ 2 comments wait for its agent ↳ {hint}\n" in review(repo, "--reject", "-m", "No")
    assert f"you rejected it: {hint}, or" in repo.parallel("merge", "x", ok=1).stderr
    claude.does("true")
    repo.parallel(*hint.split()[2:], "--wait")
    assert "--resume" in claude.lines[-1]
    assert claude.told.read_text().startswith(f"{HEADING}f:1: why?\n> 1\n\nNo\n\n\n---\n")
    review(repo, "--comment", "f:1", "why?")
    done = repo.parallel("run", "x", "--wait", "--", "true")
    assert f"○ without 1 comment of the review ↳ {hint}\n" in done.stderr
    repo.parallel("run", "x", "-m", "Look", "--wait")
    assert "--resume" in claude.lines[-1]
    assert claude.told.read_text().startswith(f"Look\n\n{HEADING}f:1: why?\n")


@pytest.mark.slow
def test_a_command_of_ones_own_hears_its_own_prompt_alone(repo: Repo, claude: Agent) -> None:  # noqa: F811
    claude.does("echo 1 > f; git add .; git commit -qm more")
    repo.parallel("start", "x", "-m", "Go", "--wait")
    cat = ("--wait", "--", "sh", "-c", "cat > told")
    repo.parallel("run", "x", "-m", "Look", *cat)
    told = Path(repo.task("x")["path"]) / "told"
    assert told.read_text().startswith("Look\n")
    repo.parallel("run", "x", *cat)
    assert told.read_text() == ""


@pytest.mark.slow
def test_comments_wait_where_the_run_does_not_begin(repo: Repo, claude: Agent) -> None:  # noqa: F811
    mine(repo).commit("f", "1\n")
    review(repo, "--comment", "f:1", "why?")
    claude.does("true", ready="exit 1")
    repo.parallel("run", "x", ok=1)
    assert "why?" in review(repo, "--comments")
    claude.does("echo 2 > f; git commit -qam 2")
    repo.parallel("run", "x", "--wait")
    assert claude.told.read_text().startswith(f"{HEADING}f:1: why?\n> 1\n\n\n---\n")


@pytest.mark.slow
def test_comments_wait_again_where_the_run_came_to_nothing(repo: Repo, claude: Agent) -> None:  # noqa: F811
    repo.parallel("config", "set", "runs.limit", "1")
    claude.does("date +%N > f; git add .; git commit -qm more")
    repo.parallel("start", "x", "-m", "Go", "--wait")
    repo.parallel("start", "blocker", "--", "sleep", "300")
    until(lambda: repo.task("blocker")["status"] == "running")
    review(repo, "--comment", "f:1", "why?")
    repo.parallel("run", "x", "-m", "Look")
    assert "no comments on x wait" in review(repo, "--comments")
    repo.parallel("stop", "x")
    assert "why?" in review(repo, "--comments")
    assert "run" not in repo.json("review", "x")["comments"][0]
    repo.parallel("stop", "blocker")
    claude.does("exit 1")
    repo.parallel("run", "x", "--wait", ok=1)
    tail = f"{HEADING}f:1: why?\n> "
    assert claude.told.read_text().startswith(f"Look\n\n{tail}")
    assert "--resume" in claude.lines[-1]
    review(repo, "--comment", "f", "newer")
    claude.does("date +%N > f; git commit -qam 2")
    done = repo.parallel("run", "x", "--wait")
    assert "○ with 2 comments of the review\n" in done.stderr
    told = claude.told.read_text()
    assert told.startswith(f"Look\n\n{tail}")
    assert told.count("why?") == told.count("newer") == 1
    assert [comment["run"] for comment in repo.json("review", "x")["comments"]] == [4, 4]
    assert "no comments on x wait" in review(repo, "--comments")


@pytest.mark.slow
def test_a_new_prompt_takes_along_what_a_failed_run_was_told(repo: Repo, claude: Agent) -> None:  # noqa: F811
    claude.does("echo 1 > f; git add .; git commit -qm more")
    repo.parallel("start", "x", "-m", "Go", "--wait")
    review(repo, "--comment", "f:1", "why?")
    claude.replays("claude-oauth-limit", change=False, code=0)
    review(repo, "--comment", "f", "good")
    repo.parallel("run", "x", "--wait", ok=1)
    hint = "git parallel run x -m TEXT"
    assert f"▲ the prompt of run 2 has it still ↳ {hint}\n" in review(repo, "--drop", "2")
    claude.does("true")
    repo.parallel("run", "x", "-m", "Now", "--wait")
    told = claude.told.read_text()
    assert told.startswith(f"Now\n\n{HEADING}f:1: why?\n> 1\n")
    assert "good" not in told


@pytest.mark.slow
def test_comments_on_what_a_stopped_agent_did_go_on_with_its_conversation(
    repo: Repo,
    claude: Agent,  # noqa: F811
) -> None:
    claude.does("echo 1 > f; git add .; git commit -qm more; exec sleep 300")
    repo.parallel("start", "x", "-m", "Go")
    until(lambda: repo.git("log", "main..parallel/x"))
    repo.parallel("stop", "x")
    review(repo, "--comment", "f:1", "why?")
    claude.does("true")
    repo.parallel("run", "x", "--wait")
    assert "--resume" in claude.lines[-1]
    assert claude.told.read_text().startswith(f"{HEADING}f:1: why?\n> 1\n")


@pytest.mark.slow
def test_a_conversation_that_never_began_is_not_gone_on_with(repo: Repo, claude: Agent) -> None:  # noqa: F811
    repo.parallel("config", "set", "runs.limit", "1")
    repo.parallel("start", "blocker", "--", "sleep", "300")
    until(lambda: repo.task("blocker")["status"] == "running")
    repo.parallel("start", "x", "-m", "Go")
    repo.parallel("stop", "x", "blocker")
    repo.parallel("run", "x", "-m", "Do it", "--wait", ok=1)
    assert "--session-id" in claude.lines[-1]


@pytest.mark.slow
def test_comments_of_a_lost_run_wait_again(repo: Repo, claude: Agent) -> None:  # noqa: F811
    claude.does("echo 1 > f; git add .; git commit -qm more")
    repo.parallel("start", "x", "-m", "Go", "--wait")
    review(repo, "--comment", "f:1", "why?")
    claude.does("exec sleep 300")
    repo.parallel("run", "x")
    until(lambda: repo.task("x")["status"] == "running" and claude.told.read_text())
    record = repo.state / "tasks" / "x" / "run-2.json"
    os.kill(json.loads(record.read_text())["pid"], signal.SIGKILL)
    until(lambda: repo.task("x")["status"] == "lost")
    assert "why?" in review(repo, "--comments")
    repo.parallel("stop", "x", ok=(0, 1))
    claude.told.unlink()
    claude.does("true")
    repo.parallel("run", "x", "--wait")
    assert "why?" in claude.told.read_text()


@pytest.mark.slow
def test_takes_a_comment_back(repo: Repo, task: Repo) -> None:
    review(repo, "--comment", "readme.txt:1", "one", "--comment", "readme.txt:2", "two")
    assert review(repo, "--drop", "1") == (
        "✓ taken back: readme.txt:1: one\n✓ 1 comment waits for its agent ↳ git parallel run x\n"
    )
    assert "there is no comment 2 that waits" in review(repo, "--drop", "2", ok=1)
    assert "say what is wrong with it" in review(repo, "--drop", "1", "--reject", ok=2)
    assert review(repo, "--comments").startswith("1  readme.txt:2: two\n   > two\n")


WRONG_PLACES = [
    (
        "nosuch:1",
        "x",
        "`x` has no file nosuch (paths count from the top)\n↳ git parallel review x --files",
    ),
    ("nosuch", "x", "`x` has no file nosuch"),
    ("", "x", "`x` has no file "),
    ("d", "x", "`x` has no file d"),
    ("./readme.txt", "x", "`x` has no file ./readme.txt"),
    ("readme.txt:0", "x", "readme.txt has no line 0: it has 5 lines"),
    ("readme.txt:6", "x", "readme.txt has no line 6: it has 5 lines"),
    ("empty:1", "x", "empty has no line 1: it has 0 lines"),
    ("binary:1", "x", "binary has no lines: it is binary"),
    ("*:1", "x", "`x` has no file *"),
    ("readme.txt:1", " \n", "a comment needs a text"),
    ("readme.txt:1", os.fsdecode(b"\xff"), "a comment has to be UTF-8"),
    ("gone:1", "x", "`x` deleted gone, it has no lines now\n↳ git parallel review x --edit"),
    (
        "old:3",
        "x",
        "`x` renamed old to new name\n↳ git parallel review x --comment 'new name:3' TEXT",
    ),
    ("/readme.txt:3", "x", "`x` has no file /readme.txt (paths count from the top)"),
    ("../readme.txt:3", "x", "`x` has no file ../readme.txt (paths count from the top)"),
    ('"a\\000b":1', "x", '`x` has no file "a\\000b" (paths count from the top)'),
]


def test_a_comment_needs_a_place_that_exists(repo: Repo) -> None:
    repo.commit("gone", "gone\n")
    repo.commit("old", "".join(f"{n}\n" for n in range(9)))
    task = mine(repo)
    task.git("mv", "old", "new name")
    for name, text in (("d/f", "1\n"), ("empty", ""), ("binary", "a\0b\n")):
        task.write(name, text)
    task.git("rm", "--quiet", "gone")
    task.git("add", ".")
    task.git("commit", "--quiet", "-m", "All")
    repository = find_repository(repo.path)
    view = look(repository, ["x"]).tasks[0]
    for place, text, told in WRONG_PLACES:
        with pytest.raises(ParallelError) as error:
            comments.on(repository, view, place, text)
        assert told in f"{error.value.message}\n↳ {error.value.hint}"
    words = ("--comment", "d/f:1", "good", "--comment", "nosuch:1", "x")
    repo.parallel("review", "x", *words, ok=1)
    assert not (repo.state / "tasks" / "x" / "comments.json").exists()


def test_places_that_could_be_misread(repo: Repo) -> None:
    repo.commit("gone", "1\n")
    task = mine(repo)
    for name in ("a", "a:2", "b:7", '"q"'):
        task.commit(name, f"in {name}\n1\n")
    task.git("rm", "--quiet", "gone")
    task.git("commit", "--quiet", "-m", "Remove")
    places = ("a:2", '"a:2"', '"a:2":1', "b:7", "b:7:1", '"\\"q\\"":1', "gone")
    review(repo, *(word for place in places for word in ("--comment", place, "x")))
    told = [(r["path"], r.get("line")) for r in repo.json("review", "x")["comments"]]
    assert told == [
        ("a", 2),
        ("a:2", None),
        ("a:2", 1),
        ("b:7", None),
        ("b:7", 1),
        ('"q"', 1),
        ("gone", None),
    ]


@pytest.mark.parametrize(
    ("path", "quoted"),
    [
        ("a b/ü", "a b/ü"),
        ("a\nb", '"a\\nb"'),
        ('a"\\\t', '"a\\"\\\\\\t"'),
        ("a:12", '"a:12"'),
        ("\x1b[2J", '"\\033[2J"'),
        ("\u202e", '"\\342\\200\\256"'),
        (os.fsdecode(b"\xe9"), '"\\351"'),
        ("back\\slash", "back\\slash"),
    ],
)
def test_a_place_is_read_as_it_is_shown(path: str, quoted: str) -> None:
    assert shown(path) == quoted
    assert _readings(f"{quoted}:7")[0] == (path, 7)
    assert (path, None) in _readings(quoted)


# The editor.


def editor(repo: Repo, script: str) -> dict[str, str]:
    """An editor that does to a form what a Python script does to its `lines`."""
    program = repo.path.parent / "editor.py"
    program.write_text(
        "import sys\n"
        "text = open(sys.argv[1], newline='', errors='surrogateescape').read()\n"
        "lines = text.split('\\n')\n"
        "def below(start, *new):\n"
        "    at = next(i for i, l in enumerate(lines) if l.startswith(start))\n"
        "    lines[at + 1 : at + 1] = new\n"
        f"{script}\n"
        "with open(sys.argv[1], 'w', newline='', errors='surrogateescape') as file:\n"
        "    file.write('\\n'.join(lines))\n"
    )
    return {"GIT_EDITOR": f"python3 '{program}'"}


@pytest.fixture
def wide(repo: Repo) -> Repo:
    """A repository whose task `x` changed files in every way that a diff can show."""
    repo.commit("gone", "gone 1\ngone 2\n")
    repo.commit("old name", "".join(f"{n}\n" for n in range(40)))
    repo.commit("bin", "a\0b")
    repo.commit("mode", "1\n")
    repo.commit("kind", "1\n")
    task = mine(repo)
    task.git("rm", "--quiet", "gone")
    task.git("mv", "old name", "new name")
    (task.path / "mode").chmod(0o755)
    (task.path / "kind").unlink()
    (task.path / "kind").symlink_to("readme.txt")
    task.write("bin", "a\0c")
    task.write("new name", "".join(f"{n}\n" for n in [*range(5), "x", *range(6, 30)]) + "30")
    task.write("new\nline ü", "> quoted\n\n-- \n")
    task.write("readme.txt", "one\ntwo\nfour\nfive\n")
    task.git("add", ".")
    task.git("commit", "--quiet", "-m", "All at once")
    return repo


def commented(repo: Repo) -> list[tuple[str | None, int | None, str, str]]:
    told = repo.json("review", "x").get("comments", [])
    return [(r.get("path"), r.get("line"), r["text"], r.get("quote", "")) for r in told]


def test_comments_are_written_below_the_lines_that_they_are_about(wide: Repo) -> None:
    script = (
        "below('> yours', 'All of it', '', '# is good')\n"
        "below('>     6 +x', '', 'x?', '')\n"
        "below('>       -three', 'bring it back')\n"
        "below('> ==== bin', 'what is this')\n"
        "below('>       -gone 2', 'why')\n"
        "below('> ==== new?line', 'a file')\n"
        "below('>     3 +-- ', 'a signature')\n"
        "below('>    31 +30', 'no newline')\n"
        "below('> ==== mode', 'x')\n"
        "below('>     1 +readme.txt', 'a link')\n"
    )
    review(wide, "--edit", env=editor(wide, script))
    assert commented(wide) == [
        (None, None, "All of it\n\n# is good", ""),
        ("bin", None, "what is this", ""),
        ("gone", None, "why", "-gone 2"),
        ("kind", 1, "a link", "readme.txt"),
        ("mode", None, "x", ""),
        ("new\nline ü", None, "a file", ""),
        ("new\nline ü", 3, "a signature", "-- "),
        ("new name", 6, "x?", "x"),
        ("new name", 31, "no newline", "30"),
        ("readme.txt", 2, "bring it back", "-three"),
    ]
    assert verdict(wide) == ("seen", True)
    assert list((wide.state / "tasks" / "x").glob("review-*")) == []


def test_a_form_may_be_cut_down_and_saved_by_any_editor(wide: Repo) -> None:
    script = (
        "below('>     6 +x', 'x?')\n"
        "at = lines.index('x?')\n"
        "lines = [l.rstrip() + '\\r' for l in lines[at - 1 : at + 2]]\n"
    )
    review(wide, "--edit", env=editor(wide, script))
    assert commented(wide) == [("new name", 6, "x?", "x")]


def test_what_was_written_is_kept_where_its_line_is_unknown(wide: Repo) -> None:
    script = "below('>     6 +x', 'x?')\nlines[lines.index('x?') - 1] = '>  6 +y'"
    told = review(wide, "--edit", ok=1, env=editor(wide, script))
    assert told.startswith("✗ this line of the form was changed: >  6 +y\n↳ what you wrote is in ")
    (kept,) = (wide.state / "tasks" / "x").glob("review-*")
    assert "x?\n" in kept.read_text()
    assert str(kept) in told
    assert commented(wide) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "line"),
    [
        ("at = lines.index('>     6 +x')\nlines[at] += '  <- wrong'", ">     6 +x  <- wrong"),
        ("below('>     6 +x', 'See:', '> a quote')", "> a quote"),
        ("lines += ['>     6 +x']", ">     6 +x"),
    ],
)
def test_what_was_written_onto_lines_of_the_form_is_kept(
    wide: Repo, script: str, line: str
) -> None:
    told = review(wide, "--edit", ok=1, env=editor(wide, script))
    assert told.startswith(f"✗ this line of the form was changed: {line}\n↳ what you wrote is in ")
    (kept,) = (wide.state / "tasks" / "x").glob("review-*")
    assert line in kept.read_text()
    assert commented(wide) == []


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        ("true", 0, "○ nothing is said of x\n"),
        ("false", 1, "✗ the editor failed: false\n↳ git var GIT_EDITOR\n"),
        ("rm", 1, "✗ the editor left no file: rm\n↳ git var GIT_EDITOR\n"),
    ],
)
def test_nothing_written_nothing_kept(
    repo: Repo, task: Repo, command: str, code: int, told: str
) -> None:
    assert review(repo, "--edit", ok=code, env={"GIT_EDITOR": command}) == told
    assert sorted(p.name for p in (repo.state / "tasks" / "x").glob("re*")) == (
        ["reviewed.json"] if code == 0 else []
    )


@pytest.mark.slow
def test_what_was_written_of_a_task_that_is_removed_meanwhile_is_in_the_trash(
    repo: Repo, task: Repo
) -> None:
    env = editor(repo, "below('>     3 +THREE', 'why?')")
    env = {"GIT_EDITOR": f'f() {{ {env["GIT_EDITOR"]} "$1"; git parallel remove x; }}; f'}
    told = review(repo, "--edit", ok=1, env=env)
    assert "✗ `x` was moved away meanwhile\n↳ what you wrote is in " in told
    (kept,) = repo.state.glob("trash/x-*/task/review-*")
    assert told.endswith(f"{kept}\n")
    assert "why?\n" in kept.read_text()


@pytest.mark.slow
def test_what_was_written_is_kept_where_comments_can_not_be(repo: Repo, task: Repo) -> None:
    file = repo.state / "tasks" / "x" / "comments.json"
    env = editor(repo, f"below('>     3 +THREE', 'why?')\nopen({str(file)!r}, 'w').write('x')")
    told = review(repo, "--edit", ok=1, env=env)
    assert f"✗ {file} can't be read: " in told
    (kept,) = file.parent.glob("review-*")
    assert f"↳ what you wrote is in {kept}\n" in told
    assert "why?\n" in kept.read_text()


def test_the_editor_is_the_one_of_git(repo: Repo, task: Repo) -> None:
    env = editor(repo, "below('>     3 +THREE', 'why?')")
    repo.git("config", "core.editor", env["GIT_EDITOR"])
    review(repo, "--edit", env={"GIT_EDITOR": ""})
    assert commented(repo) == [("readme.txt", 3, "why?", "THREE")]


def test_a_line_is_found_behind_the_one_before() -> None:
    patch = "diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1,4 +1,2 @@\n-}\n a\n-}\n b\n"
    lines = form.lines_of(["Hello"], ["f"], patch)
    text = "\n".join(line.text for line in lines).replace(">       -}", "first", 1)
    (above, said), *rest = form.written(lines, text.replace(">       -}", ">       -}\nsecond"))
    assert (said, above.line, rest[0][0].line, rest[0][1]) == ("first", None, 1, "second")


TWICE = "".join(
    f"diff --git a/{name} b/{name}\n--- /dev/null\n+++ b/{name}\n@@ -0,0 +1,3 @@\n+1\n+2\n+3\n"
    for name in ("p1", "p2")
)


@pytest.mark.parametrize(
    ("kept", "path"),
    [
        ([">     3 +3"], None),
        (["> ==== p1", ">     3 +3"], "p1"),
        (["> ==== p2", ">     3 +3"], "p2"),
        ([">     3 +3", "> ==== p2"], "p1"),
        ([">     1 +1", ">     3 +3"], None),
        ([">     3 +3", ">     3 +3"], "p2"),
        (["> ==== p1", ">     3 +3", "> ==== p2", ">     3 +3"], "p2"),
    ],
)
def test_a_line_of_a_form_that_was_cut_down_is_found_or_refused(
    kept: list[str], path: str | None
) -> None:
    lines = form.lines_of(["Hello"], ["p1", "p2"], TWICE)
    at = len(kept) - kept[::-1].index(">     3 +3")
    text = "\n".join([*kept[:at], "about it", *kept[at:]])
    if path is None:
        with pytest.raises(ParallelError, match="this line stands several times in the form"):
            form.written(lines, text)
    else:
        ((line, said),) = form.written(lines, text)
        assert (line.path, line.line, said) == (path, 3, "about it")


# What can go wrong.


@pytest.mark.slow
def test_no_comment_is_lost_where_many_come_at_once(repo: Repo, task: Repo) -> None:
    with ThreadPoolExecutor(6) as pool:
        words = [("--comment", "readme.txt:3", f"comment {n}") for n in range(6)]
        list(pool.map(lambda word: review(repo, *word), words))
    told = [comment["text"] for comment in repo.json("review", "x")["comments"]]
    assert sorted(told) == [f"comment {n}" for n in range(6)]


@pytest.mark.slow
@pytest.mark.parametrize("step", steps(24, every=14))
def test_killed_while_it_is_said(repo: Repo, step: int) -> None:
    task = mine(repo)
    task.commit("f", "1\n")
    review(repo, "--comment", "f:1", "before")
    code = bomb(repo, step, "review", "x", "--reject", "-m", "No", "--comment", "f:1", "now")
    assert code in (0, -signal.SIGKILL)
    said = [comment["text"] for comment in repo.json("review", "x")["comments"]]
    assert said in (["before"], ["before", "now", "No"])
    review(repo, "--reject", "-m", "Again")
    assert verdict(repo) == ("rejected", True)


@pytest.mark.slow
@pytest.mark.parametrize("step", steps(45, every=30))
def test_killed_while_the_agent_is_told(repo: Repo, step: int) -> None:
    repo.start("x", EDIT, "-m", "Go")
    review(repo, "--comment", "readme.txt:3", "why?")
    assert bomb(repo, step, "run", "x", "--wait") in (0, 1, -signal.SIGKILL)
    repo.parallel("stop", "x", ok=(0, 1))
    waits = "why?" in review(repo, "--comments")
    prompts = [p.read_text() for p in (repo.state / "tasks" / "x").glob("run-*.prompt")]
    assert waits or any("why?" in prompt for prompt in prompts)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["reviewed.json", "comments.json"])
def test_a_record_that_can_not_be_read_is_named(repo: Repo, task: Repo, name: str) -> None:
    review(repo, "--accept", "--comment", "readme.txt:3", "why?")
    file = repo.state / "tasks" / "x" / name
    newer = json.dumps({**json.loads(file.read_text()), "version": 2, "mood": 1})
    for content in (newer, '{"rema'):
        file.write_text(content)
        told = review(repo, "--comment", "readme.txt:1", "x", "--accept", ok=1)
        assert f"✗ {file} can't be read: " in told
        assert "was it written by a newer git parallel? Nothing was changed" in told
        assert file.read_text() == content


def test_refuses_what_makes_no_sense(repo: Repo, task: Repo) -> None:
    for line, told in (
        ("--accept", "name a task"),
        ("x -m why", "-m is for --reject and --accept"),
        ("x --reject", "it\n↳ git parallel review x --reject -m TEXT\n"),
        ("x --accept --stat", "one thing at a time"),
        ("x --files --json", "--json tells paths, numbers and commits, and takes no --files"),
        ("x --since-last --json", "takes no --since-last"),
        ("x --stat --files", "one thing at a time"),
        ("x --accept --reject -m no", "--accept and --reject can't be used together"),
        ("x --comment readme.txt:1 --accept", "a text is missing before --accept"),
        ("x --reject -m --edit", "a text is missing before --edit"),
    ):
        assert told in repo.parallel("review", *line.split(), ok=2).stderr
    assert "review" not in repo.task("x")


@pytest.mark.parametrize("what", ["target", pytest.param("branch", marks=pytest.mark.slow)])
def test_what_can_not_be_compared_is_not_ready_for_review(repo: Repo, what: str) -> None:
    repo.start("x", EDIT)
    repo.git("branch", "--move", *(("main", "trunk") if what == "target" else ("parallel/x", "y")))
    why = "main is gone" if what == "target" else "parallel/x is gone, its worktree is on y"
    told = f"its {what} {why}\n↳ git parallel doctor\n"
    for words in ((), ("--files",), ("--json",), ("--comment", "readme.txt", "x"), ("--accept",)):
        assert review(repo, *words, ok=1) == f"✗ `x` can't be compared: {told}"
    queue = repo.parallel("review")
    assert queue.stdout == ""
    assert queue.stderr.startswith(f"▲ x can't be reviewed: its {what} {why} ↳ git parallel doctor")
    assert "○ nothing is ready for review" in queue.stderr
    assert repo.json("review")["tasks"] == []
    assert "▲ x is left out: its " in (plan := repo.parallel("plan").stdout)
    assert "↳ git parallel doctor\n" in plan


@pytest.mark.slow
def test_of_several_attempts_one_is_reviewed(repo: Repo) -> None:
    words = ("--attempts", "2", "--wait", "--", "sh", "-c", EDIT)
    repo.parallel("start", "y", *words)
    assert repo.parallel("review", "y", "--accept", ok=2).stderr == (
        "✗ `y` has several attempts: name one of them\n↳ git parallel review y.1\n"
    )
    repo.parallel("review", "y.2", "--accept")
    head, *rows = repo.parallel("review", "y").stdout.splitlines()
    assert head.split()[:3] == ["TASK", "STATUS", "REVIEW"]
    assert ["accepted" in row for row in rows] == [False, True]
    assert repo.json("review", "y")["tasks"][1]["review"]["verdict"] == "accepted"


@pytest.mark.slow
def test_what_was_rejected_stays_so_when_we_rebase_it(repo: Repo) -> None:
    repo.start("parent", "echo > p.txt")
    repo.start("child", "echo bad > bad.txt", "parallel/parent")
    repo.parallel("review", "child", "--reject", "-m", "no")
    repo.parallel("merge", "--all", "--strategy", "squash", ok=None)
    assert "you rejected it" in repo.parallel("merge", "child", ok=1).stderr
    repo.commit("other.txt", "other\n")
    repo.parallel("rebase", "child")
    assert repo.json("plan")["order"] == []
    assert "you rejected it" in repo.parallel("merge", "child", ok=1).stderr
    assert not (repo.path / "bad.txt").exists()


@pytest.mark.slow
def test_what_was_rejected_does_not_land_with_another_task(repo: Repo) -> None:
    repo.start("bad", "echo bad > bad.txt")
    repo.start("good", "echo good > good.txt", "parallel/bad", "--target", "main")
    repo.parallel("review", "bad", "--reject", "-m", "no")
    assert {one["name"] for one in repo.json("plan")["left"]} == {"bad", "good"}
    told = repo.parallel("merge", "--all", ok=1).stderr
    assert "`good` can't be merged: it has commits of `bad`, which you rejected" in told
    assert not (repo.path / "bad.txt").exists()
    repo.parallel("review", "bad", "--accept")
    repo.parallel("merge", "good")
    assert (repo.path / "bad.txt").exists()
