"""Requests by the real `gh`, which talks to a server of ours through a socket."""

import http.server
import json
import re
import shutil
import socketserver
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Repo, run, until
from tests.test_forge import ADD, squash_there
from tests.tools import need

ADDRESS = "https://forge.example/ada/work.git"
REPOSITORY = {
    "id": "R",
    "name": "work",
    "owner": {"login": "ada"},
    "parent": None,
    "defaultBranchRef": {"name": "main"},
    "viewerPermission": "WRITE",
}


class Forge(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """GitHub as far as our requests need it, by the names of its GraphQL fields."""

    daemon_threads = True

    def __init__(self, path: str) -> None:
        super().__init__(path, Handler)
        self.requests: list[dict[str, Any]] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """A `gh` that has what it wanted hangs up."""

    def answer(self, query: str, given: dict[str, Any]) -> dict[str, Any]:
        """What a query is answered with; of a request only the fields that were asked for."""
        if "createPullRequest" in query:
            return {"createPullRequest": {"pullRequest": self._open(given["input"])}}
        if "pullRequests(" not in query:
            return {"repository": REPOSITORY} if "repository(" in query else {}
        states = given.get("state") or given.get("states") or []
        wanted = (given.get("headBranch") or given.get("headRefName"), given.get("baseBranch"))
        nodes = [
            {key: value for key, value in request.items() if re.search(rf"\b{key}\b", query)}
            for request in self.requests
            if request["state"] in states and request["headRefName"] == wanted[0]
            if wanted[1] in (None, request["baseRefName"])
        ]
        page = {"hasNextPage": False, "endCursor": ""}
        return {"repository": {"pullRequests": {"totalCount": 1, "nodes": nodes, "pageInfo": page}}}

    def _open(self, given: dict[str, Any]) -> dict[str, Any]:
        url = f"https://forge.example/ada/work/pull/{len(self.requests) + 1}"
        made = {"id": "P", "url": url, "state": "OPEN", "isCrossRepository": False}
        self.requests.append({**given, **made})
        return {"id": "P", "url": url}


class Handler(http.server.BaseHTTPRequestHandler):
    """One call to the forge."""

    server: Forge

    def do_POST(self) -> None:
        """Answer a GraphQL query (https://docs.github.com/graphql)."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        told = {"data": self.server.answer(asked["query"], asked.get("variables") or {})}
        content = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name there
        """Say nothing: a socket of a file has no address to say."""


@pytest.fixture
def forge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Forge]:
    """A forge, and a `gh` that is logged in there."""
    monkeypatch.setenv("PATH", need("gh"))
    place = tempfile.mkdtemp(prefix="gh-")  # the path of a socket must be short
    settings = tmp_path / "home" / ".config" / "gh"
    settings.mkdir(parents=True)
    (settings / "config.yml").write_text(f'version: "1"\nhttp_unix_socket: {place}/socket\n')
    (settings / "hosts.yml").write_text("forge.example:\n    oauth_token: x\n    user: ada\n")
    with Forge(f"{place}/socket") as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
    shutil.rmtree(place)


@pytest.fixture
def origin(repo: Repo, tmp_path: Path) -> Path:
    """A remote at that forge, whose files lie beside the repository."""
    path = tmp_path / "origin.git"
    run("git", "clone", "--quiet", "--bare", repo.path, path, cwd=tmp_path)
    repo.git("remote", "add", "origin", ADDRESS)
    repo.git("config", f"url.{path}.pushInsteadOf", ADDRESS)
    return path


@pytest.mark.slow
def test_opens_a_request_and_recognises_that_it_was_merged(
    repo: Repo, origin: Path, forge: Forge, tmp_path: Path
) -> None:
    repo.start("x", ADD, "-m", "Say what is new\n\nIn a file.")
    done = repo.parallel("merge", "x", "--pr")
    url = "https://forge.example/ada/work/pull/1"
    assert done.stderr == f"✓ x is to be merged into main: {url}\n"
    (request,) = forge.requests
    tip = repo.git("rev-parse", "parallel/x")
    assert run("git", "rev-parse", "parallel/x", cwd=origin).stdout.strip() == tip
    assert (request["headRefName"], request["baseRefName"]) == ("parallel/x", "main")
    assert request["title"] == "Say what is new"
    assert request["body"] == "Say what is new\n\nIn a file.\n\n* Add new"
    assert repo.json("merge", "x", "--pr")["requested"] == [{"name": "x", "url": url}]
    assert len(forge.requests) == 1  # it is open already
    commit = squash_there(origin, "parallel/x", tmp_path)
    request |= {"state": "MERGED", "headRefOid": tip, "mergeCommit": {"oid": commit}}
    repo.parallel("cleanup")
    assert repo.names() == ["x"]  # it has not arrived here
    repo.git("pull", "--quiet", str(origin), "main")
    until(lambda: repo.names() == [])


@pytest.mark.slow
def test_says_how_to_log_in(repo: Repo, origin: Path, forge: Forge, tmp_path: Path) -> None:
    repo.start("x", ADD)
    (tmp_path / "home" / ".config" / "gh" / "hosts.yml").unlink()
    told = repo.parallel("merge", "x", "--pr", ok=1).stderr
    assert told.startswith("✗ gh pr list failed: ") and told.endswith("↳ gh auth login\n")
    assert not forge.requests
    branches = run("git", "branch", "--format=%(refname:short)", cwd=origin).stdout.split()
    assert branches == ["main"]  # nothing was pushed
