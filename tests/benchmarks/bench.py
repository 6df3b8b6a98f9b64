"""Measure git parallel beside plain git, in scratch repositories.

    python tests/benchmarks/bench.py [name...] [--runs N]

It prints the medians of both sides, measured in turn, and what is counted; it exits with 1 where
something is over its limit. Run it on a machine that has nothing else to do, from an editable
installation of the checkout.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from git_parallel import output
from tests.benchmarks.comparison import Gate, Result
from tests.benchmarks.gates import GATES
from tests.benchmarks.scratch import Scratch
from tests.benchmarks.timings import TIMINGS

NAMES = (*TIMINGS, *GATES)
RUNS = 9


def main(arguments: Sequence[str]) -> int:
    """Run the benchmarks that were named, or all of them."""
    asked = _parser().parse_args(arguments)
    names: Sequence[str] = asked.name or NAMES
    with tempfile.TemporaryDirectory(prefix="git-parallel-bench-") as folder:
        scratch = Scratch(Path(folder).resolve())
        try:
            results = [r for n in TIMINGS if n in names for r in _timed(scratch, n, asked.runs)]
            gates = [gate for n in GATES if n in names for gate in _counted(scratch, n)]
        finally:
            scratch.settle()
    _print(["WHAT", "OURS ms", "THEIRS ms", "DIFFERENCE", "LIMIT", "", "LEAST"], results)
    _print(["WHAT", "OURS", "IN ALL", "LIMIT", "", ""], gates)
    over = [r for r in results if r.over], [gate for gate in gates if gate.over]
    return 1 if any(over) else 0


def _parser() -> argparse.ArgumentParser:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("name", nargs="*", type=_known, help=f"some of {', '.join(NAMES)}")
    parser.add_argument("--runs", type=_positive, default=RUNS, metavar="N", help="9 if not given")
    return parser


def _known(text: str) -> str:
    if text not in NAMES:
        raise argparse.ArgumentTypeError(f"`{text}` is none of {', '.join(NAMES)}")
    return text


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("it must be at least 1")
    return number


def _timed(scratch: Scratch, name: str, runs: int) -> list[Result]:
    output.tell(output.BUSY, name)
    return TIMINGS[name](scratch, runs)


def _counted(scratch: Scratch, name: str) -> list[Gate]:
    output.tell(output.BUSY, name)
    return GATES[name](scratch)


def _print(head: list[str], found: Sequence[Result | Gate]) -> None:
    if found:
        print(output.table([head, *(one.row() for one in found)]), end="\n\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
