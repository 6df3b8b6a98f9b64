"""Whether what evidence claims holds, for many tasks at once: few calls of git answer for all."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import structs

from git_parallel import evidence
from git_parallel.changes import Change
from git_parallel.errors import GitError
from git_parallel.evidence import Case, Claim, Evidence, Pair
from git_parallel.forecast import Trial
from git_parallel.history import History
from git_parallel.presence import Piece, Plain, Undone, plain

Verdict = tuple[Evidence | None, str]


def judge_all(
    common: Path,
    cases: Sequence[Case],
    history: History,
    changes: Mapping[Pair, Change],
    merges: Mapping[Pair, Trial],
    trees: Mapping[str, str],
) -> dict[Case, Verdict]:
    """The evidence of each case, or None and why it does not count as merged.

    `changes` and `merges` answer `evidence.questions`; a claim that git can't check is unknown.
    """
    found: dict[Case, Verdict] = {}
    claims: dict[Case, Claim] = {}
    for case in cases:
        claim, reason = evidence.claim(case, history, changes, merges, trees)
        if claim is None:
            found[case] = None, reason
        else:
            claims[case] = claim
    if claims:
        try:
            with plain(common, cases[0].tip) as aside:
                found |= _check(aside, claims, history, changes, trees)
        except GitError as error:
            reason = f"not known whether it is merged: {error.message}"
            found |= dict.fromkeys(claims, (None, reason))
    return found


def _check(
    aside: Plain,
    claims: dict[Case, Claim],
    history: History,
    changes: Mapping[Pair, Change],
    trees: Mapping[str, str],
) -> dict[Case, Verdict]:
    claims = claims | _search(aside, claims, history, changes)
    merges = aside.trials([claim.merge for claim in claims.values() if claim.merge])
    proved = {case: claim for case, claim in claims.items() if claim.evidence}
    pieces = [piece for claim in proved.values() for piece in claim.pieces]
    undone = aside.undone(pieces, changes)
    undone |= _settle(aside, proved, history, changes, undone)
    return {
        case: evidence.judge(case, claim, undone, merges, trees[case.target_tip])
        for case, claim in claims.items()
    }


def _settle(
    aside: Plain,
    claims: Mapping[Case, Claim],
    history: History,
    changes: Mapping[Pair, Change],
    undone: Mapping[Piece, Undone],
) -> dict[Piece, Undone]:
    """What is left of the pieces that others have written over since: was it built upon, or taken
    back first? Looked at after each step that touched one of the paths.
    """
    asked = [
        asked
        for case, claim in claims.items()
        for asked in evidence.disputes(case, claim, history, undone)
    ]
    touched = aside.touched([step for _, step in asked if step[1]])
    settled: dict[Piece, Undone] = {}
    looked: dict[Piece, list[Piece]] = {}
    for piece, (_, step) in asked:
        if not step:
            settled[piece] = Undone(unknown="others have written over it since")
        elif touched.get(step, frozenset()) & set(undone[piece].disputed):
            looked.setdefault(piece, []).append(structs.replace(piece, at=step))
    then = aside.undone([at for steps in looked.values() for at in steps], changes)
    for piece, steps in looked.items():
        gone = {path for at in steps for path in then[at].paths}
        if back := tuple(path for path in undone[piece].disputed if path in gone):
            settled.setdefault(piece, Undone((*undone[piece].paths, *back)))
        elif unknown := next((then[at].unknown for at in steps if then[at].unknown), ""):
            settled.setdefault(piece, Undone(unknown=unknown))
    return settled


def _search(
    aside: Plain, claims: Mapping[Case, Claim], history: History, changes: Mapping[Pair, Change]
) -> dict[Case, Claim]:
    """The claims without evidence for which a commit is found that took the task in."""
    lines = {
        case: evidence.steps(case, history, claim.pieces[0].old)
        for case, claim in claims.items()
        if claim.evidence is None
    }
    touched = aside.touched([step for line in lines.values() for step in line])
    likely = {}
    for case, line in lines.items():
        piece = claims[case].pieces[0]
        own = changes[piece.old, piece.new].paths
        likely[case] = list(evidence.landings(own, line, touched))
    merges = aside.trials([(at, case.tip) for case, found in likely.items() for at in found])
    known = aside.trees(at for found in likely.values() for at in found)
    took = {}
    for case, found in likely.items():
        clean = (at for at in found if merges[at, case.tip].clean)
        at = next((at for at in clean if merges[at, case.tip].tree == known.get(at)), None)
        if at:
            proved = evidence.landed_at(case, at)
            entries = (at, *claims[case].entries[1:])
            took[case] = structs.replace(claims[case], evidence=proved, entries=entries)
    return took
