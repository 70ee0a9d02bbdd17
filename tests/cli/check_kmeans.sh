#!/bin/sh
# check_kmeans.sh FRUGAL: `frugal kmeans` from files to files and pictures, and answers to wrong calls.
. "$(dirname "$0")/expect.sh"

# npy TYPE SHAPE <bytes: the header of NumPy's format before them
npy() {
    printf '\223NUMPY\001\000v\000'
    printf '%-117s\n' "{'descr': '$1', 'fortran_order': False, 'shape': ($2), }"
    cat
}
# bytes AWK-PROGRAM: the numbers that it prints, as bytes
bytes() { awk "BEGIN { $1 }" </dev/null | while read -r n; do printf "\\$(printf %03o "$n")"; done; }

# 90 points around (20, 20), (200, 30) and (60, 180), in turn
bytes 'for (i = 0; i < 90; i++) { print (i % 3 == 0 ? 20 : i % 3 == 1 ? 200 : 60) + i % 7
       print (i % 3 == 0 ? 20 : i % 3 == 1 ? 30 : 180) + i % 5 }' >raw
npy '|u1' '90, 2' <raw >points.npy

expect 0 kmeans points.npy -k 3 -o out.safetensors --labels labels.npy --plot p.svg
err_has 'u8 are made f32'
out_has '^points +90 in 2 dim'
out_has '^clusters +3 of 30 to 30 points'
out_has 'settled'
out_has '^inertia +[0-9]'
grep -q '<svg' p.svg && grep -q 'first coordinate' p.svg && grep -q '90 points in 3 clusters' p.svg || complain 'no such picture'
[ "$(wc -c <labels.npy)" -eq $((128 + 360)) ] || complain 'labels.npy has another size'
if command -v xmllint >/dev/null; then xmllint --noout p.svg || complain 'the picture is no XML'; fi
cp out.safetensors first
cp p.svg first.svg
expect 0 kmeans points.npy -k 3 -o out.safetensors --plot p.svg --threads 1 --quiet
silent_err
cmp -s out.safetensors first || complain 'one thread gives another result'
cmp -s p.svg first.svg || complain 'one thread gives another picture'
expect 0 inspect out.safetensors
out_has 'centroids'
out_has 'labels'
out_has 'sizes'
expect 0 kmeans points.npy -k 3 --json --quiet
json_holds 'd["clusters"] == 3 and d["points"] == 90 and d["sizes"] == [30, 30, 30] and d["converged"] and d["inertia"] > 0'

# labels of known centroids, from each form of a file
expect 0 kmeans points.npy --predict out.safetensors -o again.npy --quiet
cmp -s again.npy labels.npy || complain 'predict gives other labels'
for kind in npy fvecs; do
    expect 0 kmeans points.npy -k 3 -o c.$kind --quiet
    expect 0 kmeans points.npy --predict c.$kind -o again.npy --quiet
    cmp -s again.npy labels.npy || complain "predict by c.$kind gives other labels"
done
expect 0 kmeans points.npy --predict c.fvecs -o l.ivecs --quiet
[ "$(wc -c <l.ivecs)" -eq 720 ] || complain 'l.ivecs has another size'
expect 0 kmeans points.npy --predict c.fvecs --json --quiet
json_holds 'd["points"] == 90 and d["inertia"] > 0'

# going on from centroids that are settled changes nothing
expect 0 kmeans points.npy --start out.safetensors -o more.npy --quiet
cmp -s more.npy c.npy || complain 'settled centroids moved'
expect 0 kmeans points.npy -k 3 --method lloyd --products f32 --start parallel --attempts 3 --seed 7 --quiet
out_has '3 of 30 to 30'
expect 0 kmeans points.npy -k 3 --metric cosine --empty keep --quiet
expect 0 kmeans points.npy -k 3 --method minibatch --batch 32 --iterations 50 --quiet
out_has 'minibatch'

# as many clusters as points: their numbers as f32, which are then read where they lie
expect 0 kmeans points.npy -k 20 -o many.npy --quiet
expect 0 kmeans many.npy -k 4 -o c4.fvecs --plot p.svg
expect 0 kmeans many.npy -k 4 --iterations 1 --tolerance -1 --memory 9M --quiet
bytes 'for (i = 0; i < 90; i++) print i % 3' >weights
npy '|u1' '90,' <weights >w.npy
expect 0 kmeans points.npy -k 2 --weights w.npy --quiet
out_has 'clusters +2'

# two problems at once; more than two dimensions; one
npy '|u1' '2, 45, 2' <raw >two.npy
expect 0 kmeans two.npy -k 3 -o two.safetensors --quiet
out_has '^problems +2'
expect 0 kmeans two.npy --predict two.safetensors -o two-labels.npy --quiet
npy '|u1' '30, 6' <raw >six.npy
expect 0 kmeans six.npy -k 2 --plot p.svg --quiet
grep -q 'first principal component, [0-9.]*% of the variance' p.svg || complain 'the axes do not say their share'
npy '|u1' '180,' <raw >line.npy
expect 0 kmeans line.npy -k 2 --plot p.svg --quiet
head -c 3 raw | npy '|u1' '3, 1' >three.npy
expect 0 kmeans three.npy -k 3 --plot p.svg --quiet

# what cannot be
expect 1 kmeans points.npy -k 91
err_has 'holds 90 points, too few for 91'
expect 1 kmeans nowhere.npy -k 2
err_has 'nowhere.npy'
head -c 200 points.npy >cut.npy
expect 1 kmeans cut.npy -k 2
err_has 'cut.npy'
expect 1 kmeans out.safetensors -k 2
err_has 'holds 3 tensors .*--tensor'
expect 0 kmeans out.safetensors --tensor centroids -k 2 --quiet
expect 1 kmeans out.safetensors --tensor what -k 2
err_has 'no tensor "what"'
expect 1 kmeans points.npy -k 3 -o out.txt
err_has 'out.txt'
expect 1 kmeans points.npy -k 3 --labels l.fvecs
err_has 'l.fvecs'
expect 1 kmeans points.npy -k 3 -o nowhere/out.npy
err_has 'no such folder'
expect 1 kmeans two.npy -k 3 -o c.fvecs
err_has 'several problems'
expect 1 kmeans two.npy -k 3 --plot p.svg
err_has 'one problem'
expect 1 kmeans six.npy --predict c.npy
err_has 'does not go with'
expect 1 kmeans points.npy -k 4 --start c.npy
err_has 'holds 3 centroids'
expect 1 kmeans two.npy -k 2 --weights w.npy
err_has 'The weights of w.npy'
expect 1 kmeans points.npy -k 3 --memory 1M
err_has 'are allowed'
printf '\001\001\300\177\001\001\300\177\001\001\300\177\001\001\300\177' | npy '<f4' '2, 2' >nan.npy
expect 1 kmeans nan.npy -k 1
err_has 'nan.npy: Row 0'
expect 2 kmeans
err_has 'which file'
expect 2 kmeans points.npy
err_has 'how many'
expect 2 kmeans points.npy -k 0
err_has '"0"'
expect 2 kmeans points.npy -k 3 --metric what
err_has 'euclid, cosine or dot'
expect 2 kmeans points.npy -k 3 --start what
err_has '"what"'
expect 2 kmeans points.npy -k 3 --memory many
err_has '"many"'
expect 2 kmeans points.npy -k 3 --what
err_has '"--what"'
expect 2 kmeans points.npy six.npy -k 3
err_has 'six.npy'
expect 2 kmeans points.npy -k 3 --predict c.npy --start c.npy
err_has 'exclude'
verdict
