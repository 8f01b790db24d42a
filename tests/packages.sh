#!/bin/bash
# What the packages do to a host: one row for each thing that must hold. As root:
#
#   tests/packages.sh DEB TARBALL [ROW]
#
# Each row has a host of its own: this machine's file system under an overlay, in namespaces of
# its own, with an sshd that lets people in by password. Nothing on the machine changes. ROW
# (a regular expression) runs only some.
# shellcheck source-path=SCRIPTDIR disable=SC2034,SC2154,SC2086 # what the sourced files use and set
set -u
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive
host=/mnt/host
top=$(cd "$(dirname "$0")/.." && pwd)

fatal() { echo "packages: $*" >&2; exit 2; }

[ $# -ge 2 ] || fatal "usage: packages.sh DEB TARBALL [ROW]"
if [ "$(id -u)" != 0 ]; then
    echo "LEFT OUT: what the packages do to a host: it needs root, for namespaces and overlays"
    exit 0
fi
if [ -z "${IN_BED:-}" ]; then
    IN_BED=1 exec unshare --mount --net --pid --fork --kill-child --mount-proc \
        --propagation private -- bash "$0" "$(realpath "$1")" "$(realpath "$2")" "${3:-}"
fi
trap 'exit 130' INT TERM HUP
deb=$1 tarball=$2 only=${3:-}

# shellcheck source=tools/rows.sh
. "$top/tests/tools/rows.sh"
# shellcheck source=packages/host.sh
. "$top/tests/packages/host.sh"
# shellcheck source=packages/versions.sh
. "$top/tests/packages/versions.sh"
before_row() { make_host; }
after_row() { drop_host; }
show_failure() { sed 's/^/        /' /mnt/out 2>/dev/null; }

mount -t tmpfs -o mode=0755 tmpfs /mnt || fatal "no tmpfs"
cd / || exit 2
ip link set lo up 2>/dev/null
mkdir -p /mnt/packages/tarball
cp "$deb" /mnt/packages/etcd-signer.deb
cp "$(dirname "$deb")"/etcd-client-cert_*.deb /mnt/packages/client.deb || fatal "no masters' package beside it"
tar --extract --file "$tarball" --directory /mnt/packages/tarball || fatal "no tarball"
make_versions

# shellcheck source=packages/contents.sh
. "$top/tests/packages/contents.sh"
# shellcheck source=packages/install.sh
. "$top/tests/packages/install.sh"
# shellcheck source=packages/upgrade.sh
. "$top/tests/packages/upgrade.sh"
# shellcheck source=packages/settings.sh
. "$top/tests/packages/settings.sh"
# shellcheck source=packages/remove.sh
. "$top/tests/packages/remove.sh"
# shellcheck source=packages/tarball.sh
. "$top/tests/packages/tarball.sh"
# shellcheck source=packages/client.sh
. "$top/tests/packages/client.sh"
end_of_rows
