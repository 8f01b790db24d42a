# shellcheck shell=bash disable=SC2015,SC2016,SC2034,SC2086,SC2154,SC2317 # rows are called by name, `|| { said=...; }` is an else, $host has no spaces
# The settings: there from the first day, and never asked about. Sourced by packages.sh.

settings_are_there() {
    install_deb || return 1
    [ "$(stat -c '%U %a' $host/etc/etcd-signer $host$config | paste -sd' ')" = 'root 755 root 644' ] || { said="not there, or not root's"; return 1; }
    ! grep -v '^#\|^$' $host$config || { said="it sets something"; return 1; }
    grep -q '^#validity = "24h"' $host$config || { said="not commented"; return 1; }
    on etcd-signer check >/mnt/out 2>&1
    grep -q "^ok  *settings  *$config" /mnt/out || { said="check: $(grep settings /mnt/out)"; return 1; }
    said="$config, every key with its default, commented out"
}

settings_are_kept() {
    install_deb || return 1
    echo 'validity = "12h"' >>$host$config
    cp $host$config /mnt/mine
    package newer && cmp -s /mnt/mine $host$config || { said="the settings are not kept: $said"; return 1; }
    rm $host$config
    package etcd-signer && [ ! -e $host$config ] || { said="removed settings come back: $said"; return 1; }
    mkdir -p $host/etc/etcd-signer && cp /mnt/mine $host$config
    quietly on dpkg -r etcd-signer && package newer && cmp -s /mnt/mine $host$config || { said="lost by removal: $said"; return 1; }
    said="changed, they stay; removed, they stay away; removal of the package and a new installation keep them"
}

settings_of_old() {
    package old && [ ! -e $host$config ] || { said="the old package has them"; return 1; }
    package etcd-signer && [ -e $host$config ] || { said="an upgrade does not bring them: $said"; return 1; }
    drop_host
    make_host
    package old && mkdir -p $host/etc/etcd-signer && echo 'validity = "12h"' >$host$config || return 1
    package etcd-signer && package newer && [ "$(cat $host$config)" = 'validity = "12h"' ] || { said="the operator's are replaced: $said"; return 1; }
    said="from 0.1.0, which has none: they are there after the upgrade, unless the operator has some"
}

# What dpkg remembers of the file that was a conffile once goes with a purge.
purge_after_upgrade() {
    package old && make_ca && open_at 127.0.0.0/8 && package etcd-signer && package newer || return 1
    start_sshd
    quietly on dpkg --purge etcd-signer || { said="dpkg --purge fails"; return 1; }
    [ -z "$(find $host/etc/ssh/sshd_config.d -name '*etcd-signer*')" ] && [ ! -e $host/var/lib/etcd-signer ] &&
        [ ! -e $host/etc/etcd-signer ] || { said="something is left: $(find $host/etc/ssh/sshd_config.d $host/var/lib/etcd-signer 2>/dev/null | paste -sd' ')"; return 1; }
    ! on dpkg-query -W -f '${Conffiles}' etcd-signer 2>/dev/null | grep -q . || { said="dpkg remembers it"; return 1; }
    same_settings && pki_survives && package etcd-signer && networks_are $drop_in 192.0.2.0/24,2001:db8::/32 || return 1
    said="nothing is left; installed again, it is closed"
}

row settings_are_there "" settings_are_there
row settings_are_kept "" settings_are_kept
row settings_of_old "" settings_of_old
row purge_after_upgrade "" purge_after_upgrade
