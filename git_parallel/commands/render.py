"""How a task looks: in JSON, in a line, in a word."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from git_parallel import output
from git_parallel.records import Reviewed
from git_parallel.relocation import shown
from git_parallel.repository import Repository
from git_parallel.task import Run, Status
from git_parallel.task_view import TaskView
from git_parallel.wording import in_line, named

if TYPE_CHECKING:
    from git_parallel.cleanup import Swept
    from git_parallel.stack import Moved
    from git_parallel.unmerge import Undone

CLEANLY = "cleanly"

GLYPHS = {
    Status.READY: output.DONE,
    Status.MERGED: output.DONE,
    Status.FAILED: output.ERROR,
    Status.LOST: output.ERROR,
    Status.STOPPED: output.NOTHING,
    Status.EMPTY: output.NOTHING,
    Status.IDLE: output.NOTHING,
    Status.WAITING: output.WARNING,
    Status.STALLED: output.WARNING,
}


def glyph_of(status: Status) -> str:
    """The glyph of a status; what is under way has the one for "in progress"."""
    return GLYPHS.get(status, output.BUSY)


def task_json(view: TaskView) -> dict[str, Any]:
    """A task for programs: an absent key is nothing to report, null could not be found out."""
    task, facts = view.task, view.facts
    answer: dict[str, Any] = {
        "name": task.name,
        "status": str(view.status),
        "branch": task.branch,
        "target": task.target,
        "base": task.base,
        "head": view.tip,
        "path": str(view.path),
        "address": str(view.folder.path.parents[2] / task.slug),
        "ahead": facts.ahead if facts else None,
        "behind": facts.behind if facts else None,
        "dirty": view.dirty,
        "files": facts.files if facts else None,
        "insertions": facts.insertions if facts else None,
        "deletions": facts.deletions if facts else None,
        "conflicts": _conflicts_json(view),
        "breaches": list(view.breaches),
        "slot": task.slot,
        "ports": list(task.ports),
        "created": task.created,
    }
    if task.after:
        answer["after"] = list(task.after)
    if reason := reason_of(view):
        answer["reason"] = reason
    if view.run:
        answer["run"] = run_json(view, view.run)
        if view.run.agent:
            answer["agent"] = view.run.agent
    if view.evidence:
        answer["evidence"] = view.evidence
    if reviewed := view.folder.reviewed:
        answer["review"] = _review_json(view, reviewed)
    if view.notice:
        answer["notice"] = {"status": view.notice.status, "reason": view.notice.reason}
    return answer


def _conflicts_json(view: TaskView) -> list[dict[str, Any]] | None:
    if view.facts is None or view.facts.conflicts is None:
        return None
    if not view.facts.conflicts:
        return []
    name, target = view.task.name, view.task.target
    return [{"tasks": [name], "target": target, "paths": list(view.facts.conflicts)}]


def _review_json(view: TaskView, reviewed: Reviewed) -> dict[str, Any]:
    """What a person made of a task; `current` is false where its tip is another one now."""
    answer: dict[str, Any] = {
        "verdict": str(reviewed.verdict),
        "tip": reviewed.tip,
        "current": reviewed.tip == view.tip,
        "time": reviewed.time,
    }
    return answer | ({"note": reviewed.note} if reviewed.note else {})


def run_json(view: TaskView, run: Run) -> dict[str, Any]:
    """A run as programs read it."""
    answer: dict[str, Any] = {
        "number": run.number,
        "agent": run.agent,
        "command": list(run.command),
        "started": run.started,
        "log": str(view.folder.log(run.number)),
    }
    if run.ended:
        answer |= {"ended": run.ended, "exit_code": run.exit_code}
    if run.checks:
        answer["checks"] = list(run.checks)
    if run.session:
        answer["session"] = run.session
    if run.outcome:
        told = msgspec.to_builtins(run.outcome)
        answer["outcome"] = {key: value for key, value in told.items() if value}
    return answer


def tell_settled(repository: Repository) -> None:
    """Narrate what was mended after a move, or that this is a copy."""
    settled = repository.settled
    if settled.repaired:
        number = output.count(len(settled.repaired), "worktree")
        output.tell(output.DONE, f"this repository was moved: {number} led back to it")
    if settled.copy_of:
        output.tell(
            output.WARNING,
            f"this repository is a copy of {output.printable(str(shown(settled.copy_of)))},"
            " and the worktrees are that one's",
            hint="git parallel doctor --fix",
        )


def reason_of(view: TaskView) -> str:
    """Why a task is in its status, or what is wrong with it."""
    parts = [view.reason, view.trouble]
    if view.worktree and not view.alive:
        parts += [f"{what} is not finished in its worktree" for what in view.worktree.operations]
    if view.breaches and view.status is Status.READY:
        parts.append(f"outside its constraints: {named(view.breaches, 3)}")
    return "; ".join(dict.fromkeys(part for part in parts if part))


def commits_of(view: TaskView) -> str:
    """How many commits a task is ahead and behind, as `+2 -1`."""
    if view.facts is None:
        return "?"
    ahead, behind = view.facts.ahead, view.facts.behind
    words = [f"+{ahead}" if ahead else "", f"-{behind}" if behind else ""]
    return " ".join(word for word in words if word)


def changes_of(view: TaskView) -> str:
    """What a task changed, as `3 files +40 -2`, and what it has not committed."""
    parts = []
    if view.facts and view.facts.files:
        size = f"+{view.facts.insertions} -{view.facts.deletions}"
        parts.append(f"{output.count(view.facts.files, 'file')} {size}")
    if view.dirty:
        parts.append(f"{view.dirty} uncommitted")
    return ", ".join(parts)


def checks_of(view: TaskView, *, expected: bool) -> str:
    """What the checks said of a task as it is now, in words; nothing where there are none."""
    run = view.run
    if run is None or not run.checks or run.head != view.tip:
        return "not run" if expected else ""
    passed = sum(check.exit_code == 0 for check in run.checks)
    return "passed" if passed == len(run.checks) else f"{len(run.checks) - passed} failed"


def seconds_of(run: Run | None) -> float | None:
    """How long a run took; None where it did not run, or did not end."""
    if run is None or run.started is None or run.ended is None:
        return None
    return (run.ended - run.started).total_seconds()


def took_of(run: Run | None) -> str:
    """How long a run took, in words; nothing where that is not known."""
    seconds = seconds_of(run)
    return "" if seconds is None else output.duration(seconds)


def cost_of(run: Run | None) -> str:
    """What a run cost, where its agent told."""
    return f"{run.outcome.cost_usd:.2f} USD" if run and run.outcome and run.outcome.cost_usd else ""


def merges_of(view: TaskView, *, most: int) -> str:
    """Whether a task merges into its target, with so many paths of the conflict at most."""
    if view.evidence:
        return f"already in {view.evidence.target}"
    if view.facts is None or view.facts.conflicts is None:
        return "not known"
    if not view.facts.conflicts:
        return CLEANLY
    return f"conflicts: {some(view.facts.conflicts, most)}"


def some(paths: Sequence[str], most: int) -> str:
    """The first of some paths, and how many there are beside them."""
    return output.printable(named(paths, most))


def next_step(view: TaskView) -> str:
    """The command that goes on from a task's status."""
    name = view.task.name
    if view.run and view.run.hint and view.status is Status.FAILED:
        return view.run.hint
    steps = {
        Status.READY: f"git parallel review {name}",
        Status.FAILED: f"git parallel log {name}",
        Status.LOST: f"git parallel stop {name} && git parallel run {name}",
        Status.EMPTY: f"git parallel log {name}",
        Status.STOPPED: f"git parallel run {name}",
        Status.WAITING: f"git parallel attach {name}",
    }
    if view.status is Status.LOST and view.folder.making:
        return f"git parallel remove {name}"
    return steps.get(view.status, f"git parallel show {name}")


def tell_status(view: TaskView) -> None:
    """Narrate what a task has come to."""
    reason = in_line(reason_of(view))
    words = f"{view.task.name} is {view.status}" + (f": {reason}" if reason else "")
    output.tell(glyph_of(view.status), output.printable(words), hint=next_step(view))


def tell_busy(line: str) -> None:
    """Narrate what takes a while."""
    output.tell(output.BUSY, output.printable(line))


def tell_undone(repository: Repository, undone: "Undone") -> None:
    """Say that a merge was taken back, and that its task is back from the trash."""
    if undone.landing:
        words = (
            f"the merge of {undone.name} into {undone.target} was interrupted, and is taken back"
        )
        output.tell(output.DONE, output.printable(words))
        return
    short = repository.short(undone.commit)
    output.tell(output.DONE, f"{undone.target} is back at {short}, without {undone.name}")
    if undone.path:
        output.tell(output.DONE, f"{undone.name} is back", hint=f"git parallel show {undone.name}")
    for moved in undone.moved:
        tell_moved(repository, moved)


def tell_swept(repository: Repository, swept: "Swept") -> None:
    """Narrate what a sweep did."""
    for name in swept.recovered:
        output.tell(output.DONE, f"an interrupted move of {name} was put in order")
    for cleaned in swept.cleaned:
        proof = cleaned.evidence
        short = f", {repository.short(proof.commit)}" if proof.commit else ""
        stays = f", its branch {cleaned.branch} stays" if cleaned.branch else ""
        words = f"{cleaned.name} cleaned up ({proof.text}{short}){stays}"
        output.tell(output.DONE, words, hint=f"git parallel undo {cleaned.name}")
    for moved in swept.moved:
        tell_moved(repository, moved)
    sys.stderr.flush()


def tell_moved(repository: Repository, moved: "Moved") -> None:
    """Narrate that a task stood on another one, which has landed, or is taken back."""
    now = f"{moved.name} stood on it and is for {moved.target} now"
    if moved.reason:
        words = output.printable(f"{now}, but not rebased: {moved.reason}")
        output.tell(output.WARNING, words, hint=f"git parallel rebase {moved.name}")
        return
    done = moved.replayed
    how = f", rebased ({repository.short(done.new)})" if done and done.moved else ""
    output.tell(output.DONE, now + how)
