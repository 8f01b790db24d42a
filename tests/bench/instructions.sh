#!/bin/bash
# instructions.sh SIGNER: counts the instructions of one P-256 request with callgrind, three times.
# The count does not depend on the machine's load, so a change that costs 5 % is seen. (The CA and
# the request are new in each run of this script, and random numbers in each request: they move the
# count by about 1 %.)
set -euo pipefail
cd "$(dirname "$0")/../.."

signer=$(realpath "$1")
without=$(realpath target/debug/examples/confinement)
bed=$(mktemp -d)
trap 'rm -rf "$bed"' EXIT

"$signer" ca init --directory "$bed/pki" >/dev/null
# valgrind's own system calls would not pass the filter, so it runs on a kernel without one.
printf 'ca_certificate = "%s/pki/ca.crt"\nca_key = "%s/pki/ca.key"\nallow_without_seccomp = true\n' \
    "$bed" "$bed" >"$bed/config.toml"
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$bed/key" \
    -subj /CN=kubemaster-1 2>/dev/null | base64 >"$bed/request"

for _ in 1 2 3; do
    SSH_ORIGINAL_COMMAND=kubemaster-1 "$without" without seccomp "$(command -v valgrind)" \
        --tool=callgrind --callgrind-out-file=/dev/null \
        "$signer" serve --config "$bed/config.toml" <"$bed/request" >"$bed/certificate" 2>"$bed/log" ||
        { cat "$bed/log" >&2; exit 1; }
    openssl x509 -in "$bed/certificate" -noout || { cat "$bed/log" >&2; exit 1; }
    sed -n 's/.*Collected : \([0-9]*\)/\1 instructions, without the seccomp filter/p' "$bed/log"
done
