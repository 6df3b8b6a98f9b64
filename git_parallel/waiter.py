"""Wait for a run's command in a process of few megabytes.

A runner becomes this by exec, and this becomes the runner again when the command has ended, its
time is over, or somebody asks for its end: the same process all along, with the same children and
the same locks. It imports nothing of ours, and nothing else that a bare Python has not loaded.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Sequence

SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}
LATEST = "-"  # where there is no time limit


def main(words: Sequence[str]) -> None:
    """Wait for a process, until a moment of the monotonic clock, and become a command line then: it
    gets the exit code, if there is one, and whether somebody asked for the end.
    """
    pid, limit, *command = words
    asked: list[int] = []
    wake, write = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    for number in SIGNALS:
        stops = number in (signal.SIGTERM, signal.SIGINT)
        signal.signal(number, (lambda n, _: asked.append(n)) if stops else (lambda *_: None))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    while True:
        code = _reaped(int(pid))
        left = None if limit == LATEST else float(limit) - time.monotonic()
        if code is not None or asked or (left is not None and left <= 0):
            break
        if select.select([wake], [], [], left)[0]:
            os.read(wake, 4096)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # what comes meanwhile comes to the runner
    told = [LATEST if code is None else str(code), "stop" if asked else ""]
    os.execv(command[0], [*command, *told])  # noqa: S606 - it is this one


def _reaped(pid: int) -> int | None:
    """The exit code of a process if it has ended, negative for a signal; orphans are buried."""
    try:
        while True:
            found, status = os.waitpid(-1, os.WNOHANG)
            if found == 0:
                return None
            if found == pid:
                return os.waitstatus_to_exitcode(status)
    except ChildProcessError:
        return 127  # nobody is left: somebody else must have buried it


if __name__ == "__main__":
    main(sys.argv[1:])
