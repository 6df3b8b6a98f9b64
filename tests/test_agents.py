"""Agents as tasks run them: what they are called with, what they are told, what is made of it.

Small programs stand for the agents and replay streams that were recorded from the real ones.
"""

import json
import os
import shlex
import time
from pathlib import Path

import pytest

from git_parallel import agent, config
from tests.conftest import Repo, until
from tests.test_events import COMMAND, STREAMS


class Agent:
    """A stand-in for an agent: it notes how it was called and does what a test says."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.calls = folder / f"{name}.calls"
        self.told = folder / f"{name}.told"
        self.program = folder / "bin" / name
        self.program.parent.mkdir(exist_ok=True)
        self.does("true")

    def does(self, script: str, *, ready: str = "exit 0") -> None:
        calls, told = shlex.quote(str(self.calls)), shlex.quote(str(self.told))
        self.program.write_text(
            "#!/bin/sh\n"
            f'case "$1 $2" in "auth status"|"login status"|"providers list") {ready};; esac\n'
            f"printf '%s\\n' \"$*\" >>{calls}\ncat >{told}\n{script}\n"
        )
        self.program.chmod(0o755)

    def replays(self, stream: str, *, change: bool, code: int = 0) -> None:
        file = shlex.quote(str(STREAMS / f"{stream}.jsonl"))
        made = "echo hello > note.txt && git add . && git commit -qm note\n" if change else ""
        self.does(f"{made}cat {file}\nexit {code}")

    @property
    def lines(self) -> list[str]:
        return self.calls.read_text().splitlines()


@pytest.fixture
def claude(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Agent:
    found = Agent(tmp_path, "claude")
    monkeypatch.setenv("PATH", f"{found.program.parent}{os.pathsep}{os.environ['PATH']}")
    return found


@pytest.fixture
def codex(claude: Agent, tmp_path: Path) -> Agent:
    return Agent(tmp_path, "codex")


def start(repo: Repo, *words: str, ok: int | None = 0) -> str:
    return repo.parallel("start", "x", "--wait", "-m", "Add a note", *words, ok=ok).stderr


def test_an_agent_that_commits_is_ready_and_its_events_are_read(repo: Repo, claude: Agent) -> None:
    claude.replays("claude-edit", change=True)
    start(repo)
    task = repo.task("x")
    assert (task["status"], task["agent"]) == ("ready", "claude")
    outcome = task["run"]["outcome"]
    assert (outcome["cost_usd"], outcome["input_tokens"]) == (0.01096, 2400)
    assert claude.told.read_text().startswith("Add a note\n\n---\n")
    shown = repo.parallel("show", "x").stdout
    assert "  cost 0.01 USD, 2400 tokens in, 68 out\n" in shown
    assert repo.parallel("log", "x").stdout == (
        f"I will write the file.\n▸ Bash {COMMAND}\n"
        "Done: wrote note.txt and committed it.\n○ cost 0.01 USD\n"
    )
    raw = repo.parallel("log", "--raw", "x").stdout
    assert raw == (STREAMS / "claude-edit.jsonl").read_text()


@pytest.mark.parametrize(
    ("stream", "change", "code", "status", "reason"),
    [
        ("claude-text", False, 0, "empty", "it changed nothing"),
        ("claude-denied", False, 0, "failed", "it changed nothing, and was denied: Bash echo"),
        ("claude-denied", True, 0, "ready", ""),
        ("claude-nokey", False, 1, "failed", "it ended with an error: Not logged in"),
        ("claude-nokey", True, 0, "failed", "it ended with an error: Not logged in"),
        ("claude-crash-retries1", True, 1, "failed", "it ended with an error: API Error: 500"),
        (
            "claude-oauth-limit",
            False,
            1,
            "failed",
            "it ran into a limit of its service (until 2026-11-25 15:32 UTC): You've hit",
        ),
    ],
)
def test_exit_0_is_not_enough(
    repo: Repo, claude: Agent, stream: str, change: bool, code: int, status: str, reason: str
) -> None:
    claude.replays(stream, change=change, code=code)
    start(repo, ok=None)
    task = repo.task("x")
    assert task["status"] == status
    assert task.get("reason", "").startswith(reason)


def test_a_follow_up_goes_on_with_the_conversation(repo: Repo, claude: Agent) -> None:
    claude.replays("claude-edit", change=True)
    start(repo, "--model", "opus")
    session = repo.task("x")["run"]["session"]
    assert "--session-id" in claude.lines[0]
    claude.does("echo more > more.txt")
    repo.parallel("run", "x", "--wait", "-m", "And more")
    assert claude.lines[1].endswith(f"--resume {session} --model opus")
    assert claude.told.read_text().startswith("And more\n")
    repo.parallel("run", "x", "--wait")
    assert claude.lines[2] == claude.lines[1]


def test_a_retry_begins_the_conversation_anew(repo: Repo, claude: Agent) -> None:
    claude.does("exit 1")
    start(repo, "--model", "opus", ok=1)
    repo.parallel("run", "x", "--wait", ok=1)
    before, after = (line.split() for line in claude.lines)
    assert before[-2:] == after[-2:] == ["--model", "opus"]
    assert before[-3] != after[-3]
    assert before[:-3] == after[:-3]
    assert repo.task("x")["run"]["session"] == after[-3]


@pytest.mark.slow
def test_codex_is_resumed_by_the_thread_that_it_told(repo: Repo, codex: Agent) -> None:
    codex.replays("codex-edit", change=True)
    start(repo, "--agent", "codex")
    assert codex.lines == ["exec --json -s workspace-write -"]
    repo.parallel("run", "x", "--wait", "-m", "And more")
    assert codex.lines[1] == "exec resume --json 01a2131a-b00a-7421-9590-b87ca2aecc3c -"
    log = repo.parallel("log", "x").stdout
    assert "▸ /bin/bash -lc" in log


def test_another_agent_begins_anew(repo: Repo, claude: Agent, codex: Agent) -> None:
    claude.replays("claude-edit", change=True)
    start(repo)
    repo.parallel("run", "x", "--wait", "--agent", "codex", "-m", "And more")
    assert codex.lines == ["exec --json -s workspace-write -"]


@pytest.mark.slow
def test_model_and_effort_are_passed_on_where_they_can_be(
    repo: Repo, claude: Agent, codex: Agent
) -> None:
    start(repo, "--model", "opus", "--effort", "high", ok=1)
    assert claude.lines[0].endswith("--model opus --effort high")
    done = repo.parallel("run", "x", "--agent", "codex", "--effort", "low", "--wait", ok=1)
    assert codex.lines[0].endswith("- -c model_reasoning_effort=low"), done.stderr
    told = repo.parallel("start", "y", "--model", "m", "--", "true", ok=2).stderr
    assert "--model and a command can't be used together" in told
    repo.parallel("config", "set", "agents.plain", '{command = ["cat"]}')
    told = repo.parallel("start", "y", "--agent", "plain", "-m", "x", "--model", "m", ok=2).stderr
    assert "the agent `plain` takes no model" in told


def test_an_agent_that_is_not_logged_in_is_refused_and_nothing_is_left(
    repo: Repo, claude: Agent
) -> None:
    claude.does("true", ready='echo "{"; echo "Not logged in"; exit 1')
    told = start(repo, ok=1)
    assert "✗ the agent `claude` can't work: Not logged in\n↳ claude auth login\n" in told
    assert repo.names() == []
    assert repo.git("branch", "--list", "parallel/*") == ""
    assert not claude.calls.exists()
    assert "✗ claude can't work: Not logged in ↳ claude auth login" in (
        repo.parallel("doctor", ok=1).stdout
    )
    claude.does("true")
    assert "✓ claude\n" in repo.parallel("doctor").stdout
    agents = {agent["name"]: agent for agent in repo.json("doctor")["agents"]}
    assert agents["claude"] == {"name": "claude", "installed": True}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("\x1b[0m\n┌  Credentials \x1b[90m~/auth.json\n│\n└  0 credentials\n", "0 credentials"),
        ("┌  Credentials\n●  Anthropic api\n└  1 credentials\n", ""),
        ("└  0 credentials\n┌  Environment\n└  1 environment variable\n", ""),
        ("configured\n└  0 credentials\n", ""),
    ],
)
def test_reads_what_opencode_says_of_its_credentials(said: str, words: str) -> None:
    preset = config.load(None, Path("none")).config.agents["opencode"]
    assert agent.unready(preset, said, failed=False) == words


def test_an_agent_that_says_nothing_is_not_waited_for_too_long(repo: Repo, claude: Agent) -> None:
    row = '{command = ["claude"], preflight = {ask = ["sh", "-c", "exec sleep 0.2; echo no"], '
    repo.parallel("config", "set", "agents.odd", row + 'says = "yes", login = "try"}}')
    done = repo.parallel("start", "x", "--agent", "odd", "-m", "x", ok=1)
    assert "the agent `odd` can't work: `sh -c exec sleep 0.2; echo no` failed" in done.stderr


def test_what_an_agent_did_last_is_listed_and_silence_is_told(repo: Repo, claude: Agent) -> None:
    head = (STREAMS / "claude-edit.jsonl").read_text().splitlines()[:3]
    printed = repo.path.parent / "head"
    printed.write_text("\n".join(head) + "\n")
    claude.does(f"cat {shlex.quote(str(printed))}; while [ ! -e ../go ]; do sleep 0.05; done")
    repo.parallel("start", "x", "-m", "Add a note")
    task = until(lambda: _with_reason(repo))
    assert (task["status"], task["reason"]) == ("running", f"Bash {COMMAND}")
    assert f"Bash {COMMAND[:20]}" in repo.parallel("list").stdout
    log = repo.state / "tasks" / "x" / "run-1.log"
    os.utime(log, (time.time() - 1000, time.time() - 1000))
    assert repo.task("x")["status"] == "stalled"
    assert repo.task("x")["reason"] == "it has printed nothing for 16 min"
    (Path(repo.task("x")["path"]).parent / "go").touch()
    repo.parallel("wait", "x", ok=None)


def _with_reason(repo: Repo) -> dict[str, str] | None:
    task = repo.task("x")
    return task if task["status"] == "running" and task.get("reason") else None


def test_a_brief_names_who_works_beside_it(repo: Repo, claude: Agent) -> None:
    repo.start("beside", "echo > door.txt", "--touch", "*.txt")
    start(repo, "--never", "*.lock", ok=1)
    told = claude.told.read_text()
    assert "- Never change files that match: *.lock\n" in told
    assert (
        "- Work goes on beside yours, leave it its files: `beside`, which has changed door.txt,"
        " which may change *.txt\n"
    ) in told


def test_a_brief_is_made_from_the_users_template(repo: Repo, claude: Agent) -> None:
    repo.write("brief.txt", "Task {task}: {prompt}\n{neighbours}\nGood luck.\n")
    repo.parallel("config", "set", "brief.template", "brief.txt")
    start(repo, ok=1)
    assert claude.told.read_text() == "Task x: Add a note\nGood luck.\n"
    repo.parallel("config", "set", "brief.template", "nowhere")
    assert "the template of the brief can't be read" in (
        repo.parallel("start", "y", "-m", "x", ok=1).stderr
    )
    assert repo.names() == ["x"]


@pytest.mark.parametrize("template", ["/etc/passwd", "~/.ssh/id_rsa", "../secret"])
def test_a_project_can_not_have_other_files_told(repo: Repo, template: str) -> None:
    repo.commit(".git-parallel.toml", f'[brief]\ntemplate = "{template}"\n')
    told = repo.parallel("start", "x", "--", "true", ok=1).stderr
    assert "a project can't set `brief.template`" in told


def test_a_template_that_leads_out_of_the_project_is_refused(repo: Repo) -> None:
    (repo.path.parent / "secret").write_text("secret\n")
    (repo.path / "brief.txt").symlink_to("../secret")
    repo.commit(".git-parallel.toml", '[brief]\ntemplate = "brief.txt"\n')
    told = repo.parallel("start", "x", "--", "true", ok=1).stderr
    assert "the template of the brief leads out of the project" in told
    assert repo.names() == []


def test_a_large_prompt_arrives_byte_for_byte(repo: Repo, claude: Agent) -> None:
    prompt = ('"It\'s" {branch} 🎉 \x1b[2J\n'.encode() + b"\xff\xfe\n") * 10_000
    repo.parallel("start", "x", "--wait", "-F", "-", stdin=prompt, ok=None)
    assert claude.told.read_bytes().startswith(prompt + b"\n\n---\n")


def test_what_an_agent_leaves_lying_about_is_not_committed(
    repo: Repo, claude: Agent, tmp_path: Path
) -> None:
    aider = Agent(tmp_path, "aider")
    aider.does("touch .aider.chat.history.md; echo hello > note.txt")
    start(repo, "--agent", "aider", "--model", "m")
    assert repo.git("show", "--name-only", "--format=", "parallel/x") == "note.txt"


def test_events_can_not_change_the_terminal(repo: Repo, claude: Agent) -> None:
    text = json.dumps({"type": "text", "text": "\x1b[2J\x07gone"})
    line = f'{{"type":"assistant","message":{{"content":[{text}]}}}}'
    claude.does(f"printf '%s\\n' {shlex.quote(line)}")
    start(repo, ok=1)
    assert repo.parallel("log", "x").stdout == "\\x1b[2J\\x07gone\n"
