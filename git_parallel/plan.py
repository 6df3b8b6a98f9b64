"""Which tasks are independent of each other, and the order to merge in what is ready. Pure.

The most tasks that collide with none of each other are an independent set in the graph of their
collisions. It is searched by branch and bound, exactly where few tasks hang together, and as well
as a number of steps allows where they are many. The set is then landed on trial, one onto the
result of those before; where that shows a conflict that no two of them have alone, another set is
searched for.
"""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence

from msgspec import Struct

from git_parallel.forecast import Trial

STEPS = 6_000  # of a search; those of any twelve tasks are fewer
ROUNDS = 6
MOST_LATE = 6  # more that collide with their targets are not tried on the results of others


class Candidate(Struct, frozen=True, kw_only=True):
    """A task that is not merged yet. `hindrance` says why it can't be merged though it is ready;
    `needs` are tasks that have to land before it; `place` is the branch that it lands in at last,
    which is not its target where that is another task's branch. One that is `attributed` changes
    how git merges, so that of two orders with another one may land and the other not.
    """

    name: str
    place: str
    target: str
    ready: bool = True
    hindrance: str = ""
    accepted: bool = False
    size: int = 0
    paths: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    attributed: bool = False


class Left(Struct, frozen=True):
    """A ready task that is not in the order: what it collides with, or what it waits for. `target`
    says that it is the target itself that it collides with.
    """

    name: str
    collides: tuple[str, ...] = ()
    target: str = ""
    waits: tuple[str, ...] = ()
    hindrance: str = ""
    trial: Trial = Trial()


class Plan(Struct, frozen=True):
    """The groups that are independent of each other, what to merge in which order, and the rest."""

    groups: tuple[tuple[str, ...], ...]
    order: tuple[str, ...]
    left: tuple[Left, ...]


# The outcomes of merging each of some tasks onto the result of landing others in their order.
Land = Callable[[tuple[str, ...], Sequence[str]], Mapping[str, Trial]]
Edges = Mapping[str, set[str]]
Refuted = tuple[str, frozenset[str]]  # a task, and what landed before it when it did not


def plan(
    candidates: Sequence[Candidate],
    collisions: Iterable[tuple[str, str]],
    with_target: Mapping[str, Trial],
    land: Land,
) -> Plan:
    """The order that lands the most of what is ready, accepted and small ones first.

    `collisions` are pairs of candidates, `with_target` the conflicts of single ones.
    """
    known = {one.name: one for one in candidates}
    edges = _edges(known, collisions)
    able = _able(known, with_target)
    late = [name for name in _able(known) if name not in able]
    order = _best_order(known, able, late if len(late) <= MOST_LATE else [], edges, land)
    left = [one for one in candidates if one.name not in order]
    told = land(order, [one.name for one in left if one.name in able])
    return Plan(
        _groups(known, edges),
        order,
        tuple(
            _left(one, order, known, edges, with_target.get(one.name), told.get(one.name))
            for one in left
            if one.ready
        ),
    )


def _edges(known: Mapping[str, Candidate], pairs: Iterable[tuple[str, str]]) -> Edges:
    edges: dict[str, set[str]] = {name: set() for name in known}
    for one, other in pairs:
        if one in edges and other in edges:
            edges[one].add(other)
            edges[other].add(one)
    return edges


def _able(known: Mapping[str, Candidate], without: Container[str] = ()) -> list[str]:
    """What could be merged `without` some, those that others need before these, the likeliest
    first.
    """
    able: list[str] = []
    waiting = sorted(known.values(), key=_rank)
    while found := next((one for one in waiting if _may_come(one, able, known)), None):
        waiting.remove(found)
        if found.ready and not found.hindrance and found.name not in without:
            able.append(found.name)
    return able


def _may_come(one: Candidate, able: Sequence[str], known: Mapping[str, Candidate]) -> bool:
    return all(name in able for name in one.needs if name in known)


def _rank(one: Candidate) -> tuple[bool, int, str]:
    return (not one.accepted, one.size, one.name)


def _best_order(
    known: Mapping[str, Candidate],
    able: Sequence[str],
    late: Sequence[str],
    edges: Edges,
    land: Land,
) -> tuple[str, ...]:
    """The longest of the orders that were tried, each with what could be added to it: also of what
    is `late`, as it collides with its target until something that undoes a change has landed.
    """
    best: tuple[str, ...] = ()
    refuted: list[Refuted] = []
    first: list[str] = []
    for _ in range(ROUNDS):
        chosen = _chosen(known, able, edges, refuted)
        names = [name for name in able if name in chosen]
        landed, failed = _walk(_sorted_by_need([*first, *names], chosen, known), known, land)
        landed = _extended(landed, [*able, *late], known, land)
        best = max(best, landed, key=len)
        if not failed or len(best) >= len(chosen):
            break
        # Where a file was renamed, one order may land and another not: what failed comes first in
        # another try, and only what fails there too is given up.
        late = [name for name, _ in failed if name not in first]
        refuted += [] if late else failed
        first = [*late, *first] if late else []
    return best


def _sorted_by_need(
    names: Sequence[str], chosen: set[str], known: Mapping[str, Candidate]
) -> list[str]:
    """The chosen ones of some names, each once, behind those that it needs."""
    found: list[str] = []
    waiting = [name for name in dict.fromkeys(names) if name in chosen]
    while waiting:
        ready = (n for n in waiting if not set(known[n].needs).intersection(waiting))
        found.append(next(ready, waiting[0]))
        waiting.remove(found[-1])
    return found


def _walk(
    order: Sequence[str], known: Mapping[str, Candidate], land: Land
) -> tuple[tuple[str, ...], list[Refuted]]:
    """What lands when one is merged after the other, and what did not."""
    landed: tuple[str, ...] = ()
    failed = []
    for name in order:
        if not _may_come(known[name], landed, known):
            continue
        if land(landed, [name])[name].clean:
            landed = (*landed, name)
        else:
            failed.append((name, frozenset(landed)))
    return landed, failed


def _extended(
    landed: tuple[str, ...], able: Sequence[str], known: Mapping[str, Candidate], land: Land
) -> tuple[str, ...]:
    """An order with what can still be merged onto its result."""
    while True:
        rest = [n for n in able if n not in landed and _may_come(known[n], landed, known)]
        outcomes = land(landed, rest) if rest else {}
        found = next((name for name in rest if outcomes[name].clean), None)
        if found is None:
            return landed
        landed = (*landed, found)


def _chosen(
    known: Mapping[str, Candidate],
    able: Sequence[str],
    edges: Edges,
    refuted: Sequence[Refuted],
) -> set[str]:
    """The most tasks of which no two collide, with all that they need."""
    links = {name: _blockers(name, known, edges) | set(known[name].needs) for name in able}
    chosen: set[str] = set()
    for group in _components(able, links):
        names = [name for name in able if name in group]
        never = [(before & group) | {name} for name, before in refuted if name in group]
        chosen |= _Search(names, known, edges, never).best
    return chosen


def _rivals(name: str, known: Mapping[str, Candidate], edges: Edges) -> set[str]:
    """What a task collides with where both land."""
    return {other for other in edges[name] if known[other].place == known[name].place}


def _blockers(name: str, known: Mapping[str, Candidate], edges: Edges) -> set[str]:
    """Those of them that can't land beside it in any order."""
    others = () if known[name].attributed else _rivals(name, known, edges)
    return {other for other in others if not known[other].attributed}


class _Search:
    """Branch and bound for the largest set, which takes the first names first."""

    def __init__(
        self,
        names: Sequence[str],
        known: Mapping[str, Candidate],
        edges: Edges,
        refuted: Sequence[frozenset[str]],
    ) -> None:
        self.known = known
        self.blockers = {name: _blockers(name, known, edges) for name in names}
        self.refuted = refuted
        self.steps = STEPS
        self.best: set[str] = set()
        self._descend(set(), names, greedy=False)
        if self.steps < 0:  # given up: those that collide with the fewest may come to more
            self.steps = len(names) + 1
            self._descend(set(), sorted(names, key=self._degree), greedy=True)

    def _degree(self, name: str) -> int:
        return len(self.blockers[name])

    def _descend(self, chosen: set[str], rest: Sequence[str], *, greedy: bool) -> None:
        self.steps -= 1
        if len(chosen) > len(self.best):
            self.best = set(chosen)
        if not rest or self.steps < 0 or len(chosen) + len(rest) <= len(self.best):
            return
        name, others = rest[0], rest[1:]
        if self._fits(name, chosen):
            free = [other for other in others if other not in self.blockers[name]]
            self._descend(chosen | {name}, free, greedy=greedy)
            if greedy:
                return
        self._descend(chosen, others, greedy=greedy)

    def _fits(self, name: str, chosen: set[str]) -> bool:
        with_it = chosen | {name}
        return _may_come(self.known[name], list(chosen), self.known) and not any(
            one <= with_it for one in self.refuted
        )


def _groups(known: Mapping[str, Candidate], edges: Edges) -> tuple[tuple[str, ...], ...]:
    """The tasks that hang together, by collisions or because one needs another."""
    links = {name: edges[name] | set(one.needs) for name, one in known.items()}
    return tuple(
        tuple(name for name in known if name in group) for group in _components(known, links)
    )


def _components(names: Iterable[str], links: Mapping[str, set[str]]) -> list[set[str]]:
    both: dict[str, set[str]] = {name: set() for name in names}
    for name, linked in both.items():
        for other in links[name] & both.keys():
            linked.add(other)
            both[other].add(name)
    found: list[set[str]] = []
    for name in both:
        if not any(name in group for group in found):
            found.append(_reached(name, both))
    return found


def _reached(name: str, links: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    todo = [name]
    while todo:
        one = todo.pop()
        if one not in seen:
            seen.add(one)
            todo += links[one]
    return seen


def _left(
    one: Candidate,
    order: Sequence[str],
    known: Mapping[str, Candidate],
    edges: Edges,
    target: Trial | None,
    last: Trial | None,
) -> Left:
    """Why a task is not in the order: by itself, because of others, or because of its place."""
    if one.hindrance:
        return Left(one.name, hindrance=one.hindrance)
    if target is not None:
        return Left(one.name, target=one.target, trial=target)
    if waits := tuple(name for name in one.needs if name in known and name not in order):
        return Left(one.name, waits=waits)
    trial = last or Trial()
    rivals = _rivals(one.name, known, edges)
    collides = [name for name in order if name in rivals]
    if not collides:  # with none of them alone: those that changed the same paths there
        there = [name for name in order if known[name].place == one.place]
        paths = set(trial.conflicts)
        collides = [name for name in there if not paths.isdisjoint(known[name].paths)]
    return Left(one.name, tuple(collides), trial=trial)
