#!/bin/bash
# The endpoint under load, with the real sshd under the shipped limits file. As root:
#
#   SIGNER=target/static/etcd-signer load.sh [masters|stalled|silent|cut]...
#
#   masters  200 masters at once, each trying again as a script would: all get a certificate
#   stalled  500 requests whose input never ends: gone after the signer's deadline
#   silent   connections that never log in, ask for nothing, or stop reading: gone after sshd's
#   cut      a client's network is cut, without a word: nothing of it is left
#
# masters and stalled take half a minute each, the others some three. MASTERS and STALLED are
# other numbers to try; WITHOUT=REGEX takes lines out of the drop-in, LIMITS=no leaves the
# limits file out.
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
    pgrep -f '^sshd: ' | grep -cvx "$sshd_pid"
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
        [ "$(openssl x509 -in "$bed/masters/$i/crt" -noout -subject)" = "subject=CN = kubemaster-$i" ] &&
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
install_dropin "$bed/deploy/etcd-signer/sshd/00-etcd-signer.conf" ${WITHOUT:+"$WITHOUT"}
[ "${LIMITS:-yes}" = no ] || install_limits
# The clients' own choice of a key exchange, the costly part of a login.
sed -i '/KexAlgorithms/d' "$bed/ssh_config"
start_sshd 22 /etc/ssh/sshd_config
mkdir -p "$bed/stalled" "$bed/masters"
[ $# -gt 0 ] || set -- masters stalled silent cut
for part; do
    case $part in
        masters) masters ;;
        stalled) stalled ;;
        silent) silent ;;
        cut) cut_off ;;
        *) fatal "no part $part" ;;
    esac
done
exit "$failed"
