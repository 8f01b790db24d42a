#!/bin/bash
# first-boot.sh: makes a fresh host the first member of an etcd cluster and its signer, or a
# further member. As root, once:
#
#   first-boot.sh init [--networks 10.0.0.0/24,...]
#   first-boot.sh join --signer-ip=LEADER [--ca-fingerprint=SHA256]
#
# etcd-signer-setup does it (see its --help for all options). After success, this script and its
# folder are gone.
set -euo pipefail
PATH=/usr/sbin:/usr/bin:/sbin:/bin
DONE=/var/lib/etcd-signer/first-boot.done

case ${1-} in
    init | join) ;;
    *)
        sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "$0"
        case ${1-} in -h | --help) exit 0 ;; *) exit 64 ;; esac
        ;;
esac
etcd-signer-setup "$@"
# A dry run, and the first of the two steps of --csr-out, set up nothing.
[ -e $DONE ] || exit 0
self=$(readlink -f "$0")
for script in "$self" /root/setup/first-boot.sh; do
    case $script in /usr/share/*) ;; */first-boot.sh) rm -f "$script" ;; esac
done
rmdir --ignore-fail-on-non-empty /root/setup 2>/dev/null || :
