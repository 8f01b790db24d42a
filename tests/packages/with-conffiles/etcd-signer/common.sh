# shellcheck shell=sh disable=SC2034 # not every script uses all of it
# What the maintainer scripts share. The build puts it at the head of each of them, because
# preinst runs before the package's files are there, and postrm when they are gone. They use
# nothing of dpkg's: the tarball's install.sh runs the very same ones.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH LC_ALL=C

drop_ins=/etc/ssh/sshd_config.d
drop_in=$drop_ins/00-etcd-signer.conf
account=signer
login=/usr/bin/etcd-signer-login

say() { printf 'etcd-signer: %s\n' "$*" >&2; }

# Ends the script, before anything is changed, if a file is immutable.
refuse_if_locked() {
    locked=
    for file in /usr/bin/etcd-signer "$drop_ins"/00-etcd-signer*.conf; do
        [ -f "$file" ] || continue
        case $(lsattr -d "$file" 2>/dev/null | cut -d' ' -f1) in
            *i*) locked="$locked $file" ;;
        esac
    done
    [ -n "$locked" ] || return 0
    say "these files are locked against every change (chattr +i):$locked"
    say "nothing was changed. Unlock them, do it again, and lock them again:"
    say "    etcd-signer-lock unlock    (or: chattr -i$locked)"
    say "    ... install, upgrade or remove, as before ..."
    say "    etcd-signer-lock lock"
    exit 1
}

# Puts the drop-ins where sshd does not read them, with all that the operator wrote into them;
# and back.
disable_drop_ins() {
    for file in "$drop_ins"/00-etcd-signer*.conf; do
        [ ! -f "$file" ] || mv -f "$file" "$file.removed"
    done
}
enable_drop_ins() {
    for file in "$drop_ins"/00-etcd-signer*.conf.removed; do
        [ ! -f "$file" ] || [ -e "${file%.removed}" ] || mv "$file" "${file%.removed}"
    done
}

# with_sshd COMMAND...: runs it if there is an sshd, with what `sshd -t` wants to find: its
# directory, which is there only while it runs, and a host key, which a new host may lack.
with_sshd() {
    command -v sshd >/dev/null || return 0
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    made_run=
    if [ ! -d /run/sshd ] && mkdir -m 0755 /run/sshd 2>/dev/null; then made_run=yes; fi
    ssh-keygen -q -t ed25519 -N '' -f "$work/key" </dev/null >&2 || :
    "$@"
    # Where sshd is started by a socket, a login that begins meanwhile would miss it.
    [ -z "$made_run" ] || [ -d /run/systemd/system ] || rmdir /run/sshd 2>/dev/null || :
    rm -rf "$work"
}

# Whether sshd takes its configuration, and serves root and the account with it. `sshd -t`
# does not look into Match blocks, so it is asked for a client too. $why is what it says if not.
sshd_accepts() {
    why=$("$(command -v sshd)" -t -h "$work/key" "$@" 2>&1) || return 1
    for user in root "$account"; do
        for address in 192.0.2.1 198.51.100.1; do
            why=$(effective "$user" "$address" "$@" 2>&1 >/dev/null) || return 1
        done
    done
}

# effective USER ADDRESS [OPTION...]: the settings for this user from there.
effective() {
    who=user=$1,host=client.invalid,addr=$2,laddr=192.0.2.2,lport=22
    shift 2
    "$(command -v sshd)" -T -h "$work/key" -C "$who" "$@"
}

# Has a running sshd read its configuration again, if it would survive that.
reload_sshd() {
    if [ -d /run/systemd/system ]; then
        # Started by a socket, sshd cannot bind its port again when it is told to reload.
        if systemctl -q is-active ssh.socket; then
            if ! { "$(command -v sshd)" -t 2>/dev/null && systemctl try-restart ssh.service; }; then
                say "sshd could not be restarted: look at sshd -t and systemctl status ssh.service"
            fi
            return 0
        fi
        unit=
        # Debian's name first: there the other is an alias, which invoke-rc.d does not know.
        for candidate in sshd ssh; do
            if systemctl -q is-active "$candidate.service"; then unit=$candidate; fi
        done
        [ -n "$unit" ] || return 0
    else
        unit=ssh
        pid=$(cat /run/sshd.pid 2>/dev/null) || return 0
        [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = sshd ] || return 0
    fi
    if ! why=$("$(command -v sshd)" -t 2>&1); then
        say "sshd is not reloaded, because it would not take its configuration: $why"
        return 0
    fi
    if command -v invoke-rc.d >/dev/null && { [ -d /run/systemd/system ] || [ -x "/etc/init.d/$unit" ]; }; then
        invoke-rc.d "$unit" reload || say "sshd could not be reloaded: look at systemctl status $unit"
    elif [ -d /run/systemd/system ]; then
        systemctl reload "$unit.service" || say "sshd could not be reloaded: look at systemctl status $unit"
    else
        kill -HUP "$pid"
    fi
}
