# shellcheck shell=bash disable=SC2015,SC2016,SC2034,SC2086,SC2154,SC2317 # rows are called by name, `|| { said=...; }` is an else, $host has no spaces
# A host for each row, and what rows do with it. Sourced by packages.sh.

on() { chroot $host "$@"; }

# what it prints goes to /mnt/out.
quietly() { "$@" >/mnt/out 2>&1 </dev/null; }

make_host() {
    mkdir -p /mnt/layer $host
    mount -t tmpfs tmpfs /mnt/layer
    mkdir /mnt/layer/upper /mnt/layer/work
    mount -t overlay -o lowerdir=/,upperdir=/mnt/layer/upper,workdir=/mnt/layer/work overlay $host ||
        fatal "no overlay over /"
    mount -t proc proc $host/proc
    mount --rbind /dev $host/dev
    mount -t tmpfs -o mode=755 tmpfs $host/run
    mount -t tmpfs -o mode=1777 tmpfs $host/tmp
    mkdir $host/run/sshd
    cp -r /mnt/packages $host/tmp/
    sed -i '/^signer:/d;/^alice:/d' $host/etc/{passwd,shadow,group,gshadow}
    rm -rf $host/etc/etcd $host/etc/etcd-signer $host/root/setup $host/etc/ssh/sshd_config.d/*
    rm -f $host/usr/sbin/policy-rc.d
    on useradd --create-home --shell /bin/bash alice
    on ssh-keygen -q -A
    # Password logins, another Match block, another drop-in.
    cat >>$host/etc/ssh/sshd_config <<'END'
PasswordAuthentication yes
PermitRootLogin prohibit-password
Match LocalPort 22 User alice Address 198.51.100.0/24
    PasswordAuthentication no
    X11Forwarding no
    ForceCommand /bin/false
END
    printf 'Match Group nogroup\n    AllowTcpForwarding no\n' >$host/etc/ssh/sshd_config.d/50-other.conf
    printf 'ClientAliveInterval 77\nMaxAuthTries 4\n' >$host/etc/ssh/sshd_config.d/60-another.conf
    on dpkg --purge etcd-signer >/dev/null 2>&1
    settings >/mnt/before || fatal "the host's sshd has no settings"
}

drop_host() {
    [ ! -e $host/run/sshd.pid ] || kill "$(cat $host/run/sshd.pid)" 2>/dev/null
    umount -R -l $host
    umount -l /mnt/layer
}

# Every setting of sshd for everybody but the account, from everywhere.
settings() {
    local user address
    for user in root alice nobody; do
        for address in 127.0.0.1 192.0.2.7 198.51.100.7 2001:db8::7; do
            on sshd -T -C "user=$user,host=h,addr=$address,laddr=127.0.0.1,lport=22" || return 1
        done
    done
}

same_settings() {
    settings >/mnt/after 2>&1 && cmp -s /mnt/before /mnt/after && return
    said="sshd's settings for other users are not the same: $(diff /mnt/before /mnt/after | sed 1d | head -n 3 | tr '\n' ' ')"
    return 1
}

forced() {
    on sshd -T -C "user=signer,host=h,addr=$1,laddr=127.0.0.1,lport=22" 2>/dev/null |
        grep -qx 'forcecommand /usr/bin/etcd-signer serve'
}

start_sshd() {
    on /usr/sbin/sshd -E /run/sshd.log
    local i
    for i in $(seq 100); do
        [ ! -s $host/run/sshd.pid ] || return 0
        sleep 0.1
    done
    fatal "sshd does not start after $i looks: $(cat $host/run/sshd.log)"
}
reloads() {
    sleep 1
    grep -c 'Received SIGHUP' $host/run/sshd.log
}
listens() { on bash -c 'exec 3<>/dev/tcp/127.0.0.1/22; read -rt 20 line <&3; [[ $line == SSH-2* ]]'; }

drop_in=/etc/ssh/sshd_config.d/00-etcd-signer.conf
keys_drop_in=/etc/ssh/sshd_config.d/00-etcd-signer-keys.conf
templates=/usr/share/etcd-signer/sshd
config=/etc/etcd-signer/config.toml

# says TEXT: whether the last command told the operator so.
says() {
    grep -qF -- "$1" /mnt/out && return
    said="it does not say: $1"
    return 1
}

install_deb() { quietly on dpkg -i /tmp/packages/etcd-signer.deb || { said="dpkg -i fails"; return 1; }; }
# The tarball's installer.
installer() { quietly on "$(dirname "$(cd $host && echo tmp/packages/tarball/*/install.sh)" | sed 's|^|/|')/install.sh" "$@"; }
# package NAME: one of /mnt/packages, with nobody there to answer a question.
package() { quietly on dpkg -i "/tmp/packages/$1.deb" || { said="dpkg -i $1.deb fails: $(tail -n 1 /mnt/out)"; return 1; }; }
upgrade() { package newer; }

# Everything on the host that an installation could change, but for dpkg's own notes.
snapshot() {
    (cd /mnt/layer/upper && find . \( -path ./var/log -o -path ./var/lib/dpkg -o -path ./tmp \
        -o -path ./var/cache \) -prune -o -type f -printf '%p %m %u %g %T@ ' -exec sha256sum {} \; \
        -o -printf '%p %y %m %l\n' | sort)
    on dpkg-query -W -f '${Package} ${Version} ${db:Status-Status}\n' etcd-signer 2>/dev/null |
        grep -v ' not-installed$'
}
unchanged() {
    snapshot >/mnt/snapshot.2
    cmp -s /mnt/snapshot.1 /mnt/snapshot.2 && return
    said="changed: $(diff /mnt/snapshot.1 /mnt/snapshot.2 | head -n 4 | cut -c1-150 | tr '\n' ' ')"
    return 1
}

make_ca() {
    on etcd-signer ca init >/dev/null && on chown signer: /etc/etcd/pki/ca.key &&
        (cd $host/etc/etcd/pki && sha256sum ca.key ca.crt) >/mnt/pki
}
pki_survives() {
    (cd $host/etc/etcd/pki && sha256sum --quiet -c /mnt/pki >/dev/null 2>&1) && return
    said="the CA is not there any more"
    return 1
}
open_endpoint() {
    sed -i 's|192\.0\.2\.0/24,2001:db8::/32|127.0.0.0/8|' $host$drop_in
    on passwd --delete signer >/dev/null
}
# networks_are DROP-IN NETWORKS
networks_are() {
    grep -qxF "Match User signer Address $2" "$host$1" && return
    said="$1 has: $(grep '^Match User signer Address' $host$1)"
    return 1
}
get_certificate() {
    on timeout 60 ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o LogLevel=ERROR \
        signer@127.0.0.1 get-certificate 2>/mnt/ssh.err </dev/null
}
