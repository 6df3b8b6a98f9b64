"""Git on this terminal, through the pager that it is configured with; and how that pager ended,
which git does not tell.
"""

import os
import shlex
import sys
from collections.abc import Sequence

from git_parallel import temporary
from git_parallel.errors import ParallelError
from git_parallel.git import Git
from git_parallel.process import foreground

QUIT = (0, 141, -13)  # a pager that was left early ends git by SIGPIPE
VARIABLE = "GIT_PAGER"
PLAIN = ("", "cat")  # what git takes for no pager
# An interrupt is for the pager: the shell, which would end by it, waits on.
KEPT = "trap : INT QUIT; echo >{file}; {{ {pager}\n}}; echo $? >{file}"


def run(git: Git, *words: str) -> None:
    """Run git, and raise ParallelError where it or the pager failed, having said why itself."""
    pager = _configured(git, words[0]) if os.isatty(sys.stdout.fileno()) else ""
    if not pager:
        _run(git, words)
        return
    with temporary.folder() as folder:
        ended = folder / "ended"
        kept = KEPT.format(file=shlex.quote(str(ended)), pager=pager)
        _run(git.at(git.folder, **{VARIABLE: kept}), words)
        if ended.exists() and (code := ended.read_text().strip()) != "0":
            how = f"ended with exit code {code}" if code else "did not come to its end"
            hint = "choose another: GIT_PAGER=less, or git config core.pager less"
            raise ParallelError(f"the pager {how}: {pager}", hint=hint)


def _run(git: Git, words: Sequence[str]) -> None:
    done = foreground(git.argv(*words), folder=git.folder, environment=git.environment)
    if done.code not in QUIT:
        raise ParallelError(f"git {words[0]} failed", hint=f"git {' '.join(words)}")


def _configured(git: Git, verb: str) -> str:
    """The pager for a verb of git (git-config(1), pager.<cmd>); empty where it uses none."""
    if verb == "difftool":
        return ""
    own = git.run("config", "--get", f"pager.{verb}", ok=(0, 1)).out.strip()
    switch = git.run("config", "--type=bool", "--get", f"pager.{verb}", ok=(0, 1, 128))
    if switch.out.strip() == "false":
        return ""
    chosen = own if switch.code not in (0, 1) and VARIABLE not in git.environment else ""
    pager = chosen or git.text("var", VARIABLE)
    return "" if pager in PLAIN else pager
