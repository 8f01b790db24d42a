#!/bin/bash
# instructions.sh SIGNER: counts the instructions of one P-256 request with callgrind, three times.
# The count does not depend on the machine's load, so a change that costs 5 % is seen. (The CA and
# the request are new in each run of this script, and random numbers in each request: they move the
# count by about 1 %.)
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/bench/callgrind.sh

signer=$(realpath "$1")
make_bed "$signer"
for _ in 1 2 3; do
    under_callgrind "$signer" kubemaster-1 /dev/null <"$bed/p256" >"$bed/certificate"
    openssl x509 -in "$bed/certificate" -noout || { cat "$bed/log" >&2; exit 1; }
    sed -n 's/.*Collected : \([0-9]*\)/\1 instructions, without the seccomp filter/p' "$bed/log"
done
