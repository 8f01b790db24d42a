# shellcheck shell=bash disable=SC2015,SC2016,SC2034,SC2086,SC2154,SC2317 # rows are called by name, `|| { said=...; }` is an else, $host has no spaces
# Upgrading and going back, with an endpoint that is open, edits of the operator and locked files.
# No dpkg here has anybody to answer it, or --force-conf... to answer for him. Sourced by packages.sh.

# ask_on DROP-IN [SSH-OPTION...]: asks for the certificate again and again, from several sides, and
# looks at the drop-in meanwhile, which an sshd that is started for each login would read. asked ends
# it.
ask_on() {
    local watched=$host$1 side
    shift
    rm -f /mnt/stop
    : >/mnt/asked
    for side in 1 2 3; do ask_from_a_side $side "$@" & done
    while [ ! -e /mnt/stop ]; do
        [[ $(<"$watched") == *$'\nMatch User signer Address 127.0.0.0/8'* ]] || echo "refused: the drop-in is not there, or closed" >>/mnt/asked
        sleep 0.01
    done 2>/dev/null
    wait
}
ask_from_a_side() {
    local side=$1
    shift
    while [ ! -e /mnt/stop ]; do
        if on timeout 20 ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o LogLevel=ERROR "$@" \
            signer@127.0.0.1 get-certificate >/mnt/asked.$side 2>/mnt/asked.$side.err </dev/null &&
            cmp -s /mnt/asked.$side $host/etc/etcd/pki/ca.crt; then
            echo answered
        elif grep -qE 'Connection (refused|reset)' /mnt/asked.$side.err; then
            # An sshd that reads its settings again is a new process, and has no port for a moment.
            echo reload
        else
            echo "refused: $(tr -d '\r' </mnt/asked.$side.err | tail -n 1)"
        fi >>/mnt/asked
        sleep 0.05
    done
}
asked() {
    touch /mnt/stop
    wait
    ! grep refused: /mnt/asked >/mnt/refused ||
        { said="$(grep -c . /mnt/refused) of $(grep -c . /mnt/asked) refused during ${*:-it}: $(head -n 1 /mnt/refused)"; return 1; }
    [ "$(grep -c answered /mnt/asked)" -ge 3 ] || { said="asked too seldom to tell"; return 1; }
    count=$((${count:-0} + $(grep -c answered /mnt/asked)))
}

# open_at NETWORKS: as the operator does it. There is no systemd here that could be asked.
open_at() {
    make_systemd none 3
    quietly on etcd-signer-endpoint open --networks "$1" || { said="open fails: $(tail -n 1 /mnt/out)"; return 1; }
}
in_force() {
    on sshd -T -C user=signer,host=h,addr=127.0.0.1,laddr=127.0.0.1,lport=22 | grep -qxi "$1" && return
    said="not in force: $1"
    return 1
}
no_litter() {
    local found
    found=$(cd $host/etc/ssh/sshd_config.d && find . -name '*etcd-signer*' ! -name 00-etcd-signer.conf \
        ! -name 00-etcd-signer-keys.conf ! -name 00-etcd-signer-penalties.conf)
    [ -z "$found" ] && return
    said="left in sshd_config.d: $found"
    return 1
}

upgrade_opened() {
    package old && make_ca && start_sshd && open_at 127.0.0.0/8,fd00:5::/64 || return 1
    local version line count=0
    for version in etcd-signer newer old etcd-signer newer; do
        ask_on $drop_in &
        package $version
        local code=$?
        asked "dpkg -i $version.deb" && [ $code = 0 ] || return 1
        networks_are $drop_in 127.0.0.0/8,fd00:5::/64 && pki_survives && no_litter || return 1
        # An old package leaves the file as it finds it.
        case $version in newer) line=$NEW_LINE ;; etcd-signer) line='ClientAliveInterval 15' ;; *) line= ;; esac
        [ -z "$line" ] || in_force "$line" || { said="$version: $said"; return 1; }
        get_certificate >/mnt/answer
        cmp -s /mnt/answer $host/etc/etcd/pki/ca.crt || { said="after $version: $(cat /mnt/ssh.err)"; return 1; }
    done
    quietly on etcd-signer-endpoint close || { said="close fails afterwards"; return 1; }
    same_settings || return 1
    said="old, present, newer, old, present, newer: $count requests meanwhile, all answered; each version's lines in force"
}

upgrade_opened_by_key() {
    package old && make_ca || return 1
    cp $host$templates/00-etcd-signer-keys.conf $host$keys_drop_in
    mkdir -p $host/etc/etcd-signer
    on ssh-keygen -q -t ed25519 -N '' -f /root/key
    echo "restrict $(cat $host/root/key.pub)" >$host/etc/etcd-signer/authorized_keys
    start_sshd
    open_at 127.0.0.0/8 || return 1
    local version count=0
    for version in etcd-signer newer old newer; do
        ask_on $keys_drop_in -i /root/key &
        package $version
        local code=$?
        asked "dpkg -i $version.deb" && [ $code = 0 ] || return 1
        networks_are $keys_drop_in 127.0.0.0/8 && networks_are $drop_in 192.0.2.0/24,2001:db8::/32 && no_litter || return 1
    done
    in_force "$NEW_LINE" && in_force 'pubkeyauthentication yes' && in_force 'permitemptypasswords no' || return 1
    [ -e $host/etc/etcd-signer/authorized_keys ] || { said="the keys are gone"; return 1; }
    get_certificate >/mnt/answer && { said="it is open without a key"; return 1; }
    said="login by key, both drop-ins: $count requests meanwhile, all answered; the newer lines in force"
}

# dpkg unpacks, and is cut off before it configures; it unpacks another version; then it goes on.
upgrade_cut_off() {
    package old && make_ca && start_sshd && open_at 127.0.0.0/8 || return 1
    local count=0
    ask_on $drop_in &
    quietly on dpkg --unpack /tmp/packages/etcd-signer.deb && quietly on dpkg --unpack /tmp/packages/newer.deb &&
        kill -HUP "$(cat $host/run/sshd.pid)" && sleep 2 && quietly on dpkg --configure etcd-signer
    local code=$?
    asked "dpkg --unpack" || return 1
    [ $code = 0 ] || { said="dpkg fails: $(tail -n 1 /mnt/out)"; return 1; }
    networks_are $drop_in 127.0.0.0/8 && in_force "$NEW_LINE" && no_litter || return 1
    said="unpacked twice, sshd reloaded between, then configured: $count requests, all answered"
}

# Lines of the operator's own are never lost, and he is told once for each text that he does without.
upgrade_keeps_edits() {
    package old && make_ca && start_sshd && open_at 127.0.0.0/8 || return 1
    sed -i 's/ClientAliveInterval 15/ClientAliveInterval 13/' $host$drop_in
    cp $host$drop_in /mnt/mine
    local count=0 version
    for version in etcd-signer newer; do
        ask_on $drop_in &
        package $version
        local code=$?
        asked "dpkg -i $version.deb" && [ $code = 0 ] || return 1
        cmp -s /mnt/mine $host$drop_in || { said="$version: the operator's file is not kept"; return 1; }
        says "$drop_in was changed by hand" && says "cp $templates/00-etcd-signer.conf $drop_in" || return 1
    done
    package newer && ! grep -q 'changed by hand' /mnt/out || { said="it is said again without a reason"; return 1; }
    # As it says.
    cp $host$templates/00-etcd-signer.conf $host$drop_in
    open_at 127.0.0.0/8 && in_force "$NEW_LINE" && package etcd-signer && in_force 'ClientAliveInterval 15' || return 1
    said="a line of the operator's own stays, and is told; as the message says, the package's text comes back"
    same_settings
}

upgrade_by_hand_networks() {
    package old && make_ca && start_sshd || return 1
    # As SSHD.md says how to do it by hand, in another spelling that sshd takes.
    sed -i 's|^Match User signer Address .*|  match user  signer address 127.0.0.0/8 |' $host$drop_in
    on passwd --delete signer >/dev/null
    package newer && networks_are $drop_in 127.0.0.0/8 && in_force "$NEW_LINE" || return 1
    said="networks written by hand are networks"
}

upgrade_keeps_removed() {
    package old || return 1
    rm $host$drop_in
    package etcd-signer && package newer && [ ! -e $host$drop_in ] || { said="the drop-in comes back: $said"; return 1; }
    same_settings && make_ca || return 1
    local copy="cp $templates/00-etcd-signer.conf /etc/ssh/sshd_config.d/"
    on etcd-signer check --only sshd >/mnt/out 2>&1
    says "$copy" || return 1
    ! open_at 127.0.0.0/8 && says "$copy" || return 1
    on $copy && open_at 127.0.0.0/8 && networks_are $drop_in 127.0.0.0/8 || return 1
    said="a drop-in that the operator removed stays away; check and open say how it comes back, and it does"
}

upgrade_with_bad_network() {
    install_deb || return 1
    start_sshd
    sed -i 's|192\.0\.2\.0/24,2001:db8::/32|10.0.0.1/8|' $host$drop_in
    ! on sshd -t 2>/dev/null || { said="sshd takes it"; return 1; }
    upgrade && says "$drop_in.disabled now" && same_settings || return 1
    [ "$(reloads)" = 0 ] || { said="reloaded"; return 1; }
    said="a network with bits behind the mask, with which sshd would not start again: put away, and told why"
}

# A new text that this sshd does not take closes nothing.
upgrade_to_refused_text() {
    package old && make_ca && start_sshd && open_at 127.0.0.0/8 || return 1
    local count=0
    ask_on $drop_in &
    package refused
    local code=$?
    asked && [ $code = 0 ] || return 1
    says "does not take" && networks_are $drop_in 127.0.0.0/8 && in_force 'ClientAliveInterval 15' && no_litter || return 1
    on sshd -t || { said="sshd would not start again"; return 1; }
    package newer && in_force "$NEW_LINE" || return 1
    said="a text that this sshd does not take: the one before stays in force, told; the next one is taken"
}

upgrade_old_sshd() {
    package old && make_ca && start_sshd && open_at 127.0.0.0/8 || return 1
    make_old_sshd
    # As the package of that sshd left it.
    sed -i 's/^ *UnusedConnectionTimeout/# unknown to this sshd: &/' $host$drop_in
    package newer && says UnusedConnectionTimeout && networks_are $drop_in 127.0.0.0/8 && in_force "$NEW_LINE" || return 1
    grep -q '^# unknown to this sshd: *UnusedConnectionTimeout' $host$drop_in && no_litter || { said="the line stays: $said"; return 1; }
    mv -f $host/usr/sbin/sshd.real $host/usr/sbin/sshd
    package etcd-signer && in_force 'UnusedConnectionTimeout 30' || return 1
    said="the line that an old sshd does not know is commented out in the new text too; a newer sshd gets it back"
}

upgrade_without_sshd() {
    rm -f $host/usr/sbin/sshd
    package old || return 1
    sed -i 's|192\.0\.2\.0/24,2001:db8::/32|10.0.0.0/8|' $host$drop_in
    package newer && networks_are $drop_in 10.0.0.0/8 && grep -q "$NEW_LINE" $host$drop_in || return 1
    said="without an sshd: the new text, with the networks"
}

locked_upgrade() {
    install_deb && open_endpoint && make_ca || return 1
    local what
    for what in all program drop-in; do
        case $what in
            all) quietly on etcd-signer-lock lock && quietly on etcd-signer-lock status || { said="lock fails"; return 1; } ;;
            program) on chattr +i /usr/bin/etcd-signer ;;
            drop-in) on chattr +i $drop_in ;;
        esac
        snapshot >/mnt/snapshot.1
        ! upgrade || { said="locked ($what), and upgraded"; return 1; }
        says "etcd-signer-lock unlock" && says "chattr -i" && says "nothing was changed" && unchanged || return 1
        ! quietly on dpkg -r etcd-signer || { said="locked ($what), and removed"; return 1; }
        says "etcd-signer-lock unlock" && unchanged || return 1
        ! quietly on dpkg --purge etcd-signer || { said="locked ($what), and purged"; return 1; }
        unchanged && same_settings && pki_survives || return 1
        quietly on etcd-signer-lock unlock && ! quietly on etcd-signer-lock status || { said="unlock fails"; return 1; }
    done
    upgrade && [ "$(on dpkg-query -W -f '${Version}' etcd-signer)" = 9.9.9-1 ] || { said="unlocked, and not upgraded"; return 1; }
    said="upgrade, removal and purge refused, nothing changed, told how; unlocked, it goes"
}

# dpkg has never heard of it as a conffile here, and would ask.
downgrade_of_new_host() {
    install_deb && make_ca && start_sshd && open_at 127.0.0.0/8 || return 1
    local count=0
    ask_on $drop_in &
    quietly on dpkg --force-confold -i /tmp/packages/old.deb
    local code=$?
    asked && [ $code = 0 ] || { said="dpkg fails: $said $(tail -n 1 /mnt/out)"; return 1; }
    networks_are $drop_in 127.0.0.0/8 && package newer && networks_are $drop_in 127.0.0.0/8 && in_force "$NEW_LINE" || return 1
    said="first installed with this version, back to 0.1.0 with --force-confold: it stays open; up again"
}

# From 0.1.0, which had it as a conffile: the same promises.
locked_upgrade_from_old() {
    package old && make_ca && start_sshd && open_at 127.0.0.0/8 && quietly on etcd-signer-lock lock || return 1
    snapshot >/mnt/snapshot.1
    ! package etcd-signer && says "etcd-signer-lock unlock" && says "nothing was changed" && unchanged ||
        { on etcd-signer-lock unlock; return 1; }
    quietly on etcd-signer-lock unlock && package etcd-signer && networks_are $drop_in 127.0.0.0/8 || return 1
    said="locked by the version before: refused, nothing changed; unlocked, it goes"
}

row upgrade_opened "" upgrade_opened
row upgrade_opened_by_key "" upgrade_opened_by_key
row upgrade_cut_off "" upgrade_cut_off
row upgrade_keeps_edits "" upgrade_keeps_edits
row upgrade_by_hand_networks "" upgrade_by_hand_networks
row upgrade_keeps_removed "" upgrade_keeps_removed
row upgrade_with_bad_network "" upgrade_with_bad_network
row upgrade_to_refused_text "" upgrade_to_refused_text
row upgrade_old_sshd "" upgrade_old_sshd
row upgrade_without_sshd "" upgrade_without_sshd
row downgrade_of_new_host "" downgrade_of_new_host
row locked_upgrade "" locked_upgrade
row locked_upgrade_from_old "" locked_upgrade_from_old
