#!/bin/sh
# Shows what tensor_write wrote to the `safetensors` and `gguf` packages of PyPI, where a Python has
# them: $FRUGAL_PEERS (a Python, or the virtual environment that bench/peers made), else python3.
# Exit 77: there is none, and the test counts as skipped.
here=$(dirname "$0")
python=${FRUGAL_PEERS:-python3}
[ -d "$python" ] && python=$python/bin/python3
if ! "$python" -c 'import gguf, numpy, safetensors, torch' 2>/dev/null; then
    echo "$python has no gguf, numpy, safetensors and torch; FRUGAL_PEERS may name a Python that has"
    exit 77
fi
exec "$python" "$here/../oracle/store_roundtrip.py" check "$1"
