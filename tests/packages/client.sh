# shellcheck shell=bash disable=SC2015,SC2016,SC2034,SC2086,SC2154,SC2317 # rows are called by name, `|| { said=...; }` is an else, $host has no spaces
# The masters' package. Sourced by packages.sh.

client_contents() {
    dpkg-deb -c /mnt/packages/client.deb | awk '{ print $1, $2, $6 }' >/mnt/out
    local line
    for line in '-rwxr-xr-x 0/0 ./usr/bin/etcd-client-cert' \
        '-rw-r--r-- 0/0 ./usr/share/etcd-client-cert/config.toml' \
        '-rw-r--r-- 0/0 ./usr/share/doc/etcd-client-cert/examples/config.toml' \
        '-rw-r--r-- 0/0 ./usr/lib/systemd/system/etcd-client-cert.service' \
        '-rw-r--r-- 0/0 ./usr/lib/systemd/system/etcd-client-cert.timer' \
        '-rw-r--r-- 0/0 ./usr/share/man/man8/etcd-client-cert.8.gz' \
        '-rw-r--r-- 0/0 ./usr/share/man/man5/etcd-client-cert.toml.5.gz' \
        '-rw-r--r-- 0/0 ./usr/share/doc/etcd-client-cert/THIRD-PARTY.gz' \
        '-rw-r--r-- 0/0 ./usr/share/doc/etcd-client-cert/MASTERS.md'; do
        grep -qxF -- "$line" /mnt/out || { said="missing: $line"; return 1; }
    done
    ! grep ' \./etc/' /mnt/out || { said="a conffile"; return 1; }
    ! grep -E 'usr/bin/etcd-signer|sshd_config|sysusers' /mnt/out >/mnt/err || { said="it carries the signer"; return 1; }
    lintian --tag-display-limit 0 /mnt/packages/client.deb >/mnt/out 2>&1
    ! grep '^[EW]:' /mnt/out || { said="lintian finds something"; return 1; }
    said="program, timer, settings, page; nothing of the signer's; lintian finds nothing"
}

client_package() {
    start_sshd
    make_systemd none 3
    quietly on dpkg -i /tmp/packages/client.deb && says "systemctl enable --now etcd-client-cert.timer" || return 1
    ! grep -qE '^(enable|start|reload)' $host/run/systemctl.log || { said="it starts something"; return 1; }
    on etcd-client-cert --version >/dev/null || { said="it does not run"; return 1; }
    ! on etcd-client-cert status >/mnt/out 2>&1 || { said="a status without a certificate"; return 1; }
    ! grep -qi 'config.toml' /mnt/out || { said="it does not take its own settings: $(head -n 1 /mnt/out)"; return 1; }
    mkdir -p $host/etc/kubernetes/pki $host/var/lib/etcd-client-cert
    echo mine >$host/etc/kubernetes/pki/apiserver-etcd-client.key
    echo '# mine' >>$host/etc/etcd-client-cert/config.toml
    quietly on dpkg -r etcd-client-cert && grep -q '^disable --now etcd-client-cert.timer' $host/run/systemctl.log ||
        { said="the timer is not stopped"; return 1; }
    grep -q '# mine' $host/etc/etcd-client-cert/config.toml || { said="the settings are gone"; return 1; }
    quietly on dpkg --purge etcd-client-cert || { said="purge fails"; return 1; }
    [ ! -e $host/etc/etcd-client-cert ] && [ ! -e $host/var/lib/etcd-client-cert ] || { said="something is left"; return 1; }
    grep -qx mine $host/etc/kubernetes/pki/apiserver-etcd-client.key || { said="the key is gone"; return 1; }
    same_settings && [ "$(reloads)" = 0 ] || { said="sshd: $said"; return 1; }
    said="nothing starts by itself; removed, the timer is stopped; purged, the kube-apiserver's files stay"
}

client_config=/etc/etcd-client-cert/config.toml

client_settings() {
    quietly on dpkg -i /tmp/packages/client.deb || return 1
    cmp -s "$top/deploy/etcd-client-cert/config.toml" $host$client_config || { said="not there, or not the shipped ones"; return 1; }
    [ "$(stat -c '%U %a' $host/etc/etcd-client-cert $host$client_config | paste -sd' ')" = 'root 755 root 644' ] || { said="not root's"; return 1; }
    sed -i 's/^signers = .*/signers = ["signer@10.0.0.1"]/' $host$client_config
    cp $host$client_config /mnt/mine
    package client-newer && package client && cmp -s /mnt/mine $host$client_config || { said="not kept: $said"; return 1; }
    rm $host$client_config
    package client-newer && [ ! -e $host$client_config ] || { said="removed settings come back: $said"; return 1; }
    said="changed, they stay through upgrade and downgrade; removed, they stay away"
}

client_upgrade() {
    local version edit
    for edit in 's/^signers = .*/signers = ["signer@10.0.0.1"]/' ''; do
        package client-old || return 1
        sed -i "$edit" $host$client_config
        cp $host$client_config /mnt/mine
        for version in client client-newer client-old client client-newer; do
            package $version && cmp -s /mnt/mine $host$client_config || { said="$version: not kept: $said"; return 1; }
        done
        quietly on dpkg --purge etcd-client-cert && [ ! -e $host/etc/etcd-client-cert ] || { said="purge leaves something"; return 1; }
        ! on dpkg-query -W -f '${Conffiles}' etcd-client-cert 2>/dev/null | grep -q . || { said="dpkg remembers it"; return 1; }
    done
    said="a master's settings, changed and not: from 0.1.0, on, back and on again, without a question; purged"
}

row client_contents "" client_contents
row client_package "" client_package
row client_settings "" client_settings
row client_upgrade "" client_upgrade
