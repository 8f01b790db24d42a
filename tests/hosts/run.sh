#!/bin/bash
# run.sh SIGNER.deb CLIENT.deb: the tests that need several hosts, of the Debian release that RELEASE
# names (bookworm, trixie, or both). Root. Everything runs in namespaces that end with this script, in a folder
# under target/. THEME=oddities runs one theme alone.
set -Eeuo pipefail
cd "$(dirname "$0")/../.."

if [ "$(id -u)" != 0 ]; then
    echo "test-hosts: this boots Debian hosts in namespaces, which needs root" >&2
    exit 1
fi
export BED=${BED:-$PWD/target/hosts}
# The hosts' file systems as tars, kept between runs.
export TREES=${TREES:-$BED}
if [[ ${RELEASE-} == *" "* ]]; then
    # Side by side: hosts wait for each other most of the time.
    declare -A runs
    trap 'kill "${runs[@]}" 2>/dev/null || :; wait' INT TERM
    for release in $RELEASE; do
        mkdir -p "$BED/$release"
        RELEASE=$release BED=$BED/$release tests/hosts/run.sh "$@" >"$BED/$release/log" 2>&1 &
        runs[$release]=$!
    done
    failed=0
    for release in $RELEASE; do
        wait "${runs[$release]}" || failed=1
        printf '\n==== Debian %s\n' "$release"
        cat "$BED/$release/log"
    done
    exit $failed
fi
if [ -z "${CGROUP:-}" ]; then
    mkdir -p "$BED"
    case $(stat -fc %T "$BED") in
        overlayfs | tmpfs)
            echo "test-hosts: $BED cannot hold overlays: name a folder on a disk: BED=/dir" >&2
            exit 1
            ;;
    esac
    export CGROUP=etcd-signer-hosts-$$
    clean() {
        local groups
        rm -rf "$BED/disks" "$BED/tree" "$BED/work" "$BED"/id "$BED"/id.pub "$BED"/ssh-*
        groups=$(mktemp -d)
        mount -t cgroup2 none "$groups"
        if [ -d "$groups/$CGROUP" ]; then find "$groups/$CGROUP" -depth -type d -exec rmdir {} +; fi
        umount "$groups"
        rmdir "$groups"
    }
    clean
    trap clean EXIT
    unshare --mount --propagation private --pid --fork --kill-child=KILL --mount-proc \
        tests/hosts/run.sh "$@"
    exit
fi
export PATH=$PATH:/usr/sbin:/sbin
trap 'echo "FAILED  | line $LINENO: $BASH_COMMAND" >&2' ERR
# shellcheck source=tests/hosts/bed.sh
. tests/hosts/bed.sh
bed_tree
bed_network n1:11 n2:12 n3:13 n4:14 odd:15 s1:31 s2:32 s3:33 m1:41 m2:42 m3:43 kubemaster-1:21 kubemaster-2:22
# shellcheck disable=SC2034 # lib.sh reads it
package=$(realpath "$1") client_package=$(realpath "$2")
mkdir -p "$BED/work"
# shellcheck source=tests/hosts/lib.sh
. tests/hosts/lib.sh
for theme in ${THEME:-cluster setup oddities members}; do
    # shellcheck source=tests/hosts/cluster.sh
    . "tests/hosts/$theme.sh"
done
echo
# shellcheck disable=SC2154 # rows.sh
echo "test result: ok. $passed passed; 0 failed, on several hosts of Debian $RELEASE, in $SECONDS s"
