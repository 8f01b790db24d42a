# shellcheck shell=bash
# A bed for tests against the real sshd, in mount, network and process namespaces of its own.
#
# /etc, /home, /root, /run, /tmp, /var/log and /var/tmp are copies or empty, and /usr/bin gets
# one more file, the signer. Nothing on the machine changes, and when the script ends, every
# process that it started is gone with the process namespace. (To end it from elsewhere: kill
# its process group, or unshare with KILL; unshare alone does not listen to TERM.)
#
#   10.99.0.1, fd99::1    the leader, where sshd runs (this namespace)
#   10.99.1.x, fd99:1::1  clients in the named networks (namespace "net", where clients run)
#   10.99.2.1, fd99:2::1  a client outside of them

set -u
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../../.." && pwd)
bed=/mnt/bed

fatal() { echo "bed: $*" >&2; exit 2; }

# Starts the script again inside of the namespaces. Its arguments are kept.
enter_namespaces() {
    [ "$(id -u)" = 0 ] || fatal "root is needed: for namespaces, sshd and su"
    [ -n "${SIGNER:-}" ] || fatal "SIGNER must name the etcd-signer executable"
    local tool
    for tool in unshare nsenter ip sshd ssh ssh-keygen openssl useradd runuser setpriv su pgrep; do
        command -v "$tool" >/dev/null || fatal "$tool is missing: see tests/tools/install.sh"
    done
    if [ -z "${IN_BED:-}" ]; then
        IN_BED=1 exec unshare --mount --net --pid --fork --kill-child --mount-proc \
            --propagation private -- bash "$0" "$@"
    fi
    # unshare itself ignores these, and so would the first process of a namespace.
    trap 'exit 130' INT TERM HUP
}

make_bed() {
    mount -t tmpfs -o mode=0755 tmpfs /mnt || fatal "no tmpfs"
    mkdir -p "$bed/bin"
    cp -a /etc "$bed/etc"
    cp -r "$top/deploy" "$bed/deploy"
    # What is run later must not be below a folder that is covered here.
    cp -r "$here/"*.py "$here/attacks" "$bed/"
    mkdir "$bed/upper" "$bed/work"
    install -m 0711 "$SIGNER" "$bed/upper/etcd-signer" || fatal "no signer at $SIGNER"
    ln -s etcd-signer "$bed/upper/etcd-signer-login"
    [ -z "${CLIENT_CERT:-}" ] || install -m 0755 "$CLIENT_CERT" "$bed/upper/etcd-client-cert"
    mount -t overlay -o "lowerdir=/usr/bin,upperdir=$bed/upper,workdir=$bed/work" \
        overlay /usr/bin || fatal "no overlay over /usr/bin"
    chmod 0755 /usr/bin
    mount --bind "$bed/etc" /etc
    local directory
    for directory in /home /root /run /var/log; do
        mount -t tmpfs -o mode=0755 tmpfs "$directory"
    done
    for directory in /tmp /var/tmp; do mount -t tmpfs -o mode=1777 tmpfs "$directory"; done
    mkdir -m 0755 /run/sshd
    cd / || exit 2
    export HOME=/root TMPDIR=/tmp
    unset SSH_AUTH_SOCK SSH_CONNECTION SSH_ORIGINAL_COMMAND DISPLAY
    make_networks
    make_accounts
    make_pki
    make_ssh
    sha256sum /etc/etcd/pki/* >"$bed/pki.sha256"
}

make_networks() {
    ip link set lo up
    ip netns add net
    ip link add name leader0 type veth peer name client0 netns net || fatal "no veth pair"
    ip address add 10.99.0.1/16 dev leader0
    ip address add fd99::1/16 dev leader0 nodad
    ip link set leader0 up
    local i
    {
        for i in $(seq 1 220); do echo "address add 10.99.1.$i/16 dev client0"; done
        echo "address add 10.99.2.1/16 dev client0"
        echo "address add fd99:1::1/16 dev client0 nodad"
        echo "address add fd99:2::1/16 dev client0 nodad"
        echo "link set client0 up"
        echo "link set lo up"
    } | ip -n net -batch - || fatal "no client addresses"
}

make_accounts() {
    sed -i '/^signer:/d;/^mallory:/d;/^alice:/d' /etc/passwd /etc/shadow /etc/group /etc/gshadow
    if command -v systemd-sysusers >/dev/null; then
        systemd-sysusers "$bed/deploy/etcd-signer/sysusers.d/etcd-signer.conf" 2>"$bed/sysusers.log" ||
            fatal "sysusers: $(cat "$bed/sysusers.log")"
    else
        groupadd --system signer
        useradd --system --gid signer --home-dir / --no-create-home \
            --shell /usr/bin/etcd-signer-login --comment "etcd-signer endpoint" signer
    fi
    getent shadow signer | cut -d: -f2 >"$bed/password.made"
    passwd --delete signer >/dev/null
    # mallory is a local user; alice has an empty password too, which must not let her in.
    useradd --create-home --shell /bin/bash mallory
    useradd --create-home --shell /bin/bash alice
    passwd --delete alice >/dev/null
}

make_pki() {
    mkdir -p /etc/etcd
    etcd-signer ca init --directory /etc/etcd/pki >/dev/null || fatal "no CA"
    chmod 0755 /etc/etcd /etc/etcd/pki
    chmod 0400 /etc/etcd/pki/ca.key
    chown signer: /etc/etcd/pki/ca.key
    openssl ecparam -name prime256v1 -genkey -noout -out "$bed/m.key" 2>/dev/null
    request kubemaster-m >"$bed/m.csr"
    chmod 0644 "$bed/m.csr"
}

# The base64 of a request for a name.
request() { openssl req -new -key "$bed/m.key" -subj "/CN=$1" 2>/dev/null | base64 -w0; }

# The shipped drop-in with the test's networks in it, before an sshd_config that undoes
# whatever it leaves open: every line of the drop-in is needed.
make_ssh() {
    ssh-keygen -q -A
    grep -q '^Include /etc/ssh/sshd_config.d/' /etc/ssh/sshd_config ||
        fatal "/etc/ssh/sshd_config does not include sshd_config.d"
    rm -f /etc/ssh/sshd_config.d/*
    ssh-keygen -q -t ed25519 -N '' -f "$bed/key"
    install -m 0644 "$bed/key.pub" /etc/ssh/everybody
    cat >>/etc/ssh/sshd_config <<'END'
AllowUsers mallory alice root nobody signer@10.99.2.1 signer@fd99:2::1
AcceptEnv *
PermitUserEnvironment yes
Banner /etc/ssh/banner
AuthorizedKeysFile /etc/ssh/everybody
GatewayPorts clientspecified
Match User signer
    PermitEmptyPasswords yes
    PasswordAuthentication yes
    KbdInteractiveAuthentication yes
    PermitTTY yes
    AllowTcpForwarding yes
    AllowStreamLocalForwarding yes
    AllowAgentForwarding yes
    X11Forwarding yes
    PermitTunnel yes
    PermitUserRC yes
    MaxSessions 10
END
    echo "GREETING" >/etc/ssh/banner
    # In the clients' network: any command, and ssh.
    printf '#!/bin/sh\nexec nsenter --net=/run/netns/net -- "$@"\n' >"$bed/bin/in_net"
    printf '#!/bin/sh\nexec in_net ssh -F %s "$@"\n' "$bed/ssh_config" >"$bed/bin/client"
    chmod 0755 "$bed/bin/"*
    PATH=$PATH:$bed/bin
    cat >"$bed/ssh_config" <<END
Host leader
    HostName 10.99.0.1
Host *
    User signer
    BindAddress 10.99.1.1
    UserKnownHostsFile $bed/known_hosts
    GlobalKnownHostsFile /dev/null
    KexAlgorithms curve25519-sha256
    HostKeyAlgorithms ssh-ed25519
    ConnectTimeout 20
    NumberOfPasswordPrompts 1
    BatchMode yes
END
    echo "* $(cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub)" >"$bed/known_hosts"
}

# install_dropin FILE [REGEX...]: without the lines that a pattern matches.
install_dropin() {
    local file=$1 to pattern
    to=/etc/ssh/sshd_config.d/$(basename "$file")
    shift
    sed 's|192\.0\.2\.0/24,2001:db8::/32|10.99.1.0/24,fd99:1::/64|' "$file" >"$to"
    grep -q 'Address 10.99.1.0/24,fd99:1::/64$' "$to" || fatal "$file: no networks to replace"
    for pattern; do
        grep -qE "^ *$pattern" "$to" || fatal "no line matches $pattern in $file"
        sed -i -E "/^ *$pattern/d" "$to"
    done
}

# The optional limits for the whole sshd, beside whichever drop-in.
install_limits() {
    install -m 0644 "$bed/deploy/etcd-signer/sshd/00-etcd-signer-limits.conf" /etc/ssh/sshd_config.d/
    sshd -T | grep -qix 'maxstartups 300:30:600' || fatal "the limits do not reach sshd"
}

# start_sshd PORT CONFIG: its log is $bed/sshd.PORT.log. sets sshd_pid
start_sshd() {
    /usr/sbin/sshd -D -e -p "$1" -f "$2" -o "PidFile=/run/sshd.$1.pid" 2>"$bed/sshd.$1.log" &
    sshd_pid=$!
    local i
    for i in $(seq 100); do
        grep -q 'listening on 0.0.0.0' "$bed/sshd.$1.log" && return
        kill -0 "$sshd_pid" 2>/dev/null || break
        sleep 0.1
    done
    fatal "sshd does not start after $i looks: $(cat "$bed/sshd.$1.log")"
}

# wait_until SECONDS COMMAND...: whether it came true. The bound only catches a hang.
wait_until() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.1
    done
}

signers() { pgrep '^etcd-signer'; }
no_signer() { ! signers >/dev/null; }
