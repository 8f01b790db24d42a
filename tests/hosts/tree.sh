#!/bin/bash
# tree.sh RELEASE FOLDER: prints the path of a tar in FOLDER with the file system of a host of that
# Debian release (bookworm, trixie), and makes it first if it is not there. Root.
set -euo pipefail
release=$1 folder=$2

# The hosts' packages, and what tests/suite/sshd/load.sh needs besides (python3-minimal).
PACKAGES=systemd,systemd-sysv,dbus,udev,kmod,iproute2,netbase,procps,passwd,adduser,e2fsprogs,less,ca-certificates,openssl,openssh-server,openssh-client,etcd-server,etcd-client,libpam-systemd,sudo,jq,tar,gzip,faketime,age,python3-minimal

# Its name says what is in it.
key=$(sha256sum <<<"$PACKAGES" | cut -c1-12)
tar=$folder/tree-$release-$key.tar
if [ ! -s "$tar" ]; then
    echo "making a host's file system from packages of Debian $release (once, a minute or two)" >&2
    mkdir -p "$folder"
    sources=/etc/apt/sources.list.d/debian.sources
    [ -e $sources ] || sources=/etc/apt/sources.list
    # This machine's own mirror, for the release that is asked for.
    sed -E "s/\b(bookworm|trixie|$(. /etc/os-release; echo "${VERSION_CODENAME:-bookworm}"))\b/$release/g" \
        "$sources" >"$folder/apt-$release.${sources##*.}"
    sources=$folder/apt-$release.${sources##*.}
    mmdebstrap --quiet --mode=root --variant=minbase --include="$PACKAGES" \
        --aptopt='Acquire::Languages "none"' --dpkgopt='path-exclude=/usr/share/locale/*' \
        "$release" "$tar.part.tar" "$sources" >&2
    mv "$tar.part.tar" "$tar"
fi
echo "$tar"
