"""The index of a task's worktree belongs to whoever works there."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from git_parallel import index
from git_parallel.repository import find_repository
from tests.conftest import Repo, until


@pytest.fixture
def worktree(repo: Repo) -> Repo:
    """A task's worktree with a file that git has to read again, and does by way of a filter."""
    repo.commit(".gitattributes", "readme.txt filter=slow\n")
    filter_ = "if test -e ../gate; then touch ../reads; until test -e ../go; do sleep .02; done; fi"
    repo.git("config", "filter.slow.clean", f"{filter_}; cat")
    path = repo.start("x", "true")
    (path / "readme.txt").touch()
    return Repo(path)


def refresh(worktree: Repo) -> None:
    """What the runner does in the end."""
    repository = find_repository(worktree.path)
    found = repository.worktree_of("x")
    assert found
    index.refresh(repository.git_in(found.path), found)


@contextmanager
def refreshing(worktree: Repo) -> Iterator[None]:
    """Meanwhile git reads the files; afterwards it has."""
    beside = worktree.path.parent
    (beside / "gate").touch()
    reader = threading.Thread(target=refresh, args=(worktree,))
    reader.start()
    until((beside / "reads").exists)
    (beside / "gate").unlink()
    yield
    (beside / "go").touch()
    reader.join()


def index_of(worktree: Repo) -> Path:
    """Where git has it."""
    return Path(worktree.git("rev-parse", "--path-format=absolute", "--git-path", "index"))


def test_is_brought_up_to_date(worktree: Repo) -> None:
    assert worktree.git("diff-files", "--name-only") == "readme.txt"
    mode = index_of(worktree).stat().st_mode
    refresh(worktree)
    assert worktree.git("diff-files", "--name-only") == ""
    assert index_of(worktree).stat().st_mode == mode


def test_can_be_written_while_the_files_are_read(worktree: Repo) -> None:
    with refreshing(worktree):
        worktree.commit("new.txt", "new\n")
    assert worktree.git("status", "--porcelain") == ""
    assert worktree.git("ls-files", "new.txt") == "new.txt"
    assert not index_of(worktree).with_name("index.lock").exists()


def test_is_left_alone_where_somebody_is_about_to_write_it(worktree: Repo) -> None:
    lock = index_of(worktree).with_name("index.lock")
    with refreshing(worktree):
        before = index_of(worktree).read_bytes()
        lock.write_text("theirs")
    assert index_of(worktree).read_bytes() == before
    assert lock.read_text() == "theirs"


def test_may_be_missing(worktree: Repo) -> None:
    index_of(worktree).unlink()
    refresh(worktree)
    assert not index_of(worktree).exists()


@pytest.mark.parametrize("setting", ["core.splitIndex", "index.sparse", "core.untrackedCache"])
def test_may_have_any_form(repo: Repo, setting: str) -> None:
    repo.git("config", setting, "true")
    worktree = Repo(repo.start("x", "git update-index --force-write-index; git status >/dev/null"))
    (worktree.path / "readme.txt").touch()
    refresh(worktree)
    assert worktree.git("diff-files", "--name-only") == ""
    assert worktree.git("status", "--porcelain") == ""
    worktree.commit("new.txt", "new\n")
    worktree.git("fsck")
