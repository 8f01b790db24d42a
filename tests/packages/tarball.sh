# shellcheck shell=bash disable=SC2015,SC2016,SC2034,SC2086,SC2154,SC2317 # rows are called by name, `|| { said=...; }` is an else, $host has no spaces
# The tarball and its install.sh. Sourced by packages.sh.

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

row tarball_is_the_package "" tarball_is_the_package
row tarball_installs "" tarball_installs
row tarball_upgrade_keeps_edits "" tarball_upgrade_keeps_edits
row tarball_uninstalls "" tarball_uninstalls
row tarball_purges "" tarball_purges
row tarball_locked "" tarball_locked
row tarball_beside_the_package "" tarball_beside_the_package
