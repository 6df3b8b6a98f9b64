"""The processes of ours that nobody watches: a run, a notice, a forge, the trash."""

import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from git_parallel import cleanup, emptying, notice, runner
from git_parallel.errors import EXIT_BUG, ParallelError
from git_parallel.repository import find_repository, repository_at
from git_parallel.schema import Cleanup


def main(arguments: Sequence[str]) -> int:
    """Be the background process that the arguments describe; its log gets what goes wrong."""
    kind, *rest = arguments
    try:
        if kind == "runner":
            began = time.monotonic()
            carrier = runner.main(*rest)
            cleanup.sweep(carrier.repository)
            runner.refresh_index(carrier.repository, carrier.folder, began)
        elif kind == "recognise":
            cleanup.sweep_after_forges(find_repository(Path(rest[0])))
        elif kind == "announce":
            notice.run_errand(rest[0])
        else:
            rules = Cleanup(automatic=True, keep_days=float(rest[1]), keep_mib=int(rest[2]))
            emptying.empty(repository_at(Path(rest[0]), None), rules)
    except ParallelError as error:
        print(f"✗ {error}")  # noqa: T201 - stdout is the log here
    except Exception:  # nobody is there to see it: the log is
        traceback.print_exc()
        return EXIT_BUG
    return 0
