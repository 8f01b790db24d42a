#!/bin/bash
# namespace.sh DIR COMMAND...: runs a command in a mount namespace of its own, as root, so that
# nothing on the machine changes: with its own /run, a real journald that keeps its journal in
# DIR/journal, and what sshd wants to find. Without journald ("-" before DIR): none is started,
# and /dev/log is what DIR/log is.
set -eu
journald=yes
if [ "$1" = - ]; then journald=no; shift; fi
dir=$1
shift
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/sshd /run/log/journal /run/systemd/journal
# sshd refuses a locked account even to a key.
sed 's/^root:!/root:*/' /etc/shadow >"$dir/shadow"
chmod 600 "$dir/shadow"
mount --bind "$dir/shadow" /etc/shadow
if [ "$journald" = yes ]; then
    mkdir -p "$dir/journal"
    mount --bind "$dir/journal" /run/log/journal
    /lib/systemd/systemd-journald 2>"$dir/journald.log" &
    for _ in $(seq 200); do
        [ ! -S /run/systemd/journal/socket ] || break
        sleep 0.05
    done
elif [ -S "$dir/log" ]; then
    mount -t tmpfs tmpfs /dev/shm
    mkdir /dev/shm/dev
    cp -a /dev/null /dev/urandom /dev/random /dev/zero /dev/tty /dev/shm/dev/
    touch /dev/shm/dev/log
    mount --bind "$dir/log" /dev/shm/dev/log
    mount --rbind /dev/shm/dev /dev
fi
code=0
"$@" || code=$?
# The namespace, and journald with it, ends with this script: let it write what it was sent.
[ "$journald" = no ] || journalctl --sync 2>/dev/null || sleep 1
exit "$code"
