"""Is a task merged, and how do we know?

Each rule needs a proof; what is merely likely (a branch that is gone, a closed request, a name,
an age) is none. A question that git could not answer is *unknown*, and unknown keeps.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from git_parallel.changes import Change
from git_parallel.forecast import Trial
from git_parallel.history import History
from git_parallel.records import Landed


class Evidence(Struct, frozen=True, omit_defaults=True):
    """Why a task counts as merged: the rule, the commit on the target, and a sentence."""

    rule: str
    target: str
    text: str
    commit: str | None = None


class Case(Struct, frozen=True):
    """A task's tip beside the target that it may have landed in."""

    tip: str
    base: str
    target: str
    target_tip: str
    landed: Landed | None
    made: frozenset[str] = frozenset()

    def carried(self, history: History) -> tuple[str, str, str] | None:
        """Where the tip entered the target: the commit before, that commit, and the fork of the
        two lines of work; None if the tip is not in the target.
        """
        if not history.contains(self.target_tip, self.tip):
            return None
        carrier = history.carrier(self.target_tip, self.tip)
        parents = history.parents.get(carrier or "", ())
        if carrier is None or carrier == self.tip or not parents:
            return (self.base, self.tip, self.base)
        fork = history.merge_base(parents[0], self.tip)
        return (parents[0], carrier, fork or self.base)

    def fork(self, history: History) -> str | None:
        """The commit that the task's own changes are counted from."""
        carried = self.carried(history)
        return carried[2] if carried else history.merge_base(self.target_tip, self.tip)


Pair = tuple[str, str]


def questions(case: Case, history: History) -> tuple[list[Pair], list[Pair]]:
    """What must be asked of git before `judge`: pairs to compare, and pairs to merge on trial."""
    if case.tip == case.base:
        return [], []
    fork = case.fork(history)
    if fork is None:
        return [], []
    compared = [(fork, case.tip)]
    carried = case.carried(history)
    if carried is None:
        return compared, [(case.target_tip, case.tip)]
    before, carrier, _ = carried
    return [*compared, (before, carrier), (fork, case.target_tip)], []


def judge(
    case: Case,
    history: History,
    changes: Mapping[Pair, Change],
    merges: Mapping[Pair, Trial],
    trees: Mapping[str, str],
) -> tuple[Evidence | None, str]:
    """The evidence that a task is merged, or None and the reason why it does not count as merged.

    `trees` holds the tree of each target's tip.
    """
    if case.tip == case.base:
        return None, "no commit of its own yet"
    if found := _recorded(case, history):
        return found, ""
    fork = case.fork(history)
    if fork is None:
        return None, f"its history has nothing in common with {case.target}"
    own = changes[(fork, case.tip)]
    if case.carried(history):
        return _contained_by_history(case, history, own, changes)
    if not own.entries:
        return None, "its commits cancel each other out"
    merge = merges[(case.target_tip, case.tip)]
    if merge.unknown:
        return None, f"not known whether it is merged: {merge.unknown}"
    if merge.clean and merge.tree == trees[case.target_tip]:
        text = f"merged into {case.target}, all of its changes are there"
        return Evidence("M5", case.target, text, case.target_tip), ""
    return None, f"not merged into {case.target}"


def _recorded(case: Case, history: History) -> Evidence | None:
    landed = case.landed
    if landed is None or (landed.tip, landed.target) != (case.tip, case.target):
        return None
    if not history.contains(case.target_tip, landed.result):
        return None
    return Evidence("M1", case.target, f"merged into {case.target}", landed.result)


def _contained_by_history(
    case: Case, history: History, own: Change, changes: Mapping[Pair, Change]
) -> tuple[Evidence | None, str]:
    """An ancestor of the target counts, unless its content was dropped or taken back again."""
    if not case.made & history.reach(case.tip):
        return None, "no commit of its own yet"
    if not own.entries:
        return None, "its commits cancel each other out"
    before, carrier, fork = case.carried(history) or (case.base, case.tip, case.base)
    brought = set(changes[(before, carrier)].paths)
    if not brought & set(own.paths):
        return None, f"its changes were dropped by the merge {carrier[:7]}"
    since = changes[(fork, case.target_tip)].sides()
    if not any(path in since for path in own.paths):
        return None, f"its changes were reverted in {case.target}"
    return Evidence("M2", case.target, f"merged into {case.target}", carrier), ""


def reached(cases: Iterable[Case]) -> list[str]:
    """Every commit that the cases' history must hold as a tip."""
    found: list[str] = []
    for case in cases:
        found += [case.tip, case.target_tip]
    return list(dict.fromkeys(found))
