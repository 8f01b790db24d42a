# shellcheck shell=bash disable=SC2015,SC2016,SC2034,SC2086,SC2154,SC2317 # rows are called by name, `|| { said=...; }` is an else, $host has no spaces
# Upgrading, with edits of the operator and with locked files. Sourced by packages.sh.

upgrade_keeps_edits() {
    install_deb && make_ca && open_endpoint || return 1
    start_sshd
    upgrade || { said="dpkg fails"; return 1; }
    grep -q 'Address 127.0.0.0/8' $host$drop_in && pki_survives || { said="edits are lost"; return 1; }
    [ "$(reloads)" = 1 ] || { said="not reloaded"; return 1; }
    get_certificate >/mnt/answer
    cmp -s /mnt/answer $host/etc/etcd/pki/ca.crt || { said="$(cat /mnt/ssh.err)"; return 1; }
    said="the networks and the empty password stay; the endpoint goes on"
    same_settings
}

upgrade_with_bad_network() {
    install_deb || return 1
    start_sshd
    sed -i 's|192\.0\.2\.0/24,2001:db8::/32|10.0.0.1/8|' $host$drop_in
    ! on sshd -t 2>/dev/null || { said="sshd takes it"; return 1; }
    upgrade && says "$drop_in.disabled now" && same_settings || return 1
    [ "$(reloads)" = 0 ] || { said="reloaded"; return 1; }
    said="a network with bits behind the mask, with which sshd would not start again: put away, and told why"
}

locked_upgrade() {
    install_deb && open_endpoint && make_ca || return 1
    local what
    for what in all program drop-in; do
        case $what in
            all) quietly on etcd-signer-lock lock && quietly on etcd-signer-lock status || { said="lock fails"; return 1; } ;;
            program) on chattr +i /usr/bin/etcd-signer ;;
            drop-in) on chattr +i $drop_in ;;
        esac
        snapshot >/mnt/snapshot.1
        ! upgrade || { said="locked ($what), and upgraded"; return 1; }
        says "etcd-signer-lock unlock" && says "chattr -i" && says "nothing was changed" && unchanged || return 1
        ! quietly on dpkg -r etcd-signer || { said="locked ($what), and removed"; return 1; }
        says "etcd-signer-lock unlock" && unchanged || return 1
        ! quietly on dpkg --purge etcd-signer || { said="locked ($what), and purged"; return 1; }
        unchanged && same_settings && pki_survives || return 1
        quietly on etcd-signer-lock unlock && ! quietly on etcd-signer-lock status || { said="unlock fails"; return 1; }
    done
    upgrade && [ "$(on dpkg-query -W -f '${Version}' etcd-signer)" = 9.9.9-1 ] || { said="unlocked, and not upgraded"; return 1; }
    said="upgrade, removal and purge refused, nothing changed, told how; unlocked, it goes"
}

row upgrade_keeps_edits "" upgrade_keeps_edits
row upgrade_with_bad_network "" upgrade_with_bad_network
row locked_upgrade "" locked_upgrade
