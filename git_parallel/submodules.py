"""Fill the submodules of a new worktree, borrowing the objects that the repository has already.

Git keeps the submodules of a linked worktree in its admin folder, as clones of their own. Ours are
made from the repository's modules, without a network, and share their objects (`--reference`,
git-submodule(1)); a ref there keeps what is borrowed from being pruned.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from git_parallel.git import Git
from git_parallel.site import Site
from git_parallel.worktree import Worktree

FILE = ".gitmodules"
LINK = "160000"  # the mode of a submodule in the index
TAGS = "HSMRCK? hsmrck"  # what `-v` puts before a mode
PIN = "refs/parallel"


def pending(top: Path) -> list[str]:
    """The submodules of a tree that are not there yet, by their paths: `-` in `git submodule
    status`; what is there already belongs to whoever works in it.
    """
    if not (top / FILE).is_file():
        return []
    listed = Git(top, GIT_OPTIONAL_LOCKS="0").run("ls-files", "-z", "--stage").out
    return [path for path in links(listed) if not (top / path / ".git").exists()]


def links(listed: str) -> list[str]:
    """The paths where a commit of another repository stands, filled or not, in what `ls-files
    --stage -z` printed, with or without `-v`.
    """
    if f"{LINK} " not in listed:  # told apart without a look at each of very many
        return []
    entries = (entry.partition("\t") for entry in listed.removesuffix("\0").split("\0"))
    return [path for mode, _, path in entries if mode.lstrip(TAGS).startswith(LINK)]


def fill(site: Site) -> str:
    """Make every submodule that is missing; returns why that failed, or nothing."""
    return _fill(site, site.path, site.common / "modules")


def _fill(site: Site, top: Path, modules: Path) -> str:
    """The submodules of one tree, each with its own; `modules` are where their originals lie."""
    named = _named(top)
    for path in pending(top):
        name = named.get(path)
        if name is None:
            continue  # a link that .gitmodules does not know, which git ignores too
        original = modules / name
        if reason := _update(site, top, path, name, original):
            return reason
        if (top / path / ".git").exists():
            _pin(original, site.worktree, top / path)
            if reason := _fill(site, top / path, original / "modules"):
                return reason
    return ""


def _named(top: Path) -> dict[str, str]:
    """The name of each submodule, by its path."""
    listed = Git(top).run(
        *("config", "--file", FILE, "-z", "--get-regexp", r"^submodule\..*\.path$"), ok=(0, 1)
    )
    pairs = (field.partition("\n") for field in listed.fields)
    return {path: key.removeprefix("submodule.").removesuffix(".path") for key, _, path in pairs}


def _update(site: Site, top: Path, path: str, name: str, original: Path) -> str:
    """Clone and check out one submodule: from its original where that has all that is needed,
    else from where it comes from.
    """
    update = ["submodule", "update", "--init", "--quiet"]
    if (original / "objects").is_dir():
        git = Git(top)
        git.run("submodule", "init", "--quiet", "--", path)
        url = git.text("config", f"submodule.{name}.url")
        local = (
            *("git", "-c", f"submodule.{name}.url={original}"),
            *("-c", "protocol.file.allow=always", *update, "--reference", str(original)),
        )
        failed = site.run([*local, "--", path], folder=top, shown=f"submodule {path}, borrowed")
        if (top / path / ".git").exists():
            git.at(top / path).run("config", "remote.origin.url", url)
        if not failed:
            return ""
        site.say(f"{original} does not have it: it is fetched")
        update += ["--reference", str(original)]
    return site.run(["git", *update, "--", path], folder=top, shown=f"submodule {path}")


def _pin(original: Path, worktree: Worktree, made: Path) -> None:
    """Keep what a submodule borrows from its original from being pruned there."""
    if (original / "objects").is_dir():
        head = Git(made).text("rev-parse", "HEAD")
        git = Git(original, GIT_DIR=str(original))
        if git.says_yes("cat-file", "-e", head):
            git.run("update-ref", f"{PIN}/{worktree.id}/{head}", head)


def unpin(common: Path, worktree_id: str) -> None:
    """Let go of what a worktree borrowed that exists no more, not even in the trash."""
    if (common / "worktrees" / worktree_id).exists():
        return  # another one has its id
    for original in git_dirs(common / "modules"):
        git = Git(original, GIT_DIR=str(original))
        for ref in git.lines("for-each-ref", "--format=%(refname)", f"{PIN}/{worktree_id}/"):
            git.run("update-ref", "-d", ref)


def git_dirs(folder: Path) -> Iterator[Path]:
    """The git dirs of submodules below a folder, those of their own submodules too."""
    for place, folders, names in os.walk(folder):
        if "HEAD" in names and "objects" in folders:
            yield Path(place)
            folders[:] = [inner for inner in folders if inner == "modules"]
