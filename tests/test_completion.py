"""TAB proposes what can stand next, in real shells, by way of git's own completion of each."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from git_parallel import cli, completion
from tests import tools, vocabulary
from tests.conftest import Repo, run, until
from tests.people import Person

SCRIPTS = Path(completion.HERE) / "completions"
# What bash does when TAB is pressed: it calls what is registered for the command, and once more
# where that says 124.
ASK = r"""
ask () {
	COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE=$* COMP_POINT=${#COMP_LINE} COMPREPLY=()
	local spec caller code=124
	while ((code == 124)); do
		spec=$(complete -p "$1" 2>/dev/null) || spec=' -F _completion_loader '
		caller=${spec#* -F }
		${caller%% *} "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
		code=$?
	done
	printf '%s|' "${COMPREPLY[@]}"
	echo
}
"""


@pytest.fixture
def tasks(repo: Repo) -> Repo:
    """A repository with two tasks, one of a name that is not ASCII."""
    for name in ("fix-login", "größe/a"):
        repo.parallel("start", name, "--no-bootstrap")
    return repo


def words(repo: Repo, *line: str, cwd: Path | None = None) -> list[str]:
    """What the program proposes, without its descriptions."""
    said = repo.parallel("complete", *line, cwd=cwd or repo.path).stdout
    return [one.partition("\t")[0] for one in said.splitlines()]


def test_the_vocabulary_is_what_click_knows() -> None:
    written = Path(completion.VOCABULARY).read_text("utf-8")
    assert written == vocabulary.text(), "write it anew: python -m tests.vocabulary"


def test_what_the_vocabulary_adds_is_about_parameters_that_there_are() -> None:
    context = cli.group.make_context("git parallel", [], resilient_parsing=True)
    for name, parameter in vocabulary.OF_ITS_OWN:
        command = cli.group.get_command(context, name)
        assert command
        assert parameter in {one.name for one in command.params}


def test_the_vocabulary_knows_no_kind_of_value_that_is_proposed_nowhere() -> None:
    verbs = completion.load_verbs().values()
    options = {kind for verb in verbs for option in verb.options for kind in option.kinds}
    kinds = options | {kind for verb in verbs for kind in verb.arguments}
    named = {"agents", "branches", "commits", "files", "tasks", "trash", "worktrees"}
    of_runs = {"attachable", "attempts", "running", "runs"}
    assert {kind for kind in kinds if not kind.startswith("=")} == {"text"} | named | of_runs


def test_proposes_every_command_in_the_order_of_a_days_work(repo: Repo) -> None:
    assert words(repo, "") == list(cli.COMMANDS)
    assert words(repo) == list(cli.COMMANDS)
    assert words(repo, "hooks", "") == ["install", "uninstall", "status"]
    assert words(repo, "no-such-command", "") == []


def test_says_what_a_command_and_a_task_are_for(repo: Repo) -> None:
    first = repo.parallel("complete", "").stdout.partition("\n")[0]
    assert first == f"start\t{cli.COMMANDS['start']}"
    repo.parallel("start", "x", "--no-bootstrap", "-m", "Say\thow\nand why", "--", "true")
    assert repo.parallel("complete", "show", "").stdout == "x\tSayhow\n"


def test_proposes_options_that_were_not_given_yet(repo: Repo) -> None:
    assert words(repo, "review", "x", "--stat", "--s") == ["--since-last"]
    assert words(repo, "merge", "--dry-run", "-") == [
        *("--all", "--strategy", "--message", "-m", "--edit", "-e", "--no-check"),
        *("--allow-breaches", "--pr", "--json", "--help", "-h"),
    ]
    assert "--touch" in words(repo, "start", "x", "--touch", "src", "--")
    assert words(repo, "list", "") == ["--all", "--json", "--help"]


def test_proposes_the_values_of_options(repo: Repo) -> None:
    repo.git("branch", "topic/one")
    assert words(repo, "merge", "--strategy", "") == ["merge", "squash", "rebase", "ff"]
    assert words(repo, "merge", "--strategy=s") == ["merge", "squash", "rebase", "ff"]
    repo.git("tag", "v1")
    assert words(repo, "start", "x", "--target", "") == ["main", "topic/one"]
    assert words(repo, "start", "x", "") == ["HEAD", "main", "topic/one", "v1"]
    assert words(repo, "start", "x", "to") == ["HEAD", "topic/one"]
    assert words(repo, "start", "x", "opi") == ["HEAD", "main", "topic/one", "v1"]
    assert words(repo, "start", "x", "-F", "") == [":files"]
    assert words(repo, "start", "x", "-m", "") == []
    assert words(repo, "review", "x", "--comment", "") == [":files"]
    assert words(repo, "review", "x", "--comment", "f:1", "") == []
    assert "checks.run" in words(repo, "config", "set", "")
    assert words(repo, "start", "x", "--", "ls", "") == [":command 3"]


@pytest.mark.slow
def test_proposes_agents_those_of_a_file_too(repo: Repo) -> None:
    row = '[agents.mine]\ncommand = ["mine"]\nprompt = "stdin"\n'
    repo.write(".git-parallel.toml", row)
    names = words(repo, "run", "x", "--agent", "")
    assert {"claude", "codex", "mine"} <= set(names)
    assert words(repo, "start", "x", "--agent", "codex,cl") == [f"codex,{name}" for name in names]
    repo.write(".git-parallel.toml", "[agents")
    assert repo.parallel("complete", "run", "x", "--agent", "", ok=1).stderr == ""


def test_proposes_the_tasks_that_a_command_is_for(tasks: Repo, tmp_path: Path) -> None:
    assert words(tasks, "show", "") == ["fix-login", "größe/a"]
    assert words(tasks, "merge", "fix-login", "") == ["größe/a"]
    for command in ("start", "stop", "attach", "pick", "undo"):
        assert words(tasks, command, "") == []
    tasks.parallel("remove", "fix-login")
    assert words(tasks, "undo", "") == ["fix-login"]
    assert words(tasks, "show", "") == ["größe/a"]
    tasks.git("worktree", "add", "-q", "-b", "topic", tmp_path / "a place")
    assert words(tasks, "adopt", "") == [str(tmp_path / "a place"), ":directories"]


@pytest.mark.slow
def test_proposes_what_runs_and_what_has_a_terminal(repo: Repo) -> None:
    repo.parallel("start", "live", "--interactive", "--", "sleep", "60")
    repo.parallel("start", "deaf", "--", "sleep", "60")
    until((repo.state / "tasks" / "live" / "terminal").exists)
    assert words(repo, "stop", "") == ["deaf", "live"]
    assert words(repo, "attach", "") == ["live"]
    assert words(repo, "log", "live", "--run", "") == ["1"]
    repo.parallel("stop", "live", "deaf")
    assert words(repo, "attach", "") == []


@pytest.mark.slow
def test_proposes_attempts_to_pick(repo: Repo) -> None:
    repo.parallel("start", "x", "--attempts", "2", "--wait", "--", "true", ok=1)
    repo.parallel("start", "y", "--no-bootstrap")
    assert words(repo, "pick", "") == ["x.1", "x.2"]


@pytest.mark.slow
def test_undo_of_a_merge_proposes_what_was_merged_and_kept_as_well(repo: Repo) -> None:
    repo.start("x", "echo > f && git add f && git commit -qm f")
    repo.parallel("merge", "x")
    repo.parallel("undo", "x")
    assert words(repo, "undo", "") == []
    assert words(repo, "undo", "--merge", "") == ["x"]
    repo.parallel("remove", "x", "--delete-branch")
    repo.parallel("start", "x", "--no-bootstrap")
    repo.parallel("remove", "x")
    assert words(repo, "undo", "") == ["x"]


def test_completes_wherever_the_commands_work(repo: Repo, tmp_path: Path) -> None:
    repo.parallel("start", "x", "--no-bootstrap")
    below = repo.path / "below"
    below.mkdir()
    assert words(repo, "show", "", cwd=below) == ["x"]
    assert words(repo, "show", "", cwd=tmp_path / "my répo.parallel" / "x") == ["x"]
    assert words(repo, "show", "", cwd=repo.path / ".git") == ["x"]
    said = run("git", "-C", repo.path, "parallel", "complete", "show", "", cwd=tmp_path).stdout
    elsewhere = {"GIT_DIR": str(repo.path / ".git")}
    assert (
        said == repo.parallel("complete", "show", "", cwd=tmp_path, env=elsewhere).stdout == "x\n"
    )
    bare = Repo(tmp_path / "bare.git")
    run("git", "clone", "-q", "--bare", repo.path, bare.path, cwd=tmp_path)
    bare.parallel("start", "there", "--no-bootstrap")
    assert words(bare, "show", "") == ["there"]
    assert words(bare, "start", "x", "--agent", "cl")[:1] == ["claude"]


def test_is_silent_outside_of_a_repository_and_about_what_it_can_not_read(
    repo: Repo, tmp_path: Path
) -> None:
    for line in (("show", ""), ("start", "x", ""), ("undo", ""), ("run", "x", "--agent", "")):
        done = repo.parallel("complete", *line, cwd=tmp_path)
        assert (done.stdout, done.stderr) == ("", "")
    repo.parallel("start", "x", "--no-bootstrap")
    (repo.state / "tasks" / "x" / "task.json").write_text("{")
    done = repo.parallel("complete", "show", "")
    assert (done.stdout, done.stderr) == ("", "")


def test_answers_without_the_imports_that_take_long(repo: Repo) -> None:
    repo.parallel("start", "x", "--no-bootstrap")
    script = (
        "import sys; from git_parallel.commands.complete import main; main(sys.argv[1:]);"
        "print({'click', 'msgspec', 'pathlib', 'subprocess', 'typing'} & set(sys.modules))"
    )
    package = {"PYTHONPATH": str(Path(completion.HERE).parent)}
    done = run(sys.executable, "-S", "-c", script, "show", "", cwd=repo.path, env=package)
    assert done.stdout == "x\nset()\n"


def test_a_shell_that_is_not_known_is_refused(repo: Repo) -> None:
    done = repo.parallel("completion", "csh", ok=2)
    assert "'csh' is not one of 'bash', 'zsh', 'fish'" in done.stderr


def bash(repo: Repo, script: str) -> list[str]:
    """What bash proposes, line by line: `ask` prints it for a command line."""
    tools.need_command("bash")
    return run("bash", "--norc", "-c", ASK + script, cwd=repo.path).stdout.splitlines()


def test_bash_completes_by_way_of_gits_own_completion(tasks: Repo, tmp_path: Path) -> None:
    gits = tools.need_gits_completion()
    tasks.git("worktree", "add", "-q", "-b", "topic", tmp_path / "a place")
    tasks.git("config", "alias.par", "parallel")
    script = f"""
        eval "$(git parallel completion bash)"; . '{gits}'
        ask git parall
        ask git parallel sho
        ask git parallel show ''
        ask git-parallel show g
        ask git par show f
        ask git --no-pager parallel merge --strat
        ask git parallel merge --strategy = s
        ask git parallel adopt '{tmp_path}/a'
        ask git parallel start ''
        ask git parallel start x -- compge
        cd /; ask git parallel show ''
        ask git -C '{tasks.path}' parallel show ''
        """
    both = "fix-login |größe/a |"
    assert bash(tasks, script) == [
        *("parallel |", "show |", both, "größe/a |", "fix-login |", "--strategy |", "squash |"),
        *(f"{tmp_path}/a place|" * 2, "|", "compgen |", "|", both),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("first", ["git parallel", "git-parallel"])
def test_bash_completion_loads_it_when_it_is_needed(repo: Repo, tmp_path: Path, first: str) -> None:
    loader = tools.need_debian("bash-completion")
    tools.need_gits_completion()
    shared = tmp_path / "home" / ".local" / "share" / "bash-completion" / "completions"
    shared.mkdir(parents=True)
    shutil.copy(SCRIPTS / "git-parallel.bash", shared / "git-parallel")
    other = {"git parallel": "git-parallel", "git-parallel": "git parallel"}[first]
    assert bash(repo, f". '{loader}'; ask {first} sho; ask {other} plan --j") == [
        "show |",
        "--json |",
    ]


@pytest.mark.slow
def test_bash_completes_for_a_person(tasks: Repo, tmp_path: Path) -> None:
    tools.need_command("bash")
    (tmp_path / "home" / ".bashrc").write_text(
        f'. \'{tools.need_gits_completion()}\'\neval "$(git parallel completion bash)"\nPS1="> "\n'
    )
    tasks.git("worktree", "add", "-q", "-b", "topic", tmp_path / "a place")
    with Person(["bash", "-i"], tasks.path, columns=200) as me:
        me.sees(">")
        me.type("echo git; git parallel show g\t")
        me.sees("show größe/a")
        me.type("\x15git parallel merge --strategy=s\t")
        me.sees("--strategy=squash")
        me.type(f"\x15git parallel adopt {tmp_path}/a\t")
        me.sees(f"adopt {tmp_path}/a\\ place/")
        me.type("\x15git parallel start x -F read\t")
        me.sees("-F readme.txt")


ZSHRC = 'PS1="> "\nautoload -Uz compinit && compinit -u\n'


def zsh(folder: Path, rc: str) -> list[str]:
    """The command line of a zsh with this file of settings."""
    tools.need_command("zsh")
    (Path(os.environ["HOME"]) / ".zshrc").write_text(rc)
    return ["zsh", "-i"]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["found", "loaded"])
def test_zsh_completes_for_a_person(tasks: Repo, tmp_path: Path, way: str) -> None:
    found = f"fpath=('{SCRIPTS}' $fpath)\n{ZSHRC}"
    loaded = f'{ZSHRC}eval "$(git parallel completion zsh)"\n'
    tasks.git("worktree", "add", "-q", "-b", "topic", tmp_path / "a place")
    command = zsh(tmp_path, {"found": found, "loaded": loaded}[way])
    with Person(command, tasks.path, columns=200) as me:
        me.sees(">")
        me.type("git paralle\t")
        me.sees("git parallel")
        me.type("\t")
        me.sees("see what is wrong here, and mend it")
        me.type("\x15git parallel show g\t")
        me.sees("show größe/a")
        me.type("\x15git-parallel merge --strategy=s\t")
        me.sees("--strategy=squash")
        me.type(f"\x15git parallel adopt {tmp_path}/a\t")
        me.sees(f"adopt {tmp_path}/a\\ place")
        me.type("\x15git parallel start x -F read\t")
        me.sees("-F readme.txt")
        me.type("\x15git parallel start x -- git-paral\t")
        me.sees("-- git-parallel")
        me.type(f"\x15cd /; git -C {str(tasks.path).replace(' ', chr(92) + ' ')} parallel show f\t")
        me.sees("show fix-login")


# The heart of git's own completion for zsh, which has taken the place of zsh's in some systems.
GITS_OWN_FOR_ZSH = r"""#compdef git
_git () {
	local _ret=1 cur=${words[CURRENT]} cword command
	local -a orig_words
	let cword=CURRENT-1
	orig_words=( ${words[@]} )
	command=${words[2]}
	words=( ${orig_words[@]} )
	emulate ksh -c 'declare -f _git_${command//-/_} >/dev/null && _git_${command//-/_}'
	let _ret && _default && _ret=0
	return _ret
}
_git
"""


@pytest.mark.slow
def test_zsh_completes_where_gits_own_completion_is_used(tasks: Repo, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "_git").write_text(GITS_OWN_FOR_ZSH)
    command = zsh(tmp_path, f"fpath=('{own}' '{SCRIPTS}' $fpath)\n{ZSHRC}")
    with Person(command, tasks.path, columns=200) as me:
        me.sees(">")
        me.type("git parallel show \t")
        me.sees("fix-login")
        me.type("\x15git parallel show g\t")
        me.sees("show größe/a")
        me.type("\x15git parallel merge --strategy=s\t")
        me.sees("--strategy=squash")


def fish(repo: Repo, before: str, *lines: str) -> list[str]:
    """What fish proposes for each line, without the descriptions."""
    tools.need_command("fish")
    asked = "; ".join(f'complete -C "{line}"; echo .' for line in lines)
    said = run("fish", "-c", f"{before}; {asked}", cwd=repo.path).stdout
    answers = said.removesuffix(".\n").split(".\n")
    return [" ".join(one.partition("\t")[0] for one in a.splitlines()) for a in answers]


def test_fish_completes_by_way_of_its_completion_of_git(tasks: Repo) -> None:
    outside = f"cd /; git -C '{tasks.path}' parallel show f"
    assert fish(
        tasks,
        "git parallel completion fish | source",
        *("git paralle", "git parallel show ", "git-parallel show g", "git parallel start "),
        *("git parallel merge --strategy=s", "git parallel start x -F read", outside),
    ) == [
        *("parallel", "fix-login größe/a", "größe/a", "", "--strategy=squash", "readme.txt"),
        "fix-login",
    ]


@pytest.mark.slow
def test_fish_loads_it_when_it_is_needed(tasks: Repo, tmp_path: Path) -> None:
    shared = tmp_path / "home" / ".local" / "share" / "fish" / "vendor_completions.d"
    shared.mkdir(parents=True)
    shutil.copy(SCRIPTS / "git-parallel.fish", shared)
    assert fish(tasks, "true", "git-parallel show f", "git-parallel start x -- git-paral") == [
        "fix-login",
        "git-parallel",
    ]
