"""What counts as merged: small real repositories, the truth beside each.

A row is a name, the steps that make the repository, and the rule by which x is merged, or the
words of the reason why it is not. The steps are a shell's, with these words of its own: `on x` and
`on main` switch, `line FILE N TEXT` changes a line, `put FILE TEXT` writes a file, `save WORDS`
commits all.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from git_parallel.overview import look
from git_parallel.records import Landed, Making
from git_parallel.repository import Repository, find_repository
from git_parallel.task import Slug, Task, TaskName, now

WORDS = r"""
on() { case $1 in x) git switch -q parallel/x ;; *) git switch -q "$1" ;; esac; }
line() { sed -i.bak "$2s/.*/$3/" "$1" && rm "$1.bak"; }
put() { mkdir -p "$(dirname "$1")"; printf '%s\n' "$2" >"$1"; }
save() { git add -A; git commit -q --allow-empty -m "$*"; }
merge() { git merge -q --no-edit "$@" >/dev/null; }
squash() { git merge -q --squash "${1:-parallel/x}" >/dev/null; save squashed; }
"""
WORK = "on x; line a.txt 3 THREE; save edit; put new.txt new; save add; on main; "
ONE = "on x; line a.txt 3 THREE; save edit; on main; "
ASIDE = "put other.txt other; save other; "  # the target goes on, elsewhere


class Row(NamedTuple):
    """A repository, and the truth."""

    name: str
    steps: str
    rule: str
    why: str = ""


def merged(name: str, steps: str, rule: str) -> Row:
    return Row(name, steps, rule)


def kept(name: str, steps: str, why: str = "not merged into main") -> Row:
    return Row(name, steps, "", why)


GONE = "its changes were reverted in main"
FRESH = "no commit of its own yet"
NOTHING = "its commits cancel each other out"
APART = "its history has nothing in common with main"

ROWS = [
    # As it comes: merges.
    merged("fast-forward", WORK + "merge parallel/x", "M2"),
    merged("fast-forward, then others", WORK + "merge parallel/x;" + ASIDE, "M2"),
    merged("true merge", WORK + ASIDE + "merge parallel/x", "M2"),
    merged("true merge without need", WORK + "merge --no-ff parallel/x", "M2"),
    merged("true merge, then others", WORK + ASIDE + "merge parallel/x; put b.txt 2; save b", "M2"),
    merged(
        "octopus",
        WORK
        + "git switch -qc side; put side 1; save side; on main;"
        + ASIDE
        + "merge side parallel/x",
        "M2",
    ),
    merged(
        "merged by way of another branch",
        WORK
        + "git switch -qc dev; put d 1; save d; merge parallel/x; on main;"
        + ASIDE
        + "merge dev",
        "M2",
    ),
    merged(
        "merge with a conflict, resolved with some of both",
        WORK + "line a.txt 3 drei; save drei; merge parallel/x || true;"
        "git checkout -q --ours a.txt; line a.txt 3 'drei THREE'; save resolved",
        "M2",
    ),
    merged(
        "updated from the target, then merged",
        WORK + ASIDE + "on x; merge main; on main; put b.txt 2; save b; merge parallel/x",
        "M2",
    ),
    merged(
        "updated from the target, then the target moves on to it",
        WORK + ASIDE + "on x; merge main; on main; merge parallel/x",
        "M2",
    ),
    merged(
        "criss-cross",
        WORK + ASIDE + "git branch m1; merge parallel/x; on x; merge m1; put y 1; save y;"
        "on main; merge parallel/x",
        "M2",
    ),
    merged(
        "amended before the merge",
        "on x; put y 1; save y; put y 2; git add -A;"
        "git commit -q --amend --no-edit; on main;" + ASIDE + "merge parallel/x",
        "M2",
    ),
    merged(
        "merged, continued, merged",
        WORK + ASIDE + "merge parallel/x; on x; put z 1; save z;"
        "on main; put b.txt 2; save b; merge parallel/x",
        "M2",
    ),
    merged(
        "merged, reverted, and the revert reverted",
        WORK + ASIDE + "merge parallel/x; git revert --no-edit -m1 HEAD >/dev/null;"
        "git revert --no-edit HEAD >/dev/null",
        "M2",
    ),
    merged(
        "merged, the same lines edited later",
        WORK + ASIDE + "merge parallel/x; line a.txt 3 again; put new.txt newer; save later",
        "M2",
    ),
    merged(
        "merged, the file renamed later",
        WORK + ASIDE + "merge parallel/x; git mv a.txt c.txt; save renamed",
        "M2",
    ),
    merged(
        "a mode only", "on x; chmod +x a.txt; save x; on main;" + ASIDE + "merge parallel/x", "M2"
    ),
    merged(
        "a binary file",
        "on x; printf '\\0\\1\\2' >bin; save b; on main;" + ASIDE + "merge parallel/x",
        "M2",
    ),
    merged(
        "a deletion", "on x; git rm -q b.txt; save rm; on main;" + ASIDE + "merge parallel/x", "M2"
    ),
    merged(
        "a rename", "on x; git mv a.txt c.txt; save mv; on main;" + ASIDE + "merge parallel/x", "M2"
    ),
    merged(
        "a submodule's pointer",
        "on x; git update-index --add --cacheinfo 160000,$(git rev-parse HEAD),"
        "lib; git commit -qm lib; git switch -q main;"
        + ASIDE.replace("git add -A", "git add other.txt")
        + "merge parallel/x",
        "M2",
    ),
    merged(
        "a symbolic link",
        "on x; ln -s a.txt link; save ln; on main;" + ASIDE + "merge parallel/x",
        "M2",
    ),
    # By content: squashes, rebases, picks.
    merged("squash", WORK + ASIDE + "squash", "M5"),
    merged("squash, then others", WORK + "squash;" + ASIDE, "M5"),
    merged(
        "squash as forges do it, onto what came meanwhile",
        WORK + ASIDE + "git switch -q --detach; squash; git branch -f main; on main",
        "M5",
    ),
    merged(
        "squash of what was updated from the target",
        WORK + ASIDE + "on x; merge main; on main; squash",
        "M5",
    ),
    merged(
        "squash, the same lines edited later",
        WORK + ASIDE + "squash; line a.txt 3 again; save later",
        "M6",
    ),
    merged(
        "squash, all of its lines edited later",
        WORK
        + ASIDE
        + "squash; line a.txt 3 again; put new.txt newer; save later;"
        + "put c 1; save c",
        "M6",
    ),
    merged(
        "squash, edited and edited back",
        WORK + "squash; line a.txt 3 again; save l; line a.txt 3 THREE; save l",
        "M5",
    ),
    merged(
        "rebased by a forge", WORK + ASIDE + "git cherry-pick main..parallel/x >/dev/null", "M5"
    ),
    merged(
        "rebased by a forge, the same lines edited later",
        WORK + ASIDE + "git cherry-pick main..parallel/x >/dev/null; line a.txt 3 x; save l",
        "M6",
    ),
    merged(
        "every commit picked, others between",
        WORK + ASIDE + "git cherry-pick parallel/x~ >/dev/null; put b.txt 2; save b;"
        "git cherry-pick parallel/x >/dev/null",
        "M5",
    ),
    merged(
        "the branch rebased after it landed",
        WORK
        + ASIDE
        + "merge parallel/x; on x; git reset -q --hard main~; git cherry-pick base..parallel/x@{1};"
        "on main",
        "M5",
    ),
    merged(
        "amended after a squash, only its message",
        WORK + "squash; on x; git commit -q --amend -m other; on main",
        "M5",
    ),
    merged(
        "the same patch from somebody else",
        WORK + "line a.txt 3 THREE; put new.txt new; save same",
        "M5",
    ),
    merged(
        "squash, then the target rewritten with the work in it",
        WORK + ASIDE + "squash; git commit -q --amend -m other",
        "M5",
    ),
    merged(
        "merged, then the target rewritten into a line",
        WORK + ASIDE + "merge parallel/x; git reset -q --soft HEAD~; save flat",
        "M5",
    ),
    merged(
        "squash reverted and landed again",
        WORK + "squash; git revert --no-edit HEAD >/dev/null; git revert --no-edit HEAD >/dev/null",
        "M5",
    ),
    merged(
        "a mode only, squashed", "on x; chmod +x a.txt; save x; on main;" + ASIDE + "squash", "M5"
    ),
    merged(
        "a deletion, squashed", "on x; git rm -q b.txt; save rm; on main;" + ASIDE + "squash", "M5"
    ),
    merged(
        "a rename, squashed", "on x; git mv a.txt c.txt; save mv; on main;" + ASIDE + "squash", "M5"
    ),
    merged(
        "empty commits beside others, squashed",
        "on x; save one; put y 1; save y; save two; on main;" + ASIDE + "squash",
        "M5",
    ),
    # Nothing of its own.
    kept("fresh", "true", FRESH),
    kept("fresh, the target moves on", ASIDE, FRESH),
    kept("fresh, updated from the target", ASIDE + "on x; merge main; on main", FRESH),
    kept("fresh, updated by a merge commit", ASIDE + "on x; merge --no-ff main; on main", NOTHING),
    kept(
        "fresh, moved to another branch that landed",
        "git switch -qc y; put y 1; save y; on main;squash y; on x; git reset -q --hard y; on main",
        FRESH,
    ),
    kept("its work thrown away", WORK + "on x; git reset -q --hard base; on main;" + ASIDE, FRESH),
    kept(
        "its work thrown away, then updated",
        WORK + ASIDE + "on x; git reset -q --hard main; on main",
        FRESH,
    ),
    kept("empty commits", "on x; save one; save two; on main;" + ASIDE, NOTHING),
    kept("empty commits, merged", "on x; save one; on main;" + ASIDE + "merge parallel/x", NOTHING),
    kept(
        "commits that cancel each other out",
        "on x; put y 1; save y; git rm -q y; save n; on main;" + ASIDE,
        NOTHING,
    ),
    # Not there, or not any more.
    kept("not merged", WORK + ASIDE),
    kept("one commit of two picked", WORK + ASIDE + "git cherry-pick parallel/x~ >/dev/null"),
    kept("one file of two brought", WORK + "git checkout -q parallel/x -- new.txt; save part"),
    kept(
        "merged, and more commits",
        WORK + ASIDE + "merge parallel/x; on x; put z 1; save z; on main",
    ),
    kept("squashed, and more commits", WORK + "squash; on x; put z 1; save z; on main"),
    kept(
        "amended after a squash",
        WORK + "squash; on x; put z 1; git add -A;git commit -q --amend --no-edit; on main",
    ),
    kept(
        "dropped by a merge",
        WORK + ASIDE + "merge -s ours parallel/x",
        "its changes were dropped by the merge",
    ),
    kept(
        "dropped for one file by a merge",
        WORK + ASIDE + "merge --no-commit parallel/x;git checkout -q HEAD -- a.txt; save merged",
        "its changes were dropped by the merge",
    ),
    kept(
        "dropped in a file that both changed",
        WORK + "line a.txt 3 drei; save drei; merge -X ours parallel/x",
        "its changes were dropped by the merge",
    ),
    kept(
        "dropped by a merge that comes by way of another branch",
        WORK
        + "git switch -qc dev; line a.txt 1 ONE; save d; merge -s ours parallel/x; on main;"
        + ASIDE
        + "merge dev",
        "its changes were dropped by the merge",
    ),
    kept(
        "reverted",
        WORK + ASIDE + "merge parallel/x; git revert --no-edit -m1 HEAD >/dev/null",
        GONE,
    ),
    kept(
        "reverted after a fast-forward",
        WORK + "merge parallel/x; git revert --no-edit HEAD HEAD~ >/dev/null",
        GONE,
    ),
    kept(
        "reverted, the same file edited by others before",
        WORK
        + "line a.txt 1 ONE; save one; merge parallel/x; git revert --no-edit -m1 HEAD >/dev/null",
        GONE,
    ),
    kept(
        "reverted, the same file edited by others later",
        WORK
        + ASIDE
        + "merge parallel/x; git revert --no-edit -m1 HEAD >/dev/null; line a.txt 1 ONE;"
        "save one",
        GONE,
    ),
    kept(
        "one of two commits reverted",
        WORK + ASIDE + "merge parallel/x; git revert --no-edit parallel/x~ >/dev/null",
        GONE + ": a.txt",
    ),
    kept(
        "a deletion, merged and reverted",
        "on x; git rm -q b.txt; save rm; on main;"
        + ASIDE
        + "merge parallel/x; git revert --no-edit -m1 HEAD >/dev/null",
        GONE + ": b.txt",
    ),
    kept(
        "a mode only, merged and reverted",
        "on x; chmod +x a.txt; save x; on main;"
        + ASIDE
        + "merge parallel/x; git revert --no-edit -m1 HEAD >/dev/null",
        GONE + ": a.txt",
    ),
    kept(
        "reverted, continued and merged again",
        WORK
        + ASIDE
        + "merge parallel/x; git revert --no-edit -m1 HEAD >/dev/null; on x; put z 1; save z;"
        "on main; merge parallel/x",
        GONE + ": a.txt, new.txt",
    ),
    kept(
        "reverted, continued and squashed",
        WORK
        + ASIDE
        + "merge parallel/x; git revert --no-edit -m1 HEAD >/dev/null; on x; put z 1; save z;"
        "on main; squash",
        GONE + ": a.txt, new.txt",
    ),
    kept("squash reverted", WORK + "squash; git revert --no-edit HEAD >/dev/null"),
    kept(
        "squash reverted, the same lines edited later",
        WORK + "squash; git revert --no-edit HEAD >/dev/null; line a.txt 3 drei; save drei",
        GONE,
    ),
    kept(
        "squash of one line reverted, the same line edited later",
        ONE + "squash; git revert --no-edit HEAD >/dev/null; line a.txt 3 drei; save drei",
        GONE + ": a.txt",
    ),
    kept(
        "merge of one line reverted, the same line edited later",
        ONE + ASIDE + "merge parallel/x; line a.txt 3 three; save r; line a.txt 3 drei; save drei",
        GONE + ": a.txt",
    ),
    kept(
        "merged, continued, and the first part reverted and edited since",
        ONE
        + ASIDE
        + "merge parallel/x; line a.txt 3 three; save r; line a.txt 3 drei; save d; on x; put z 1;"
        "save z; on main; merge parallel/x",
        GONE + ": a.txt",
    ),
    kept(
        "squash, edited later, then taken back in one file",
        WORK + "squash; line a.txt 3 again; git rm -q new.txt; save part",
        GONE + ": new.txt",
    ),
    kept(
        "a rename, squashed and reverted",
        "on x; git mv a.txt c.txt; save mv; on main; squash;git revert --no-edit HEAD >/dev/null",
    ),
    kept("whitespace only", "on x; line a.txt 3 '  three'; save ws; on main;" + ASIDE),
    kept(
        "a whitespace variant landed", WORK + "line a.txt 3 '  THREE'; put new.txt ' new'; save ws"
    ),
    kept(
        "the target rewritten, the work not in it",
        WORK + ASIDE + "merge parallel/x; git reset -q --hard HEAD~",
        "not merged into main",
    ),
    kept(
        "the target reset to before the task", WORK + "merge parallel/x; git reset -q --hard base"
    ),
    kept(
        "an orphan with an equal tree",
        WORK + "squash; git switch -q --orphan o; git read-tree -um parallel/x; save o;"
        "git branch -qf parallel/x o; on main",
        APART,
    ),
    kept(
        "a merge driver that always takes ours",
        "git config merge.mine.driver true; put .gitattributes 'a.txt merge=mine'; save attr;"
        "on x; merge main; line a.txt 3 THREE; save edit; on main; line a.txt 3 drei; save drei",
    ),
    kept(
        "a replaced object that shows the target as its descendant",
        WORK + ASIDE + "git replace --graft main parallel/x",
    ),
    kept(
        "a graft that shows the target as its descendant",
        WORK + ASIDE + "echo $(git rev-parse main parallel/x) >.git/info/grafts",
    ),
    kept(
        "a replaced object that shows its change as there",
        WORK + ASIDE + "git replace main^{tree} parallel/x^{tree}",
    ),
    kept(
        "a shallow clone that ends above the fork",
        WORK + ASIDE + "git rev-parse main parallel/x >.git/shallow",
        APART,
    ),
    kept("the target is gone", WORK + "merge parallel/x; git branch -m main trunk", "?"),
    kept(
        "its objects are damaged",
        WORK + ASIDE + "rm -f .git/objects/$(git rev-parse parallel/x^{tree} | sed 's,..,&/,')",
        "?",
    ),
    # What the target follows has it, and the target itself does not.
    merged(
        "merged upstream",
        WORK + "git switch -q --detach; put other o; save o; merge parallel/x;UP",
        "M2 origin/main",
    ),
    merged(
        "squashed upstream", WORK + ASIDE + "git switch -q --detach; squash; UP", "M5 origin/main"
    ),
    merged(
        "merged here, the upstream lags",
        WORK + "git switch -q --detach base; UP; merge parallel/x",
        "M2",
    ),
    merged("merged here and upstream", WORK + "merge parallel/x; git switch -q --detach; UP", "M2"),
    kept(
        "reverted upstream",
        WORK + ASIDE + "git switch -q --detach; merge parallel/x;"
        "git revert --no-edit -m1 HEAD >/dev/null; UP",
    ),
    kept(
        "merged into another branch of the remote",
        WORK + ASIDE + "git switch -q --detach; merge parallel/x; UP;"
        "git update-ref refs/remotes/origin/dev HEAD@{1};"
        "git update-ref refs/remotes/origin/main base",
    ),
    # What our own merge recorded.
    merged("landed by us as a squash", WORK + ASIDE + "squash; landed", "M1"),
    merged(
        "landed by us, then others",
        WORK + ASIDE + "squash; landed; line a.txt 3 again; put new.txt y; save later",
        "M1",
    ),
    kept(
        "landed by us, and reverted since",
        WORK + ASIDE + "squash; landed; git revert --no-edit HEAD >/dev/null",
        GONE,
    ),
    kept("landed by us, and more commits", WORK + "squash; landed; on x; put z 1; save z; on main"),
    kept(
        "about to be landed by us, and it did not come to it",
        WORK + ASIDE + "squash; landed; git reset -q --hard HEAD~",
    ),
]
UPSTREAM = (
    "git update-ref refs/remotes/origin/main HEAD; git config remote.origin.url u;"
    "git config remote.origin.fetch '+refs/heads/*:refs/remotes/origin/*';"
    "git config branch.main.remote origin; git config branch.main.merge refs/heads/main; on main"
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a commit and a branch for x, to be copied."""
    path = tmp_path_factory.mktemp("table") / "repo"
    path.mkdir()
    identity = {
        f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    script = (
        "git init -q -b main --template=; printf '%s\\n' one two three four five six >a.txt;"
        "echo b >b.txt; git add .; git commit -qm Begin; git tag base;"
        "git branch --no-track parallel/x"
    )
    subprocess.run(["sh", "-ec", script], cwd=path, check=True, env={**os.environ, **identity})
    return path


def build(template: Path, place: Path, steps: str) -> Repository:
    """The repository of a row, with x as a task of ours."""
    path = place / "repo"
    shutil.copytree(template, path, symlinks=True)
    script = (
        WORDS
        + "landed() { git rev-parse HEAD parallel/x >.git/landed; }\n"
        + steps.replace("UP", UPSTREAM)
    )
    done = subprocess.run(["sh", "-c", script], cwd=path, capture_output=True, text=True)
    assert "fatal" not in done.stderr, done.stderr
    repository = find_repository(path)
    repository.store.create()
    base = (path / ".git/refs/tags/base").read_text().strip()
    task = Task(
        name=TaskName("x"),
        slug=Slug("x"),
        branch="parallel/x",
        target="main",
        base=base,
        path=str(place / "gone"),
        slot=1,
        ports=(),
        created=now(),
    )
    folder = repository.store.claim(task, Making("", "", False, base))
    folder.made()
    if (landed := path / ".git/landed").exists():
        result, tip = landed.read_text().split()
        folder.write_landed(Landed(tip, "main", result, "squash"))
    return repository


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_tells_what_is_merged(template: Path, tmp_path: Path, row: Row) -> None:
    repository = build(template, tmp_path, row.steps)
    view = look(repository, files=False).tasks[0]
    found = view.evidence
    if row.rule:
        rule, _, target = row.rule.partition(" ")
        assert found, view.facts and view.facts.unmerged
        assert (found.rule, found.target) == (rule, target or "main")
        assert ("not yet in main" in found.text) == bool(target)
    elif row.why == "?":
        assert view.facts is None or "not known" in view.facts.unmerged
    else:
        assert found is None, found
        assert view.facts
        assert row.why in view.facts.unmerged


def test_the_table_has_both_sides() -> None:
    assert len(ROWS) >= 40
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert 30 < sum(bool(row.rule) for row in ROWS) < len(ROWS) - 30
