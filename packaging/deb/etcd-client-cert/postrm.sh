# postrm remove|purge: with purge the settings, and what is remembered. Never the certificate and
# its key: those in /etc/kubernetes/pki are the kube-apiserver's.
# shellcheck shell=sh
set -eu

if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
fi
if [ "$1" = purge ]; then
    rm -rf /etc/etcd-client-cert /var/lib/etcd-client-cert
fi
