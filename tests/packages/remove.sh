# shellcheck shell=bash disable=SC2015,SC2016,SC2034,SC2086,SC2154,SC2317 # rows are called by name, `|| { said=...; }` is an else, $host has no spaces
# Removing, purging and installing again. Sourced by packages.sh.

remove() {
    install_deb && make_ca && open_endpoint || return 1
    mkdir -p $host/etc/etcd-signer && echo '# mine' >$host/etc/etcd-signer/config.toml
    cp "$top/deploy/etcd-signer/sshd/00-etcd-signer-limits.conf" $host/etc/ssh/sshd_config.d/
    start_sshd
    quietly on dpkg -r etcd-signer || { said="dpkg -r fails"; return 1; }
    same_settings && pki_survives || return 1
    on sshd -T -C user=signer,host=h,addr=127.0.0.1,laddr=127.0.0.1,lport=22 | grep -q '^forcecommand none' ||
        { said="the endpoint is still there"; return 1; }
    ! on getent passwd signer && ! on getent group signer || { said="the account is still there"; return 1; }
    [ "$(stat -c '%U %a' $host/etc/etcd/pki/ca.key)" = 'root 400' ] || { said="ca.key belongs to nobody"; return 1; }
    [ -f $host/etc/etcd-signer/config.toml ] || { said="the settings are gone"; return 1; }
    [ ! -e $host/usr/bin/etcd-signer-login ] || { said="the program is there"; return 1; }
    [ "$(reloads)" = 1 ] && listens || { said="sshd was not reloaded, or is gone"; return 1; }
    get_certificate >/mnt/answer
    [ "$?/$(wc -c </mnt/answer)" = 255/0 ] || { said="still answered"; return 1; }
    said="drop-ins and account are gone; settings stay, and the CA, which is root's now"
}

removal_waits_for_a_request() {
    install_deb || return 1
    on setpriv --reuid signer --regid signer --clear-groups sleep 4 &
    sleep 1
    quietly on dpkg -r etcd-signer && ! on getent passwd signer || { said="the account stays"; return 1; }
    wait
    said="a process of the account: it is let finish, and the account goes"
}

removal_of_locked_key() {
    install_deb && make_ca || return 1
    on chattr +i /etc/etcd/pki/ca.key
    quietly on dpkg -r etcd-signer || { said="dpkg -r fails"; return 1; }
    local result=0
    on getent passwd signer >/dev/null && says "stays, with its password locked" && says /etc/etcd/pki/ca.key || result=1
    on chattr -i /etc/etcd/pki/ca.key
    said="a key that can't be given to root: its owner stays, so that nobody gets that number${said:+; $said}"
    return $result
}

removal_of_key_elsewhere() {
    install_deb && make_ca || return 1
    mkdir -p $host/etc/etcd-signer $host/srv/ca && mv $host/etc/etcd/pki/ca.key $host/srv/ca/
    echo 'ca_key = "/srv/ca/ca.key" # elsewhere' >$host/etc/etcd-signer/config.toml
    quietly on dpkg --purge etcd-signer || { said="dpkg fails"; return 1; }
    [ "$(stat -c %U $host/srv/ca/ca.key)" = root ] || { said="it belongs to $(stat -c %U $host/srv/ca/ca.key)"; return 1; }
    said="a key that the settings name: root's, too, when the account goes"
}

purge() {
    install_deb && make_ca && open_endpoint || return 1
    mkdir -p $host/etc/etcd-signer && touch $host/etc/etcd-signer/config.toml
    mkdir -p $host/var/lib/etcd-signer && touch $host/var/lib/etcd-signer/first-boot.done
    quietly on dpkg --purge etcd-signer || { said="dpkg --purge fails"; return 1; }
    [ ! -e $host/var/lib/etcd-signer ] || { said="the first boot's state is left"; return 1; }
    [ ! -e $host/etc/etcd-signer ] || { said="settings are left"; return 1; }
    [ -z "$(find $host/etc/ssh/sshd_config.d -name '*etcd-signer*')" ] || { said="drop-ins are left"; return 1; }
    [ -z "$(find $host/usr $host/var/lib -name '*etcd-signer*' -not -path '*/dpkg/*' -newer /mnt/before 2>/dev/null)" ] ||
        { said="files are left"; return 1; }
    same_settings && pki_survives && says "/etc/etcd/pki is still there" || return 1
    said="settings are gone; /etc/etcd/pki is as it was"
}

reinstall() {
    install_deb && make_ca && open_endpoint || return 1
    quietly on dpkg -r etcd-signer && install_deb || return 1
    grep -q 'Address 127.0.0.0/8' $host$drop_in || { said="the networks are lost"; return 1; }
    says "chown signer: /etc/etcd/pki/ca.key" && same_settings || return 1
    [[ $(on getent shadow signer | cut -d: -f2) == !* ]] || { said="the account is open"; return 1; }
    on chown signer: /etc/etcd/pki/ca.key && on passwd --delete signer >/dev/null
    start_sshd
    get_certificate >/mnt/answer
    cmp -s /mnt/answer $host/etc/etcd/pki/ca.crt || { said="$(cat /mnt/ssh.err)"; return 1; }
    said="the networks are back, the account is locked; opened, it answers as before"
}

row remove "" remove
row removal_waits_for_a_request "" removal_waits_for_a_request
row removal_of_locked_key "" removal_of_locked_key
row removal_of_key_elsewhere "" removal_of_key_elsewhere
row purge "" purge
row reinstall "" reinstall
