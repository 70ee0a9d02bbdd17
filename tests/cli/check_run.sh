#!/bin/sh
# check_run.sh FRUGAL MODELS: `frugal run` with the shipped model, which the folder MODELS holds: the examples of its
# help, one text and several, prompts of all kinds, a text that is stopped, and answers to wrong calls.
FRUGAL_MODELS=$(cd "$2" && pwd) || exit 1
export FRUGAL_MODELS
. "$(dirname "$0")/expect.sh"
command=run
shapes='There are two red circles and a blue star. How many circles are there?'
kite='One morning Ben met Ruth in the field. Ben had brought his green kite.'
out_is() { [ "$(cat out)" = "$1" ] || complain "standard output is not: $1"; }

# ---- answers ----
expect 0 -p "$shapes"
out_is "$shapes Two."
silent_err
expect 0 tales -p "$shapes" --quiet
out_is 'Two.'
expect 0 "$FRUGAL_MODELS/tales" -p 'What is 23 + 48?' --quiet
out_is '71.'
expect 0 -p "$kite"
out_has "^$kite [\"A-Z].*\.$"

# ---- how much, how freely ----
expect 0 -p "$kite" -n 3 --stats
out_has "^$kite [^ ]"
err_has '^text: 3 tokens, as many as were asked for; .* tokens/s$'
err_has '^memory: .*; the system counts '
expect 0 -p "$shapes" --stats
err_has '^prompt: [0-9]+ tokens in .* tokens/s$'
err_has '^text: [0-9]+ tokens, the text had ended'
expect 0 -p "$kite" -n 3 --times
err_has '^operator +prompt, ms +share +after it, ms +share$'
err_has '^linear +[0-9.]+ +[0-9.]+% +[0-9.]+ +[0-9.]+%$'
err_has '^paged_attention '
err_has '^all .* 100.0% .* 100.0%$'
err_has '^beside the model.s runs, .*: [0-9.]+ ms$'
"$frugal" run -p "$kite" -t 1 --quiet >first
cp first drawn
expect 0 -p "$kite" -t 1 --quiet --threads 1
cmp -s out first || complain "another text with one thread"
expect 0 -p "$kite" -t 1 --quiet --seed 2
cmp -s out first && complain "the same text from another seed"
"$frugal" run -p "$kite" --quiet >first
expect 0 -p "$kite" -t 1 --top-k 1 --quiet
cmp -s out first || complain "the likeliest of one is not the likeliest"
expect 0 -p "$kite" -t 1 --top-p 0.000001 --quiet
cmp -s out first || complain "the likeliest share is not the likeliest"

expect 0 -p "$kite" -t 1 --count 3 --stats
[ "$(grep -c "^$kite " out)" -eq 3 ] || complain "not three texts"
[ "$(sort -u out | grep -c "^$kite ")" -eq 3 ] || complain "texts that are the same"
err_has '^texts: 3 .* tokens/s$'

# ---- in which form, up to what ----
expect 0 -p 'What is 23 + 48?' --quiet --stop 1
out_is '7'
expect 0 -p 'What is 23 + 48?' --stop nothing --stop 1 --stats --quiet
err_has 'up to a text to stop at'
printf 'root ::= " " [0-9]{3}\n' >three.gbnf
expect 0 -p 'What is 23 + 48?' --quiet --grammar three.gbnf --stats
out_has '^[0-9]{3}$'
err_has 'nothing may follow|the text had ended'
expect 0 -p "$kite" --json -t 1 -n 30 --quiet
out_has '^\{'
expect 0 -p "$kite" -t 1.5 --count 3 --stop . --quiet
grep -q '[.]' out && complain "a text goes on behind its stop"
expect 0 -p "$kite" -t 1 --top-k 40 --typical-p 0.9 --top-p 0.95 --min-p 0.05 --repetition-penalty 1.2 \
    --presence-penalty 0.1 --frequency-penalty 0.1 --penalty-window -1 --bias 5=-inf -n 20 --quiet
expect 0 -p "$kite" -t 1 --drafts 4 --quiet
cmp -s out drawn || complain "another text with drafts"
expect 0 --chat -p 'What is 23 + 48?' --quiet
out_is '71.'
expect 0 --template phi3 --system 'Be short.' -p 'What is 23 + 48?' -n 3
expect 1 --chat --template nosuch -p a
err_has 'nosuch'
expect 1 -p a --grammar no-such-file
expect 2 -p a --json --schema x
expect 2 -p a --bias x
expect 2 -p a --stop ''

# ---- prompts ----
printf 'What is 23 + 48?\n' >question
expect 0 -f question --quiet
out_is '71.'
expect 2 -f question -p a
echo 'Count from 7 to 11:' | "$frugal" run -p - --quiet >out
out_is '7 8 9 10 11'
printf 'Gr\303\274n \360\237\230\200 ist' >prompt
"$frugal" run -p - -n 5 <prompt >out || complain "bytes that it never saw"
head -c "$(wc -c <prompt)" out | cmp -s - prompt || complain "another prompt came out"
iconv -f UTF-8 -t UTF-8 out >again 2>err && cmp -s out again || complain "no UTF-8"
expect 0 -p '' -t 1
[ -s out ] || complain "nothing behind nothing"
head -c 4000 /dev/zero | tr '\0' a | "$frugal" run -p - >out 2>err && complain "a prompt beyond the context"
err_has 'was made for 256'
printf 'a\0b' | "$frugal" run -p - >out 2>err && complain "a zero byte in a prompt"
err_has 'zero byte'
[ ! -w /dev/full ] || {
    "$frugal" run -p "$kite" >/dev/full 2>err && complain "a full disk"
    [ "$(wc -l <err)" -eq 1 ] || complain "not one sentence"
}

# ---- stopped ----
what="frugal run, stopped"
"$frugal" run -p "$kite" -t 2 --count 10000 --quiet >out 2>err &
sleep 0.5
kill -TERM $!
wait $!
[ $? -eq 130 ] || complain "not the exit code of Ctrl-C"
[ "$(wc -l <err)" -eq 1 ] || complain "not one sentence"

# ---- wrong calls ----
expect 2
err_has 'go on from'
expect 2 -p a b c
err_has '"c" too'
expect 2 -p a --count 3
err_has 'add -t'
expect 2 -p a -n 0
err_has '"0" is not a number of tokens'
expect 2 -p a -t warm
err_has '"warm"'
expect 2 -p a --top-p 2
err_has 'share'
expect 2 -p
err_has 'wants a value'
expect 2 -p a --what
err_has '"--what"'
expect 1 no-such-model -p a
err_has 'no model "no-such-model"'
silent_out
verdict
