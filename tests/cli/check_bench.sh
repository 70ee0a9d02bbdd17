#!/bin/sh
# check_bench.sh FRUGAL: that `frugal bench` answers, prints what programs can read, and refuses what it does
# not know. No test looks at a time.
. "$(dirname "$0")/expect.sh"
command=bench

expect 2
err_has 'There is: peaks, kernels, formats'
silent_out
expect 2 everything
err_has '"everything"'
expect 2 peaks --loud
err_has '"--loud"'
expect 2 formats --loud
err_has '"--loud"'

expect 2 kernels --loud
err_has '"--loud"'
silent_out
expect 2 kernels --only
err_has 'wants a word'
expect 2 kernels --quick --only nothing-like-it
err_has '"nothing-like-it"'
err_has 'NVFP4'
silent_out

expect 0 formats
out_has '^nvfp4 +4\.500 +20\.4'
out_has '^Four Over Six, squares +21\.[0-9]+ \(21\.21\) +0\.8'
expect 0 formats --json
json_holds 'len(d["formats"]) > 30 and {"nvfp4", "qoq-g128"} < {f["name"] for f in d["formats"]}'
json_holds 'all(r["error_ratio"][i] < 1 for r in d["rules"] if "Six" in r["name"] for i in range(3))'

expect 0 kernels --quick --json
json_holds '{"W8A8", "W4A8 g128", "NVFP4 W4A4", "W4A4, branch fused", "W4A4, branch apart", "f32",
             "RMSNorm with INT8", "4-bit cache"} < {c["case"] for c in d["cases"]}'
json_holds 'all(c["seconds"] > 0 for c in d["cases"]) and d["whole"] and d["peaks"]["f32"] > 0'
json_holds 'd["reached"] + d["missed"] == sum("reached" in c for c in d["cases"])'
expect 0 kernels --quick --only BRANCH
out_has '^case +m +n x k +ms'
out_has '^W4A4, branch fused +256 +3072x3072 .* x W4A4, no branch +at most 1\.12: (reached|missed)$'
out_has '^targets: [0-9]+ reached, [0-9]+ missed$'

verdict
