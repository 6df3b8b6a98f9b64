"""Run the commands that must pass, one after the other, up to the first that does not."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from git_parallel.process import Exit
from git_parallel.task import Check


def run_checks(
    commands: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    output: IO[bytes],
    run: Callable[..., Exit],
    timeout_s: float,
    told: Callable[[str], None],
) -> tuple[tuple[Check, ...], str]:
    """The checks that were run, and why the last of them failed, or nothing.

    `run` is a supervisor's way to run a program; `told` hears each command before it starts.
    """
    done: list[Check] = []
    for command in commands:
        told(command)
        output.write(f"── check: {command}\n".encode("utf-8", "surrogateescape"))
        began = time.monotonic()
        ended = run(
            ("sh", "-c", command),
            folder=folder,
            environment=environment,
            output=output,
            timeout_s=timeout_s,
        )
        passed = ended.code == 0 and not ended.timed_out
        code = ended.code if passed or ended.code else None
        done.append(Check(command, code, round(time.monotonic() - began, 2)))
        if not passed:
            return tuple(done), f"the check `{command}` {_how(ended, timeout_s)}"
    return tuple(done), ""


def _how(ended: Exit, timeout_s: float) -> str:
    if ended.timed_out:
        return f"took longer than {timeout_s / 60:g} min"
    return f"failed with exit code {ended.code}"
