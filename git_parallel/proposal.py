"""What to merge here, in which order: the plan over the facts of this moment."""

from collections.abc import Mapping, Sequence

from msgspec import Struct, structs

from git_parallel import attributes, forecast
from git_parallel.attributes import Places
from git_parallel.collisions import Collisions, collisions
from git_parallel.overview import look
from git_parallel.plan import Candidate, Plan, plan
from git_parallel.records import Verdict
from git_parallel.repository import Repository
from git_parallel.review import rejected_within
from git_parallel.simulation import Simulation, Work
from git_parallel.task import Status
from git_parallel.task_view import TaskView
from git_parallel.wording import named

REJECTED = "you rejected it"
KEEP_PARENTS = frozenset({"merge", "ff"})


class Proposal(Struct, frozen=True):
    """A plan with what it was made from; `views` are the tasks that are not merged yet, by name."""

    plan: Plan
    collisions: Collisions
    views: dict[str, TaskView]


def propose(
    repository: Repository, strategy: str, views: Sequence[TaskView] | None = None
) -> Proposal:
    """The plan for what is ready, if it is merged by this strategy; raises GitError."""
    views = look(repository, files=False).tasks if views is None else views
    found = collisions(repository, views)
    unmerged = {str(v.task.name): v for v in views if v.status is not Status.MERGED}
    parents = _parents(unmerged)
    candidates = [_candidate(name, unmerged, parents) for name in unmerged]
    if any(view.folder.verdict(view.tip) is Verdict.REJECTED for view in unmerged.values()):
        candidates = [_without_rejected(repository, unmerged[c.name], c) for c in candidates]
    pairs = [(c.tasks[0], c.tasks[1]) for c in found.found if not c.target]
    alone = {c.tasks[0]: c.trial for c in found.found if c.target}
    works = _works(unmerged, parents)
    place = repository.git_in(repository.main) if repository.main else repository.git
    with forecast.aside(place, repository.common) as git:
        places = Places(lambda: git, repository.common)
        keeps_parents = strategy in KEEP_PARENTS
        simulation = Simulation(git, works, keeps_parents=keeps_parents, places=places)
        proposed = plan(candidates, pairs, alone, simulation.outcomes)
    return Proposal(proposed, found, unmerged)


def _parents(views: Mapping[str, TaskView]) -> dict[str, str]:
    """The tasks that others were started from, by the names of these."""
    owners = {view.task.branch: name for name, view in views.items()}
    return {
        name: owners[view.task.target] for name, view in views.items() if view.task.target in owners
    }


def _without_rejected(repository: Repository, view: TaskView, candidate: Candidate) -> Candidate:
    """A candidate that may not land where it would take the commits of a rejected one along."""
    if candidate.hindrance or not (other := rejected_within(repository, view)):
        return candidate
    words = f"it has commits of {other}, which you rejected"
    return structs.replace(candidate, hindrance=words)


def _candidate(name: str, views: Mapping[str, TaskView], parents: Mapping[str, str]) -> Candidate:
    view = views[name]
    slugs: dict[str, str] = {v.task.slug: other for other, v in views.items()}
    needs = [slugs[slug] for slug in view.task.after if slug in slugs]
    needs += [parents[name]] if name in parents else []
    facts = view.facts
    return Candidate(
        name=name,
        place=views[_root(name, parents)].task.target,
        target=view.task.target,
        ready=view.status is Status.READY,
        hindrance=_hindrance(view),
        accepted=view.folder.verdict(view.tip) is Verdict.ACCEPTED,
        size=facts.lines if facts else 0,
        paths=facts.paths if facts else (),
        needs=tuple(dict.fromkeys(needs)),
        attributed=facts is not None and attributes.touches(facts.paths),
    )


def _root(name: str, parents: Mapping[str, str]) -> str:
    """The task at the bottom of a stack; a target that leads back to the task has no bottom."""
    seen = {name}
    while (parent := parents.get(name)) and parent not in seen:
        seen.add(parent)
        name = parent
    return name


def _hindrance(view: TaskView) -> str:
    """Why a ready task is refused by a merge, whatever it collides with."""
    if view.target is None or view.tip is None:
        return view.trouble
    if view.folder.verdict(view.tip) is Verdict.REJECTED:
        return REJECTED
    if view.breaches:
        return f"changed what it may not: {named(view.breaches, 3)}"
    return ""


def _works(views: Mapping[str, TaskView], parents: Mapping[str, str]) -> dict[str, Work]:
    found = {}
    for name, view in views.items():
        target = views[_root(name, parents)].target
        if view.tip and target:
            fork = view.facts.fork if view.facts and view.facts.fork else view.task.base
            changed = view.facts is not None and attributes.touches(view.facts.paths)
            known = (view.tip, target.ref, target.tip, parents.get(name, ""), fork)
            apart = view.facts is not None and view.facts.apart
            found[name] = Work(*known, attributes.source_of(target), changed, apart)
    return found
