"""Is a task merged, and how do we know?

Each rule needs a proof; what is merely likely (a branch that is gone, a closed request, a name,
an age) is none. A question that git could not answer is *unknown*, and unknown keeps.

It is found out in two steps. `claim` says by which rule a task may be merged, or why it can't be;
`judge` has the last word, once it is known whether all that the task changed is still there.
"""

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct, structs

from git_parallel.changes import Change
from git_parallel.forecast import Trial
from git_parallel.history import History
from git_parallel.presence import Piece, Undone
from git_parallel.records import Landed
from git_parallel.wording import named

NO_COMMIT = "no commit of its own yet"
MOST_STEPS = 500  # of a target's own line, looked through for one that took a task in
MOST_TRIALS = 100
NAMED = 3


class Evidence(Struct, frozen=True, omit_defaults=True):
    """Why a task counts as merged: the rule, the commit on the target, and a sentence."""

    rule: str
    target: str
    text: str
    commit: str | None = None


class Way(Struct, frozen=True):
    """How a tip entered the target: the commit before, the one that brought it, and the fork of
    the two lines of work.
    """

    before: str
    carrier: str
    fork: str


class Case(Struct, frozen=True):
    """A task's tip beside the target that it may have landed in; `made` are the commits that were
    made on its branch, and `stands_on` is what another task landed, which its own begin after.
    """

    tip: str
    base: str
    target: str
    target_tip: str
    landed: Landed | None
    made: frozenset[str] = frozenset()
    stands_on: str | None = None

    def carried(self, history: History, tip: str = "") -> Way | None:
        """How the tip, or an earlier one, entered the target; None if it is not in there."""
        tip = tip or self.tip
        if not history.contains(self.target_tip, tip):
            return None
        carrier = history.carrier(self.target_tip, tip)
        parents = history.parents.get(carrier or "", ())
        if carrier is None or carrier == tip or not parents:
            return Way(self.base, tip, self.base)
        fork = history.merge_base(parents[0], tip)
        return Way(parents[0], carrier, fork or self.base)

    def fork(self, history: History) -> str | None:
        """The commit that the task's own changes are counted from."""
        way = self.carried(history)
        fork = way.fork if way else history.merge_base(self.target_tip, self.tip)
        return self.stands_on if self.is_apart(history) else fork

    def is_apart(self, history: History) -> bool:
        """Whether its own commits stand on what the target has only in another form."""
        below = self.stands_on
        if not below or not history.contains(self.tip, below):
            return False
        fork = history.merge_base(self.target_tip, self.tip)
        landed = history.contains(self.target_tip, below)
        return not landed and fork is not None and history.contains(below, fork)

    def ahead(self, history: History) -> int:
        """How many commits of its own it is ahead of the target."""
        own = history.reach(self.tip) - history.reach(self.target_tip)
        if self.stands_on and self.is_apart(history):
            own -= history.reach(self.stands_on)
        return sum(commit in history.parents for commit in own)

    def pieces(self, history: History) -> list[Piece]:
        """The task's own changes, the newest first: more than one where it was merged and then
        went on, as what was merged first may have been reverted since.
        """
        found: list[Piece] = []
        tip, fork = self.tip, self.fork(history)
        while fork and fork != tip:
            found.append(Piece(fork, tip, self.target_tip))
            if fork == self.base or not self._is_own(history, fork, tip):
                break
            way = self.carried(history, fork)
            tip, fork = fork, way.fork if way else None
        return found

    def _is_own(self, history: History, commit: str, tip: str) -> bool:
        """Whether a commit below the tip is one that the task itself was at."""
        line = commit in history.parents and commit in history.first_parents(tip)
        return line and bool(self.made & history.reach(commit))


class Claim(Struct, frozen=True):
    """That a task is merged, if its changes are still there (`pieces`) and if a trial merge
    (`merge`) changes nothing where no settings can sway it. `entries` are the commits of the
    target's own line that brought each piece. Without evidence it must first be found which.
    """

    pieces: tuple[Piece, ...]
    entries: tuple[str, ...]
    evidence: Evidence | None = None
    merge: tuple[str, str] | None = None


Pair = tuple[str, str]


def questions(case: Case, history: History) -> tuple[list[Pair], list[Pair]]:
    """What must be asked of git before `claim`: pairs to compare, and pairs to merge on trial."""
    if case.tip == case.base:
        return [], []
    pieces = case.pieces(history)
    if not pieces:
        return [], []
    compared = [(piece.old, piece.new) for piece in pieces]
    way = case.carried(history)
    if way is None:
        return compared, [(case.target_tip, case.tip)]
    return [*compared, (way.before, way.carrier), (way.carrier, case.tip)], []


def claim(
    case: Case,
    history: History,
    changes: Mapping[Pair, Change],
    merges: Mapping[Pair, Trial],
    trees: Mapping[str, str],
) -> tuple[Claim | None, str]:
    """By which rule a task may be merged, or None and the reason why it does not count as merged.

    `trees` holds the tree of each target's tip.
    """
    if case.tip == case.base:
        return None, NO_COMMIT
    pieces = case.pieces(history)
    if recorded := _recorded(case, history):
        return _resting_on(case, history, pieces, recorded), ""
    if not pieces:
        return None, f"its history has nothing in common with {case.target}"
    if not case.made & history.reach(case.tip):
        return None, NO_COMMIT
    own = changes[pieces[0].old, pieces[0].new]
    if not own.entries:
        return None, "its commits cancel each other out"
    if way := case.carried(history):
        if reason := _dropped(way, case, own, changes):
            return None, reason
        proof = Evidence("M2", case.target, f"merged into {case.target}", way.carrier)
        return _resting_on(case, history, pieces, proof), ""
    merge = merges[case.target_tip, case.tip]
    if merge.unknown:
        return None, f"not known whether it is merged: {merge.unknown}"
    if merge.conflicts:
        return _resting_on(case, history, pieces, None), ""
    if merge.tree != trees[case.target_tip]:
        return None, f"not merged into {case.target}"
    text = f"merged into {case.target}, all of its changes are there"
    proof = Evidence("M5", case.target, text, case.target_tip)
    rests = _resting_on(case, history, pieces, proof)
    return structs.replace(rests, merge=(case.target_tip, case.tip)), ""


def _recorded(case: Case, history: History) -> Evidence | None:
    landed = case.landed
    if landed is None or landed.tip != case.tip:
        return None
    if not history.contains(case.target_tip, landed.result):
        return None
    return Evidence("M1", case.target, f"merged into {case.target}", landed.result)


def _dropped(way: Way, case: Case, own: Change, changes: Mapping[Pair, Change]) -> str:
    """Why an ancestor of the target does not count: the merge that brought it left out paths of
    its changes, and what stands there is not the same; nothing, if it left out none.
    """
    brought = set(changes[way.before, way.carrier].paths)
    differs = set(changes[way.carrier, case.tip].paths)
    left_out = [path for path in own.paths if path not in brought and path in differs]
    if not left_out:
        return ""
    return f"its changes were dropped by the merge {way.carrier[:7]}: {named(left_out, NAMED)}"


def _resting_on(case: Case, history: History, pieces: list[Piece], proof: Evidence | None) -> Claim:
    """A claim with all that must be there still; what the target's newest commit itself brought
    is, where that is the task's own tip or our own merge of it.
    """
    ways = [case.carried(history, piece.new) for piece in pieces]
    entries = [way.carrier if way else "" for way in ways]
    if proof and proof.rule in ("M1", "M5") and entries:
        entries[0] = proof.commit or ""
    ours = proof is not None and (proof.rule == "M1" or proof.commit == case.tip)
    if ours and proof and proof.commit == case.target_tip:
        pieces, entries = pieces[1:], entries[1:]
    return Claim(tuple(pieces), tuple(entries), proof)


def steps(case: Case, history: History, fork: str) -> list[Pair]:
    """The newest steps of the target's own line since the fork, oldest first: (before, step)."""
    below, found = history.reach(fork), list[Pair]()
    for commit in history.first_parents(case.target_tip):
        parents = history.parents[commit]
        if commit in below or not parents or len(found) == MOST_STEPS:
            break
        found.append((parents[0], commit))
    return found[::-1]


def landings(
    own: Iterable[str], line: Iterable[Pair], touched: Mapping[str, frozenset[str]]
) -> Iterator[str]:
    """The steps that may have brought a change, the likeliest first: those that touch its paths
    once all of them have been touched.
    """
    wanted = set(own)
    missing, found = set(wanted), 0
    for _, commit in line:
        paths = touched.get(commit, frozenset())
        missing -= paths
        if not missing and paths & wanted and found < MOST_TRIALS:
            found += 1
            yield commit


def landed_at(case: Case, commit: str) -> Evidence:
    """The evidence that a commit of the target's own line took a task in, and was built upon."""
    return Evidence("M6", case.target, f"merged into {case.target}, and built upon since", commit)


def judge(
    case: Case,
    found: Claim,
    undone: Mapping[Piece, Undone],
    merges: Mapping[Pair, Trial],
    tree: str,
) -> tuple[Evidence | None, str]:
    """The evidence that a task is merged, or None and the reason why it does not count as merged.

    `merges` and `undone` answer what the claim rests on, `tree` is that of the target's tip.
    """
    if found.evidence is None:
        return None, f"not merged into {case.target}"
    if found.merge:
        merge = merges[found.merge]
        if merge.unknown or merge.conflicts or merge.tree != tree:
            return None, f"not merged into {case.target}"
    for piece in found.pieces:
        left = undone[piece]
        if left.unknown:
            return None, f"not known whether it is merged: {left.unknown}"
        if left.paths:
            return None, f"its changes were reverted in {case.target}: {named(left.paths, NAMED)}"
    return found.evidence, ""


def disputes(
    case: Case, found: Claim, history: History, undone: Mapping[Piece, Undone]
) -> Iterator[tuple[Piece, Pair]]:
    """The steps of the target since it took a piece in, for those pieces that others have written
    over since: was one of them taken back in between? (piece, step)
    """
    for piece, entry in zip(found.pieces, found.entries, strict=True):
        if not undone[piece].disputed:
            continue
        line = steps(case, history, piece.old)
        at = [number for number, (_, commit) in enumerate(line) if commit == entry]
        for step in line[at[0] + 1 :] if at else [(entry, "")]:
            yield piece, step


def reached(cases: Iterable[Case]) -> list[str]:
    """Every commit that the cases' history must hold as a tip."""
    return list(dict.fromkeys(tip for case in cases for tip in (case.tip, case.target_tip)))
