"""The home: the folder that the worktrees of new tasks are made in."""

import os
from collections.abc import Mapping
from pathlib import Path

from git_parallel.repository import Repository


def home_of(repository: Repository, settings: Mapping[str, str]) -> Path:
    """The home that git's configuration names, or else the one beside the repository; where that
    can't be, one among the user's own files.
    """
    configured = settings.get("parallel.root")
    if configured:
        return Path(os.path.normpath(repository.place / Path(configured).expanduser()))
    main = repository.main
    if main and not _is_submodule(repository) and _is_free_ground(main.parent):
        return main.with_name(main.name + ".parallel")
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    name = main.name if main else repository.common.name.removesuffix(".git")
    return Path(data) / "git-parallel" / f"{name or 'repository'}-{repository.key}"


def _is_submodule(repository: Repository) -> bool:
    return "modules" in repository.common.parts and ".git" in repository.common.parts


def _is_free_ground(folder: Path) -> bool:
    """Whether worktrees may be made in a folder: writable, and not inside another repository."""
    if not os.access(folder, os.W_OK | os.X_OK):
        return False
    return not any((above / ".git").exists() for above in (folder, *folder.parents))
