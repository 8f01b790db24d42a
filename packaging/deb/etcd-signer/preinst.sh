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

# After a removal: what the operator wrote comes back.
enable_drop_ins

# The texts of the version that is in place, while they are there: by these postinst tells what the
# operator wrote. Version 0.1.0 took no notes: dpkg knew the drop-in as a conffile. dpkg goes on
# listing it, as obsolete; it then neither removes the file nor asks about it, and remembers it if
# 0.1.0 is installed again.
for name in $names; do
    [ -f "$texts/$name" ] || continue
    if [ ! -f "$noted/$name" ] || same_text "$texts/$name" "$drop_ins/$name"; then note_text "$name"; fi
done
