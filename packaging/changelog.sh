#!/bin/bash
# changelog.sh PACKAGE: the Debian changelog of one of the packages, on standard output, from the
# releases in docs/CHANGELOG.md. The version of Cargo.toml must be the newest of them.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C
package=$1

field() { sed -n "s/^$1 = \"\(.*\)\"/\1/p" Cargo.toml | head -n 1; }
version=$(field version)
maintainer=$(field maintainer)
newest=$(sed -n 's/^## \[\([0-9][^]]*\)\] - .*/\1/p' docs/CHANGELOG.md | head -n 1)
if [ "$newest" != "$version" ]; then
    echo "changelog.sh: Cargo.toml has version $version, and the newest release in docs/CHANGELOG.md" \
        "is ${newest:-missing}: add \"## [$version] - DATE\" there" >&2
    exit 1
fi

# One line each: "release VERSION DATE" or "item TEXT", under its heading.
items() {
    awk '
        function flush() { if (item != "") print "item " kind ": " item; item = "" }
        /^## / { flush(); inside = 0 }
        /^## \[[0-9]/ { inside = 1; gsub(/[][]/, ""); print "release " $2 " " $4; next }
        !inside { next }
        /^### / { flush(); kind = $2; next }
        /^- / { flush(); item = substr($0, 3); next }
        /^  [^ ]/ && item != "" { item = item " " substr($0, 3); next }
        { flush() }
        END { flush() }' docs/CHANGELOG.md
}

trailer=''
while read -r what rest; do
    if [ "$what" = release ]; then
        [ -z "$trailer" ] || printf '\n%s\n\n' "$trailer"
        printf '%s (%s-1) unstable; urgency=medium\n\n' "$package" "${rest% *}"
        trailer=" -- $maintainer  $(date --utc --rfc-email --date "${rest#* }")"
    else
        fold -s -w 74 <<<"$rest" | sed 's/ *$//; 1s/^/  * /; 1!s/^/    /'
    fi
done < <(items)
printf '\n%s\n' "$trailer"
