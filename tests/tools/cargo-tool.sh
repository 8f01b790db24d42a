#!/bin/sh
# Prints the path of one of the tools that are cargo packages, having installed it, once, under
# target/tools. Versions are pinned here and nowhere else; nothing is installed globally.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)

case ${1-} in
    cargo-deny) version=0.20.2 ;;
    cargo-fuzz) version=0.13.2 ;;
    cargo-auditable) version=0.7.7 ;;
    rust-audit-info) version=0.5.4 ;;
    cargo-deb) version=3.8.0 ;;
    *) echo "usage: $0 cargo-deny|cargo-fuzz|cargo-auditable|rust-audit-info|cargo-deb" >&2; exit 64 ;;
esac

tools=$root/target/tools
if [ ! -x "$tools/bin/$1" ] || ! grep -q "^\"$1 $version " "$tools/.crates.toml"; then
    # Built without link-time optimization: these run for seconds, and build for minutes.
    CARGO_TARGET_DIR=$tools/build CARGO_PROFILE_RELEASE_LTO=off \
        CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
        RUSTFLAGS='' cargo install --locked --quiet --root "$tools" "$1@$version" >&2
    rm -rf "$tools/build"
fi
printf '%s\n' "$tools/bin/$1"
