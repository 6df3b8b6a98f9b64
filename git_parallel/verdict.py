"""Why a run that has ended is not ready, from how its command ended and what its agent told. Pure.

An exit code of 0 is not enough: real agents exit so when every call of a tool was denied to them.
"""

import signal

from git_parallel.process import Exit
from git_parallel.task import Outcome, Status

NAMED = 3


def why_failed(ended: Exit, outcome: Outcome, limit_min: float) -> str:
    """Why a command has failed, or nothing; `limit_min` is how long it was allowed to run."""
    if ended.words:
        return ended.words
    if ended.timed_out:
        return f"it ran longer than {limit_min:g} min"
    if ended.code < 0:
        return f"it was ended by {signal.Signals(-ended.code).name}"
    if outcome.limited:
        return f"it ran into a limit of its service ({outcome.limited}): {outcome.error}"
    if outcome.error:
        return f"it ended with an error: {outcome.error}"
    return f"it ended with exit code {ended.code}" if ended.code else ""


def unchanged(outcome: Outcome | None) -> tuple[Status, str]:
    """What a run is that changed nothing, and why."""
    denied = outcome.denied if outcome else ()
    if denied:
        return Status.FAILED, f"it changed nothing, and was denied: {', '.join(denied[:NAMED])}"
    return Status.EMPTY, "it changed nothing"
