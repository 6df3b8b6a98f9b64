"""Temporary folders: gone in the end, and after their owner was killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from git_parallel import temporary
from tests.conftest import Repo, until

OWN = """
import sys, time
from pathlib import Path
from git_parallel import temporary
with temporary.folder(sys.argv[1]) as folder:
    (folder / "file").touch()
    print(folder, flush=True)
    time.sleep(600)
"""
LONG_AGO = (1.0, 1.0)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    made = tmp_path / "tmp"
    made.mkdir()
    monkeypatch.setenv("TMPDIR", str(made))
    monkeypatch.setattr("tempfile.tempdir", str(made))
    return made


def own(place: Path) -> tuple["subprocess.Popen[str]", Path]:
    """A process that has a folder, which looks old."""
    command = [sys.executable, "-c", OWN, str(place)]
    owner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert owner.stdout
    folder = Path(owner.stdout.readline().strip())
    os.utime(folder, LONG_AGO)
    return owner, folder


def test_removes_what_the_dead_left_and_nothing_of_the_living(repo: Repo, place: Path) -> None:
    owner, living = own(place)
    killed, dead = own(place)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    others = [place / "git-parallel-demo-x", place / "mine", place / f"{temporary.PREFIX}young"]
    for other in others:
        other.mkdir()
    for other in others[:2]:
        os.utime(other, LONG_AGO)
    link = place / f"{temporary.PREFIX}link"
    link.symlink_to(others[1])
    (others[1] / "work").touch()
    repo.parallel("start", "x", "--no-bootstrap")
    repo.parallel("cleanup", ok=(0, 1))
    assert not dead.exists()
    assert (living / "file").exists() and (others[1] / "work").exists()
    assert all(other.exists() for other in others) and link.is_symlink()
    owner.terminate()
    owner.wait()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_leaves_the_folders_of_other_users(place: Path) -> None:
    other = place / f"{temporary.PREFIX}other"
    other.mkdir()
    os.utime(other, LONG_AGO)
    os.chown(other, 65534, 65534)
    temporary.sweep()
    assert other.exists()


def test_a_folder_is_gone_in_the_end(place: Path) -> None:
    with temporary.folder() as folder:
        assert folder.parent == place and folder.is_dir()
        os.utime(folder, LONG_AGO)
        temporary.sweep()
        assert folder.is_dir()
    until(lambda: not folder.exists())
