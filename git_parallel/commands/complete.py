"""`git parallel complete WORD...`: what the completions of the shells ask when TAB is pressed."""

import sys
from collections.abc import Sequence

from git_parallel import completion
from git_parallel.errors import ParallelError


def main(words: Sequence[str]) -> int:
    """Print what could stand in place of the last word. Nobody wants to read of an error there."""
    try:
        lines = completion.propose(list(words))
    except (OSError, ValueError, ParallelError):
        return 1
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0
