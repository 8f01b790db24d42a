# shellcheck shell=bash disable=SC2015,SC2016,SC2034,SC2086,SC2154,SC2317 # rows are called by name, `|| { said=...; }` is an else, $host has no spaces
# Installing, on hosts of every kind. Sourced by packages.sh.

install_leaves_others_alone() {
    start_sshd
    install_deb && same_settings || return 1
    forced 192.0.2.7 && forced 203.0.113.9 || { said="no forced command for the account"; return 1; }
    [ "$(reloads)" = 1 ] && listens || { said="sshd was not reloaded, or is gone"; return 1; }
    said="$(grep -c . /mnt/before) settings of root, alice and nobody as before; sshd reloaded and listening"
}

nobody_is_let_in() {
    start_sshd
    install_deb && make_ca || return 1
    get_certificate >/mnt/answer
    local code=$?
    [ "$code/$(wc -c </mnt/answer)" = 255/0 ] || { said="exit $code from 127.0.0.1"; return 1; }
    # Not even when the operator has named the network, while the password is locked.
    sed -i 's|192\.0\.2\.0/24,2001:db8::/32|127.0.0.0/8|' $host$drop_in
    kill -HUP "$(cat $host/run/sshd.pid)" && sleep 1
    get_certificate >/mnt/answer
    code=$?
    [ "$code/$(wc -c </mnt/answer)" = 255/0 ] || { said="exit $code with a locked password"; return 1; }
    said="ssh signer@127.0.0.1: $(tr -d '\r' </mnt/ssh.err | tail -n 1)"
}

unpacked_twice() {
    quietly on dpkg --unpack /tmp/packages/etcd-signer.deb && quietly on dpkg --unpack /tmp/packages/newer.deb &&
        quietly on dpkg --configure etcd-signer || { said="dpkg fails"; return 1; }
    networks_are $drop_in 192.0.2.0/24,2001:db8::/32 && forced 192.0.2.7 && [ -e $host$config ] || return 1
    said="cut off before it is configured, unpacked again: drop-in and settings are there in the end"
}

opened_it_answers() {
    install_deb && make_ca && open_endpoint || return 1
    start_sshd
    get_certificate >/mnt/answer
    cmp -s /mnt/answer $host/etc/etcd/pki/ca.crt || { said="$(cat /mnt/ssh.err)"; return 1; }
    said="ssh signer@127.0.0.1 get-certificate: the CA certificate"
}

account() {
    install_deb || return 1
    said="$(on getent passwd signer), password $(on getent shadow signer | cut -d: -f2)"
    [ "$(on getent passwd signer | cut -d: -f5-)" = 'etcd-signer endpoint:/:/usr/bin/etcd-signer-login' ] &&
        [[ $(on getent shadow signer | cut -d: -f2) == !* ]]
}

account_without_sysusers() {
    rm -f $host/usr/bin/systemd-sysusers $host/bin/systemd-sysusers
    account
}

foreign_account() {
    on useradd --create-home --shell /bin/bash signer
    snapshot >/mnt/snapshot.1
    ! quietly on dpkg -i /tmp/packages/etcd-signer.deb || { said="it installs over a person's account"; return 1; }
    unchanged && same_settings && says "rename the user first" || return 1
    said="a person named signer: refused, nothing changed"
}

no_sshd() {
    rm -f $host/usr/sbin/sshd
    install_deb || return 1
    said="installed"
    on getent passwd signer >/dev/null
}

no_include() {
    sed -i '/^Include/d' $host/etc/ssh/sshd_config
    settings >/mnt/before
    install_deb && same_settings && says "Include /etc/ssh/sshd_config.d/*.conf" || return 1
    said="an sshd_config without the Include line: says so"
}

no_host_keys() {
    rm -f $host/etc/ssh/ssh_host_*
    rmdir $host/run/sshd
    install_deb || return 1
    [ -f $host$drop_in ] && [ ! -d $host/run/sshd ] || { said="not as it was"; return 1; }
    said="an image without host keys and /run/sshd: installed, the drop-in in place"
}

broken_config() {
    start_sshd
    echo 'NoSuchKeyword yes' >$host/etc/ssh/sshd_config.d/90-broken.conf
    install_deb && says "an error that is not of this package" && says NoSuchKeyword || return 1
    [ -f $host$drop_in ] || { said="the drop-in is blamed"; return 1; }
    [ "$(reloads)" = 0 ] && listens || { said="sshd was reloaded"; return 1; }
    said="a configuration that was broken before: installed, sshd not touched, and told why"
}

# A host that runs systemd, as far as the scripts can see. (Real ones are in the tests with hosts.)
make_systemd() {
    mkdir -p $host/run/systemd/system
    rm -f $host/bin/systemctl $host/usr/bin/systemctl
    cat >$host/usr/bin/systemctl <<END
#!/bin/sh
echo "\$*" >>/run/systemctl.log
case "\$*" in
    *is-active*) case "\$*" in *" $1.service"*) exit 0 ;; *sshd.service*) exit ${2:-0} ;; esac; exit 3 ;;
esac
END
    chmod 755 $host/usr/bin/systemctl
}
systemd_reloads() {
    make_systemd ssh
    install_deb || return 1
    [ "$(grep -c '^reload ssh.service' $host/run/systemctl.log)" = 1 ] || { said="$(cat $host/run/systemctl.log)"; return 1; }
    drop_host
    make_host
    make_systemd sshd
    rm -f $host/usr/sbin/invoke-rc.d
    installer || return 1
    [ "$(grep -c '^reload sshd.service' $host/run/systemctl.log)" = 1 ] || { said="$(cat $host/run/systemctl.log)"; return 1; }
    drop_host
    make_host
    make_systemd none 3
    install_deb || return 1
    ! grep -q reload $host/run/systemctl.log || { said="it reloads what does not run"; return 1; }
    said="reload of ssh.service on Debian, of sshd.service elsewhere, of nothing where no sshd runs"
}

# An sshd that does not know a keyword of the drop-in, as those before 9.2.
make_old_sshd() {
    mv $host/usr/sbin/sshd $host/usr/sbin/sshd.real
    cat >$host/usr/sbin/sshd <<'END'
#!/bin/bash
file=/etc/ssh/sshd_config
while getopts ':f:C:h:E:tT' option; do [ "$option" != f ] || file=$OPTARG; done
for part in "$file" /etc/ssh/sshd_config.d/*.conf; do
    if [ "$file" != /etc/ssh/sshd_config ] && [ "$part" != "$file" ]; then continue; fi
    if grep -q '^ *UnusedConnectionTimeout' "$part" 2>/dev/null; then
        echo "$part: line $(grep -n '^ *UnusedConnectionTimeout' "$part" | cut -d: -f1): Bad configuration option: UnusedConnectionTimeout" >&2
        exit 255
    fi
done
exec /usr/sbin/sshd.real "$@"
END
    chmod 755 $host/usr/sbin/sshd
}
old_sshd() {
    make_old_sshd
    install_deb && same_settings && says "does not know a line" && says "UnusedConnectionTimeout" || return 1
    grep -q '^# unknown to this sshd: *UnusedConnectionTimeout' $host$drop_in || { said="the line stays"; return 1; }
    forced 192.0.2.7 && on sshd -t || { said="no forced command"; return 1; }
    make_ca && open_endpoint && start_sshd
    get_certificate >/mnt/answer
    cmp -s /mnt/answer $host/etc/etcd/pki/ca.crt || { said="$(cat /mnt/ssh.err)"; return 1; }
    said="an sshd that does not know a keyword of the drop-in: that line is commented out, told, and it answers"
}
old_sshd_broken_config() {
    make_old_sshd
    echo 'NoSuchKeyword yes' >$host/etc/ssh/sshd_config.d/90-broken.conf
    install_deb && says "an error that is not of this package" && says NoSuchKeyword || return 1
    said="the same, in a configuration that is broken besides: the drop-in stays, sshd is not touched"
    [ -f $host$drop_in ]
}

first_boot() {
    local script=$host/root/setup/first-boot.sh
    install_deb || return 1
    [ "$(stat -c '%a %U' "$script" 2>&1)" = '700 root' ] || { said="not there, or not 0700"; return 1; }
    cmp -s "$script" "$top/deploy/etcd-signer/first-boot.sh" || { said="not the one that is shipped"; return 1; }
    rm "$script"
    install_deb && upgrade
    [ ! -e "$script" ] || { said="an upgrade puts it back"; return 1; }
    mkdir -p $host/var/lib/etcd-signer && touch $host/var/lib/etcd-signer/first-boot.done
    quietly on dpkg -r etcd-signer && install_deb || return 1
    [ ! -e "$script" ] || { said="it is put where it had run"; return 1; }
    make_ca
    quietly on dpkg --purge etcd-signer && install_deb || return 1
    [ ! -e "$script" ] || { said="it is put beside a CA"; return 1; }
    rm -r $host/etc/etcd/pki
    quietly on dpkg --purge etcd-signer && install_deb && [ -e "$script" ] || { said="not there again"; return 1; }
    quietly on dpkg -r etcd-signer && [ ! -e $host/root/setup ] || { said="it stays when the package goes"; return 1; }
    said="first-boot.sh (0700) on the first installation alone, and not where a CA is"
}

row install_leaves_others_alone "" install_leaves_others_alone
row nobody_is_let_in "" nobody_is_let_in
row unpacked_twice "" unpacked_twice
row opened_it_answers "" opened_it_answers
row account "" account
row account_without_sysusers "" account_without_sysusers
row foreign_account "" foreign_account
row no_sshd "" no_sshd
row no_include "" no_include
row no_host_keys "" no_host_keys
row systemd_reloads "" systemd_reloads
row broken_config "" broken_config
row old_sshd "" old_sshd
row old_sshd_broken_config "" old_sshd_broken_config
row first_boot "" first_boot
