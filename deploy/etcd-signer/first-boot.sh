#!/bin/bash
# first-boot.sh: makes a fresh host the first member of an etcd cluster and its signer, or a
# further member. As root, once:
#
#   first-boot.sh init [--networks 10.0.0.0/24,...]
#   first-boot.sh join --signer-ip=LEADER [--ca-fingerprint=SHA256]
#
# For both:
#   --name NAME       this member's name             (default: the host's name)
#   --address IP      its address for peers and clients (default: of the way to the network)
#   --dry-run         only say what would be done
#
# init:
#   --networks LIST   who may ask this signer: the control plane's networks (default: the
#                     network that the address is in)
#
# join:
#   --signer-ip IP    the leader's address
#   --ca-fingerprint SHA256   of the CA certificate, as init told it; without it, what the
#                     leader's address answers is believed
#   --admin USER@HOST how root on the leader is reached, to have this member's certificate
#                     signed and its clock compared (default: root@LEADER)
#   --csr-out FILE    the first of two steps without such access: write the request, and stop
#   --certificate FILE the second step: go on with the certificate that was signed for it
#
# A run that fails before anything was changed has changed nothing. One that fails later takes
# back what it did, and can be started again. After success the script is gone. What it did is
# in /var/log/etcd-signer-first-boot.log.
set -euo pipefail
PATH=/usr/sbin:/usr/bin:/sbin:/bin
umask 022
LC_ALL=C
export PATH LC_ALL

PKI=/etc/etcd/pki
ENVIRONMENT=/etc/etcd/etcd.env
CLIENT_ENVIRONMENT=/etc/etcd/etcdctl.env
UNIT=/etc/systemd/system/etcd.service.d/etcd-signer.conf
DATA=/var/lib/etcd/cluster
STATE=/var/lib/etcd-signer
UNDO=$STATE/first-boot.undo     # what an unfinished run did, in the order in which it did it
DONE=$STATE/first-boot.done     # that a run has finished
PENDING=$STATE/join             # key and request, between the two steps of --csr-out
LOG=/var/log/etcd-signer-first-boot.log
INSTALLED=/root/setup/first-boot.sh
MEMBER=etcd-member              # the common name of members' certificates
MAX_SKEW=5                      # seconds

# ---- words -----------------------------------------------------------------------------------

logging=no
say() {
    # A terminal that is gone must not keep anything from being taken back.
    printf '%s\n' "$*" 2>/dev/null || :
    if [ $logging = yes ]; then printf '%s %s\n' "$(date -u +%FT%TZ)" "$*" >>$LOG || :; fi
}
fail() {
    say "first-boot.sh: $*" >&2
    exit 1
}
usage() { sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "$0"; }

# step WHAT COMMAND...: says it and does it; with --dry-run, only says it. What the command
# prints goes to the log, and is shown if it fails.
step() {
    local what=$1 output code
    shift
    if [ "$dry_run" = yes ]; then
        say "would: $what"
        return
    fi
    say "$what"
    # Not as a condition: the shell would then overlook what fails within the function.
    set +e
    output=$(set -e && "$@" 2>&1 </dev/null)
    code=$?
    set -e
    if [ $code = 0 ]; then
        [ -z "$output" ] || printf '%s\n' "$output" >>$LOG
    else
        [ -z "$output" ] || say "$output" >&2
        fail "failed: $what"
    fi
}

# ---- taking back -----------------------------------------------------------------------------

# will_undo ACTION ARGUMENT...: notes, before it is done, how a step is taken back. On disk, so
# that a run that was killed can be taken back by the next one.
will_undo() {
    [ "$dry_run" = yes ] && return
    install -d -m 700 $STATE
    printf '%s\n' "$*" >>$UNDO
    sync $UNDO
}

undo_all() {
    local action first second failed=no
    while read -r action first second; do
        # To be taken off the list, this host needs its certificate; and if it votes already, the
        # others may need it to run.
        case $failed:$action in yes:file | yes:folder | yes:data | yes:stop) continue ;; esac
        case $action in
            file | data) discard "$first" ;;
            folder) rmdir --ignore-fail-on-non-empty "$first" 2>/dev/null || : ;;
            reload-units) systemctl daemon-reload || failed=yes ;;
            stop) systemctl disable -q --now "$first" || failed=yes ;;
            start) systemctl enable -q --now "$first" || failed=yes ;;
            close) etcd-signer-endpoint close || failed=yes ;;
            unlock) etcd-signer-lock unlock || failed=yes ;;
            member) withdraw "$first" "$second" || failed=yes ;;
        esac
    done < <(tac $UNDO)
    if [ $failed = yes ]; then
        say "first-boot.sh: not all of it could be taken back. What is left: see $LOG;" \
            "then start this script again, and it tries once more" >&2
        return 1
    fi
    rm -f $UNDO
    rmdir --ignore-fail-on-non-empty $STATE
}

# Removes what this run has made. What an earlier run has left may have been used since, or be
# somebody else's by now: a CA key and a member's data are moved aside then, never removed.
discard() {
    [ -e "$1" ] || return 0
    case $recovering:$1 in
        yes:"$PKI"/ca.key | yes:"$PKI"/ca.crt | yes:"$DATA")
            install -d -m 700 $STATE/aside
            mv "$1" "$STATE/aside/$(basename "$1").$(date -u +%Y%m%dT%H%M%SZ)"
            say "moved aside, to $STATE/aside: $1"
            ;;
        *) rm -rf "${1:?}" ;;
    esac
}
recovering=no

# withdraw ENDPOINTS PEER-URL: takes the member with that peer URL off the cluster's list, if
# it is on it. The certificate for it is still there: it is removed later.
withdraw() {
    local id try list
    for try in 1 2 3 4 5; do
        if list=$(client "$1" member list); then
            id=$(awk -F', ' -v url="$2" '$4 == url { print $1 }' <<<"$list")
            [ -n "$id" ] || return 0
            if client "$1" member remove "$id" >>$LOG 2>&1; then
                say "taken off the cluster's list of members: $2"
                return 0
            fi
        fi
        # Should this host vote by now, the others may need it to agree.
        systemctl start --no-block etcd.service 2>/dev/null || :
        sleep $((try * 2))
    done
    say "first-boot.sh: the cluster ($1) still lists $2. On a member, as root:" \
        "set -a; . $CLIENT_ENVIRONMENT; etcdctl member list; etcdctl member remove ID" >&2
    return 1
}

finished() {
    local code=$?
    set +e
    trap '' INT TERM HUP
    trap - EXIT
    [ -z "${work:-}" ] || rm -rf "$work"
    if [ $code != 0 ] && [ "$dry_run" = no ]; then
        if [ -e $UNDO ]; then
            say "taking back what was done"
            if undo_all; then say "nothing of it is left: this script can be started again"; fi
        elif [ $logging = yes ]; then
            say "nothing was changed"
        fi
    fi
    exit $code
}

# ---- what is asked for -----------------------------------------------------------------------

command="" name="" own_address="" networks="" leader="" fingerprint="" admin="" csr_out=""
certificate="" dry_run=no

parse() {
    local option value
    while [ $# -gt 0 ]; do
        option=$1 value=""
        case $option in
            --help | -h) usage && exit 0 ;;
            --dry-run) dry_run=yes && shift && continue ;;
            --*=*) value=${option#*=} option=${option%%=*} ;;
            --*)
                value=${2:-}
                [ $# = 1 ] || shift
                ;;
            init | join)
                [ -z "$command" ] || fail "say init or join, once"
                command=$option && shift && continue
                ;;
        esac
        shift
        case $command:$option in
            *:--name) name=$value ;;
            *:--address) own_address=$value ;;
            init:--networks) networks=$value ;;
            join:--signer-ip) leader=$value ;;
            join:--ca-fingerprint) fingerprint=$value ;;
            join:--admin) admin=$value ;;
            join:--csr-out) csr_out=$value ;;
            join:--certificate) certificate=$value ;;
            *) fail "$option: not known${command:+ to $command} (see --help; init or join comes first)" ;;
        esac
        [ -n "$value" ] || fail "$option needs a value (see --help)"
    done
    case $command in
        init | join) ;;
        *) usage >&2 && exit 64 ;;
    esac
}

is_ipv4() {
    local part parts
    [[ $1 =~ ^([0-9]{1,3})(\.[0-9]{1,3}){3}$ ]] || return 1
    IFS=. read -ra parts <<<"$1"
    for part in "${parts[@]}"; do [ $((10#$part)) -le 255 ] || return 1; done
}
is_address() { is_ipv4 "$1" || [[ $1 =~ ^[0-9a-fA-F]*:[0-9a-fA-F:.]+$ ]]; }
# An address as a URL has it.
in_url() { if is_ipv4 "$1"; then echo "$1"; else echo "[$1]"; fi; }

# Everything that can be known before the first change.
check_arguments() {
    name=${name:-$(hostname -s)}
    [[ $name =~ ^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$ ]] ||
        fail "name '$name': a member's name is one DNS label: small letters, digits, hyphens (--name)"
    case $name in
        kubemaster-* | etcd-signer | localhost) fail "name '$name': that is no member's name (--name)" ;;
    esac
    if [ "$command" = join ]; then
        [ -n "$leader" ] || fail "join needs --signer-ip, the leader's address"
        is_address "$leader" || fail "--signer-ip '$leader': an IP address is needed, not a name"
        admin=${admin:-root@$(in_url "$leader")}
        admin=${admin//[\[\]]/}
        [[ $admin =~ ^[A-Za-z0-9._-]+@[A-Za-z0-9.:-]+$ && $admin != -* ]] ||
            fail "--admin '$admin': it must be USER@HOST"
        if [ -n "$fingerprint" ]; then
            fingerprint=${fingerprint#SHA256:}
            fingerprint=${fingerprint//:/}
            fingerprint=${fingerprint,,}
            [[ $fingerprint =~ ^[0-9a-f]{64}$ ]] ||
                fail "--ca-fingerprint: it must be the 64 hexadecimal digits that init told"
        fi
        [ -z "$csr_out" ] || [ -z "$certificate" ] || fail "--csr-out and --certificate are two steps"
        [ -z "$certificate" ] || [ -s "$certificate" ] || fail "--certificate $certificate: there is no such file"
    fi
    if [ -z "$own_address" ]; then
        # The one that this host would use towards the leader, or towards everybody.
        own_address=$(ip -o route get "${leader:-192.0.2.1}" 2>/dev/null | sed -n 's/.* src \([^ ]*\).*/\1/p') || :
        [ -n "$own_address" ] || own_address=$(hostname -I | cut -d' ' -f1) || :
    fi
    is_address "$own_address" || fail "address '$own_address': an IP address is needed (--address)"
    case $own_address in
        127.* | ::1 | 0.0.0.0 | ::) fail "address $own_address: peers cannot reach it (--address)" ;;
    esac
    [[ $(ip -o address show) == *" $own_address/"* ]] ||
        fail "address $own_address: this host does not have it (ip address)"
    [ "$own_address" != "$leader" ] || fail "--signer-ip $leader: that is this host"
    if [ "$command" = init ] && [ -z "$networks" ]; then
        networks=$(ip -o route show scope link proto kernel src "$own_address" | sed -n '1s/ .*//p') || :
        [ -n "$networks" ] || fail "which networks may ask this signer cannot be told: --networks"
    fi
}

check_tools() {
    local tool
    for tool in etcd etcdctl openssl systemctl ssh sshd ss ip flock; do
        command -v $tool >/dev/null ||
            fail "$tool is missing: apt-get install etcd-server etcd-client openssl openssh-server iproute2"
    done
    for tool in etcd-signer etcd-signer-endpoint etcd-signer-lock chattr; do
        command -v $tool >/dev/null || fail "$tool is missing: install the package etcd-signer"
    done
}
check_not_done() {
    [ -e $DONE ] || return 0
    # Killed with the last line of its work undone: there is nothing to take back.
    [ "$dry_run" = yes ] || rm -f $UNDO
    fail "this host has been set up already ($(cat $DONE)): nothing is done twice"
}
check_host() {
    local port found
    for found in $PKI/ca.key $PKI/ca.crt $PKI/member.key $PKI/member.crt $ENVIRONMENT $CLIENT_ENVIRONMENT $UNIT; do
        if [ -e "$found" ]; then
            fail "$found exists: this host is a signer or a member already. If that is over, move" \
                "$PKI away first: it may hold the only key to a cluster"
        fi
    done
    if [ -n "$(ls -A $DATA 2>/dev/null)" ]; then
        fail "$DATA is not empty: it may be a member's data. If that is over, move it away first"
    fi
    getent passwd etcd >/dev/null || fail "there is no user etcd: install etcd-server"
    if [ -s /etc/default/etcd ] && grep -qE '^[[:space:]]*(export )?(ETCD_|DAEMON_ARGS=.)' /etc/default/etcd; then
        fail "/etc/default/etcd has settings in force: somebody has configured etcd here before"
    fi
    untouched=no
    if systemctl -q is-active etcd.service; then
        # Debian's package starts an empty etcd of one member as it is installed.
        local revision
        revision=$(ETCDCTL_API=3 etcdctl --endpoints http://127.0.0.1:2379 --command-timeout 5s \
            get / --limit 1 --write-out json 2>/dev/null | sed -n 's/.*"revision":\([0-9]*\).*/\1/p')
        [ "$revision" = 1 ] ||
            fail "an etcd that has been used runs here (systemctl status etcd): nothing is set up over it"
        untouched=yes
    else
        local data=/var/lib/etcd/default
        [ -z "$(ls -A $data 2>/dev/null)" ] ||
            fail "$data is not empty: it may be a member's data. If that is over, move it away first"
        for port in 2379 2380; do
            if [ -n "$(ss -Hltn "sport = :$port")" ]; then
                fail "port $port is taken$(ss -Hltnp "sport = :$port" | sed -n '1s/.*users:(("\([^"]*\).*/ by \1/p') (ss -ltnp)"
            fi
        done
    fi
    # Where sshd is started by a socket, its directory exists only while somebody is logged in.
    [ -d /run/sshd ] || mkdir -m 0755 /run/sshd
    sshd -t || fail "sshd's own settings have an error (sshd -t): nothing is added to them"
    # Everything that opening the endpoint will need.
    [ "$command" = join ] || etcd-signer-endpoint test --networks "$networks" || fail "the endpoint could not be opened: see above"
    local free
    free=$(df --output=avail -m /var/lib | tail -n 1)
    [ "$free" -ge 100 ] || fail "/var/lib has $free MiB left: etcd needs more"
}

# ---- what both do ----------------------------------------------------------------------------

begin() {
    [ "$dry_run" = yes ] && return
    logging=yes
    say "first-boot.sh $command, as $name at $own_address"
}

# Stops the etcd that Debian's package started, which nobody has written to.
stop_untouched() {
    [ $untouched = yes ] || return 0
    will_undo start etcd.service
    step "stopping the empty etcd that its package has started" systemctl stop etcd.service
}

make_request() { # KEY CSR
    (umask 077 && openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1")
    openssl req -new -key "$1" -subj "/CN=$MEMBER" -out "$2"
}
member_hosts() { echo "--host $own_address --host $name --host 127.0.0.1 --host localhost"; }

# check_certificate CERTIFICATE KEY CA: whether the certificate is one that this member can use.
check_certificate() {
    local purpose address
    for purpose in sslserver sslclient; do
        openssl verify -x509_strict -purpose $purpose -CAfile "$3" "$1" >/dev/null ||
            { echo "the certificate is not of this CA, or not in force: is the clock right?"; return 1; }
    done
    [ "$(openssl x509 -in "$1" -noout -pubkey)" = "$(openssl pkey -in "$2" -pubout)" ] ||
        { echo "the certificate is for another key: it was signed for another request"; return 1; }
    [ "$(openssl x509 -in "$1" -noout -subject -nameopt rfc2253)" = "subject=CN=$MEMBER" ] ||
        { echo "the certificate is no member's: sign it with etcd-signer member sign"; return 1; }
    for address in "$own_address" 127.0.0.1; do
        [[ $(openssl x509 -in "$1" -noout -checkip "$address") == *"does match"* ]] ||
            { echo "the certificate is not for $address: sign it with $(member_hosts)"; return 1; }
    done
}

install_pki() { # CA CERTIFICATE KEY
    install -d -m 755 /etc/etcd $PKI
    [ "$1" = $PKI/ca.crt ] || install -m 444 "$1" $PKI/ca.crt
    install -m 400 -o etcd -g etcd "$3" $PKI/member.key
    install -m 444 "$2" $PKI/member.crt
}

write_environment() { # INITIAL-CLUSTER STATE CLIENT-ENDPOINTS
    local url
    url=$(in_url "$own_address")
    cat >$ENVIRONMENT <<END
# etcd's settings, written by first-boot.sh; read by etcd.service ($UNIT).
ETCD_NAME=$name
ETCD_DATA_DIR=$DATA
ETCD_LISTEN_CLIENT_URLS=https://$url:2379,https://127.0.0.1:2379
ETCD_ADVERTISE_CLIENT_URLS=https://$url:2379
ETCD_LISTEN_PEER_URLS=https://$url:2380
ETCD_INITIAL_ADVERTISE_PEER_URLS=https://$url:2380
# How this member first met the others. Not looked at again once it has data.
ETCD_INITIAL_CLUSTER=$1
ETCD_INITIAL_CLUSTER_STATE=$2
ETCD_INITIAL_CLUSTER_TOKEN=etcd-signer
# TLS alone, 1.2 at least (etcd's own floor), and nobody without a certificate of our CA.
ETCD_CERT_FILE=$PKI/member.crt
ETCD_KEY_FILE=$PKI/member.key
ETCD_TRUSTED_CA_FILE=$PKI/ca.crt
ETCD_CLIENT_CERT_AUTH=true
ETCD_PEER_CERT_FILE=$PKI/member.crt
ETCD_PEER_KEY_FILE=$PKI/member.key
ETCD_PEER_TRUSTED_CA_FILE=$PKI/ca.crt
ETCD_PEER_CLIENT_CERT_AUTH=true
# Masters' certificates are of the same CA. This keeps them off the peer port.
ETCD_PEER_CERT_ALLOWED_CN=$MEMBER
END
    cat >$CLIENT_ENVIRONMENT <<END
# For etcdctl, as root:  set -a; . $CLIENT_ENVIRONMENT; etcdctl member list
ETCDCTL_API=3
ETCDCTL_ENDPOINTS=$3
ETCDCTL_CACERT=$PKI/ca.crt
ETCDCTL_CERT=$PKI/member.crt
ETCDCTL_KEY=$PKI/member.key
END
    install -d -m 755 "${UNIT%/*}"
    cat >$UNIT <<END
# Written by first-boot.sh: this host is a member of a cluster, with these settings.
[Unit]
RequiresMountsFor=/var/lib/etcd

[Service]
EnvironmentFile=$ENVIRONMENT
# A member that stops for whatever reason is to come back.
Restart=always
RestartSec=2
END
    install -d -m 755 -o etcd -g etcd /var/lib/etcd
    install -d -m 700 -o etcd -g etcd $DATA
    systemctl daemon-reload
}
will_undo_environment() {
    local path
    will_undo reload-units
    for path in $ENVIRONMENT $CLIENT_ENVIRONMENT $UNIT; do will_undo file "$path"; done
    will_undo folder "${UNIT%/*}"
    will_undo data $DATA
}

# client ENDPOINTS ARGUMENT...: etcdctl with this member's certificate.
client() {
    local endpoints=$1
    shift
    ETCDCTL_API=3 etcdctl --endpoints "$endpoints" --cacert "${ca:-$PKI/ca.crt}" \
        --cert "${crt:-$PKI/member.crt}" --key "${key:-$PKI/member.key}" \
        --dial-timeout 3s --command-timeout 5s "$@"
}

# wait_for SECONDS WHAT COMMAND...
wait_for() {
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge $end ] || [ "$(systemctl show -P NRestarts etcd.service)" -ge 5 ]; then
            journalctl -u etcd.service -n 15 --no-pager -o cat 2>/dev/null || :
            echo "$what: not within the time, or etcd does not stay up"
            return 1
        fi
        sleep 0.2
    done
}
healthy() { client "https://127.0.0.1:2379" endpoint health; }
start_etcd() {
    systemctl reset-failed etcd.service 2>/dev/null || :
    systemctl enable -q etcd.service
    systemctl start --no-block etcd.service
}

# The script is not to be run twice, by whatever copy of it.
finish() {
    date -u +"$command on %FT%TZ, as $name" >$DONE
    sync $DONE $STATE
    rm -f $UNDO
    rm -rf $PENDING
    rm -f $INSTALLED
    local self
    self=$(readlink -f "$0")
    case $self in */first-boot.sh) [ "$self" = /usr/share/etcd-signer/first-boot.sh ] || rm -f "$self" ;; esac
    rmdir --ignore-fail-on-non-empty "${INSTALLED%/*}" 2>/dev/null || :
}

# ---- init ------------------------------------------------------------------------------------

certify_self() {
    make_request "$work/member.key" "$work/member.csr"
    # shellcheck disable=SC2046 # words
    etcd-signer member sign $(member_hosts) <"$work/member.csr" >"$work/member.crt"
    check_certificate "$work/member.crt" "$work/member.key" $PKI/ca.crt
    install_pki $PKI/ca.crt "$work/member.crt" "$work/member.key"
}

make_ca() {
    etcd-signer ca init --directory $PKI
    chown signer: $PKI/ca.key
}

# As a master would ask, from this host's own address, which init's networks need not include.
endpoint_answers() {
    local asked
    asked=$(ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
        -o LogLevel=ERROR -o ConnectTimeout=10 "signer@$own_address" "$1")
    case $1 in
        get-certificate) [ "$asked" = "$(cat $PKI/ca.crt)" ] ;;
        get-peers) [ "$asked" = "https://$(in_url "$own_address"):2379" ] ;;
    esac || { echo "signer@$own_address $1: '$asked'"; return 1; }
}
own_network() { # whether the address is in the networks that are let in
    [ "$(sshd -T -C "user=signer,host=x,addr=$own_address,laddr=127.0.0.1,lport=22" | sed -n 's/^permitemptypasswords //p')" = yes ]
}

init() {
    stop_untouched
    will_undo folder /etc/etcd
    will_undo folder $PKI
    will_undo file $PKI/ca.crt
    will_undo file $PKI/ca.key
    step "making the CA" make_ca
    will_undo file $PKI/member.crt
    will_undo file $PKI/member.key
    step "making this member's key and certificate" certify_self
    will_undo_environment
    step "writing etcd's settings: $ENVIRONMENT" write_environment \
        "$name=https://$(in_url "$own_address"):2380" new "https://$(in_url "$own_address"):2379"
    will_undo stop etcd.service
    step "starting etcd" start_etcd
    step "waiting until it is healthy" wait_for 60 "etcd is healthy" healthy
    will_undo close
    step "letting $networks ask this signer" etcd-signer-endpoint open --networks "$networks"
    if [ "$dry_run" = yes ] || own_network; then
        step "asking it for the CA certificate, over ssh" endpoint_answers get-certificate
        step "asking it for the members" endpoint_answers get-peers
    else
        say "this host's own address is in none of these networks: the endpoint was not tried"
    fi
    will_undo unlock
    step "making the program and sshd's drop-in immutable" etcd-signer-lock lock
    step "looking at everything" all_is_well
    [ "$dry_run" = no ] || return 0
    finish
    say ""
    say "This host is the first member of the cluster, and its signer."
    say "The CA's key is $PKI/ca.key. It is the only copy, and without it no certificate can be"
    say "renewed. Save it now, on a medium that is not this host:"
    say "    etcd-signer ca backup /root/etcd-ca.age"
    say "Further members: first-boot.sh join --signer-ip=$own_address --ca-fingerprint=$(fingerprint_of $PKI/ca.crt)"
}
all_is_well() {
    local code=0
    etcd-signer check || code=$?
    [ $code -le 1 ] # a warning is for the operator to read, and no reason to stop
}
fingerprint_of() { openssl x509 -in "$1" -noout -fingerprint -sha256 | sed 's/.*=//; s/://g' | tr 'A-F' 'a-f'; }

# ---- join ------------------------------------------------------------------------------------

to_leader() { # USER COMMAND...
    ssh -o BatchMode=yes -o ConnectTimeout=10 -o StrictHostKeyChecking=accept-new \
        -o ServerAliveInterval=5 -o ServerAliveCountMax=2 -o LogLevel=ERROR -o ControlPath=none "$@" 9>&-
}

fetch_ca() {
    local told
    to_leader "signer@$leader" get-certificate </dev/null >"$work/ca.crt" 2>"$work/error" ||
        fail "the leader's signer does not answer at signer@$leader: $(tail -n 1 "$work/error")"
    told=$(fingerprint_of "$work/ca.crt") || fail "what signer@$leader answered is no certificate"
    if [ -z "$fingerprint" ]; then
        say "the CA's fingerprint is $told: compare it with the one that init told, or give --ca-fingerprint"
    elif [ "$told" != "$fingerprint" ]; then
        fail "the CA certificate of $leader has the fingerprint $told, not the one given: that is another CA"
    fi
}

# The leader's clock, in seconds since 1970: from its shell, or from the Date of its etcd.
leaders_clock() {
    if [ -n "$certificate" ]; then
        printf 'GET /version HTTP/1.0\r\n\r\n' |
            timeout 10 openssl s_client -quiet -connect "$(in_url "$leader"):2379" -cert "$crt" -key "$key" 2>/dev/null |
            sed -n 's/^[Dd]ate: \(.*\)\r$/\1/p' | date -u -f - +%s
    else
        to_leader "$admin" date +%s </dev/null
    fi
}
check_clock() {
    local before theirs after skew
    before=$(date +%s)
    theirs=$(leaders_clock 2>"$work/error") || theirs=""
    if [ -n "$certificate" ] && ! [[ $theirs =~ ^[0-9]+$ ]]; then
        fail "the leader's clock cannot be read: etcd does not answer at $leader, port 2379"
    fi
    [[ $theirs =~ ^[0-9]+$ ]] ||
        fail "the leader's clock cannot be read (${admin:-$leader}): $(tail -n 1 "$work/error")." \
            "Without access as root there: --csr-out, then --certificate (see --help)"
    after=$(date +%s)
    skew=0
    if [ "$theirs" -lt "$before" ]; then skew=$((before - theirs)); fi
    if [ "$theirs" -gt "$after" ]; then skew=$((theirs - after)); fi
    [ $skew -le $MAX_SKEW ] ||
        fail "this host's clock and the leader's differ by $skew s: set them right first (chrony, systemd-timesyncd)"
}

# The members that the cluster has, and that this one is none of them.
look_at_cluster() {
    local list own
    own=https://$(in_url "$own_address"):2380
    list=$(client "https://$(in_url "$leader"):2379" member list --write-out simple 2>"$work/error") ||
        fail "etcd on the leader does not answer: $(tail -n 1 "$work/error")"
    if awk -F', ' -v url="$own" -v name="$name" '$4 == url || $3 == name { exit 1 }' <<<"$list"; then :; else
        fail "the cluster has a member with the name $name or the peer URL $own already." \
            "If it is gone for good: etcdctl member remove ID, on the leader"
    fi
    if awk -F', ' '$6 == "true" { exit 1 }' <<<"$list"; then :; else
        fail "another member is joining (a learner): wait until it has, one at a time"
    fi
    if awk -F', ' '$2 != "started" { exit 1 }' <<<"$list"; then :; else
        fail "the cluster has a member that never started: etcdctl member list, then etcdctl member remove ID"
    fi
    # Any member can take it off the list again, if the leader is the one that is lost.
    endpoints=$(awk -F', ' '{ print $5 }' <<<"$list" | paste -sd,)
    initial_cluster=$(awk -F', ' '{ n = split($4, urls, ","); for (i = 1; i <= n; i++) print $3 "=" urls[i] }' <<<"$list" | paste -sd,)
    client "$endpoints" endpoint health >/dev/null 2>"$work/error" ||
        fail "not every member is healthy; joining now could cost the quorum: $(grep -v '^Error' "$work/error" | head -n 1)"
}

sign_there() {
    # shellcheck disable=SC2046 # words
    to_leader "$admin" etcd-signer member sign $(member_hosts) <"$work/member.csr" >"$work/member.crt"
}

add_learner() {
    local try
    # A cluster takes one change at a time, and none in its first seconds.
    for try in 1 2 3 4 5 6 7 8 9 10; do
        if client "$endpoints" member add "$name" --learner \
            --peer-urls="https://$(in_url "$own_address"):2380"; then return; fi
        sleep 1
    done
    return 1
}
# Known by its ID: etcd promotes a learner once it has caught up, and says no until then.
own_id() { client "$endpoints" member list | awk -F', ' -v url="https://$(in_url "$own_address"):2380" '$4 == url { print $1 }'; }
votes() { client "$endpoints" member list | awk -F', ' -v name="$name" '$3 == name && $6 == "false" { found = 1 } END { exit !found }'; }
# An answer that was lost on the way is no reason to ask for ever.
promote() { votes || client "$endpoints" member promote "$(own_id)"; }
started() { client "$endpoints" member list | grep "started, $name,"; }

join() {
    ca=$work/ca.crt crt=$work/member.crt key=$work/member.key
    fetch_ca
    if [ -n "$certificate" ]; then
        [ -e $PENDING/member.key ] || fail "there is no request waiting for a certificate: --csr-out makes one"
        cp $PENDING/member.key "$key"
        cp "$certificate" "$crt"
    else
        [ -n "$csr_out" ] || check_clock
        make_request "$key" "$work/member.csr"
        if [ -n "$csr_out" ]; then
            if [ "$dry_run" = yes ]; then
                say "would: write the request to $csr_out"
                return
            fi
            rm -rf $PENDING
            install -d -m 700 $PENDING
            install -m 400 "$key" $PENDING/member.key
            install -m 644 "$work/member.csr" "$csr_out"
            say "The request is in $csr_out. Have it signed on the leader, as root:"
            say "    etcd-signer member sign $(member_hosts) < member.csr > member.crt"
            say "and go on here: first-boot.sh join --signer-ip=$leader --name=$name --address=$own_address" \
                "${fingerprint:+--ca-fingerprint=$fingerprint }--certificate=member.crt"
            return
        fi
        if [ "$dry_run" = yes ]; then
            for what in "have the certificate signed as $admin" "look at the cluster" \
                "install the certificates in $PKI" "write etcd's settings: $ENVIRONMENT" \
                "add this host to the cluster as a learner" "start etcd" \
                "promote it once it has caught up" "remove this script"; do
                say "would: $what"
            done
            return
        fi
        sign_there 2>"$work/error" || fail "$admin does not sign this member's certificate: $(tail -n 1 "$work/error")"
    fi
    why=$(check_certificate "$crt" "$key" "$ca" 2>&1) || fail "$why"
    [ -z "$certificate" ] || check_clock
    look_at_cluster

    local peer_url
    peer_url=https://$(in_url "$own_address"):2380
    stop_untouched
    will_undo folder /etc/etcd
    will_undo folder $PKI
    for file in ca.crt member.crt member.key; do will_undo file $PKI/$file; done
    step "installing the certificates in $PKI" install_pki "$ca" "$crt" "$key"
    unset ca crt key
    will_undo_environment
    step "writing etcd's settings: $ENVIRONMENT" write_environment \
        "$initial_cluster,$name=$peer_url" existing "https://$(in_url "$own_address"):2379,$endpoints"
    will_undo stop etcd.service
    # Taken back before etcd is stopped: should it vote by then, it has to, to be voted off.
    will_undo member "$endpoints" "$peer_url"
    step "adding this host to the cluster, as a learner" add_learner
    step "starting etcd" start_etcd
    step "waiting until it is known as started" wait_for 60 "the member has started" started
    step "promoting it, once it has caught up" wait_for 300 "the learner has been promoted" promote
    step "waiting until it is healthy" wait_for 60 "etcd is healthy" healthy
    [ "$dry_run" = no ] || return 0
    finish
    say ""
    say "This host is a member of the cluster: $(client "$endpoints" member list | wc -l) members."
    say "Its certificate ends $(openssl x509 -in $PKI/member.crt -noout -enddate | cut -d= -f2)."
}

# ---- main ------------------------------------------------------------------------------------

parse "$@"
[ "$(id -u)" = 0 ] || fail "this needs root"
if [ "$dry_run" = no ]; then
    # Held by what it has started, too: a run that was killed may have left a command behind.
    exec 9>/run/etcd-signer-first-boot.lock
    flock -w 15 9 || fail "another run of this script is at work"
fi
# Only now: what another run has done is not for this one to take back.
trap finished EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
trap '' PIPE
check_tools
check_not_done
check_arguments
if [ -e $UNDO ]; then
    [ "$dry_run" = no ] || fail "an earlier run was cut off: run without --dry-run, which takes back what it did"
    logging=yes
    say "an earlier run was cut off: taking back what it did"
    recovering=yes
    undo_all || { trap - EXIT && exit 1; }
    recovering=no
fi
check_host
# In memory: a key in it does not outlive the host's next start.
work=$(mktemp -d -p /run)
chmod 700 "$work"
begin
$command
