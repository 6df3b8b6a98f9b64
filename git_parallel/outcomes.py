"""The outcomes of many merges at once: most are plain from the paths, and need no trial."""

import itertools
from collections.abc import Mapping, Sequence

from git_parallel import forecast
from git_parallel.errors import GitError
from git_parallel.forecast import Pair, Trial
from git_parallel.git import Git
from git_parallel.overlap import Graph, graph_of

NO_PATHS: Mapping[str, frozenset[str]] = {}


def outcomes(
    git: Git,
    wanted: Sequence[Pair],
    trunk: str,
    floor: str,
    places: Mapping[str, Git] = forecast.NO_PLACES,
    paths: Mapping[str, frozenset[str]] = NO_PATHS,
) -> dict[Pair, Trial]:
    """The outcomes of merges, tried only where that is needed to know; those that were not tried
    have no tree. `trunk` is the tip that most forked from, `floor` a guess at what is below all;
    `paths` some that tips changed, so that merges which need a trial can begin before all is known.
    """
    nothing = frozenset[str]()
    meeting = [p for p in wanted if not paths.get(p[0], nothing).isdisjoint(paths.get(p[1], ()))]
    begun = forecast.begin(git, meeting, places)
    sure = set(meeting)
    graph = _graph(git, list(itertools.chain(*wanted)), trunk, floor)
    rest = [pair for pair in wanted if pair not in sure]
    others = [pair for pair in rest if graph is None or graph.may_collide(*pair)]
    return {**dict.fromkeys(wanted, Trial()), **begun(), **forecast.merged(git, others, places)}


def _graph(git: Git, tips: Sequence[str], trunk: str, floor: str) -> Graph | None:
    try:
        if found := graph_of(git, tips, floor, trunk):
            return found
        common = git.run("merge-base", "--octopus", trunk, *tips, ok=(0, 1)).out.split()
        return graph_of(git, tips, common[0], trunk) if common else None
    except GitError:
        return None  # then every pair is tried
