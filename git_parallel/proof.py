"""Prove a prepared merge: the checks, run on the result in a scratch worktree.

What passed is remembered by the tree and by all of the configuration that decides how it is made
ready and checked, so that the same result is not checked twice. Only passes are remembered.
"""

import time

import msgspec

from git_parallel import environment, records
from git_parallel.checks import run_checks
from git_parallel.config import Loaded
from git_parallel.errors import ParallelError, UnsafeError
from git_parallel.prepared import Prepared
from git_parallel.store import Store
from git_parallel.wording import pasted
from git_parallel.workshop import Bench

MOST = 200
LIFE_S = 7 * 86_400.0  # what lies outside of the tree, such as a compiler, changes in time


class Passed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What passed, as digests, and when (in seconds since 1970)."""

    times: dict[str, float] = {}
    version: int = 1


class Memory:
    """The passes that a repository remembers."""

    def __init__(self, store: Store) -> None:
        self.file = store.state / "passed.json"

    def holds(self, digest: str) -> bool:
        """Whether that has passed lately; a memory that can't be read holds nothing."""
        return time.time() - self._times().get(digest, 0.0) < LIFE_S

    def keep(self, digest: str) -> None:
        """Remember a pass, and forget the oldest ones. The caller holds the lock for landing."""
        newest = sorted(self._times().items(), key=lambda pair: pair[1])[-(MOST - 1) :]
        records.write_record(self.file, Passed({**dict(newest), digest: time.time()}))

    def _times(self) -> dict[str, float]:
        try:
            return (records.find_record(self.file, Passed) or Passed()).times
        except ParallelError:
            return {}


def prove(bench: Bench, prepared: Prepared) -> None:
    """Run the checks on a prepared result; raises ParallelError where one does not pass."""
    shop, view = bench.shop, bench.view
    commands = shop.loaded.config.checks.run
    if not commands:
        return
    if not shop.approvals.allow("checks.run"):
        words = f"`{view.task.name}` can't be checked: {environment.UNTRUSTED}"
        raise UnsafeError(words, hint="git parallel trust")
    tree = bench.repository.git.text("rev-parse", f"{prepared.result}^{{tree}}")
    memory, digest = Memory(bench.repository.store), digest_of(tree, shop.loaded)
    if memory.holds(digest):
        shop.told(f"{bench.what} is a tree that has passed the checks before")
        return
    bench.at(prepared.result)
    shop.told(f"preparing {bench.what}")
    if reason := bench.bootstrap() or _check(bench):
        words = f"`{view.task.name}` merged into {view.task.target}: {reason}"
        raise ParallelError(words, hint=f"less {pasted(bench.log)}")
    memory.keep(digest)


def digest_of(tree: str, loaded: Loaded) -> str:
    """What stands for a tree that is made ready and checked as it is configured. Pure."""
    import hashlib

    config = loaded.config
    steps = [repr(step) for step in loaded.steps]
    parts = (tree, config.checks, config.environment, config.managers, config.approvals, steps)
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def _check(bench: Bench) -> str:
    checks = bench.shop.loaded.config.checks
    return run_checks(
        checks.run,
        folder=bench.folder,
        environment=bench.variables,
        output=bench.output,
        run=bench.shop.supervisor.run,
        timeout_s=checks.timeout_min * 60,
        told=lambda command: bench.shop.told(f"checking {bench.what}: {command}"),
    )[1]
