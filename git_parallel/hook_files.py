"""The hooks of others that git would run."""

import os
from collections.abc import Mapping
from pathlib import Path

SHIM_HEAD = "#!/bin/sh\n# git parallel"  # how a hook begins that is ours alone
ASIDE = "before-parallel"  # the folder of hooks that ours runs first


def hooks_folder(common: Path, place: Path, settings: Mapping[str, str]) -> Path:
    """Where git looks for hooks when it works in a worktree: a relative `core.hooksPath` begins
    there (githooks(5)).
    """
    named = settings.get("core.hookspath")
    return place / Path(named).expanduser() if named else common / "hooks"


def has_hook(name: str, common: Path, place: Path, settings: Mapping[str, str]) -> bool:
    """Whether a hook of somebody else's would be run in a worktree; config hooks (git 2.54) count
    wherever they point.
    """
    if any(key.startswith("hook.") for key in settings):
        return True
    folder = hooks_folder(common, place, settings)
    hook = folder / name
    if (folder / ASIDE / name).exists():
        return True
    return os.path.lexists(hook) and not _begins_as_ours(hook)


def _begins_as_ours(hook: Path) -> bool:
    try:
        return hook.read_bytes().startswith(SHIM_HEAD.encode())
    except OSError:
        return False
