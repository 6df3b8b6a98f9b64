"""What follows from a task's commits alone: its size, its conflicts, whether it is merged.

It is remembered beside the task with the commits as its key, so it can't be stale.
"""

import contextlib
import functools
from collections.abc import Mapping, Sequence

from msgspec import Struct, structs

from git_parallel import evidence, pairs, records
from git_parallel.attributes import Places, Source, source_of
from git_parallel.changes import Change, changes_between
from git_parallel.errors import GitError, ParallelError
from git_parallel.evidence import Case, Evidence
from git_parallel.forecast import Pair, Trial, trials
from git_parallel.history import History
from git_parallel.records import Landed
from git_parallel.repository import Branch, Repository
from git_parallel.task import Task
from git_parallel.task_folder import Known, TaskFolder
from git_parallel.worktree import Worktree

FACTS = "facts.json"
REMOTES = "refs/remotes/"
UNSTEADY = "unsteady"  # the ground of an outcome that may not hold: it is asked again


class Facts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What follows from a tip, its target and what our own merge recorded; `apart` says that its
    own commits stand on what the target has only in another form. `ground` tells what else the
    conflicts hang on; it is empty where that can't be known.
    """

    tip: str
    base: str
    target: str
    target_tip: str
    upstream_tip: str | None
    landed: Landed | None
    stands_on: str | None = None
    apart: bool = False
    fork: str | None = None
    ahead: int = 0
    behind: int = 0
    files: int = 0
    insertions: int = 0
    deletions: int = 0
    paths: tuple[str, ...] = ()
    conflicts: tuple[str, ...] | None = None
    ground: str = ""
    evidence: Evidence | None = None
    unmerged: str = ""
    version: int = 1

    @property
    def lines(self) -> int:
        """How many lines came or went."""
        return self.insertions + self.deletions

    @property
    def merges_cleanly(self) -> bool:
        """Whether it surely merges with its target, as long as its ground stays the same."""
        return self.conflicts == () and self.ground not in ("", UNSTEADY)

    def answers(self, case: Case, *others: Case) -> bool:
        """Whether these are the facts of a case, and of its target's upstream."""
        upstream_tip = others[0].target_tip if others else None
        known = (self.tip, self.base, self.target, self.target_tip, self.landed, self.stands_on)
        asked = (case.tip, case.base, case.target, case.target_tip, case.landed, case.stands_on)
        return known == asked and self.upstream_tip == upstream_tip


class Grounds:
    """What the conflicts of tasks with their targets hang on, beside the commits."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._places = Places(lambda: repository.git, repository.common)
        self.source_of = functools.cache(source_of)  # most have the same target

    @functools.cached_property
    def key(self) -> str:
        """What they hang on everywhere."""
        return pairs.key_of(self._repository)

    def of(self, target: Branch, paths: Sequence[str]) -> str:
        """The ground of a merge of these paths into a target; raises GitError."""
        source = {target.tip: self.source_of(target)}
        return pairs.fingerprint(self.key, *pairs.grounds_of(source, self._places, paths).values())


def find_facts(
    repository: Repository,
    tasks: Sequence[tuple[TaskFolder, Known]],
    worktrees: Mapping[str, Worktree],
    branches: Mapping[str, Branch],
) -> dict[str, Facts]:
    """The facts of every task whose branch and target exist, by slug."""
    found: dict[str, Facts] = {}
    unknown: dict[str, tuple[Case, ...]] = {}
    floors = []
    grounds = Grounds(repository)
    for folder, files in tasks:
        task = files.task
        cases = _cases(files, branches)
        if not cases:
            continue
        floors.append(task.base)
        known = _remembered(folder)
        if known and _holds(known, cases, grounds, branches):
            found[task.slug] = known
        else:
            made = repository.made_commits(task.branch, worktrees.get(task.slug))
            unknown[task.slug] = tuple(structs.replace(case, made=made) for case in cases)
    if unknown:
        with contextlib.suppress(GitError):  # then they stay unknown, and unknown keeps
            found |= _find_out(repository, unknown, branches, floors[0], grounds)
    return found


def _holds(
    facts: Facts, cases: Sequence[Case], grounds: Grounds, branches: Mapping[str, Branch]
) -> bool:
    if not facts.answers(*cases):
        return False
    target = branches[f"refs/heads/{facts.target}"]
    with contextlib.suppress(GitError):
        return facts.ground == grounds.of(target, facts.paths)
    return False


def upstream_of(task: Task, branches: Mapping[str, Branch]) -> Branch | None:
    """What a task's target follows on a remote, as it was last fetched."""
    target = branches.get(f"refs/heads/{task.target}")
    return branches.get(target.upstream) if target and target.upstream.startswith(REMOTES) else None


def _cases(files: Known, branches: Mapping[str, Branch]) -> tuple[Case, ...]:
    """A task beside its target and, where that is elsewhere, beside what the target follows."""
    task = files.task
    branch = branches.get(f"refs/heads/{task.branch}")
    target = branches.get(f"refs/heads/{task.target}")
    if branch is None or target is None:
        return ()
    known = (files.landed, frozenset[str](), files.stands_on)
    case = Case(branch.tip, task.base, task.target, target.tip, *known)
    upstream = upstream_of(task, branches)
    if upstream is None or upstream.tip == target.tip:
        return (case,)
    name = upstream.ref.removeprefix(REMOTES)
    return case, structs.replace(case, target=name, target_tip=upstream.tip)


def _remembered(folder: TaskFolder) -> Facts | None:
    try:
        return records.find_record(f"{folder.path}/{FACTS}", Facts)
    except ParallelError:
        return None  # only a memory: it is found out again


def _find_out(
    repository: Repository,
    cases: Mapping[str, tuple[Case, ...]],
    branches: Mapping[str, Branch],
    floor: str,
    grounds: Grounds,
) -> dict[str, Facts]:
    from git_parallel import witness

    every = [case for both in cases.values() for case in both]
    history = repository.history(evidence.reached(every), floor)
    asked = [evidence.questions(case, history) for case in every]
    compared = [pair for two, _ in asked for pair in two]
    change_of = changes_between(repository.true_git, compared)
    known = {slug: _size(both, history, change_of) for slug, both in cases.items()}
    forks = {(c.target_tip, c.tip): c.stands_on for c in every if c.is_apart(history)}
    sources = _sources(cases, branches, grounds)
    merged = [pair for _, two in asked for pair in two]
    before = _all(grounds, known, branches)
    merges = trials(repository.git, repository.common, merged, sources, forks)
    after = _all(grounds, known, branches)
    trees = {branch.tip: branch.tree for branch in branches.values()}
    judged = witness.judge_all(repository.common, every, history, change_of, merges, trees)
    found = {}
    for slug, (case, *others) in cases.items():
        proved, unmerged = _verdict(case, others, judged, history)
        merge = merges.get((case.target_tip, case.tip))
        steady = before[slug] == after[slug] and _lasts(merge, known[slug])
        found[slug] = structs.replace(
            known[slug],
            conflicts=_conflicts(known[slug], merge),
            ground=after[slug] if steady else UNSTEADY,
            evidence=proved,
            unmerged="" if proved else unmerged,
        )
        _remember(repository.store.folder(slug), found[slug])
    return found


def _verdict(
    case: Case,
    others: Sequence[Case],
    judged: Mapping[Case, tuple[Evidence | None, str]],
    history: History,
) -> tuple[Evidence | None, str]:
    """Why a task counts as merged, into its target or else into what that follows; or why not."""
    proved, unmerged = judged[case]
    for other in others:
        if proved is None and not history.contains(case.target_tip, other.target_tip):
            proved = _upstream_only(judged[other][0], case.target)
    return proved, unmerged


def _all(
    grounds: Grounds, facts: Mapping[str, Facts], branches: Mapping[str, Branch]
) -> dict[str, str]:
    targets = {slug: branches[f"refs/heads/{one.target}"] for slug, one in facts.items()}
    return {slug: grounds.of(targets[slug], one.paths) for slug, one in facts.items()}


def _lasts(merge: Trial | None, facts: Facts) -> bool:
    """Whether the outcome stays as long as the ground does."""
    return merge is None or (
        merge.lasting and pairs.is_grounded(merge, pairs.folders_above(facts.paths))
    )


def _conflicts(facts: Facts, merge: Trial | None) -> tuple[str, ...] | None:
    """The paths in conflict with the target; None where git can't merge them at all."""
    if merge is None:  # there is nothing to merge, or nothing in common
        return () if facts.fork else None
    return None if merge.unknown else merge.conflicts


def _size(cases: tuple[Case, ...], history: History, change_of: Mapping[Pair, Change]) -> Facts:
    """What a task did since its fork, and how far it and its target are apart."""
    case, *others = cases
    fork = case.fork(history)
    change = change_of.get((fork or "", case.tip))
    return Facts(
        tip=case.tip,
        base=case.base,
        target=case.target,
        target_tip=case.target_tip,
        upstream_tip=others[0].target_tip if others else None,
        landed=case.landed,
        stands_on=case.stands_on,
        apart=case.is_apart(history),
        fork=fork,
        ahead=case.ahead(history),
        behind=history.ahead(case.target_tip, case.tip),
        files=change.files if change else 0,
        insertions=change.insertions if change else 0,
        deletions=change.deletions if change else 0,
        paths=tuple(change.paths) if change else (),
    )


def _sources(
    cases: Mapping[str, tuple[Case, ...]], branches: Mapping[str, Branch], grounds: Grounds
) -> dict[str, Source]:
    """Whose attributes count in the merges: those of the target, for its upstream too."""
    found: dict[str, Source] = {}
    for case, *others in cases.values():
        source = grounds.source_of(branches[f"refs/heads/{case.target}"])
        found |= {one.target_tip: source for one in (*others, case)}
    return found


def _upstream_only(found: Evidence | None, target: str) -> Evidence | None:
    if found is None:
        return None
    return structs.replace(found, text=f"merged into {found.target}, not yet in {target}")


def _remember(folder: TaskFolder, facts: Facts) -> None:
    with contextlib.suppress(OSError, ValueError):  # a read-only repository can be listed too
        records.write_record(folder.path / FACTS, facts, durable=False)
