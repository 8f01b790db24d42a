# postinst configure: the timer stays as it was. A new one is the operator's to start, once the
# settings name the signers. These are the operator's from the first day, and no conffile: no
# upgrade touches them, asks about them, or brings them back.
# shellcheck shell=sh
set -eu

if [ "$1" = configure ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl try-restart etcd-client-cert.timer
fi
config=/etc/etcd-client-cert/config.toml
if [ "$1" = configure ] && [ -z "${2-}" ]; then
    if [ ! -e $config ]; then
        [ -d /etc/etcd-client-cert ] || mkdir -m 0755 /etc/etcd-client-cert
        install -m 0644 /usr/share/etcd-client-cert/config.toml $config
    fi
    echo "etcd-client-cert: name the signers in $config, and then:" >&2
    echo "    systemctl enable --now etcd-client-cert.timer" >&2
fi
