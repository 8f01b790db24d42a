# prerm remove: closes the endpoint while its files are still there.
# shellcheck shell=sh source-path=SCRIPTDIR source=common.sh
[ -n "${drop_ins-}" ] || . "$(dirname "$0")/common.sh"

[ "$1" = remove ] || exit 0

refuse_if_locked
disable_drop_ins
with_sshd reload_sshd
# Not one that the operator changed.
if cmp -s /usr/share/etcd-signer/first-boot.sh /root/setup/first-boot.sh; then
    rm -f /root/setup/first-boot.sh
    rmdir /root/setup 2>/dev/null || :
fi
