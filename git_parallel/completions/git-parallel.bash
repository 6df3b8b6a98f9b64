# shellcheck shell=bash
# Completion of `git parallel` and `git-parallel` in bash, by way of git's own completion, which
# calls _git_parallel. What is proposed, the program says: `git parallel complete`.

_git_parallel () {
	# shellcheck disable=SC2154 # what was typed, and where the command is, git's completion says
	local at=$__git_cmd_idx typed=$cur line reply="" given found
	# shellcheck disable=SC2154 # the same
	given=("${words[@]:at+1:cword-at}") found=()
	[[ $typed != --*=* ]] || typed=${typed#*=}
	compopt +o bashdefault +o default 2>/dev/null
	COMPREPLY=()
	while IFS= read -r line; do
		case $line in
		:*) reply=$line ;;
		*) found+=("${line%%$'\t'*}") ;;
		esac
	done < <(__git parallel complete "${given[@]}")
	case $reply in
	"") __git_parallel_words ;;
	:directories) __git_parallel_directories ;;
	":command $((${#given[@]} - 1))") __git_parallel_programs ;;
	*) compopt -o default 2>/dev/null ;; # files, for which bash needs nobody
	esac
}

# Words that begin with what was typed, as bash wants them to be written.
__git_parallel_words () {
	local word
	for word in ${found[@]+"${found[@]}"}; do
		[[ $word != *[[:space:]\"\'\\\$\&\;\|\<\>\(\)\*\?\[\`\!\#]* ]] || printf -v word %q "$word"
		[[ $word != "$typed"* ]] || COMPREPLY+=("$word ")
	done
}

# The first word of a command line.
__git_parallel_programs () {
	local word
	while IFS= read -r word; do
		COMPREPLY+=("$word ")
	done < <(compgen -c -- "$typed")
}

# Folders: those that were found, and all others; bash writes their names itself.
__git_parallel_directories () {
	local word plain=${typed//\\/}
	compopt -o filenames +o nospace 2>/dev/null
	for word in ${found[@]+"${found[@]}"}; do
		[[ $word != "$plain"* ]] || COMPREPLY+=("$word")
	done
	while IFS= read -r word; do
		COMPREPLY+=("$word")
	done < <(compgen -d -- "$plain")
}

# For `git-parallel`, git's own completion has to be there first.
__git_parallel_alone () {
	if ! declare -F __git_complete >/dev/null; then
		if declare -F _comp_load >/dev/null; then
			_comp_load git
		elif declare -F _completion_loader >/dev/null; then
			_completion_loader git
		fi
	fi
	declare -F __git_complete >/dev/null || return
	__git_complete git-parallel _git_parallel
	return 124 # bash asks again
}

complete -o bashdefault -o default -o nospace -F __git_parallel_alone git-parallel
