#!/bin/bash
# tests/fuzz/run.sh [TARGET...]: runs the fuzz targets, all of them by default, one after the
# other, each for FUZZ_SECONDS (600). Stops at the first that finds something, with its input in
# tests/fuzz/artifacts. What was found interesting stays in tests/fuzz/corpus, and the next run
# begins there.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${FUZZ_SECONDS:-600}
targets=("$@")
[ $# -gt 0 ] || targets=(command input csr request)

# The seeds are requests in PEM, as their makers wrote them (seeds/README.md). Each target gets
# them in the form that it reads.
seed() {
    local target=$1 into=$2 pem name
    mkdir -p "$into"
    if [ "$target" = command ]; then
        local number=0 command
        for command in get-certificate get-peers kubemaster-1 kubemaster- kubemaster-a-b \
            "kubemaster-$(printf '%052d' 0)" "kubemaster-$(printf '%053d' 0)" \
            '192.0.2.1 50022 192.0.2.2 22' 'fe80::1%eth0 1 fe80::2%eth0 22'; do
            number=$((number + 1))
            printf "%s" "$command" >"$into/seed-$number"
        done
        return
    fi
    for pem in tests/fuzz/seeds/*.pem; do
        name=$into/seed-$(basename "$pem" .pem)
        case $target in
            input) base64 "$pem" >"$name" ;;
            csr) sed -n '/^-----BEGIN/,/^-----END/{//!p}' "$pem" | base64 -di >"$name" ;;
            request) { printf 'kubemaster-1\0'; base64 "$pem"; } >"$name" ;;
        esac
    done
}

tools=$(dirname "$(tests/tools/cargo-tool.sh cargo-fuzz)")
PATH=$tools:$PATH

# Without a sanitizer, this needs no unstable flag, and so no nightly toolchain: the code here is
# free of unsafe. Overflow checks and debug assertions are on; leaks show as growing memory.
options=(--fuzz-dir tests/fuzz --sanitizer none)

# Built in one go, before the clock starts.
cargo fuzz build "${options[@]}"
for target in "${targets[@]}"; do
    seed "$target" "tests/fuzz/corpus/$target"
    echo "== $target, for $seconds s"
    cargo fuzz run "${options[@]}" "$target" -- -max_total_time="$seconds" -max_len=16384 -timeout=10 \
        -rss_limit_mb=1024 -print_final_stats=1 -dict="tests/fuzz/dictionary" -verbosity=1 2>&1 |
        grep -Ev '^#[0-9]+\s+(NEW|REDUCE|RELOAD)|NEW_FUNC|# Uses: |^###### |^WARNING: Failed to find'
done
