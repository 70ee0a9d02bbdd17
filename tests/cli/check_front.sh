#!/bin/sh
# check_front.sh FRUGAL: what a person meets first: version, help, and how mistakes are answered.
# Exit codes: 0 done, 1 it failed (one sentence on standard error), 2 the call itself was wrong.
frugal=$1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
failed=0
count=0

# runs frugal with the arguments after --; what it must do stands before:
# expect WANTED_CODE WHAT -- ARGUMENTS
expect() {
    want=$1 what=$2
    shift 3
    "$frugal" "$@" >out 2>err
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
err_has() { grep -qE -e "$1" err || complain "standard error does not match $1"; }
silent_out() { [ ! -s out ] || complain "standard output should be empty"; }
silent_err() { [ ! -s err ] || complain "standard error should be empty"; }
# One line, one sentence, led by the name of the program.
one_sentence() {
    [ "$(wc -l <err)" -eq 1 ] || complain "not one line on standard error"
    err_has '^frugal: .+'
    silent_out
}

expect 0 "--version" -- --version
out_has '^frugal [0-9]+\.[0-9]+\.[0-9]+$'
silent_err
[ "$(wc -l <out)" -eq 1 ] || complain "more than one line"

expect 0 "--help" -- --help
out_has '^usage: frugal'
out_has '^ +inspect '
silent_err
for line in $(sed -n 's/^  \([a-z]*\)  .*/\1/p' out); do
    expect 0 "help $line" -- help "$line"
    out_has 'usage: frugal'
    silent_err
done

expect 2 "nothing at all" --
err_has 'usage: frugal'
silent_out

expect 2 "a command that is not there" -- paint
err_has '"paint"'
err_has 'frugal help'
silent_out

expect 2 "help for a command that is not there" -- help paint
err_has '"paint"'

expect 2 "threads that are no number" -- --threads many --version
err_has 'threads'

expect 2 "inspect without a file" -- inspect
silent_out

expect 1 "a file that is not there" -- inspect "no such.safetensors"
one_sentence
err_has 'no such\.safetensors'

: >empty.safetensors
expect 1 "an empty file" -- inspect empty.safetensors
one_sentence
err_has 'empty\.safetensors'

printf 'this is no model' >text.gguf
expect 1 "a file of another kind" -- inspect text.gguf
one_sentence

printf '\377\377\377\377\377\377\377\177{}' >long.safetensors
expect 1 "a header of 2^63 bytes" -- inspect long.safetensors
one_sentence

printf '\070\0\0\0\0\0\0\0{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}  \0\0\200\077\0\0\0\100' >good.safetensors
expect 0 "a file that is right" -- inspect good.safetensors
out_has '^a +f32 +\[2\] +8 B'
silent_err

mkdir nothing
expect 1 "a folder without weights" -- inspect nothing
one_sentence

# A full disk must not pass for success.
if [ -w /dev/full ]; then
    count=$((count + 1))
    what="help on a full disk"
    "$frugal" help >/dev/full 2>err && { : >out; complain "exit code 0 although nothing was written"; }
fi

echo "$count calls, $failed complaints"
[ $failed -eq 0 ]
