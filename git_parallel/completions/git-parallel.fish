# Completion of `git parallel` and `git-parallel` in fish. What is proposed, the program says:
# `git parallel complete`.

function __git_parallel_complete
    set -l given (commandline -opc)
    set -l own # options of git itself
    if test $given[1] = git
        set -l all $given[2..-1]
        argparse -s (__fish_git_global_optspecs) -- $all 2>/dev/null
        and set given $argv
        set -l many (math (count $all) - (count $given))
        test $many -gt 0
        and set own (string replace -r '^~(?=/|$)' -- $HOME $all[1..$many])
    end
    set -e given[1]
    set -a given (commandline -ct)
    set -l before (string match -r -- '^--[^=]*=' $given[-1])
    for line in (git $own parallel complete $given 2>/dev/null)
        switch $line
            case :files
                __fish_complete_path (commandline -ct)
            case :directories
                __fish_complete_directories (commandline -ct)
            case ':command *'
                set -l first (math (string replace ':command ' '' -- $line) + 1)
                set -l words (string escape -- $given[$first..-1])
                test -n "$given[-1]"; or set words[-1] ''
                complete -C (string join ' ' -- $words)
            case '*'
                echo -- "$before$line"
        end
    end
end

complete -c git-parallel -f -k -a '(__git_parallel_complete)'
complete -c git -f -n '__fish_git_using_command parallel' -k -a '(__git_parallel_complete)'
complete -c git -f -n __fish_git_needs_command -a parallel -d 'Work on many tasks at once'
