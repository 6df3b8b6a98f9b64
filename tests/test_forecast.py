"""Forecasts beside the truth: what real merges of the same commits come to."""

import itertools
from pathlib import Path

import pytest

from git_parallel.forecast import Pair, Trial, aside, trials
from git_parallel.git import Git
from git_parallel.history import History
from git_parallel.outcomes import outcomes
from git_parallel.overlap import Changes, Graph, footprint, meet
from git_parallel.plan import Candidate, plan
from git_parallel.simulation import Simulation, Work
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
    check_plan(git, tips, foreseen, clone)


def check_plan(git: Git, tips: dict[str, str], found: dict[Pair, Trial], clone: Clone) -> None:
    """Landing in the planned order comes to what plain git comes to, and the rest does not land."""
    main = tips["main"]
    names = [name for name in tips if name != "main"]
    alone = {n: t for n in names if not (t := found[main, tips[n]]).clean}
    pairs = [p for p in itertools.combinations(names, 2) if not found[tips[p[0]], tips[p[1]]].clean]
    works = {name: Work(tips[name], "main", main) for name in names}
    candidates = [Candidate(name=name, place="main", target="main") for name in names]
    with aside(git, git.folder) as scratch:
        simulation = Simulation(scratch, works, keeps_parents=True)
        planned = plan(candidates, pairs, alone, simulation.outcomes)
        ours = scratch.text("rev-parse", simulation.result(planned.order, "main", main) + "^{tree}")
    head = main
    for name in planned.order:
        assert clone.merge(head, tips[name]).clean, (name, planned)
        head = run("git", "rev-parse", "HEAD", cwd=clone.folder).stdout.strip()
    assert ours == run("git", "rev-parse", f"{head}^{{tree}}", cwd=clone.folder).stdout.strip()
    assert sorted([*planned.order, *(left.name for left in planned.left)]) == names
    for left in planned.left:
        assert not clone.merge(head, tips[left.name]).clean or left.name in alone


@pytest.mark.parametrize(
    ("one", "other", "meets"),
    [
        ({"edited": "a"}, {"edited": "b"}, False),
        ({"edited": "a"}, {"removed": "a"}, True),
        ({"added": "a"}, {"added": "a/b"}, True),
        ({"added": "a"}, {"added": "a/b/c/d"}, True),
        ({"added": "ab"}, {"added": "a/b"}, False),
        ({"edited": "d/x"}, {"added": "d/new"}, False),
        ({"removed": "d/x"}, {"added": "d/new"}, False),
        ({"removed": "d/x", "added": "e/x"}, {"added": "d/new"}, True),
        ({"removed": "d/sub/x", "added": "e/x"}, {"added": "d/new"}, True),
        ({"removed": "d/x", "added": "e/x"}, {"added": "d/sub/new"}, True),
        ({"removed": "x", "added": "sub/x"}, {"added": "new"}, True),
        ({"removed": "d/x", "added": "e/x"}, {"edited": "d/y"}, False),
    ],
)
def test_knows_from_the_paths_what_can_meet(
    one: dict[str, str], other: dict[str, str], meets: bool
) -> None:
    first, second = (
        footprint([Changes(**{kind: frozenset({path}) for kind, path in side.items()})])
        for side in (one, other)
    )
    assert meet([first], [second]) == meet([second], [first]) == meets


def test_knows_of_a_rename_whose_halves_are_told_apart() -> None:
    gone, new, entered = (
        footprint([Changes(**{kind: frozenset({path})})])
        for kind, path in (("removed", "d/x"), ("added", "e/x"), ("added", "d/new"))
    )
    assert meet([gone, new], [entered]) and meet([entered], [new, gone])
    assert not meet([gone], [entered])


def test_tries_tips_that_have_several_merge_bases_or_share_work() -> None:
    parents = {"m": ("l", "r"), "l": ("0",), "r": ("0",), "a": ("l", "r"), "b": ("r", "l")}
    parents |= {"c": ("l",), "d": ("r",), "e": ("c",), "n": ("m",), "o": ("m",)}
    graph = Graph(History(parents, "0"), {}, "m")
    met = {p for p in itertools.combinations("abcden", 2) if graph.may_collide(*p)}
    several, shared = {("a", "b"), ("a", "n"), ("b", "n")}, {("c", "e")}
    apart = {("c", "d"), ("d", "e")}  # from two lines of the trunk, of which neither is the base
    assert met == several | shared | apart
    assert not graph.may_collide("n", "o")


def told(trial: Trial, truth: Truth) -> tuple[bool | None, frozenset[str]]:
    """What was foreseen, in the words of the truth: some conflicts have no path in the index."""
    assert len(trial.kinds) == len(trial.conflicts)
    if truth.clean is None and not trial.clean:
        return None, frozenset()  # git gave up, in the trial too or only when it wrote files
    clean = None if trial.unknown else trial.clean
    return clean, frozenset(trial.conflicts if truth.paths else ())
