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
    sed -i 's|192\.0\.2\.0/24,2001:db8::/32|10.0.0.0/8|' $host$drop_in
    echo '# theirs' >>"$root$templates/00-etcd-signer.conf"
    installer && grep -q '# theirs' $host$drop_in && networks_are $drop_in 10.0.0.0/8 ||
        { said="no new text, or no networks: $said"; return 1; }
    echo '# mine' >>$host$drop_in
    echo 'validity = "12h"' >>$host/etc/etcd-signer/config.toml
    echo '# theirs, newer' >>"$root$templates/00-etcd-signer.conf"
    installer && says "was changed by hand" && grep -q '# mine' $host$drop_in && ! grep -q newer $host$drop_in &&
        grep -q 12h $host/etc/etcd-signer/config.toml || { said="the operator's file is not kept"; return 1; }
    rm $host$drop_in
    installer && [ ! -e $host$drop_in ] || { said="a removed file comes back"; return 1; }
    rm "$root/usr/share/doc/etcd-signer/README.md"
    installer && [ ! -e $host/usr/share/doc/etcd-signer/README.md ] || { said="an old version's file stays"; return 1; }
    said="a new text gets the networks; a drop-in that was changed otherwise stays, a removed one stays away"
}

# The old tarball has its own install.sh, which knows the drop-in as the operator's file.
old_installer() { quietly on /tmp/packages/tarball-old/install.sh; }
tarball_upgrade_opened() {
    old_installer && make_ca && start_sshd && open_at 127.0.0.0/8 || { said="the old one: $(tail -n 1 /mnt/out)"; return 1; }
    local count=0 which code
    sed -i "s/ClientAliveInterval 15/$NEW_LINE/" $host/tmp/packages/tarball/*/root$templates/00-etcd-signer.conf
    for which in installer old_installer installer; do
        ask_on $drop_in &
        $which
        code=$?
        asked "$which" && [ $code = 0 ] || { said="$which: $said $(tail -n 1 /mnt/out)"; return 1; }
        networks_are $drop_in 127.0.0.0/8 && in_force "$NEW_LINE" && [ -e $host$config ] || return 1
    done
    quietly on /usr/share/etcd-signer/tarball/install.sh --purge || { said="purge fails"; return 1; }
    [ -z "$(find $host/etc/ssh/sshd_config.d -name '*etcd-signer*' ! -name '*.dist')" ] && [ ! -e $host/var/lib/etcd-signer ] ||
        { said="purge leaves something"; return 1; }
    same_settings && pki_survives || return 1
    said="0.1.0's tarball, this one, back, again: $count requests meanwhile, all answered; purged"
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
row tarball_upgrade_opened "" tarball_upgrade_opened
row tarball_uninstalls "" tarball_uninstalls
row tarball_purges "" tarball_purges
row tarball_locked "" tarball_locked
row tarball_beside_the_package "" tarball_beside_the_package
