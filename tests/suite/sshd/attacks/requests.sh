# shellcheck shell=bash disable=SC2034,SC2154 # attacks.sh and lib.sh set and use them
# What masters do, with every client that they may have; and the account as it is installed. Sourced by attacks.sh.

get_certificate() {
    attempt client leader get-certificate
    said="exit $code, $(wc -l <"$bed/out") lines: the CA certificate"
    cmp -s "$bed/out" /etc/etcd/pki/ca.crt || { said="exit $code; $err"; return 1; }
    [ "$code" = 0 ] && [ ! -s "$bed/err" ]
}

get_peers() {
    attempt client leader get-peers
    said="exit $code: $out $err"
    [ "$code" = 0 ] && [ "$out" = https://10.99.0.1:2379 ]
}

sign() {
    code=0
    out=$(timeout 60 "$@" <"$bed/m.csr" 2>"$bed/err") || code=$?
    err=$(tail -n 1 "$bed/err")
    is_certificate
}
sign_ssh() { sign client leader kubemaster-m; }
sign_ipv6() { sign client -b fd99:1::1 fd99::1 kubemaster-m; }
sign_dbclient() {
    command -v dbclient >/dev/null || { said="dbclient (dropbear-bin) is not installed"; return 3; }
    sign in_net dbclient -y -y -T signer@10.99.0.1 kubemaster-m
}
sign_plink() {
    command -v plink >/dev/null || { said="plink (putty-tools) is not installed"; return 3; }
    local print
    print=$(ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub | cut -d' ' -f2)
    sign in_net plink -batch -hostkey "$print" signer@10.99.0.1 kubemaster-m
}
sign_python() {
    /usr/bin/python3 -W ignore -c "import $1" 2>/dev/null ||
        { said="python3-$1 is not installed"; return 3; }
    sign in_net /usr/bin/python3 "$bed/clients.py" "$1" 10.99.0.1 kubemaster-m
}
sign_paramiko() { sign_python paramiko; }
sign_asyncssh() { sign_python asyncssh; }
# The masters' own program: key, CA certificate and certificate, with nothing to start from.
sign_client() {
    command -v etcd-client-cert >/dev/null || { said="CLIENT_CERT names no executable"; return 3; }
    local dir=$bed/client-cert
    rm -rf "$dir"
    mkdir "$dir"
    cat >"$dir/config.toml" <<END
name = "kubemaster-m"
signers = ["signer@10.99.0.1"]
ca_certificate = "$dir/ca.crt"
certificate = "$dir/client.crt"
key = "$dir/client.key"
known_hosts = "$dir/known_hosts"
state_directory = "$dir/state"
END
    attempt in_net etcd-client-cert renew --config "$dir/config.toml"
    [ "$code" = 0 ] || { said="exit $code; $err"; return 1; }
    cmp -s "$dir/ca.crt" /etc/etcd/pki/ca.crt || { said="another CA certificate"; return 1; }
    out=$(cat "$dir/client.crt")
    is_certificate
}

# What sshd itself says it would do, as the drop-in tells the operator to look.
effective() {
    local inside outside
    inside=$(sshd -T -C user=signer,host=x,addr=10.99.1.7 2>&1) || return 1
    outside=$(sshd -T -C user=signer,host=x,addr=10.99.2.1 2>&1) || return 1
    said="forced inside and outside; empty passwords: inside $(grep -o 'permitemptypasswords.*' \
        <<<"$inside" | cut -d' ' -f2), outside $(grep -o 'permitemptypasswords.*' <<<"$outside" |
        cut -d' ' -f2)"
    grep -qx 'forcecommand /usr/bin/etcd-signer serve' <<<"$inside" &&
        grep -qx 'forcecommand /usr/bin/etcd-signer serve' <<<"$outside" &&
        grep -qx 'permitemptypasswords yes' <<<"$inside" &&
        grep -qx 'permitemptypasswords no' <<<"$outside"
}

# As it is shipped, nobody is let in: not even from this host.
unedited() {
    local address unedited=/etc/ssh/unedited
    mkdir -p "$unedited" && cp "$bed/deploy/etcd-signer/sshd/00-etcd-signer.conf" "$unedited/"
    sed "s|/etc/ssh/sshd_config.d|$unedited|" /etc/ssh/sshd_config >"$unedited/sshd_config"
    for address in 127.0.0.1 ::1 10.99.1.1 192.168.0.1; do
        sshd -T -f "$unedited/sshd_config" -C "user=signer,host=x,addr=$address" >"$bed/T" ||
            return 1
        said="open to $address"
        grep -qx 'passwordauthentication no' "$bed/T" || return 1
        grep -qx 'authenticationmethods any' "$bed/T" || return 1
    done
    said="closed to 127.0.0.1, ::1 and every other address"
}

# The drop-in is the account's alone: for everybody else sshd does what it did without it.
others() {
    local bare=/etc/ssh/without user address
    mkdir -p "$bare"
    sed "s|/etc/ssh/sshd_config.d|$bare|" /etc/ssh/sshd_config >"$bare/sshd_config"
    for user in root alice mallory nobody; do
        for address in 10.99.1.1 10.99.2.1 fd99:1::1 127.0.0.1; do
            said="not the same for $user from $address"
            sshd -T -C "user=$user,host=x,addr=$address" >"$bed/T" || return 1
            sshd -T -f "$bare/sshd_config" -C "user=$user,host=x,addr=$address" >"$bed/T0" ||
                return 1
            cmp -s "$bed/T" "$bed/T0" || return 1
        done
    done
    said="all settings are the same for root, alice, mallory and nobody, from four addresses"
}

account() {
    local entry
    entry=$(getent passwd signer)
    said="home / and shell ${entry##*:}; made with password field $(cat "$bed/password.made")"
    [ "$(cut -d: -f6,7 <<<"$entry")" = /:/usr/bin/etcd-signer-login ] || return 1
    [[ $(cat "$bed/password.made") == !* ]] || return 1
    ! grep -q etcd-signer /etc/shells
}

# Whether no loader runs before the signer's first line, so that LD_* and the like do nothing.
is_static() { ! readelf -lW /usr/bin/etcd-signer | grep -q INTERP; }

static() {
    command -v readelf >/dev/null || { said="readelf (binutils) is not installed"; return 3; }
    said="no interpreter is asked for"
    is_static && return
    said="a dynamic build: a planted LD_PRELOAD runs before it. A release must be static"
    [ -n "${REQUIRE_STATIC:-}" ] || return 3
    return 1
}

row "account" "the account as deploy/etcd-signer/sysusers.d makes it" account
row "static" "the executable needs no loader" static
row "sshd -T" "what sshd makes of it, inside and outside" effective
row "unedited" "the drop-in with nothing edited" unedited
row "others" "every setting for other users, with the drop-in and without" others
row "get-certificate" "ssh signer@leader get-certificate" get_certificate
row "get-peers" "ssh signer@leader get-peers, etcd behind it" get_peers
row "kubemaster" "base64 of a request | ssh signer@leader kubemaster-m" sign_ssh
row "kubemaster, IPv6" "the same from fd99:1::1" sign_ipv6
row "dbclient" "the same with dropbear" sign_dbclient
row "plink" "the same with PuTTY" sign_plink
row "paramiko" "the same with paramiko" sign_paramiko
row "asyncssh" "the same with asyncssh" sign_asyncssh
row "etcd-client-cert" "etcd-client-cert renew, from nothing" sign_client
