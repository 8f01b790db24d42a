#!/bin/bash
# Whether the rows of attacks.sh can fail: takes the drop-in's lines out, one at a time, and
# says which row notices. It fails if none does. As root:
#
#   SIGNER=target/static/etcd-signer red.sh
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
failed=0

# notices ROWS LINE...: without the lines, at least one of these rows fails.
notices() {
    local rows=$1 line options=() table
    shift
    for line; do options+=(--without "$line"); done
    table=$(bash "$here/attacks.sh" --only "$rows" "${options[@]}" 2>&1)
    if grep -q '^FAILED ' <<<"$table"; then
        printf 'red     | without %-44s | %s\n' "$*" \
            "$(grep '^FAILED ' <<<"$table" | cut -d'|' -f2,4 | tr -s ' \n' ' ' | cut -c1-150)"
    else
        printf 'GREEN   | without %-44s | %s\n%s\n' "$*" "$rows" "$table"
        failed=1
    fi
}

# (Without it the login shell still refuses: the row for that is "no ForceCommand".)
notices 'get-certificate' 'ForceCommand'
notices 'outside.*' 'PasswordAuthentication no' 'PermitEmptyPasswords no'
notices 'outside, interactive' 'KbdInteractiveAuthentication' 'PermitEmptyPasswords no'
notices 'outside, key' 'PubkeyAuthentication'
notices 'planted key' 'PubkeyAuthentication'
notices '-t' 'PermitTTY'
notices '-tt' 'PermitTTY'
notices '-L' 'DisableForwarding'
notices '-D' 'DisableForwarding'
notices '-W' 'DisableForwarding'
notices '-J' 'DisableForwarding'
notices '-R' 'DisableForwarding'
notices '-R, dynamic' 'DisableForwarding'
notices '-L, sockets' 'DisableForwarding'
notices '-R, sockets' 'DisableForwarding'
notices '-A' 'DisableForwarding' 'AllowAgentForwarding'
notices '-X' 'DisableForwarding' 'X11Forwarding'
notices '-Y' 'DisableForwarding' 'X11Forwarding'
notices '-w' 'PermitTunnel'
notices 'second session' 'MaxSessions'
notices 'ControlMaster' 'MaxSessions'
notices 'SetEnv' 'AcceptEnv'
notices 'SendEnv' 'AcceptEnv'
notices 'banner' 'Banner'
notices 'planted files' 'PermitUserRC' 'ForceCommand'
notices '-N' 'UnusedConnectionTimeout'
notices 'get-certificate' 'AllowUsers'
notices 'get-certificate' 'AuthenticationMethods none' 'PasswordAuthentication yes'
notices 'get-certificate' 'PermitEmptyPasswords yes'
exit "$failed"
