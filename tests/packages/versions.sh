# shellcheck shell=bash disable=SC2086,SC2154 # $drop_in and others are packages.sh's, and have no spaces
# Other versions of the packages, made from those that were built. Sourced by packages.sh.
#
#   old.deb, client-old.deb      as 0.1.0 has them: the drop-in and the masters' settings are
#                                conffiles, and the maintainer scripts are those of 0.1.0
#   newer.deb, client-newer.deb  another program, other drop-ins, other settings
#   refused.deb                  a drop-in that this sshd does not take

# sshd's answer tells the versions apart: 15 s here, 14 s in newer.deb.
NEW_LINE='ClientAliveInterval 14'

# unpack NAME VERSION [FROM]
unpack() {
    rm -rf /mnt/version
    dpkg-deb -R "/mnt/packages/${3:-etcd-signer}.deb" /mnt/version || fatal "no ${3:-etcd-signer}.deb"
    sed -i "s/^Version: .*/Version: $2/" /mnt/version/DEBIAN/control
}
pack() { dpkg-deb --root-owner-group -b /mnt/version "/mnt/packages/$1.deb" >/dev/null || fatal "no $1.deb"; }

# The maintainer scripts, as packaging/stage.sh makes them.
old_script() {
    { echo '#!/bin/sh'; cat "$@"; } | sed '/shellcheck/d; /common\.sh"$/d'
}

make_versions() {
    local old=$top/tests/packages/with-conffiles script name
    unpack old 0.0.9-1
    echo >>/mnt/version/usr/bin/etcd-signer
    mkdir -p /mnt/version/etc/ssh/sshd_config.d
    for name in 00-etcd-signer.conf 00-etcd-signer-keys.conf; do
        install -m 0644 "$old/etcd-signer/$name" /mnt/version$templates/
    done
    install -m 0644 "$old/etcd-signer/00-etcd-signer.conf" /mnt/version$drop_in
    echo $drop_in >/mnt/version/DEBIAN/conffiles
    rm -f /mnt/version/usr/share/etcd-signer/config.toml
    mkdir /mnt/packages/scripts-old
    for script in preinst postinst prerm postrm; do
        old_script "$old/etcd-signer/common.sh" "$old/etcd-signer/$script.sh" >/mnt/version/DEBIAN/$script
        cp -p /mnt/version/DEBIAN/$script /mnt/packages/scripts-old/
    done
    pack old
    # Its tarball.
    cp -r /mnt/packages/tarball/* /mnt/packages/tarball-old
    rm -rf /mnt/packages/tarball-old/{root,scripts}
    mv /mnt/packages/scripts-old /mnt/packages/tarball-old/scripts
    cp "$old/etcd-signer/install.sh" /mnt/packages/tarball-old/
    echo 0.0.9 >/mnt/packages/tarball-old/version
    rm -rf /mnt/version/DEBIAN /mnt/version/usr/share/lintian
    cp -r /mnt/version /mnt/packages/tarball-old/root

    unpack newer 9.9.9-1
    echo >>/mnt/version/usr/bin/etcd-signer
    for name in $(cd /mnt/version && find . -name '00-etcd-signer.conf' -o -name '00-etcd-signer-keys.conf'); do
        sed -i "s/ClientAliveInterval 15/$NEW_LINE/" "/mnt/version/$name"
    done
    for name in $(cd /mnt/version && find . -name config.toml); do echo '# newer' >>"/mnt/version/$name"; done
    pack newer

    unpack refused 9.9.9-2
    for name in $(cd /mnt/version && find . -name '00-etcd-signer.conf'); do
        sed -i 's/ClientAliveInterval 15/ClientAliveInterval often/' "/mnt/version/$name"
    done
    pack refused

    unpack client-old 0.0.9-1 client
    install -D -m 0644 "$old/etcd-client-cert/config.toml" /mnt/version/etc/etcd-client-cert/config.toml
    rm -rf /mnt/version/usr/share/etcd-client-cert
    echo /etc/etcd-client-cert/config.toml >/mnt/version/DEBIAN/conffiles
    old_script "$old/etcd-client-cert/postinst.sh" >/mnt/version/DEBIAN/postinst
    pack client-old

    unpack client-newer 9.9.9-1 client
    for name in $(cd /mnt/version && find . -name config.toml); do echo '# newer' >>"/mnt/version/$name"; done
    pack client-newer
}
