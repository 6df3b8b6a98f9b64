"""`git parallel doctor`: what is wrong here, and what mends it."""

import contextlib
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from git_parallel import agent, output
from git_parallel.commands import render
from git_parallel.diagnosis import findings, ports
from git_parallel.errors import ParallelError
from git_parallel.finding import Finding
from git_parallel.repository import Repository, find_repository
from git_parallel.schema import Agent
from git_parallel.surroundings import surroundings
from git_parallel.trust import Trust


@click.command("doctor")
@click.option("--fix", is_flag=True, help="Mend what can be mended without losing anything.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, fix: bool, as_json: bool) -> int:
    """Look for what is wrong: with tasks, worktrees, hooks, locks, the trash, git, and the agents
    that are installed. Exits 1 where something holds up work.
    """
    repository = find_repository(Path.cwd())
    if not repository.settled.copy_of:  # that is a finding
        render.tell_settled(repository)
    with contextlib.ExitStack() as asked:
        answers = {
            name: (preset, asked.enter_context(agent.preflight(preset, repository.place)))
            for name, preset in _trusted(repository).items()
            if shutil.which(preset.command[0])
        }
        found = _look(repository)
        mended = _mend_all(found) if fix else {}
        agents = _agents(repository, answers)
    if as_json:
        told = [_json(one, mended.get(one.what)) for one in found]
        output.json({"version": 1, "findings": told, "agents": agents})
    else:
        _show(found, mended, agents)
    wrong = any(one.matters and mended.get(one.what) != "" for one in found)
    return 1 if wrong or any(one.get("trouble") for one in agents) else 0


def _trusted(repository: Repository) -> Mapping[str, Agent]:
    """The agents to ask; none where the configuration can't be read, which is a finding."""
    try:
        loaded = repository.configuration()
    except ParallelError:
        return {}
    approvals = Trust(repository.store.state).approvals(loaded)
    presets = loaded.config.agents.items()
    return {name: preset for name, preset in presets if approvals.allow(f"agents.{name}")}


def _agents(
    repository: Repository, answers: Mapping[str, tuple[Agent, Callable[[], str]]]
) -> list[dict[str, Any]]:
    found = []
    for name in _trusted(repository):
        one: dict[str, Any] = {"name": name, "installed": name in answers}
        if name in answers:
            preset, why_not = answers[name]
            if preset.preflight and (words := why_not()):
                one |= {"trouble": words, "hint": preset.preflight.login}
        found.append(one)
    return found


def _look(repository: Repository) -> list[Finding]:
    return [*findings(repository), *surroundings(repository), *ports()]


def _mend_all(found: list[Finding]) -> dict[str, str]:
    """Why each thing that is safe to mend could not be; nothing where it is gone afterwards."""
    said = {one.what: _mend(one) for one in found if one.mend}
    left = {one.what for one in _look(find_repository(Path.cwd()))} if said else set()
    return {what: why or "it is as it was" * (what in left) for what, why in said.items()}


def _mend(finding: Finding) -> str:
    """Why something could not be mended; nothing where it was."""
    try:
        if finding.mend:
            finding.mend()
    except (ParallelError, OSError) as error:
        return str(error)
    return ""


def _json(finding: Finding, failed: str | None) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "kind": finding.kind,
        "what": finding.what,
        "why": finding.why,
        "command": finding.command,
        "safe": finding.safe,
        "matters": finding.matters,
    }
    if failed is not None:
        answer["mended"] = not failed
    return answer


def _show(found: list[Finding], mended: Mapping[str, str], agents: list[dict[str, Any]]) -> None:
    for one in found:
        failed = mended.get(one.what)
        if failed == "":
            _line(output.DONE, f"{one.what}: mended")
            continue
        _line(output.ERROR if one.matters else output.WARNING, f"{one.what}; {one.why}")
        _line(output.HINT, f"could not be mended: {failed}" if failed else one.command)
    for agent_found in agents:
        _show_agent(agent_found)
    if not found and not any(one.get("trouble") for one in agents):
        _line(output.DONE, "nothing is wrong here")
    if not any(one["installed"] for one in agents):
        known = ", ".join(one["name"] for one in agents)
        output.tell(output.NOTHING, "no agent is installed", hint=f"one of {known}")


def _line(glyph: str, text: str) -> None:
    output.answer(f"{output.paint(glyph, glyph, sys.stdout)} {output.printable(text)}")


def _show_agent(one: dict[str, Any]) -> None:
    if not one["installed"]:
        return
    if trouble := one.get("trouble"):
        hint = f" {output.HINT} {one['hint']}" if one["hint"] else ""
        _line(output.ERROR, f"{one['name']} can't work: {trouble}{hint}")
        return
    _line(output.DONE, one["name"])
