#!/bin/sh
# check_train.sh FRUGAL RECIPES: `frugal train`: what the folder holds, that threads, kill -9 and Ctrl-C do not show
# in it, that a checkpoint which cannot be written does not end a training, and how wrong calls are answered.
recipes=$2
. "$(dirname "$0")/expect.sh"
FRUGAL_RECIPES=$recipes
export FRUGAL_RECIPES

# Less than tiny, which is small already.
steps=40
[ -z "${FRUGAL_TEST_SHORT:-}" ] || steps=20 # under sanitizers
less="--set steps=$steps --set width=32 --set hidden=64 --set batch=4 --set validate_every=10 --set checkpoint_minutes=0"
same() { cmp -s "$1/checkpoint.safetensors" "$2/checkpoint.safetensors" || complain "$2 is not what $1 is"; }
# wait_for CONDITION: at most half a minute.
wait_for() {
    for i in $(seq 600); do
        eval "$1" && return
        sleep 0.05
    done
    complain "this never came: $1"
}

expect 0 train tiny-tokenizer -o words
out_has '^words/tokenizer.json: 320 tokens, learned from 2.00 K lines'

expect 0 train tiny $less -o one --threads 1 --plot
out_has '^one/model: the model after '$steps' steps, validation loss [0-9.]+; '
out_has '^data: waited '
for file in recipe tokenizer.json metrics.jsonl curves.svg model/config.json model/tokenizer.json model/model.safetensors; do
    [ -s "one/$file" ] || complain "there is no $file"
done
grep -q '"bos_token": "<bos>"' one/model/tokenizer_config.json || complain "no names of tokens"
cmp -s words/tokenizer.json one/model/tokenizer.json || complain "the recipe's tokenizer is another one"
expect 0 train tiny $less -o four --quiet --threads 4
silent_out
silent_err
same one four
expect 0 inspect one/model
out_has 'model.layers.1.mlp.down_proj.weight'

# The recipe as it was in force is a recipe, and names everything.
grep -q '^width = 32$' one/recipe || complain "the recipe does not have its --set"
grep -q '^beta1 = 0.9$' one/recipe || complain "the recipe does not have what it left open"

expect 0 train one/recipe -o again --quiet
same one again

# kill -9 behind a checkpoint, with half a line in the metrics for good measure; then it goes on by itself.
what="train, killed"
"$frugal" train tiny $less --set checkpoint_every=1 -o killed --quiet >out 2>err &
wait_for '[ -e killed/checkpoint.safetensors ]'
kill -KILL $!
wait $! 2>/dev/null
printf '{"step": 7, "lo' >>killed/metrics.jsonl
: >killed/checkpoint.safetensors.tmp.1.0
expect 0 train --resume killed --quiet --set checkpoint_every=0
same one killed
no_file killed/checkpoint.safetensors.tmp.1.0
[ "$(grep -c '"loss"' killed/metrics.jsonl)" -eq "$(grep -c '"loss"' one/metrics.jsonl)" ] ||
    complain "the metrics have not one line a step"

# Ctrl-C saves and says how to go on.
what="train, ended by Ctrl-C"
count=$((count + 1))
cat >interrupt.sh <<'END'
"$@" >out 2>err &
until [ -e stopped/checkpoint.safetensors ] || [ ! -e /proc/$! ]; do sleep 0.05; done
kill -INT $!
wait $!
END
sh interrupt.sh "$frugal" train tiny $less --set checkpoint_every=1 -o stopped --quiet
code=$?
[ $code -eq 130 ] || complain "exit code $code instead of 130"
err_has '^frugal: Stopped by Ctrl-C at step [0-9]+ of '$steps'. To go on: frugal train --resume stopped'
expect 0 train tiny $less --set checkpoint_every=0 --resume stopped --quiet
same one stopped

# No checkpoint can be written: it is said, and the training goes on.
what="train, without a place for checkpoints"
count=$((count + 1))
"$frugal" train tiny $less --set steps=400 --set checkpoint_every=1 -o full --quiet >out 2>err &
wait_for '[ -e full/checkpoint.safetensors ]'
mv full away
wait_for 'grep -q "could not be written" err'
mv away full
wait $!
code=$?
[ $code -eq 0 ] || complain "exit code $code instead of 0"
err_has 'the checkpoint of step [0-9]+ could not be written: .*; the training goes on'
grep -q '"step": 400, "checkpoint": true' full/metrics.jsonl || complain "no last checkpoint"

# One training in a folder at a time; a folder without one is told.
what="train, twice at once"
"$frugal" train tiny $less --set steps=400 -o busy --quiet >out 2>err &
wait_for '[ -e busy/metrics.jsonl ]'
expect 1 train --resume busy
err_has 'another training is at work in busy'
kill -KILL $!
wait $! 2>/dev/null
expect 1 train tiny-tokenizer --resume words
err_has 'a tokenizer is learned in one go'
expect 1 train tiny --resume words
err_has 'words holds no training that could go on'

# Another recipe does not go on with it, nor does a damaged checkpoint, and nothing is begun on top of a training.
expect 1 train tiny $less --set lr=0.5 --set width=64 --resume one
err_has 'one/recipe is of another training: .*lr \(0.004 before, now 0.5\), width \(32 before, now 64\)'
expect 1 train tiny $less -o one
err_has 'one holds a training already: --resume one goes on with it'
expect 1 train --resume nowhere
err_has 'nowhere/recipe'
cp -r one broken
head -c 5000 one/checkpoint.safetensors >broken/checkpoint.safetensors
expect 1 train --resume broken
err_has '^frugal: broken/checkpoint.safetensors'

# Adapters over a model.
printf 'base = one/model\nlora_rank = 2\nsteps = 3\nwarmup = 1\nbatch = 2\nvalidate_every = 0\n' >lora.recipe
expect 0 train lora.recipe -o lora --quiet
grep -q '"peft_type": "LORA"' lora/adapter/adapter_config.json || complain "no adapter of PEFT"
expect 0 inspect lora/adapter/adapter_model.safetensors
out_has 'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight'

# Wrong calls and wrong recipes say what was wrong.
expect 2 train
err_has '^frugal train: which recipe'
expect 2 train tiny tales
err_has 'one recipe at a time, not "tales" too'
expect 2 train tiny --nonsense
err_has 'there is no option "--nonsense"'
expect 2 train tiny --set
err_has 'set wants a value'
expect 2 train tiny -o a --resume b
expect 1 train no-such-recipe
err_has '^frugal: There is no recipe no-such-recipe'
expect 1 train tiny --set widht=3
err_has '^frugal: --set widht=3: there is no key "widht" here; did you mean width\?'
expect 1 train tiny --set steps=many
err_has 'steps is "many"; it must be a whole number'
printf 'kind = llama\ntokenizer = t\n\nsteps = 5\nsteps = 6\n' >twice.recipe
expect 1 train twice.recipe
err_has '^frugal: twice.recipe:5: steps was set in line 4 already'
printf 'tokenizer = nothing.json\n' >lost.recipe
expect 1 train lost.recipe -o lost --quiet
err_has 'nothing.json'
no_file runs

verdict
