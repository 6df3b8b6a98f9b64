"""Tools that read a file only where the user allowed it: what is allowed in the main worktree is
allowed for the same file in another, and nothing else is.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from git_parallel.schema import Approval
from git_parallel.site import Site


def wanted(site: Site) -> Iterator[tuple[str, Approval, str]]:
    """The tools that are there and have a file in this worktree: their names, rows and files."""
    import shutil

    for name, row in site.config.approvals.items():
        file = next((file for file in row.files if (site.path / file).is_file()), None)
        if file and shutil.which(row.ask[0]):
            yield name, row, file


def refusal(site: Site, row: Approval, file: str) -> str:
    """Why a file may not be allowed in the worktree, or nothing."""
    if site.source is None or not (site.source / file).is_file():
        return f"there is no {file} in the main worktree that was allowed"
    if (site.source / file).read_bytes() != (site.path / file).read_bytes():
        return f"{file} is not the one of the main worktree"
    if not _is_allowed(site, row, site.source):
        return f"{file} is not allowed in the main worktree"
    return ""


def _is_allowed(site: Site, row: Approval, folder: Path) -> bool:
    said = site.ask(row.ask, folder)
    return said is not None and re.search(row.says, said) is not None


def carry_out(site: Site, row: Approval, file: str) -> str:
    """Allow a file; returns why that failed, or nothing."""
    return site.run([word.replace("{file}", file) for word in row.allow])
