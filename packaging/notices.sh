#!/bin/bash
# What the executable that was built last links statically: crates, Rust's standard library and the
# C library, each with its licence, and the text of every licence file that they bring: their
# authors ask for that wherever the program goes. On standard output, sorted, each text once.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

target=$(readlink target/static | cut -d/ -f1)
# name version|licence, of what is linked: neither build scripts nor macros.
cargo tree --locked --edges normal,no-proc-macro --target "$target" --prefix none --format '{p}|{l}' |
    sed 's| ([^)]*)||g; s| v\([0-9]\)| \1|' | grep -v '^etcd-signer ' | sort -u >"$work/crates"
[ "$(wc -l <"$work/crates")" -gt 20 ] || { echo "notices.sh: cargo tree names hardly any crate" >&2; exit 1; }
cargo metadata --locked --format-version 1 --filter-platform "$target" |
    jq -r '.packages[] | "\(.name) \(.version)|\(.manifest_path | rtrimstr("/Cargo.toml"))"' |
    sort >"$work/folders"

echo "etcd-signer links these statically:"
echo
while IFS='|' read -r crate licence; do
    echo "  $crate: $licence"
    folder=$(sed -n "s/^$crate|//p" "$work/folders")
    find "$folder" -maxdepth 1 -type f \( -iname 'licen[sc]e*' -o -iname 'copying*' -o -iname 'notice*' \
        -o -iname 'copyright*' \) | sort | while read -r file; do
        sum=$(sha256sum "$file" | cut -d' ' -f1)
        [ -e "$work/text-$sum" ] || cp "$file" "$work/text-$sum"
        echo "$crate ($(basename "$file"))" >>"$work/used-$sum"
    done
done <"$work/crates"
echo "  Rust's standard library: MIT OR Apache-2.0"
case $target in
    *-musl)
        echo "  musl, the C library: MIT"
        cp packaging/musl-licence "$work/text-musl"
        echo "musl (COPYRIGHT)" >"$work/used-musl"
        ;;
    *)
        echo "  The GNU C Library: LGPL-2.1-or-later. Its source is the distribution's that this was"
        echo "  built on; to link another, build this program anew from its source."
        ;;
esac

# In the order of the first crate that uses each.
for used in "$work"/used-*; do
    printf '%s|%s\n' "$(head -n 1 "$used")" "${used##*used-}"
done | sort | while IFS='|' read -r _ sum; do
    printf '\n%s\n' "------------------------------------------------------------------------------"
    paste -sd, "$work/used-$sum" | sed 's/,/, /g' | fold -s -w 78
    echo
    sed 's/\r$//' "$work/text-$sum"
done
