#!/bin/sh
# check_chat.sh FRUGAL MODELS: `frugal chat` from a pipe, with the shipped model: answers, commands, grammars, a
# conversation that is too long, and answers to wrong calls. Keys and history want a terminal: they are tried where
# there is a `script`.
FRUGAL_MODELS=$(cd "$2" && pwd) || exit 1
export FRUGAL_MODELS
. "$(dirname "$0")/expect.sh"
XDG_STATE_HOME=$(pwd)/state
export XDG_STATE_HOME
out_is() { [ "$(cat out)" = "$1" ] || complain "standard output is not: $1"; }
# say WANTED_CODE LINES ARGUMENTS
say() {
    want=$1
    printf '%b' "$2" >lines
    shift 2
    what="frugal chat $*, asked: $(cat lines)"
    "$frugal" chat "$@" <lines >out 2>err
    code=$?
    count=$((count + 1))
    [ $code -eq "$want" ] || complain "exit code $code instead of $want"
}

# ---- answers ----
say 0 'What is 23 + 48?\n' tales
out_is '71.'
silent_err
say 0 'What is 23 \\\n+ 48?' tales --stats
err_has 'tokens/s, the first after'
say 0 'What is 23 + 48?\n/clear\nWhat is 23 + 48?\n'
out_is '71.
71.'
say 0 '\n  \n' tales
out_is ''

# ---- its form ----
say 0 'What is 23 + 48?\n' tales --json -n 40
out_has '^\{'
printf 'root ::= " " ("yes" | "no")\n' >yes.gbnf
say 0 'Is it?\n' tales --grammar yes.gbnf -t 2
out_has '^(yes|no)$'
printf '{"type":"object","properties":{"n":{"type":"integer","minimum":1,"maximum":99}},"required":["n"]}' >n.json
say 0 'How many?\n' tales --schema n.json -t 1
out_has '"n"'
say 0 'What is 23 + 48?\n' tales --stop 1
out_is '7'

# ---- commands ----
say 0 '/system Be short.\nWhat is 23 + 48?\n/save talk.json\n/stats\n/help\n/exit\nWhat is 1 + 1?\n' tales
out_has '^template: plain$'
out_has '^the conversation: [0-9]+ tokens of 256$'
out_has '/clear'
grep -q '"Be short."' talk.json || complain "the conversation does not hold the words of the system"
grep -q '"What is 23 + 48?"' talk.json || complain "the conversation does not hold the question"
grep -q '1 + 1' talk.json && complain "something was said after the end"
say 0 'What is 23 + 48?\n' tales --template chatml
say 1 '/nonsense\n' tales
err_has 'no command /nonsense'
say 1 '/save\n' tales
err_has 'name of a file'
say 1 "$(head -c 3000 /dev/zero | tr '\0' 'q')\n" tales
err_has 'made for 256; /clear begins anew'
say 1 '\0377\n' tales
err_has 'UTF-8'

# ---- wrong calls ----
say 2 '' tales --template
err_has 'wants a value'
say 2 '' tales other
err_has '"other" too'
say 2 '' tales --what
err_has '"--what"'
say 2 '' tales --json --grammar yes.gbnf
err_has 'is enough'
say 2 '' tales --bias 5
err_has 'is no bias'
say 1 '' tales --template nosuch
err_has 'nosuch is no file with a chat template'
printf 'root ::= "b" | root "a"\n' >left.gbnf
say 1 'a\n' tales --grammar left.gbnf
err_has 'may begin with itself'
say 1 '' no-such-model
err_has 'no model "no-such-model"'

# ---- keys ----
if command -v script >/dev/null; then
    what="frugal chat on a terminal"
    {
        sleep 1
        printf 'hat ixs 23 + 48\001W\005?\033[D\033[C'
        printf '\033[1~\033[C\033[C\033[C\033[C\033[C\033[C\033[C\177\033[4~\r'
        sleep 1
        printf '\033[A\r'
        sleep 1
        printf '\004'
    } | script -qec "stty cols 80; $frugal chat tales" /dev/null >out 2>err
    tr -d '\r' <out >plain
    grep -q '^71\.$' plain || complain "no answer to an edited line"
    [ "$(grep -c 'tokens/s, the first after' plain)" -eq 2 ] || complain "no answer to a line of the history"
    [ "$(cat state/frugal/chat_history)" = 'What is 23 + 48?' ] || complain "another history"
fi
verdict
