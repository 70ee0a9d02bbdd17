#!/bin/sh
# check_inspect.sh FRUGAL GOLDEN: what `frugal inspect` shows of the golden files, and how it answers
# bad calls and bad files.
. "$(dirname "$0")/expect.sh"
golden=$2
command=inspect

expect 0 "$golden/reference.safetensors"
out_has '^bf16 +bf16 +\[2, 3\] +12 B$'
out_has '^scalar +f32 +\[\] +4 B$'
out_has '^all +18 '
out_has '^made by +the "safetensors" package'
out_lacks 'NaN'

expect 0 "$golden/reference.gguf" --stats
out_has '^f16 +f16 +\[1, 2, 3\] +12 B +0 +5 +2\.5 +1\.708 +0 +0$'
out_has '^tokenizer.ggml.tokens +list of 40 texts$'
out_has '^toy.f32 +0\.1$'

expect 0 "$golden/shards" --offsets
out_has '^b +f16 .* model-00002-of-00002.safetensors$'
out_has '^config.json +toy$'

expect 0 "$golden/reference.safetensors" --names 'f8*'
out_has '^f8e5m2 '
out_lacks '^bf16 '
out_has 'the 2 of 18 tensors'

expect 0 "$golden/reference.safetensors" --limit 2
out_has 'and 16 more'
out_has '^all +18 '

expect 0 "$golden/reference.gguf" --json --stats
out_has '"name":"q8_0","dtype":"q8_0","shape":\[3,64\],"bytes":204,'
out_has '"total":\{"tensors":8,"parameters":792,'
out_has '"key":"tokenizer.ggml.tokens","type":"text","count":40'
if command -v python3 >/dev/null; then
    python3 -c 'import json, sys; json.load(open(sys.argv[1]))' out || complain "this is no JSON"
fi

# A NaN is shown, and counted; JSON has none.
header='{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}  '
{ printf '\070\0\0\0\0\0\0\0%s' "$header"; printf '\0\0\300\177\0\0\200\177'; } >"$dir/nan.safetensors"
expect 0 "$dir/nan.safetensors" --stats
out_has '^x +f32 +\[2\] +8 B +-?nan +-?nan +-?nan +-?nan +1 +1$'
expect 0 "$dir/nan.safetensors" --stats --json
out_has '"nan":1,"inf":1,"min":null'

expect 2
expect 2 --nonsense "$golden/shards"
err_has 'no option "--nonsense"'
expect 2 "$golden/shards" "$golden/shards"
expect 2 "$golden/shards" --limit -1
expect 2 "$golden/shards" --limit
expect 2 "$golden/shards" --names
expect 1 "$dir/gone"
err_has '^frugal: .*gone'
mkdir "$dir/nothing"
expect 1 "$dir/nothing"
err_has 'the folder holds no model: looked for'
expect 1 "$golden/shards" --names 'nothing*'
err_has "has a name like 'nothing\*'"
: >"$dir/empty.safetensors"
expect 1 "$dir/empty.safetensors"
err_has 'empty.safetensors: the file is empty'

verdict
