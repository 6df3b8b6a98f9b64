"""Slots: numbers, ports and names that no two live tasks share, and who is told of them."""

import contextlib
import json
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec import structs

from git_parallel import slot
from git_parallel.task import Slug, Task, TaskName
from git_parallel.variables import exports
from tests import tools
from tests.conftest import PROGRAM, Repo, run
from tests.test_environment import person


@contextlib.contextmanager
def listening(*ports: int, family: socket.AddressFamily = socket.AF_INET) -> Iterator[None]:
    """Servers on the loopback interface."""
    address = "127.0.0.1" if family == socket.AF_INET else "::1"
    with contextlib.ExitStack() as open_sockets:
        for port in ports:
            server = open_sockets.enter_context(socket.socket(family))
            if family == socket.AF_INET6:
                server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            server.bind((address, port))
            server.listen()
        yield


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), listening(0, family=socket.AF_INET6):
        return True
    return False


def first_port(repo: Repo) -> int:
    """The port that the next task would get."""
    repo.parallel("start", "probe", "--no-bootstrap")
    port: int = repo.task("probe")["ports"][0]
    repo.parallel("remove", "--delete-branch", "probe")
    return port


@pytest.mark.slow
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_leaves_out_ports_that_somebody_listens_on(
    repo: Repo, family: socket.AddressFamily
) -> None:
    if family == socket.AF_INET6 and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    port = first_port(repo)
    with listening(port + 7, family=family):
        repo.parallel("start", "x", "--no-bootstrap")
        assert repo.task("x")["ports"] == list(range(port + 10, port + 20))
        assert repo.task("x")["slot"] == 1
    repo.parallel("start", "y", "--no-bootstrap")
    assert repo.task("y")["ports"] == list(range(port + 20, port + 30))


@pytest.mark.slow
def test_twenty_starts_at_once_share_no_port(repo: Repo) -> None:
    port = first_port(repo)
    taken = [port + 3, port + 40, port + 99, port + 105]
    with listening(*taken):
        calls = [
            subprocess.Popen(
                [PROGRAM, "start", f"t{number}", "--no-bootstrap"],
                cwd=repo.path,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for number in range(20)
        ]
        assert [call.wait() for call in calls] == [0] * 20
        tasks = repo.json("list")["tasks"]
    assert sorted(task["slot"] for task in tasks) == list(range(1, 21))
    ports = [port for task in tasks for port in task["ports"]]
    assert len(ports) == len(set(ports)) == 200
    assert set(ports).isdisjoint(taken)


@pytest.mark.slow
def test_a_slot_is_free_again_when_its_task_has_gone(repo: Repo) -> None:
    repo.parallel("start", "x", "--no-bootstrap")
    before = repo.task("x")
    repo.parallel("start", "y", "--no-bootstrap")
    repo.parallel("remove", "x")
    repo.parallel("start", "z", "--no-bootstrap")
    assert (repo.task("z")["slot"], repo.task("z")["ports"]) == (1, before["ports"])


@pytest.mark.slow
def test_a_task_that_comes_back_keeps_its_slot_or_gets_another(repo: Repo) -> None:
    repo.parallel("start", "x", "--no-bootstrap")
    before = repo.task("x")
    repo.parallel("remove", "x")
    repo.parallel("undo", "x")
    assert (repo.task("x")["slot"], repo.task("x")["ports"]) == (1, before["ports"])
    repo.parallel("remove", "x")
    repo.parallel("start", "y", "--no-bootstrap")
    assert repo.task("y")["ports"] == before["ports"]
    repo.parallel("undo", "x")
    assert repo.task("x")["slot"] == 2
    assert set(repo.task("x")["ports"]).isdisjoint(before["ports"])
    repo.parallel("exec", "x", "--", "sh", "-c", "test $GIT_PARALLEL_SLOT = 2")


def test_two_repositories_share_no_port(
    make_repo: Callable[..., Repo], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = make_repo("one"), make_repo("other")
    task = _task("x")
    key = "00000001"
    first = slot.take(key, one.state / "tasks" / "x", [])
    (one.state / "tasks" / "x").mkdir(parents=True)
    (one.state / "tasks" / "x" / "task.json").touch()
    second = slot.take(key, other.state / "tasks" / "x", [])
    assert set(first.ports).isdisjoint(second.ports)
    assert slot.retake(key, one.state / "tasks" / "x", _with(task, first), []) is None
    moved = slot.retake(key, other.state / "tasks" / "y", _with(task, first), [])
    assert moved
    assert set(moved.ports).isdisjoint(first.ports)


def test_a_folder_of_claims_that_can_not_be_written_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert slot.take("00000001", tmp_path / "x", []).number == 1


def _task(name: str, number: int = 1) -> Task:
    return Task(
        name=TaskName(name),
        slug=Slug(name.replace("/", "-")),
        branch=f"parallel/{name}",
        target="main",
        base="0" * 40,
        path="/nowhere",
        slot=number,
        ports=tuple(range(20_000, 20_010)),
        created=datetime.now(UTC),
    )


def _with(task: Task, taken: slot.Slot) -> Task:
    return structs.replace(task, slot=taken.number, ports=taken.ports)


@pytest.mark.parametrize(
    ("repository", "name", "project", "suffix"),
    [
        ("shop", "fix-login", "shop-fix-login", "_fix_login_3"),
        ("My Shop", "Fix", "my-shop-fix-3", "_fix_3"),
        ("shop", "größe", "shop-groe-3", "_groe_3"),
        ("_shop", "a.b", "shop-a-b-3", "_a_b_3"),
        ("日本", "名前", "3", "__3"),
    ],
)
def test_names_are_what_docker_and_databases_allow(
    repository: str, name: str, project: str, suffix: str
) -> None:
    task = _task(name, 3)
    assert slot.project_name(repository, task).endswith(project)
    assert slot.database_suffix(task) == suffix


def test_every_program_is_told_and_a_file_says_it(repo: Repo) -> None:
    path = repo.start("fix/login", 'env > "$GIT_PARALLEL_ROOT/agent"; echo > f')
    own = repo.json("env", "fix/login")["variables"]
    assert own["GIT_PARALLEL_TASK"] == "fix/login"
    assert own["GIT_PARALLEL_PORT_0"] == own["GIT_PARALLEL_PORT"]
    assert own["COMPOSE_PROJECT_NAME"] == "my-repo-fix-login-1"
    told = repo.parallel("exec", "fix/login", "--", "env").stdout
    for name, value in own.items():
        assert f"{name}={value}\n" in told
        assert f"{name}={value}\n" in (path / "agent").read_text()
    file = run("sh", "-c", "set -a; . ./.env.parallel; env", cwd=path).stdout
    assert set(own) <= {line.partition("=")[0] for line in file.splitlines()}
    assert f"GIT_PARALLEL_ROOT={path}\n" in file
    assert ".env.parallel" not in repo.git("-C", path, "show", "--stat")


def test_a_file_of_that_name_that_is_the_projects_stays(repo: Repo) -> None:
    repo.commit(".env.parallel", "theirs\n")
    assert (person(repo) / ".env.parallel").read_text() == "theirs\n"


def test_env_without_a_name_is_of_the_task_here(repo: Repo) -> None:
    path = person(repo)
    assert "export GIT_PARALLEL_TASK='x';\n" in run(PROGRAM, "env", cwd=path).stdout
    assert "this is not the worktree of a task" in repo.parallel("env", ok=1).stderr


HARD = r"""it's "two" words \ \\ $HOME `id` $(id) ; * ~ ünï\' end\\"""


@pytest.mark.parametrize("shell", ["sh", "bash", "zsh", "fish"])
def test_env_sets_the_variables_in_every_shell(repo: Repo, shell: str) -> None:
    tools.need_command(shell)
    repo.commit(".gitignore", ".venv/\n")
    path = person(repo)
    (path / ".venv" / "bin").mkdir(parents=True)
    repo.parallel("config", "set", "environment.env.HARD", json.dumps(HARD))
    script = 'eval "$(git parallel env x)"; printenv GIT_PARALLEL_PORT HARD VIRTUAL_ENV PATH'
    port, hard, environment, places = run(shell, "-c", script, cwd=repo.path).stdout.splitlines()
    assert (int(port), hard) == (repo.task("x")["ports"][0], HARD)
    assert environment == f"{path}/.venv"
    assert places.startswith(f"{path}/.venv/bin:")


def test_a_value_of_several_lines_is_exported(tmp_path: Path) -> None:
    script = exports([("A", "one\n'two'\n"), ("B", "")])
    for shell in filter(shutil.which, ("sh", "bash", "zsh", "fish")):
        told = run(shell, "-c", f'{script}printf "%s|%s" "$A" "$B"', cwd=tmp_path).stdout
        assert told == "one\n'two'\n|"
