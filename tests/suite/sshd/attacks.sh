#!/bin/bash
# Attacks on the endpoint through the real sshd and the shipped drop-in: one row for each, with
# what was tried and what happened. As root:
#
#   SIGNER=target/static/etcd-signer attacks.sh [--only REGEX] [--without REGEX]...
#
# --only runs the rows whose name matches. --without takes lines out of the drop-in, to see
# that a row notices (red.sh does that for all of them). It fails if any row does.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
enter_namespaces "$@"

only='' without=()
while [ $# -gt 0 ]; do
    case $1 in
        --only) only=$2 ;;
        --without) without+=("$2") ;;
        *) fatal "unknown option $1" ;;
    esac
    shift 2
done

# shellcheck source=../../tools/rows.sh
. "$here/../../tools/rows.sh"

# attempt COMMAND...: $code, $out and $err (the last line of standard error) of it.
attempt() {
    timeout --kill-after=5 60 "$@" >"$bed/out" 2>"$bed/err" </dev/null
    code=$?
    out=$(tr -d '\0' <"$bed/out")
    err=$(tr -d '\0\r' <"$bed/err" | grep -v '^Warning: Permanently' | tail -n 1)
}

# Nothing came back and it did not succeed. `$1`: the exit code that it must be, if given.
nothing_came() {
    said="exit $code, no output; $err"
    [ -z "$out" ] || { said="exit $code, OUTPUT: ${out:0:60}"; return 1; }
    # 124 to 127 are timeout's: it hung, or was never tried.
    [ "$code" != 0 ] && ! [[ $code =~ ^12[4-7]$ ]] && [ "$code" = "${1:-$code}" ]
}

# The certificate in $out is what the profile allows, for kubemaster-m.
is_certificate() {
    local text
    echo "$out" >"$bed/answer.pem"
    [ "$(grep -c BEGIN "$bed/answer.pem")" = 1 ] ||
        { said="exit $code, no certificate; $err"; return 1; }
    openssl verify -purpose sslclient -CAfile /etc/etcd/pki/ca.crt "$bed/answer.pem" \
        >/dev/null 2>&1 || { said="openssl does not verify it"; return 1; }
    text=$(openssl x509 -in "$bed/answer.pem" -noout -subject -ext \
        basicConstraints,keyUsage,extendedKeyUsage,subjectAltName)
    [ "$(sed 's/^ *//; s/ *$//' <<<"$text" | sort)" = "$(sort <<'END'
subject=CN = kubemaster-m
X509v3 Basic Constraints: critical
CA:FALSE
X509v3 Key Usage: critical
Digital Signature
X509v3 Extended Key Usage:
TLS Web Client Authentication
X509v3 Subject Alternative Name:
DNS:kubemaster-m
END
)" ] || { said="not the profile: $text"; return 1; }
    openssl x509 -in "$bed/answer.pem" -noout -checkend 86400 >/dev/null &&
        { said="valid for more than 24 h"; return 1; }
    openssl x509 -in "$bed/answer.pem" -noout -serial >>"$bed/serials"
    said="a 24 h client certificate for kubemaster-m, and nothing else"
    [ "$code" = 0 ]
}

# recorded SERIAL, as openssl prints it: upper case, where the record has lower case. What stands for
# the journal may still have it to read.
recorded() {
    local serial=${1#serial=}
    wait_until 20 grep -aq "^ETCD_SIGNER_SERIAL=0*${serial,,}$" "$bed/journal"
}

peer_in_net() { in_net /usr/bin/python3 "$bed/peer.py" "$@"; }
peer_here() { /usr/bin/python3 "$bed/peer.py" "$@"; }

start_etcd() {
    command -v etcd >/dev/null || { echo "bed: etcd is missing: get-peers will fail" >&2; return; }
    local pki=$bed/etcd
    mkdir -p "$pki"
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$pki/server.key" \
        -out "$pki/server.csr" -subj /CN=leader 2>/dev/null
    printf 'subjectAltName=IP:127.0.0.1,IP:10.99.0.1\nextendedKeyUsage=serverAuth,clientAuth\n' >"$pki/ext"
    openssl x509 -req -in "$pki/server.csr" -CA /etc/etcd/pki/ca.crt -CAkey /etc/etcd/pki/ca.key \
        -CAserial "$pki/serial" -CAcreateserial -days 1 -extfile "$pki/ext" -out "$pki/server.crt" 2>/dev/null
    etcd --name leader --data-dir "$bed/etcd-data" --cert-file "$pki/server.crt" \
        --key-file "$pki/server.key" --client-cert-auth --trusted-ca-file /etc/etcd/pki/ca.crt \
        --listen-client-urls https://127.0.0.1:2379,https://10.99.0.1:2379 \
        --advertise-client-urls https://10.99.0.1:2379 --listen-peer-urls http://127.0.0.1:2380 \
        --initial-advertise-peer-urls http://127.0.0.1:2380 --initial-cluster leader=http://127.0.0.1:2380 \
        >"$bed/etcd.log" 2>&1 &
}

make_bed
start_etcd
install_dropin "$bed/deploy/etcd-signer/sshd/00-etcd-signer.conf" "${without[@]}"
start_sshd 22 /etc/ssh/sshd_config
main_pid=$sshd_pid
mkdir -p /tmp/.X11-unix /run/systemd/journal
peer_here journal /run/systemd/journal/socket "$bed/journal" &
peer_here serve tcp:127.0.0.1:7001=SECRET-OF-THE-LEADER unix:/run/leader.sock=SECRET-OF-THE-LEADER \
    tcp:0.0.0.0:7003=SECRET-BEHIND-THE-TUNNEL >"$bed/ready.1" &
peer_in_net serve tcp:127.0.0.1:7002=SECRET-OF-THE-CLIENT unix:/run/client.sock=SECRET-OF-THE-CLIENT \
    unix:/tmp/.X11-unix/X99=X >"$bed/ready.2" &
wait_until 10 grep -qs ready "$bed/ready.1" || fatal "no listeners on the leader"
wait_until 10 grep -qs ready "$bed/ready.2" || fatal "no listeners of the client"
[ "$(peer_here read tcp 127.0.0.1 7001)" = $'SECRET-OF-THE-LEADER\r' ] || fatal "the reader reads nothing"
client -v -N leader >"$bed/N.out" 2>"$bed/N.err" &
idle=$!

# shellcheck source=attacks/requests.sh
. "$bed/attacks/requests.sh"
# shellcheck source=attacks/shells.sh
. "$bed/attacks/shells.sh"
# shellcheck source=attacks/forwarding.sh
. "$bed/attacks/forwarding.sh"
# shellcheck source=attacks/environment.sh
. "$bed/attacks/environment.sh"
# shellcheck source=attacks/logins.sh
. "$bed/attacks/logins.sh"
# shellcheck source=attacks/local_users.sh
. "$bed/attacks/local_users.sh"
# shellcheck source=attacks/keys.sh
. "$bed/attacks/keys.sh"
# shellcheck source=attacks/disconnects.sh
. "$bed/attacks/disconnects.sh"

kill "$main_pid"
end_of_rows || {
    echo "--- the end of sshd's log"
    tail -n 20 "$bed/sshd.22.log"
    exit 1
}
