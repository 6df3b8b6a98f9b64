"""What could stand next on a command line, asked by a shell at TAB time.

A person waits for the answer with a finger on the key. So this imports next to nothing, knows the
commands from a file that is written ahead (`vocabulary.tsv`), and asks git one question at most.
It changes nothing, and what can't be read is left out.
"""

import os
from collections.abc import Iterable, Iterator

from git_parallel import early

HERE = os.path.dirname(__file__)
VOCABULARY = os.path.join(HERE, "vocabulary.tsv")
SCRIPTS = {"bash": "git-parallel.bash", "zsh": "_git-parallel", "fish": "git-parallel.fish"}
MOST_SHOWN = 60  # characters of a prompt
# What a shell completes by itself, as a line of the answer.
FILES, DIRECTORIES, COMMAND = ":files", ":directories", ":command"
COMMON = ("rev-parse", "--path-format=absolute", "--git-common-dir")


class Option:
    """An option: its names, the kind of each of its values, and what it is for."""

    def __init__(self, names: list[str], kinds: str, words: str) -> None:
        self.names = names
        self.repeats = kinds.startswith("+")
        kinds = kinds.removeprefix("+")
        self.kinds = [] if kinds == "-" else [kinds] if kinds.startswith("=") else kinds.split(" ")
        self.words = words


class Verb:
    """A command: the kinds of its arguments, its options, and whether a command line follows."""

    def __init__(self, words: str) -> None:
        self.words = words
        self.options: list[Option] = []
        self.arguments: list[str] = []
        self.endless = False
        self.takes_command = False

    def option(self, word: str) -> Option | None:
        """The option that a word begins with."""
        name = word.partition("=")[0] if word.startswith("--") else word[:2]
        return next((option for option in self.options if name in option.names), None)

    def kind_of(self, place: int) -> str | None:
        """What the argument at a place is; None where it takes no more."""
        if place < len(self.arguments):
            return self.arguments[place]
        return self.arguments[-1] if self.endless else None


def load_verbs() -> dict[str, Verb]:
    """Every command by its words, the program itself as `.`."""
    verbs: dict[str, Verb] = {}
    verb = Verb("")
    with open(VOCABULARY, encoding="utf-8") as file:
        lines = file.read().splitlines()
    for line in lines:
        first, *rest = line.split("\t")
        if first.startswith("#"):
            continue
        if first:
            verb = verbs[first] = Verb(rest[0])
        elif rest[0] == "--":
            verb.takes_command = True
        elif rest[0].startswith("-"):
            verb.options.append(Option(rest[0].split(" "), rest[1], rest[2]))
        else:
            verb.arguments.append(rest[1])
            verb.endless = rest[0] == "..."
    return verbs


class Line:
    """A command line up to the word that is to be completed."""

    def __init__(self, words: list[str]) -> None:
        *given, self.current = words or [""]
        self.verbs = load_verbs()
        self.name, at = ".", 0
        while (name := " ".join(given[: at + 1])) in self.verbs and at < len(given):
            self.name, at = name, at + 1
        self.verb = self.verbs[self.name]
        self.options: list[Option] = []
        self.arguments: list[str] = []
        self.expected: list[str] = []  # the kinds of values that the last option still takes
        self.command_at: int | None = None
        self.only_arguments = False
        for place, word in enumerate(given[at:], start=at):
            self._take(word, place)

    def _take(self, word: str, place: int) -> None:
        if self.command_at is not None:
            return
        if self.expected:
            self.expected = self.expected[1:]
        elif word == "--" and not self.only_arguments:
            self.only_arguments = True
            self.command_at = place + 1 if self.verb.takes_command else None
        elif word.startswith("-") and word != "-" and not self.only_arguments:
            self._take_option(word)
        else:
            self.arguments.append(word)

    def _take_option(self, word: str) -> None:
        if option := self.verb.option(word):
            self.options.append(option)
            joined = "=" in word if word.startswith("--") else len(word) > 2
            self.expected = option.kinds[joined:]

    def has(self, name: str) -> bool:
        """Whether an option was given."""
        return any(name in option.names for option in self.options)


def propose(words: list[str]) -> list[str]:
    """What could be the last of these words after `git parallel`, a line each: the word, and after
    a tab what it is; or, beginning with a colon, what the shell itself is to complete there. Of
    `--option=value` it is the value.
    """
    line = Line(words)
    current = line.current
    if line.command_at is not None:
        return [f"{COMMAND} {line.command_at}"]
    if line.expected:
        return list(_values(line.expected[0], line, current))
    if current.startswith("--") and "=" in current:
        option = line.verb.option(current)
        kinds = option.kinds if option else []
        return list(_values(kinds[0], line, current.partition("=")[2])) if kinds else []
    if current.startswith("-") and not line.only_arguments:
        return list(_options(line))
    if parts := list(_parts(line)):
        return parts
    kind = line.verb.kind_of(len(line.arguments))
    if kind is None:
        alone = not (line.verb.arguments or line.arguments or current)
        return list(_options(line)) if alone else []
    taken = set(line.arguments) if line.verb.endless else set()
    return [one for one in _values(kind, line, current) if one.partition("\t")[0] not in taken]


def _parts(line: Line) -> Iterator[str]:
    """The commands that can follow."""
    if line.arguments:
        return
    prefix = "" if line.name == "." else f"{line.name} "
    for name, verb in line.verbs.items():
        last = name.removeprefix(prefix)
        if name.startswith(prefix) and " " not in last and last != ".":
            yield f"{last}\t{verb.words}"


def _options(line: Line) -> Iterator[str]:
    for option in line.verb.options:
        if option not in line.options or option.repeats:
            for name in option.names:
                if name.startswith(line.current or "--"):
                    yield f"{name}\t{option.words}"


def _values(kind: str, line: Line, current: str) -> Iterable[str]:
    """What a value of some kind can be."""
    if kind.startswith("="):
        return kind[1:].split("|")
    if kind == "files":
        return [FILES]
    if kind == "commits":
        found = _refs(current, "refs/heads", "refs/remotes", "refs/tags")
        return ["HEAD", *found] if found else []
    if kind == "branches":
        return _refs(current, "refs/heads")
    if kind == "text" or not (common := early.ask(*COMMON).removesuffix("\n")):
        return []
    if kind == "agents":
        return _agents(common, current if line.name == "start" else "")
    if kind == "worktrees":
        return [*_worktrees(common), DIRECTORIES]
    return _tasks(kind, line, f"{common}/parallel/.state")


def _refs(current: str, *places: str) -> list[str]:
    """The names of refs: those that begin as it was typed, for there may be many; else all, since
    some shells also find what is in the middle of a name.
    """
    patterns = [f"{place}/{current}{rest}" for place in places for rest in ("*", "*/**")]
    asked = ("for-each-ref", "--format=%(refname:lstrip=2)")
    return (early.ask(*asked, *patterns) or early.ask(*asked, *places)).splitlines()


def _agents(common: str, current: str) -> list[str]:
    """The presets; `start` takes several of them, with commas between them."""
    from pathlib import Path

    from git_parallel import config

    main = Path(common).parent if common.endswith("/.git") else None
    loaded = config.load(main, Path(common) / "parallel" / "config.toml")
    before = current[: current.rfind(",") + 1]
    return [f"{before}{name}" for name in loaded.config.agents]


def _worktrees(common: str) -> Iterator[str]:
    """The worktrees that are no task's."""
    folder = f"{common}/worktrees"
    for admin in _entries(folder):
        if not os.path.exists(f"{folder}/{admin}/{early.MARK}"):
            with open(f"{folder}/{admin}/gitdir", encoding="utf-8") as file:
                link = os.path.join(folder, admin, file.read().rstrip("\n"))
            yield os.path.normpath(link).removesuffix("/.git")


def _entries(folder: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except FileNotFoundError:
        return []


def _tasks(kind: str, line: Line, state: str) -> Iterator[str]:
    """The tasks that fit a command."""
    if kind == "runs":
        yield from _runs(line, state)
        return
    if kind == "trash":
        yield from _trash(f"{state}/trash")
    for slug in _entries(f"{state}/tasks"):
        folder = f"{state}/tasks/{slug}"
        if (record := _record(f"{folder}/task.json")) and _fits(kind, line, folder, record):
            yield f"{record.get('name')}\t{_first_line(record.get('prompt'))}".rstrip("\t")


def _trash(folder: str) -> Iterable[str]:
    """What lies in the trash, each name once."""
    records = [_record(f"{folder}/{entry}/journal.json") for entry in _entries(folder)]
    return {str(r.get("name")): f"{r.get('name')}\t{r.get('why')}" for r in records if r}.values()


def _fits(kind: str, line: Line, folder: str, record: dict[str, object]) -> bool:
    if kind == "trash":  # what a person merged and kept can be taken back as well
        return line.has("--merge") and os.path.exists(f"{folder}/landed.json")
    if kind == "attempts":
        return bool(record.get("attempt_of"))
    if kind == "attachable" and not os.path.exists(f"{folder}/terminal"):
        return False
    if kind in ("attachable", "running"):
        from pathlib import Path

        from git_parallel.lock import is_held

        return is_held(Path(folder, "lock"))
    return kind == "tasks"


def _runs(line: Line, state: str) -> Iterator[str]:
    """The numbers of a task's runs, the last one first."""
    for slug in _entries(f"{state}/tasks"):
        record = _record(f"{state}/tasks/{slug}/task.json")
        if line.arguments[:1] in ([slug], [record.get("name")]):
            names = _entries(f"{state}/tasks/{slug}")
            stems = (name[4:-5] for name in names if name.startswith("run-") and ".json" in name)
            yield from map(str, sorted((int(s) for s in stems if s.isdigit()), reverse=True))


def _record(file: str) -> dict[str, object]:
    """A record of ours; empty where it can't be read."""
    import json

    try:
        with open(file, encoding="utf-8") as content:
            record = json.load(content)
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _first_line(prompt: object) -> str:
    first = str(prompt or "").strip().partition("\n")[0]
    return "".join(c for c in first if c.isprintable())[:MOST_SHOWN]
