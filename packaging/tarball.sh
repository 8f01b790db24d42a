#!/bin/sh
# tarball.sh DEB EPOCH: the tarball for distributions without dpkg, in target/debian beside the
# package, with the package's own files in it.
set -eu
cd "$(dirname "$0")/.."
umask 022
deb=$1 epoch=$2
name=$(basename "$deb" .deb | sed 's/-[0-9]*_amd64$/-x86_64/; s/-[0-9]*_arm64$/-aarch64/; s/_/-/')
version=$(sed -n 's/^version = "\(.*\)"/\1/p; /^\[dependencies/q' Cargo.toml)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
to=$work/$name

mkdir -p "$to/root"
data=$(ar t "$deb" | grep '^data\.tar')
ar p "$deb" "$data" | tar --extract --xz --preserve-permissions --no-same-owner --directory "$to/root"
# For Debian alone.
rm -r "$to/root/usr/share/lintian" "$to/root/usr/share/doc/etcd-signer/changelog.Debian.gz"
cp -r target/packaging/scripts "$to/"
install -m 0755 packaging/install.sh "$to/"
cp LICENSE README.md "$to/"
echo "$version" >"$to/version"
tar --create --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner --format=gnu \
    --directory "$work" "$name" | gzip -9n >"target/debian/$name.tar.gz"
echo "$PWD/target/debian/$name.tar.gz"
