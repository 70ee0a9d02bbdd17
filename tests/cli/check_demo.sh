#!/bin/sh
# check_demo.sh FRUGAL: `frugal demo` in few steps: what it writes, that it writes the same for any
# number of threads, how it answers wrong calls, and that Ctrl-C leaves nothing half done.
. "$(dirname "$0")/expect.sh"

expect 0 demo --steps 2 --scale 1 -o one.png --save net.safetensors --quiet --threads 1
out_has '^one.png: the learned picture, 128 x 128 pixels, PSNR [0-9.]+ dB'
is_png one.png
expect 0 demo --steps 2 --scale 1 -o three.png --save three.safetensors --quiet --threads 3
cmp one.png three.png >/dev/null || complain "another picture with three threads"
cmp net.safetensors three.safetensors >/dev/null || complain "other weights with three threads"

expect 0 demo --image one.png --steps 1 --scale 2 --compare -o both.png --quiet
out_has 'both.png: .* 512 x 256 pixels'

# The saved network is read as a file from anywhere is.
expect 0 inspect net.safetensors
out_has '^fc0.weight +f32 +\[128, 192\]'
expect 0 inspect net.safetensors --graph
out_has '^fc0\.linear +linear '
out_has '^fc0\.unary +unary +fn=silu '
out_has '^[0-9]+ nodes, .* operations'
expect 0 inspect net.safetensors --graph --fused
out_has '^fc0\.[a-z]+ +linear +act=silu '
out_lacks '^fc0\..* unary '
expect 0 inspect net.safetensors --dot
out_has '^digraph frugal'
expect 2 inspect net.safetensors --fused
expect 2 inspect net.safetensors --graph --stats
expect 1 inspect three.png --graph

# Wrong calls say what was wrong; nothing is trained.
expect 2 demo --steps
err_has '^frugal demo: --steps wants a value'
expect 2 demo --steps 0
err_has '"0" is no number of steps'
expect 2 demo --steps 1.5
err_has '"1\.5" is no number of steps'
expect 2 demo --steps nan
expect 2 demo --scale 17
err_has '"17" is no number of times'
expect 2 demo --seed -1
err_has 'a seed'
expect 2 demo --nonsense
err_has 'there is no option "--nonsense"'
expect 2 demo picture.png
err_has '"picture.png"'
no_file learned.png

# So do files that cannot be read or written, before the training begins.
expect 1 demo --steps 1000000 -o nowhere/at/all.png
err_has '^frugal: .*nowhere/at/all.png cannot be written'
expect 1 demo --steps 1000000 --save nowhere/net.safetensors
err_has '^frugal: .*nowhere/net.safetensors cannot be written'
expect 1 demo --steps 1000000 --image not-there.png
err_has '^frugal: .*not-there.png'
echo text >text.png
expect 1 demo --steps 1000000 --image text.png
err_has '^frugal: .*text.png'
no_file learned.png

# With its output closed it fails, and does not print into a file of its own.
what="demo with a closed output"
count=$((count + 1))
"$frugal" demo --steps 1 --scale 1 -o closed.png --quiet >&- 2>err && complain "exit code 0"
is_png closed.png
: >out
err_has '^frugal: the output could not be written'

# Ctrl-C: a clean end, and the old file stays as it was.
what="demo ended by Ctrl-C"
count=$((count + 1))
echo old >kept.png
cat >interrupt.sh <<'END'
"$1" demo --steps 1000000 -o kept.png --save kept.safetensors --quiet --threads 2 >out 2>err &
until [ ! -e /proc/$! ] || grep -q '^SigCgt:.*[2367abef]$' /proc/$!/status; do sleep 0.05; done
sleep 0.5
kill -INT $!
wait $!
END
# A shell without job control lets its children ignore Ctrl-C until the program watches for it itself:
# SigCgt says when.
sh interrupt.sh "$frugal"
code=$?
[ $code -eq 130 ] || complain "exit code $code instead of 130"
err_has '^frugal: .*Ctrl-C'
[ "$(cat kept.png)" = old ] || complain "the old file was touched"
no_file kept.safetensors
ls | grep -q '\.tmp\.' && complain "a half file was left"

verdict
