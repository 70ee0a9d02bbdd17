#!/bin/sh
# check_headers.sh: every public header stands alone, as C and (where there is a C++ compiler) as C++.
set -u
cd "$(dirname "$0")/../.." || exit 1
failed=0
try() { # COMPILER LANGUAGE STANDARD HEADER
    printf '#include <frugal/%s>\nint main(void) { return 0; }\n' "$4" |
        "$1" -x "$2" -std="$3" -Wall -Wextra -Werror -pedantic -Iinclude -fsyntax-only - ||
        { echo "check_headers: include/frugal/$4 does not stand alone as $3"; failed=1; }
}
for header in include/frugal/*.h; do
    name=$(basename "$header")
    try cc c c11 "$name"
    if command -v c++ >/dev/null 2>&1; then try c++ c++ c++17 "$name"; fi
done
exit $failed
