#!/bin/sh
# Prints the target that the executables are built for: this machine, with musl as the C library
# (docs/DESIGN.md says why). What is missing for it is installed. Where a toolchain cannot have it,
# as a distribution's, the C library is glibc, and that is said.
set -eu
cd "$(dirname "$0")/.."

installed() { [ -d "$(rustc --print target-libdir --target "$1" 2>/dev/null)" ]; }

host=$(rustc -vV | sed -n 's/^host: //p')
musl=${host%%-*}-unknown-linux-musl
if ! installed "$musl" && command -v rustup >/dev/null 2>&1; then
    echo "missing: the toolchain's target $musl. Adding it with rustup, for the C library." >&2
    timeout 300 rustup target add "$musl" >&2 || :
fi
if ! installed "$musl"; then
    echo "target.sh: this toolchain has no $musl: the C library is glibc, which starts more slowly" >&2
    echo "$host"
    exit
fi
tests/tools/install.sh musl-gcc >&2
echo "$musl"
