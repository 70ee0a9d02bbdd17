#!/bin/sh
# check_eval.sh FRUGAL RECIPES: `frugal eval`: the scoreboard of a model that was just made, and answers to wrong
# calls.
recipes=$(cd "$2" && pwd) || exit 1
. "$(dirname "$0")/expect.sh"

expect 0 train "$recipes/tiny.recipe" -o made --set steps=3 --set warmup=1 --quiet
model=made/model

expect 0 eval $model -n 20 --stories 2 --failures 1 --json board.json --quiet
out_has '^caption '
out_has '^story .* 20 '
out_has '^addition of two digits .* 95 +missed'
out_has '^perplexity of whole lines .* a token, .* a byte'
out_has 'sampled at temperature 0.8'
out_has '^Wrong, countdown:'
out_has '^    \(wrong: '
out_has "^$model, on held-out lines, in "
cp out first
mv board.json out
json_holds 'len(d["tasks"]) == 11 and d["tasks"]["add"]["asked"] == 20'
json_holds 'd["split"] == "held out" and len(d["stories"]) == 2'
json_holds 'all(w["reason"] and not w["right"] for w in d["wrong"])'
json_holds '1 < d["perplexity_a_byte"] < d["perplexity_a_token"]'

# the same for any number of threads, but for the time
expect 0 eval $model -n 20 --stories 2 --failures 1 --quiet --threads 1
sed '$d' out >again
sed '$d' first | cmp -s - again || complain "another scoreboard with one thread"

expect 0 eval $model -n 5 -t add -t story --stories 0 --quiet
out_has '^add '
out_lacks '^countdown'
out_lacks '^Stories'
out_lacks '^perplexity'
expect 0 eval $model -n 5 -t add --seen --quiet
out_has 'on training lines'

expect 0 world text -n 300 --task story
tr -d '\t' <out >text
expect 0 eval $model --perplexity text --context 64 --chunks 3 --quiet
out_has '^perplexity [0-9.]* .- [0-9.]* a token'
out_has '189 tokens in 3 chunks, keys and values in bf16'
out_lacks 'held-out lines'
expect 0 eval $model --perplexity text --context 64 --chunks 2 --kv 4 --json text.json --quiet
out_has 'in 4 bits'
grep -q '"chunks": 2' text.json || complain 'text.json does not say how many chunks'
expect 0 eval $model --perplexity text --chunks 1 --context 32 --accuracy -n 2 -t add --quiet
out_has '^perplexity'
out_has 'held-out lines'
expect 1 eval $model --perplexity /dev/null
err_has 'longer text'
expect 1 eval $model --perplexity nowhere.txt
err_has 'nowhere.txt'
expect 2 eval $model --kv 3
err_has '"3"'

expect 2 eval
err_has 'which model'
expect 2 eval a b
err_has '"b" too'
expect 2 eval $model --task cats
err_has '"cats"'
expect 2 eval $model -n 0
err_has '"0"'
expect 2 eval $model --lines
err_has 'wants a value'
expect 2 eval $model --what
err_has '"--what"'
expect 2 eval $model --temperature hot
err_has '"hot"'
expect 1 eval no-such-model
err_has 'no model "no-such-model"'
expect 1 eval made
err_has 'config.json'
expect 1 eval $model -n 1 -t add --json nowhere/board.json
err_has 'nowhere/board.json'
rm $model/tokenizer.json
expect 1 eval $model
err_has 'tokenizer.json'
verdict
