"""Runs: exact endings, logs, what is committed, what is stopped, who waits for whom."""

import json
import os
import random
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.conftest import PROGRAM, Repo, run, until


def alive(repo: Repo, marker: str) -> list[int]:
    """The processes of a test's commands, by a word in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
            ours = environment.get("HOME", "").startswith(str(repo.path.parent))
            if ours and process.status() != psutil.STATUS_ZOMBIE and marker in process.cmdline():
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found


@pytest.mark.parametrize(
    ("script", "code", "reason"),
    [
        ("exit 1", 1, "it ended with exit code 1"),
        ("exit 255", 255, "it ended with exit code 255"),
        ("kill -9 $$", -9, "it was ended by SIGKILL"),
        ("kill -11 $$", -11, "it was ended by SIGSEGV"),
        ("nosuchprogram", 127, "it ended with exit code 127"),
    ],
)
def test_records_how_a_command_ended(repo: Repo, script: str, code: int, reason: str) -> None:
    repo.start("x", script)
    task = repo.task("x")
    assert (task["status"], task["reason"]) == ("failed", reason)
    assert task["run"]["exit_code"] == code


@pytest.mark.slow
def test_records_ten_endings_exactly(repo: Repo) -> None:
    dice = random.Random(7)
    signals = [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1]
    expected = []
    repo.start("x", "true")
    for _ in range(10):
        code = dice.choice([*range(1, 126), *(-s for s in signals)])
        script = f"kill -{-code} $$" if code < 0 else f"exit {code}"
        repo.parallel("run", "x", "--wait", "--", "sh", "-c", script, ok=1)
        expected.append(code)
    runs = repo.json("show", "x")["runs"][1:]
    assert [entry["exit_code"] for entry in runs] == expected


@pytest.mark.slow
def test_records_a_hundred_endings_exactly_under_load(repo: Repo) -> None:
    dice = random.Random(11)
    signals = [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1]
    repo.parallel("config", "set", "runs.limit", "6")
    for number in range(10):
        repo.start(f"t{number}", "true")
    codes = {
        n: [dice.choice([*range(1, 126), *(-s for s in signals)]) for _ in range(10)]
        for n in range(10)
    }

    def carry_out(number: int) -> None:
        for code in codes[number]:
            script = f"kill -{-code} $$" if code < 0 else f"exit {code}"
            words = ("run", f"t{number}", "--wait", "--", "sh", "-c", script)
            repo.parallel(*words, ok=1)

    load = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(2)]
    try:
        with ThreadPoolExecutor(10) as pool:
            list(pool.map(carry_out, range(10)))
    finally:
        for process in load:
            process.kill()
    for number in range(10):
        runs = repo.json("show", f"t{number}")["runs"][1:]
        assert [run["exit_code"] for run in runs] == codes[number]


@pytest.mark.slow
def test_never_more_than_two_at_once_though_three_runners_are_killed(repo: Repo) -> None:
    repo.parallel("config", "set", "runs.limit", "2")
    tally, go = repo.path.parent / "tally", repo.path.parent / "go"
    for number in range(12):
        end = "kill -9 $PPID" if number in (2, 5, 8) else "true"
        note = f"echo %s{number} >> {str(tally)!r}"
        hold = f"while [ ! -e {str(go)!r} ]; do sleep 0.02; done"
        script = f"{note % '+'}; {hold}; sleep 0.2; {note % '-'}; echo > f; {end}"
        repo.parallel("start", f"t{number}", "--", "sh", "-c", script)
    go.touch()
    until(lambda: tally.exists() and len(tally.read_text().split()) == 24)
    until(lambda: not any(t["status"] in ("queued", "running") for t in repo.json("list")["tasks"]))
    at_once = most = 0
    for word in tally.read_text().split():
        at_once += 1 if word[0] == "+" else -1
        most = max(most, at_once)
    assert most == 2
    assert sorted(w for w in tally.read_text().split() if w[0] == "+") == sorted(
        f"+{n}" for n in range(12)
    )
    lost = [task["name"] for task in repo.json("list")["tasks"] if task["status"] == "lost"]
    assert lost == ["t2", "t5", "t8"]


def test_says_that_a_program_does_not_exist(repo: Repo) -> None:
    repo.parallel("start", "x", "--wait", "--", "nosuchprogram", ok=1)
    task = repo.task("x")
    assert task["status"] == "failed"
    assert task["reason"] == "`nosuchprogram` was not found on PATH"


def test_keeps_all_of_the_output(repo: Repo) -> None:
    script = r"printf 'out\n'; printf 'err\n' >&2; printf '\001\377 no newline'"
    repo.start("x", script)
    log = (repo.state / "tasks" / "x" / "run-1.log").read_bytes()
    assert log == b"out\nerr\n\x01\xff no newline"


def test_keeps_a_flood_whole_and_stays_quick(repo: Repo) -> None:
    repo.start("x", "head -c 40000000 /dev/zero | tr '\\0' x; exit 3")
    log = repo.state / "tasks" / "x" / "run-1.log"
    assert log.stat().st_size == 40_000_000
    assert repo.task("x")["run"]["exit_code"] == 3
    assert len(repo.parallel("log", "x").stdout) == 40_000_000


def test_commits_what_the_command_left(repo: Repo) -> None:
    path = repo.start("x", "echo new > 'new ü.txt'; rm readme.txt", "-m", "Do it\nplease")
    log = run("git", "log", "-1", "--format=%B", cwd=path).stdout
    assert log.startswith("Do it\n\n")
    assert "Parallel-Task: x" in log
    task = repo.task("x")
    assert (task["status"], task["ahead"], task["dirty"], task["files"]) == ("ready", 1, 0, 2)


def test_runs_the_commit_hooks_and_keeps_what_they_refuse(repo: Repo) -> None:
    hook = repo.path / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho not like this\nexit 1\n")
    hook.chmod(0o755)
    path = repo.start("x", "echo new > new.txt")
    task = repo.task("x")
    assert task["status"] == "failed"
    assert task["reason"] == "its work is not committed: git commit ended with exit code 1"
    assert (path / "new.txt").read_text() == "new\n"
    assert "not like this" in repo.parallel("log", "x").stdout
    assert "can't be removed: not committed: new.txt" in repo.parallel("remove", "x", ok=1).stderr


def test_does_not_commit_a_repository_inside(repo: Repo) -> None:
    path = repo.start("x", "echo 1 > one.txt; git init -q inner; echo 2 > inner/two.txt")
    assert run("git", "ls-files", cwd=path).stdout == "one.txt\nreadme.txt\n"
    assert (path / "inner" / "two.txt").exists()
    assert repo.task("x")["dirty"] == 1


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("git checkout -q --detach; echo 1 > 1; git add 1; git commit -qm 1", "it left its branch"),
        ("git switch -qc other", "it left its branch"),
        (
            "echo a > readme.txt; git commit -qam a; git switch -qc o HEAD~; echo b > readme.txt;"
            " git commit -qam b; git switch -q parallel/x; git merge -q o || true",
            "it left a merge unfinished",
        ),
    ],
)
def test_does_not_call_an_unfinished_state_ready(repo: Repo, script: str, reason: str) -> None:
    repo.start("x", script)
    task = repo.task("x")
    assert task["status"] == "failed"
    assert task["reason"].startswith(reason)


def test_tells_empty_from_ready(repo: Repo) -> None:
    repo.start("none", "true")
    repo.start("undone", "echo 1 > f; git add f; git commit -qm 1; git revert --no-edit HEAD")
    assert [repo.task(n)["status"] for n in ("none", "undone")] == ["empty", "empty"]


@pytest.mark.slow
def test_runs_the_checks_of_the_clone(repo: Repo) -> None:
    repo.parallel("config", "set", "checks.run", '["test -f wanted", "echo fine"]')
    repo.start("without", "echo > other")
    repo.start("with", "echo > wanted")
    assert repo.task("without")["reason"] == ("the check `test -f wanted` failed with exit code 1")
    task = repo.task("with")
    assert task["status"] == "ready"
    assert [check["exit_code"] for check in task["run"]["checks"]] == [0, 0]
    assert repo.parallel("log", "with").stdout.endswith("── check: echo fine\nfine\n")


def test_warns_of_broken_constraints_and_does_not_merge_them(repo: Repo) -> None:
    repo.start("x", "mkdir src; echo > src/a; echo > b", "--touch", "src")
    task = repo.task("x")
    assert (task["status"], task["breaches"]) == ("ready", ["b"])
    assert "changed what it may not: b" in repo.parallel("merge", "x", ok=1).stderr
    repo.parallel("merge", "x", "--allow-breaches")


STUBBORN = {
    "plain": "sleep 300",
    "ignores TERM": "trap '' TERM; while :; do sleep 300; done",
    "setsid": "setsid sleep 300 & wait",
    "forks twice": "(setsid sh -c 'sleep 300 & sleep 300' &) ; sleep 300",
    "background": "sleep 300 & sleep 300",
    "no environment": "env -i setsid sleep 300 & sleep 300",
}


# An orphan whose environment carries no tag can't be found once its runner is dead.
COMBINATIONS = [
    (kind, runner)
    for kind in STUBBORN
    for runner in ("living runner", "dead runner")
    if (kind, runner) != ("no environment", "dead runner")
]
OFTEN = [
    ("setsid", "dead runner"),
    ("ignores TERM", "living runner"),
    ("forks twice", "dead runner"),
]
MARKED = [
    pair if pair in OFTEN else pytest.param(*pair, marks=pytest.mark.slow) for pair in COMBINATIONS
]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "runner"), MARKED)
def test_stops_the_whole_tree(repo: Repo, kind: str, runner: str) -> None:
    repo.parallel("start", "x", "--", "sh", "-c", STUBBORN[kind])
    until(lambda: alive(repo, "300"))
    if runner == "dead runner":
        record = repo.state / "tasks" / "x" / "run-1.json"
        os.kill(json.loads(record.read_text())["pid"], signal.SIGKILL)
        until(lambda: repo.task("x")["status"] == "lost")
        refused = repo.parallel("run", "x", "--", "true", ok=1)
        assert "live on" in refused.stderr
        assert "still runs" in repo.parallel("remove", "x", ok=1).stderr
    repo.parallel("stop", "x")
    assert alive(repo, "300") == []
    assert repo.task("x")["status"] == "stopped"
    repo.parallel("run", "x", "--wait", "--", "sh", "-c", "echo > f")
    assert repo.task("x")["status"] == "ready"


def test_ends_what_a_command_leaves_running(repo: Repo) -> None:
    repo.start("x", "sleep 300 & echo > f")
    assert alive(repo, "300") == []
    assert "which the command left running" in repo.parallel("log", "x").stdout
    assert repo.task("x")["status"] == "ready"


def test_a_killed_runner_shows_as_lost_and_the_next_run_works(repo: Repo) -> None:
    repo.parallel("start", "x", "--", "sh", "-c", "kill -9 $PPID; exit 0")
    until(lambda: repo.task("x")["status"] == "lost")
    assert repo.task("x")["reason"] == "its runner died while running"
    repo.parallel("run", "x", "--wait", "--", "sh", "-c", "echo > f")
    assert repo.task("x")["status"] == "ready"
    assert [r["number"] for r in repo.json("show", "x")["runs"]] == [1, 2]


def test_never_runs_more_than_the_limit_and_keeps_the_order(repo: Repo) -> None:
    repo.parallel("config", "set", "runs.limit", "2")
    order = repo.path.parent / "order"
    script = (
        f'echo "$GIT_PARALLEL_TASK" >> {str(order)!r}; while [ ! -e ../go ]; do sleep 0.05; done'
    )
    for number in range(6):
        repo.parallel("start", f"t{number}", "--", "sh", "-c", script)
    until(lambda: order.exists() and len(order.read_text().split()) == 2)
    statuses = [task["status"] for task in repo.json("list")["tasks"]]
    assert sorted(statuses) == ["queued"] * 4 + ["running"] * 2
    repo.parallel("stop", "t3")
    assert repo.task("t3")["status"] == "stopped"
    (repo.path.parent / "my répo.parallel" / "go").touch()
    repo.parallel("wait", *(f"t{n}" for n in range(6)), ok=1)
    assert sorted(order.read_text().split()) == ["t0", "t1", "t2", "t4", "t5"]
    records = [repo.state / "tasks" / f"t{n}" / "run-1.json" for n in (2, 4, 5)]
    began = [json.loads(record.read_text())["started"] for record in records]
    assert began == sorted(began)  # in which order they had a slot: the last two then run a race


@pytest.mark.slow
def test_the_killed_free_their_slots(repo: Repo) -> None:
    repo.parallel("config", "set", "runs.limit", "2")
    tally = repo.path.parent / "tally"
    script = f"echo + >> {str(tally)!r}; kill -9 $PPID"
    for number in range(5):
        repo.parallel("start", f"t{number}", "--", "sh", "-c", script)
    until(lambda: [t["status"] for t in repo.json("list")["tasks"]] == ["lost"] * 5)
    assert tally.read_text() == "+\n" * 5


def test_ends_a_run_that_takes_too_long(repo: Repo) -> None:
    repo.parallel("config", "set", "runs.timeout_min", "0.01")
    repo.start("x", "sleep 300")
    task = repo.task("x")
    assert task["reason"] == "it ran longer than 0.01 min"
    assert alive(repo, "300") == []


@pytest.mark.slow
def test_runs_the_same_again(repo: Repo) -> None:
    path = repo.start("x", "cat >> got", "-m", "first")
    repo.parallel("run", "x", "--wait")
    assert (path / "got").read_text().count("first") == 2
    repo.parallel("run", "x", "-m", "second", "--wait")
    assert (path / "got").read_text().count("second") == 1
    assert len(repo.json("show", "x")["runs"]) == 3


@pytest.mark.slow
def test_refuses_two_runs_at_once(repo: Repo) -> None:
    repo.parallel("start", "x", "--", "sleep", "300")
    assert "being worked on" in repo.parallel("run", "x", "--", "true", ok=1).stderr
    assert "is running" in repo.parallel("remove", "x", ok=1).stderr
    assert "it is running" in repo.parallel("merge", "x", ok=1).stderr
    repo.parallel("stop", "x")


@pytest.mark.slow
def test_waits_for_any_and_for_a_time(repo: Repo) -> None:
    repo.parallel("start", "slow", "--", "sleep", "300")
    repo.parallel("start", "quick", "--", "sh", "-c", "echo > f")
    repo.parallel("wait", "--any", "slow", "quick")
    late = repo.parallel("wait", "--timeout", "0.1", ok=1)
    assert "still not ended: slow" in late.stderr
    repo.parallel("stop", "slow")
    assert repo.parallel("wait", "slow", ok=1).stderr.startswith("○ slow is stopped")


def test_follows_the_log(repo: Repo) -> None:
    repo.parallel("start", "x", "--", "sh", "-c", "echo one; sleep 0.3; echo two")
    assert repo.parallel("log", "-f", "x").stdout == "one\ntwo\n"


@pytest.mark.slow
def test_executes_in_the_worktrees(repo: Repo) -> None:
    for name in ("a", "b"):
        repo.start(name, "true")
    done = repo.parallel("exec", "--all", "--", "sh", "-c", 'echo "$GIT_PARALLEL_TASK ${PWD##*/}"')
    assert done.stdout == "a a\nb b\n"
    assert repo.parallel("exec", "a", "--", "sh", "-c", "exit 7", ok=7).stdout == ""


def test_survives_the_terminal_that_started_it(repo: Repo, tmp_path: Path) -> None:
    if run("sh", "-c", "command -v tmux", cwd=tmp_path, ok=None).returncode:
        pytest.skip("tmux is not installed")
    server = ("tmux", "-L", f"t{os.getpid()}", "-f", "/dev/null")
    script = "sleep 0.5; echo > done.txt"
    command = f"'{PROGRAM}' start x -- sh -c '{script}'; sleep 300"
    run(*server, "new-session", "-d", "-s", "s", "-c", repo.path, command, cwd=tmp_path)
    until((repo.state / "tasks" / "x" / "run-1.json").exists)
    run(*server, "kill-server", cwd=tmp_path)
    repo.parallel("wait", "x")
    assert repo.task("x")["status"] == "ready"


def test_survives_the_hook_that_started_it(repo: Repo) -> None:
    hook = repo.path / ".git" / "hooks" / "post-commit"
    script = "env | grep ^GIT_ > told; sleep 0.3; echo > done.txt"
    hook.write_text(f"#!/bin/sh\n'{PROGRAM}' start x -- sh -c '{script}' && rm \"$0\"\n")
    hook.chmod(0o755)
    repo.git("commit", "--quiet", "--allow-empty", "-m", "Set it off")
    repo.parallel("wait", "x")
    assert repo.task("x")["status"] == "ready"
    told = repo.git("show", "parallel/x:told")
    assert "GIT_DIR" not in told and "GIT_INDEX_FILE" not in told


def test_runs_the_configured_agent(repo: Repo, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    agent = programs / "claude"
    agent.write_text('#!/bin/sh\necho "$@" > args.txt\ncat > told.txt\n')
    agent.chmod(0o755)
    env = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    done = repo.parallel("start", "x", "-m", "Fix it", "--wait", env=env)
    path = Path(done.stdout.strip())
    assert (path / "told.txt").read_text().startswith("Fix it\n")
    assert (path / "args.txt").read_text().startswith("-p --output-format stream-json")
    assert repo.task("x")["agent"] == "claude"
    missing = repo.parallel("start", "y", "-m", "Fix it", "--agent", "codex", ok=1)
    assert "needs the program `codex`, which is not on PATH" in missing.stderr


# A run that takes long: its runner rests as a small program, and is itself again at the end.


def resting(repo: Repo, script: str) -> int:
    """Start a command that takes long; the process id of its runner, once that rests."""
    repo.parallel("start", "x", "--", "sh", "-c", script)
    until((repo.state / "tasks" / "x" / "resting.json").exists)
    record = json.loads((repo.state / "tasks" / "x" / "run-1.json").read_text())
    pid = int(record["pid"])
    until(lambda: b"waiter.py" in Path(f"/proc/{pid}/cmdline").read_bytes())
    return pid


@pytest.mark.skipif(sys.platform != "linux", reason="it is read from /proc")
def test_a_runner_that_waits_needs_little_memory(repo: Repo) -> None:
    pid = resting(repo, "sleep 60")
    status = Path(f"/proc/{pid}/status").read_text()
    resident_kib = int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0])
    assert resident_kib < 15 * 1024
    assert repo.task("x")["status"] == "running"
    repo.parallel("stop", "x")
    assert repo.task("x")["status"] == "stopped"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "code", "reason"),
    [
        ("exit 0", 0, None),
        ("exit 7", 7, "it ended with exit code 7"),
        ("kill -9 $$", -9, "it was ended by SIGKILL"),
    ],
)
def test_what_ends_after_a_rest_is_recorded_exactly(
    repo: Repo, end: str, code: int, reason: str | None
) -> None:
    pid = resting(repo, f"while [ ! -e go ]; do sleep 0.05; done; rm go; echo > f; {end}")
    (Path(repo.parallel("path", "x").stdout.strip()) / "go").touch()
    repo.parallel("wait", "x", ok=(0, 1))
    task = repo.task("x")
    assert task["run"]["exit_code"] == code
    assert task.get("reason") == reason
    record = json.loads((repo.state / "tasks" / "x" / "run-1.json").read_text())
    assert record["pid"] == pid  # it was the same process all along
    assert not (repo.state / "tasks" / "x" / "resting.json").exists()
    if code == 0:
        assert task["status"] == "ready"
        assert repo.git("show", "parallel/x:f") == ""


@pytest.mark.slow
def test_a_rest_ends_at_the_time_limit(repo: Repo) -> None:
    repo.parallel("config", "set", "runs.timeout_min", "0.06")
    resting(repo, "trap '' TERM; setsid sleep 97531 & while :; do sleep 1; done")
    repo.parallel("wait", "x", ok=1)
    assert repo.task("x")["reason"] == "it ran longer than 0.06 min"
    assert "97531" not in os.popen("ps -eo args").read()


@pytest.mark.slow
def test_orphans_are_ended_after_a_rest(repo: Repo) -> None:
    resting(repo, "(sleep 86421 &) ; sleep 2.5; echo > f")
    repo.parallel("wait", "x")
    assert re.search(r"── ended sleep \(\d+\), which the command", repo.parallel("log", "x").stdout)
    assert "86421" not in os.popen("ps -eo args").read()


@pytest.mark.slow
def test_a_runner_killed_at_rest_shows_as_lost(repo: Repo) -> None:
    pid = resting(repo, "sleep 60")
    os.kill(pid, signal.SIGKILL)
    until(lambda: repo.task("x")["status"] == "lost")
    told = repo.parallel("run", "x", ok=1).stderr
    assert "processes of `x` live on: " in told
    repo.parallel("stop", "x")


@pytest.mark.slow
def test_a_rest_that_is_forgotten_leaves_nothing_running(repo: Repo) -> None:
    resting(repo, "while [ ! -e go ]; do sleep 0.05; done; setsid sleep 75319 & echo > f")
    (repo.state / "tasks" / "x" / "resting.json").write_text("{")
    (Path(repo.parallel("path", "x").stdout.strip()) / "go").touch()
    repo.parallel("wait", "x", ok=1)
    assert "resting.json" in repo.task("x")["reason"]
    assert "75319" not in os.popen("ps -eo args").read()
