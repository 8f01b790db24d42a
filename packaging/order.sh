#!/bin/bash
# order.sh SIGNER MAP: which functions a request runs, as a linker script that puts them first in
# the executable, one beside the other: fewer pages to map for each request. SIGNER is a build with
# its symbols, MAP the map that lld wrote of it, names as they are (--no-demangle).
#
# The linker takes what matches and leaves the rest where it is: with another compiler, some names
# are others, and a request touches more pages. Nothing else changes.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/bench/callgrind.sh

signer=$(realpath "$1") map=$2
make_bed "$signer"
profile() {
    under_callgrind "$signer" "$1" "$bed/profile" --demangle=no >/dev/null || [ -s "$bed/profile" ]
    sed -nE "s/^c?fn=\([0-9]+\) ([^' ]+).*/\1/p" "$bed/profile" >>"$bed/functions"
}
profile kubemaster-1 <"$bed/p256"
profile kubemaster-1 <"$bed/rsa"
profile get-certificate </dev/null
profile id </dev/null
# musl's, in assembly, do not say where they end, and so are in no profile.
printf '%s\n' memcpy memmove memset >>"$bed/functions"

# The sections that these functions are in, as patterns without what another build would call
# otherwise: hashes, and paths.
mapfile -t sections < <(awk '
    FNR == NR { run[$1]; next }
    /^ *[0-9a-f]+ +[0-9a-f]+ +[0-9a-f]+ +[0-9]+ / {
        if ($5 ~ /:\(\./) { section = $5; next }
        if (section ~ /:\(\.text/ && ($5 in run) && !(section in seen)) { seen[section]; print section }
    }' "$bed/functions" "$map" |
    sed -E '
        s/^.*\.rcgu\.o\)?:\(([^)]*)\)$/*(\1)/
        s/^.*:\((\.text[^)]*_R[^)]*)\)$/*(\1)/
        s/^.*[/(]([^/(]+\.l?o)\)?:\(([^)]*)\)$/*\1(\2)/
        /_R/ { s/Cs[0-9A-Za-z]+_/Cs*_/g; s/B[0-9A-Za-z]*_/B*_/g }
        s/\.[0-9]+\)$/*)/
        s/^\*[0-9a-f]{16}-/*/' | LC_ALL=C sort -u)
[ "${#sections[@]}" -gt 100 ] || { echo "order.sh: the map names no sections: was it lld's?" >&2; exit 1; }
echo '/* What a request runs, together. Made by make order: see packaging/order.sh. */'
echo 'SECTIONS {'
echo '  .text.request : {'
printf '    %s\n' "${sections[@]}"
echo '  }'
echo '} INSERT BEFORE .text;'
