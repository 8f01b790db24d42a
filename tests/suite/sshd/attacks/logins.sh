# shellcheck shell=bash disable=SC2034,SC2154 # attacks.sh and lib.sh set and use them
# Who may log in, from where, and how. Sourced by attacks.sh.

outside() { attempt client -b 10.99.2.1 leader get-certificate; nothing_came 255; }
outside_ipv6() { attempt client -b fd99:2::1 fd99::1 get-certificate; nothing_came 255; }
# An empty password, given as a person would.
asking() {
    printf '#!/bin/sh\necho "%s"\n' "$1" >"$bed/askpass"
    chmod 0755 "$bed/askpass"
    shift
    SSH_ASKPASS=$bed/askpass SSH_ASKPASS_REQUIRE=force attempt client -o BatchMode=no "$@" \
        leader get-certificate
    nothing_came 255
}
outside_password() {
    asking '' -b 10.99.2.1 -o PreferredAuthentications=password && asking wrong -b 10.99.2.1 \
        -o PreferredAuthentications=password
}
outside_interactive() { asking '' -b 10.99.2.1 -o PreferredAuthentications=keyboard-interactive; }
# The key is good for root's account, so that its refusal says something.
outside_key() {
    attempt client -l root -b 10.99.2.1 -i "$bed/key" leader echo welcome
    [ "$out" = welcome ] || { said="the key opens nothing: $err"; return 1; }
    attempt client -b 10.99.2.1 -i "$bed/key" -o PreferredAuthentications=publickey leader \
        get-certificate
    nothing_came 255
}
# The forced command holds for everybody: an outsider who did get in would meet it too.
outside_forced() {
    local found
    found=$(sshd -T -C user=signer,host=x,addr=10.99.2.1 2>&1 | grep -E \
        '^(forcecommand|permittty|disableforwarding|permituserrc|acceptenv|maxsessions) ' | sort |
        tr '\n' ';')
    said=$found
    [ "$found" = "acceptenv NONE;disableforwarding yes;forcecommand /usr/bin/etcd-signer serve;maxsessions 1;permittty no;permituserrc no;" ]
}
other_user() {
    local user
    for user in root alice mallory nobody Signer signer:pam; do
        attempt client -l "$user" leader get-certificate
        # The part behind a colon is a style, not a name: the same account, the same answer.
        if [ "$user" = signer:pam ]; then
            [ "$code" != 0 ] || cmp -s "$bed/out" /etc/etcd/pki/ca.crt || return 1
        else
            nothing_came 255 || { said="$user: $said"; return 1; }
        fi
    done
    asking '' -l alice -o PreferredAuthentications=password,keyboard-interactive || return 1
    asking '' -l root -o PreferredAuthentications=password,keyboard-interactive || return 1
    said="root, alice (empty password), mallory, nobody, Signer: exit 255; $err"
}
inside_interactive() {
    # `none` has let the client in before any of these is asked: the forced command is what counts.
    asking anything -o PreferredAuthentications=keyboard-interactive
    attempt client -o PreferredAuthentications=password leader id
    nothing_came 64
}
banner() {
    attempt client leader kubemaster-m
    said="standard error: $(wc -l <"$bed/err") line"
    ! grep -q GREETING "$bed/err" && [ "$(wc -l <"$bed/err")" = 1 ]
}

row "banner" "a greeting that sshd_config has for everybody" banner
row "outside" "a login from 10.99.2.1" outside
row "outside, IPv6" "a login from fd99:2::1" outside_ipv6
row "outside, password" "the empty password and a wrong one, from 10.99.2.1" outside_password
row "outside, interactive" "keyboard-interactive, empty, from 10.99.2.1" outside_interactive
row "outside, key" "a key of AuthorizedKeysFile, from 10.99.2.1" outside_key
row "outside, forced" "what would hold if an outsider got in (sshd -T)" outside_forced
row "other users" "root, alice (empty password), mallory, nobody, Signer" other_user
row "interactive" "keyboard-interactive and password from inside, command id" inside_interactive
