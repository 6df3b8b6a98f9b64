"""Install, inspect and uninstall the four hooks beside whatever is there already.

- Nothing there: our shim is the hook.
- A script for a shell (a user's, husky's, lefthook's, git-lfs's, pre-commit's): one marked line
  after its first one calls our shim, and is taken out again on uninstall.
- Anything else (another language, a program, a link): it is renamed, our shim runs it first under
  its own name and exits as it does, and uninstall renames it back.

A hook is an accelerator: no promise of ours rests on it, so none of this may make git fail.
"""

import contextlib
import os
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from git_parallel.errors import ParallelError
from git_parallel.git import Git
from git_parallel.hook_files import ASIDE, SHIM_HEAD
from git_parallel.repository import Repository

NAMES = ("post-checkout", "post-merge", "post-commit", "post-rewrite")
MARK = "# git parallel"
SHELL = re.compile(rb"#!.*\b(ba|da|z|k)?sh\b")
PROGRAM = "@PROGRAM@"


class HookState(Struct, frozen=True):
    """One hook: where it is, whether ours is reached, and what was done or found."""

    name: str
    path: Path
    installed: bool
    how: str
    changed: bool = False


class Place(Struct, frozen=True):
    """The folder that git runs hooks from; `trouble` says why it isn't ours to write to."""

    folder: Path
    trouble: str = ""
    shared: bool = False


def shim(name: str, program: str) -> str:
    """The text of a hook that calls this program."""
    package = Path(__file__).parent
    folder = package / "shims" if (package / "shims").is_dir() else package.parent / "hooks"
    return (folder / name).read_text().replace(PROGRAM, shlex.quote(program))


def own_program() -> str:
    """The absolute path of the installed program that is running."""
    import shutil

    beside = Path(sys.executable).with_name("git-parallel")
    called = Path(sys.argv[0])
    if called.name == "git-parallel" and called.exists():
        return str(called.absolute())
    return str(beside) if beside.exists() else shutil.which("git-parallel") or "git-parallel"


def place_of(repository: Repository, settings: Mapping[str, str]) -> Place:
    """Where git looks for this repository's hooks."""
    configured = settings.get("core.hookspath")
    if configured is None:
        return _writable(repository.common / "hooks")
    folder = repository.place / Path(configured).expanduser()
    if str(folder) == os.devnull or folder.is_file():
        return Place(folder, f"core.hooksPath is {configured}: hooks are off")
    if folder.resolve().is_relative_to(repository.common.resolve()):
        return _writable(folder)
    main = repository.main
    if main and folder.resolve().is_relative_to(main.resolve()):
        if _is_ignored(main, folder / NAMES[0]):
            return _writable(folder)
        return Place(folder, f"{configured} is part of the project (core.hooksPath)")
    return Place(folder, _writable(folder).trouble, shared=True)


def _writable(folder: Path) -> Place:
    place = next((p for p in (folder, *folder.parents) if p.exists()), folder)
    return Place(folder, "" if os.access(place, os.W_OK) else f"{place} is not writable")


def _is_ignored(main: Path, path: Path) -> bool:
    return Git(main).says_yes("check-ignore", "--quiet", str(path))


def install(
    repository: Repository, settings: Mapping[str, str], *, shared: bool = False
) -> list[HookState]:
    """Install what is missing and return the state of all four; raises ParallelError where the
    folder isn't ours to write to. `shared` allows a folder that other repositories use too.
    """
    place = place_of(repository, settings)
    if place.trouble:
        raise ParallelError(
            f"hooks are not installed: {place.trouble}", hint=manual_line(repository)
        )
    if place.shared and not shared:
        raise ParallelError(
            f"hooks are not installed: {place.folder} serves other repositories too",
            hint="git parallel hooks install --shared",
        )
    repository.store.create()
    try:
        place.folder.mkdir(parents=True, exist_ok=True)
        return [_install(repository, place.folder, name) for name in NAMES]
    except OSError as error:
        raise ParallelError(f"hooks are not installed: {error}") from error


def manual_line(repository: Repository) -> str:
    """What a person can add to a hook that we must not write to."""
    return f"add to post-merge and its sisters: {_call(repository, 'post-merge')}"


def _call(repository: Repository, name: str) -> str:
    ours = shlex.quote(str(repository.store.state / "hooks" / name))
    return f'[ -x {ours} ] && {ours} "$@" </dev/null || : {MARK}'


def _install(repository: Repository, folder: Path, name: str) -> HookState:
    found = state_of(repository, folder, name)
    text = shim(name, own_program())
    hook = folder / name
    if found.installed and found.how == "the hook is ours":
        changed = hook.read_text() != text
        if changed:
            _write_script(hook, text)
        return HookState(name, hook, True, found.how, changed)
    _write_script(repository.store.state / "hooks" / name, text)
    if found.installed:
        return found
    if not os.path.lexists(hook):
        _write_script(hook, text)
        return HookState(name, hook, True, "the hook is ours", True)
    if _is_shell_script(hook):
        _drop_lines(hook)
        _add_line(hook, _call(repository, name))
        return HookState(name, hook, True, "a line in the hook that was there", True)
    _put_aside(hook)
    _write_script(hook, text)
    return HookState(name, hook, True, "it runs the hook that was there first", True)


def _write_script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text)
    temporary.chmod(0o755)
    os.replace(temporary, path)


def _is_shell_script(hook: Path) -> bool:
    if hook.is_symlink() or not hook.is_file() or not os.access(hook, os.X_OK):
        return False
    first, newline, _ = hook.read_bytes().partition(b"\n")
    return bool(newline) and SHELL.match(first) is not None and b"\0" not in first


def _add_line(hook: Path, line: str) -> None:
    first, _, rest = hook.read_bytes().partition(b"\n")
    _replace_content(hook, first + b"\n" + os.fsencode(line) + b"\n" + rest)


def _drop_lines(hook: Path) -> None:
    """Take our line out of a hook, wherever it leads."""
    content = hook.read_bytes()
    lines = content.splitlines(keepends=True)
    kept = b"".join(line for line in lines if not line.rstrip().endswith(MARK.encode()))
    if kept != content:
        _replace_content(hook, kept)


def _replace_content(hook: Path, content: bytes) -> None:
    import shutil

    temporary = hook.with_name(f".{hook.name}.{os.getpid()}.tmp")
    temporary.write_bytes(content)
    shutil.copymode(hook, temporary)
    os.replace(temporary, hook)


def _put_aside(hook: Path) -> None:
    """Rename a hook, and let it be called by a link of its own name: some look at that."""
    old = hook.with_name(f"{hook.name}.{ASIDE}")
    os.rename(hook, old)
    aside = hook.parent / ASIDE
    aside.mkdir(exist_ok=True)
    (aside / hook.name).symlink_to(Path("..") / old.name)


def state_of(repository: Repository, folder: Path, name: str) -> HookState:
    """Whether our shim is reached when git runs a hook."""
    hook = folder / name
    content = _text(hook)
    if content.startswith(SHIM_HEAD):
        return HookState(name, hook, os.access(hook, os.X_OK), "the hook is ours")
    ours = repository.store.state / "hooks" / name
    if MARK in content and shlex.quote(str(ours)) not in content:
        return HookState(name, hook, False, "its line leads to where this repository was")
    if MARK in content:
        found = ours.exists() and os.access(hook, os.X_OK)
        return HookState(name, hook, found, "a line in the hook that was there")
    if "pre-commit" in content and MARK in _text(folder / f"{name}.legacy"):
        return HookState(name, hook, True, "pre-commit runs it")
    return HookState(name, hook, False, "another hook is there" if content else "nothing is there")


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def status(repository: Repository, settings: Mapping[str, str]) -> tuple[Place, list[HookState]]:
    """Where hooks are, and the state of each of the four."""
    place = place_of(repository, settings)
    return place, [state_of(repository, place.folder, name) for name in NAMES]


def uninstall(repository: Repository, settings: Mapping[str, str]) -> list[HookState]:
    """Put every hook back as it was found and return what was done."""
    import shutil

    place = place_of(repository, settings)
    try:
        done = [_uninstall(repository, place.folder, name) for name in NAMES]
    except OSError as error:
        raise ParallelError(f"hooks can't be uninstalled: {error}") from error
    shutil.rmtree(repository.store.state / "hooks", ignore_errors=True)
    return done


def _uninstall(repository: Repository, folder: Path, name: str) -> HookState:
    found = state_of(repository, folder, name)
    hook = folder / name
    if found.how == "the hook is ours":
        hook.unlink()
        old = hook.with_name(f"{name}.{ASIDE}")
        if os.path.lexists(old):
            (folder / ASIDE / name).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                (folder / ASIDE).rmdir()
            os.rename(old, hook)
            return HookState(name, hook, False, "the hook that was there is back", True)
        return HookState(name, hook, False, "removed", True)
    legacy = folder / f"{name}.legacy"
    if found.how == "pre-commit runs it":
        legacy.unlink()
        return HookState(name, hook, False, "removed from pre-commit's hook", True)
    if MARK in _text(hook):
        _drop_lines(hook)
        return HookState(name, hook, False, "our line is out of it", True)
    return HookState(name, hook, False, found.how)
