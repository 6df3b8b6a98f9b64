"""Our program with its doors watched: killed, failed or held at the n-th write, rename or spawn.

The doors are where a process of ours changes something outside of itself. `arm` puts a counter
before each of them; what happens when the count is reached is a `Trap`.
"""

import builtins
import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import msgspec

DOORS = ("replace", "rename", "fsync", "unlink", "symlink", "mkdir", "rmdir", "posix_spawnp")
HELD_S = 60.0


class Trap(msgspec.Struct, frozen=True, kw_only=True):
    """What happens at a door. `at` is its number, 0 for none, and `after` has the door opened
    before. `kind`: `kill` is SIGKILL, `fail` is an OSError there and at all later ones, `hold`
    waits there until the file `go` exists, once `reached` was made. `clock_s` shifts the wall
    clock; `runner` has all that happen in the runner that is launched, and not here.
    """

    kind: str = "kill"
    at: int = 0
    after: bool = False
    number: int = 0
    only: str = ""
    go: str = ""
    reached: str = ""
    clock_s: float = 0.0
    runner: bool = False


class Bell:
    """Counts the doors that are opened."""

    def __init__(self, trap: Trap) -> None:
        self.trap = trap
        self.left = trap.at
        self.rung = False

    def armed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A door that counts."""

        def call(*words: Any, **named: Any) -> Any:
            self.left -= 1
            now = self.left == 0 or (self.left < 0 and self.trap.kind == "fail")
            if self.trap.at and now and self.trap.after:
                done = function(*words, **named)
                self._spring()
                return done
            if self.trap.at and now:
                self._spring()
            return function(*words, **named)

        return call

    def _spring(self) -> None:
        if self.trap.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.trap.kind == "fail":
            raise OSError(self.trap.number, os.strerror(self.trap.number))
        os.close(os.open(self.trap.reached, os.O_WRONLY | os.O_CREAT))
        limit = time.monotonic() + HELD_S
        while not Path(self.trap.go).exists() and time.monotonic() < limit:
            time.sleep(0.005)


def arm(trap: Trap) -> None:
    """Put the counter before every door of this process."""
    if trap.runner:
        _arm_runner(trap)
        return
    if trap.clock_s:
        _set_clock(trap.clock_s)
    if not trap.at:
        return
    bell = Bell(trap)
    names = trap.only.split() or [*DOORS, "spawn", "open"]
    for name in set(names) & set(DOORS):
        setattr(os, name, bell.armed(getattr(os, name)))
    if "spawn" in names:
        subprocess.Popen.__init__ = bell.armed(subprocess.Popen.__init__)  # type: ignore[method-assign]
    if "open" in names:
        _arm_open(bell)


def _set_clock(by_s: float) -> None:
    """Shift the wall clock, in all modules of ours that ask for it; not the monotonic one."""
    real = time.time
    time.time = lambda: real() + by_s

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(seconds=by_s)

    for name, module in list(sys.modules.items()):
        if name.startswith("git_parallel.") and getattr(module, "datetime", None) is datetime:
            module.datetime = Shifted  # type: ignore[attr-defined]


def _arm_open(bell: Bell) -> None:
    """Of the files that are opened, those to be written to."""
    plain, raw = io.open, os.open
    counted, counted_raw = bell.armed(plain), bell.armed(raw)

    def opened(file: Any, mode: str = "r", *words: Any, **named: Any) -> Any:
        writes = not isinstance(file, int) and set(mode) & set("wax+")
        return (counted if writes else plain)(file, mode, *words, **named)

    def opened_raw(path: Any, flags: int, *words: Any, **named: Any) -> int:
        made: int = (counted_raw if flags & os.O_CREAT else raw)(path, flags, *words, **named)
        return made

    builtins.open = opened
    io.open = opened
    os.open = opened_raw


def _arm_runner(trap: Trap) -> None:
    """Have the runner that this process launches be one with the trap."""
    from git_parallel import process

    text = msgspec.json.encode(msgspec.structs.replace(trap, runner=False)).decode()
    script = (
        "import sys; from tests import doors; from git_parallel.__main__ import main; "
        f"sys.argv[1] == 'runner' and doors.arm_from({text!r}); main()"
    )
    own = process.own_program()[0]
    process.own_program = lambda: [own, "-c", script]
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])


def arm_from(text: str) -> None:
    """Arm what a text describes."""
    with contextlib.suppress(ImportError):
        import git_parallel.carrier  # noqa: F401 - what imports write is not what is counted
    arm(msgspec.json.decode(text, type=Trap))
