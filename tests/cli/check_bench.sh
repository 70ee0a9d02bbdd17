#!/bin/sh
# check_bench.sh FRUGAL: that `frugal bench` answers, prints what programs can read, and refuses what it does
# not know. No test looks at a time.
frugal=$1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
failed=0
count=0

# expect WANTED_CODE ARGUMENTS: runs frugal bench; what follows looks at out and err.
expect() {
    want=$1
    shift
    what="frugal bench $*"
    "$frugal" bench "$@" >"$dir/out" 2>"$dir/err"
    code=$?
    count=$((count + 1))
    [ $code -eq "$want" ] || complain "exit code $code instead of $want"
}
complain() {
    failed=$((failed + 1))
    echo "FAILED: $what: $1"
    sed 's/^/    out: /' "$dir/out"
    sed 's/^/    err: /' "$dir/err"
}
out_has() { grep -qE -e "$1" "$dir/out" || complain "standard output does not match $1"; }
err_has() { grep -qE -e "$1" "$dir/err" || complain "standard error does not match $1"; }
silent_out() { [ ! -s "$dir/out" ] || complain "standard output should be empty"; }
# python(EXPRESSION over d): left out where there is no Python
json_holds() {
    command -v python3 >/dev/null || return 0
    python3 -c "import json, sys; d = json.load(open(sys.argv[1])); sys.exit(not ($1))" "$dir/out" ||
        complain "what it printed is no JSON in which $1"
}

expect 2
err_has 'There is: peaks, formats'
silent_out
expect 2 everything
err_has '"everything"'
expect 2 peaks --loud
err_has '"--loud"'
expect 2 formats --loud
err_has '"--loud"'

expect 0 formats
out_has '^nvfp4 +4\.500 +20\.4'
out_has '^Four Over Six, squares +21\.[0-9]+ \(21\.21\) +0\.8'
expect 0 formats --json
json_holds 'len(d["formats"]) > 30 and {"nvfp4", "qoq-g128"} < {f["name"] for f in d["formats"]}'
json_holds 'all(r["error_ratio"][i] < 1 for r in d["rules"] if "Six" in r["name"] for i in range(3))'

echo "$count calls, $failed complaints"
[ $failed -eq 0 ]
