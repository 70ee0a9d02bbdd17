#!/bin/sh
# check_quantize.sh FRUGAL RECIPES: `frugal quantize` of a model that was just made: what it prints and writes, the same
# bytes again and after a stop, GGUF, and answers to wrong calls.
recipes=$(cd "$2" && pwd) || exit 1
. "$(dirname "$0")/expect.sh"

expect 0 train "$recipes/tiny.recipe" -o made --set steps=3 --set warmup=1 --quiet
model=made/model
few="--samples 4 --evaluate 600"

expect 0 quantize $model -o small $few --quiet --json figures
silent_err
out_has '^layer +weights, dB +outputs, dB +worst, dB'
out_has '^0 +[0-9.]+ +[0-9.]+ +[0-9.]+ +(self_attn|mlp)\.'
out_has '^linears: 4\.[0-9]+ bits a weight; file: '
out_has '^perplexity: [0-9.]+ before, [0-9.]+ after \([-+][0-9.]+%\), [0-9]+ tokens$'
out_has '^small: qoq-w4a8kv4-g128 in qoq-g128'
mv figures out
json_holds 'd["recipe"] == "qoq-w4a8kv4-g128" and d["bytes"] < d["bytes_before"]'
json_holds '0.5 < d["perplexity"] / d["perplexity_before"] < 1.5'
cp small/config.json out
json_holds 'd["frugal_kv"] == "4" and d["frugal_quantization"]["gptq"]'
for f in tokenizer.json tokenizer_config.json generation_config.json; do
    [ -s small/$f ] || complain "there is no $f"
done
no_file small/.partial
expect 0 inspect small
out_has 'qoq-g128|lm_head.weight.codes'
expect 0 run small -p "What is" -n 3 --quiet
expect 0 quantize $model -o again $few --quiet --threads 1
cmp small/model.safetensors again/model.safetensors >/dev/null || complain "other bytes with one thread"

# stopped in the middle, and on again
"$frugal" quantize $model -o stopped $few --quiet >/dev/null 2>&1 &
sleep 0.3
kill -9 $! 2>/dev/null
wait $! 2>/dev/null
expect 0 quantize $model -o stopped $few --quiet
cmp small/model.safetensors stopped/model.safetensors >/dev/null || complain "other bytes after a stop"

# text and ids of one's own; fewer where memory is short
printf 'Ben met Ruth in the field. %.0s' 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 >text
expect 0 quantize $model -o own -r qoq-w4a8kv4 --calibrate text --tokens 16 --evaluate 40 --quiet
out_has '^own: qoq-w4a8kv4 in qoq-channel'
echo '5 6 7, 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25' >ids
expect 0 quantize $model -o own2 -r w8a8kv8 --calibrate ids --tokens 16 --quiet
expect 0 quantize $model -o plain -r rtn-w4a16-g128 --head 8 --evaluate 0 --quiet
out_has '^linears: 4\.[0-9]+ bits'

# for others
for kind in q4_0 q8_0 bf16; do
    expect 0 quantize $model -o model-$kind.gguf -r gguf-$kind
    out_has "^model-$kind.gguf: GGUF, "
    expect 0 inspect model-$kind.gguf
    out_has 'blk.0.attn_q.weight'
done
expect 0 quantize small -o back.gguf -r gguf-q8_0
expect 0 quantize model-bf16.gguf -o from-gguf $few --quiet
expect 0 run from-gguf -p "What is" -n 3 --quiet

expect 2 quantize
err_has 'which model'
expect 2 quantize $model
err_has 'where to'
expect 2 quantize $model -o x -r qoq-w3
err_has 'no recipe "qoq-w3"'
expect 2 quantize $model -o x --gptq perhaps
err_has '"perhaps" is not yes or no'
expect 2 quantize $model -o x --smooth 0.3
err_has '"0.3"'
expect 2 quantize $model -o x --kv 5
err_has '"5"'
expect 2 quantize $model other -o x
err_has 'one model'
expect 2 quantize $model -o x --sharp
err_has 'no option'
expect 1 quantize $model -o x --format int5 $few
err_has "no number format 'int5'"
expect 1 quantize small -o x $few
err_has 'in few bits already'
expect 1 quantize not-there -o x
err_has 'not-there'
expect 1 quantize $model -o x --calibrate not-there
err_has 'not-there'
: >empty
expect 1 quantize $model -o x --calibrate empty
err_has 'is empty'
expect 1 quantize $model -o x $few --memory 0.001
err_has 'of memory, and 1.00 MB are allowed'
expect 1 quantize $model -o text/x $few
err_has 'text'

# no room on the disk; when there is some, it goes on
what='with no room'
(trap '' XFSZ; ulimit -f 20; "$frugal" quantize $model -o full $few --quiet >out 2>err)
code=$?
[ $code -eq 1 ] || complain "exit code $code instead of 1"
err_has '^frugal: .*full'
expect 0 quantize $model -o full $few --quiet
cmp small/model.safetensors full/model.safetensors >/dev/null || complain "other bytes after a full disk"

verdict
