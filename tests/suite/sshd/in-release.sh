#!/bin/bash
# in-release.sh RELEASE SCRIPT [ARGUMENT]...: runs a script of this folder in the file system of a
# Debian release (bookworm, trixie), with the sshd, ssh, PAM and openssl of that release. As root:
#
#   SIGNER=target/static/etcd-signer in-release.sh trixie load.sh masters stalled
#
# The file system is unpacked in memory (some 300 MB), in a mount namespace that ends with the script.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../../.." && pwd)
export PATH=$PATH:/usr/sbin:/sbin

fatal() { echo "in-release.sh: $*" >&2; exit 2; }

if [ -z "${IN_RELEASE:-}" ]; then
    [ "$(id -u)" = 0 ] || fatal "root is needed: for namespaces"
    [ -n "${SIGNER:-}" ] || fatal "SIGNER must name the etcd-signer executable"
    tree=$("$top/tests/hosts/tree.sh" "$1" "$top/target/hosts")
    IN_RELEASE=$tree exec unshare --mount --propagation private -- bash "$0" "$@"
fi

release=$1 script=$2 root=/mnt
shift 2
mount -t tmpfs -o mode=755 tmpfs "$root"
tar -xpf "$IN_RELEASE" -C "$root" --xattrs --xattrs-include='*' --numeric-owner
# The scripts' bed covers /mnt, /home, /root, /run and /tmp.
mkdir "$root/srv/source"
install -m 755 "$SIGNER" "$root/srv/etcd-signer"
mount --bind -o ro "$top" "$root/srv/source"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
unset IN_RELEASE TMPDIR
export SIGNER=/srv/etcd-signer
echo "in the file system of Debian $release"
exec chroot "$root" bash "/srv/source/${here#"$top"/}/$script" "$@"
