"""The index of a task's worktree belongs to whoever works there."""

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from git_parallel import index
from git_parallel.errors import ParallelError
from git_parallel.repository import find_repository
from tests.conftest import Repo, until


def worktree_in(repo: Repo) -> Repo:
    """A worktree beside it, in which git has to read a file again, and no runner of ours works."""
    path = repo.path.with_name("worktree")
    repo.git("worktree", "add", "--quiet", str(path))
    os.utime(path / "readme.txt", (1, 1))
    return Repo(path)


@pytest.fixture
def worktree(repo: Repo) -> Repo:
    """One in which git reads by way of a filter, which waits for as long as there is a gate."""
    repo.commit(".gitattributes", "readme.txt filter=slow\n")
    filter_ = "if test -e ../gate; then touch ../reads; until test -e ../go; do sleep .02; done; fi"
    repo.git("config", "filter.slow.clean", f"{filter_}; cat")
    return worktree_in(repo)


def refresh(worktree: Repo) -> None:
    """What the runner does in the end."""
    repository = find_repository(worktree.path)
    (found,) = repository.worktrees()
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


def test_an_edit_in_the_second_of_the_index_is_seen_later_too(repo: Repo) -> None:
    """Git looks closer at what is not older than the index; a copy must not be newer."""
    worktree = worktree_in(repo)
    worktree.git("config", "core.checkStat", "minimal")
    worktree.git("config", "core.trustCtime", "false")
    worktree.git("update-index", "--refresh")
    os.utime(index_of(worktree), (1, 1))
    (worktree.path / "readme.txt").write_text("ONE\ntwo\nthree\nfour\nfive\n")
    os.utime(worktree.path / "readme.txt", (1, 1))
    refresh(worktree)
    assert worktree.git("status", "--porcelain") == " M readme.txt"


def test_is_left_as_it_was_where_the_disk_is_full(
    worktree: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = index_of(worktree).read_bytes()
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ParallelError, match="index can't be refreshed: No space left on device"):
        refresh(worktree)
    assert index_of(worktree).read_bytes() == before
    assert not index_of(worktree).with_name("index.lock").exists()


def test_may_be_missing(worktree: Repo) -> None:
    index_of(worktree).unlink()
    refresh(worktree)
    assert not index_of(worktree).exists()


@pytest.mark.parametrize("setting", ["core.splitIndex", "index.sparse", "core.untrackedCache"])
def test_may_have_any_form(repo: Repo, setting: str) -> None:
    repo.git("config", setting, "true")
    worktree = worktree_in(repo)
    worktree.git("update-index", "--force-write-index")
    refresh(worktree)
    assert worktree.git("diff-files", "--name-only") == ""
    assert worktree.git("status", "--porcelain") == ""
    worktree.commit("new.txt", "new\n")
    worktree.git("fsck")
