# prerm remove: nothing is renewed any more.
# shellcheck shell=sh
set -eu

if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    systemctl disable --now etcd-client-cert.timer || :
fi
