# shellcheck shell=bash
# Sourced: a CA, requests for it, and callgrind to answer them under.

without=$(realpath target/debug/examples/confinement)
bed=$(mktemp -d)
trap 'rm -rf "$bed"' EXIT

# make_bed SIGNER: makes the CA, the settings and the requests (`p256`, `rsa`), in $bed.
make_bed() {
    "$1" ca init --directory "$bed/pki" >/dev/null
    # valgrind's own system calls would not pass the filter, so it runs on a kernel without one.
    printf 'ca_certificate = "%s/pki/ca.crt"\nca_key = "%s/pki/ca.key"\nallow_without_seccomp = true\n' \
        "$bed" "$bed" >"$bed/config.toml"
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$bed/p256.key" \
        -subj /CN=kubemaster-1 2>/dev/null | base64 >"$bed/p256"
    openssl req -new -newkey rsa:2048 -nodes -keyout "$bed/rsa.key" \
        -subj /CN=kubemaster-1 2>/dev/null | base64 >"$bed/rsa"
}

# under_callgrind SIGNER COMMAND OUT [OPTION ...]: answers a request, whose input is standard
# input. The profile goes to OUT, what callgrind says to $bed/log.
under_callgrind() {
    local signer=$1 command=$2 out=$3
    shift 3
    SSH_ORIGINAL_COMMAND=$command "$without" without seccomp "$(command -v valgrind)" \
        --tool=callgrind --callgrind-out-file="$out" "$@" \
        "$signer" serve --config "$bed/config.toml" 2>"$bed/log"
}
