"""The home: the folder that the worktrees of new tasks are made in."""

import os
from collections.abc import Mapping
from pathlib import Path

from git_parallel.exclude import hide
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


def hide_home(repository: Repository, home: Path) -> None:
    """Keep a home inside the main worktree from showing there as untracked; raises OSError."""
    main = repository.main
    if main is None or not home.is_relative_to(main) or home.is_relative_to(repository.common):
        return
    hide(repository.common, f"/{home.relative_to(main)}/")


def resting_home(repository: Repository, path: Path) -> Path:
    """The folder whose trash a worktree goes to: the home, wherever an adopted or a moved worktree
    stands; where that is on another file system, the folder around it, as a rename must do.
    """
    home = home_of(repository, repository.settings())
    if path.parent == home:
        return home
    ground = next(folder for folder in (home, *home.parents) if folder.exists())
    if ground.stat().st_dev != path.stat().st_dev or not os.access(ground, os.W_OK | os.X_OK):
        return path.parent
    hide_home(repository, home)
    return home


def _is_submodule(repository: Repository) -> bool:
    return "modules" in repository.common.parts and ".git" in repository.common.parts


def _is_free_ground(folder: Path) -> bool:
    """Whether worktrees may be made in a folder: writable, and not inside another repository."""
    if not os.access(folder, os.W_OK | os.X_OK):
        return False
    return not any((above / ".git").exists() for above in (folder, *folder.parents))
