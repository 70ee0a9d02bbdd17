#!/bin/sh
# Runs check_numpy.py where a Python has NumPy: $FRUGAL_PEERS (a Python, or the virtual environment that
# bench/peers made), else python3. Exit 77: there is none, and the test counts as skipped.
here=$(dirname "$0")
python=${FRUGAL_PEERS:-python3}
[ -d "$python" ] && python=$python/bin/python3
command -v "$python" >/dev/null || { echo "there is no $python"; exit 77; }
exec "$python" "$here/check_numpy.py" "$here/../../docs/formats.md" "$1"
