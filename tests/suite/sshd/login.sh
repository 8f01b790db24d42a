#!/bin/bash
# What etcd-signer check and etcd-signer-endpoint make of hosts as people have them: hardened
# accounts, PAM, login by key, networks that are too wide, an sshd that is started by a socket. As
# root:
#
#   SIGNER=target/static/etcd-signer login.sh [--only REGEX]
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
enter_namespaces "$@"
# shellcheck disable=SC2034 # rows.sh
only=''
if [ "${1:-}" = --only ]; then only=$2; fi
# shellcheck source=../../tools/rows.sh
. "$here/../../tools/rows.sh"

endpoint() { "$bed/deploy/etcd-signer/etcd-signer-endpoint" "$@" >"$bed/out" 2>&1; }
# found SUBJECT: the verdict and text of check's finding.
found() { etcd-signer check --only sshd --only login | grep -E "^(ok|warn|FAIL) +$1 " | tr -s ' '; }
# is VERDICT SUBJECT WORDS: check says so.
is() {
    said=$(found "$2")
    [[ $said == "$1 "*"$3"* ]]
}
answers() { ssh -F "$bed/ssh_config" -o BindAddress=10.99.0.1 leader get-certificate >"$bed/answer" 2>"$bed/err"; }
refuses() { ! answers; }
hup() {
    kill -HUP "$sshd_pid"
    sleep 1
}
# with FILE SED-SCRIPT FUNCTION...: a file of /etc changed for the time of a function.
with() {
    local file=$1 script=$2 code=0
    shift 2
    cp -p "$file" "$bed/saved"
    sed -i "$script" "$file"
    "$@" || code=1
    cat "$bed/saved" >"$file"
    return $code
}

opened() {
    endpoint open --networks 10.99.0.0/24 || { said=$(cat "$bed/out"); return 1; }
    hup
    answers || { said=$(cat "$bed/err"); return 1; }
    is ok login "ssh signer@10.99.0.1 get-certificate, as a master would: answered" &&
        is ok password empty && is ok sshd "logins from 10.99.0.0 are accepted, from 198.51.100.7 and 3fff:ff::7 refused"
}
locked() {
    passwd -q --lock signer
    refuses && is FAIL login "Permission denied" && is FAIL password "locked, so no master can log in"
    local code=$?
    passwd -q --delete signer
    return $code
}
nullok() { with /etc/pam.d/common-auth 's/ nullok//' refused_by_check; }
refused_by_check() { refuses && is FAIL login "Permission denied"; }
denied() {
    # Before the drop-in's block for the account, so that it is read first.
    echo 'DenyUsers signer' >/etc/ssh/sshd_config.d/00-a.conf
    hup
    refused_by_check
    local code=$?
    rm /etc/ssh/sshd_config.d/00-a.conf
    hup
    return $code
}
pam_access() {
    echo '-:signer:ALL' >>/etc/security/access.conf
    with /etc/pam.d/sshd '1i account required pam_access.so' refused_by_check
    local code=$?
    sed -i '/signer/d' /etc/security/access.conf
    return $code
}
expired() {
    chage -E 1 signer
    refuses && is FAIL expiry "the account expires on 1970-01-02: no master can log in"
    local code=$?
    chage -E -1 signer
    return $code
}
ageing() {
    chage -M 90 signer
    answers && is warn expiry "the password expires on" || return 1
    chage -d 2020-01-01 signer
    is FAIL expiry "no master can log in" || return 1
    local text=$said
    endpoint open --networks 10.99.0.0/24 && hup && answers && [ -z "$(found expiry)" ] || return 1
    said="$text; etcd-signer-endpoint open takes it off"
}
foreign_networks() {
    endpoint open --networks 10.99.1.0/24 && hup
    is ok login "not tried: this host has no address in the networks"
    local code=$?
    endpoint open --networks 10.99.0.0/24 && hup
    return $code
}

too_wide() {
    local networks count=0
    for networks in ::/0 2000::/3 0.0.0.0/0 0.0.0.0/1 0.0.0.0/1,128.0.0.0/1 10.0.0.0/24,::/1; do
        ! endpoint open --networks $networks || { said="$networks was opened"; return 1; }
        grep -q 'not changed: .*a large part of the internet' "$bed/out" || { said="$networks: $(cat "$bed/out")"; return 1; }
        count=$((count + 1))
    done
    grep -q 'Address 10.99.0.0/24$' /etc/ssh/sshd_config.d/00-etcd-signer.conf || { said="changed"; return 1; }
    said="$count spellings of a whole internet: $(cut -c1-120 "$bed/out")"
}
wide() {
    endpoint open --networks 10.99.0.0/24,8.8.0.0/16 || { said=$(cat "$bed/out"); return 1; }
    grep -q '^etcd-signer-endpoint: warning: .*wide for a control plane' "$bed/out" && is warn networks "wide for a control plane"
    local code=$?
    endpoint open --networks 10.99.0.0/24 && hup
    return $code
}
outsider_in_each_family() {
    printf 'Match User signer Address *:*\n    PasswordAuthentication yes\n' >/etc/ssh/sshd_config.d/00-a.conf
    is FAIL sshd "logins from 3fff:ff::7 (not an allowed address) must be refused: passwordauthentication is yes, but must be no"
    local code=$?
    rm /etc/ssh/sshd_config.d/00-a.conf
    return $code
}

without_run_sshd() {
    mv /run/sshd /run/sshd.away
    local code=0
    if sshd -T -C user=signer,host=x,addr=10.99.0.1 >/dev/null 2>&1; then
        said="sshd -T answers all the same"
        code=1
    else
        # The sshd that has started meanwhile needs it, and so do all its logins.
        is ok sshd "logins from 10.99.0.0 are accepted" && [ -d /run/sshd ] && answers || code=1
        rm -r /run/sshd
        endpoint test --networks 10.99.0.0/24 && [ -d /run/sshd ] && answers || code=1
    fi
    rm -rf /run/sshd
    mv /run/sshd.away /run/sshd
    return $code
}

by_key() {
    endpoint close || { said=$(cat "$bed/out"); return 1; }
    hup
    sed 's|192\.0\.2\.0/24,2001:db8::/32|10.99.0.0/24|' "$bed/deploy/etcd-signer/sshd/00-etcd-signer-keys.conf" \
        >/etc/ssh/sshd_config.d/00-etcd-signer-keys.conf
    mkdir -p /etc/etcd-signer
    echo "restrict $(cat "$bed/key.pub")" >/etc/etcd-signer/authorized_keys
    chmod 644 /etc/etcd-signer/authorized_keys
    hup
    ssh -F "$bed/ssh_config" -o BindAddress=10.99.0.1 -i "$bed/key" leader get-certificate >/dev/null 2>&1 ||
        { said="no login by key"; return 1; }
    is ok keys /etc/etcd-signer/authorized_keys && is ok password "locked: login by key only" && is ok sshd "logins from 10.99.0.0 are accepted"
}
keys_missing() {
    mv /etc/etcd-signer/authorized_keys "$bed/keys.away"
    is FAIL keys "no such file"
    local code=$?
    mv "$bed/keys.away" /etc/etcd-signer/authorized_keys
    [ $code = 0 ] || return 1
    chmod 600 /etc/etcd-signer/authorized_keys
    is FAIL keys "signer cannot read it"
    code=$?
    chmod 644 /etc/etcd-signer/authorized_keys
    return $code
}
by_key_reopened() {
    endpoint open --networks 10.99.0.0/24,10.99.3.0/24 || { said=$(cat "$bed/out"); return 1; }
    said="login by key: networks in $(grep -l 'Address 10.99.0.0/24,10.99.3.0/24' /etc/ssh/sshd_config.d/*), password $(getent shadow signer | cut -d: -f2)"
    [[ $said == *00-etcd-signer-keys.conf,* ]] && [[ $(getent shadow signer | cut -d: -f2) == !* ]]
}
by_key_closed() {
    endpoint close || { said=$(cat "$bed/out"); return 1; }
    hup
    ! ssh -F "$bed/ssh_config" -o BindAddress=10.99.0.1 -i "$bed/key" leader get-certificate >/dev/null 2>&1 ||
        { said="a key still gets in"; return 1; }
    endpoint status
    said=$(paste -sd';' "$bed/out")
    [[ $said == *"192.0.2.0/24,2001:db8::/32 (00-etcd-signer-keys.conf)"* ]] && is warn sshd "no networks are open yet"
}
# failing PROGRAM FUNCTION...: a program that fails, for the time of a function.
failing() {
    local program=$1 code=0
    shift
    mount --bind /usr/bin/false "$program"
    "$@" || code=1
    umount "$program"
    return $code
}
key() { ssh -F "$bed/ssh_config" -o BindAddress=10.99.0.1 -i "$bed/key" "$@" leader get-certificate >/dev/null 2>"$bed/err"; }
by_placement() {
    rm -f /etc/ssh/sshd_config.d/00-etcd-signer-keys.conf
    endpoint open --networks 10.99.0.0/24 || { said=$(cat "$bed/out"); return 1; }
    hup
    answers
}
# unchanged WHY: open has failed for this reason, and everything is as it was.
unchanged() {
    said=$(cat "$bed/out")
    [[ $said == *"$1"* ]] && grep -q 'Address 10.99.0.0/24$' $placement || return 1
    local files=$placement exempt=/etc/ssh/sshd_config.d/00-etcd-signer-penalties.conf
    if sshd -T | grep -q ^persourcepenalties; then
        files="$exempt $placement"
        grep -qx 'PerSourcePenaltyExemptList 10.99.0.0/24' $exempt || return 1
    fi
    [ "$(echo /etc/ssh/sshd_config.d/*)" = "$files" ]
}
refused_open() { ! endpoint open --networks "$1" && unchanged "not changed: $2" && answers; }
check_fails() { by_placement && failing /usr/bin/etcd-signer no_check; }
no_check() { ! endpoint open --networks 0.0.0.0/1 && unchanged "says nothing"; }
chage_fails() { by_placement && failing /usr/bin/chage refused_open 10.99.0.0/24,10.99.4.0/24 chage; }
interrupted() {
    by_placement && endpoint close && by_placement || return 1
    printf '#!/bin/sh\ntouch %s/reached\nexec sleep 60\n' "$bed" >"$bed/slow"
    chmod 755 "$bed/slow"
    mount --bind "$bed/slow" /usr/bin/chage
    "$bed/deploy/etcd-signer/etcd-signer-endpoint" open --networks 10.99.0.0/24,10.99.4.0/24 >"$bed/out" 2>&1 &
    local pid=$!
    wait_until 20 test -e "$bed/reached"
    kill -TERM $pid
    pkill -f '^sleep 60'
    wait $pid
    local code=$?
    umount /usr/bin/chage
    unchanged "" && answers && said="TERM: exit code $code, the drop-in as it was" && [ $code != 0 ]
}
networks_are() { grep -qx "Match User signer Address $2" "$1"; }
nobody=192.0.2.0/24,2001:db8::/32 placement=/etc/ssh/sshd_config.d/00-etcd-signer.conf keys=/etc/ssh/sshd_config.d/00-etcd-signer-keys.conf
close_fails() { ! endpoint close && said=$(cat "$bed/out") && [[ $said == *"not closed: "* && $said != *"accepts no logins"* ]]; }
passwd_fails() {
    by_placement && failing /usr/bin/passwd close_fails && networks_are $placement $nobody && refuses
}
close_broken_sshd() {
    by_placement || return 1
    echo 'Nonsense yes' >/etc/ssh/sshd_config.d/zz.conf
    close_fails && networks_are $placement $nobody && refuses
    local code=$?
    rm /etc/ssh/sshd_config.d/zz.conf
    return $code
}
open_by_key() {
    sed "s|192\.0\.2\.0/24,2001:db8::/32|10.99.0.0/24|" "$bed/deploy/etcd-signer/sshd/00-etcd-signer-keys.conf" >$keys
    sed -i "$1" $keys
    hup
    key
}
held_connection() {
    open_by_key '' || return 1
    ssh -F "$bed/ssh_config" -o BindAddress=10.99.0.1 -i "$bed/key" -M -N -f -o ControlPath="$bed/ctl" leader || return 1
    key -o ControlPath="$bed/ctl" || { said="no second request on it"; return 1; }
    endpoint close || { said=$(cat "$bed/out"); return 1; }
    ! key -o ControlPath="$bed/ctl" || { said="it is answered after close"; return 1; }
    said=$(tail -n 1 "$bed/err")
}
other_spelling() {
    open_by_key 's/^Match User signer Address/  match  USER signer address/I;s/USER signer/user signer/' || return 1
    is ok sshd "logins from 10.99.0.0 are accepted" && endpoint close && ! key && networks_are $keys $nobody || return 1
    open_by_key 's/^Match User signer Address \(.*\)/Match Address \1 User signer/' || return 1
    is FAIL sshd "Match Address 10.99.0.0/24 User signer" && close_fails && [[ $said == *"Match Address 10.99.0.0/24 User signer"* ]] &&
        ! endpoint open --networks 10.99.0.0/24
    local code=$?
    rm $keys
    return $code
}
latin_1() {
    open_by_key '1s/^/# f\xfcr Pr\xfcfer\n/' && is ok sshd "logins from 10.99.0.0 are accepted"
    local code=$?
    rm $keys
    return $code
}
key_over_placement() {
    by_placement && endpoint open --networks 10.99.0.0/24,10.99.7.0/24 && open_by_key '' || return 1
    endpoint open --networks 10.99.0.0/24 || { said=$(cat "$bed/out"); return 1; }
    networks_are $placement $nobody && [[ $(getent shadow signer | cut -d: -f2) == !* ]] && hup && key && refuses
    local code=$?
    rm $keys
    return $code
}
penalties() {
    sshd -T | grep -q ^persourcepenalties || { said="this sshd has no PerSourcePenalties (OpenSSH 9.8 and later have)"; return 3; }
    rm -f /etc/ssh/sshd_config.d/00-etcd-signer-keys.conf
    endpoint open --networks 10.99.0.0/24 && is ok penalties "exempt from" || return 1
    rm /etc/ssh/sshd_config.d/00-etcd-signer-penalties.conf
    is warn penalties "PerSourcePenalties"
}
penalties_unknown() {
    ! sshd -T | grep -q ^persourcepenalties || { said="this sshd has PerSourcePenalties"; return 3; }
    rm -f /etc/ssh/sshd_config.d/00-etcd-signer-keys.conf
    endpoint open --networks 10.99.0.0/24 || return 1
    said="no PerSourcePenaltyExemptList where sshd does not know it"
    [ ! -e /etc/ssh/sshd_config.d/00-etcd-signer-penalties.conf ] && [ -z "$(found penalties)" ]
}

make_bed
# An sshd as a package has it, but for the login by placement.
sed -i '/^AllowUsers mallory/,$d' /etc/ssh/sshd_config
install -m 0644 "$bed/deploy/etcd-signer/sshd/00-etcd-signer.conf" /etc/ssh/sshd_config.d/
start_sshd 22 /etc/ssh/sshd_config

row "opened" "open --networks with an address of this host" opened
row "locked account" "passwd -l signer" locked
row "PAM without nullok" "common-auth without nullok" nullok
row "DenyUsers" "an earlier drop-in with DenyUsers signer" denied
row "pam_access" "pam_access, and a line for signer in access.conf" pam_access
row "expired account" "chage -E" expired
row "ageing password" "chage -M 90, and a password of 2020" ageing
row "foreign networks" "networks that no address of this host is in" foreign_networks
row "networks, internet" "open --networks ::/0 and the like" too_wide
row "networks, wide" "open --networks with a public /16" wide
row "outsider, IPv6" "a login that is open to IPv6 alone" outsider_in_each_family
row "no /run/sshd" "sshd started by a socket: check, and endpoint test" without_run_sshd
row "by key" "00-etcd-signer-keys.conf, with a keys file" by_key
row "by key, no keys" "the keys file missing, then not readable by the account" keys_missing
row "by key, open" "etcd-signer-endpoint open" by_key_reopened
row "by key, close" "etcd-signer-endpoint close, and status" by_key_closed
row "open, check fails" "etcd-signer does not run" check_fails
row "open, chage fails" "chage fails" chage_fails
row "open, interrupted" "TERM in the middle" interrupted
row "close, passwd fails" "passwd fails" passwd_fails
row "close, sshd broken" "an sshd_config that sshd does not take" close_broken_sshd
row "close, held connection" "a connection from before close, asked again" held_connection
row "close, spelling" "drop-ins with Match spelled otherwise" other_spelling
row "drop-in, Latin-1" "a comment that is not UTF-8" latin_1
row "by key, over placement" "both drop-ins, the other one open to more" key_over_placement
row "penalties" "OpenSSH 9.8 and later: PerSourcePenaltyExemptList" penalties
row "no penalties" "an older sshd: no such line" penalties_unknown

kill "$sshd_pid"
end_of_rows
