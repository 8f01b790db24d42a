#!/bin/sh
# Licences, bans, duplicates and sources of all dependencies, by deny.toml; and the advisory
# database, where it can be fetched.
set -eu

cd "$(dirname "$0")/.."
deny=$(tests/tools/cargo-tool.sh cargo-deny)

"$deny" --locked check licenses bans sources

# The fuzz targets' own lock file: the same sources, and nothing of theirs is shipped.
"$deny" --locked --manifest-path tests/fuzz/Cargo.toml --config deny.toml check sources

if why=$("$deny" --locked fetch db 2>&1); then
    "$deny" --locked check --disable-fetch advisories
else
    echo "ADVISORIES NOT CHECKED: the advisory database cannot be fetched from here:" >&2
    printf '%s\n' "$why" | sed 's/^/    /' >&2
fi
