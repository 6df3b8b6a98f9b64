"""What agents print, as it was recorded from the real ones: what it comes to, and how it is shown.

The streams were recorded with claude 2.1.330, codex 0.169.0, opencode 1.18.33 and gemini 0.61.0
against a server on the loopback interface, and cut down to what matters.
"""

from pathlib import Path

import pytest

from git_parallel import events, verdict
from git_parallel.process import Exit
from git_parallel.task import Outcome, Status

STREAMS = Path(__file__).with_name("streams")
COMMAND = "echo hello > note.txt && git add note.txt && git commit -q -m 'Add note'"
BUSY = "We’re currently experiencing high demand, which may cause temporary errors."


def read(name: str) -> Outcome:
    return events.read(STREAMS / f"{name}.jsonl", name.partition("-")[0], 0)


@pytest.mark.parametrize(
    ("name", "said", "tokens"),
    [
        ("claude-edit", "Done: wrote note.txt and committed it.", (2400, 68)),
        ("claude-text", "Nothing to change here.", (1200, 34)),
        ("codex-edit", "Done: wrote note.txt and committed it.", (2400, 68)),
        ("opencode-edit", "Done: wrote note.txt and committed it.", (2400, 68)),
        ("gemini-edit", "Done: wrote note.txt and committed it.", (2400, 68)),
    ],
)
def test_reads_how_an_agent_ended(name: str, said: str, tokens: tuple[int, int]) -> None:
    outcome = read(name)
    assert (outcome.input_tokens, outcome.output_tokens) == tokens
    assert outcome.session
    assert (outcome.error, outcome.limited, outcome.denied) == ("", "", ())
    form = name.partition("-")[0]
    assert events.last_action(STREAMS / f"{name}.jsonl", form) == said
    assert verdict.why_failed(Exit(0), outcome, 1.0) == ""


@pytest.mark.parametrize(
    ("name", "error", "limited"),
    [
        ("claude-nokey", "Not logged in · Please run /login", ""),
        (
            "claude-oauth-limit",
            "You've hit your 5-hour limit · resets 3:32pm (UTC)",
            "until 2026-11-25 15:32 UTC",
        ),
        ("codex-crash", BUSY, ""),
        ("opencode-unauthorized", "Incorrect API key provided: x.", ""),
        (
            "gemini-limit",
            "[API Error: You exceeded your current quota. Please retry in 3600s.]",
            "retry in 3600s",
        ),
    ],
)
def test_reads_errors_and_tells_limits_apart(name: str, error: str, limited: str) -> None:
    outcome = read(name)
    assert (outcome.error, outcome.limited) == (error, limited)
    for code in (0, 1):
        reason = verdict.why_failed(Exit(code), outcome, 1.0)
        assert reason.endswith(error)
        assert ("it ran into a limit of its service" in reason) == bool(limited)


def test_a_limit_says_when_to_go_on_in_the_agents_words() -> None:
    assert read("codex-limit").limited == "try again at 3:29 PM"
    old = Outcome(error="Claude AI usage limit reached|1795620772")
    assert events.outcome_of([events.Event("error", old.error)]).limited.startswith("until 2026")


@pytest.mark.parametrize(
    ("name", "denied"),
    [("claude-denied", f"Bash {COMMAND}"), ("opencode-denied-rule", f"bash {COMMAND}")],
)
def test_what_was_denied_and_changed_nothing_has_failed(name: str, denied: str) -> None:
    outcome = read(name)
    assert outcome.denied == (denied,)
    assert verdict.why_failed(Exit(0), outcome, 1.0) == ""
    assert verdict.unchanged(outcome) == (
        Status.FAILED,
        f"it changed nothing, and was denied: {denied}",
    )
    assert verdict.unchanged(read("claude-text"))[0] is Status.EMPTY


def test_an_error_that_was_got_over_is_none() -> None:
    lines = (STREAMS / "codex-crash.jsonl").read_bytes().splitlines()
    retried = [line for line in lines if b"turn.failed" not in line]
    assert events.outcome_of(e for line in retried for e in events.parse("codex", line)).error == ""


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[1]",
        b"{}",
        b"plain words",
        b'{"type":"assistant","message":{"content":"no list"}}',
        b'{"type":"assistant","message":{"content":[1,{"type":"tool_use"}]}}',
        b'{"type":"result","permission_denials":7,"usage":[],"errors":{}}',
        b'{"type":"item.completed","item":[]}',
        b'{"type":"tool_use","part":{"state":"x"}}',
        b'{"type":"x","\xff":1}',
    ],
)
@pytest.mark.parametrize("form", events.FORMS)
def test_a_line_that_is_none_of_these_does_no_harm(form: str, line: bytes) -> None:
    for event in events.parse(form, line):
        assert event.kind in ("ran", "said", "session", "error")


def test_a_long_line_is_read_and_one_without_an_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    long = b'{"type":"result","is_error":true,"result":"' + b"x" * 2_000_000 + b'"}'
    log.write_bytes(b"noise\n" * 1000 + b"\0\xff\n" + long)
    assert events.read(log, "claude", 6).error.startswith("xxx")
