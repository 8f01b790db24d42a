#!/bin/bash
# Builds the executable twice: here, and in another folder with another cargo home, umask, locale
# and time zone. The bytes must be the same, and the list of dependencies that they carry must be
# Cargo.lock's.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
info=$(tests/tools/cargo-tool.sh rust-audit-info)
tests/tools/cargo-tool.sh cargo-auditable >/dev/null

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "reproducible: $*" >&2
    exit 1
}

home=${CARGO_HOME:-$HOME/.cargo}
# What was downloaded need not be again.
mkdir "$work/home"
ln -s "$home/registry" "$work/home/registry"

# What git would commit, elsewhere.
copy=$work/quite/another/folder
mkdir -p "$copy/target"
ln -s "$root/target/tools" "$copy/target/tools"
git ls-files -z --cached --others --exclude-standard |
    tar --create --null --files-from=- | tar --extract --directory="$copy"

unset CARGO_TARGET_DIR
echo "the build here"
make --silent build
echo "the build in another folder"
(
    umask 077
    export CARGO_HOME=$work/home LC_ALL=C TZ=Asia/Kolkata
    make --silent -C "$copy" build
)
one=target/static/etcd-signer
two=$copy/target/static/etcd-signer

sha256sum "$one" "$two"
cmp "$one" "$two" || fail "the two differ"
for path in "$root" "$home"; do
    if grep -qaF "$path/" "$one"; then fail "the executable names $path"; fi
done
echo "the same $(stat -c %s "$one") bytes, without a path of this machine"

# name and version, as embedded; every one of them must be in the lock file.
"$info" "$one" | jq -r '.packages[] | select(.kind != "build") | "\(.name) \(.version)"' |
    sort -u >"$work/embedded"
sed -n '/^name = /{s/name = "\(.*\)"/\1/;N;s/\nversion = "\(.*\)"/ \1/;p}' Cargo.lock |
    sort -u >"$work/locked"
unknown=$(comm -23 "$work/embedded" "$work/locked")
[ -z "$unknown" ] || fail "embedded, but not in Cargo.lock: $unknown"
for name in etcd-signer ring rcgen x509-parser; do
    grep -q "^$name " "$work/embedded" || fail "$name is not in the embedded list"
done
echo "it carries the list of its $(wc -l <"$work/embedded") crates, all as in Cargo.lock"

echo "the packages, twice"
make --silent tarball
mkdir "$work/one"
cp target/debian/*.deb target/debian/*.tar.gz "$work/one/"
(
    umask 077
    LC_ALL=C TZ=Asia/Kolkata make --silent tarball
)
for package in "$work"/one/*; do
    cmp "$package" "target/debian/$(basename "$package")" || fail "$(basename "$package"): the two differ"
done
(cd target/debian && sha256sum -- *)
