#!/bin/sh
# check_symbols.sh LIBFRUGAL.SO: the shared library shows functions named fr_ and nothing else, and
# every function that the public headers promise is among them.
set -u
lib=$1
headers=$(dirname "$0")/../../include/frugal
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

nm -D --defined-only "$lib" | awk '{ print $NF }' | sed 's/@.*//' | sort -u >"$dir/shown"
# A declaration may run over several lines; its name is the last word before the first parenthesis.
cat "$headers"/*.h | grep -v '^ *#' | tr '\n' ' ' | grep -oE 'FR_API [^(;]*\(' | sed 's/[ (]*$//; s/.*[ *]//' | sort -u >"$dir/promised"

strange=$(grep -v '^fr_' "$dir/shown")
missing=$(comm -13 "$dir/shown" "$dir/promised")
unasked=$(comm -23 "$dir/shown" "$dir/promised")
[ -z "$strange" ] || echo "shown, but not named fr_:" $strange
[ -z "$missing" ] || echo "promised in include/frugal, but not in the library:" $missing
[ -z "$unasked" ] || echo "shown, but in no public header:" $unasked
echo "$(wc -l <"$dir/shown") functions shown, $(wc -l <"$dir/promised") promised"
[ -s "$dir/promised" ] && [ -z "$strange$missing$unasked" ]
