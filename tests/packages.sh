#!/bin/bash
# What the packages do to a host: one row for each thing that must hold. As root:
#
#   tests/packages.sh DEB TARBALL [ROW]
#
# Each row has a host of its own: this machine's file system under an overlay, in namespaces of
# its own, with an sshd that lets people in by password. Nothing on the machine changes. ROW
# (a regular expression) runs only some.
# shellcheck disable=SC2317,SC2015,SC2016 # rows are called by name; `|| { said=...; }` is an else
set -u
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive
host=/mnt/host
top=$(cd "$(dirname "$0")/.." && pwd)

fatal() { echo "packages: $*" >&2; exit 2; }

[ $# -ge 2 ] || fatal "usage: packages.sh DEB TARBALL [ROW]"
if [ "$(id -u)" != 0 ]; then
    echo "LEFT OUT: what the packages do to a host: it needs root, for namespaces and overlays"
    exit 0
fi
if [ -z "${IN_BED:-}" ]; then
    IN_BED=1 exec unshare --mount --net --pid --fork --kill-child --mount-proc \
        --propagation private -- bash "$0" "$(realpath "$1")" "$(realpath "$2")" "${3:-}"
fi
trap 'exit 130' INT TERM HUP
deb=$1 tarball=$2 only=${3:-}

rows=0 failed=0
row() {
    local name=$1
    [ -z "$only" ] || [[ $name =~ ^($only)$ ]] || return 0
    said=''
    rows=$((rows + 1))
    make_host
    if "$name"; then
        printf 'ok      | %-26s | %s\n' "$name" "$said"
    else
        failed=$((failed + 1))
        printf 'FAILED  | %-26s | %s\n' "$name" "$said"
        sed 's/^/        /' /mnt/out 2>/dev/null
    fi
    drop_host
}

# ---------------------------------------------------------------- a host

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

# says TEXT: whether the last command told the operator so.
says() {
    grep -qF -- "$1" /mnt/out && return
    said="it does not say: $1"
    return 1
}

install_deb() { quietly on dpkg -i /tmp/packages/etcd-signer.deb || { said="dpkg -i fails"; return 1; }; }
upgrade() { quietly on dpkg --force-confold -i /tmp/packages/newer.deb; }

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
get_certificate() {
    on timeout 60 ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o LogLevel=ERROR \
        signer@127.0.0.1 get-certificate 2>/mnt/ssh.err </dev/null
}

# ---------------------------------------------------------------- the package itself

contents() {
    dpkg-deb -c "$deb" | awk '{ print $1, $2, $6, $7, $8 }' >/mnt/out
    local line
    for line in '-rwx--x--x 0/0 ./usr/bin/etcd-signer' \
        'lrwxrwxrwx 0/0 ./usr/bin/etcd-signer-login -> etcd-signer' \
        '-rwxr-xr-x 0/0 ./usr/sbin/etcd-signer-lock' \
        '-rwxr-xr-x 0/0 ./usr/sbin/etcd-signer-endpoint' \
        '-rwxr-xr-x 0/0 ./usr/share/etcd-signer/first-boot.sh' \
        '-rw-r--r-- 0/0 ./etc/ssh/sshd_config.d/00-etcd-signer.conf' \
        '-rw-r--r-- 0/0 ./usr/lib/sysusers.d/etcd-signer.conf' \
        '-rw-r--r-- 0/0 ./usr/share/man/man8/etcd-signer.8.gz' \
        '-rw-r--r-- 0/0 ./usr/share/man/man5/etcd-signer.toml.5.gz' \
        '-rw-r--r-- 0/0 ./usr/share/doc/etcd-signer/examples/config.toml' \
        '-rw-r--r-- 0/0 ./usr/share/doc/etcd-signer/examples/00-etcd-signer-limits.conf' \
        '-rw-r--r-- 0/0 ./usr/share/doc/etcd-signer/copyright' \
        '-rw-r--r-- 0/0 ./usr/share/doc/etcd-signer/THIRD-PARTY.gz' \
        '-rw-r--r-- 0/0 ./usr/share/doc/etcd-signer/changelog.Debian.gz'; do
        sed 's/ *$//' /mnt/out | grep -qxF -- "$line" || { said="missing: $line"; return 1; }
    done
    ! grep -v ' 0/0 ' /mnt/out || { said="not root's"; return 1; }
    [ "$(dpkg-deb --info "$deb" conffiles)" = $drop_in ] || { said="conffiles"; return 1; }
    said="$(grep -vc '^d' /mnt/out) files and links, all root's; one is the operator's to change"
}

lintian_finds_no_error() {
    [ -x /usr/bin/lintian ] || { said="lintian is missing: see tests/tools/install.sh"; return 1; }
    lintian --show-overrides --tag-display-limit 0 "$deb" >/mnt/out 2>/mnt/err
    grep '^[EWO]:' /mnt/out | sed 's/^/        | lintian | /'
    ! grep -q '^E:' /mnt/out || { said="lintian finds errors"; return 1; }
    grep -qi 'cannot\|fatal\|not a deb' /mnt/err && { said="lintian did not run: $(tail -n1 /mnt/err)"; return 1; }
    said="$(grep -c '^W:' /mnt/out) warnings, no error (O: overridden, with its reason in the package)"
    return 0
}

# ---------------------------------------------------------------- installing

install_leaves_others_alone() {
    start_sshd
    install_deb && same_settings || return 1
    forced 192.0.2.7 && forced 203.0.113.9 || { said="no forced command for the account"; return 1; }
    [ "$(reloads)" = 1 ] && listens || { said="sshd was not reloaded, or is gone"; return 1; }
    said="$(grep -c . /mnt/before) settings of root, alice and nobody as before; sshd reloaded and listening"
}

nobody_is_let_in() {
    start_sshd
    install_deb && make_ca || return 1
    get_certificate >/mnt/answer
    local code=$?
    [ "$code/$(wc -c </mnt/answer)" = 255/0 ] || { said="exit $code from 127.0.0.1"; return 1; }
    # Not even when the operator has named the network, while the password is locked.
    sed -i 's|192\.0\.2\.0/24,2001:db8::/32|127.0.0.0/8|' $host$drop_in
    kill -HUP "$(cat $host/run/sshd.pid)" && sleep 1
    get_certificate >/mnt/answer
    code=$?
    [ "$code/$(wc -c </mnt/answer)" = 255/0 ] || { said="exit $code with a locked password"; return 1; }
    said="ssh signer@127.0.0.1: $(tr -d '\r' </mnt/ssh.err | tail -n 1)"
}

opened_it_answers() {
    install_deb && make_ca && open_endpoint || return 1
    start_sshd
    get_certificate >/mnt/answer
    cmp -s /mnt/answer $host/etc/etcd/pki/ca.crt || { said="$(cat /mnt/ssh.err)"; return 1; }
    said="ssh signer@127.0.0.1 get-certificate: the CA certificate"
}

account() {
    install_deb || return 1
    said="$(on getent passwd signer), password $(on getent shadow signer | cut -d: -f2)"
    [ "$(on getent passwd signer | cut -d: -f5-)" = 'etcd-signer endpoint:/:/usr/bin/etcd-signer-login' ] &&
        [[ $(on getent shadow signer | cut -d: -f2) == !* ]]
}

account_without_sysusers() {
    rm -f $host/usr/bin/systemd-sysusers $host/bin/systemd-sysusers
    account
}

foreign_account() {
    on useradd --create-home --shell /bin/bash signer
    snapshot >/mnt/snapshot.1
    ! quietly on dpkg -i /tmp/packages/etcd-signer.deb || { said="it installs over a person's account"; return 1; }
    unchanged && same_settings && says "rename the user first" || return 1
    said="a person named signer: refused, nothing changed"
}

no_sshd() {
    rm -f $host/usr/sbin/sshd
    install_deb || return 1
    said="installed"
    on getent passwd signer >/dev/null
}

no_include() {
    sed -i '/^Include/d' $host/etc/ssh/sshd_config
    settings >/mnt/before
    install_deb && same_settings && says "Include /etc/ssh/sshd_config.d/*.conf" || return 1
    said="an sshd_config without the Include line: says so"
}

no_host_keys() {
    rm -f $host/etc/ssh/ssh_host_*
    rmdir $host/run/sshd
    install_deb || return 1
    [ -f $host$drop_in ] && [ ! -d $host/run/sshd ] || { said="not as it was"; return 1; }
    said="an image without host keys and /run/sshd: installed, the drop-in in place"
}

broken_config() {
    start_sshd
    echo 'NoSuchKeyword yes' >$host/etc/ssh/sshd_config.d/90-broken.conf
    install_deb && says "an error that is not of this package" && says NoSuchKeyword || return 1
    [ -f $host$drop_in ] || { said="the drop-in is blamed"; return 1; }
    [ "$(reloads)" = 0 ] && listens || { said="sshd was reloaded"; return 1; }
    said="a configuration that was broken before: installed, sshd not touched, and told why"
}

# A host that runs systemd, as far as the scripts can see. (Real ones are in the tests with hosts.)
make_systemd() {
    mkdir -p $host/run/systemd/system
    rm -f $host/bin/systemctl $host/usr/bin/systemctl
    cat >$host/usr/bin/systemctl <<END
#!/bin/sh
echo "\$*" >>/run/systemctl.log
case "\$*" in
    *is-active*) case "\$*" in *" $1.service"*) exit 0 ;; *sshd.service*) exit ${2:-0} ;; esac; exit 3 ;;
esac
END
    chmod 755 $host/usr/bin/systemctl
}
systemd_reloads() {
    make_systemd ssh
    install_deb || return 1
    [ "$(grep -c '^reload ssh.service' $host/run/systemctl.log)" = 1 ] || { said="$(cat $host/run/systemctl.log)"; return 1; }
    drop_host
    make_host
    make_systemd sshd
    rm -f $host/usr/sbin/invoke-rc.d
    installer || return 1
    [ "$(grep -c '^reload sshd.service' $host/run/systemctl.log)" = 1 ] || { said="$(cat $host/run/systemctl.log)"; return 1; }
    drop_host
    make_host
    make_systemd none 3
    install_deb || return 1
    ! grep -q reload $host/run/systemctl.log || { said="it reloads what does not run"; return 1; }
    said="reload of ssh.service on Debian, of sshd.service elsewhere, of nothing where no sshd runs"
}

# An sshd that does not know a keyword of the drop-in, as those before 9.2.
make_old_sshd() {
    mv $host/usr/sbin/sshd $host/usr/sbin/sshd.real
    cat >$host/usr/sbin/sshd <<'END'
#!/bin/bash
file=/etc/ssh/sshd_config
while getopts ':f:C:h:E:tT' option; do [ "$option" != f ] || file=$OPTARG; done
for part in "$file" /etc/ssh/sshd_config.d/*.conf; do
    if [ "$file" != /etc/ssh/sshd_config ] && [ "$part" != "$file" ]; then continue; fi
    if grep -q '^ *UnusedConnectionTimeout' "$part" 2>/dev/null; then
        echo "$part: line 1: Bad configuration option: UnusedConnectionTimeout" >&2
        exit 255
    fi
done
exec /usr/sbin/sshd.real "$@"
END
    chmod 755 $host/usr/sbin/sshd
}
old_sshd() {
    start_sshd
    make_old_sshd
    install_deb && same_settings && says "UnusedConnectionTimeout" && says "$drop_in.disabled now" || return 1
    [ ! -e $host$drop_in ] && [ -f $host$drop_in.disabled ] || { said="still in place"; return 1; }
    [ "$(reloads)" = 0 ] || { said="reloaded"; return 1; }
    on sshd -t || { said="sshd -t fails"; return 1; }
    quietly on dpkg --purge etcd-signer && [ ! -e $host$drop_in.disabled ] || { said="purge leaves it"; return 1; }
    said="an sshd that does not take the drop-in: put away, sshd not touched, and told why"
}
old_sshd_broken_config() {
    make_old_sshd
    echo 'NoSuchKeyword yes' >$host/etc/ssh/sshd_config.d/90-broken.conf
    install_deb && says "$drop_in.disabled now" || return 1
    said="the same, in a configuration that is broken besides"
    [ ! -e $host$drop_in ]
}

first_boot() {
    local script=$host/root/setup/first-boot.sh
    install_deb || return 1
    [ "$(stat -c '%a %U' "$script" 2>&1)" = '700 root' ] || { said="not there, or not 0700"; return 1; }
    cmp -s "$script" "$top/deploy/etcd-signer/first-boot.sh" || { said="not the one that is shipped"; return 1; }
    rm "$script"
    install_deb && upgrade
    [ ! -e "$script" ] || { said="an upgrade puts it back"; return 1; }
    mkdir -p $host/var/lib/etcd-signer && touch $host/var/lib/etcd-signer/first-boot.done
    quietly on dpkg -r etcd-signer && install_deb || return 1
    [ ! -e "$script" ] || { said="it is put where it had run"; return 1; }
    make_ca
    quietly on dpkg --purge etcd-signer && install_deb || return 1
    [ ! -e "$script" ] || { said="it is put beside a CA"; return 1; }
    rm -r $host/etc/etcd/pki
    quietly on dpkg --purge etcd-signer && install_deb && [ -e "$script" ] || { said="not there again"; return 1; }
    quietly on dpkg -r etcd-signer && [ ! -e $host/root/setup ] || { said="it stays when the package goes"; return 1; }
    said="first-boot.sh (0700) on the first installation alone, and not where a CA is"
}

# ---------------------------------------------------------------- upgrading

upgrade_keeps_edits() {
    install_deb && make_ca && open_endpoint || return 1
    start_sshd
    upgrade || { said="dpkg fails"; return 1; }
    grep -q 'Address 127.0.0.0/8' $host$drop_in && pki_survives || { said="edits are lost"; return 1; }
    [ "$(reloads)" = 1 ] || { said="not reloaded"; return 1; }
    get_certificate >/mnt/answer
    cmp -s /mnt/answer $host/etc/etcd/pki/ca.crt || { said="$(cat /mnt/ssh.err)"; return 1; }
    said="the networks and the empty password stay; the endpoint goes on"
    same_settings
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

# ---------------------------------------------------------------- removing

remove() {
    install_deb && make_ca && open_endpoint || return 1
    mkdir -p $host/etc/etcd-signer && echo '# mine' >$host/etc/etcd-signer/config.toml
    cp "$top/deploy/etcd-signer/sshd/00-etcd-signer-limits.conf" $host/etc/ssh/sshd_config.d/
    start_sshd
    quietly on dpkg -r etcd-signer || { said="dpkg -r fails"; return 1; }
    same_settings && pki_survives || return 1
    on sshd -T -C user=signer,host=h,addr=127.0.0.1,laddr=127.0.0.1,lport=22 | grep -q '^forcecommand none' ||
        { said="the endpoint is still there"; return 1; }
    ! on getent passwd signer && ! on getent group signer || { said="the account is still there"; return 1; }
    [ "$(stat -c '%U %a' $host/etc/etcd/pki/ca.key)" = 'root 400' ] || { said="ca.key belongs to nobody"; return 1; }
    [ -f $host/etc/etcd-signer/config.toml ] || { said="the settings are gone"; return 1; }
    [ ! -e $host/usr/bin/etcd-signer-login ] || { said="the program is there"; return 1; }
    [ "$(reloads)" = 1 ] && listens || { said="sshd was not reloaded, or is gone"; return 1; }
    get_certificate >/mnt/answer
    [ "$?/$(wc -c </mnt/answer)" = 255/0 ] || { said="still answered"; return 1; }
    said="drop-ins and account are gone; settings stay, and the CA, which is root's now"
}

removal_waits_for_a_request() {
    install_deb || return 1
    on setpriv --reuid signer --regid signer --clear-groups sleep 4 &
    sleep 1
    quietly on dpkg -r etcd-signer && ! on getent passwd signer || { said="the account stays"; return 1; }
    wait
    said="a process of the account: it is let finish, and the account goes"
}

removal_of_locked_key() {
    install_deb && make_ca || return 1
    on chattr +i /etc/etcd/pki/ca.key
    quietly on dpkg -r etcd-signer || { said="dpkg -r fails"; return 1; }
    local result=0
    on getent passwd signer >/dev/null && says "stays, with its password locked" && says /etc/etcd/pki/ca.key || result=1
    on chattr -i /etc/etcd/pki/ca.key
    said="a key that can't be given to root: its owner stays, so that nobody gets that number${said:+; $said}"
    return $result
}

removal_of_key_elsewhere() {
    install_deb && make_ca || return 1
    mkdir -p $host/etc/etcd-signer $host/srv/ca && mv $host/etc/etcd/pki/ca.key $host/srv/ca/
    echo 'ca_key = "/srv/ca/ca.key" # elsewhere' >$host/etc/etcd-signer/config.toml
    quietly on dpkg --purge etcd-signer || { said="dpkg fails"; return 1; }
    [ "$(stat -c %U $host/srv/ca/ca.key)" = root ] || { said="it belongs to $(stat -c %U $host/srv/ca/ca.key)"; return 1; }
    said="a key that the settings name: root's, too, when the account goes"
}

purge() {
    install_deb && make_ca && open_endpoint || return 1
    mkdir -p $host/etc/etcd-signer && touch $host/etc/etcd-signer/config.toml
    mkdir -p $host/var/lib/etcd-signer && touch $host/var/lib/etcd-signer/first-boot.done
    quietly on dpkg --purge etcd-signer || { said="dpkg --purge fails"; return 1; }
    [ ! -e $host/var/lib/etcd-signer ] || { said="the first boot's state is left"; return 1; }
    [ ! -e $host/etc/etcd-signer ] || { said="settings are left"; return 1; }
    [ -z "$(find $host/etc/ssh/sshd_config.d -name '*etcd-signer*')" ] || { said="drop-ins are left"; return 1; }
    [ -z "$(find $host/usr $host/var/lib -name '*etcd-signer*' -not -path '*/dpkg/*' -newer /mnt/before 2>/dev/null)" ] ||
        { said="files are left"; return 1; }
    same_settings && pki_survives && says "/etc/etcd/pki is still there" || return 1
    said="settings are gone; /etc/etcd/pki is as it was"
}

reinstall() {
    install_deb && make_ca && open_endpoint || return 1
    quietly on dpkg -r etcd-signer && install_deb || return 1
    grep -q 'Address 127.0.0.0/8' $host$drop_in || { said="the networks are lost"; return 1; }
    says "chown signer: /etc/etcd/pki/ca.key" && same_settings || return 1
    [[ $(on getent shadow signer | cut -d: -f2) == !* ]] || { said="the account is open"; return 1; }
    on chown signer: /etc/etcd/pki/ca.key && on passwd --delete signer >/dev/null
    start_sshd
    get_certificate >/mnt/answer
    cmp -s /mnt/answer $host/etc/etcd/pki/ca.crt || { said="$(cat /mnt/ssh.err)"; return 1; }
    said="the networks are back, the account is locked; opened, it answers as before"
}

# ---------------------------------------------------------------- the tarball

installer() { quietly on "$(dirname "$(cd $host && echo tmp/packages/tarball/*/install.sh)" | sed 's|^|/|')/install.sh" "$@"; }

# Paths, kinds, modes, owners and contents of what a package put there.
tree() {
    (cd /mnt/layer/upper && find usr etc \( -path usr/share/etcd-signer/tarball -o -name 'changelog.Debian.gz' \
        -o -path usr/share/lintian \) -prune -o \( -path '*etcd*signer*' -a ! -type d \) -print |
        sort | while read -r file; do
            stat -c '%n %f %u %g %N' "$file"
            [ -L "$file" ] || sha256sum "$file"
        done)
}

tarball_is_the_package() {
    install_deb || return 1
    tree >/mnt/tree.deb
    drop_host
    make_host
    installer || { said="install.sh fails"; return 1; }
    tree >/mnt/tree.tar
    diff /mnt/tree.deb /mnt/tree.tar >/mnt/out || { said="not the same files"; return 1; }
    said="the same $(grep -c '^usr\|^etc' /mnt/tree.tar) files, modes and owners as the package's"
}

tarball_installs() {
    start_sshd
    installer || { said="install.sh fails"; return 1; }
    same_settings && forced 192.0.2.7 || return 1
    [ "$(reloads)" = 1 ] && listens || { said="sshd was not reloaded, or is gone"; return 1; }
    [[ $(on getent shadow signer | cut -d: -f2) == !* ]] || { said="the account is open"; return 1; }
    make_ca && open_endpoint || return 1
    installer || { said="the second time it fails"; return 1; }
    grep -q 'Address 127.0.0.0/8' $host$drop_in || { said="the networks are lost"; return 1; }
    get_certificate >/mnt/answer
    cmp -s /mnt/answer $host/etc/etcd/pki/ca.crt || { said="$(cat /mnt/ssh.err)"; return 1; }
    said="installed, opened, installed again: it answers, and other users' settings are the same"
    same_settings
}

tarball_upgrade_keeps_edits() {
    installer || return 1
    local root
    root=$(echo $host/tmp/packages/tarball/*/root)
    echo '# theirs' >>"$root$drop_in"
    installer && grep -q '# theirs' $host$drop_in || { said="an unchanged file is not replaced"; return 1; }
    echo '# mine' >>$host$drop_in
    echo '# theirs, newer' >>"$root$drop_in"
    installer && says "was changed by you" && grep -q '# mine' $host$drop_in &&
        grep -q 'theirs, newer' $host$drop_in.dist || { said="the operator's file is not kept"; return 1; }
    rm $host$drop_in
    installer && says "was removed by you" && [ ! -e $host$drop_in ] || { said="a removed file comes back"; return 1; }
    rm "$root/usr/share/doc/etcd-signer/README.md"
    installer && [ ! -e $host/usr/share/doc/etcd-signer/README.md ] || { said="an old version's file stays"; return 1; }
    said="a changed drop-in stays, an unchanged one is replaced, a removed one stays away"
}

tarball_uninstalls() {
    installer && make_ca && open_endpoint || return 1
    mkdir -p $host/etc/etcd-signer && touch $host/etc/etcd-signer/config.toml
    rm -rf $host/tmp/packages/tarball
    start_sshd
    quietly on /usr/share/etcd-signer/tarball/install.sh --uninstall || { said="it fails"; return 1; }
    same_settings && pki_survives || return 1
    ! on getent passwd signer || { said="the account is still there"; return 1; }
    [ -e $host/etc/etcd-signer/config.toml ] || { said="the settings are gone"; return 1; }
    [ -z "$(find $host/usr -path '*etcd*signer*' -newer /mnt/before)" ] || { said="files are left"; return 1; }
    [ -d $host/usr/lib/sysusers.d ] && [ -d $host/usr/bin ] || { said="too much is gone"; return 1; }
    said="without the tarball at hand: all of it is gone, the settings and the CA are not"
}

tarball_purges() {
    installer && make_ca && open_endpoint || return 1
    mkdir -p $host/etc/etcd-signer && touch $host/etc/etcd-signer/config.toml
    installer --purge || { said="it fails"; return 1; }
    [ ! -e $host/etc/etcd-signer ] && [ -z "$(find $host/etc/ssh -name '*etcd-signer*')" ] || { said="settings are left"; return 1; }
    same_settings && pki_survives || return 1
    said="settings are gone; /etc/etcd/pki is as it was"
}

tarball_locked() {
    installer && quietly on etcd-signer-lock lock || return 1
    snapshot >/mnt/snapshot.1
    ! installer && says "etcd-signer-lock unlock" && unchanged || { said="install: $said"; return 1; }
    ! installer --uninstall && says "etcd-signer-lock unlock" && unchanged || { said="uninstall: $said"; return 1; }
    quietly on etcd-signer-lock unlock && installer --uninstall || { said="unlocked, it fails"; return 1; }
    said="refused, nothing changed, told how to unlock"
}

tarball_beside_the_package() {
    install_deb || return 1
    ! installer && says "use apt" || { said="it installs over the package"; return 1; }
    said="refused where the Debian package is"
}

# ---------------------------------------------------------------- the masters' package

client_contents() {
    dpkg-deb -c /mnt/packages/client.deb | awk '{ print $1, $2, $6 }' >/mnt/out
    local line
    for line in '-rwxr-xr-x 0/0 ./usr/bin/etcd-client-cert' \
        '-rw-r--r-- 0/0 ./etc/etcd-client-cert/config.toml' \
        '-rw-r--r-- 0/0 ./usr/lib/systemd/system/etcd-client-cert.service' \
        '-rw-r--r-- 0/0 ./usr/lib/systemd/system/etcd-client-cert.timer' \
        '-rw-r--r-- 0/0 ./usr/share/man/man8/etcd-client-cert.8.gz' \
        '-rw-r--r-- 0/0 ./usr/share/man/man5/etcd-client-cert.toml.5.gz' \
        '-rw-r--r-- 0/0 ./usr/share/doc/etcd-client-cert/THIRD-PARTY.gz' \
        '-rw-r--r-- 0/0 ./usr/share/doc/etcd-client-cert/MASTERS.md'; do
        grep -qxF -- "$line" /mnt/out || { said="missing: $line"; return 1; }
    done
    ! grep -E 'usr/bin/etcd-signer|sshd_config|sysusers' /mnt/out >/mnt/err || { said="it carries the signer"; return 1; }
    lintian --tag-display-limit 0 /mnt/packages/client.deb >/mnt/out 2>&1
    ! grep '^[EW]:' /mnt/out || { said="lintian finds something"; return 1; }
    said="program, timer, settings, page; nothing of the signer's; lintian finds nothing"
}

client_package() {
    start_sshd
    make_systemd none 3
    quietly on dpkg -i /tmp/packages/client.deb && says "systemctl enable --now etcd-client-cert.timer" || return 1
    ! grep -qE '^(enable|start|reload)' $host/run/systemctl.log || { said="it starts something"; return 1; }
    on etcd-client-cert --version >/dev/null || { said="it does not run"; return 1; }
    ! on etcd-client-cert status >/mnt/out 2>&1 || { said="a status without a certificate"; return 1; }
    ! grep -qi 'config.toml' /mnt/out || { said="it does not take its own settings: $(head -n 1 /mnt/out)"; return 1; }
    mkdir -p $host/etc/kubernetes/pki $host/var/lib/etcd-client-cert
    echo mine >$host/etc/kubernetes/pki/apiserver-etcd-client.key
    echo '# mine' >>$host/etc/etcd-client-cert/config.toml
    quietly on dpkg -r etcd-client-cert && grep -q '^disable --now etcd-client-cert.timer' $host/run/systemctl.log ||
        { said="the timer is not stopped"; return 1; }
    grep -q '# mine' $host/etc/etcd-client-cert/config.toml || { said="the settings are gone"; return 1; }
    quietly on dpkg --purge etcd-client-cert || { said="purge fails"; return 1; }
    [ ! -e $host/etc/etcd-client-cert ] && [ ! -e $host/var/lib/etcd-client-cert ] || { said="something is left"; return 1; }
    grep -qx mine $host/etc/kubernetes/pki/apiserver-etcd-client.key || { said="the key is gone"; return 1; }
    same_settings && [ "$(reloads)" = 0 ] || { said="sshd: $said"; return 1; }
    said="nothing starts by itself; removed, the timer is stopped; purged, the kube-apiserver's files stay"
}

# ---------------------------------------------------------------- all of it

mount -t tmpfs -o mode=0755 tmpfs /mnt || fatal "no tmpfs"
cd / || exit 2
ip link set lo up 2>/dev/null
mkdir -p /mnt/packages/tarball /mnt/newer
cp "$deb" /mnt/packages/etcd-signer.deb
cp "$(dirname "$deb")"/etcd-client-cert_*.deb /mnt/packages/client.deb || fatal "no masters' package beside it"
tar --extract --file "$tarball" --directory /mnt/packages/tarball || fatal "no tarball"
# A newer version, with another executable and another drop-in.
dpkg-deb -R "$deb" /mnt/newer
sed -i 's/^Version: .*/Version: 9.9.9-1/' /mnt/newer/DEBIAN/control
echo >>/mnt/newer/usr/bin/etcd-signer
echo '# newer' >>/mnt/newer$drop_in
dpkg-deb --root-owner-group -b /mnt/newer /mnt/packages/newer.deb >/dev/null || fatal "no newer package"

for name in contents lintian_finds_no_error \
    install_leaves_others_alone nobody_is_let_in opened_it_answers account account_without_sysusers \
    foreign_account no_sshd no_include no_host_keys systemd_reloads broken_config old_sshd old_sshd_broken_config \
    first_boot \
    upgrade_keeps_edits upgrade_with_bad_network locked_upgrade \
    remove removal_waits_for_a_request removal_of_locked_key removal_of_key_elsewhere purge reinstall \
    tarball_is_the_package tarball_installs tarball_upgrade_keeps_edits tarball_uninstalls \
    tarball_purges tarball_locked tarball_beside_the_package \
    client_contents client_package; do
    row $name
done
echo "$rows rows, $failed failed"
[ "$rows" -gt 0 ] && [ "$failed" = 0 ]
