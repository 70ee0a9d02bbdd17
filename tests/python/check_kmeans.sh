#!/bin/sh
# check_kmeans.sh LIBFRUGAL.SO: runs check_kmeans.py where a Python has NumPy: $FRUGAL_PEERS (a Python, or the virtual
# environment that bench/peers made), else python3. Exit 77: there is none, and the test counts as skipped.
python=${FRUGAL_PEERS:-python3}
[ -d "$python" ] && python=$python/bin/python3
command -v "$python" >/dev/null || { echo "there is no $python"; exit 77; }
"$python" -c 'import numpy' 2>/dev/null || { echo "$python has no numpy"; exit 77; }
FRUGAL_LIBRARY=$1 PYTHONDONTWRITEBYTECODE=1 exec "$python" "$(dirname "$0")/check_kmeans.py"
