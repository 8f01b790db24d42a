# shellcheck shell=bash disable=SC2015,SC2016,SC2034,SC2086,SC2154,SC2317 # rows are called by name, `|| { said=...; }` is an else, $host has no spaces
# The package's contents, and lintian. Sourced by packages.sh.

contents() {
    dpkg-deb -c "$deb" | awk '{ print $1, $2, $6, $7, $8 }' >/mnt/out
    local line
    for line in '-rwx--x--x 0/0 ./usr/bin/etcd-signer' \
        'lrwxrwxrwx 0/0 ./usr/bin/etcd-signer-login -> etcd-signer' \
        '-rwxr-xr-x 0/0 ./usr/sbin/etcd-signer-lock' \
        '-rwxr-xr-x 0/0 ./usr/sbin/etcd-signer-setup' \
        '-rwxr-xr-x 0/0 ./usr/sbin/etcd-signer-endpoint' \
        '-rwxr-xr-x 0/0 ./usr/share/etcd-signer/first-boot.sh' \
        '-rw-r--r-- 0/0 ./usr/share/etcd-signer/config.toml' \
        '-rw-r--r-- 0/0 ./usr/share/etcd-signer/sshd/00-etcd-signer.conf' \
        '-rw-r--r-- 0/0 ./usr/share/etcd-signer/sshd/00-etcd-signer-keys.conf' \
        '-rw-r--r-- 0/0 ./usr/lib/sysusers.d/etcd-signer.conf' \
        '-rw-r--r-- 0/0 ./usr/lib/systemd/system/etcd-signer-member-renew.service' \
        '-rw-r--r-- 0/0 ./usr/lib/systemd/system/etcd-signer-member-renew.timer' \
        '-rw-r--r-- 0/0 ./usr/lib/systemd/system/etcd-signer-member-fetch.service' \
        '-rw-r--r-- 0/0 ./usr/lib/systemd/system/etcd-signer-member-fetch.timer' \
        '-rw-r--r-- 0/0 ./usr/share/doc/etcd-signer/examples/etcd-signer-member' \
        '-rw-r--r-- 0/0 ./usr/share/doc/etcd-signer/examples/alerts.yml' \
        '-rw-r--r-- 0/0 ./usr/share/man/man8/etcd-signer.8.gz' \
        '-rw-r--r-- 0/0 ./usr/share/man/man8/etcd-signer-setup.8.gz' \
        '-rw-r--r-- 0/0 ./usr/share/man/man5/etcd-signer.toml.5.gz' \
        '-rw-r--r-- 0/0 ./usr/share/doc/etcd-signer/examples/config.toml' \
        '-rw-r--r-- 0/0 ./usr/share/doc/etcd-signer/examples/00-etcd-signer-limits.conf' \
        '-rw-r--r-- 0/0 ./usr/share/doc/etcd-signer/copyright' \
        '-rw-r--r-- 0/0 ./usr/share/doc/etcd-signer/THIRD-PARTY.gz' \
        '-rw-r--r-- 0/0 ./usr/share/doc/etcd-signer/changelog.Debian.gz'; do
        sed 's/ *$//' /mnt/out | grep -qxF -- "$line" || { said="missing: $line"; return 1; }
    done
    ! grep -v ' 0/0 ' /mnt/out || { said="not root's"; return 1; }
    ! grep ' \./etc/' /mnt/out && ! dpkg-deb --ctrl-tarfile "$deb" | tar --list | grep -q conffiles || { said="a conffile"; return 1; }
    said="$(grep -vc '^d' /mnt/out) files and links, all root's; none in /etc, where the operator decides"
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

row contents "" contents
row lintian_finds_no_error "" lintian_finds_no_error
