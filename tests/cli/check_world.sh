#!/bin/sh
# check_world.sh FRUGAL: `frugal world`: sheets, the judge on pictures that were drawn, suites and data sets on
# disk, lines of text, and answers to wrong calls.
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

# a suite: written, judged, compared
expect 0 world suite -o right --prompts 5 --images 2 --fill oracle --threads 1
out_has '^right: 30 prompts, 2 pictures of each'
expect 0 world suite -o again --prompts 5 --images 2 --fill oracle --threads 3
diff -r right again >/dev/null || complain "another suite with three threads"
expect 0 world judge right
out_has '^mean of 6 tasks +60 +100\.0%'
out_lacks 'what was wrong'
[ "$(wc -l <right/results.jsonl)" = 60 ] || complain "not 60 results"
head -1 right/results.jsonl >out
json_holds 'd["filename"] == "00000/samples/0000.png" and d["tag"] == "single_object" and d["correct"] is True
    and d["strict"] is True and d["reason"] == "" and d["prompt"].startswith("a photo of a ")
    and len(d["details"]) == 1 and set(d["details"][0]) == {"class", "color", "box", "iou", "margin"}'
head -1 right/00029/metadata.jsonl >out
json_holds 'd["tag"] == "color_attr" and len(d["include"]) == 2 and d["exclude"] == []
    and all(set(c) == {"class", "count", "color"} for c in d["include"])'
expect 0 world suite -o chance --prompts 5 --images 2 --fill shuffled
expect 0 world judge chance
out_has 'an object is missing, such as: 0 of 1'
expect 0 world compare right chance
out_has '^all answers +60 +100\.0% .* 0  *[0-9.]*e-[0-9]*$'
expect 0 world compare right/results.jsonl right
out_has '^all answers +60 +100\.0% +100\.0% +\+0\.0 .* 1$'

# the judge believes pixels, not folders: pictures under another prompt are wrong
mv right/00029/samples right/kept
mv right/00012/samples right/00029/samples
mv right/kept right/00012/samples
expect 0 world judge right
out_has '^color_attr +10 +80\.0%'

expect 0 world suite -o empty --prompts 1 --split unseen
out_has '^empty: 6 prompts; pictures belong'
[ "$(wc -l <empty/evaluation_metadata.jsonl)" = 6 ] || complain "not 6 prompts"
expect 1 world judge empty
err_has 'no pictures yet'
cp one.png empty/00002/samples/0000.png
expect 0 world judge empty
out_has '^5 of 6 prompts have no picture'
expect 1 world compare right empty
err_has 'different suites|in common'
echo '{"tag": "colors", "include": [{"class": "cat", "count": 1}]}' >empty/00000/metadata.jsonl
expect 1 world judge empty
err_has "^frugal: empty/00000/metadata.jsonl: .*no class 'cat'"
echo '[[[[' >empty/00000/metadata.jsonl
expect 1 world judge empty
err_has 'is not valid JSON'
cp sheet.png empty/00001/samples/0000.png
head -1 empty/evaluation_metadata.jsonl >empty/00000/metadata.jsonl
echo nothing >empty/00000/samples/0000.png
expect 0 world judge empty
out_has '^2 of 3 pictures could not be read'
out_has 'unreadable file'
head -2 empty/results.jsonl | tail -1 >out
json_holds 'd["filename"] == "00001/samples/0000.png" and d["correct"] is False and d["details"] == []
    and d["reason"].startswith("it is ") and "64 x 64" in d["reason"]'
expect 1 world suite -o right
err_has 'there already'
expect 1 world suite
err_has 'Where to'
expect 1 world suite -o other --fill blur:-1
err_has "'blur:-1' fills no suite"
expect 1 world suite -o other --split sideways
err_has "no split 'sideways'"
no_file other
expect 1 world compare right
err_has 'Two results'
expect 1 world compare right not-there
err_has 'not-there'

# data sets
expect 0 world dataset -o data -n 300 -t all --threads 1
out_has '^data: 300 scenes of 64 pixels'
expect 0 world dataset -o more -n 300 -t all --threads 4
diff -r data more >/dev/null || complain "another data set with four threads"
[ "$(wc -l <data/scenes.jsonl)" = 300 ] || complain "not 300 scenes"
head -1 data/scenes.jsonl >out
json_holds 'd["index"] == 0 and d["seed"] == 1 and len(d["captions"]) == 4
    and all(set(s) == {"class", "color", "cx", "cy", "r"} for s in d["scene"])'
expect 0 inspect data/pictures.safetensors
out_has 'images +u8 +\[300, 64, 64, 3\]'
out_has 'tokens +i32 +\[300, 4, 16\]'
expect 0 world dataset -o some -n 3 --png
is_png some/pictures/00000002.png
no_file some/pictures.safetensors
expect 1 world dataset -o sheet.png -n 3
err_has 'sheet.png is a file'

# text
expect 0 world text -n 200 --split held_out
cp out lines
expect 0 world text -n 200 --split held_out --threads 2
cmp out lines >/dev/null || complain "other lines the second time"
expect 0 world text --judge --split held_out <lines
out_has '^mean of .* 200 +100\.0%'
sed 's/\t.*/\t nonsense/' lines >wrong
expect 0 world text --judge --split held_out <wrong
out_has '^add .* 0\.0%'
out_has '^ +[0-9]+  add, such as: line [0-9]+, right is: [0-9]+'
expect 1 world text --judge --seed 2 <lines
err_has 'in the order'
expect 1 world text --judge </dev/null
err_has 'nothing to judge'
expect 1 world text -t colors
err_has 'no task of text'

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
expect 2 world suite -o other --prompts 0
err_has '"0" is no number of prompts'
expect 1 world draw "a photo of a cat"
err_has "^frugal: .*'cat'"
expect 1 world draw "a photo of a red"
err_has 'is not a sentence'
expect 1 world draw a photo
err_has 'in quotes'
expect 1 world draw -t story
err_has 'no task of pictures'
expect 1 world judge
err_has 'Which picture'
expect 1 world judge not-there.png
err_has 'not-there.png'
expect 1 world judge sheet.png
err_has '64 x 64'
expect 1 world draw -n 1 -o nowhere/one.png
err_has 'nowhere/one.png'

verdict
