#!/bin/sh
# check_outliers.sh FRUGAL MODEL_FOLDER: `frugal outliers`: the twin, the same one again, and wrong calls.
. "$(dirname "$0")/expect.sh"
model=$2

expect 0 outliers "$model" -o twin
out_has '^10 channels scaled by 30; .* at most [0-9.]*e-0[6-9] of the largest$'
out_has '^twin: the twin'
expect 0 inspect twin
out_has 'bf16'
expect 0 outliers "$model" -o again --threads 3
cmp twin/model.safetensors again/model.safetensors >/dev/null || complain "another twin the second time"
cmp twin/config.json again/config.json >/dev/null || complain "another config the second time"
expect 0 outliers "$model" -o other --seed 2
cmp -s twin/model.safetensors other/model.safetensors && complain "the same twin with another seed"
# A factor and its inverse over the same channels, both powers of two: the bits that were there.
expect 0 outliers "$model" -o up --share 0.1 --factor 32
expect 0 outliers up -o back --share 0.1 --factor 0.03125
expect 0 outliers "$model" -o plain --factor 1
cmp back/model.safetensors plain/model.safetensors >/dev/null || complain "there and back is not where it began"

expect 2 outliers
err_has 'which model'
expect 2 outliers "$model"
err_has 'where to'
expect 2 outliers "$model" other -o x
err_has 'one model'
expect 2 outliers "$model" -o x --share 2
err_has '"2"'
expect 2 outliers "$model" -o x --factor none
err_has '"none"'
expect 2 outliers "$model" -o x --seed 1.5
err_has '"1.5"'
expect 2 outliers "$model" -o x --sharp
err_has 'no option'
expect 2 outliers "$model" -o
err_has 'wants a value'
expect 1 outliers not-there -o x
err_has '^frugal: .*"not-there".*models'
mkdir empty
expect 1 outliers empty -o x
err_has '^frugal: '

verdict
