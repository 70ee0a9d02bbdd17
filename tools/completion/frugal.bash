# Completion of `frugal` for bash. It asks the program itself for its commands and options, so there
# is no second list to keep. Installed as share/bash-completion/completions/frugal.

_frugal_commands() {
    "$1" help 2>/dev/null | sed -n 's/^  \([a-z][a-z-]*\)  .*/\1/p'
}

# Options of a command, or with none the common ones.
_frugal_options() {
    { "$1" help 2>/dev/null; "$1" help "$2" 2>/dev/null; } | grep -oE -e '(^|[ [,])--[a-z][a-z-]*' | tr -d ' [,' | sort -u
}

# What stands behind a command in its usage lines: peaks, kernels, ...
_frugal_kinds() {
    "$1" help "$2" 2>/dev/null | sed -n "s/^.*frugal $2 \([a-z][a-z-]*\).*/\1/p"
}

_frugal() {
    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command= word
    COMPREPLY=()
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case $word in
        -*) ;;
        *[!0-9]*) command=$word; break ;; # a plain number belongs to an option before the command
        esac
    done

    if [[ $current == -* ]]; then
        COMPREPLY=($(compgen -W "$(_frugal_options "$1" "$command")" -- "$current"))
    elif [[ -z $command || $command == help && $before == help ]]; then
        COMPREPLY=($(compgen -W "$(_frugal_commands "$1")" -- "$current"))
    elif [[ ($command == bench || $command == world) && $before == "$command" ]]; then
        COMPREPLY=($(compgen -W "$(_frugal_kinds "$1" "$command")" -- "$current"))
    else
        compopt -o filenames 2>/dev/null
        COMPREPLY=($(compgen -f -- "$current"))
    fi
}
complete -F _frugal frugal
