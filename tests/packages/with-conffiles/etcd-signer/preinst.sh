# preinst install|upgrade [OLD-VERSION]: whether it can be done at all, before any change.
# shellcheck shell=sh source-path=SCRIPTDIR source=common.sh
[ -n "${drop_ins-}" ] || . "$(dirname "$0")/common.sh"

case $1 in
    install | upgrade) ;;
    *) exit 0 ;;
esac

refuse_if_locked

# Somebody else's account of that name keeps its logins.
if entry=$(getent passwd "$account"); then
    case ${entry##*:} in
        "$login" | /usr/bin/etcd-signer) ;;
        *)
            say "this host has a user $account already, with the shell ${entry##*:}."
            say "nothing was changed. The endpoint needs that name: rename the user first."
            exit 1
            ;;
    esac
fi

# After a removal: what the operator wrote comes back, and dpkg sees it.
enable_drop_ins
