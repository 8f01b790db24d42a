#!/bin/bash
# The endpoint under load, with the real sshd under the shipped limits file, opened as
# etcd-signer-endpoint does it. As root:
#
#   SIGNER=target/static/etcd-signer load.sh [masters|stalled|health|silent|cut]...
#
#   masters  200 masters at once, each trying again as a script would: all get a certificate
#   stalled  500 requests whose input never ends: gone after the signer's deadline
#   health   connections that end before a login, as health checks do: the others behind the same
#            address are not punished for them (OpenSSH 9.8 and later would)
#   silent   connections that never log in, ask for nothing, or stop reading: gone after sshd's
#   cut      a client's network is cut, without a word: nothing of it is left
#
# masters and stalled take half a minute each, health some seconds, the others some three minutes.
# MASTERS and STALLED are other numbers to try; WITHOUT=REGEX takes lines out of the drop-in,
# LIMITS=no leaves the limits file out, PENALTIES=no the exemption from penalties. With the sshd of
# another Debian release: in-release.sh.
# shellcheck disable=SC2317 # some functions are called through wait_until alone
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
enter_namespaces "$@"

failed=0
verdict() {
    if [ "$1" = 0 ]; then echo "ok      | $2"; else echo "FAILED  | $2"; failed=1; fi
}

# One connection after the other from each of 200 addresses.
address() { echo "10.99.1.$((1 + $1 % 200))"; }

# What sshd and the signer still run for clients, besides the listener itself.
leftovers() {
    pgrep '^etcd-signer' | wc -l
    # sshd, and sshd-session and sshd-auth since OpenSSH 9.8 and 10.0.
    pgrep '^sshd' | grep -cvx "$sshd_pid"
}
nothing_left() { [ "$(leftovers | tr '\n' ' ')" = "0 0 " ]; }

# A master's script: up to eight tries, some seconds apart, for what may pass (74, 69, 255).
master() {
    local code left=8
    mkdir -p "$bed/masters/$1"
    request "kubemaster-$1" >"$bed/masters/$1/csr"
    touch "$bed/masters/$1/made"
    wait_until 600 test -e "$bed/go"
    while [ "$left" -gt 0 ]; do
        left=$((left - 1))
        client -b "$(address "$1")" leader "kubemaster-$1" <"$bed/masters/$1/csr" \
            >"$bed/masters/$1/crt" 2>>"$bed/masters/$1/err"
        code=$?
        echo "$code" >>"$bed/masters/$1/codes"
        case $code in
            0) return ;;
            69 | 74 | 255) sleep "$((1 + RANDOM % 4)).$((RANDOM % 10))" ;;
            *) return ;;
        esac
    done
}

masters() {
    local count=${MASTERS:-200} i jobs=() good=0 tries
    rm -rf "$bed/masters" "$bed/go"
    for i in $(seq "$count"); do master "$i" & jobs+=($!); done
    wait_until 300 all_made "$count" || fatal "no requests"
    local begin=$SECONDS
    touch "$bed/go"
    wait "${jobs[@]}"
    local took=$((SECONDS - begin))
    for i in $(seq "$count"); do
        openssl verify -purpose sslclient -CAfile /etc/etcd/pki/ca.crt "$bed/masters/$i/crt" \
            >/dev/null 2>&1 || continue
        [ "$(openssl x509 -in "$bed/masters/$i/crt" -noout -subject -nameopt RFC2253)" = "subject=CN=kubemaster-$i" ] &&
            good=$((good + 1))
    done
    tries=$(cat "$bed"/masters/*/codes | sort | uniq -c | awk '{ printf "%s times exit %s; ", $1, $2 }')
    [ "$good" = "$count" ]
    verdict $? "$count masters at once: $good got their own certificate, in $took s; $tries"
    wait_until 60 nothing_left
    verdict $? "and nothing of them is left (signers, sshd): $(leftovers | tr '\n' ' ')"
}
all_made() { [ "$(find "$bed/masters" -name made | wc -l)" = "$1" ]; }

# A client that says what it wants and never sends it. It tries again if it was turned away.
staller() {
    local code=255 left=60
    until [ "$code" != 255 ] || [ "$left" = 0 ]; do
        left=$((left - 1))
        client -b "$(address "$1")" leader kubemaster-m <"$bed/never" >/dev/null 2>"$bed/stalled/$1.err"
        code=$?
    done
    echo "$code" >"$bed/stalled/$1.code"
}

stalled() {
    local count=${STALLED:-500} i jobs=() most=0 now
    mkdir -p "$bed/stalled"
    rm -f "$bed/never"
    mkfifo "$bed/never"
    # Held open for writing, so that it never ends.
    local writer
    exec {writer}<>"$bed/never"
    local begin=$SECONDS
    for i in $(seq "$count"); do staller "$i" & jobs+=($!); done
    while [ "$(find "$bed/stalled" -name '*.code' | wc -l)" -lt "$count" ]; do
        now=$(pgrep -c '^etcd-signer')
        [ "$now" -le "$most" ] || most=$now
        sleep 0.5
        [ $((SECONDS - begin)) -lt 900 ] || break
    done
    local ended
    ended=$(cat "$bed"/stalled/*.code | sort | uniq -c | awk '{ printf "%s times exit %s; ", $1, $2 }')
    [ "$ended" = "$count times exit 74; " ]
    verdict $? "$count stalled requests, up to $most at a time, $((SECONDS - begin)) s: $ended"
    grep -q 'did not end within' "$bed/stalled/1.err"
    verdict $? "each is told: $(tail -n 1 "$bed/stalled/1.err" | tr -d '\r')"
    wait_until 60 nothing_left
    verdict $? "and nothing of them is left (signers, sshd): $(leftovers | tr '\n' ' ')"
    wait "${jobs[@]}"
    exec {writer}>&-
}

# More than enough for the default of PerSourcePenalties: a second for each, counted from 15 on.
health() {
    local i
    for i in $(seq 60); do in_net bash -c ': <>/dev/tcp/10.99.0.1/22' || fatal "no connection"; done
    wait_until 60 nothing_left || fatal "connections that ended are still there"
    client -b 10.99.1.1 leader kubemaster-m <"$bed/m.csr" >"$bed/crt" 2>"$bed/err"
    verdict $? "60 bare connections, and a master behind the same address: $(cat "$bed/crt" "$bed/err" | head -n 1 | tr -d '\r')"
}

# Three ways to hold a connection without a request.
silent() {
    local i
    cat >"$bed/hold.py" <<'END'
import socket, sys, time
held = [socket.create_connection(("10.99.0.1", 22)) for _ in range(int(sys.argv[1]))]
print("held", flush=True)
time.sleep(1000)
END
    in_net /usr/bin/python3 "$bed/hold.py" 100 >"$bed/held" &
    local holder=$!
    wait_until 30 grep -qs held "$bed/held" || fatal "no connections held"
    local jobs=()
    for i in $(seq 20); do client -N leader </dev/null >/dev/null 2>&1 & jobs+=($!); done
    # Twenty that log in, send a request and are stopped before they read the answer.
    for i in $(seq 20); do
        client -b "$(address "$i")" leader kubemaster-m < <(sleep 5; cat "$bed/m.csr") >/dev/null 2>&1 &
        jobs+=($!)
    done
    wait_until 60 twenty_signers
    pkill -STOP -f 'leader kubemaster-m$'
    verdict 0 "100 silent connections, 20 with -N, 20 stopped: (signers, sshd) $(leftovers | tr '\n' ' ')"
    local begin=$SECONDS
    wait_until 300 nothing_left
    verdict $? "after $((SECONDS - begin)) s nothing of them is left: $(leftovers | tr '\n' ' ')"
    pkill -CONT -f 'leader kubemaster-m$'
    kill "$holder" "${jobs[@]}" 2>/dev/null
}
twenty_signers() { [ "$(pgrep -c '^etcd-signer')" = 20 ]; }

cut_off() {
    client leader kubemaster-m >/dev/null 2>&1 < <(sleep 1000) &
    local job=$! begin=$SECONDS
    wait_until 20 pgrep '^etcd-signer' >/dev/null || { verdict 1 "no signer ran"; return; }
    ip -n net link set client0 down
    wait_until 60 no_signer
    verdict $? "the network is cut: the signer is gone after $((SECONDS - begin)) s"
    wait_until 300 nothing_left
    verdict $? "and so is sshd's connection after $((SECONDS - begin)) s: $(leftovers | tr '\n' ' ')"
    kill "$job" 2>/dev/null
}

make_bed
install -m 0644 "$bed/deploy/etcd-signer/sshd/00-etcd-signer.conf" /etc/ssh/sshd_config.d/
[ "${LIMITS:-yes}" = no ] || install_limits
# The clients' own choice of a key exchange, the costly part of a login.
sed -i '/KexAlgorithms/d' "$bed/ssh_config"
"$bed/deploy/etcd-signer/etcd-signer-endpoint" open --networks 10.99.1.0/24,fd99:1::/64 >"$bed/out" 2>&1 ||
    fatal "$(cat "$bed/out")"
if [ -n "${WITHOUT:-}" ]; then
    drop_in=/etc/ssh/sshd_config.d/00-etcd-signer.conf
    grep -qE "^ *($WITHOUT)" $drop_in || fatal "no line matches $WITHOUT in $drop_in"
    sed -i -E "/^ *($WITHOUT)/d" $drop_in
fi
[ "${PENALTIES:-yes}" = yes ] || rm -f /etc/ssh/sshd_config.d/00-etcd-signer-penalties.conf
start_sshd 22 /etc/ssh/sshd_config
ssh -V 2>&1
sshd -T | grep -i '^persourcepenalt' || echo "this sshd has no PerSourcePenalties (OpenSSH 9.8 and later have)"
mkdir -p "$bed/stalled" "$bed/masters"
[ $# -gt 0 ] || set -- masters stalled health silent cut
for part; do
    case $part in
        masters) masters ;;
        stalled) stalled ;;
        health) health ;;
        silent) silent ;;
        cut) cut_off ;;
        *) fatal "no part $part" ;;
    esac
done
exit "$failed"
