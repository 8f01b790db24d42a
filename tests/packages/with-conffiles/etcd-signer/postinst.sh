# postinst configure [OLD-VERSION]: the account, sshd, and the script for the first boot.
# shellcheck shell=sh source-path=SCRIPTDIR source=common.sh
[ -n "${drop_ins-}" ] || . "$(dirname "$0")/common.sh"

# Its password is locked. Login without credentials needs it empty, which is the operator's
# decision: it lets local users `su signer` too. /usr/share/doc/etcd-signer/docs/SSHD.md.
make_account() {
    getent passwd "$account" >/dev/null && return 0
    if command -v systemd-sysusers >/dev/null; then
        systemd-sysusers /usr/lib/sysusers.d/etcd-signer.conf
    else
        getent group "$account" >/dev/null || groupadd --system "$account"
        useradd --system --gid "$account" --home-dir / --no-create-home --shell "$login" \
            --comment "etcd-signer endpoint" "$account"
    fi
}

# sshd goes on as before, or not at all differently: a keyword of the drop-in that it does not know is
# commented out, and a drop-in that it does not take is put away.
settle_sshd() {
    [ ! -f "$drop_in" ] || adapt_drop_in
    if sshd_accepts; then
        reload_sshd
        tell_effect
        return
    fi
    complaint=$why
    if [ -f "$drop_in" ] && at_fault; then
        mv -f "$drop_in" "$drop_in.disabled"
        say "this sshd does not take $drop_in:"
        say "    $complaint"
        say "so it is $drop_in.disabled now, and sshd was not touched. There is no"
        say "endpoint until you have corrected the file, given it back its name, and reloaded sshd."
    else
        say "sshd's configuration has an error that is not of this package, so sshd was not reloaded:"
        say "    $complaint"
        say "correct it, and then: systemctl reload ssh"
    fi
}

# An sshd before 9.2 does not start with UnusedConnectionTimeout.
adapt_drop_in() {
    adapted=
    while ! sshd_accepts -f "$drop_in"; do
        line=$(printf '%s\n' "$why" | sed -n "s|^${drop_in}[: ]*line \([0-9]*\): Bad configuration option.*|\1|p" | head -n 1)
        [ -n "$line" ] || break
        # A comment is no keyword: the line is not the one that it complains of.
        ! sed -n "${line}p" "$drop_in" | grep -q '^ *#' || break
        say "this sshd does not know a line of $drop_in, which is commented out:$(sed -n "${line}p" "$drop_in")"
        sed -i "${line}s/^/# unknown to this sshd: /" "$drop_in"
        adapted=yes
    done
    [ -z "$adapted" ] || say "see /usr/share/doc/etcd-signer/docs/SSHD.md for what it bounded."
}

# Whether it is the drop-in that sshd does not take: all is well without it, or it fails alone.
at_fault() {
    mv "$drop_in" "$drop_in.aside"
    fault=no
    if sshd_accepts || ! sshd_accepts -f "$drop_in.aside"; then fault=yes; fi
    mv "$drop_in.aside" "$drop_in"
    [ $fault = yes ]
}

# The list of what sshd must answer is the program's.
tell_effect() {
    [ -f "$drop_in" ] || return 0
    finding=$(/usr/bin/etcd-signer check --only sshd 2>/dev/null | grep '^FAIL') || return 0
    say "$finding"
    case $finding in
        *forcecommand*)
            say "if sshd does not read $drop_in, put this line first in /etc/ssh/sshd_config:"
            say "    Include $drop_ins/*.conf"
            ;;
    esac
}

# Only where nothing is to be lost by running it.
place_first_boot() {
    [ -f /usr/share/etcd-signer/first-boot.sh ] || return 0
    [ ! -e /etc/etcd/pki/ca.key ] && [ ! -e /etc/etcd/pki/ca.crt ] || return 0
    [ ! -e /var/lib/etcd-signer/first-boot.done ] || return 0
    [ ! -e /root/setup/first-boot.sh ] || return 0
    [ -d /root/setup ] || mkdir -m 0700 /root/setup
    install -m 0700 /usr/share/etcd-signer/first-boot.sh /root/setup/first-boot.sh
}

tell_key() {
    key=/etc/etcd/pki/ca.key
    [ -e $key ] || return 0
    [ "$(stat -c %U $key)" = "$account" ] ||
        say "$key is not the account's. If this host is to sign: chown $account: $key"
}

case $1 in
    configure)
        make_account
        with_sshd settle_sshd
        [ -n "${2-}" ] || place_first_boot
        tell_key
        ;;
    abort-remove)
        enable_drop_ins
        with_sshd reload_sshd
        ;;
esac
