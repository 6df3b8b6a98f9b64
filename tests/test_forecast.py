"""Forecasts beside the truth: what real merges of the same commits come to."""

import itertools
from pathlib import Path

import pytest

from git_parallel.collisions import outcomes
from git_parallel.forecast import Trial, aside, trials
from git_parallel.git import Git
from tests.conftest import run
from tests.histories import Clone, Truth, make_history

MANY = 220
FEW = 12


@pytest.mark.parametrize(
    "seed",
    [*range(FEW), *(pytest.param(n, marks=pytest.mark.slow) for n in range(FEW, MANY))],
)
def test_foresees_what_a_real_merge_of_every_pair_comes_to(seed: int, tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    tips = make_history(origin, seed, branches=4)
    pairs = list(itertools.combinations(tips.values(), 2))
    base = run("git", "rev-list", "--max-parents=0", tips["main"], cwd=origin).stdout.strip()
    git = Git(origin)
    with aside(git, origin) as scratch:
        foreseen = outcomes(scratch, pairs, tips["main"], base)
    tried = trials(git, origin, pairs)
    clone = Clone(origin, tmp_path / "clone")
    for pair in pairs:
        truth = clone.merge(*pair)
        assert told(foreseen[pair], truth) == (truth.clean, truth.paths), pair
        assert tried[pair].conflicts == foreseen[pair].conflicts
        if truth.clean:
            assert tried[pair].tree == truth.tree


def told(trial: Trial, truth: Truth) -> tuple[bool | None, frozenset[str]]:
    """What was foreseen, in the words of the truth: some conflicts have no path in the index."""
    assert len(trial.kinds) == len(trial.conflicts)
    clean = None if trial.unknown else trial.clean
    return clean, frozenset(trial.conflicts if truth.paths else ())
