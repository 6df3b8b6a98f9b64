"""The program: what hooks and runners call takes a path of few imports, people's commands go
through click.
"""

import gc
import io
import os
import sys


def main() -> None:
    """Run the command line of this process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # file names are bytes, and our glyphs are UTF-8
            stream.reconfigure(encoding="utf-8", errors="surrogateescape")
    first = sys.argv[1] if len(sys.argv) > 1 else ""
    if first in ("runner", "purge", "announce", "recognise"):
        from git_parallel.commands.background import main as background

        sys.exit(background(sys.argv[1:]))
    gc.disable()  # nothing of what follows lives long enough
    if first == "complete":
        from git_parallel.commands.complete import main as complete

        _leave(complete(sys.argv[2:]))
    if first == "hook":
        from git_parallel.commands.hook import main as hook

        _leave(hook(sys.argv[2:]))
    if os.name != "posix":
        sys.exit("git parallel runs on Linux and macOS; on Windows, use it inside WSL")
    from git_parallel import early

    early.begin(first, sys.argv[2:])
    if first == "list":
        from git_parallel.commands import listing

        if listing.OPTIONS.issuperset(sys.argv[2:]):
            _leave(listing.main(sys.argv[2:]))
    if first == "conflicts":
        from git_parallel.commands import matrix

        if matrix.OPTIONS.issuperset(sys.argv[2:]):
            _leave(matrix.main(sys.argv[2:]))
    from git_parallel.cli import run

    _leave(run(sys.argv[1:]))


def _leave(code: int) -> None:
    """End at once: taking all objects apart takes as long as a call of git."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            code = code or 1
    os._exit(code)


if __name__ == "__main__":
    main()
