#!/bin/bash
# etcd-signer-endpoint: opens this host's signer to the control plane's networks, closes it, or
# makes a second host a signer of the same CA. As root:
#
#   etcd-signer-endpoint open --networks 10.0.0.0/24[,NETWORK...]
#   etcd-signer-endpoint close
#   etcd-signer-endpoint promote BACKUP --networks ... [--identity FILE|--passphrase-file FILE]
#   etcd-signer-endpoint status
#
# sshd is asked what it would do before it is told to do it. What it refuses is taken back.
set -euo pipefail
PATH=/usr/sbin:/usr/bin:/sbin:/bin

DROP_IN=/etc/ssh/sshd_config.d/00-etcd-signer.conf
# The documentation's networks, as the package has them: nobody is let in.
NOBODY=192.0.2.0/24,2001:db8::/32
OUTSIDE=198.51.100.7
PKI=/etc/etcd/pki

fail() {
    echo "etcd-signer-endpoint: $*" >&2
    exit 1
}
usage() {
    sed -n '2,/^#$/{s/^# \{0,1\}//p}' "$0"
    sed -n '/^#   /{s/^# //p}' "$0"
}

# What sshd would do with a login as signer from an address: one setting's value.
effective() { sshd -T -C "user=signer,host=x,addr=$1" | sed -n "s|^$2 ||p"; }

# judge NETWORK...: whether the drop-in does what it is for. Says why not.
judge() {
    local network address setting
    sshd -t || { echo "sshd -t fails"; return 1; }
    for network; do
        address=${network%/*}
        for setting in "forcecommand /usr/bin/etcd-signer serve" "permitemptypasswords yes" \
            "authenticationmethods none" "disableforwarding yes" "permittty no"; do
            [ "$(effective "$address" "${setting%% *}")" = "${setting#* }" ] || {
                echo "from $address, sshd would not have '$setting' for signer: does an earlier" \
                    "file of sshd_config.d speak of signer, or is $network no network (bits" \
                    "behind its mask)?"
                return 1
            }
        done
    done
    for setting in "forcecommand /usr/bin/etcd-signer serve" "permitemptypasswords no" \
        "disableforwarding yes" "permittty no"; do
        [ "$(effective $OUTSIDE "${setting%% *}")" = "${setting#* }" ] || {
            echo "from $OUTSIDE, which is outside, sshd would not have '$setting' for signer"
            return 1
        }
    done
}

# admit NETWORKS: writes them into the drop-in, if sshd then does what it should.
admit() {
    local networks=$1 before why list
    [ -e $DROP_IN ] || fail "$DROP_IN is missing: install the package again"
    case $(lsattr -d $DROP_IN 2>/dev/null | cut -d' ' -f1) in
        *i*) fail "$DROP_IN is locked: etcd-signer-lock unlock, then again, then etcd-signer-lock lock" ;;
    esac
    before=$(mktemp "$DROP_IN.XXXXXX")
    cp -p $DROP_IN "$before"
    # sshd reads no name that does not end in .conf, so the copy does no harm.
    sed "s|^Match User signer Address .*|Match User signer Address $networks|" "$before" \
        >"$before.new"
    chmod 644 "$before.new"
    mv "$before.new" $DROP_IN
    list=()
    [ "$networks" = $NOBODY ] || IFS=, read -ra list <<<"$networks"
    if ! why=$(judge "${list[@]}" 2>&1); then
        mv "$before" $DROP_IN
        fail "not changed: $why"
    fi
    rm "$before"
}

reload() {
    local unit
    for unit in ssh.service sshd.service; do
        if systemctl -q is-active $unit 2>/dev/null; then
            systemctl reload $unit
            return
        fi
    done
    if systemctl -q is-active ssh.socket 2>/dev/null; then return; fi # reads it at each login
    echo "etcd-signer-endpoint: sshd does not run: start it to open the endpoint" >&2
}

command=${1:-}
[ $# = 0 ] || shift
networks="" backup="" restore=()
while [ $# -gt 0 ]; do
    case $1 in
        --networks=*) networks=${1#*=} ;;
        --networks) networks=${2:-} && shift ;;
        --identity | --passphrase-file) restore+=("$1" "${2:-}") && shift ;;
        --identity=* | --passphrase-file=*) restore+=("$1") ;;
        --help) command=--help ;;
        -*) fail "$1 is no option of it (see --help)" ;;
        *)
            if [ "$command" != promote ] || [ -n "$backup" ]; then fail "$1: what is that? (see --help)"; fi
            backup=$1
            ;;
    esac
    shift
done
case $command in
    open | promote)
        [[ $networks =~ ^[0-9a-fA-F.:]+/[0-9]+(,[0-9a-fA-F.:]+/[0-9]+)*$ ]] ||
            fail "--networks needs the control plane's networks, such as 10.0.0.0/24,fd00::/64"
        ;;
esac
case $command in --help | "") ;; *) [ "$(id -u)" = 0 ] || fail "this needs root" ;; esac

case $command in
    promote)
        [ -n "$backup" ] || fail "name the backup: promote BACKUP --networks ..."
        [ -e "$backup" ] || fail "$backup: there is no such file"
        etcd-signer ca restore "$backup" "${restore[@]}"
        ;&
    open)
        [ -e $PKI/ca.key ] || fail "$PKI/ca.key is missing: etcd-signer ca init makes a CA," \
            "etcd-signer ca restore brings one back"
        getent passwd signer >/dev/null || fail "there is no account signer: systemd-sysusers"
        chown signer: $PKI/ca.key
        admit "$networks"
        # Without a password, sshd lets in who shows none. It did not until now.
        passwd --quiet --delete signer
        reload
        echo "signer@$(hostname) answers the networks $networks"
        ;;
    close)
        admit $NOBODY
        passwd --quiet --lock signer
        reload
        echo "signer@$(hostname) answers nobody"
        ;;
    status)
        sed -n 's/^Match User signer Address /networks: /p' $DROP_IN
        passwd --status signer
        ;;
    --help) usage ;;
    *)
        usage >&2
        exit 64
        ;;
esac
