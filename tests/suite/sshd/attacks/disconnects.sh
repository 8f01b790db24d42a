# shellcheck shell=bash disable=SC2034,SC2154 # attacks.sh and lib.sh set and use them
# Clients that go away or stay, and what is left after all rows: it comes last. Sourced by attacks.sh.

vanished() {
    hold || return 1
    kill -KILL "$holder"
    { wait "$holder"; } 2>/dev/null
    wait_until 20 no_signer || { said="the signer is still there"; return 1; }
    wait_until 20 no_sessions || { said="sshd is still there: $(sessions)"; return 1; }
    said="the client was killed: no signer and no sshd of its connection is left"
}
sessions() { pgrep -a -f 'sshd: signer'; }
no_sessions() { ! sessions >/dev/null; }

unchanged() {
    said="$(wc -l <"$bed/pki.sha256") files under /etc/etcd/pki as they were; nothing new there"
    sha256sum --quiet -c "$bed/pki.sha256" && [ "$(find /etc/etcd/pki -type f | wc -l)" = \
        "$(wc -l <"$bed/pki.sha256")" ] && [ -z "$(find / -xdev -user signer -newer "$bed/pki.sha256" \
        -path /etc/\* 2>/dev/null)" ]
}

no_session() {
    # It was started with the first rows; sshd ends it after 30 s.
    wait_until 60 no_session_gone || { said="the connection is still there"; return 1; }
    said="sshd after 30 s: $(grep -o 'terminating inactive.*' "$bed/sshd.22.log" | head -n 1)"
    [ ! -s "$bed/N.out" ] && grep -q 'terminating inactive connection from user signer' \
        "$bed/sshd.22.log"
}

no_session_gone() { ! kill -0 "$idle" 2>/dev/null; }

all_recorded() {
    local serial count=0
    while read -r serial; do
        count=$((count + 1))
        recorded "$serial" || { said="no record of $serial"; return 1; }
    done <"$bed/serials"
    said="each of $count certificates has its record with its serial number"
    [ "$count" -gt 0 ]
}

row "vanished" "the client is killed while its request waits" vanished
row "-N" "ssh -N signer@leader" no_session
row "recorded" "the journal: all certificates of the rows above" all_recorded
row "unchanged" "the CA's files after all of this" unchanged
