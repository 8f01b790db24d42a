# postinst configure [OLD-VERSION]: the account, settings, sshd, and the script for the first boot.
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

# The drop-ins with this version's text and the networks of those in place. sshd never misses one:
# they change in one step, and only to what this sshd takes.
renew_drop_ins() {
    for name in $names; do renew_drop_in "$name"; done
}

renew_drop_in() {
    file=$drop_ins/$1 text=$texts/$1 networks='' by_hand=''
    if [ -f "$file" ]; then
        networks=$(sed -nE "s#$open_line#\1#Ip" "$file" | head -n 1)
        if ! same_text "$noted/$1" "$file" && ! same_text "$text" "$file"; then
            by_hand=yes
            cmp -s "$text" "$noted/$1" || tell_kept
        fi
    elif [ "$file" != "$drop_in" ] || { [ -n "$old_version" ] && [ -e "$noted/$1" ]; }; then
        # The one for login by key is the operator's to copy; and one that was removed stays away.
        note_text "$1"
        return 0
    fi
    mkdir -p "$drop_ins"
    # sshd reads no name that does not end in .conf.
    new=$(mktemp "$file.XXXXXX")
    if [ -n "$by_hand" ]; then
        cat "$file" >"$new"
    else
        sed -E "s#$open_line#Match User signer Address ${networks:-\1}#I" "$text" >"$new"
    fi
    chmod 0644 "$new"
    if command -v sshd >/dev/null; then
        adapt "$new"
        if [ -f "$file" ] && ! sshd_accepts -f "$new" && { complaint=$why && sshd_accepts -f "$file"; }; then
            rm "$new"
            say "this sshd does not take the new $file, and goes on with the one before:"
            say "    $complaint"
            return 0
        fi
    fi
    if cmp -s "$new" "$file"; then rm "$new"; else mv -f "$new" "$file"; fi
    note_text "$1"
}

tell_kept() {
    say "$file was changed by hand, not in its networks alone, and stays as it is."
    say "To have this version's text, without your changes:"
    say "    cp $text $file"
    say "    etcd-signer-endpoint open --networks ${networks:-...}"
}

# sshd goes on as before, or not at all differently: a keyword of the drop-in that it does not know is
# commented out, and a drop-in that it does not take is put away.
settle_sshd() {
    renew_drop_ins
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

# adapt NEW: an sshd before 9.2 does not start with UnusedConnectionTimeout.
adapt() {
    adapted=
    while ! sshd_accepts -f "$1"; do
        line=$(printf '%s\n' "$why" | sed -n "s|^$1[: ]*line \([0-9]*\): Bad configuration option.*|\1|p" | head -n 1)
        [ -n "$line" ] || break
        # A comment is no keyword: the line is not the one that it complains of.
        ! sed -n "${line}p" "$1" | grep -q '^ *#' || break
        say "this sshd does not know a line of $file, which is commented out:$(sed -n "${line}p" "$1")"
        sed -i "${line}s/^/# unknown to this sshd: /" "$1"
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

# The operator's from then on, so that no upgrade brings them back.
place_settings() {
    [ -z "$old_version" ] || [ ! -d /etc/etcd-signer ] || return 0
    [ ! -e /etc/etcd-signer/config.toml ] || return 0
    [ -d /etc/etcd-signer ] || mkdir -m 0755 /etc/etcd-signer
    install -m 0644 /usr/share/etcd-signer/config.toml /etc/etcd-signer/config.toml
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

old_version=${2-}
case $1 in
    configure)
        make_account
        place_settings
        if command -v sshd >/dev/null; then with_sshd settle_sshd; else renew_drop_ins; fi
        [ -n "$old_version" ] || place_first_boot
        tell_key
        ;;
    abort-remove)
        enable_drop_ins
        with_sshd reload_sshd
        ;;
esac
