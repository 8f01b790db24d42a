# shellcheck shell=bash disable=SC2016,SC2154 # what is quoted is the hosts' to expand; run.sh sets $package
# What the themes have in common: checks by name, packages, masters, etcdctl. Sourced by run.sh.

# shellcheck source=tests/tools/rows.sh
. tests/tools/rows.sh
# ok WHAT COMMAND...: a check, by name. What the command printed is shown if it fails.
ok() {
    local what=$1 output
    shift
    if output=$("$@" 2>&1); then
        report ok "$what"
    else
        report FAILED "$what" >&2
        echo "$output" >&2
        exit 1
    fi
}
# refused WHAT WORDS COMMAND...: the command must fail, and say these words.
refused() {
    local what=$1 words=$2 output
    shift 2
    if output=$("$@" 2>&1); then
        report FAILED "$what" "it was not refused" >&2
        echo "$output" >&2
        exit 1
    fi
    if ! grep -qF -- "$words" <<<"$output"; then
        report FAILED "$what" "not with «$words», but:" >&2
        echo "$output" >&2
        exit 1
    fi
    report ok "$what" "$(grep -F -m 1 -- "$words" <<<"$output" | cut -c1-170)"
}
same() { [ "$1" = "$2" ] || { diff <(echo "$1") <(echo "$2"); return 1; }; }
install_client() {
    put "$client_package" "$1:/root"
    on "$1" "dpkg -i /root/$(basename "$client_package")"
}
# etcdctl on a master, with the files that its kube-apiserver would use.
etcd_of() { # MASTER MEMBER ARGUMENT...
    on "$1" "cd /etc/kubernetes/pki; ETCDCTL_API=3 etcdctl --cacert etcd/ca.crt --cert apiserver-etcd-client.crt \
        --key apiserver-etcd-client.key --endpoints https://$(address "$2"):2379 ${*:3}"
}
serial_of() { on "$1" "openssl x509 -in $certificate -noout -serial"; }
renewed() { [ "$(serial_of "$1")" != "$2" ]; }
section() { printf '\n== %s (after %d s)\n' "$1" $SECONDS; }

install_package() {
    put "$package" "$1:/root"
    on "$1" "dpkg -i /root/$(basename "$package")"
}
first_boot() { on "$1" "/root/setup/first-boot.sh ${*:2}"; }
# Beside the command, the same with a copy that an operator kept.
saved_copy() { on "$1" "/root/kept.sh ${*:2}"; }
ctl() { on "$1" "set -a; . /etc/etcd/etcdctl.env; etcdctl ${*:2}"; }
members() { ctl "$1" member list | cut -d, -f2,3,6 | sort; }
# What sshd would do with another user's login. (OpenSSH 9.8 and later know penalties for addresses;
# that the masters' networks are exempt from them is for the whole sshd.)
for_others() {
    local user
    for user in root alice nobody; do
        on "$1" "sshd -T -C user=$user,host=x,addr=10.9.9.9 | grep -v ^persourcepenaltyexemptlist"
    done
}
# All that a refused run could have changed, but for its log and its lock. (What is in a running
# member's data changes all the time.)
footprint() {
    on "$1" 'find /etc /root /var/lib/etcd /var/lib/etcd-signer /usr/bin/etcd-signer /usr/sbin \
        -path /var/lib/etcd/cluster/member -prune -o -printf "%p %m %U %s %T@ %l\n" 2>/dev/null | grep -v "^/root/.ssh" | sort | sha256sum;
        systemctl is-active etcd.service || :'
}
# changes_nothing HOST WHAT WORDS COMMAND...: refused, and the host is as it was.
changes_nothing() {
    local host=$1 before
    before=$(footprint "$host")
    refused "${@:2}"
    ok "  and nothing has changed on $host" same "$before" "$(footprint "$host")"
}

# A master is a folder here, on the switch, and asks as the README's three lines do.
master() { # NAME LEADER
    local dir=$BED/work/$1
    mkdir -p "$dir"
    as_master "$2" get-certificate >"$dir/ca.crt"
    [ -e "$dir/client.key" ] || openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$dir/client.key" 2>/dev/null
    openssl req -new -key "$dir/client.key" -subj "/CN=$1" | base64 |
        as_master "$2" "$1" >"$dir/client.crt"
    openssl verify -purpose sslclient -CAfile "$dir/ca.crt" "$dir/client.crt"
}
as_master() {
    ip netns exec switch ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o LogLevel=ERROR \
        -o UserKnownHostsFile=/dev/null -o ConnectTimeout=5 "signer@$(address "$1")" "$2"
}
master_ctl() { # NAME HOST ARGUMENT...
    ip netns exec switch env ETCDCTL_API=3 etcdctl --cacert "$BED/work/$1/ca.crt" \
        --cert "$BED/work/$1/client.crt" --key "$BED/work/$1/client.key" \
        --endpoints "https://$(address "$2"):2379" --command-timeout 5s "${@:3}"
}
writes_and_reads() { # NAME HOST...
    local host
    for host in "${@:2}"; do
        master_ctl "$1" "$host" put "bed/$1" "via $host" >/dev/null
        [ "$(master_ctl "$1" "$host" get --print-value-only "bed/$1")" = "via $host" ]
    done
}
# The answer to an HTTP request over TLS, with a certificate or none: its first line.
http() { # HOST PORT PATH CERTIFICATE-DIR [OPTION...]
    printf 'GET %s HTTP/1.0\r\n\r\n' "$3" | ip netns exec switch timeout 10 openssl s_client -quiet \
        -connect "$(address "$1"):$2" -CAfile "$4/ca.crt" -cert "$4/client.crt" -key "$4/client.key" \
        "${@:5}" 2>/dev/null | head -n 1 | tr -d '\r' || :
}
# The longest time between two acknowledged writes, in ms, since the line given, in a log of writer.py.
longest_gap() {
    tail -n "+$1" "${2:-$BED/work/writes}" | awk '/^#/ { errors++; next }
        last { gap = ($1 - last) * 1000; if (gap > longest) longest = gap } { last = $1; writes++ }
        END { printf "%d ms, over %d writes, %d of them failed\n", longest, writes, errors }'
}
