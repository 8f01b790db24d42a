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

rows=0 failed=0 missing=0 said=''

# row NAME TRIED FUNCTION: the function says in $said what happened; 0 is as it should be,
# 3 is that something for it is missing.
row() {
    if [ -n "$only" ] && ! [[ $1 =~ ^($only)$ ]]; then return; fi
    said=''
    local verdict=ok began=$SECONDS
    "$3"
    case $? in
        0) ;;
        3) verdict=MISSING missing=$((missing + 1)) ;;
        *) verdict=FAILED failed=$((failed + 1)) ;;
    esac
    rows=$((rows + 1))
    said=${said//$'\n'/ }
    [ -z "${TIMES:-}" ] || said="$((SECONDS - began)) s; $said"
    printf '%-7s | %-28s | %-58s | %s\n' "$verdict" "$1" "$2" "${said//$'\r'/}"
}

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

# ---------------------------------------------------------------- the main job

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

# ---------------------------------------------------------------- shells and terminals

no_command() { attempt client leader; nothing_came 64; }
shell_command() { attempt client leader 'id; cat /etc/passwd'; nothing_came 64; }
injected() {
    # shellcheck disable=SC2016
    attempt client leader 'kubemaster-$(id >/tmp/pwned)' && nothing_came 64 && [ ! -e /tmp/pwned ]
}
# ssh asks for a terminal only where it has one itself, and gives up when it gets none.
pty() {
    timeout 60 script -qec 'client -t leader get-certificate' "$bed/script" >/dev/null 2>&1 </dev/null
    said=$(grep -ao 'PTY allocation request failed[a-z 0-9]*' "$bed/script")
    [ -n "$said" ] && ! grep -qa CERTIFICATE "$bed/script"
}
pty_forced() {
    attempt client -v -tt leader id
    nothing_came || return 1
    said="exit $code, no output; $(grep -ao 'PTY allocation request failed[a-z 0-9]*' "$bed/err")"
    grep -qa 'PTY allocation request failed' "$bed/err"
}
subsystem() { attempt client -s leader sftp; nothing_came 64; }
sftp_get() {
    echo 'get /etc/passwd /tmp/stolen' >"$bed/batch"
    attempt in_net sftp -F "$bed/ssh_config" -b "$bed/batch" leader
    nothing_came && [ ! -e /tmp/stolen ]
}
copy() {
    rm -f /tmp/stolen /tmp/planted
    attempt "$@"
    nothing_came && [ ! -e /tmp/stolen ] && [ ! -e /tmp/planted ]
}
scp_with() { copy in_net scp -F "$bed/ssh_config" "$@"; }
scp_down() { scp_with leader:/etc/passwd /tmp/stolen; }
scp_up() { scp_with "$bed/m.csr" leader:/tmp/planted; }
scp_old_down() { scp_with -O leader:/etc/passwd /tmp/stolen; }
scp_old_up() { scp_with -O "$bed/m.csr" leader:/tmp/planted; }
rsync_with() {
    command -v rsync >/dev/null || { said="rsync is not installed"; return 3; }
    copy in_net rsync -e "ssh -F $bed/ssh_config" "$@"
}
rsync_down() { rsync_with leader:/etc/passwd /tmp/stolen; }
rsync_up() { rsync_with "$bed/m.csr" leader:/tmp/planted; }

# ---------------------------------------------------------------- forwarding

# forward ARGUMENTS... -- READER...: opens it without a session, then reads through it.
forward() {
    local options=()
    while [ "$1" != -- ]; do options+=("$1"); shift; done
    shift
    rm -f /tmp/*.sock
    client -N -o ExitOnForwardFailure=yes "${options[@]}" leader >"$bed/out" 2>"$bed/err" &
    local job=$! data
    # It is up when the reader gets an answer, or the client has given up.
    wait_until 15 forward_settled "$job"
    data=$("$@" 2>"$bed/reader")
    sleep 0.3
    kill "$job" 2>/dev/null
    wait "$job" 2>/dev/null
    said="no byte came through; $(grep -aio 'open failed.*\|remote forward fail.*' \
        "$bed/err" | head -n 1); $(tail -n 1 "$bed/reader")"
    [ -z "$data" ] || { said="CAME THROUGH: $data"; return 1; }
}
forward_settled() {
    ! kill -0 "$1" 2>/dev/null || {
        grep -q 'Entering interactive session' "$bed/err" &&
            { ! grep -q 'Remote connections from' "$bed/err" || grep -q 'remote forward' "$bed/err"; }
    }
}
peer_in_net() { in_net /usr/bin/python3 "$bed/peer.py" "$@"; }
peer_here() { /usr/bin/python3 "$bed/peer.py" "$@"; }

local_forward() { forward -v -L 9001:127.0.0.1:7001 -- peer_in_net read tcp 127.0.0.1 9001; }
dynamic_forward() { forward -v -D 9001 -- peer_in_net read socks 9001 127.0.0.1 7001; }
remote_forward() { forward -v -R 9003:127.0.0.1:7002 -- peer_here read tcp 127.0.0.1 9003; }
remote_dynamic() { forward -v -R 9003 -- peer_here read socks 9003 127.0.0.1 7002; }
unix_local() {
    forward -v -L /tmp/near.sock:/run/leader.sock -- peer_in_net read unix /tmp/near.sock
}
unix_remote() {
    forward -v -R /tmp/far.sock:/run/client.sock -- peer_here read unix /tmp/far.sock
}
through_stdio() { attempt client -W 127.0.0.1:7001 leader; nothing_came; }
through_jump() {
    printf 'Host inner\n HostName 127.0.0.1\n Port 7001\n ProxyCommand ssh -F %s -W %%h:%%p leader\n' \
        "$bed/ssh_config" >"$bed/jump_config"
    cat "$bed/ssh_config" >>"$bed/jump_config"
    attempt in_net ssh -v -F "$bed/jump_config" inner id
    nothing_came || return 1
    ! grep -q SECRET "$bed/err" || { said="CAME THROUGH: the inner host's greeting"; return 1; }
    attempt in_net ssh -v -F "$bed/ssh_config" -J leader -p 7001 127.0.0.1 id
    nothing_came || return 1
    ! grep -q SECRET "$bed/err" || { said="CAME THROUGH: the inner host's greeting"; return 1; }
}

# hold ARGUMENTS...: a request that waits for its input. Sets $held, the signer's process id.
hold() {
    wait_until 30 no_signer || fatal "a signer is left from the row before"
    ${sender+"${sender[@]}"} client "$@" leader kubemaster-m >"$bed/out" 2>"$bed/err" < <(sleep 30) &
    holder=$!
    # With a display forwarded, xauth takes its time to find that / is not the account's.
    wait_until 90 signers >/dev/null || { said="no signer ran: $(tail -n 1 "$bed/err")"; return 1; }
    held=$(signers | head -n 1)
    wait_until 5 settled_signer
}
settled_signer() { [ "$(readlink "/proc/$held/exe")" = /usr/bin/etcd-signer ]; }
release() { kill "$holder" 2>/dev/null; wait "$holder" 2>/dev/null; wait_until 20 no_signer; }
held_environment() { tr '\0' '\n' <"/proc/$held/environ"; }

agent() {
    local socket answer=''
    eval "$(ssh-agent -s)" >/dev/null
    ssh-add -q "$bed/key"
    hold -v -A || return 1
    said="no SSH_AUTH_SOCK in the session, and no agent socket on the leader"
    for socket in /tmp/ssh-*/agent.*; do
        [ "$socket" = "$SSH_AUTH_SOCK" ] && continue
        [ -S "$socket" ] && answer=$(SSH_AUTH_SOCK=$socket timeout 5 ssh-add -l 2>&1)
    done
    [ -z "$answer" ] || said="the leader reaches the agent: $answer"
    held_environment | grep -q SSH_AUTH_SOCK && { said="SSH_AUTH_SOCK is set; $said"; answer=1; }
    release
    ssh-agent -k >/dev/null 2>&1
    unset SSH_AUTH_SOCK SSH_AGENT_PID
    [ -z "$answer" ]
}

x11_with() {
    command -v xauth >/dev/null || { said="xauth is not installed"; return 3; }
    [ -S /tmp/.X11-unix/X99 ] || fatal "no display to forward"
    DISPLAY=:99 hold -v "$1" || return 1
    local display ports bad=0
    display=$(held_environment | grep DISPLAY)
    ports=$(ss -Hltn 'sport >= 6000 and sport <= 6100')
    release
    said="$(grep -ao 'X11 forwarding request failed[a-z 0-9]*' "$bed/err" | head -n 1); no display"
    [ -z "$display$ports" ] || { said="$display $ports"; bad=1; }
    return "$bad"
}
x11() { x11_with -X; }
x11_trusted() { x11_with -Y; }

tunnel() {
    # Open to everybody, as udev makes it.
    mknod -m 0666 "$bed/tun" c 10 200
    [ -c /dev/net/tun ] || { said="this kernel has no /dev/net/tun"; return 3; }
    mount --bind "$bed/tun" /dev/net/tun
    # The leader's end is there and the account's own: only PermitTunnel stands before it.
    ip tuntap add dev tun5 mode tun user signer || { said="no tun device"; return 3; }
    ip address add 10.98.0.1/30 dev tun5
    ip link set tun5 up
    client -v -N -w 6:5 leader >"$bed/out" 2>"$bed/err" &
    local job=$! data
    wait_until 10 grep -q 'tunnel forwarding\|Tunnel forwarding\|administratively' "$bed/err"
    sleep 1
    in_net ip address add 10.98.0.2/30 dev tun6 2>/dev/null
    in_net ip link set tun6 up 2>/dev/null
    data=$(peer_in_net read tcp 10.98.0.1 7003 2>&1 | grep SECRET)
    kill "$job" 2>/dev/null
    wait "$job" 2>/dev/null
    ip link delete tun5
    said="no byte came through; $(grep -aio 'tunnel [a-z ]*\(fail\|refus\)[a-z ]*\|administratively.*' \
        "$bed/err" | tail -n 1)"
    [ -z "$data" ] || { said="CAME THROUGH: $data"; return 1; }
}

no_session() {
    # It was started with the first rows; sshd ends it after 30 s.
    wait_until 60 no_session_gone || { said="the connection is still there"; return 1; }
    said="sshd after 30 s: $(grep -o 'terminating inactive.*' "$bed/sshd.22.log" | head -n 1)"
    [ ! -s "$bed/N.out" ] && grep -q 'terminating inactive connection from user signer' \
        "$bed/sshd.22.log"
}
no_session_gone() { ! kill -0 "$idle" 2>/dev/null; }

second_session() {
    /usr/bin/python3 -W ignore -c 'import paramiko' 2>/dev/null ||
        { said="python3-paramiko is not installed"; return 3; }
    attempt in_net /usr/bin/python3 "$bed/clients.py" two-sessions 10.99.0.1
    said="$out$err"
    [[ $out == refused:* ]]
}
control_master() {
    hold -M -S "$bed/control" || return 1
    # Over the first connection only: if sshd says no there, ssh must not make a new one.
    attempt in_net ssh -v -F "$bed/ssh_config" -S "$bed/control" \
        -o ProxyCommand=/bin/false leader get-certificate
    release
    nothing_came
    local bad=$?
    said="$(grep -aio 'session open refused[a-z ]*\|open failed[a-z :]*' "$bed/err" | head -n 1); $said"
    return "$bad"
}

# ---------------------------------------------------------------- environment

environment_with() {
    hold "$@" || return 1
    said=$(held_environment | cut -d= -f1 | sort | tr '\n' ' ')
    local bad=0
    held_environment | grep -q 'EVIL\|evil' && bad=1
    held_environment | grep -qx 'SSH_ORIGINAL_COMMAND=kubemaster-m' || bad=1
    [ "$bad" = 0 ] || said=$(held_environment | grep 'EVIL\|evil\|ORIGINAL' | tr '\n' ' ')
    release
    [ "$bad" = 0 ] && said="arrives: $said"
}
set_env() {
    environment_with -o 'SetEnv=LD_PRELOAD=/tmp/evil.so LC_ALL=evil BASH_ENV=/tmp/evil SSH_ORIGINAL_COMMAND=evil LD_LIBRARY_PATH=/tmp/evil RUST_BACKTRACE=evil LANG=evil'
}
send_env() {
    local sender=(env LD_PRELOAD=/tmp/evil LC_ALL=evil BASH_ENV=/tmp/evil SSH_ORIGINAL_COMMAND=evil)
    environment_with -o 'SendEnv=LD_PRELOAD LC_* BASH_ENV SSH_ORIGINAL_COMMAND'
}

# ---------------------------------------------------------------- logins

outside() { attempt client -b 10.99.2.1 leader get-certificate; nothing_came 255; }
outside_ipv6() { attempt client -b fd99:2::1 fd99::1 get-certificate; nothing_came 255; }
# An empty password, given as a person would.
asking() {
    printf '#!/bin/sh\necho "%s"\n' "$1" >"$bed/askpass"
    chmod 0755 "$bed/askpass"
    shift
    SSH_ASKPASS=$bed/askpass SSH_ASKPASS_REQUIRE=force attempt client -o BatchMode=no "$@" \
        leader get-certificate
    nothing_came 255
}
outside_password() {
    asking '' -b 10.99.2.1 -o PreferredAuthentications=password && asking wrong -b 10.99.2.1 \
        -o PreferredAuthentications=password
}
outside_interactive() { asking '' -b 10.99.2.1 -o PreferredAuthentications=keyboard-interactive; }
# The key is good for root's account, so that its refusal says something.
outside_key() {
    attempt client -l root -b 10.99.2.1 -i "$bed/key" leader echo welcome
    [ "$out" = welcome ] || { said="the key opens nothing: $err"; return 1; }
    attempt client -b 10.99.2.1 -i "$bed/key" -o PreferredAuthentications=publickey leader \
        get-certificate
    nothing_came 255
}
# The forced command holds for everybody: an outsider who did get in would meet it too.
outside_forced() {
    local found
    found=$(sshd -T -C user=signer,host=x,addr=10.99.2.1 2>&1 | grep -E \
        '^(forcecommand|permittty|disableforwarding|permituserrc|acceptenv|maxsessions) ' | sort |
        tr '\n' ';')
    said=$found
    [ "$found" = "acceptenv NONE;disableforwarding yes;forcecommand /usr/bin/etcd-signer serve;maxsessions 1;permittty no;permituserrc no;" ]
}
other_user() {
    local user
    for user in root alice mallory nobody Signer signer:pam; do
        attempt client -l "$user" leader get-certificate
        # The part behind a colon is a style, not a name: the same account, the same answer.
        if [ "$user" = signer:pam ]; then
            [ "$code" != 0 ] || cmp -s "$bed/out" /etc/etcd/pki/ca.crt || return 1
        else
            nothing_came 255 || { said="$user: $said"; return 1; }
        fi
    done
    asking '' -l alice -o PreferredAuthentications=password,keyboard-interactive || return 1
    asking '' -l root -o PreferredAuthentications=password,keyboard-interactive || return 1
    said="root, alice (empty password), mallory, nobody, Signer: exit 255; $err"
}
inside_interactive() {
    # `none` has let the client in before any of these is asked: the forced command is what counts.
    asking anything -o PreferredAuthentications=keyboard-interactive
    attempt client -o PreferredAuthentications=password leader id
    nothing_came 64
}
banner() {
    attempt client leader kubemaster-m
    said="standard error: $(wc -l <"$bed/err") line"
    ! grep -q GREETING "$bed/err" && [ "$(wc -l <"$bed/err")" = 1 ]
}

# ---------------------------------------------------------------- another local user

# as_mallory SCRIPT: in a shell of hers.
as_mallory() {
    attempt runuser -u mallory -- env -i PATH="$PATH" HOME=/home/mallory USER=mallory sh -c "$1"
}
su_plain() { as_mallory 'su signer'; nothing_came 64; }
su_login() { as_mallory 'su - signer'; nothing_came 64; }
su_command() { as_mallory 'su signer -c "id; sh"'; nothing_came 64; }
su_shell() {
    as_mallory 'su -s /bin/sh signer -c id'
    nothing_came || return 1
    as_mallory 'SHELL=/bin/sh su -m signer -c id'
    nothing_came
}
su_ca_init() {
    install -d -m 0777 /home/mallory/open
    as_mallory 'su signer -- ca init --directory /home/mallory/open'
    nothing_came || return 1
    [ -z "$(ls -A /home/mallory/open)" ] || { said="it wrote $(ls -A /home/mallory/open)"; return 1; }
}
su_config() {
    # shellcheck disable=SC2016
    as_mallory 'mkdir -p ~/pki; cd ~/pki; chmod 755 ~ .
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key \
            -out ca.crt -subj /CN=evil -addext keyUsage=critical,keyCertSign 2>/dev/null
        printf "ca_certificate = \"%s/ca.crt\"\nca_key = \"%s/ca.key\"\n" "$PWD" "$PWD" >evil.toml
        chmod 644 *'
    [ -s /home/mallory/pki/evil.toml ] || { said="no settings made: $err"; return 1; }
    local file
    for file in /home/mallory/pki/evil.toml /etc/etcd/pki/ca.key /dev/stdin /proc/self/fd/0 \
        /home/mallory/none; do
        as_mallory "SSH_ORIGINAL_COMMAND=get-certificate su signer -- serve --config $file \
            </home/mallory/pki/evil.toml"
        # Either the settings are refused, or the option is not heard: never other settings.
        if [ "$code" = 0 ]; then
            cmp -s "$bed/out" /etc/etcd/pki/ca.crt || { said="$file: other settings hold"; return 1; }
            said="the option is not heard"
        else
            nothing_came || return 1
        fi
        ! grep -q 'PRIVATE' "$bed/err" || { said="$file is shown: $err"; return 1; }
    done
}
su_network_client() {
    as_mallory "SSH_ORIGINAL_COMMAND=kubemaster-m su signer -c x <$bed/m.csr"
    is_certificate
}
evil_library() {
    [ -e /tmp/evil.so ] && return
    command -v cc >/dev/null || { said="cc, to make a library for LD_PRELOAD, is missing"; return 3; }
    cc -shared -fPIC -o /tmp/evil.so -x c - <<'END' || fatal "no library"
#include <stdio.h>
#include <unistd.h>
__attribute__((constructor)) static void run(void) {
    char name[64];
    snprintf(name, sizeof name, "/tmp/loaded-by-%u", geteuid());
    FILE *file = fopen(name, "w");
    if (file) fclose(file);
}
END
}
su_environment() {
    evil_library || return
    rm -f /tmp/loaded-by-*
    local signer
    signer=$(id -u signer)
    as_mallory "export LD_PRELOAD=/tmp/evil.so; /bin/true
        export LD_AUDIT=/tmp/evil.so LD_LIBRARY_PATH=/tmp LD_DEBUG=all \
        LD_DEBUG_OUTPUT=/tmp/ld LC_ALL=../../evil LANG=evil LOCPATH=/tmp RUST_BACKTRACE=full RUST_LOG=trace \
        BASH_ENV=/tmp/evil ENV=/tmp/evil IFS=x HOME=/home/mallory TMPDIR=/home/mallory TZ=/etc/shadow \
        GLIBC_TUNABLES=glibc.malloc.check=3 MALLOC_CHECK_=3 GCONV_PATH=/tmp SSL_CERT_FILE=/tmp/x \
        OPENSSL_CONF=/tmp/x XDG_CONFIG_HOME=/home/mallory HTTPS_PROXY=http://127.0.0.1:1 \
        RES_OPTIONS=debug HOSTALIASES=/tmp/x SSH_CONNECTION='1.2.3.4 5 6.7.8.9 22; id' \
        SSH_ORIGINAL_COMMAND=kubemaster-m; su signer -c x <$bed/m.csr"
    is_certificate || return 1
    [ -e "/tmp/loaded-by-$(id -u mallory)" ] || { said="the library is no good"; return 1; }
    [ -z "$(ls "/tmp/loaded-by-$signer" /tmp/loaded-by-0 2>/dev/null)" ] ||
        { said="it was LOADED"; return 1; }
    [ ! -s "$bed/err" ] || { said="it says more: $err"; return 1; }
    as_mallory 'RUST_BACKTRACE=full RUST_LOG=trace SSH_ORIGINAL_COMMAND=x su signer -c x'
    [ "$(wc -l <"$bed/err")" = 1 ] || { said="more than one line of error: $err"; return 1; }
    said="a certificate as for any client; LD_PRELOAD not loaded; one line of error"
}
su_descriptors() {
    local redirect
    for redirect in '0<&-' '0<&- 1>&-' '0<&- 2>&-' '0</dev/zero' '0</proc/self/environ' '0</home' \
        '1>/dev/full' '1</etc/passwd' '1>&1 0>/home/mallory/zero'; do
        as_mallory "exec <$bed/m.csr; SSH_ORIGINAL_COMMAND=kubemaster-m su signer -c x $redirect"
        nothing_came || { said="$redirect: $said"; return 1; }
    done
    # Here the request is answered, to nobody.
    for redirect in '1>&-' '1>&- 2>&-' '1>&- 5</etc/passwd 9>/home/mallory/nine'; do
        as_mallory "exec <$bed/m.csr; SSH_ORIGINAL_COMMAND=kubemaster-m su signer -c x $redirect"
        said="$redirect: exit $code, $out"
        [ -z "$out" ] && [ "$code" -lt 124 ] || return 1
    done
    for redirect in '2>&-' '7</etc/passwd 8>/home/mallory/eight 2>/dev/full'; do
        as_mallory "exec <$bed/m.csr; SSH_ORIGINAL_COMMAND=kubemaster-m su signer -c x $redirect"
        is_certificate || { said="$redirect: $said"; return 1; }
    done
    [ -z "$(cat /home/mallory/eight /home/mallory/nine /home/mallory/zero)" ] ||
        { said="a descriptor of hers was written"; return 1; }
    sha256sum --quiet -c "$bed/pki.sha256" >/dev/null 2>&1 || { said="the CA's files CHANGED"; return 1; }
    said="no part of an answer without 0 or 1; without 2 as ever; CA files and her descriptors untouched"
}
su_limits() {
    local limit
    for limit in 'umask 0' 'umask 777' 'trap "" PIPE CHLD USR1 TERM INT ALRM' 'ulimit -c unlimited'; do
        as_mallory "$limit; SSH_ORIGINAL_COMMAND=kubemaster-m su signer -c x <$bed/m.csr"
        is_certificate || { said="$limit: $said"; return 1; }
    done
    # Too little of something: no answer, or a whole one.
    for limit in 'ulimit -f 0' 'ulimit -n 3' 'ulimit -n 4' 'ulimit -v 8000' 'ulimit -s 64' 'ulimit -l 0' 'ulimit -u 1'; do
        as_mallory "$limit; SSH_ORIGINAL_COMMAND=kubemaster-m su signer -c x <$bed/m.csr"
        [ -z "$out" ] || is_certificate || { said="$limit: part of an answer: $said"; return 1; }
    done
    said="umask, core, signals change nothing; too small a limit gives no answer or a whole one"
}
# An answer that she has but for its last bytes, when the signer is stopped for good: there
# must be a record of it.
su_unrecorded() {
    local serial
    sign_ssh || return 1
    local size=$((1024 - $(wc -c <"$bed/answer.pem") + 20))
    as_mallory "head -c $size /dev/zero | tr '\\0' ' ' >/home/mallory/cut; exec <$bed/m.csr
        exec bash -c 'ulimit -f 1; SSH_ORIGINAL_COMMAND=kubemaster-m exec su signer -c x >>/home/mallory/cut'"
    sed -i 's/^ *//; s/^-----END.*//' /home/mallory/cut
    echo '-----END CERTIFICATE-----' >>/home/mallory/cut
    serial=$(openssl x509 -in /home/mallory/cut -noout -serial 2>/dev/null) ||
        { said="exit $code; she got no certificate"; return 0; }
    said="she has $serial, exit $code, "
    if recorded "$serial"; then said+="and it is recorded"; else said+="and NO RECORD of it"; return 1; fi
}
# As openssl prints it, upper case, and as the record has it, lower case.
recorded() {
    local serial=${1#serial=}
    grep -aq "^ETCD_SIGNER_SERIAL=0*${serial,,}$" "$bed/journal"
}
all_recorded() {
    local serial count=0
    while read -r serial; do
        count=$((count + 1))
        recorded "$serial" || { said="no record of $serial"; return 1; }
    done <"$bed/serials"
    said="each of $count certificates has its record with its serial number"
    [ "$count" -gt 0 ]
}
no_debugger() {
    command -v gdb >/dev/null || { said="gdb is not installed"; return 3; }
    command -v strace >/dev/null || { said="strace is not installed"; return 3; }
    wait_until 30 no_signer
    runuser -u mallory -- sh -c 'SSH_ORIGINAL_COMMAND=kubemaster-m su signer -c x' \
        >/dev/null 2>&1 < <(sleep 30) &
    wait_until 20 signers >/dev/null || { said="no signer ran"; return 1; }
    held=$(signers | head -n 1)
    wait_until 5 settled_signer
    local tool
    for tool in "strace -o /tmp/trace.m -p $held" "gdb -batch -p $held -ex 'info registers'" \
        "cat /proc/$held/mem" "cat /proc/$held/environ" "cat /proc/$held/maps" \
        "ls /proc/$held/fd/" "cat /proc/$held/auxv" "kill -ABRT $held" "prlimit --core --pid $held"; do
        as_mallory "timeout 5 $tool"
        if grep -q '0x[0-9a-f]\|rip\|attached' "$bed/out" "$bed/err"; then
            said="$tool: $out $err"; break
        fi
        [ "$code" != 0 ] && [ "$code" != 124 ] || [[ $tool == gdb* ]] ||
            { said="$tool SUCCEEDED: ${out:0:40}"; break; }
    done
    local alive=0
    kill -0 "$held" 2>/dev/null && alive=1
    [ -n "$said" ] || said="strace, gdb, /proc/<pid>/mem, environ, maps, fd and kill: refused; $err"
    [[ $said == strace,* ]] && [ "$alive" = 1 ]
}
own_debugger() {
    command -v strace >/dev/null || { said="strace is not installed"; return 3; }
    held=$(signers | head -n 1)
    [ -n "$held" ] || { hold || return 1; }
    attempt setpriv --reuid signer --regid signer --clear-groups timeout 5 strace -o /tmp/trace.s \
        -p "$held"
    said="exit $code; $err"
    [ "$code" != 0 ] && [ "$code" != 124 ] && grep -qi 'not permitted' "$bed/err" || return 1
    attempt setpriv --reuid signer --regid signer --clear-groups cat "/proc/$held/mem" "/proc/$held/environ"
    kill -KILL "$held" 2>/dev/null
    wait_until 20 no_signer
    [ -z "$out" ] && [ "$code" != 0 ]
}
traced_su() {
    command -v strace >/dev/null || { said="strace is not installed"; return 3; }
    as_mallory "SSH_ORIGINAL_COMMAND=kubemaster-m strace -f -o /tmp/trace.f su signer <$bed/m.csr"
    nothing_came
}
key_file() { as_mallory 'cat /etc/etcd/pki/ca.key'; nothing_came; }

# ---------------------------------------------------------------- a home that can be written

plant_home() {
    evil_library || return
    usermod --home /home/signer signer >/dev/null 2>&1
    install -d -o signer -g signer /home/signer /home/signer/.ssh
    local file library=/tmp/evil.so
    for file in .ssh/rc .bashrc .profile .bash_profile .bash_login .bash_logout .zshenv; do
        printf '#!/bin/sh\ntouch /tmp/ran-%s\n' "${file//\//-}" >"/home/signer/$file"
        chmod 0755 "/home/signer/$file"
    done
    is_static || [ -n "${REQUIRE_STATIC:-}" ] || library=/none
    printf 'LD_PRELOAD=%s\nEVIL=1\nBASH_ENV=/home/signer/.bashrc\nSSH_ORIGINAL_COMMAND=evil\n' "$library" |
        tee /home/signer/.pam_environment >/home/signer/.ssh/environment
    cp "$bed/key.pub" /home/signer/.ssh/authorized_keys
    chown -R signer: /home/signer
    rm -f /tmp/ran-* /tmp/loaded-by-*
}
unplant_home() { usermod --home / signer >/dev/null 2>&1; }
planted() {
    plant_home || return
    local bad=0
    sign_ssh || bad=1
    local main=$said
    attempt client leader id
    nothing_came 64 || bad=1
    as_mallory 'su - signer -c id'
    nothing_came 64 || bad=1
    unplant_home
    said="none of them ran; $main"
    local ran
    ran=$(find /tmp -name 'ran-*' -o -name "loaded-by-$(id -u signer)" | tr '\n' ' ')
    [ -z "$ran" ] || { said="RAN: $ran"; return 1; }
    [ "$bad" = 0 ] || { said="$main; exit $code $err"; return 1; }
}
planted_key() {
    plant_home || return
    outside_key
    local bad=$?
    unplant_home
    return "$bad"
}
home() {
    attempt setpriv --reuid signer --regid signer --clear-groups \
        sh -c 'touch /.pam_environment || mkdir /.ssh'
    [ ! -e /.pam_environment ] && nothing_came
}

# ---------------------------------------------------------------- without the forced command

unforced() {
    local config=/etc/ssh/unforced attack
    mkdir -p $config
    sed '/ForceCommand/d' /etc/ssh/sshd_config.d/00-etcd-signer.conf >$config/00.conf
    sed "s|/etc/ssh/sshd_config.d|$config|" /etc/ssh/sshd_config >$config/sshd_config
    start_sshd 2222 $config/sshd_config
    local unforced_pid=$sshd_pid bad=0
    sshd -T -f $config/sshd_config -C user=signer,host=x,addr=10.99.1.7 |
        grep -qx 'forcecommand none' || { said="there still is a forced command"; return 1; }
    for attack in 'id' 'sh -c id' 'exec /bin/sh' 'cat /etc/passwd' 'ca init --directory /tmp/open' \
        'get-certificate'; do
        attempt client -p 2222 leader "$attack"
        nothing_came 64 || { said="$attack: $said"; bad=1; break; }
    done
    # Without a command a shell would read its input. (sshd greets with the message of the day.)
    out=$(echo id | timeout 30 client -p 2222 leader 2>/dev/null)
    code=$?
    [ "$code/${out//uid=*/a shell}" = "64/$out" ] || { said="exit $code: $out"; bad=1; }
    [ "$bad" = 1 ] || { attempt client -p 2222 -s leader sftp; nothing_came 64 || bad=1; }
    [ "$bad" = 1 ] || { scp_with -P 2222 leader:/etc/passwd /tmp/stolen || bad=1; }
    [ "$bad" = 1 ] || said="no command, seven others, sftp, scp: exit 64 each; $err"
    kill "$unforced_pid"
    return "$bad"
}

# ---------------------------------------------------------------- the alternative: keys

keys() {
    local config=/etc/ssh/keys
    mkdir -p $config /etc/etcd-signer
    install_dropin "$bed/deploy/etcd-signer/sshd/00-etcd-signer-keys.conf"
    mv /etc/ssh/sshd_config.d/00-etcd-signer-keys.conf $config/
    sed "s|/etc/ssh/sshd_config.d|$config|" /etc/ssh/sshd_config >$config/sshd_config
    ssh-keygen -q -t ed25519 -N '' -f "$bed/master" <<<y >/dev/null
    echo "restrict $(cat "$bed/master.pub")" >/etc/etcd-signer/authorized_keys
    chmod 0755 /etc/etcd-signer
    passwd --lock signer >/dev/null
    start_sshd 2223 $config/sshd_config
    local keys_pid=$sshd_pid bad=1 good='' su_said=''
    sign client -p 2223 -i "$bed/master" leader kubemaster-m && good=1
    local main=$said
    while [ -n "$good" ]; do
        attempt client -p 2223 leader get-certificate
        nothing_came 255 || { said="without a key: $said"; break; }
        attempt client -p 2223 -i "$bed/key" leader get-certificate
        nothing_came 255 || { said="with a key for everybody: $said"; break; }
        attempt client -p 2223 -i "$bed/master" -b 10.99.2.1 leader get-certificate
        nothing_came 255 || { said="from outside: $said"; break; }
        attempt client -p 2223 -i "$bed/master" leader id
        nothing_came 64 || { said="with another command: $said"; break; }
        as_mallory 'SSH_ORIGINAL_COMMAND=get-certificate su signer -c x'
        nothing_came || { said="su: $said"; break; }
        su_said=$err
        bad=0
        break
    done
    kill "$keys_pid"
    passwd --delete signer >/dev/null
    [ "$bad" = 1 ] || said="$main; another key, none, outside: 255; su: $su_said"
    return "$bad"
}
any_key() {
    local config=/etc/ssh/anykey
    mkdir -p $config
    install_dropin "$bed/deploy/etcd-signer/sshd/00-etcd-signer-keys.conf"
    sed -E 's|^( *)AuthorizedKeysFile .*|\1AuthorizedKeysFile none|; s|#(AuthorizedKeysCommand)|\1|' \
        /etc/ssh/sshd_config.d/00-etcd-signer-keys.conf >$config/00.conf
    rm /etc/ssh/sshd_config.d/00-etcd-signer-keys.conf
    sed "s|/etc/ssh/sshd_config.d|$config|" /etc/ssh/sshd_config >$config/sshd_config
    passwd --lock signer >/dev/null
    start_sshd 2224 $config/sshd_config
    local pid=$sshd_pid bad=1
    sign client -p 2224 -i "$bed/key" leader kubemaster-m && bad=0
    kill "$pid"
    passwd --delete signer >/dev/null
    local print
    print=$(ssh-keygen -lf "$bed/key.pub" | cut -d' ' -f2)
    grep -q "Accepted publickey for signer .*$print" "$bed/sshd.2224.log" || { said="not logged"; bad=1; }
    [ "$bad" = 1 ] || said="$said; its fingerprint is in sshd's log"
    return "$bad"
}

# ---------------------------------------------------------------- clients that go away

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

# ---------------------------------------------------------------- the table

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
row "shell" "ssh signer@leader" no_command
row "command" "ssh signer@leader 'id; cat /etc/passwd'" shell_command
row "injection" "ssh signer@leader 'kubemaster-\$(id >/tmp/pwned)'" injected
row "-t" "ssh -t signer@leader get-certificate, from a terminal" pty
row "-tt" "ssh -tt signer@leader id" pty_forced
row "-L" "read a listener on the leader's 127.0.0.1 through -L" local_forward
row "-D" "the same through a SOCKS proxy" dynamic_forward
row "-W" "the same with ssh -W" through_stdio
row "-J" "the same as the target of -J, and of a ProxyCommand" through_jump
row "-R" "read a listener of the client from the leader" remote_forward
row "-R, dynamic" "the same through a remote SOCKS proxy" remote_dynamic
row "-L, sockets" "read a Unix socket on the leader through -L" unix_local
row "-R, sockets" "read a Unix socket of the client from the leader" unix_remote
row "-A" "ask the client's agent for its keys from the leader" agent
row "-X" "a display, and a listener for it, on the leader" x11
row "-Y" "the same, trusted" x11_trusted
row "-w" "ssh -w, the leader's tun device up; read a listener" tunnel
row "-s sftp" "ssh -s signer@leader sftp" subsystem
row "sftp" "sftp: get /etc/passwd" sftp_get
row "scp, down" "scp signer@leader:/etc/passwd ." scp_down
row "scp, up" "scp file signer@leader:/tmp/planted" scp_up
row "scp -O, down" "scp -O signer@leader:/etc/passwd ." scp_old_down
row "scp -O, up" "scp -O file signer@leader:/tmp/planted" scp_old_up
row "rsync, down" "rsync signer@leader:/etc/passwd ." rsync_down
row "rsync, up" "rsync file signer@leader:/tmp/planted" rsync_up
row "second session" "two sessions at once on one connection, paramiko" second_session
row "ControlMaster" "get-certificate over the connection of a waiting request" control_master
row "SetEnv" "SetEnv LD_PRELOAD, LC_ALL, BASH_ENV, SSH_ORIGINAL_COMMAND ..." set_env
row "SendEnv" "SendEnv of the same" send_env
row "banner" "a greeting that sshd_config has for everybody" banner
row "outside" "a login from 10.99.2.1" outside
row "outside, IPv6" "a login from fd99:2::1" outside_ipv6
row "outside, password" "the empty password and a wrong one, from 10.99.2.1" outside_password
row "outside, interactive" "keyboard-interactive, empty, from 10.99.2.1" outside_interactive
row "outside, key" "a key of AuthorizedKeysFile, from 10.99.2.1" outside_key
row "outside, forced" "what would hold if an outsider got in (sshd -T)" outside_forced
row "other users" "root, alice (empty password), mallory, nobody, Signer" other_user
row "interactive" "keyboard-interactive and password from inside, command id" inside_interactive
row "su" "mallory: su signer" su_plain
row "su -" "mallory: su - signer" su_login
row "su -c" "mallory: su signer -c 'id; sh'" su_command
row "su -s" "mallory: su -s /bin/sh signer -c id; su -m" su_shell
row "su -- ca init" "mallory: su signer -- ca init --directory (hers, mode 0777)" su_ca_init
row "su -- serve --config" "mallory: su signer -- serve --config (hers, ca.key, stdin)" su_config
row "su, request" "mallory: SSH_ORIGINAL_COMMAND=kubemaster-m su signer -c x" su_network_client
row "su, environment" "mallory: the same with LD_PRELOAD, LC_ALL, RUST_* ... forged" su_environment
row "su, descriptors" "mallory: the same with 0, 1, 2 closed in turn, or full" su_descriptors
row "su, limits" "mallory: the same under umask, ulimit, ignored signals" su_limits
row "su, unrecorded" "mallory: ulimit -f cuts the end of the answer off" su_unrecorded
row "su, debugger" "mallory: strace, gdb, /proc, kill on her signer" no_debugger
row "own debugger" "a process of the account itself: strace, /proc/<pid>/mem" own_debugger
row "strace su" "mallory: strace -f su signer" traced_su
row "ca.key" "mallory: cat ca.key" key_file
row "home" "the account: plant files in its home, /" home
row "planted files" "a home it can write: .ssh/rc, .bashrc, .profile, .pam_environment" planted
row "planted key" "the same: .ssh/authorized_keys, from 10.99.2.1" planted_key
row "no ForceCommand" "the drop-in without that line: commands, sftp, scp" unforced
row "keys" "00-etcd-signer-keys.conf: a known key; others; su" keys
row "keys, any" "the same with AuthorizedKeysCommand echo" any_key
row "vanished" "the client is killed while its request waits" vanished
row "-N" "ssh -N signer@leader" no_session
row "recorded" "the journal: all certificates of the rows above" all_recorded
row "unchanged" "the CA's files after all of this" unchanged

kill "$main_pid"
echo "$rows rows, $failed failed, $missing left out (MISSING, with the reason)"
if [ "$failed" != 0 ]; then
    echo "--- the end of sshd's log"
    tail -n 20 "$bed/sshd.22.log"
    exit 1
fi
if [ "$rows" = 0 ]; then echo "no row is named $only"; exit 1; fi
