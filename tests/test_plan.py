"""The plan: what it lands beside the best of all orders, and how it tells of it."""

import itertools
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from git_parallel.forecast import Trial, aside, commits, merged
from git_parallel.git import Git
from git_parallel.outcomes import outcomes
from git_parallel.plan import Candidate, Land, Left, Plan, plan
from git_parallel.simulation import Simulation, Work
from tests.conftest import Repo, run
from tests.histories import FILE, Builder, Tree

SETS = 100
FEW = 5
CONFLICT = Trial(conflicts=("f",), kinds=("content",))


def landing(*sets: str) -> Land:
    """What lands where tasks collide that are together in one of these sets, named by letters."""

    def land(landed: tuple[str, ...], names: Sequence[str]) -> Mapping[str, Trial]:
        def clean(name: str) -> bool:
            return not any({*landed, name} >= set(one) for one in sets if name in one)

        return {name: Trial("tree") if clean(name) else CONFLICT for name in names}

    return land


def task(name: str, **known: object) -> Candidate:
    return Candidate(name=name, place="main", target="main", **known)  # type: ignore[arg-type]


def planned(tasks: Sequence[Candidate], *sets: str, **alone: Trial) -> Plan:
    pairs = [(one[0], one[1]) for one in sets if len(one) == 2]
    return plan(tasks, pairs, alone, landing(*sets))


def test_lands_accepted_and_small_ones_first() -> None:
    tasks = [task("a", size=9), task("b", size=1), task("c", size=5, accepted=True), task("d")]
    assert planned(tasks).order == ("c", "d", "b", "a")
    assert planned(tasks).groups == (("a",), ("b",), ("c",), ("d",))
    assert planned(tasks).left == ()


def test_leaves_the_one_that_collides_with_the_most() -> None:
    tasks = [task("a", size=1), *(task(name, size=9) for name in "bcd")]
    found = planned(tasks, "ab", "ac", "ad")
    assert found.order == ("b", "c", "d")
    assert found.left == (Left("a", ("b", "c", "d"), trial=CONFLICT),)
    assert found.groups == (("a", "b", "c", "d"),)


def test_prefers_of_two_that_collide_what_was_accepted_and_what_is_small() -> None:
    assert planned([task("a", size=1), task("b", size=2)], "ab").order == ("a",)
    assert planned([task("a", size=1), task("b", size=2, accepted=True)], "ab").order == ("b",)


def test_prefers_what_was_accepted_among_sets_of_one_size() -> None:
    tasks = [task("x", size=9, accepted=True), *(task(name) for name in "ywz")]
    assert planned(tasks, "xy", "xz", "wz").order == ("x", "w")


def test_finds_what_collides_only_when_three_come_together() -> None:
    found = planned([task(n, paths=("f",)) for n in "abcd"], "abc")
    assert found.order == ("a", "b", "d")
    assert found.left == (Left("c", ("a", "b", "d"), trial=CONFLICT),)


def test_lands_nothing_before_what_it_needs() -> None:
    tasks = [task("a", size=1, needs=("b",)), task("b", size=9), task("c", size=5, needs=("a",))]
    assert planned(tasks).order == ("b", "a", "c")
    assert planned(tasks).groups == (("a", "b", "c"),)
    running = [task("a", needs=("b",)), task("b", ready=False), task("c", needs=("a", "gone"))]
    found = planned(running)
    assert found.order == ()
    assert found.left == (Left("a", waits=("b",)), Left("c", waits=("a",)))


def test_needs_count_before_the_number_of_tasks() -> None:
    tasks = [task("a"), task("b", needs=("a",)), task("c", needs=("b",)), task("x")]
    assert planned(tasks, "ax").order == ("a", "b", "c")
    assert planned(tasks, "bx").order == ("a", "b", "c")


def test_leaves_what_is_hindered_or_collides_with_its_target() -> None:
    tasks = [task("a", hindrance="changed what it may not: f"), task("b"), task("c")]
    found = planned(tasks, "b", b=CONFLICT)
    assert found.order == ("c",)
    assert found.left == (
        Left("a", hindrance="changed what it may not: f"),
        Left("b", target="main", trial=CONFLICT),
    )


def test_tries_what_collides_with_its_target_on_the_result_of_others() -> None:
    def land(landed: tuple[str, ...], names: Sequence[str]) -> Mapping[str, Trial]:
        late = {"a", "b"} if "z" not in landed else set()
        return {name: CONFLICT if name in late else Trial("tree") for name in names}

    tasks = [task("a"), task("b", needs=("a",)), task("y", size=1), task("z", size=2)]
    assert plan(tasks, [], {"a": CONFLICT}, land).order == ("y", "z", "a", "b")
    many = [task(f"a{number}") for number in range(9)]
    assert plan([*many, tasks[3]], [], {one.name: CONFLICT for one in many}, land).order == ("z",)


def test_tasks_for_different_branches_do_not_keep_each_other_from_landing() -> None:
    tasks = [task("a"), Candidate(name="b", place="release", target="release")]
    assert plan(tasks, [("a", "b")], {}, landing()).order == ("a", "b")
    known = {"paths": ("f",)}
    there = Candidate(name="b", place="release", target="release", paths=("f",))
    tasks = [task("a", **known), there, task("c", **known), task("d", **known)]
    found = plan(tasks, [("b", "d")], {}, landing("acd"))
    assert found.left == (Left("d", ("a", "c"), trial=CONFLICT),)


@pytest.mark.parametrize("density", [0.05, 0.2, 0.5])
def test_plans_sixty_tasks_in_few_steps(density: float) -> None:
    source = random.Random(4)
    names = [f"t{number:02}" for number in range(60)]
    pairs = [p for p in itertools.combinations(names, 2) if source.random() < density]
    asked = []

    def land(landed: tuple[str, ...], wanted: Sequence[str]) -> Mapping[str, Trial]:
        asked.append(landed)
        met = {one for pair in pairs for one in pair if set(pair) - {one} <= set(landed)}
        return {name: CONFLICT if name in met else Trial("tree") for name in wanted}

    found = plan([task(name) for name in names], pairs, {}, land)
    assert not [pair for pair in pairs if set(pair) <= set(found.order)]
    assert len(asked) <= len(found.order) + 3
    order = set(found.order)  # none of the rest could have been added
    assert all(
        any(n in p and set(p) - {n} <= order for p in pairs) for n in names if n not in order
    )


@pytest.mark.parametrize("keeps_parents", [True, False])
def test_lands_a_child_after_its_parent_also_where_that_was_squashed(
    tmp_path: Path, keeps_parents: bool
) -> None:
    builder = Builder(0)
    texts = [b"one\n", b"two\n", b"three\n"]
    trees: list[Tree] = [{"f": (FILE, text)} for text in texts]
    first = builder.commit("main", [], trees[0])
    builder.commit("main", [first], {**trees[0], "other": (FILE, b"moved on\n")})
    parent = builder.commit("a", [first], trees[1])
    builder.commit("b", [parent], trees[2])
    git, (main, a, b) = imported(builder, tmp_path / "repo", "main", "a", "b")
    works = {"a": Work(a, "main", main), "b": Work(b, "main", main, parent="a", fork=a)}
    with aside(git, git.folder) as scratch:
        simulation = Simulation(scratch, works, keeps_parents=keeps_parents)
        tasks = [task("a"), Candidate(name="b", place="main", target="a", needs=("a",))]
        assert plan(tasks, [], {}, simulation.outcomes).order == ("a", "b")
        result = simulation.result(("a", "b"), "main", main)
        listed = scratch.lines("ls-tree", "--format=%(path)", result)
        assert listed == ["f", "other"]
        assert scratch.text("show", f"{result}:f") == "three"
        parents = scratch.text("show", "--no-patch", "--format=%P", result).split()
        assert (b in parents) == keeps_parents


def imported(builder: Builder, folder: Path, *names: str) -> tuple[Git, list[str]]:
    """A repository of what was built, and the tips of some branches."""
    folder.mkdir(parents=True)
    run("git", "init", "--quiet", "--bare", cwd=folder)
    run("git", "fast-import", "--quiet", cwd=folder, stdin=b"".join(builder.stream))
    return Git(folder), run("git", "rev-parse", *names, cwd=folder).stdout.split()


def make_tasks(folder: Path, seed: int, *, reverts: bool) -> tuple[str, dict[str, str]]:
    """A repository whose main has moved on and whose branches edit, add, rename and delete the
    same few files in the same few places; returns the tip of main and those of the branches. With
    `reverts`, main has edited one of these files, which some of the branches undo.
    """
    builder = Builder(seed)
    chance = builder.random
    base: Tree = {
        f"d/f{n}": (FILE, b"".join(b"%d of %d\n" % (i, n) for i in range(24))) for n in range(3)
    }
    first = builder.commit("main", [], base)
    moved = _edit(builder, base) if reverts else base
    second = builder.commit("main", [first], {**moved, "other": (FILE, b"moved on\n")})
    names = [f"b{number}" for number in range(chance.randint(3, 7))]
    for name in names:
        if reverts and chance.random() < 0.3:
            builder.commit(name, [second], {**base, "other": builder.trees[second - 1]["other"]})
            continue
        tree = dict(base)
        for _ in range(chance.randint(1, 3)):
            tree = chance.choice((_edit,) * 6 + (Builder.add, Builder.rename))(builder, tree)
        builder.commit(name, [first], tree)
    _, ids = imported(builder, folder, "main", *names)
    return ids[0], dict(zip(names, ids[1:], strict=True))


def _edit(builder: Builder, tree: Tree) -> Tree:
    path = builder.random.choice(sorted(tree))
    lines = tree[path][1].splitlines(keepends=True)
    at = builder.random.choice((2, 8, 14, 20))
    lines[at % len(lines)] = b"edit %d\n" % builder.random.randrange(1000)
    return {**tree, path: (FILE, b"".join(lines))}


def best_of_all_orders(git: Git, main: str, tips: Mapping[str, str]) -> int:
    """How many the best of all orders lands: each order is followed to its end, and those that
    have landed the same ones with the same result go on as one.
    """
    states = {(frozenset[str](), ""): main}
    for landed in range(len(tips)):
        steps = [
            (names | {name}, (tip, other))
            for (names, _), tip in states.items()
            for name, other in tips.items()
            if name not in names
        ]
        trials = merged(git, list(dict.fromkeys(pair for _, pair in steps)))
        clean = {(n, trials[p].tree): p for n, p in steps if trials[p].clean}
        if not clean:
            return landed
        made = commits(git, [(tree, pair) for (_, tree), pair in clean.items()])
        states = dict(zip(clean, made, strict=True))
    return len(tips)


def shortfall(folder: Path, seed: int, *, reverts: bool = False) -> int:
    """How many tasks fewer the plan lands than the best order does."""
    main, tips = make_tasks(folder, seed, reverts=reverts)
    names = list(tips)
    with aside(Git(folder), folder) as git:
        pairs = [(main, tip) for tip in tips.values()]
        pairs += itertools.combinations(tips.values(), 2)
        found = outcomes(git, pairs, main, main)
        alone = {name: t for name in names if not (t := found[main, tips[name]]).clean}
        collide = [
            (a, b) for a, b in itertools.combinations(names, 2) if not found[tips[a], tips[b]].clean
        ]
        works = {name: Work(tips[name], "main", main) for name in names}
        simulation = Simulation(git, works, keeps_parents=True)
        order = plan([task(n) for n in names], collide, alone, simulation.outcomes).order
        return best_of_all_orders(git, main, tips) - len(order)


def test_lands_as_many_as_the_best_of_all_orders(tmp_path: Path) -> None:
    assert [shortfall(tmp_path / str(seed), seed) for seed in range(FEW)] == [0] * FEW


@pytest.mark.slow
@pytest.mark.parametrize("reverts", [False, True])
def test_lands_as_many_as_the_best_order_nearly_always_and_never_two_fewer(
    tmp_path: Path, reverts: bool
) -> None:
    missed = [shortfall(tmp_path / str(seed), seed, reverts=reverts) for seed in range(SETS)]
    assert max(missed) <= 1
    assert missed.count(0) >= 95


@pytest.mark.slow
def test_lands_after_a_revert_what_collides_with_its_target_until_then(repo: Repo) -> None:
    repo.start("t", "sed -i.bak s/three/T/ readme.txt; git commit -qm T readme.txt")
    repo.commit("readme.txt", repo.git("show", "main:readme.txt").replace("three", "M"))
    repo.start("r", "git revert --no-edit HEAD")
    assert repo.json("plan")["order"] == ["r", "t"]
    done = repo.json("merge", "--all")
    assert [one["name"] for one in done["landed"]] == ["r", "t"]


def test_what_a_person_made_of_tasks_decides(repo: Repo) -> None:
    repo.start("small", "echo 1 > a")
    repo.start("large", "seq 40 > b")
    repo.start("bad", "echo 1 > c")
    repo.parallel("review", "large", "--accept")
    repo.parallel("review", "bad", "--reject", "-m", "No")
    planned = repo.json("plan")
    assert planned["order"] == ["large", "small"]
    assert [(left["name"], left["reason"]) for left in planned["left"]] == [
        ("bad", "you rejected it")
    ]
    queue = repo.json("review")["tasks"]
    assert [task["name"] for task in queue] == ["large", "small", "bad"]
    told = repo.parallel("merge", "--all").stderr
    assert "○ bad is left out: you rejected it\n" in told
    assert repo.names() == ["bad"]


@pytest.mark.slow
def test_says_why_what_a_task_comes_after_is_left_out(repo: Repo) -> None:
    repo.start("p", "sed -i.bak s/three/p/ readme.txt && rm readme.txt.bak")
    repo.start("ch", "echo > ch", "parallel/p")
    repo.commit("readme.txt", "one\n")
    repo.start("bad", "echo > bad")
    repo.start("late", "echo > late", "--after", "bad")
    repo.parallel("review", "bad", "--reject", "-m", "No")
    told = repo.parallel("plan").stdout
    assert "▲ ch is left out: it comes after p, which is left out itself\n" in told
    assert "▲ late is left out: it comes after bad, which you rejected\n" in told


@pytest.mark.slow
def test_tells_programs_why_it_knows_no_paths(repo: Repo) -> None:
    repo.start("x", "git reset -q --hard $(git commit-tree -m x $(git write-tree)); echo > f")
    (left,) = repo.json("plan")["left"]
    assert left["paths"] is None and left["reason"].endswith("unrelated histories")
