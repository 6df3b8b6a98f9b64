"""The program: what hooks and runners call takes a path of few imports, people's commands go
through click.
"""

import io
import os
import sys


def main() -> None:
    """Run the command line of this process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # file names are bytes, and our glyphs are UTF-8
            stream.reconfigure(encoding="utf-8", errors="surrogateescape")
    first = sys.argv[1] if len(sys.argv) > 1 else ""
    if first == "hook":
        from git_parallel.commands.hook import main as hook

        sys.exit(hook(sys.argv[2:]))
    if first in ("runner", "purge"):
        from git_parallel.commands.background import main as background

        sys.exit(background(sys.argv[1:]))
    if os.name != "posix":
        sys.exit("git parallel runs on Linux and macOS; on Windows, use it inside WSL")
    from git_parallel.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
