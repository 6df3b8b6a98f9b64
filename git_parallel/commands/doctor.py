"""`git parallel doctor`: what would keep tasks from working here."""

import shutil
from pathlib import Path
from typing import Any

import click

from git_parallel import agent, output
from git_parallel.repository import Repository, find_repository
from git_parallel.schema import Agent
from git_parallel.trust import Trust


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, as_json: bool) -> int:
    """Look at the agents: which are installed, and whether they could work. Exits 1 where one that
    is installed could not.
    """
    repository = find_repository(Path.cwd())
    loaded = repository.configuration()
    approvals = Trust(repository.store.state).approvals(loaded)
    presets = loaded.config.agents
    trusted = {n: p for n, p in presets.items() if approvals.allow(f"agents.{n}")}
    found = [_agent(repository, name, preset) for name, preset in trusted.items()]
    if as_json:
        output.json({"version": 1, "agents": found})
    else:
        for one in found:
            _show(one)
        if not any(one["installed"] for one in found):
            output.tell(
                output.NOTHING, "no agent is installed", hint=f"one of {', '.join(presets)}"
            )
    return 1 if any(one.get("trouble") for one in found) else 0


def _agent(repository: Repository, name: str, preset: Agent) -> dict[str, Any]:
    program = shutil.which(preset.command[0])
    answer: dict[str, Any] = {"name": name, "installed": program is not None}
    if program is None or preset.preflight is None:
        return answer
    with agent.preflight(preset, repository.place) as why_not:
        if words := why_not():
            answer |= {"trouble": words, "hint": preset.preflight.login}
    return answer


def _show(one: dict[str, Any]) -> None:
    if not one["installed"]:
        return
    if trouble := one.get("trouble"):
        hint = f" {output.HINT} {one['hint']}" if one["hint"] else ""
        output.answer(f"{output.ERROR} {one['name']} can't work: {output.printable(trouble)}{hint}")
        return
    output.answer(f"{output.DONE} {one['name']}")
