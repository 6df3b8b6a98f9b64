"""`conflicts` and `plan` as people and programs see them; that they look at everything and touch
nothing; and that what is remembered is never stale.
"""

import hashlib
import itertools
import json
import os
import subprocess
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import Any

import pytest

from git_parallel.collisions import Collision, Collisions, Live
from git_parallel.commands.matrix import _matrix
from git_parallel.forecast import Trial
from git_parallel.neighbours import _meet
from tests.conftest import PROGRAM, Repo, run, until

EDIT = "sed -i.bak s/three/$0/ readme.txt && rm readme.txt.bak && git commit -qam $0"
ADD = "echo $0 > $0.txt && git add . && git commit -qm $0"


def task(repo: Repo, name: str, script: str, *words: str) -> Path:
    """Start a task on a script that knows the task's name, and wait for its end."""
    words = ("start", name, *words, "--wait", "--", "sh", "-c", script, name)
    return Path(repo.parallel(*words, ok=(0, 1)).stdout.strip())


def told(repo: Repo) -> list[Any]:
    found: list[Any] = repo.json("conflicts")["conflicts"]
    return found


def names(repo: Repo) -> list[list[str]]:
    return [
        [*found["tasks"], *([found["target"]] if "target" in found else [])] for found in told(repo)
    ]


def digests(folder: Path) -> dict[str, str]:
    """All files below a folder, by their content."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_shows_who_collides_with_whom_where_and_how(repo: Repo) -> None:
    task(repo, "alpha", EDIT)
    task(repo, "beta", f"git rm -q readme.txt && {ADD}")
    task(repo, "gamma", ADD)
    task(repo, "delta", f"mkdir gamma.txt && echo > gamma.txt/x && {ADD}")
    repo.commit("delta.txt", "mine\n")
    shown = repo.parallel("conflicts")
    assert shown.stdout == dedent("""\
           TASK   main  1 2 3
        1  alpha   ·
        2  beta    ·    ✗
        3  gamma   ·    · ·
        4  delta   ✗    · · ✗

        ✗ delta and main: delta.txt (add/add)
        ✗ alpha and beta: readme.txt (modify/delete)
        ✗ gamma and delta: gamma.txt (file/directory)
    """)
    assert shown.stderr == ""
    assert told(repo)[1] == {
        "tasks": ["alpha", "beta"],
        "paths": ["readme.txt"],
        "kinds": ["modify/delete"],
    }


def test_thirty_tasks_fit_into_eighty_columns_and_of_hundred_only_those_that_collide() -> None:
    matrix = _matrix(crowd(30))
    assert max(map(len, matrix)) <= 80
    assert len(matrix) == 32
    assert matrix[0].split() == ["11111111112222222222"]
    assert matrix[1].split() == ["TASK", "main", "12345678901234567890123456789"]
    assert matrix[6].split() == ["5", "task-with-rather-a-long-…e/number-004", "·", "···✗"]
    assert matrix[31].count("·") == 1 + 29
    many = _matrix(crowd(100))
    assert [len(many), many[-1]] == [2 + 32 + 1, "and 68 more without a conflict"]
    assert max(map(len, many)) <= 80
    assert _matrix(crowd(300)) == []


def test_names_have_the_width_that_the_columns_leave() -> None:
    matrix = _matrix(crowd(6))
    assert matrix[6].split() == ["6", "task-with-rather-a-long-name/number-005", *"······"]
    assert max(map(len, matrix)) <= 80


def crowd(number: int) -> Collisions:
    """So many tasks, of which every third pair of neighbours collides."""
    names = [f"task-with-rather-a-long-name/number-{n:03}" for n in range(number)]
    views: list[Any] = [
        SimpleNamespace(task=SimpleNamespace(name=name, target="main"), target=True)
        for name in names
    ]
    trial = Trial(conflicts=("f",), kinds=("content",))
    found = [Collision((names[n], names[n + 1]), "", trial) for n in range(3, number - 1, 6)]
    return Collisions(tuple(Live(view, "") for view in views), tuple(found), {})


def test_looks_at_what_is_not_committed_and_touches_nothing(repo: Repo) -> None:
    task(repo, "alpha", EDIT)
    script = "sed -i.bak s/three/running/ readme.txt; rm readme.txt.bak; git add readme.txt; "
    script += (
        "echo >> readme.txt; echo > new.txt; touch made; until test -e go; do sleep 0.05; done"
    )
    path = Path(repo.parallel("start", "beta", "--", "sh", "-c", script).stdout.strip())
    until((path / "made").exists)
    git_dir = Path(repo.git("-C", str(path), "rev-parse", "--absolute-git-dir"))
    state = (digests(git_dir), digests(repo.path / ".git" / "objects"), digests(path))
    stamp = (git_dir / "index").stat().st_mtime_ns
    expected = {"tasks": ["alpha", "beta"], "paths": ["readme.txt"], "kinds": ["content"]}
    assert told(repo) == [{**expected, "uncommitted": ["beta"]}]
    assert "2  beta *   ·    ✗" in repo.parallel("conflicts").stdout
    assert state == (digests(git_dir), digests(repo.path / ".git" / "objects"), digests(path))
    assert stamp == (git_dir / "index").stat().st_mtime_ns
    repo.git("-C", str(path), "checkout", "HEAD", "--", "readme.txt")
    assert told(repo) == []
    (path / "go").touch()


@pytest.mark.slow
@pytest.mark.parametrize("squash", [False, True])
def test_looks_at_what_is_not_committed_on_top_of_what_is_merged(
    repo: Repo, tmp_path: Path, squash: bool
) -> None:
    for name in ("alpha", "beta"):
        path = task(repo, name, EDIT if name == "alpha" else ADD)
    path = Path(repo.parallel("path", "alpha").stdout.strip())
    (path / "beta.txt").write_text("mine\n")
    repo.git("merge", "--quiet", *(["--squash"] if squash else ["--no-ff"]), "parallel/alpha")
    if squash:
        repo.git("commit", "--quiet", "-m", "Squash alpha")
    repo.commit("readme.txt", repo.git("show", "main:readme.txt").replace("alpha", "later"))
    assert repo.task("alpha")["status"] == "merged"
    found = {"tasks": ["alpha", "beta"], "paths": ["beta.txt"], "kinds": ["add/add"]}
    assert told(repo) == [{**found, "uncommitted": ["alpha"]}]
    assert repo.json("plan")["order"] == ["beta"]
    (path / "readme.txt").write_text("other\n")
    assert names(repo) == [["alpha", "main"], ["alpha", "beta"]]
    repo.git("-C", str(path), "checkout", "--quiet", "readme.txt")
    (path / "beta.txt").unlink()
    assert told(repo) == []


@pytest.mark.slow
def test_looks_at_a_worktree_in_which_a_merge_is_not_finished(repo: Repo) -> None:
    task(repo, "alpha", EDIT)
    repo.parallel("start", "beta", "--no-bootstrap")
    path = Path(repo.parallel("path", "beta").stdout.strip())
    for name, text in (("main", "one\nmain\n"), ("beta", "one\nbeta\n")):
        place = repo.path if name == "main" else path
        (place / "readme.txt").write_text(text)
        repo.git("-C", str(place), "commit", "--quiet", "-am", name)
    repo.git("-C", str(path), "merge", "main", ok=1)
    nested = path / "nested"
    repo.git("init", "--quiet", str(nested))  # without a commit, so that `git add` gives up
    before = repo.git("-C", str(path), "status", "--porcelain")
    assert names(repo)[-1] == ["alpha", "beta"]
    assert repo.git("-C", str(path), "status", "--porcelain") == before


def test_says_so_when_it_can_not_look_at_what_is_not_committed(repo: Repo) -> None:
    repo.parallel("start", "alpha", "--no-bootstrap")
    path = Path(repo.parallel("path", "alpha").stdout.strip())
    index = Path(repo.git("-C", str(path), "rev-parse", "--absolute-git-dir")) / "index"
    index.write_bytes(b"none\n")
    shown = repo.parallel("conflicts")
    assert shown.stderr.startswith("▲ what alpha has not committed is not wholly looked at: git ")


@pytest.mark.slow
def test_says_so_when_it_can_look_at_a_part_only(repo: Repo) -> None:
    for name in ("alpha", "beta"):
        repo.parallel("start", name, "--no-bootstrap")
        path = Path(repo.parallel("path", name).stdout.strip())
        (path / "new.txt").write_text(name)
    assert names(repo) == [["alpha", "beta"]]
    repo.git("config", "filter.gone.clean", "no-such-program")
    repo.git("config", "filter.gone.required", "true")
    (path / ".gitattributes").write_text("other filter=gone\n")
    (path / "other").touch()
    shown = repo.parallel("conflicts")
    assert "▲ what beta has not committed is not wholly looked at: " in shown.stderr


@pytest.mark.slow
def test_says_so_where_a_task_or_its_target_is_gone(repo: Repo) -> None:
    repo.git("branch", "release")
    for name in ("alpha", "beta"):
        task(repo, name, ADD, "release", "--target", "release")
    repo.git("branch", "--quiet", "-m", "release", "renamed")
    task(repo, "gamma", ADD)
    path = repo.parallel("path", "gamma").stdout.strip()
    repo.git("-C", path, "branch", "--quiet", "-m", "elsewhere")
    repo.parallel("start", "delta", "--no-bootstrap")
    shown = repo.parallel("conflicts")
    assert (shown.stdout, shown.stderr) == (
        "",
        "▲ not compared with a target: alpha, beta (its target release is gone), gamma (its branch "
        "parallel/gamma is gone, its worktree is on elsewhere) ↳ git parallel doctor\n",
    )
    assert told(repo) == [
        {"tasks": ["alpha"], "target": "release", "paths": None},
        {"tasks": ["beta"], "target": "release", "paths": None},
        {"tasks": ["gamma"], "target": "main", "paths": None},
    ]


@pytest.mark.slow
def test_says_so_where_the_parent_of_a_stack_is_gone(repo: Repo) -> None:
    task(repo, "alpha", ADD)
    task(repo, "beta", ADD, "parallel/alpha")
    repo.parallel("remove", "alpha")
    repo.git("branch", "-D", "parallel/alpha")
    shown = repo.parallel("conflicts")
    assert shown.stderr == (
        "▲ not compared with a target: beta (its target parallel/alpha is gone)"
        " ↳ git parallel doctor\n"
    )


@pytest.mark.slow
def test_looks_in_silence(repo: Repo) -> None:
    repo.parallel("start", "alpha", "--no-bootstrap")
    (Path(repo.parallel("path", "alpha").stdout.strip()) / "new.txt").touch()
    hook = repo.path / ".git" / "hooks" / "post-index-change"
    hook.write_text(f"#!/bin/sh\ntouch '{repo.path}/called'\n")
    hook.chmod(0o755)
    repo.parallel("conflicts")
    assert not (repo.path / "called").exists()


def collide(repo: Repo) -> Path:
    """Two tasks that collide, as remembered; returns where."""
    task(repo, "alpha", EDIT)
    task(repo, "beta", EDIT)
    assert names(repo) == [["alpha", "beta"]]
    return repo.state / "pairs.json"


def spawned(repo: Repo, tmp_path: Path) -> list[str]:
    """What `conflicts` asks of git, by git's own account."""
    trace = tmp_path / "trace"
    trace.unlink(missing_ok=True)
    repo.parallel("conflicts", "--json", env={"GIT_TRACE2": str(trace)})
    asked = [line.partition(" cmd_name ")[2] for line in trace.read_text().splitlines()]
    return [words.split()[0] for words in asked if words]


@pytest.mark.slow
def test_remembers_pairs_and_asks_again_for_what_has_moved(repo: Repo, tmp_path: Path) -> None:
    memory = collide(repo)
    assert "merge-tree" not in spawned(repo, tmp_path)
    repo.git(
        "-C", str(repo.path.parent / "my répo.parallel" / "beta"), "reset", "-q", "--hard", "main"
    )
    task(repo, "gamma", ADD)
    assert names(repo) == []
    assert "merge-tree" not in spawned(repo, tmp_path)
    assert memory.stat().st_size < 2000


@pytest.mark.slow
def test_forgets_where_git_would_merge_otherwise(repo: Repo, tmp_path: Path) -> None:
    collide(repo)
    rule = "readme.txt merge=union\n"
    repo.git("config", "core.attributesFile", str(tmp_path / "attributes"))
    info = repo.path / ".git" / "info"
    info.mkdir(exist_ok=True)
    for file in (repo.path / ".gitattributes", info / "attributes", tmp_path / "attributes"):
        file.write_text(rule)
        assert names(repo) == []
        file.unlink()
        assert names(repo) == [["alpha", "beta"]]


@pytest.mark.slow
def test_does_not_take_one_target_for_another_at_the_same_commit(repo: Repo) -> None:
    repo.start("parent", "echo > p.txt")
    repo.start("child", "echo > c.txt", "parallel/parent")
    (repo.path.parent / "my répo.parallel" / "child" / "untracked").touch()
    repo.git("-C", repo.parallel("path", "parent").stdout.strip(), "merge", "-q", "parallel/child")
    assert "merged into parallel/parent" in repo.parallel("show", "child").stdout
    repo.parallel("merge", "parent", "--strategy", "ff")
    assert "merged into main" in repo.parallel("show", "child").stdout


@pytest.mark.slow
def test_takes_no_unrelated_history_for_clean(repo: Repo) -> None:
    script = "git checkout -q --orphan z && git commit -qm root && git branch -f tz && "
    script += "git checkout -q $0 && git reset -q --hard tz && git branch -qD tz"
    repo.parallel("start", "x", "--wait", "--", "sh", "-c", script, "parallel/x", ok=None)
    assert told(repo) == [{"tasks": ["x"], "target": "main", "paths": None}]
    assert repo.task("x")["conflicts"] != []


@pytest.mark.slow
def test_asks_again_where_commits_are_replaced(repo: Repo) -> None:
    collide(repo)
    replaced = repo.git("rev-parse", "parallel/alpha")
    repo.git("replace", replaced, repo.git("commit-tree", "-p", "main", "-m", "x", "main^{tree}"))
    assert names(repo) == []
    repo.git("pack-refs", "--all")
    assert names(repo) == []
    repo.git("replace", "--delete", replaced)
    assert names(repo) == [["alpha", "beta"]]


@pytest.mark.slow
def test_asks_again_which_of_two_commits_of_a_submodule_is_newer(
    repo: Repo, tmp_path: Path
) -> None:
    """Git knows where it has them, which it may not have tomorrow."""
    run("git", "init", "--quiet", tmp_path / "lib", cwd=tmp_path)
    commits = [Repo(tmp_path / "lib").commit("file", f"{n}\n") for n in range(4)]
    repo.git("submodule", "--quiet", "add", tmp_path / "lib", "lib")
    module = Repo(repo.path / "lib")

    def moved(commit: str) -> None:
        module.git("checkout", "--quiet", commit)
        repo.git("commit", "--quiet", "-am", "Move lib")

    moved(commits[0])
    for name, commit in zip("xy", commits[1:], strict=False):
        task(repo, name, f"git -C lib checkout -q {commit} && git commit -qam $0")
    moved(commits[3])
    assert names(repo) == []
    known = module.path.parent / ".git" / "modules"
    known.rename(tmp_path / "away")
    assert names(repo) == [["x", "main"], ["y", "main"], ["x", "y"]]
    assert repo.task("x")["conflicts"][0]["paths"] == ["lib"]
    (tmp_path / "away").rename(known)
    assert names(repo) == []
    assert repo.task("x")["conflicts"] == []


@pytest.mark.slow
def test_asks_again_about_a_target_where_git_would_merge_otherwise(repo: Repo) -> None:
    repo.write("long.txt", "".join(f"{n}\n" for n in range(40)))
    repo.git("add", "--all")
    repo.git("commit", "--quiet", "-m", "Add a long file")
    task(repo, "alpha", "echo >> long.txt && git commit -qam $0")
    repo.write("long.txt", "".join(f"{n}\n" for n in range(-1, 40)))
    repo.git("commit", "--quiet", "-am", "Change its begin")
    assert names(repo) == []
    assert repo.task("alpha")["conflicts"] == []
    repo.write(".gitattributes", "*.txt -merge\n")
    assert repo.task("alpha")["conflicts"] != []
    assert names(repo) == [["alpha", "main"]]
    assert repo.json("plan")["order"] == []
    repo.write(".gitattributes", "")
    assert names(repo) == []


@pytest.mark.slow
def test_does_not_take_what_it_knows_of_one_target_for_another(repo: Repo) -> None:
    repo.git("switch", "--quiet", "--create", "joining")
    repo.commit(".gitattributes", "readme.txt merge=union\n")
    repo.git("switch", "--quiet", "--detach")
    for name, target in (("a", "main"), ("b", "main"), ("c", "main"), ("d", "joining")):
        task(repo, name, EDIT, "main", "--target", target)
    assert list(map("".join, names(repo))) == ["ab", "ac", "ad", "bc", "bd", "cd"]
    record = repo.state / "tasks" / "b" / "task.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "target": "joining"}))
    assert list(map("".join, names(repo))) == ["ab", "ac", "ad", "cd"]


@pytest.mark.slow
def test_remembers_whose_attributes_count(repo: Repo, tmp_path: Path) -> None:
    repo.git("switch", "--quiet", "--create", "joining")
    repo.commit(".gitattributes", "readme.txt merge=union\n")
    task(repo, "alpha", EDIT, "main")
    task(repo, "beta", EDIT, "main")
    assert names(repo) == [["alpha", "beta"]]
    memory = repo.state / "attributes.json"
    good = memory.read_bytes()
    assert "grep" not in spawned(repo, tmp_path)
    for content in (b"", b"{", b'{"commits":{"a":[["b"]]}}'):
        memory.write_bytes(content)
        assert "grep" in spawned(repo, tmp_path)
        assert memory.read_bytes() == good
    repo.git("branch", "--force", "main", "joining")
    assert names(repo) == []


@pytest.mark.slow
def test_follows_a_change_of_what_renamed_folders_mean(repo: Repo) -> None:
    repo.commit("old/one.txt", "one\n")
    task(repo, "alpha", "git mv old new && git commit -qm alpha")
    task(repo, "beta", "echo > old/two.txt && git add . && git commit -qm beta")
    assert told(repo)[0]["kinds"] == ["directory rename suggested"]
    repo.git("config", "merge.directoryRenames", "true")
    assert names(repo) == []


def test_remembers_nothing_where_a_program_of_the_user_merges(repo: Repo, tmp_path: Path) -> None:
    repo.git("config", "merge.mine.driver", "true")
    memory = collide(repo)
    assert not memory.exists()
    assert "merge-tree" in spawned(repo, tmp_path)


@pytest.mark.slow
def test_finds_out_again_what_it_can_not_read(repo: Repo) -> None:
    memory = collide(repo)
    good = memory.read_bytes()
    wrong = good.replace(b'"conflicts":[[1,2', b'"conflicts":[[7,9')
    for content in (b"", b"{", b'{"version":1}', b"\0" * 99, wrong):
        assert content != good
        memory.write_bytes(content)
        assert names(repo) == [["alpha", "beta"]]
    memory.write_bytes(b"{")
    repo.parallel("conflicts")
    assert memory.read_bytes() == good


@pytest.mark.slow
def test_several_at_once_all_give_the_answer_and_leave_a_whole_file(repo: Repo) -> None:
    memory = collide(repo)
    expected = repo.parallel("conflicts", "--json").stdout
    good = memory.read_bytes()
    for _ in range(3):
        memory.unlink()
        words = (PROGRAM, "conflicts", "--json")
        several = [
            subprocess.Popen(words, cwd=repo.path, stdout=subprocess.PIPE, text=True)
            for _ in range(6)
        ]
        assert {process.communicate()[0] for process in several} == {expected}
        assert memory.read_bytes() == good
    assert not list(repo.state.glob(".*.tmp"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_answers_where_it_can_not_write(repo: Repo) -> None:
    memory = collide(repo)
    memory.unlink()
    repo.state.chmod(0o500)
    try:
        assert names(repo) == [["alpha", "beta"]]
        assert not memory.exists()
    finally:
        repo.state.chmod(0o700)


@pytest.mark.slow
def test_answers_where_its_memory_can_not_be_replaced(repo: Repo) -> None:
    memory = collide(repo)
    memory.unlink()
    memory.mkdir()
    assert names(repo) == [["alpha", "beta"]]
    assert memory.is_dir()


@pytest.mark.slow
def test_tells_the_order_why_and_what_to_do_about_the_rest(repo: Repo) -> None:
    config = repo.path / ".git" / "parallel" / "config.toml"
    config.parent.mkdir()
    command = ["sh", "-c", f"{EDIT} && {ADD}", "alpha"]
    config.write_text(f"[agents.mine]\ncommand = {json.dumps(command)}\n")
    repo.parallel("start", "alpha", "--agent", "mine", "-m", "Do it", "--wait")
    task(repo, "beta", EDIT)
    task(repo, "gamma", ADD)
    task(repo, "epsilon", ADD, "parallel/gamma")
    task(repo, "zeta", f"false || {{ {ADD}; exit 1; }}")
    task(repo, "eta", ADD, "--never", "eta.txt")
    repo.commit("eta.md", "main moves on\n")
    shown = repo.parallel("plan")
    assert shown.stdout == dedent("""\
        3 of 5 ready tasks land without a conflict in this order, accepted and small ones first:
           1  gamma    main            1 file +1 -0
           2  epsilon  parallel/gamma  1 file +1 -0, after gamma
           3  beta     main            1 file +1 -1
        ▲ alpha is left out: it collides with beta in readme.txt (content); once that has landed:
          ↳ git parallel rebase alpha
          ↳ git parallel run alpha -m 'Rebase onto main and resolve the conflicts'
        ▲ eta is left out: changed what it may not: eta.txt
          ↳ git parallel review eta
        ○ to be seen together: alpha, beta
        ○ to be seen together: gamma, epsilon
        ○ independent of all others: 2 tasks
    """)
    assert shown.stderr == "↳ git parallel merge --all\n"
    answer = repo.json("plan")
    assert answer["order"] == ["gamma", "epsilon", "beta"]
    assert answer["groups"] == [["alpha", "beta"], ["gamma", "epsilon"], ["zeta"], ["eta"]]
    assert answer["left"][0] == {
        "name": "alpha",
        "collides": ["beta"],
        "paths": ["readme.txt"],
        "kinds": ["content"],
        "steps": [
            "git parallel rebase alpha",
            "git parallel run alpha -m 'Rebase onto main and resolve the conflicts'",
        ],
    }


def test_merges_all_in_the_order_of_the_plan_into_the_tree_of_plain_git(repo: Repo) -> None:
    repo.write("long.txt", "".join(f"{n}\n" for n in range(40)))
    repo.git("add", "--all")
    repo.git("commit", "--quiet", "-m", "Add a long file")
    for name, lines in (("alpha", (4, 20, 30)), ("beta", (4,)), ("gamma", (20,)), ("delta", (12,))):
        edits = "".join(f"{line}s/.*/$0/;" for line in lines)
        script = f'sed -i.bak "{edits}" long.txt && rm long.txt.bak && git commit -qam $0'
        task(repo, name, script)
    order = repo.json("plan")["order"]
    assert order == ["beta", "delta", "gamma"]
    repo.git("checkout", "--quiet", "-b", "plain")
    for name in order:
        repo.git("merge", "--quiet", "--no-edit", f"parallel/{name}")
    repo.git("checkout", "--quiet", "main")
    done = repo.json("merge", "--all", ok=1)
    assert [one["name"] for one in done["landed"]] == order
    assert [one["name"] for one in done["refused"]] == ["alpha"]
    assert repo.git("rev-parse", "main^{tree}") == repo.git("rev-parse", "plain^{tree}")


@pytest.mark.slow
def test_plans_for_two_targets_at_the_same_commit(repo: Repo) -> None:
    repo.git("branch", "release")
    task(repo, "alpha", EDIT)
    task(repo, "beta", EDIT, "release", "--target", "release")
    assert repo.json("plan")["order"] == ["alpha", "beta"]
    repo.parallel("merge", "--all")
    assert repo.git("rev-parse", "main") != repo.git("rev-parse", "release")


def test_says_that_nothing_is_ready(repo: Repo) -> None:
    repo.parallel("start", "alpha", "--no-bootstrap")
    shown = repo.parallel("plan")
    assert (shown.stdout, shown.stderr) == (
        "",
        "○ nothing is ready to be merged ↳ git parallel list\n",
    )
    assert repo.json("plan") == {"version": 1, "groups": [["alpha"]], "order": [], "left": []}


def test_start_says_whose_ground_a_new_task_enters(repo: Repo) -> None:
    task(repo, "alpha", EDIT)
    repo.parallel("start", "beta", "--touch", "src/**", "--no-bootstrap")
    words = ("--touch", "src/*.py", "--touch", "readme.txt", "--no-bootstrap")
    warned = repo.parallel("start", "gamma", *words).stderr
    assert (
        "▲ gamma may touch what others work on: alpha (readme.txt), beta (src/**)"
        " ↳ git parallel conflicts\n"
    ) in warned
    quiet = repo.parallel("start", "delta", "--touch", "docs/", "--no-bootstrap").stderr
    assert "▲" not in quiet


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("src/**", "src/api/*.py", True),
        ("*.py", "*.js", False),
        ("src", "src/x/y", True),
        ("src/a", "src/b", False),
        ("**/x.py", "a/b/x.py", True),
        ("*.py", "a/b.py", False),
        ("docs/", "src/", False),
        ("a*c", "ab?", True),
        ("a/*/c", "a/b/d/c", False),
        ("a/**/c", "a/b/d/c", True),
        ("**", "x", True),
        ("src/[ab].py", "src/a.py", True),
    ],
)
def test_knows_whether_two_patterns_have_a_path_in_common(one: str, other: str, meet: bool) -> None:
    for pair in itertools.permutations((one, other)):
        assert _meet(*pair) is meet
