# expect.sh: what the checks of the program's commands share; they read it in, with the program as $1. It
# moves to a folder of its own that goes away in the end.
frugal=$1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
failed=0
count=0
command= # stands before the arguments of every call

# expect WANTED_CODE ARGUMENTS: runs frugal; what follows looks at out and err.
expect() {
    want=$1
    shift
    what="frugal $command $*"
    "$frugal" $command "$@" >out 2>err
    code=$?
    count=$((count + 1))
    [ $code -eq "$want" ] || complain "exit code $code instead of $want"
}
complain() {
    failed=$((failed + 1))
    echo "FAILED: $what: $1"
    sed 's/^/    out: /' out
    sed 's/^/    err: /' err
}
out_has() { grep -qE -e "$1" out || complain "standard output does not match $1"; }
out_lacks() { grep -qE -e "$1" out && complain "standard output matches $1"; }
err_has() { grep -qE -e "$1" err || complain "standard error does not match $1"; }
silent_out() { [ ! -s out ] || complain "standard output should be empty"; }
silent_err() { [ ! -s err ] || complain "standard error should be empty"; }
no_file() { [ ! -e "$1" ] || complain "$1 should not be there"; }
is_png() { [ "$(head -c 4 "$1" | tail -c 3)" = PNG ] || complain "$1 is no PNG"; }
# Of an expression over d; left out where there is no Python.
json_holds() {
    command -v python3 >/dev/null || return 0
    python3 -c "import json, sys; d = json.load(open(sys.argv[1])); sys.exit(not ($1))" out ||
        complain "what it printed is no JSON in which $1"
}
# The last line of a check.
verdict() {
    echo "$count calls, $failed complaints"
    [ $failed -eq 0 ]
}
