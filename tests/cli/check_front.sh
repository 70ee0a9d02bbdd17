#!/bin/sh
# check_front.sh FRUGAL: what a person meets first: version, help, and how mistakes are answered.
# Exit codes: 0 done, 1 it failed (one sentence on standard error), 2 the call itself was wrong.
. "$(dirname "$0")/expect.sh"

# One line, one sentence, led by the name of the program.
one_sentence() {
    [ "$(wc -l <err)" -eq 1 ] || complain "not one line on standard error"
    err_has '^frugal: .+'
    silent_out
}

expect 0 --version
out_has '^frugal [0-9]+\.[0-9]+\.[0-9]+$'
silent_err
[ "$(wc -l <out)" -eq 1 ] || complain "more than one line"

expect 0 --help
out_has '^usage: frugal'
out_has '^ +inspect '
silent_err
for line in $(sed -n 's/^  \([a-z]*\)  .*/\1/p' out); do
    expect 0 help "$line"
    out_has 'usage: frugal'
    silent_err
done

expect 2 
err_has 'usage: frugal'
silent_out

expect 2 paint
err_has '"paint"'
err_has 'frugal help'
silent_out

expect 2 help paint
err_has '"paint"'

expect 2 --threads many --version
err_has 'threads'

expect 2 inspect
silent_out

expect 1 inspect "no such.safetensors"
one_sentence
err_has 'no such\.safetensors'

: >empty.safetensors
expect 1 inspect empty.safetensors
one_sentence
err_has 'empty\.safetensors'

printf 'this is no model' >text.gguf
expect 1 inspect text.gguf
one_sentence

printf '\377\377\377\377\377\377\377\177{}' >long.safetensors
expect 1 inspect long.safetensors
one_sentence

printf '\070\0\0\0\0\0\0\0{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}  \0\0\200\077\0\0\0\100' >good.safetensors
expect 0 inspect good.safetensors
out_has '^a +f32 +\[2\] +8 B'
silent_err

mkdir nothing
expect 1 inspect nothing
one_sentence

# A full disk must not pass for success.
if [ -w /dev/full ]; then
    count=$((count + 1))
    what="help on a full disk"
    "$frugal" help >/dev/full 2>err && { : >out; complain "exit code 0 although nothing was written"; }
fi

verdict
