# Completion of `frugal` for fish. It asks the program itself for its commands and options, so there
# is no second list to keep. Installed as share/fish/vendor_completions.d/frugal.fish.

function __frugal_commands
    frugal help 2>/dev/null | sed -n 's/^  \([a-z][a-z-]*\)  *\(.*\)/\1\t\2/p'
end

function __frugal_command
    for word in (commandline -opc)[2..-1]
        string match -qr -- '^(-.*|[0-9]+)$' $word; or begin
            echo $word
            return
        end
    end
    return 1
end

function __frugal_kinds
    frugal help $argv[1] 2>/dev/null | sed -n "s/^.*frugal $argv[1] \([a-z][a-z-]*\).*/\1/p"
end

function __frugal_options
    begin
        frugal help 2>/dev/null
        frugal help (__frugal_command) 2>/dev/null
    end | grep -oE -e '(^|[ [,])--[a-z][a-z-]*' | tr -d ' [,' | sort -u
end

complete -c frugal -n 'not __frugal_command >/dev/null' -f -a '(__frugal_commands)'
complete -c frugal -n 'test (__frugal_command) = help' -f -a '(__frugal_commands)'
for command in bench world
    complete -c frugal -n "test (__frugal_command) = $command" -f -a "(__frugal_kinds $command)"
end
complete -c frugal -n 'string match -q -- "-*" (commandline -ct)' -f -a '(__frugal_options)'
