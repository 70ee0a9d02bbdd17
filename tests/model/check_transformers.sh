#!/bin/sh
# check_transformers.sh MODEL_FOLDER_TEST [PYTHON]: a folder that Frugal wrote, read by transformers, gives the same
# logits, and configurations of all families that it wrote say what they should. Needs torch and transformers, so it is
# run by hand; MODEL_FOLDER_TEST is the program of test_folder.c, beside that of test_families.c.
set -e
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
FRUGAL_KEEP=$dir "$1" >/dev/null
"${2:-python3}" "$(dirname "$0")/../oracle/llama.py" --check "$dir/fresh"
FRUGAL_KEEP=$dir "$(dirname "$1")/model_families" >/dev/null
"${2:-python3}" "$(dirname "$0")/../oracle/families.py" --check "$dir"
