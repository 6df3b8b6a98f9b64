"""Real claude and codex, from npm, and aider, from PyPI, against a loopback server of ours.

They are large and have their own command: `pytest -m agents`.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator

import pytest

from tests import tools
from tests.conftest import Repo, until
from tests.model_server import ModelServer
from tests.people import Person

pytestmark = pytest.mark.agents
COMMAND = "echo hello > note.txt && git add note.txt && git commit -q -m 'Add note'"
CODEX = """\
model_provider = "here"
check_for_update_on_startup = false
[analytics]
enabled = false
[model_providers.here]
name = "here"
base_url = "{url}/v1"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
"""


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    with ModelServer(COMMAND) as server:
        settings = {
            "ANTHROPIC_BASE_URL": server.url,
            "ANTHROPIC_API_KEY": "x",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_MAX_RETRIES": "1",
            "DISABLE_TELEMETRY": "1",
            "DISABLE_AUTOUPDATER": "1",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture(params=["claude", "codex"])
def agent(
    request: pytest.FixtureRequest, repo: Repo, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> str:
    name = str(request.param)
    monkeypatch.setenv("PATH", tools.need(name))
    settings = repo.path.parent / "home" / ".codex" / "config.toml"
    settings.parent.mkdir()
    settings.write_text(CODEX.format(url=model.url))
    # In its sandbox codex can't write to `.git`, and what it leaves is committed for it; a test
    # of its own commits needs it without.
    free = ["codex", "exec", "--json", "--dangerously-bypass-approvals-and-sandbox"]
    repo.parallel("config", "set", "agents.codex.command", json.dumps([*free, "-"]))
    resume = [*free[:2], "resume", *free[2:], "{session}", "-"]
    repo.parallel("config", "set", "agents.codex.resume", json.dumps(resume))
    return name


def start(repo: Repo, agent: str, ok: int | None = 0) -> dict[str, object]:
    words = ("start", "x", "--agent", agent, "-m", "Add a note", "--wait")
    repo.parallel(*words, ok=ok)
    task: dict[str, object] = repo.task("x")
    return task


def test_edits_and_commits(repo: Repo, agent: str, model: ModelServer) -> None:
    task = start(repo, agent)
    assert task["status"] == "ready", repo.parallel("log", "x").stdout
    assert repo.git("log", "-1", "--format=%s", "parallel/x") == "Add note"
    assert repo.git("show", "parallel/x:note.txt") == "hello"
    log = repo.parallel("log", "x").stdout
    assert "I will write the file.\n▸ " in log
    assert "All is done.\n" in log
    assert any("You work on the branch `parallel/x`" in prompt for prompt in model.prompts)
    assert "outcome" in repo.json("show", "x")["runs"][0]


def test_a_follow_up_is_the_same_conversation(repo: Repo, agent: str, model: ModelServer) -> None:
    before = start(repo, agent)["run"]
    model.scenario = "text"
    model.prompts.clear()
    repo.parallel("run", "x", "-m", "What did you do?", "--wait")
    after = repo.task("x")["run"]
    assert isinstance(before, dict)
    assert after["session"] == before["session"]
    asked = next(p for p in model.prompts if "What did you do?" in p)
    assert "Add a note" in asked


def test_a_retry_is_a_conversation_of_its_own(repo: Repo, agent: str, model: ModelServer) -> None:
    model.scenario = "crash"
    start(repo, agent, ok=1)
    model.scenario = "text"
    repo.parallel("run", "x", "--wait")
    assert repo.task("x")["status"] == "ready"


def test_changing_nothing_is_not_ready(repo: Repo, agent: str, model: ModelServer) -> None:
    model.scenario = "text"
    assert start(repo, agent, ok=1)["status"] == "empty"


def test_an_api_that_breaks_half_way_is_told(repo: Repo, agent: str, model: ModelServer) -> None:
    model.scenario = "crash"
    task = start(repo, agent, ok=1)
    assert task["status"] == "failed"
    assert str(task["reason"]).startswith("it ended with an error: ")
    assert repo.git("show", "parallel/x:note.txt") == "hello"


@pytest.mark.parametrize("agent", ["claude"], indirect=True)
def test_every_tool_call_denied_is_failed(repo: Repo, agent: str) -> None:
    strict = ["claude", "-p", "--output-format", "stream-json", "--verbose"]
    repo.parallel("config", "set", "agents.claude.command", json.dumps(strict))
    task = start(repo, agent, ok=1)
    assert task["status"] == "failed"
    assert str(task["reason"]).startswith("it changed nothing, and was denied: Bash echo hello")


@pytest.mark.parametrize("agent", ["claude"], indirect=True)
def test_without_a_login_it_is_refused(
    repo: Repo, agent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    told = repo.parallel("start", "x", "--agent", agent, "-m", "x", ok=1).stderr
    assert "the agent `claude` can't work: " in told
    assert "↳ claude auth login" in told
    assert repo.names() == []


ASKED = "python3 -c \"open('note.txt', 'w').write('hello')\""
LEAVE = {"claude": "/exit\r", "codex": "/quit\r"}


def test_asks_a_person_and_goes_on(repo: Repo, agent: str, model: ModelServer) -> None:
    model.command, model.scenario = ASKED, "ask"
    home = repo.path.parent / "home"
    keys = {"approved": ["x"], "rejected": []}
    known = {"hasCompletedOnboarding": True, "theme": "dark", "customApiKeyResponses": keys}
    (home / ".claude.json").write_text(json.dumps(known))
    repo.parallel("start", "x", "--interactive", "--agent", agent, "-m", "Add a note")
    with Person(["git", "parallel", "attach", "x"], repo.path, rows=40, columns=100) as person:
        person.sees("rust")
        if agent == "claude":
            until(lambda: _asks(repo) == "trust this folder")
            _insist(person, "\x1b[B", lambda: "❯ Yes" in person.screen)
            _insist(person, "\r", lambda: _asks(repo).startswith("approve Bash: python3 -c"))
            _insist(person, "\r", lambda: _asks(repo) == "its turn is over: All is done.")
        else:
            _insist(person, "\r", lambda: _asks(repo).startswith("Approval requested: python3"))
            _insist(person, "y", lambda: _asks(repo) == "its turn is over: All is done.")
        for key in LEAVE[agent]:
            person.type(key)
            time.sleep(0.1)  # at once, it would be a paste
        person.sees("x is ready")
    assert repo.git("show", "parallel/x:note.txt") == "hello"
    assert "All is done." in repo.parallel("log", "x").stdout


def _asks(repo: Repo) -> str:
    task = repo.task("x")
    return str(task["reason"]) if task["status"] == "waiting" else ""


def _insist(person: Person, key: str, fact: Callable[[], bool]) -> None:
    """Press a key until it has its effect: a dialog takes none in its first moments."""
    for _ in range(10):
        person.type(key)
        with contextlib.suppress(AssertionError):
            until(fact, limit_s=5)
            return
    raise AssertionError(person.screen)


@pytest.fixture
def aider(repo: Repo, model: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", tools.need("aider"))
    monkeypatch.setenv("OPENAI_API_BASE", f"{model.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "x")


AIDER = ("--agent", "aider", "--model", "openai/gpt-4o", "-m")


@pytest.mark.usefixtures("aider")
def test_aider_edits_and_commits(repo: Repo, model: ModelServer) -> None:
    repo.parallel("start", "x", *AIDER, 'Add a "note" 🗒', "--wait")
    task = repo.task("x")
    assert task["status"] == "ready"
    assert task["dirty"] == 0  # what it leaves lying about is no change
    assert repo.git("log", "-1", "--format=%s", "parallel/x") == "Add note"
    assert repo.git("show", "parallel/x:note.txt") == "hello"
    assert "I will write the file." in repo.parallel("log", "x").stdout
    assert any("You work on the branch `parallel/x`" in prompt for prompt in model.prompts)


@pytest.mark.usefixtures("aider")
def test_aider_that_changes_nothing_is_not_ready(repo: Repo, model: ModelServer) -> None:
    model.scenario = "text"
    repo.parallel("start", "x", *AIDER, "Add a note", "--wait", ok=1)
    assert repo.task("x")["status"] == "empty"
    model.scenario = "edit"
    repo.parallel("run", "x", "-m", "Do it, really", "--wait")
    assert repo.task("x")["status"] == "ready"
