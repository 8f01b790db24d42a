# postrm remove|purge: the account; and with purge the settings. Never the CA: /etc/etcd/pki stays.
# shellcheck shell=sh source-path=SCRIPTDIR source=common.sh
[ -n "${drop_ins-}" ] || . "$(dirname "$0")/common.sh"

# What belongs to the account, where its files may be. The settings may name another key.
belongings() {
    key=$(sed -n 's/^[[:space:]]*ca_key[[:space:]]*=[[:space:]]*"\([^"]*\)".*/\1/p' \
        /etc/etcd-signer/config.toml 2>/dev/null || :)
    for place in /etc/etcd /etc/etcd-signer "$key"; do
        [ -z "$place" ] || [ ! -e "$place" ] || find "$place" -xdev -user "$account" "$@"
    done
}

# A number that is free again goes to the next account, and the CA key must not go with it: what
# the account owned becomes root's. Requests that are being answered end within seconds.
delete_account() {
    entry=$(getent passwd "$account") || return 0
    [ "${entry##*:}" = "$login" ] || return 0
    usermod --lock "$account" >/dev/null 2>&1 || :
    belongings -exec chown -h root:root {} + || :
    if [ -n "$(belongings -print)" ]; then
        say "the user $account stays, with its password locked, because it owns:"
        belongings -print >&2
        return 0
    fi
    tries=15
    until why=$(userdel "$account" 2>&1); do
        tries=$((tries - 1))
        if [ $tries = 0 ]; then
            say "the user $account stays, with its password locked: $why"
            return 0
        fi
        sleep 1
    done
    if getent group "$account" >/dev/null; then groupdel "$account" || :; fi
}

case $1 in
    remove) delete_account ;;
    abort-install) disable_drop_ins ;;
    purge)
        rm -rf /etc/etcd-signer
        rm -f "$drop_ins"/00-etcd-signer*.conf.removed "$drop_ins"/00-etcd-signer*.conf.disabled
        # What an unfinished first boot would have to take back is not ours to forget.
        if [ ! -e /var/lib/etcd-signer/first-boot.undo ]; then
            rm -rf /var/lib/etcd-signer
            rm -f /var/log/etcd-signer-first-boot.log
        fi
        if [ -e /etc/etcd/pki ]; then say "/etc/etcd/pki is still there, with the CA's key and certificate."; fi
        ;;
esac
