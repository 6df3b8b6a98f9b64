"""Random repositories in which branches collide in every way that git knows, and what a real merge
in a clone makes of them. Made by one `git fast-import` each, so that hundreds take seconds.
"""

import random
import re
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from tests.conftest import run

FILE, PROGRAM, LINK, GITLINK = "100644", "100755", "120000", "160000"
FOLDERS = ("", "a/", "a/b/", "lib/", "lib/core/", "docs/", "n1/", "r1/")
Entry = tuple[str, bytes]
Tree = dict[str, Entry]


class Truth(Struct, frozen=True):
    """What a real merge came to: its tree, or the paths that it left in conflict; nothing where
    git itself gave up.
    """

    clean: bool | None
    tree: str
    paths: frozenset[str]


class Builder:
    """Commits with random changes, written as a stream for `git fast-import`."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.stream: list[bytes] = []
        self.trees: list[Tree] = []

    def commit(self, branch: str, parents: Sequence[int], tree: Tree) -> int:
        """Add a commit and return its mark."""
        number = len(self.trees) + 1
        lines = [f"commit refs/heads/{branch}", f"mark :{number}"]
        lines += [f"committer Ada <ada@example.com> {1_700_000_000 + number} +0000", "data 1", "x"]
        lines += [f"{'merge' if n else 'from'} :{parent}" for n, parent in enumerate(parents)]
        self.stream.append("\n".join([*lines, "deleteall", ""]).encode())
        for path, (mode, content) in sorted(tree.items()):
            if mode == GITLINK:
                self.stream.append(f"M {mode} {content.decode()} {path}\n".encode())
            else:
                head = f"M {mode} inline {path}\ndata {len(content)}\n"
                self.stream.append(head.encode() + content + b"\n")
        self.trees.append(tree)
        return number

    def first(self) -> Tree:
        """A tree with some of everything."""
        tree = {f"{self.random.choice(FOLDERS)}f{n}": (FILE, self._lines()) for n in range(9)}
        tree["logo.bin"] = (FILE, self.random.randbytes(200) + b"\0")
        tree["link"] = (LINK, b"a")
        tree["vendor"] = (GITLINK, self._id())
        return tree

    def changed(self, tree: Tree, times: int) -> Tree:
        """A tree with some random changes."""
        for _ in range(times):
            change = self.random.choice(CHANGES)
            tree = _without_clashes(change(self, dict(tree)))
        return tree

    def mixed(self, ours: Tree, theirs: Tree) -> Tree:
        """What a person might make of two trees in a merge."""
        both = {**theirs, **ours} if self.random.random() < 0.8 else dict(ours)
        return _without_clashes(both)

    def _lines(self) -> bytes:
        number = self.random.randrange(1000)
        return b"".join(b"line %d of %d\n" % (n, number) for n in range(self.random.randint(4, 25)))

    def _id(self) -> bytes:
        return b"%040x" % self.random.getrandbits(160)

    def _some(self, tree: Tree, *modes: str) -> str:
        paths = sorted(p for p, (mode, _) in tree.items() if not modes or mode in modes)
        return self.random.choice(paths) if paths else ""

    def edit(self, tree: Tree) -> Tree:
        """Change some lines of a file; all of a binary one."""
        path = self._some(tree, FILE, PROGRAM)
        if not path:
            return tree
        mode, content = tree[path]
        if b"\0" in content:
            return {**tree, path: (mode, self.random.randbytes(200) + b"\0")}
        lines = content.splitlines(keepends=True)
        at = self.random.randrange(len(lines) + 1)
        lines[at : at + self.random.randrange(2)] = [b"edit %d\n" % self.random.randrange(40)]
        return {**tree, path: (mode, b"".join(lines))}

    def add(self, tree: Tree) -> Tree:
        """Put a file somewhere, under one of few names."""
        path = f"{self.random.choice(FOLDERS)}n{self.random.randrange(3)}"
        return {**tree, path: (FILE, self._lines())}

    def delete(self, tree: Tree) -> Tree:
        """Remove anything."""
        tree.pop(self._some(tree), None)
        return tree

    def rename(self, tree: Tree) -> Tree:
        """Give a file another name."""
        if path := self._some(tree, FILE, PROGRAM):
            tree[f"{self.random.choice(FOLDERS)}r{self.random.randrange(3)}"] = tree.pop(path)
        return tree

    def rename_folder(self, tree: Tree) -> Tree:
        """Give a folder another name, or put all of the top into one."""
        old = self.random.choice(FOLDERS)
        new = self.random.choice(("moved/", "lib/", "a/", "new/deep/", ""))
        if old == new or new.startswith(old or "?"):
            return tree
        return {(new + p[len(old) :] if p.startswith(old) else p): e for p, e in tree.items()}

    def flip_mode(self, tree: Tree) -> Tree:
        """Make a file a program, or a program a file."""
        if path := self._some(tree, FILE, PROGRAM):
            mode, content = tree[path]
            tree[path] = (FILE if mode == PROGRAM else PROGRAM, content)
        return tree

    def to_link(self, tree: Tree) -> Tree:
        """Replace a file by a link, or let a link lead elsewhere."""
        if path := self._some(tree, FILE, LINK):
            tree[path] = (LINK, self.random.choice((b"a", b"lib", b"docs/x")))
        return tree

    def to_folder(self, tree: Tree) -> Tree:
        """Replace a file by a folder."""
        if path := self._some(tree, FILE):
            entry = tree.pop(path)
            tree[f"{path}/inner"] = entry if self.random.random() < 0.5 else (FILE, self._lines())
        return tree

    def to_file(self, tree: Tree) -> Tree:
        """Replace a folder by a file."""
        folder = self.random.choice(FOLDERS[1:]).rstrip("/")
        kept = {path: entry for path, entry in tree.items() if not path.startswith(folder + "/")}
        return {**kept, folder: (FILE, self._lines())}

    def move_pointer(self, tree: Tree) -> Tree:
        """Point a submodule at another commit, or put one somewhere."""
        path = self._some(tree, GITLINK) or self.random.choice(("vendor", "lib", "n1"))
        return {**tree, path: (GITLINK, self._id())}


CHANGES = (
    *(Builder.edit,) * 8,
    *(Builder.add,) * 3,
    *(Builder.delete, Builder.rename) * 2,
    *(Builder.rename_folder, Builder.flip_mode, Builder.to_link, Builder.to_folder),
    *(Builder.to_file, Builder.move_pointer),
)


def _without_clashes(tree: Tree) -> Tree:
    """A tree in which no file is also a folder; the shorter path gives way."""
    folders = {path[:at] for path in tree for at in range(len(path)) if path[at] == "/"}
    return {path: entry for path, entry in tree.items() if path not in folders}


def make_history(folder: Path, seed: int, *, branches: int) -> dict[str, str]:
    """A repository with `main` and some branches; returns their tips, `main` first.

    Branches fork from any commit of main or of each other, merge what others have, and each other
    both ways at once, so that their merge bases are several.
    """
    builder = Builder(seed)
    chance = builder.random
    line = [builder.commit("main", [], builder.first())]
    for _ in range(chance.randrange(4)):
        changed = builder.changed(builder.trees[line[-1] - 1], chance.randint(1, 2))
        line.append(builder.commit("main", [line[-1]], changed))
    if chance.random() < 0.4:
        line += _side(builder, line)
    tips: dict[str, int] = {}
    for number in range(branches):
        start = chance.choice([*line, *line, *line, *tips.values()])
        tips[f"b{number}"] = _grow(builder, f"b{number}", start, line)
    if branches > 1 and chance.random() < 0.3:
        _criss_cross(builder, tips)
    folder.mkdir(parents=True)
    run("git", "init", "--quiet", "--bare", cwd=folder)
    marks = folder / "marks"
    importing = ("git", "fast-import", "--quiet", f"--export-marks={marks}")
    run(*importing, cwd=folder, stdin=b"".join(builder.stream))
    ids = dict(text.split() for text in marks.read_text().splitlines())
    return {name: ids[f":{mark}"] for name, mark in {"main": line[-1], **tips}.items()}


def _side(builder: Builder, line: Sequence[int]) -> list[int]:
    """A branch that was merged into main: on both sides of it others may have forked."""
    side = builder.random.choice(line)
    made = []
    for _ in range(2):
        side = builder.commit("side", [side], builder.changed(builder.trees[side - 1], 1))
        made.append(side)
    own = builder.commit("main", [line[-1]], builder.changed(builder.trees[line[-1] - 1], 1))
    tree = builder.mixed(builder.trees[own - 1], builder.trees[side - 1])
    return [*made, own, builder.commit("main", [own, side], tree)]


def _grow(builder: Builder, name: str, start: int, line: Sequence[int]) -> int:
    tip = start
    for _ in range(builder.random.randint(1, 2)):
        tree = builder.changed(builder.trees[tip - 1], builder.random.randint(1, 3))
        tip = builder.commit(name, [tip], tree)
    if builder.random.random() < 0.3:
        other = builder.random.choice(line)
        tree = builder.mixed(builder.trees[tip - 1], builder.trees[other - 1])
        tip = builder.commit(name, [tip, other], tree)
    return tip


def _criss_cross(builder: Builder, tips: dict[str, int]) -> None:
    one, other = sorted(tips)[:2]
    pair = (tips[one], tips[other])
    trees = (builder.trees[pair[0] - 1], builder.trees[pair[1] - 1])
    first = builder.commit(one, pair, builder.mixed(*trees))
    second = builder.commit(other, pair[::-1], builder.mixed(*trees[::-1]))
    for name, mark in ((one, first), (other, second)):
        tree = builder.changed(builder.trees[mark - 1], 2)
        tips[name] = builder.commit(name, [mark], tree)


class Clone:
    """A clone in which real merges are made."""

    def __init__(self, origin: Path, folder: Path) -> None:
        run("git", "clone", "--quiet", "--shared", "--no-checkout", origin, folder, cwd=origin)
        self.folder = folder

    def merge(self, ours: str, theirs: str) -> Truth:
        """What `git merge` makes of two commits."""
        self._at(ours)
        done = run("git", "merge", "--quiet", "-m", "x", theirs, cwd=self.folder, ok=None)
        if done.returncode not in (0, 1):  # git 2.39 fails on some odd ones, by an assertion or not
            (self.folder / ".git" / "index.lock").unlink(missing_ok=True)
            return Truth(None, "", frozenset())
        if done.returncode == 0:
            tree = run("git", "rev-parse", "HEAD^{tree}", cwd=self.folder).stdout.strip()
            return Truth(True, tree, frozenset())
        listed = run("git", "ls-files", "--unmerged", "-z", cwd=self.folder).stdout
        paths = (field.partition("\t")[2] for field in listed.split("\0") if field)
        return Truth(False, "", frozenset(map(_plain, paths)))

    def _at(self, commit: str) -> None:
        """The files of a commit and nothing else; by hand, as merges leave files of any kind."""
        run("git", "update-ref", "--no-deref", "HEAD", commit, cwd=self.folder)
        run("git", "reset", "--quiet", "--hard", cwd=self.folder)
        run("git", "clean", "-ffdxq", cwd=self.folder)


def _plain(path: str) -> str:
    """A path without the side that git adds where a folder is in its way."""
    return re.sub(r"~(HEAD|[0-9a-f]{40})(_\d+)?$", "", path)
