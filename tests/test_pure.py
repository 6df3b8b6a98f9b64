"""The parts that need no git: names, status, history, patterns, briefs."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from git_parallel.brief import Neighbour, compose, first_line, load_template
from git_parallel.changes import breaches
from git_parallel.commands.log import DANGEROUS, _harmless
from git_parallel.errors import UsageError
from git_parallel.history import History
from git_parallel.output import printable, table
from git_parallel.task import (
    Phase,
    Run,
    Slug,
    Status,
    Task,
    TaskName,
    parse_name,
    silence,
    slug_of,
    status_of,
)
from git_parallel.wording import last_words

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["fix-login", "a", "feat/x", "x.1", "über", "a_b", "1", "日本", "A/B/c"]
)
def test_takes_a_name_that_git_and_file_systems_take(text: str) -> None:
    assert parse_name(text) == text


HARMFUL = """
    ../x|-x|a b|$(touch pwned)|a\nb|x.lock|a.lock/b|@|🎉|.x|a/.b|a//b|a/|/a|a..b|x~1|a:b|a\\b|*|x?|[
    |HEAD|x.|a\x1b[31m|\udc80|a\x00b|Head
"""


@pytest.mark.parametrize(
    "text", ["", "a" * 101, *HARMFUL.strip().replace("\n    |", "|").split("|")]
)
def test_refuses_a_name_that_could_do_harm(text: str) -> None:
    with pytest.raises(UsageError):
        parse_name(text)


def test_composes_a_decomposed_name() -> None:
    assert parse_name("u\u0308ber") == "über"


@pytest.mark.parametrize(
    ("seen_s", "set_s", "real_s"),
    [
        (60, 0, 60),
        (60 + 9000, 9000, 60),  # it was set forward, or the machine slept, since it last printed
        (60, 9000, 60),  # before that
        (60 - 9000, -9000, 60),  # back, since then
        (60, -9000, 60),
    ],
)
def test_a_clock_that_was_set_makes_no_silence(seen_s: float, set_s: float, real_s: float) -> None:
    assert silence(seen_s, set_s) == real_s


def test_makes_a_flat_slug_that_no_other_task_has() -> None:
    assert slug_of(TaskName("feat/x"), frozenset()) == "feat-x"
    assert slug_of(TaskName("feat/X"), frozenset({"feat-x"})) == "feat-X-2"


def run(**changes: object) -> Run:
    """A run that has ended well, but for the changes."""
    known = {"number": 1, "agent": None, "command": ("true",), "phase": Phase.ENDED, "queued": NOW}
    return Run(**{**known, "result": Status.READY, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("last", "facts", "expected"),
    [
        (None, {}, Status.IDLE),
        (None, {"alive": True}, Status.PREPARING),
        (None, {"made": False}, Status.LOST),
        (run(phase=Phase.QUEUED, result=None), {"alive": True}, Status.QUEUED),
        (run(phase=Phase.PREPARING, result=None), {"alive": True}, Status.PREPARING),
        (run(phase=Phase.RUNNING, result=None), {"alive": True}, Status.RUNNING),
        (run(phase=Phase.CHECKING, result=None), {"alive": True}, Status.RUNNING),
        (run(phase=Phase.RUNNING, result=None), {}, Status.LOST),
        (run(), {}, Status.READY),
        (run(), {"merged": True}, Status.MERGED),
        (run(), {"merged": True, "alive": True}, Status.RUNNING),
        (run(result=Status.FAILED), {}, Status.FAILED),
        (run(result=Status.EMPTY), {}, Status.EMPTY),
        (run(result=Status.EMPTY), {"moved_on": True}, Status.IDLE),
        (run(result=Status.STOPPED), {}, Status.STOPPED),
    ],
)
def test_derives_the_status(last: Run | None, facts: dict[str, bool], expected: Status) -> None:
    known = {"alive": False, "merged": False, "moved_on": False, **facts}
    assert status_of(last, **known)[0] is expected


def graph(text: str) -> History:
    """A history from `commit:parent,parent` words."""
    pairs = (word.partition(":") for word in text.split())
    return History({c: tuple(p for p in parents.split(",") if p) for c, _, parents in pairs}, "f")


def test_counts_what_is_ahead_and_behind() -> None:
    history = graph("a:f b:a m:f n:m")
    assert (history.ahead("b", "n"), history.ahead("n", "b")) == (2, 2)
    assert history.ahead("b", "b") == 0


def test_finds_the_merge_base_above_and_at_the_floor() -> None:
    history = graph("a:f b:a m:f n:m,a")
    assert history.merge_base("b", "n") == "a"
    assert history.merge_base("b", "m") == "f"
    assert graph("a: b:").merge_base("a", "b") is None


def test_finds_the_commit_that_brought_a_tip_in() -> None:
    history = graph("t:f m:f n:m,t o:n")
    assert history.carrier("o", "t") == "n"
    assert history.carrier("m", "t") is None
    assert graph("t:f u:t").carrier("u", "t") == "t"


def task(**changes: object) -> Task:
    """A task, with constraints."""
    known = {
        "name": "x",
        "slug": Slug("x"),
        "branch": "parallel/x",
        "target": "main",
        "base": "f",
        "path": "/x",
        "slot": 1,
        "ports": (1,),
        "created": NOW,
    }
    return Task(**{**known, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("touch", "never", "broken"),
    [
        ((), (), []),
        (("src",), (), ["docs/a.md", "top.txt"]),
        (("src/",), (), ["docs/a.md", "top.txt"]),
        (("./src/.",), ("./src/./deep",), ["docs/a.md", "src/deep/b.py", "top.txt"]),
        ((".",), (), []),
        (("./",), ("./*.txt",), ["top.txt"]),
        (("",), (), ["docs/a.md", "src/a.py", "src/deep/b.py", "top.txt"]),
        (("src/*.py",), (), ["docs/a.md", "src/deep/b.py", "top.txt"]),
        (("src/**/*.py",), (), ["docs/a.md", "top.txt"]),
        (("**",), ("*.txt",), ["top.txt"]),
        ((), ("**/*.py", "docs/?.md"), ["docs/a.md", "src/a.py", "src/deep/b.py"]),
    ],
)
def test_holds_paths_against_constraints(
    touch: tuple[str, ...], never: tuple[str, ...], broken: list[str]
) -> None:
    paths = ["src/a.py", "src/deep/b.py", "docs/a.md", "top.txt"]
    assert breaches(task(touch=touch, never=never), paths) == broken


def test_briefs_with_the_prompt_first_and_whole() -> None:
    prompt = 'Fix "it"\n\n\tnow 🎉 \udcff'
    beside = [
        Neighbour("y", "Mend the door\nand more", tuple("abcdefgh"), ()),
        Neighbour("z", None, (), ("docs/**",)),
    ]
    told = compose(load_template(Path(), ""), task(touch=("src",)), prompt, ["make test"], beside)
    assert told == (
        f"{prompt}\n\n---\n\n"
        "- You work on the branch `parallel/x`, in a git worktree of your own: this folder.\n"
        "- Stay in this folder: other people and agents work beside it.\n"
        "- Commit your work to this branch. Do not push, do not switch branches, do not merge.\n"
        "- Change only files that match: src\n"
        "- This must pass before you finish: make test\n"
        "- Work goes on beside yours, leave it its files: `y` (Mend the door), which has changed"
        " a, b, c, d, e, f and 2 more\n"
        "- Work goes on beside yours, leave it its files: `z`, which may change docs/**\n"
    )


def test_a_brief_without_a_prompt_begins_with_the_rules() -> None:
    told = compose(load_template(Path(), ""), task(), None, [])
    assert told.startswith("- You work on the branch `parallel/x`")
    assert told.endswith("do not merge.\n")


def test_a_template_is_filled_once() -> None:
    told = compose("{task} into {target}: {prompt}\n{checks}\nend", task(), "{branch} {x}", [])
    assert told == "x into main: {branch} {x}\nend\n"


def test_cuts_a_prompt_to_a_line() -> None:
    assert first_line("\n  Fix it\nand more") == "Fix it"
    assert first_line("x" * 100, width=10) == "xxxxxxxxx…"
    assert first_line(None) == ""


def test_lets_no_escape_sequence_through_but_colours() -> None:
    raw = b"\x1b[31mred\x1b[m \x1b[2Jclear \x1b]0;title\x07 \x1b[10;1Hmove \rback\r\n\x00\x07done"
    assert DANGEROUS.sub(_harmless, raw) == b"\x1b[31mred\x1b[m clear  move back\r\ndone"


def test_escapes_what_could_change_a_terminal() -> None:
    assert printable("a\x1b[31mb\u202e\udcff") == "a\\x1b[31mb\\u202e\\xff"


def test_aligns_wide_letters_and_cuts_the_last_column() -> None:
    assert table([["a", "日本", "x"], ["bb", "c", "y"]]) == "a   日本  x\nbb  c     y"
    assert table([["a", "", "x" * 50]], width=20) == "a  " + "x" * 16 + "…"
    assert table([["a", "日" * 50]], width=21) == "a  " + "日" * 8 + "…"
    assert table([["日本", "x日" * 50]], width=20) == "日本  " + "x日" * 4 + "x…"


LOCKED = """fatal: Unable to create '/r/.git/index.lock': File exists.

Another git process seems to be running in this repository, e.g.
an editor opened by 'git commit'. Please make sure all processes
are terminated then try again.
"""
NOBODY = """Author identity unknown

*** Please tell me who you are.

fatal: unable to auto-detect email address (got 'a@b.(none)')
"""
STANDS = """error: Refusing to remove the current working directory:
d

Aborting
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (LOCKED, "Unable to create '/r/.git/index.lock': File exists."),
        (NOBODY, "unable to auto-detect email address (got 'a@b.(none)')"),
        (STANDS, "Refusing to remove the current working directory: d"),
        ("one\ntwo\nthree\nfour\n", "two; three; four"),
        ("no ticket\nhint: add one\n", "no ticket"),
        ("hint: add one\n", "add one"),
        ("", ""),
    ],
)
def test_says_the_point_of_an_error(text: str, expected: str) -> None:
    assert last_words(text) == expected
