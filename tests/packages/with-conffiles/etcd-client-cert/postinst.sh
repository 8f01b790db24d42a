# postinst configure: the timer stays as it was. A new one is the operator's to start, once the
# settings name the signers.
# shellcheck shell=sh
set -eu

if [ "$1" = configure ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl try-restart etcd-client-cert.timer
fi
if [ "$1" = configure ] && [ -z "${2-}" ]; then
    echo "etcd-client-cert: name the signers in /etc/etcd-client-cert/config.toml, and then:" >&2
    echo "    systemctl enable --now etcd-client-cert.timer" >&2
fi
