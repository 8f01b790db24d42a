#!/bin/bash
# demo.sh SIGNER: the story of the README on loopback, each step shown as it is run. Everything is
# in a folder that is gone afterwards; the servers end with it.
set -euo pipefail

signer=$(realpath "$1")
if [ "$(id -u)" = 0 ] && [ -z "${DEMO_INSIDE:-}" ]; then
    # sshd, run by root, wants /run/sshd. In a mount namespace of the demo's own, and with a
    # process namespace that takes every process with it, nothing on the machine changes.
    exec env DEMO_INSIDE=1 unshare --mount --propagation private --pid --fork --kill-child=KILL \
        --mount-proc "$0" "$signer"
fi

dir=$(mktemp -d)
pids=()
cleanup() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || :; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || :; done
    rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

mkdir -m 700 "$dir/leader" "$dir/master"
if [ "$(id -u)" = 0 ]; then
    mount -t tmpfs -o mode=755 tmpfs /run
    mkdir /run/sshd
    # sshd refuses a locked account even to a key.
    sed 's/^root:!/root:*/' /etc/shadow >"$dir/shadow"
    chmod 600 "$dir/shadow"
    mount --bind "$dir/shadow" /etc/shadow
fi

bold="" plain=""
if [ -t 1 ]; then bold=$(tput bold 2>/dev/null || :) plain=$(tput sgr0 2>/dev/null || :); fi
step() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
# Shows a line as it would be typed, and runs it.
run() {
    printf '%s$ %s%s\n' "$bold" "$1" "$plain"
    eval "$1"
}
free_port() {
    local port
    while :; do
        port=$((RANDOM % 20000 + 20000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
    done
}
wait_for() {
    local what=$1 log=$2
    shift 2
    for _ in $(seq 300); do
        if "$@" 2>/dev/null; then return; fi
        sleep 0.1
    done
    echo "demo.sh: $what did not come up:" >&2
    tail -n 20 "$log" >&2
    exit 1
}

step "On the leader: a certificate authority"
cd "$dir/leader"
PATH=$(dirname "$signer"):$PATH
run "etcd-signer ca init --directory pki"
run "ls -l pki"

step "On the leader: etcd, which takes only clients with a certificate of that CA"
client_port=$(free_port)
peer_port=$(free_port)
cat >server.ext <<EOF
subjectAltName = IP:127.0.0.1
extendedKeyUsage = serverAuth
EOF
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key \
    -subj /CN=etcd -out server.csr 2>/dev/null
openssl x509 -req -in server.csr -CA pki/ca.crt -CAkey pki/ca.key -set_serial 1 -days 2 \
    -extfile server.ext -out server.crt 2>/dev/null
printf '%s$ etcd --client-cert-auth --trusted-ca-file pki/ca.crt --cert-file server.crt ... &%s\n' "$bold" "$plain"
ETCD_UNSUPPORTED_ARCH=$(uname -m | sed 's/aarch64/arm64/') setpriv --pdeathsig KILL etcd \
    --data-dir data --client-cert-auth --trusted-ca-file pki/ca.crt \
    --cert-file server.crt --key-file server.key \
    --listen-client-urls "https://127.0.0.1:$client_port" \
    --advertise-client-urls "https://127.0.0.1:$client_port" \
    --listen-peer-urls "http://127.0.0.1:$peer_port" \
    --initial-advertise-peer-urls "http://127.0.0.1:$peer_port" \
    --initial-cluster "default=http://127.0.0.1:$peer_port" >etcd.log 2>&1 &
pids+=($!)

step "On the leader: sshd, whose only login is the signer"
ssh_port=$(free_port)
cat >config.toml <<EOF
ca_certificate = "$dir/leader/pki/ca.crt"
ca_key = "$dir/leader/pki/ca.key"
etcd_endpoints = ["https://127.0.0.1:$client_port"]
EOF
ssh-keygen -q -t ed25519 -N '' -f host
ssh-keygen -q -t ed25519 -N '' -C demo -f client
cat >sshd_config <<EOF
ListenAddress 127.0.0.1:$ssh_port
HostKey $dir/leader/host
PidFile none
AuthorizedKeysFile $dir/leader/client.pub
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
DisableForwarding yes
PermitTTY no
ForceCommand $signer serve --config $dir/leader/config.toml
EOF
run "grep ForceCommand sshd_config"
setpriv --pdeathsig KILL /usr/sbin/sshd -D -e -f "$dir/leader/sshd_config" >sshd.log 2>&1 &
pids+=($!)
cat >ssh_config <<EOF
Host leader
    HostName 127.0.0.1
    Port $ssh_port
    IdentityFile $dir/leader/client
    IdentitiesOnly yes
    UserKnownHostsFile $dir/leader/known_hosts
    StrictHostKeyChecking accept-new
    BatchMode yes
    LogLevel ERROR
EOF
wait_for sshd "$dir/leader/sshd.log" grep -q "Server listening" sshd.log
wait_for etcd "$dir/leader/etcd.log" grep -q "ready to serve client requests" etcd.log
echo "sshd listens on port $ssh_port, etcd on port $client_port."

cd "$dir/master"
export HOSTNAME=kubemaster-1 ETCDCTL_API=3
# The account here is the one that runs the demo: -l comes first, and wins over signer@.
ssh() { command ssh -F "$dir/leader/ssh_config" -l "$(id -un)" "$@"; }

step "On the master, $HOSTNAME: its own key, and a request"
run "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout client.key -subj /CN=\$HOSTNAME -out client.csr 2>/dev/null"

step "On the master: the three lines"
# shellcheck disable=SC2016 # shown as typed; eval expands
{
    run 'ssh signer@leader get-certificate > ca.crt'
    run 'base64 < client.csr | ssh signer@leader "$HOSTNAME" > client.crt'
    run 'ssh signer@leader get-peers'
}

step "What was issued: 24 hours, a client's, this name, and nothing else"
run "openssl x509 -in client.crt -noout -text -certopt no_pubkey,no_sigdump"
run "openssl verify -purpose sslclient -CAfile ca.crt client.crt"

step "etcd accepts it"
# shellcheck disable=SC2016
run 'export ETCDCTL_ENDPOINTS=$(ssh signer@leader get-peers | paste -sd,)'
run "export ETCDCTL_CACERT=ca.crt ETCDCTL_CERT=client.crt ETCDCTL_KEY=client.key"
run "etcdctl endpoint health"
run "etcdctl put /demo 'hello from $HOSTNAME'"
run "etcdctl get /demo"

step "Anything else is refused"
# shellcheck disable=SC2016
for line in 'base64 < client.csr | ssh signer@leader kubemaster-2' \
    'ssh signer@leader "cat /etc/shadow"' 'ssh signer@leader'; do
    if run "$line"; then
        echo "demo.sh: that should have been refused" >&2
        exit 1
    else
        echo "(exit code $?)"
    fi
done

step "Done. The servers end now, and the folder with everything in it is removed."
