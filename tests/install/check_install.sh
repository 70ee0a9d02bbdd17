#!/bin/sh
# check_install.sh BUILD_DIR: installs that build to a folder of its own, and then does as a stranger would:
# builds examples/two_layers against the installed package, with CMake (shared and static) and with
# pkg-config, and examples/clusters, runs them, and looks whether everything is where it belongs.
set -u
build=$1
root=$(cd "$(dirname "$0")/../.." && pwd)
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
fail() {
    echo "check_install: $1" >&2
    [ ! -f "$dir/log" ] || cat "$dir/log" >&2
    exit 1
}
step() { "$@" >"$dir/log" 2>&1 || fail "this failed: $*"; }

# Installed, then moved: nothing in the package may remember where it was put first.
step cmake --install "$build" --prefix "$dir/first"
mv "$dir/first" "$dir/prefix"
prefix=$dir/prefix
lib=$(dirname "$(find "$prefix" -name 'libfrugal.so' | head -n1)")
for file in bin/frugal include/frugal/frugal.h share/man/man1/frugal.1 \
    share/bash-completion/completions/frugal share/zsh/site-functions/_frugal \
    share/fish/vendor_completions.d/frugal.fish share/doc/frugal/LICENSE \
    share/frugal/recipes/tales.recipe; do
    [ -f "$prefix/$file" ] || fail "$file was not installed"
done
for file in libfrugal.so.0 libfrugal.a pkgconfig/frugal.pc cmake/frugal/frugalConfig.cmake \
    cmake/frugal/frugalConfigVersion.cmake; do
    [ -e "$lib/$file" ] || fail "$file was not installed"
done
if grep -rnF -e "$root/src" -e "$root/include" -e "$build" -e "$dir/first" "$lib/pkgconfig" "$lib/cmake" >"$dir/log"; then
    fail "the package names a folder of this machine"
fi
"$prefix/bin/frugal" --version >"$dir/log" 2>&1 || fail "the installed program does not run"

said=$(cd "$dir" && "$prefix/bin/frugal" run -p 'What is 2 + 2?' --quiet 2>&1) || fail "frugal run failed: $said"
case $said in
[0-9]*.) ;;
*) fail "the installed model says that 2 + 2 is $said" ;;
esac

# The example must not see this checkout, so it is built from a copy.
cp -r "$root/examples/two_layers" "$dir/example"
wanted=$(cat "$dir/example/expected.txt")
say() { # what it prints must be what stands beside it
    said=$(LD_LIBRARY_PATH=$lib "$@" "$dir/example/weights.safetensors" 2>&1) || fail "$1 failed: $said"
    [ "$said" = "$wanted" ] || fail "$1 printed: $said
but should print: $wanted"
}
step cmake -S "$dir/example" -B "$dir/by-cmake" -DCMAKE_PREFIX_PATH="$prefix"
step cmake --build "$dir/by-cmake"
say "$dir/by-cmake/two_layers"
step cmake -S "$dir/example" -B "$dir/by-cmake-static" -DCMAKE_PREFIX_PATH="$prefix" -DTWO_LAYERS_STATIC=ON
step cmake --build "$dir/by-cmake-static"
say "$dir/by-cmake-static/two_layers"

PKG_CONFIG_PATH=$lib/pkgconfig
export PKG_CONFIG_PATH
step make -C "$dir/example"
say "$dir/example/two_layers"

cp -r "$root/examples/clusters" "$dir/clusters"
step make -C "$dir/clusters"
said=$(LD_LIBRARY_PATH=$lib "$dir/clusters/clusters" 3 <"$dir/clusters/points.txt" 2>&1) || fail "examples/clusters failed: $said"
[ "$said" = "$(cat "$dir/clusters/expected.txt")" ] || fail "examples/clusters printed: $said"

# A program for a version that does not exist yet must be told so.
if cmake -S "$dir/example" -B "$dir/newer" -DCMAKE_PREFIX_PATH="$prefix" -DTWO_LAYERS_WANTS=99.0 >"$dir/log" 2>&1; then
    fail "find_package(frugal 99.0) was satisfied"
fi

# Each public header stands on its own, in C and in C++.
for header in "$prefix"/include/frugal/*.h; do
    echo "#include <frugal/$(basename "$header")>" >"$dir/one.c"
    step cc -std=c17 -Wall -Wextra -Werror -pedantic -fsyntax-only -I "$prefix/include" "$dir/one.c"
    if command -v c++ >/dev/null 2>&1; then
        step c++ -x c++ -std=c++17 -Wall -Wextra -Werror -fsyntax-only -I "$prefix/include" "$dir/one.c"
    fi
done
echo "installed, moved, built with CMake (shared, static) and pkg-config, ran"
