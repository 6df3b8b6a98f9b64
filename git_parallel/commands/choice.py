"""What is to run on a task, for `start` and `run`: a preset's command line or a plain command."""

import contextlib
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct, structs

from git_parallel import brief, records
from git_parallel.config import Loaded
from git_parallel.errors import ParallelError, UsageError
from git_parallel.repository import Repository
from git_parallel.task import Phase, Run, now
from git_parallel.task_folder import TaskFolder
from git_parallel.trust import Trust


class Wish(Struct, frozen=True):
    """What the user asked to run; `words` is a command of their own. `repeats`: the prompt is that
    of the run before, which may say more now, and no follow-up.
    """

    agent: str | None
    model: str | None
    effort: str | None
    prompt: bytes | None
    words: tuple[str, ...] | None
    interactive: bool = False
    repeats: bool = False

    @property
    def names(self) -> bool:
        """Whether it says which agent is to run, or how."""
        return bool(self.agent or self.model or self.effort or self.interactive)


class Chosen(Struct, frozen=True):
    """What is to run: a preset by its name, if it is one, its command line, and the conversation
    that it is or goes on with, where that is known.
    """

    agent: str | None
    command: tuple[str, ...]
    session: str | None = None
    resumed: bool = False
    interactive: bool = False
    model: str | None = None
    effort: str | None = None

    def run(self, number: int, *, bootstrap: bool) -> Run:
        """The record of a run of it that stands in line."""
        known = structs.asdict(self)
        return Run(number=number, bootstrap=bootstrap, phase=Phase.QUEUED, queued=now(), **known)


def again(last: Run) -> Chosen:
    """What ran last, to be tried again: a conversation that it began is begun anew, since an agent
    takes an id only once.
    """
    known = {name: getattr(last, name) for name in Chosen.__struct_fields__}
    if last.resumed or last.session is None:
        return Chosen(**known)
    new = str(uuid.uuid4())
    command = tuple(word.replace(last.session, new) for word in last.command)
    session = new if command != last.command else None
    return Chosen(**{**known, "command": command, "session": session})


def goes_on(loaded: Loaded, last: Run, wish: Wish) -> bool:
    """Whether a follow-up goes on with the conversation of the run before."""
    preset = loaded.config.agents.get(last.agent or "")
    if preset is None or wish.agent not in (None, last.agent):
        return False
    row = preset.interactive if wish.interactive else preset
    return bool(row and row.resume) and last.has_conversation


def choose(
    repository: Repository, loaded: Loaded, wish: Wish, *, session: str | None = None
) -> Chosen | None:
    """What is to run, or nothing; `session` is a conversation to go on with, where the agent can.
    Raises ParallelError.
    """
    named = next((o for o in ("agent", "model", "effort") if getattr(wish, o) is not None), None)
    if wish.words:
        if named:
            raise UsageError(f"--{named} and a command can't be used together")
        return Chosen(None, wish.words, interactive=wish.interactive)
    if wish.prompt is None and named is None and not wish.interactive:
        return None
    if wish.prompt is None:
        raise UsageError("an agent needs a prompt", hint="-m TEXT or -F FILE")
    from git_parallel import agent

    approvals = Trust(repository.store.state).approvals(loaded)
    name = agent.choose(loaded, wish.agent, approvals)
    preset = loaded.config.agents[name]
    command, known = agent.command_of(
        name,
        preset,
        model=wish.model,
        effort=wish.effort,
        session=session,
        interactive=wish.interactive,
    )
    row = preset.interactive if wish.interactive else preset
    resumed = bool(session and row and row.resume)
    return Chosen(name, command, known, resumed, wish.interactive, wish.model, wish.effort)


@contextlib.contextmanager
def preflight(
    repository: Repository, loaded: Loaded, chosen: Chosen | None
) -> Iterator[Callable[[], None]]:
    """Ask an agent whether it could work, while something else goes on; what is yielded raises
    ParallelError where it could not.
    """
    if chosen is None or chosen.agent is None:
        yield lambda: None
        return
    from git_parallel import agent

    name, preset = chosen.agent, loaded.config.agents[chosen.agent]
    with agent.preflight(preset, repository.place) as why_not:

        def make_sure() -> None:
            if words := why_not():
                asked = preset.preflight
                hint = asked and (asked.login or f"try it: {' '.join(asked.ask)}")
                raise ParallelError(f"the agent `{name}` can't work: {words}", hint=hint or "")

        yield make_sure


def keep_brief(
    repository: Repository, folder: TaskFolder, number: int, prompt: bytes | None, loaded: Loaded
) -> None:
    """Keep what the user asked, byte for byte, and what the agent will be told."""
    rules = loaded.config
    if prompt is not None:
        records.write(folder.prompt(number), prompt)
    template = brief.load_template(repository.place, rules.brief.template)
    brief.write(folder, number, template, rules.checks.run)


def read_prompt(text: str | None, file: str | None) -> bytes | None:
    """The prompt as bytes, from the options that give it; raises ParallelError."""
    if text is not None and file is not None:
        raise UsageError("-m and -F can't be used together")
    if text is not None:
        prompt = os.fsencode(text)
    elif file == "-":
        prompt = sys.stdin.buffer.read()
    elif file is not None:
        try:
            prompt = Path(file).read_bytes()
        except OSError as error:
            raise ParallelError(f"{file} can't be read: {error.strerror}") from error
    else:
        return None
    if not prompt.strip():
        raise UsageError("the prompt is empty")
    return prompt
