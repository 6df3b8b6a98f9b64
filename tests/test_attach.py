"""Interactive runs: a terminal that the runner owns, and people who attach to it and leave."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from git_parallel.screen import painted, text_of
from git_parallel.spoken import Asked, Listener, Told, is_typed
from git_parallel.terminal import POSITION, Size, connect
from tests.conftest import Repo, mostly_slow, until
from tests.people import DETACH, Person

SHELL = ("sh", "-c", 'stty -echo; while read -r line; do eval "$line"; done')
BLOCKED = "\\033]7501;state=blocked:app=x:kind=permission:msg=%s\\033\\\\"


@pytest.fixture
def attach(repo: Repo) -> Callable[..., Person]:
    def begin(*words: str, rows: int = 24, columns: int = 80) -> Person:
        command = ["git", "parallel", "attach", *words]
        return Person(command, repo.path, rows=rows, columns=columns)

    return begin


def start(repo: Repo, *command: str) -> None:
    repo.parallel("start", "x", "--interactive", "--", *(command or SHELL))
    until(lambda: repo.task("x")["status"] != "preparing")
    until(lambda: socket_of(repo).exists())


def socket_of(repo: Repo) -> Path:
    return repo.state / "tasks" / "x" / "terminal"


def status(repo: Repo) -> str:
    return str(repo.task("x")["status"])


def test_says_how_to_attach(repo: Repo) -> None:
    told = repo.parallel("start", "x", "--interactive", "--", "cat").stderr
    assert told.splitlines()[-1] == (
        "✓ x started on parallel/x, to be merged into main, with cat ↳ git parallel attach x"
    )
    repo.parallel("stop", "x")


def test_attaches_detaches_and_attaches_again(repo: Repo, attach: Callable[..., Person]) -> None:
    start(repo)
    with attach("x") as person:
        person.sees("attached to x; Ctrl-\\ detaches")
        person.type("echo hello $((40 + 2))\r")
        person.sees("hello 42")
        person.type(DETACH)
        assert person.leaves() == 0
        person.sees("x goes on ↳ git parallel attach x")
        assert b"\x1b[?1049l" in person.printed.rpartition(b"hello 42")[2]  # as it was before
    assert status(repo) == "running"
    with attach("x") as again:
        again.sees("hello 42")
        again.type("exit\r")
        assert again.leaves() == 0
        again.sees("x is empty: it changed nothing")


@pytest.mark.slow
def test_what_it_did_is_collected_and_judged(repo: Repo, attach: Callable[..., Person]) -> None:
    start(repo)
    with attach("x") as person:
        person.type("echo new > note.txt; exit\r")
        person.sees("x is ready ↳ git parallel review x")
    assert repo.git("show", "parallel/x:note.txt") == "new"
    assert not socket_of(repo).exists()


def test_two_are_attached_at_once_and_both_see_and_type(
    repo: Repo, attach: Callable[..., Person]
) -> None:
    start(repo)
    with attach("x") as one, attach("x") as other:
        one.sees("attached")
        other.sees("attached")
        until(lambda: b"\x1b[2J" in one.printed and b"\x1b[2J" in other.printed)
        one.type("echo from-$((1 + 0))\r")
        other.sees("from-1")
        other.type("echo from-$((1 + 1))\r")
        one.sees("from-2")
    repo.parallel("stop", "x")


@pytest.mark.slow
def test_goes_on_when_the_terminal_is_closed(repo: Repo, attach: Callable[..., Person]) -> None:
    start(repo)
    person = attach("x")
    person.type("echo here-$((1 + 1))\r")
    person.sees("here-2")
    person.close()
    with attach("x") as again:
        again.sees("here-2")
    assert status(repo) == "running"
    repo.parallel("stop", "x")


@pytest.mark.slow
def test_ends_with_its_terminal_where_nobody_may_tell_it_so(repo: Repo, tmp_path: Path) -> None:
    start(repo)
    alone = "import pty, signal, sys; signal.signal(1, signal.SIG_IGN); pty.spawn(sys.argv[1:])"
    window = subprocess.Popen(
        [sys.executable, "-c", alone, "git", "parallel", "attach", "x"],
        cwd=repo.path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert window.stdin and window.stdout
    window.stdin.write(b"echo here-$((1 + 1))\r")
    window.stdin.flush()
    seen = b""
    while b"here-2" not in seen:
        seen += os.read(window.stdout.fileno(), 1 << 16)
    inside = psutil.Process(window.pid).children(recursive=True)
    window.kill()
    window.communicate()
    assert inside
    until(lambda: not any(process.is_running() for process in inside))
    assert list(tmp_path.glob("git-parallel-bug-*")) == []
    assert status(repo) == "running"
    repo.parallel("stop", "x")


def test_survives_the_terminal_that_it_was_started_from(
    repo: Repo, attach: Callable[..., Person]
) -> None:
    words = ["git", "parallel", "start", "x", "--interactive", "--", *SHELL]
    starter = Person(words, repo.path, rows=33, columns=111)
    starter.sees("x started")
    assert starter.leaves() == 0
    until(socket_of(repo).exists)
    starter.close()
    log = repo.state / "tasks" / "x" / "run-1.log"
    assert b"\x1b[8;33;111t" in log.read_bytes()  # it had the starter's size
    with attach("x") as person:
        person.type("echo alive-$((1 + 1))\r")
        person.sees("alive-2")
    repo.parallel("stop", "x")


def test_the_size_is_that_of_who_looks(repo: Repo, attach: Callable[..., Person]) -> None:
    start(repo)
    with attach("x", rows=30, columns=100) as person:
        person.sees("attached")
        until(lambda: b"\x1b[2J" in person.printed)
        person.type("stty size\r")
        person.sees("30 100")
        person.resize(40, 120)
        until(lambda: _seen_size(person, "40 120"))
    repo.parallel("stop", "x")


def _seen_size(person: Person, size: str) -> bool:
    person.type("stty size\r")
    return size in person.screen


@pytest.mark.slow
def test_the_program_has_a_terminal_of_its_own(repo: Repo, attach: Callable[..., Person]) -> None:
    script = "[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && tty > /dev/tty && echo $TERM-$COLUMNS.; read x"
    start(repo, "sh", "-c", script)
    with attach("x") as person:
        person.sees("/dev/")
        person.sees("xterm-256color-.")
    repo.parallel("stop", "x")


def test_ctrl_c_reaches_the_program_and_not_us(repo: Repo, attach: Callable[..., Person]) -> None:
    start(repo, "sh", "-c", "trap 'echo got it' INT; echo begun; while :; do sleep 1; done")
    with attach("x") as person:
        person.sees("begun")
        person.type("\x03")
        person.sees("got it")
        person.type(DETACH)
        assert person.leaves() == 0
    repo.parallel("stop", "x")


@pytest.mark.slow
def test_another_key_may_detach(repo: Repo, attach: Callable[..., Person]) -> None:
    repo.parallel("config", "set", "attach.detach", "ctrl-q")
    start(repo)
    with attach("x") as person:
        person.sees("Ctrl-Q detaches")
        until(lambda: b"\x1b[2J" in person.printed)
        person.type("\x1b[113;5u")  # as a terminal in kitty's protocol sends it
        assert person.leaves() == 0
    repo.parallel("config", "set", "attach.detach", "q")
    with attach("x") as person:
        person.sees("✗ attach.detach is `q`")
        person.sees('↳ it must be a key such as "ctrl-q"')
    repo.parallel("stop", "x")


def test_the_terminal_is_left_as_it_was(repo: Repo, attach: Callable[..., Person]) -> None:
    start(repo, "sh", "-c", r"printf '\033[?1049h\033[?2004h\033[?1000h\033[>1u\033[31mx'; read x")
    with attach("x") as person:
        until(lambda: b"\x1b[2J" in person.printed)
        until(lambda: b"\x1b[?2004h" in person.printed and b"\x1b[?1000h" in person.printed)
        assert b"\x1b[>1u" in person.printed
        until(lambda: not termios.tcgetattr(person.end)[3] & termios.ICANON)
        person.type(DETACH)
        assert person.leaves() == 0
        assert termios.tcgetattr(person.end)[:4] == person.before[:4]
        until(lambda: b"goes on" in person.printed)
        after = person.printed.rpartition(b"\x1b[r")[2]
        for off in (b"\x1b[?2004l", b"\x1b[?1000l", b"\x1b[<u", b"\x1b[?1049l"):
            assert off in after
    repo.parallel("stop", "x")


def test_colours_and_text_are_painted_again(repo: Repo, attach: Callable[..., Person]) -> None:
    start(repo, "sh", "-c", r"printf '\033[31mrot\033[0m und ünïcode 漢字\n'; read x")
    with attach("x") as person:
        person.sees("rot und ünïcode 漢")
        assert person.colour_of("rot") == "red"
    repo.parallel("stop", "x")


def test_refuses_what_has_no_terminal(repo: Repo, attach: Callable[..., Person]) -> None:
    told = repo.parallel("attach", "x", ok=1).stderr
    assert told == "✗ there is no task `x`\n↳ git parallel list\n"
    repo.parallel("start", "x", "--", "sleep", "60")
    told = repo.parallel("attach", "x", ok=1).stderr
    assert told == "✗ attach needs a terminal on its input and output\n↳ git parallel log x\n"
    with attach("x") as person:
        person.sees("✗ run 1 of `x` has no terminal")
        person.sees("↳ git parallel log -f x")
    repo.parallel("stop", "x")
    with attach("x") as person:
        person.sees("✗ `x` has no run under way")
        person.sees("↳ git parallel run x --interactive")


@pytest.mark.slow
def test_waits_for_a_run_that_is_not_there_yet(repo: Repo, attach: Callable[..., Person]) -> None:
    repo.parallel("config", "set", "runs.limit", "1")
    repo.parallel("start", "first", "--", "sleep", "60")
    repo.parallel("start", "x", "--interactive", "--", *SHELL)
    with attach("x") as person:
        person.sees("x is queued")
        repo.parallel("stop", "first")
        person.sees("attached to x")
    repo.parallel("stop", "x")


@pytest.mark.slow
def test_start_with_wait_attaches_at_once(repo: Repo) -> None:
    words = ["git", "parallel", "start", "x", "--interactive", "--wait", "--", *SHELL]
    with Person(words, repo.path) as person:
        person.sees("attached to x")
        person.type("echo new > f; exit\r")
        person.sees("x is ready")
        assert person.leaves() == 0


@pytest.mark.slow
def test_a_retry_is_interactive_again(repo: Repo) -> None:
    start(repo)
    repo.parallel("stop", "x")
    repo.parallel("run", "x")
    until(socket_of(repo).exists)
    assert repo.json("show", "x")["runs"][-1]["number"] == 2
    repo.parallel("stop", "x")


@pytest.mark.slow
def test_stop_ends_what_does_not_want_to(repo: Repo, attach: Callable[..., Person]) -> None:
    script = "trap '' TERM HUP; setsid sleep 98765 & echo up; while :; do sleep 1; done"
    start(repo, "sh", "-c", script)
    with attach("x") as person:
        person.sees("up")
        repo.parallel("stop", "x")
        person.sees("x is stopped")
    listed = os.popen("ps -eo args").read()
    assert "sleep 98765" not in listed


@pytest.mark.slow
def test_the_log_is_what_could_be_read(repo: Repo) -> None:
    repo.parallel("config", "set", "checks.run", '["echo one; echo two"]')
    script = r"printf 'abc\rX\n\033[31mred\033[0m\n\033[2Aup'; echo > f"
    repo.parallel("start", "x", "--interactive", "--", "sh", "-c", script)
    until(lambda: status(repo) == "ready")
    shown = repo.parallel("log", "x").stdout
    assert "upc\nred" in shown
    assert "\x1b" not in shown
    assert shown.endswith("── check: echo one; echo two\none\ntwo\n")
    assert "\x1b[31mred" in repo.parallel("log", "x", "--raw").stdout


def test_following_the_log_points_to_the_terminal(repo: Repo) -> None:
    start(repo)
    told = repo.parallel("log", "-f", "x", ok=1).stderr
    assert told == "✗ run 1 of `x` is on a terminal\n↳ git parallel attach x\n"
    repo.parallel("stop", "x")


@pytest.mark.slow
@pytest.mark.parametrize("size", [2_000_000, pytest.param(40_000_000, marks=pytest.mark.slow)])
def test_a_flood_reaches_log_and_person(
    repo: Repo, attach: Callable[..., Person], size: int
) -> None:
    script = f"read x; head -c {size} /dev/zero | tr '\\0' a; echo; echo all-of-it; read x"
    start(repo, "sh", "-c", script)
    with attach("x") as person:
        until(lambda: b"\x1b[2J" in person.printed)
        person.type("\r")
        person.sees("all-of-it")
    assert (repo.state / "tasks" / "x" / "run-1.log").stat().st_size > size
    repo.parallel("stop", "x")


@pytest.mark.slow
def test_somebody_who_reads_nothing_holds_nobody_up(
    repo: Repo, attach: Callable[..., Person]
) -> None:
    start(repo)
    with connect(socket_of(repo)) as lazy, attach("x") as person:
        until(lambda: b"\x1b[2J" in person.printed)
        person.type("head -c 9000000 /dev/zero | tr '\\0' a; echo; echo all-$((1 + 1))\r")
        person.sees("all-2")
        assert lazy.fileno() >= 0
    repo.parallel("stop", "x")


NONSENSE = [b"t\xff\xff\xff\xff", b"?\0\0\0\1x", b"s\0\0\0\1x", b"t"]


@pytest.mark.parametrize("sent", mostly_slow(NONSENSE, quick=NONSENSE[:2]))
def test_nonsense_on_the_socket_harms_nobody(
    repo: Repo, attach: Callable[..., Person], sent: bytes
) -> None:
    start(repo)
    with connect(socket_of(repo)) as stranger:
        assert len(stranger.recv(POSITION.size, socket.MSG_WAITALL)) == POSITION.size
        stranger.sendall(sent)
    with attach("x") as person:
        person.type("echo fine-$((1 + 1))\r")
        person.sees("fine-2")
    repo.parallel("stop", "x")


def test_only_its_owner_can_connect(repo: Repo) -> None:
    start(repo)
    assert socket_of(repo).stat().st_mode & 0o777 == 0o600
    repo.parallel("stop", "x")


@pytest.mark.slow
def test_the_socket_may_lie_deep(make_repo: Callable[..., Repo], tmp_path: Path) -> None:
    repo = make_repo(at=tmp_path / ("ä" * 60) / ("b" * 90) / "r")
    start(repo)
    assert len(os.fsencode(socket_of(repo))) > 200
    with Person(["git", "parallel", "attach", "x"], repo.path) as person:
        person.type("echo deep-$((1 + 1))\r")
        person.sees("deep-2")
    repo.parallel("stop", "x")


@pytest.mark.slow
def test_a_runner_that_dies_takes_the_terminal_along(
    repo: Repo, attach: Callable[..., Person]
) -> None:
    start(repo)
    pid = json.loads((repo.state / "tasks" / "x" / "run-1.json").read_text())["pid"]
    with attach("x") as person:
        until(lambda: b"\x1b[2J" in person.printed)
        os.kill(pid, signal.SIGKILL)
        person.sees("x is lost: its runner died while running")
    repo.parallel("stop", "x")
    repo.parallel("run", "x")  # what is left of the socket is in nobody's way
    until(lambda: status(repo) == "running")
    repo.parallel("stop", "x")


# What the program asks of a person.


def test_waiting_is_told_with_its_question(repo: Repo, attach: Callable[..., Person]) -> None:
    told = repo.path.parent / "told"
    notice = ["sh", "-c", 'echo "$GIT_PARALLEL_TASK $GIT_PARALLEL_STATUS" >> "$0"', str(told)]
    repo.parallel("config", "set", "notify.command", json.dumps(notice))
    start(repo)
    with attach("x") as person:
        until(lambda: b"\x1b[2J" in person.printed)
        person.type(f"printf '{BLOCKED % 'TWF5IEkgZGVsZXRlIGl0Pw=='}'\r")
        until(lambda: status(repo) == "waiting")
    task = repo.task("x")
    assert task["reason"] == "May I delete it?"
    assert task["notice"] == {"status": "waiting", "reason": "May I delete it?"}
    assert "x is waiting, " in repo.parallel("list").stdout
    assert "↳ git parallel attach x" in repo.parallel("list").stdout
    until(lambda: told.exists() and told.read_text() == "x waiting\n")
    waited = repo.parallel("wait", "x", "--timeout", "0.2", ok=1).stderr
    assert waited.startswith("▲ x is waiting: May I delete it? ↳ git parallel attach x\n")
    with attach("x") as person:
        person.type("printf '\\033]7501;state=working:app=x\\007'\r")
        until(lambda: status(repo) == "running")
    assert "notice" not in repo.task("x")
    repo.parallel("stop", "x")


def test_hooks_of_an_agent_tell_its_terminal(repo: Repo) -> None:
    script = """\
echo '{"tool_name": "Bash", "tool_input": {"command": "rm -rf build"}}' \
    | setsid sh "$GIT_PARALLEL_TELL" blocked
sleep 60
"""
    config = repo.path / ".git" / "parallel" / "config.toml"
    config.parent.mkdir(exist_ok=True)
    config.write_text(
        f"[agents.mine]\ncommand = ['true']\n[agents.mine.interactive]\n"
        f"command = ['sh', '-c', '''{script}''']\n"
    )
    repo.parallel("start", "x", "--interactive", "--agent", "mine", "-m", "Clean up")
    until(lambda: status(repo) == "waiting")
    assert repo.task("x")["reason"] == "may it use Bash rm -rf build?"
    repo.parallel("stop", "x")


def test_an_agent_without_an_interactive_command_is_refused(repo: Repo) -> None:
    config = repo.path / ".git" / "parallel" / "config.toml"
    config.parent.mkdir(exist_ok=True)
    config.write_text("[agents.mine]\ncommand = ['true']\n")
    words = ("start", "x", "--interactive", "--agent", "mine", "-m", "Clean up")
    told = repo.parallel(*words, ok=2).stderr
    assert told.splitlines()[0] == "✗ the agent `mine` has no interactive command"
    assert repo.names() == []


def test_the_brief_is_an_argument_where_a_person_answers(repo: Repo) -> None:
    config = repo.path / ".git" / "parallel" / "config.toml"
    config.parent.mkdir(exist_ok=True)
    script = 'printf "%s\\0" "$@" > args; read x'
    config.write_text(
        "[agents.mine]\ncommand = ['true']\nmodel = ['--model', '{model}']\n"
        "[agents.mine.interactive]\n"
        f"command = ['sh', '-c', '{script}', 'sh', '--brief', '{{brief}}', '{{file}}']\n"
    )
    words = ("start", "x", "--interactive", "--agent", "mine", "-m", 'Clean {file} "$(up)"')
    path = Path(repo.parallel(*words).stdout.strip())
    until(lambda: (path / "args").exists() and (path / "args").read_text().count("\0") == 3)
    option, brief, file, _ = (path / "args").read_text().split("\0")
    assert option == "--brief"
    assert brief.startswith('Clean {file} "$(up)"\n\n---\n')
    assert Path(file).read_text() == brief
    repo.parallel("stop", "x")


# The pure parts.


def heard(*pieces: bytes) -> list[Told | Asked]:
    listener = Listener()
    return [said for piece in pieces for said in listener.hear(piece)]


@pytest.mark.parametrize(
    ("printed", "questions"),
    [
        (b"\x1b]7501;state=blocked:app=a:msg=TWF5IEk/\x07", ["May I?"]),
        (b"\x1b]7501;state=blocked:app=codex:kind=permission\x1b\\", ["it asks something"]),
        (b"\x1b]7501;state=blocked:msg=not base64!\x07", ["it asks something"]),
        (b"\x1b]7501;state=done:app=a\x07", ["its turn is over"]),
        (
            b"\x1b]9;All is done.\x07\x1b]7501;state=done:app=a\x07",
            ["All is done.", "its turn is over: All is done."],
        ),
        (b"\x1b]7501;state=blocked\x07\x1b]7501;state=working\x07", ["it asks something", ""]),
        (b"\x1b]7501;state=clear\x07\x1b]7501;state=idle\x07", ["", ""]),
        (b"\x1b]9;4;1;50\x07", []),  # progress
        (b"\x1b]0;a title\x07\x1b[31mred\x1b[0m", []),
        ("\x1b]9;Frage: später?\x07".encode(), ["Frage: später?"]),
        (b"\x1b]7501;state=blocked:json=eyJtZXNzYWdlIjogIkhpIn0=\x07", ["Hi"]),
        (b"\x1b]7501;state=blocked:json=bm8ganNvbg==\x07", ["it asks something"]),
        (b"\x1b]7501;state=blocked:json=WzFd\x07", ["it asks something"]),
        (b"\x1b]7501;\x07\x1b]7501;nonsense:=:\x07", ["", ""]),
    ],
)
def test_hears_what_a_program_needs(printed: bytes, questions: list[str]) -> None:
    assert [said.question for said in heard(printed) if isinstance(said, Told)] == questions
    one_by_one = [bytes([byte]) for byte in printed]
    found = [said.question for said in heard(*one_by_one) if isinstance(said, Told)]
    assert found == questions


@pytest.mark.parametrize(
    ("asked", "answer", "always"),
    [
        (b"\x1b[6n", b"\x1b[1;1R", False),
        (b"\x1b[c", b"\x1b[?62;22c", False),
        (b"\x1b]7501;?\x1b\\", b"\x1b]7501;?\x1b\\", True),
    ],
)
def test_answers_what_a_program_asks_its_terminal(
    asked: bytes, answer: bytes, always: bool
) -> None:
    for pieces in ([b"text" + asked + b"text"], [bytes([byte]) for byte in asked]):
        assert heard(*pieces) == [Asked(answer, always)]


def test_an_endless_sequence_is_not_kept() -> None:
    listener = Listener()
    assert list(listener.hear(b"\x1b]9;" + b"a" * (1 << 20))) == []
    assert [s for s in listener.hear(b"\x07\x1b]9;b\x07") if isinstance(s, Told)][-1] == Told("b")


@pytest.mark.parametrize(
    ("content", "typed"),
    [
        (b"y", True),
        (b"\r", True),
        (b"\x1b[I", False),
        (b"\x1b[1;1R\x1b[?62;22c", False),
        (b"\x1b]11;rgb:0000/0000/0000\x1b\\", False),
        (b"\x1b[Ay", True),
    ],
)
def test_tells_what_is_typed_from_what_a_terminal_says(content: bytes, typed: bool) -> None:
    assert is_typed(content) is typed


def test_text_of_a_screen_that_was_drawn_over() -> None:
    assert text_of(b"\x1b[8;5;20tone\r\ntwo\x1b[1;1HONE\x1b[3;1Hend") == "ONE\ntwo\nend"


def test_a_screen_that_got_smaller_keeps_the_lines_at_the_cursor() -> None:
    lines = b"\r\n".join(b"line %d" % n for n in range(10))
    shown = painted(b"\x1b[8;20;40t" + lines, Size(4, 40))
    assert re.findall(rb"line \d", shown) == [b"line 6", b"line 7", b"line 8", b"line 9"]


def test_painting_brings_modes_back() -> None:
    printed = b"\x1b[?2004h\x1b[?1000h\x1b[?1000l\x1b[>1u\x1b[>5u\x1b[<u\x1b[?25l\x1b[?2026h"
    shown = painted(printed, Size())
    assert b"\x1b[?2004h" in shown
    assert b"\x1b[?1000l" in shown
    assert b"\x1b[>1u" in shown
    assert b"\x1b[>5u" not in shown
    assert b"\x1b[?25l" in shown
    assert b"?2026" not in shown
