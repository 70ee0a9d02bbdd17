#!/bin/sh
# check_world.sh FRUGAL: `frugal world`: sheets, the judge on pictures that were drawn, and answers to wrong calls.
. "$(dirname "$0")/expect.sh"

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

verdict
