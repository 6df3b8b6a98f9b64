"""How results are made: messages, hooks, signatures, drivers and resolutions are those of git."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import Repo, mostly_slow, run
from tests.test_merge import EDIT, OTHER

ADD = "echo new > new.txt && git add . && git commit -qm add"


def hook(repo: Repo, name: str, script: str) -> None:
    """A hook of the repository's own."""
    file = repo.path / ".git" / "hooks" / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def message(repo: Repo) -> str:
    return repo.git("log", "-1", "--format=%B", "main")


def clash(repo: Repo) -> None:
    """A task `x` whose line is another on main."""
    repo.start("x", EDIT)
    repo.commit("readme.txt", "one\ntwo\ndrei\nfour\nfive\n", "German")


def test_a_squash_says_what_was_asked_what_was_done_and_by_whom(repo: Repo) -> None:
    by = "git -c user.name=Bob -c user.email=bob@example.com commit -qm"
    two = f"echo 2 > two.txt && git add . && {by} 'Second step\n\nCo-authored-by: C <c@d>'"
    repo.start("x", f"{ADD} && {two}", "-m", "Add what is new\n\nThoroughly.")
    repo.parallel("merge", "x", "--strategy", "squash")
    assert message(repo) == (
        "Add what is new\n\n* add\n* Second step\n\n"
        "Co-authored-by: Bob <bob@example.com>\nCo-authored-by: C <c@d>\nParallel-Task: x\n"
    )
    keys = repo.git("log", "-1", "--format=%(trailers:keyonly,unfold)", "main").split()
    assert keys == ["Co-authored-by", "Co-authored-by", "Parallel-Task"]
    assert repo.git("log", "-1", "--format=%an %cn %P", "main").split()[:2] == ["Ada", "Ada"]


def test_a_single_commit_speaks_for_itself(repo: Repo) -> None:
    repo.start("x", "echo 1 > 1.txt && git add . && git commit -qm 'Count\n\nOnly to one.'")
    repo.parallel("merge", "x", "--strategy", "squash")
    assert message(repo) == "Count\n\nOnly to one.\n\nParallel-Task: x\n"


@pytest.mark.parametrize("strategy", mostly_slow(["merge", "squash"], ["squash"]))
def test_messages_can_be_given_and_edited(repo: Repo, tmp_path: Path, strategy: str) -> None:
    repo.start("x", ADD)
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\ncp "$1" "$0.saw"\nsed -i.bak "1s/.*/Mine, edited/" "$1"\n')
    editor.chmod(0o755)
    words = ("merge", "x", "--strategy", strategy, "-m", "Mine", "--edit")
    repo.parallel(*words, env={"GIT_EDITOR": str(editor)})
    saw = editor.with_name("editor.saw").read_text()
    assert saw.startswith("Mine\n")
    assert message(repo).startswith("Mine, edited\n")
    assert ("Parallel-Task: x" in message(repo)) == (strategy == "squash")
    assert (repo.path / "new.txt").exists()


@pytest.mark.parametrize("strategy", mostly_slow(["merge", "squash"], ["merge"]))
def test_a_message_is_put_together_and_cleaned_as_git_does(repo: Repo, strategy: str) -> None:
    repo.start("x", ADD)
    repo.parallel("merge", "x", "--strategy", strategy, "-m", "\n Title \n", "-m", "One\t\n\n\nTwo")
    assert message(repo).removesuffix("\nParallel-Task: x\n") == " Title\n\nOne\n\nTwo\n"


@pytest.mark.slow
def test_a_message_is_cleaned_as_it_is_set(repo: Repo) -> None:
    text = "Title\n\n# note\n\n\nBody  \n"
    for name, mode in (("x", "strip"), ("y", "verbatim")):
        repo.start(name, f"echo {name} > {name}")
        repo.git("config", "commit.cleanup", mode)
        if mode == "strip":
            told = repo.parallel("merge", name, "-m", "# note", ok=1).stderr
            assert "its message is empty" in told
        repo.parallel("merge", name, "-m", text)
        assert message(repo) == (text if mode == "verbatim" else "Title\n\nBody\n")


@pytest.mark.parametrize("text", ["", "  \n"])
def test_refuses_an_empty_message(repo: Repo, text: str) -> None:
    repo.start("x", ADD)
    assert "the message is empty" in repo.parallel("merge", "x", "-m", text, ok=2).stderr


@pytest.mark.slow
def test_a_commit_that_says_nothing_is_called_as_its_task(repo: Repo) -> None:
    silent = "git commit -q --allow-empty-message -m ''"
    repo.start("x", f"echo 1 > 1; git add .; {silent}")
    repo.start("y", f"echo 2 > 2; git add .; {silent}; echo 3 > 3; git add .; {silent}")
    for name in ("x", "y"):
        repo.parallel("merge", name, "--strategy", "squash")
        assert message(repo) == f"{name}\n\nParallel-Task: {name}\n"


@pytest.mark.parametrize("strategy", mostly_slow(["merge", "squash"], ["squash"]))
def test_a_line_that_looks_like_a_comment_is_edited_as_a_line(repo: Repo, strategy: str) -> None:
    repo.start("x", ADD)
    words = ("merge", "x", "--strategy", strategy, "-m", "# Title\n\n; body", "--edit")
    repo.parallel(*words, env={"GIT_EDITOR": "true"})
    assert message(repo).removesuffix("\nParallel-Task: x\n") == "# Title\n\n; body\n"


UNWRITTEN = {"emptied": "truncate -s 0", "failed": "false"}


@pytest.mark.parametrize("strategy", mostly_slow(["merge", "squash"], ["merge"]))
@pytest.mark.parametrize("editor", mostly_slow(UNWRITTEN.values(), ["false"]), ids=str)
def test_a_message_that_was_not_written_lands_nothing(
    repo: Repo, editor: str, strategy: str
) -> None:
    repo.start("x", ADD)
    repo.start("y", EDIT)
    head = repo.git("rev-parse", "main")
    words = ("merge", "x", "y", "--edit", "--strategy", strategy)
    done = repo.parallel(*words, ok=1, env={"GIT_EDITOR": editor})
    assert "`x` can't be merged: git did not commit it, and said why above\n" in done.stderr
    assert done.stderr.endswith("▲ 0 of 2 merged, not x, y\n")
    assert repo.git("rev-parse", "main") == head
    assert repo.git("worktree", "list").count("\n") == 2


@pytest.mark.parametrize("strategy", mostly_slow(["merge", "squash"], ["merge"]))
def test_an_editor_that_was_interrupted_ends_the_call(repo: Repo, strategy: str) -> None:
    repo.start("x", ADD)
    repo.start("y", EDIT)
    head = repo.git("rev-parse", "main")
    words = ("merge", "x", "y", "--edit", "--strategy", strategy)
    done = repo.parallel(*words, ok=130, env={"GIT_EDITOR": "kill -INT $$;:"})
    assert done.stderr.strip() == "✗ interrupted"
    assert repo.git("rev-parse", "main") == head
    assert repo.git("worktree", "list").count("\n") == 2


def test_refuses_words_for_a_commit_that_is_not_made(repo: Repo) -> None:
    repo.start("x", ADD)
    repo.start("y", EDIT)
    rebase = repo.parallel("merge", "x", "--strategy", "rebase", "-m", "Mine", ok=2)
    assert "rebase makes no commit of its own" in rebase.stderr
    assert "can't be that of several" in repo.parallel("merge", "x", "y", "-m", "Mine", ok=2).stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("merge", ["pre-merge-commit", "prepare-commit-msg", "commit-msg"]),
        ("squash", ["pre-commit", "prepare-commit-msg", "commit-msg", "post-commit"]),
    ],
)
def test_runs_the_commit_hooks_where_the_result_is(
    repo: Repo, tmp_path: Path, strategy: str, expected: list[str]
) -> None:
    repo.start("x", ADD)
    repo.commit("moved.txt", "moved\n")
    for name in ("pre-merge-commit", "pre-commit", "prepare-commit-msg", "commit-msg"):
        script = f"echo {name} >> {tmp_path}/ran; test -e new.txt && test -e moved.txt || exit 1"
        hook(repo, name, f'{script}\ntest {name} = commit-msg && echo "Hooked: yes" >> "$1"; true')
    hook(repo, "post-commit", f"echo post-commit >> {tmp_path}/ran")
    repo.parallel("merge", "x", "--dry-run")
    assert not (tmp_path / "ran").exists()
    repo.parallel("merge", "x", "--strategy", strategy)
    assert (tmp_path / "ran").read_text().split() == expected
    assert "Hooked: yes" in message(repo)
    assert repo.git("status", "--porcelain") == ""


@pytest.mark.parametrize("strategy", mostly_slow(["merge", "squash"], ["squash"]))
def test_a_hook_that_refuses_is_heard(repo: Repo, strategy: str) -> None:
    repo.parallel("config", "set", "merge.strategy", strategy)
    repo.start("x", ADD)
    hook(repo, "commit-msg", "echo 'no ticket number' >&2; exit 1")
    head = repo.git("rev-parse", "main")
    done = repo.json("merge", "x", ok=1)
    assert "no ticket number" in done["refused"][0]["reason"]
    assert repo.git("rev-parse", "main") == head
    assert repo.git("worktree", "list").count("\n") == 1


@pytest.mark.slow
def test_a_hook_that_refuses_without_a_word_is_not_blamed_on_what_went_before(repo: Repo) -> None:
    repo.start("x", ADD)
    hook(repo, "pre-commit", "exit 1")
    told = repo.parallel("merge", "x", "--strategy", "squash", ok=1).stderr
    assert "`x` can't be merged: git did not commit it, and did not say why\n" in told


@pytest.mark.slow
def test_finds_the_hooks_of_a_relative_folder_that_is_not_tracked(repo: Repo) -> None:
    repo.start("x", ADD)
    file = repo.write(".husky/_/commit-msg", '#!/bin/sh\necho "Hooked: yes" >> "$1"\n')
    file.chmod(0o755)
    repo.git("config", "core.hooksPath", ".husky/_")
    repo.parallel("merge", "x")
    assert "Hooked: yes" in message(repo)


@pytest.mark.parametrize("strategy", mostly_slow(["merge", "squash", "rebase"], ["merge"]))
def test_signs_what_git_would_sign(repo: Repo, tmp_path: Path, strategy: str) -> None:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not on this machine")
    repo.start("x", ADD)
    repo.commit("moved.txt", "moved\n")
    key = tmp_path / "key"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key, cwd=tmp_path)
    public = key.with_suffix(".pub").read_text()
    (tmp_path / "signers").write_text(f"ada@example.com {public}")
    signing = {
        "commit.gpgSign": "true",
        "gpg.format": "ssh",
        "user.signingKey": f"{key}.pub",
        "gpg.ssh.allowedSignersFile": str(tmp_path / "signers"),
    }
    for name, value in signing.items():
        repo.git("config", name, value)
    repo.parallel("merge", "x", "--strategy", strategy)
    repo.git("verify-commit", "main")


@pytest.mark.slow
def test_an_empty_setting_is_off_and_one_without_a_value_is_on(repo: Repo) -> None:
    repo.start("x", ADD)
    repo.git("config", "commit.gpgSign", "")
    repo.parallel("merge", "x")
    repo.start("y", EDIT)
    repo.git("config", "--unset", "commit.gpgSign")
    with (repo.path / ".git" / "config").open("a") as file:
        file.write("[merge]\n\tverifySignatures\n")
    assert "does not have a GPG signature" in repo.parallel("merge", "y", ok=1).stderr


@pytest.mark.slow
@pytest.mark.parametrize("place", ["here", "nowhere"])
def test_uses_the_merge_drivers_of_the_target(repo: Repo, place: str) -> None:
    repo.commit(".gitattributes", "readme.txt merge=ours-and-theirs\n")
    repo.git("config", "merge.ours-and-theirs.driver", "cat %B >> %A")
    clash(repo)
    if place == "nowhere":
        repo.git("switch", "--quiet", "--detach", "main~2")  # where there are no attributes
    repo.parallel("merge", "x")
    text = repo.git("show", "main:readme.txt")
    assert "drei" in text
    assert "THREE" in text


@pytest.mark.slow
def test_a_driver_of_this_branch_has_no_say_in_another(repo: Repo) -> None:
    clash(repo)
    repo.git("switch", "--quiet", "-c", "elsewhere")
    repo.commit(".gitattributes", "readme.txt merge=union\n")
    assert "conflicts with main in readme.txt" in repo.parallel("merge", "x", ok=1).stderr


@pytest.mark.parametrize("strategy", mostly_slow(["merge", "squash", "rebase"], ["merge"]))
def test_uses_recorded_resolutions_where_git_would(repo: Repo, strategy: str) -> None:
    repo.git("config", "rerere.enabled", "true")
    clash(repo)
    repo.git("switch", "--quiet", "--detach")
    repo.git("merge", "--quiet", "parallel/x", ok=1)
    repo.write("readme.txt", "one\ntwo\nboth\nfour\nfive\n")
    repo.git("add", "readme.txt")
    repo.git("commit", "--quiet", "--no-edit")
    repo.git("switch", "--quiet", "main")
    refused = repo.parallel("merge", "x", "--strategy", strategy, ok=1)
    assert "conflicts with main in readme.txt" in refused.stderr
    repo.git("config", "rerere.autoUpdate", "true")
    repo.parallel("merge", "x", "--strategy", strategy)
    assert "both" in repo.git("show", "main:readme.txt")
    assert repo.git("status", "--porcelain") == ""


@pytest.mark.slow
def test_takes_the_options_that_are_set_for_the_target(repo: Repo) -> None:
    repo.start("x", EDIT)
    repo.start("y", OTHER)
    repo.git("config", "branch.main.mergeOptions", "-X theirs --log")
    repo.parallel("merge", "x")
    repo.parallel("merge", "y")
    assert "drei" in repo.git("show", "main:readme.txt")
    assert "* parallel/y" not in message(repo)


def test_options_that_can_not_be_read_are_named(repo: Repo) -> None:
    repo.start("x", ADD)
    repo.git("config", "branch.main.mergeOptions", "-m 'two words")
    before = repo.git("rev-parse", "main")
    told = repo.parallel("merge", "x", ok=1).stderr
    assert told.splitlines() == [
        "✗ bad branch.main.mergeoptions: No closing quotation",
        "↳ git config --show-origin --get-all branch.main.mergeoptions",
        "↳ git config --edit",
    ]
    assert repo.git("rev-parse", "main") == before


@pytest.mark.slow
def test_options_for_a_branch_of_another_case_are_not_taken(repo: Repo) -> None:
    repo.git("switch", "--quiet", "-c", "Side")
    for name, work in (("x", EDIT), ("y", OTHER), ("z", OTHER)):
        repo.start(name, work)
    repo.git("config", "branch.side.mergeOptions", "-X theirs")
    repo.parallel("merge", "x")
    assert "conflicts with Side" in repo.parallel("merge", "y", ok=1).stderr
    repo.git("config", "branch.Side.mergeOptions", "-X theirs")
    repo.parallel("merge", "z")
    assert "drei" in repo.git("show", "Side:readme.txt")


CONTRARY = [
    ("merge.ff", "false"),
    ("merge.ff", "only"),
    *(("branch.main.mergeOptions", word) for word in ("--no-ff", "--ff-only", "--squash")),
]


@pytest.mark.parametrize("setting", mostly_slow(CONTRARY, [("merge.ff", "false")]), ids=" ".join)
@pytest.mark.parametrize("strategy", mostly_slow(["merge", "squash", "rebase", "ff"], ["squash"]))
def test_no_setting_changes_the_strategy(
    repo: Repo, strategy: str, setting: tuple[str, str]
) -> None:
    repo.start("x", ADD)
    if strategy != "ff":
        repo.commit("moved.txt", "moved\n")
    for name in ("pre-commit", "commit-msg"):
        hook(repo, name, "true")
    repo.git("config", *setting)
    before = repo.git("rev-parse", "main")
    repo.parallel("merge", "x", "--strategy", strategy)
    assert repo.git("show", "main:new.txt") == "new"
    assert repo.git("log", "-1", "--format=%P", "main").split()[0] == before
    parents = 2 if strategy == "merge" else 1
    assert len(repo.git("log", "-1", "--format=%P", "main").split()) == parents
    assert ("Parallel-Task" in message(repo)) == (strategy == "squash")
    assert repo.git("status", "--porcelain") == ""


@pytest.mark.slow
def test_options_for_the_target_are_not_used_a_second_time(repo: Repo) -> None:
    repo.start("x", EDIT)
    repo.commit("readme.txt", "one\ntwo\ndrei\nfour\nfive\n", "German")
    repo.git("config", "branch.main.mergeOptions", "-s ours")
    repo.parallel("merge", "x")
    assert len(repo.git("log", "--merges", "--format=%h", "main").split()) == 1
    assert message(repo).startswith("Merge branch 'parallel/x'")
    assert "drei" in repo.git("show", "main:readme.txt")


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["merge", "squash", "rebase", "ff"])
def test_options_can_have_signatures_verified(repo: Repo, strategy: str) -> None:
    repo.start("x", ADD)
    repo.git("config", "branch.main.mergeOptions", "--verify-signatures")
    refused = repo.parallel("merge", "x", "--strategy", strategy, ok=1)
    assert "does not have a GPG signature" in refused.stderr
    repo.git("config", "merge.verifySignatures", "true")
    repo.git("config", "branch.main.mergeOptions", "--no-verify-signatures")
    repo.parallel("merge", "x", "--strategy", strategy)


@pytest.mark.slow
def test_refuses_unsigned_work_where_git_would(repo: Repo) -> None:
    repo.start("x", ADD)
    repo.git("config", "merge.verifySignatures", "true")
    assert "does not have a GPG signature" in repo.parallel("merge", "x", ok=1).stderr


@pytest.mark.slow
@pytest.mark.parametrize("hooks", [False, True])
def test_makes_no_squash_of_nothing(repo: Repo, *, hooks: bool) -> None:
    """What was merged and reverted does not come again by a merge, as in plain git."""
    path = repo.start("x", "echo x > x.txt; git add .; git commit -qm x")
    repo.parallel("merge", "x")
    repo.git("revert", "--no-edit", "-m", "1", "HEAD")
    repo.parallel("undo", "x")
    told = repo.parallel("merge", "x", ok=1).stderr
    assert told == "✗ `x` can't be merged: its changes were reverted in main: x.txt\n"
    Repo(path).commit("y.txt", "y\n")
    if hooks:
        hook(repo, "pre-commit", "true")
    repo.parallel("merge", "x", "--strategy", "squash")
    head = repo.git("rev-parse", "main")
    assert (repo.path / "y.txt").exists() and not (repo.path / "x.txt").exists()
    told = repo.parallel("merge", "x", "--strategy", "squash", ok=1).stderr
    assert told.endswith(
        "✗ `x` can't be merged: a squash of it would change nothing in main\n"
        "↳ git parallel show x\n"
    )
    assert repo.git("rev-parse", "main") == head
