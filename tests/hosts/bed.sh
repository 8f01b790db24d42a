#!/bin/bash
# bed.sh: real Debian hosts on this machine, for the tests that need several. Sourced by
# run.sh, inside namespaces of their own (mounts, processes), so that all of it ends with them.
#
# Each host is a systemd-nspawn container: its own root file system (an overlay over one tree
# of Debian packages), systemd as process 1, a network of its own, sshd, journal. They hang on
# one switch, 10.77.0.0/24, which leads nowhere else. Commands run on a host over ssh, as an
# operator's do.
set -euo pipefail

BED=${BED:?} # a folder on a file system that can hold overlays
RELEASE=${RELEASE:-bookworm} # of Debian, for all hosts
NET=10.77.0
NET6=fd00:77::

# The tree of packages, which tests/hosts/tree.sh makes once, and what is no package's in it.
bed_tree() {
    local tar
    tar=$(tests/hosts/tree.sh "$RELEASE" "$TREES")
    rm -rf "$BED/tree"
    mkdir "$BED/tree"
    tar -xpf "$tar" -C "$BED/tree" --xattrs --xattrs-include='*' --numeric-owner
    local tree=$BED/tree
    chroot "$tree" systemctl -q mask systemd-networkd.service systemd-resolved.service \
        systemd-timesyncd.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
        e2scrub_all.timer fstrim.timer man-db.timer
    # Installing the package enables it; a host begins without a cluster.
    chroot "$tree" systemctl -q disable etcd.service
    rm -f "$tree"/etc/ssh/ssh_host_* "$tree/etc/machine-id" "$tree/etc/hostname"
    ssh-keygen -q -t ed25519 -N '' -C bed -f "$BED/id"
    install -d -m 700 "$tree/root/.ssh"
    # The operator has one key, on every host: the two-host steps use it.
    install -m 600 "$BED/id" "$tree/root/.ssh/id_ed25519"
    install -m 600 "$BED/id.pub" "$tree/root/.ssh/authorized_keys"
    printf 'StrictHostKeyChecking accept-new\nConnectTimeout 5\n' >"$tree/root/.ssh/config"
    echo "127.0.0.1 localhost" >"$tree/etc/hosts"
}

# bed_network HOST:NUMBER...: a network namespace for each, and one that is the switch.
bed_network() {
    local host
    mount -t tmpfs -o mode=755 tmpfs /run
    mkdir -p /run/netns /run/sshd
    ip netns add switch
    ip -n switch link set lo up
    ip -n switch link add br0 type bridge
    ip -n switch addr add $NET.1/24 dev br0
    ip -n switch addr add ${NET6}1/64 dev br0 nodad
    ip -n switch link set br0 up
    for host; do
        echo "$NET.${host#*:} ${host%:*}" >>"$BED/tree/etc/hosts"
    done
    for host; do
        HOST_NUMBER[${host%:*}]=${host#*:}
        host=${host%:*}
        ip netns add "$host"
        ip -n "$host" link set lo up
        ip -n switch link add "to-$host" type veth peer name eth0 netns "$host"
        ip -n switch link set "to-$host" master br0 up
        ip -n "$host" addr add "$NET.${HOST_NUMBER[$host]}/24" dev eth0
        ip -n "$host" addr add "$(address6 "$host")/64" dev eth0 nodad
        ip -n "$host" link set eth0 up
        ip -n "$host" route add default via $NET.1
        ip -n "$host" -6 route add default via ${NET6}1
    done
}
declare -A HOST_NUMBER
# Hosts whose IPv4 address was taken away are reached by the other.
declare -A IPV6_ALONE
address() { if [ "${IPV6_ALONE[$1]-}" ]; then address6 "$1"; else echo "$NET.${HOST_NUMBER[$1]}"; fi; }
address6() { echo "$NET6${HOST_NUMBER[$1]}"; }
without_ipv4() {
    ip -n "$1" addr del "$NET.${HOST_NUMBER[$1]}/24" dev eth0
    IPV6_ALONE[$1]=1
}
cut_cable() { ip -n switch link set "to-$1" nomaster; } # silent loss: the host sees its link up
mend_cable() { ip -n switch link set "to-$1" master br0; }

# boot HOST: starts it; a host that was there before keeps its disk.
boot() {
    local host=$1 disk=$BED/disks/$1
    mkdir -p "$disk/upper" "$disk/work" "$disk/root"
    mountpoint -q "$disk/root" ||
        mount -t overlay "$host" -o "lowerdir=$BED/tree,upperdir=$disk/upper,workdir=$disk/work" \
            "$disk/root"
    if [ ! -e "$disk/root/etc/hostname" ]; then
        echo "$host" >"$disk/root/etc/hostname"
        tr -d - </proc/sys/kernel/random/uuid >"$disk/root/etc/machine-id"
        ssh-keygen -q -t ed25519 -N '' -f "$disk/root/etc/ssh/ssh_host_ed25519_key"
        mkdir -p "$disk/root/var/log/journal"
    fi
    # Every host has a control group of its own, or one systemd would end another's services.
    # The clock is one for the whole machine: nobody in here may set it.
    # shellcheck disable=SC2016 # the inner shell's words
    setpriv --bounding-set=-sys_time,-sys_module,-sys_rawio --inh-caps=-all --pdeathsig KILL \
        unshare --mount --propagation private bash -c '
        umount -R -l /sys/fs/cgroup
        mount -t cgroup2 none /sys/fs/cgroup
        mkdir -p "/sys/fs/cgroup/$3/$1"
        echo $$ >"/sys/fs/cgroup/$3/$1/cgroup.procs"
        exec systemd-nspawn --quiet --boot --directory="$2" --machine="$1" --register=no \
            --keep-unit --kill-signal=SIGRTMIN+3 --network-namespace-path="/run/netns/$1" \
            --resolv-conf=off --timezone=off --link-journal=no --console=pipe $4
        ' _ "$host" "$disk/root" "$CGROUP" "${NSPAWN[$host]-}" </dev/null >>"$disk/console.log" 2>&1 &
    HOST_PID[$host]=$!
}
declare -A HOST_PID
declare -A NSPAWN # options of its container, for a host

# The host's process 1, as seen from here.
first_process() {
    local child
    # shellcheck disable=SC2013 # words
    for child in $(cat "/proc/${HOST_PID[$1]}/task/${HOST_PID[$1]}/children" 2>/dev/null); do
        if grep -qE '^NSpid:.*[[:space:]]1$' "/proc/$child/status"; then echo "$child"; return; fi
    done
    return 1
}

# A power cut, and a host that hangs.
pull_plug() {
    kill -KILL "$(first_process "$1")"
    wait "${HOST_PID[$1]}" 2>/dev/null || :
}
shut_down() {
    kill -TERM "${HOST_PID[$1]}"
    wait "${HOST_PID[$1]}" 2>/dev/null || :
}

up() {
    local host
    for host; do boot "$host"; done
    for host; do wait_until "$host to come up" 60 on "$host" true; done
}

# on HOST COMMAND: a command line there, as root, over ssh.
on() {
    local host=$1
    shift
    ip netns exec switch ssh -F none -i "$BED/id" -o BatchMode=yes -o ConnectTimeout=5 \
        -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
        -o ControlMaster=auto -o ControlPersist=60 -o ControlPath="$BED/ssh-$host" \
        -o ServerAliveInterval=5 "root@$(address "$host")" "$*"
}
put() { # put FILE... HOST:DIR
    local last=${!#}
    tar -C / -c --transform='s|.*/||' "${@:1:$#-1}" 2>/dev/null |
        on "${last%%:*}" "tar -x --no-same-owner -C ${last#*:}"
}

# wait_until WHAT SECONDS COMMAND...: a bound that only a hang reaches.
wait_until() {
    local what=$1 seconds=$2
    shift 2
    local end=$((SECONDS + seconds))
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge $end ]; then
            echo "bed.sh: waited ${seconds} s in vain for $what" >&2
            return 1
        fi
        sleep 0.2
    done
}
