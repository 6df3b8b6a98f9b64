"""Which tasks collide, with each other and with their targets, as they are at this moment."""

import contextlib
import functools
import itertools
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct, structs

from git_parallel import attributes, forecast, pairs
from git_parallel.attributes import Source
from git_parallel.forecast import Pair, Scratch, Trial
from git_parallel.overview import look
from git_parallel.repository import Repository
from git_parallel.task import Status
from git_parallel.task_view import TaskView


class Collision(Struct, frozen=True):
    """Tips that don't merge, or may not: of two tasks, or of one and its target."""

    tasks: tuple[str, ...]
    target: str
    trial: Trial


class Live(Struct, frozen=True):
    """A task that has something to merge: its tip, which may be one of uncommitted work, and then
    be `attributed`: that changes attributes.
    """

    view: TaskView
    tip: str
    uncommitted: bool = False
    attributed: bool = False

    @property
    def name(self) -> str:
        """The name of the task."""
        return str(self.view.task.name)


class Collisions(Struct, frozen=True):
    """Every collision among live tasks and with their targets; `unknown` says whose uncommitted
    work could not be looked at, and why, `missing` who could not be compared with a target, as one
    of the two is gone.
    """

    live: tuple[Live, ...]
    found: tuple[Collision, ...]
    unknown: dict[str, str]
    missing: tuple[Collision, ...] = ()


def collisions(repository: Repository, views: Sequence[TaskView] | None = None) -> Collisions:
    """All pairs of live tasks, and each with its target, merged on trial; raises GitError."""
    views = look(repository, files=False).tasks if views is None else views
    with contextlib.ExitStack() as stack:
        scratch = Scratch(repository, stack)
        live, unknown = _live(repository, scratch, views)
        live, tried = _rebased(scratch, live)
        attributed = _attributed(live)
        merges = _merges(repository, scratch, live, tried, attributed)
    unclean = {pair: trial for pair, trial in merges.items() if not trial.clean}
    found = (
        [*_with_targets(live, unclean), *_among_tasks(live, unclean, attributed)] if unclean else []
    )
    there = {one.name for one in live}
    lost = tuple(_missing(view) for view in views if _is_lost(view, there))
    return Collisions(tuple(live), tuple(found), unknown, lost)


def _is_lost(view: TaskView, live: Container[str]) -> bool:
    """Whether there is something to merge, or was, that can't be compared."""
    if view.tip is None:
        return view.broken
    return view.target is None and str(view.task.name) in live


def _missing(view: TaskView) -> Collision:
    why = view.trouble or f"its target {view.task.target} is gone"
    return Collision((str(view.task.name),), view.task.target, Trial(unknown=why))


def _live(
    repository: Repository, scratch: Scratch, views: Sequence[TaskView]
) -> tuple[list[Live], dict[str, str]]:
    """The tasks that have something to merge, with what the working ones have not committed; what
    is merged has only that.
    """
    there = [v for v in views if v.tip and (v.status is not Status.MERGED or _is_at_work(v))]
    asked = [(w, v.tip) for v in there if v.tip and (w := v.worktree) and _is_at_work(v)]
    commits: Mapping[str, str] = {}
    unknown: Mapping[str, str] = {}
    attributed = frozenset[str]()
    if asked:
        from git_parallel.uncommitted import snapshots

        found = snapshots(repository, scratch.git_for_files, asked)
        commits, unknown, attributed = found.commits, found.unknown, found.attributed
    live = []
    for view in there:
        commit = commits.get(view.worktree.id) if view.worktree else None
        if commit or (view.tip != view.task.base and view.status is not Status.MERGED):
            tip = commit or view.tip or ""
            live.append(Live(view, tip, commit is not None, tip in attributed))
    names = {v.worktree.id: str(v.task.name) for v in there if v.worktree}
    return live, {names[key]: why for key, why in unknown.items()}


class Step(Struct, frozen=True):
    """A task to be put onto a commit with what it changed since its fork."""

    one: Live
    onto: str
    source: Source

    @property
    def pair(self) -> Pair:
        """What is merged for that."""
        return self.onto, self.one.tip


def _rebased(scratch: Scratch, live: Sequence[Live]) -> tuple[list[Live], dict[Pair, Trial]]:
    """Those that stand on what has landed in another form, and those that stand on them, as they
    would be on top of their targets, as far as they don't conflict; and what came of it.
    """
    steps = [
        Step(one, target.tip, attributes.source_of(target))
        for one in live
        if (_is_apart(one.view) or _has_landed(one.view)) and (target := one.view.target)
    ]
    if not steps:
        return list(live), {}
    places = scratch.places()
    sources = _sources(live, scratch.repository.main, _attributed(live))
    moved: dict[str, Live] = {}
    known: dict[Pair, Trial] = {}
    while steps:
        forks = {step.pair: _fork(step.one.view) for step in steps}
        there = places.find({step.onto: step.source for step in steps})
        tried = forecast.merged_since(scratch.git, list(forks), forks, there)
        clean = [step for step in steps if tried[step.pair].clean]
        made = [(tried[step.pair].tree, [step.onto]) for step in clean]
        tips = forecast.commits(scratch.git, made) if made else []
        new = {s.one.name: structs.replace(s.one, tip=t) for s, t in zip(clean, tips, strict=True)}
        known |= tried | {p: tried[s.pair] for s in clean if (p := _with_target(new[s.one.name]))}
        moved |= new
        steps = [
            Step(one, new[s.one.name].tip, sources.get(s.one.tip, s.source))
            for s in clean
            for one in live
            if one.view.facts and one.view.task.target == s.one.view.task.branch
            if one.name not in moved and s.one.view.status is not Status.MERGED
        ]
    return [moved.get(one.name, one) for one in live], known


def _is_apart(view: TaskView) -> bool:
    return view.facts is not None and view.facts.apart


def _has_landed(view: TaskView) -> bool:
    """Whether it is merged, and its target has its commits in another form, as after a squash."""
    ahead = view.facts.ahead if view.facts else 0
    return view.status is Status.MERGED and view.landed_here and ahead > 0


def _fork(view: TaskView) -> str | None:
    """The commit since which the changes of a task count: what has landed counts no more."""
    if _has_landed(view):
        return view.tip
    return view.facts.fork if view.facts else None


def _is_at_work(view: TaskView) -> bool:
    """Whether there may be uncommitted work that belongs on the tip. What is not committed in a
    worktree that is ready is nobody's offer to be merged.
    """
    tree = view.worktree
    if tree is None or view.status is Status.READY or not tree.intact:
        return False
    return tree.branch == f"refs/heads/{view.task.branch}"


def _with_target(one: Live) -> Pair | None:
    return (one.view.target.tip, one.tip) if one.view.target else None


def _target_pairs(live: Sequence[Live]) -> list[Pair]:
    return [pair for one in live if (pair := _with_target(one))]


def _task_pairs(live: Sequence[Live], attributed: frozenset[str]) -> list[Pair]:
    """The tips of each two tasks: one that brings attributes is merged into, as if it landed first,
    whichever is the older.
    """
    pairs = list(itertools.combinations([one.tip for one in live], 2))
    if not attributed:
        return pairs
    return [(b, a) if b in attributed and a not in attributed else (a, b) for a, b in pairs]


def _turned(pairs: Iterable[Pair], attributed: frozenset[str]) -> list[Pair]:
    """Those of which both bring attributes, the other way round: they collide if one way does."""
    return [pair[::-1] for pair in pairs if attributed.issuperset(pair)] if attributed else []


def _merges(
    repository: Repository,
    scratch: Scratch,
    live: Sequence[Live],
    tried: Mapping[Pair, Trial],
    attributed: frozenset[str],
) -> dict[Pair, Trial]:
    """The outcomes of all pairs beside those that were tried already: known from the facts of
    tasks, remembered, plain from the paths, or tried now.
    """
    lasting = {one.tip for one in live if one.view.facts and not one.uncommitted}
    lasting |= {one.view.target.tip for one in live if one.view.target}
    paths = {path for one in live if one.view.facts for path in one.view.facts.paths}
    sources, places = _sources(live, repository.main, attributed), scratch.places()
    key, grounds = pairs.key_of(repository), pairs.grounds_of(sources, places, paths)
    known = pairs.load(repository, key, grounds) if key else {}
    known |= _from_facts(live)
    among = _task_pairs(live, attributed)
    every = (*_target_pairs(live), *among, *_turned(among, attributed))
    wanted = [pair for pair in every if pair not in tried] if tried else every
    found = {pair: known[pair] for pair in wanted if pair in known}
    if missing := list(dict.fromkeys(pair for pair in wanted if pair not in found)):
        from git_parallel.outcomes import outcomes

        changed = {o.tip: frozenset(o.view.facts.paths) for o in live if o.view.facts}
        at = places.find(sources)
        found |= outcomes(scratch.git, missing, *_ground(live), at, changed)
        if key and grounds == pairs.grounds_of(sources, places, paths):  # nothing changed meanwhile
            kept = {pair: trial for pair, trial in found.items() if lasting.issuperset(pair)}
            pairs.remember(repository, key, grounds, kept, changed)
    return {**found, **tried}


def _from_facts(live: Sequence[Live]) -> dict[Pair, Trial]:
    """Those with targets that are clean by the facts of a task."""
    found: dict[Pair, Trial] = {}
    for one in live:
        facts, pair = one.view.facts, _with_target(one)
        if pair and facts and facts.merges_cleanly and one.tip == facts.tip:
            found[pair] = Trial()
    return found


def _sources(
    live: Sequence[Live], main: Path | None, attributed: frozenset[str]
) -> dict[str, Source]:
    """Whose attributes count in a merge into each tip: those of the target that tasks go to in the
    end, as both will be there, or those of the tip where it has changed them; those of the main
    worktree, where that target is gone.
    """
    branches = {one.view.task.branch: one.view for one in live}
    source_of = functools.cache(attributes.source_of)  # most have the same target
    found: dict[str, Source] = {}
    for one in live:
        if one.tip in attributed:
            found[one.tip] = one.tip
        elif target := list(_stack(one.view, branches))[-1].target:
            found[one.tip] = source_of(target)
        elif main:
            found[one.tip] = main
    targets = [target for one in live if (target := one.view.target)]
    return found | {target.tip: source_of(target) for target in targets}


def _attributed(live: Sequence[Live]) -> frozenset[str]:
    """The tips that bring attributes of their own, or of what they stand on."""
    changing = {
        one.view.task.branch
        for one in live
        if one.view.facts and attributes.touches(one.view.facts.paths)
    }
    alone = frozenset(one.tip for one in live if one.attributed)
    if not changing:
        return alone
    branches = {one.view.task.branch: one.view for one in live}
    return alone | frozenset(
        one.tip
        for one in live
        if any(view.task.branch in changing for view in _stack(one.view, branches))
    )


def _stack(view: TaskView, branches: Mapping[str, TaskView]) -> Iterator[TaskView]:
    """A task and those that it stands on, down to where targets lead back to one of them."""
    seen: set[str] = set()
    found: TaskView | None = view
    while found and found.task.branch not in seen:
        yield found
        seen.add(found.task.branch)
        found = branches.get(found.task.target)


def _ground(live: Sequence[Live]) -> tuple[str, str]:
    """The tip that most tasks forked from, and what is likely below all of them: where the one
    that is most behind it forked.
    """
    targets = [one.view.target.tip for one in live if one.view.target]
    trunk = max(targets, key=targets.count) if targets else live[0].tip
    known = [one.view.facts for one in live if one.view.facts and one.view.facts.fork]
    oldest = max(known, key=lambda facts: facts.behind, default=None)
    return trunk, (oldest and oldest.fork) or live[0].view.task.base


def _with_targets(live: Sequence[Live], unclean: Mapping[Pair, Trial]) -> Iterator[Collision]:
    for one in live:
        pair = _with_target(one)
        if pair and pair in unclean:
            yield Collision((one.name,), one.view.task.target, unclean[pair])


def _among_tasks(
    live: Sequence[Live], unclean: Mapping[Pair, Trial], attributed: frozenset[str]
) -> Iterator[Collision]:
    couples = itertools.combinations(live, 2)
    for pair, (one, other) in zip(_task_pairs(live, attributed), couples, strict=True):
        trial = unclean.get(pair)
        if trial is None and attributed and attributed.issuperset(pair):
            trial = unclean.get(pair[::-1])
        if trial:
            yield Collision((one.name, other.name), "", trial)
