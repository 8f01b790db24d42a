#!/bin/sh
# install.sh [--uninstall | --purge]: etcd-signer where there is no Debian package manager.
#
#   install.sh              install, or upgrade. What the operator wrote into files in /etc stays.
#   install.sh --uninstall  remove program, account and endpoint; settings and CA stay
#   install.sh --purge      the same, and remove the settings too. The CA stays: /etc/etcd/pki
#
# The files are the Debian package's, and its scripts do the work here too. A copy of this stays
# in /usr/share/etcd-signer/tarball, so that it can be removed without the tarball.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH LC_ALL=C
umask 022

state=/usr/share/etcd-signer/tarball

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

script() {
    name=$1
    shift
    sh "$here/scripts/$name" "$@"
}

# Every file and link of the package, relative to /.
files() { (cd "$here/root" && find . ! -type d | sed 's|^\./||' | sort); }

# put FILE: all of it or nothing, and never half a file under its name.
put() {
    mkdir -p "/$(dirname "$1")"
    cp -P --preserve=mode,timestamps "$here/root/$1" "/$1.etcd-signer-new"
    mv -f "/$1.etcd-signer-new" "/$1"
}

install_all() {
    [ -d "$here/root" ] || fail "the files are not here: run it from the unpacked tarball"
    old=$(cat $state/version 2>/dev/null || :)
    if [ -n "$old" ]; then script preinst upgrade "$old"; else script preinst install; fi
    new=$(mktemp -d)
    trap 'rm -rf "$new"' EXIT
    files >"$new/files"
    while read -r file; do put "$file"; done <"$new/files"
    # What an older version had and this one has not.
    if [ -f $state/files ]; then
        sort $state/files | comm -23 - "$new/files" | remove_files
    fi
    cp "$here/version" "$new/version"
    rm -rf $state
    mkdir -p $state
    cp "$new/files" "$new/version" "$here/install.sh" $state/
    cp -r "$here/scripts" $state/
    script postinst configure "$old"
    echo "etcd-signer $(cat "$here/version") is installed"
}

# Those that 0.1.0 put into /etc are the operator's, and stay.
remove_files() {
    while read -r file; do
        case $file in
            etc/*) ;;
            *)
                rm -f "/$file"
                rmdir -p "/$(dirname "$file")" 2>/dev/null || :
                ;;
        esac
    done
}

uninstall() {
    if [ ! -f $state/files ]; then
        [ "$1" = purge ] || fail "it is not installed"
    else
        # They go with the rest: run from a copy.
        copy=$(mktemp -d)
        trap 'rm -rf "$copy"' EXIT
        cp -r $state/. "$copy/"
        here=$copy
        script prerm remove
        remove_files <"$copy/files"
        rm -rf $state
        rmdir -p /usr/share/etcd-signer 2>/dev/null || :
        script postrm remove
    fi
    [ "$1" != purge ] || script postrm purge
    echo "etcd-signer is removed"
}

main() {
    here=$(cd "$(dirname "$0")" && pwd)
    case ${1-} in
        -h | --help)
            sed -n '2,9s/^# \{0,1\}//p' "$0"
            exit 0
            ;;
        '' | --uninstall | --purge) ;;
        *) fail "unknown option $1 (see install.sh --help)" ;;
    esac
    [ "$(id -u)" = 0 ] || fail "this needs root"
    [ "$(dpkg-query -W -f '${db:Status-Status}' etcd-signer 2>/dev/null || :)" != installed ] ||
        fail "the Debian package is installed: use apt"
    case ${1-} in
        '') install_all ;;
        --uninstall) uninstall remove ;;
        --purge) uninstall purge ;;
    esac
    exit 0
}

main "$@"
