"""`git parallel demo`: the story it tells, and that nothing is left of it, whatever happens."""

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.conftest import LONG_S, PROGRAM, Finished, normal, run, until

HOSTILE = """
[commit]
    gpgSign = true
[gpg]
    program = false
[core]
    hooksPath = /nowhere/hooks
    excludesFile = {ignore}
[init]
    defaultBranch = trunk
    templateDir = /nowhere/template
[merge]
    ff = only
[user]
    useConfigOnly = true
"""

KEY_LINES = """
    checks.run: python3 -m unittest -q
✓ 1 command approved
◎ discount  running  main    NOW
◎ shipping  running  main    NOW
◎ receipt   queued   main    NOW
✓ receipt is ready ↳ git parallel review receipt
✓ discount  ready   main    +1       2 files +10 -1  NOW
● Brief: Take 10 % off orders of 100.00 and more
✗ discount and shipping: shop/prices.py (content)
 2 files changed, 10 insertions(+), 1 deletion(-)
✓ discount cleaned up (merged into main, SHORT) ↳ git parallel undo discount
$ git merge parallel/receipt
✓ receipt cleaned up (merged into main, SHORT) ↳ git parallel undo receipt
✗ `shipping` conflicts with main in shop/prices.py
✓ discount is back ↳ git parallel show discount
✓ discount  merged  main    -3       2 files +10 -1  NOW   stays: you brought it back \
(git parallel cleanup)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files; nothing of ours is on PATH, and the user's git is hostile."""
    folder = tmp_path / "temporary 'files'"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    entries = os.environ["PATH"].split(os.pathsep)
    kept = [entry for entry in entries if not (Path(entry) / "git-parallel").exists()]
    monkeypatch.setenv("PATH", os.pathsep.join(kept))
    ignore = tmp_path / "home" / "ignore"
    ignore.write_text("*.py\n")
    (tmp_path / "home" / ".gitconfig").write_text(HOSTILE.format(ignore=ignore))
    return folder


def content(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def processes(temporary: Path) -> list[str]:
    """The processes that know of the folder by their environment or their command line."""
    found = []
    for process in psutil.process_iter():
        try:
            told = [*process.environ().values(), *process.cmdline()]
        except (psutil.Error, OSError):
            continue
        if any(f"{temporary}{os.sep}" in text for text in told):
            found.append(" ".join(process.cmdline()))
    return found


def play(tmp_path: Path, ok: int = 0) -> Finished:
    return run(PROGRAM, "demo", cwd=tmp_path, ok=ok)


@pytest.mark.slow
def test_tells_the_whole_story_and_leaves_nothing_behind(tmp_path: Path, temporary: Path) -> None:
    home = content(tmp_path / "home")
    done = play(tmp_path)
    lines = normal(done.stdout, tmp_path).splitlines()
    keys = KEY_LINES.strip("\n").splitlines()
    assert [line for line in lines if line in keys] == keys, done.stdout
    assert "\x1b" not in done.stdout
    assert done.stderr == ""
    assert list(temporary.iterdir()) == []
    assert content(tmp_path / "home") == home
    assert processes(temporary) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_leaves_nothing_behind_when_it_is_interrupted(
    tmp_path: Path, temporary: Path, number: signal.Signals
) -> None:
    demo = subprocess.Popen(
        [PROGRAM, "demo"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert demo.stdout
    assert any(line == "$ git parallel wait\n" for line in demo.stdout)
    assert until(lambda: processes(temporary))
    demo.send_signal(number)
    _, said = demo.communicate(timeout=LONG_S)
    assert (demo.returncode, said.strip()) == (130, "✗ interrupted")
    assert list(temporary.iterdir()) == []
    assert processes(temporary) == []


@pytest.mark.slow
def test_leaves_nothing_behind_when_a_step_fails(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git = tmp_path / "bin" / "git"
    git.parent.mkdir()
    git.write_text(
        '#!/bin/sh\ncase "$*" in *worktree\\ add*shipping*) echo no disk >&2; exit 128 ;; esac\n'
        f'PATH={os.environ["PATH"]}\nexec git "$@"\n'
    )
    git.chmod(0o755)
    monkeypatch.setenv("PATH", f"{git.parent}{os.pathsep}{os.environ['PATH']}")
    done = play(tmp_path, ok=1)
    assert done.stdout.endswith("✗ git worktree add failed: no disk\n")
    line = 'git parallel start shipping -m "Add 4.90 for shipping to orders below 50.00"'
    assert done.stderr == f"✗ the demo ends here: `{line}` exited 1, not 0\n"
    assert list(temporary.iterdir()) == []
    assert processes(temporary) == []
