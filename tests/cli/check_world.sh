#!/bin/sh
# check_world.sh FRUGAL: `frugal world`: sheets, the judge on pictures that were drawn, and answers to wrong calls.
frugal=$1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
failed=0
count=0

# expect WANTED_CODE ARGUMENTS: runs frugal; what follows looks at out and err.
expect() {
    want=$1
    shift
    what="frugal $*"
    "$frugal" "$@" >out 2>err
    code=$?
    count=$((count + 1))
    [ $code -eq "$want" ] || complain "exit code $code instead of $want"
}
complain() {
    failed=$((failed + 1))
    echo "FAILED: $what: $1"
    sed 's/^/    out: /' out
    sed 's/^/    err: /' err
}
out_has() { grep -qE -e "$1" out || complain "standard output does not match $1"; }
err_has() { grep -qE -e "$1" err || complain "standard error does not match $1"; }
no_file() { [ ! -e "$1" ] || complain "$1 should not be there"; }
is_png() { [ "$(head -c 4 "$1" | tail -c 3)" = PNG ] || complain "$1 is no PNG"; }

expect 0 world draw -o sheet.png -n 7 -t all
is_png sheet.png
out_has '^a photo of '
out_has '^sheet.png: 7 of them'
cp sheet.png first.png
expect 0 world draw -o sheet.png -n 7 -t all --threads 3
cmp sheet.png first.png >/dev/null || complain "another sheet the second time"

said="a photo of a red circle left of a blue star"
expect 0 world draw "$said" -n 1 -z 128 -o one.png
expect 0 world judge one.png -p "$said"
out_has 'red circle at'
out_has ': yes$'
expect 0 world judge one.png -p "a photo of a red circle right of a blue star"
out_has ': no: the circle is not right of the star'
expect 0 world judge one.png -p "a photo of two stars"
out_has ': no: 1 of 2'

expect 0 world check -n 500 --quiet
out_has '^500 of 500 right, 500 strictly'
expect 0 world check -n 100 -z 128 -t all --quiet
out_has '^100 of 100 right'

expect 2 world
err_has 'There is: draw, judge, check'
expect 2 world paint
err_has '"paint"'
expect 2 world draw --size 65
err_has '"65"'
expect 2 world draw --task cats
err_has '"cats"'
expect 2 world draw --count
err_has 'wants a value'
expect 1 world draw "a photo of a cat"
err_has "^frugal: .*'cat'"
expect 1 world draw "a photo of a red"
err_has 'is not a sentence'
expect 1 world draw a photo
err_has 'in quotes'
expect 1 world judge
err_has 'Which picture'
expect 1 world judge not-there.png
err_has 'not-there.png'
expect 1 world judge sheet.png
err_has '64 x 64'
expect 1 world draw -n 1 -o nowhere/one.png
err_has 'nowhere/one.png'

echo "$count calls, $failed complaints"
[ $failed -eq 0 ]
