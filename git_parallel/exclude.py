"""What git overlooks in all worktrees of a repository, with no word in the project's files."""

import os
from pathlib import Path


def hide(common: Path, line: str) -> None:
    """Have git overlook what a pattern matches in all worktrees of a repository, without a word in
    the project's own files; raises OSError.
    """
    exclude = common / "info" / "exclude"
    known = exclude.read_bytes() if exclude.exists() else b""
    if os.fsencode(line) in known.splitlines():
        return
    exclude.parent.mkdir(exist_ok=True)
    with open(exclude, "ab") as file:  # appended, so that nobody's change at the same time is lost
        file.write(b"\n" * (known[-1:] not in (b"", b"\n")) + os.fsencode(f"{line}\n"))
