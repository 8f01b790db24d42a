# shellcheck shell=bash disable=SC2034,SC2154 # attacks.sh and lib.sh set and use them
# Commands, terminals and file transfer. Sourced by attacks.sh.

no_command() { attempt client leader; nothing_came 64; }
shell_command() { attempt client leader 'id; cat /etc/passwd'; nothing_came 64; }
injected() {
    # shellcheck disable=SC2016
    attempt client leader 'kubemaster-$(id >/tmp/pwned)' && nothing_came 64 && [ ! -e /tmp/pwned ]
}
# ssh asks for a terminal only where it has one itself, and gives up when it gets none.
pty() {
    timeout 60 script -qec 'client -t leader get-certificate' "$bed/script" >/dev/null 2>&1 </dev/null
    said=$(grep -ao 'PTY allocation request failed[a-z 0-9]*' "$bed/script")
    [ -n "$said" ] && ! grep -qa CERTIFICATE "$bed/script"
}
pty_forced() {
    attempt client -v -tt leader id
    nothing_came || return 1
    said="exit $code, no output; $(grep -ao 'PTY allocation request failed[a-z 0-9]*' "$bed/err")"
    grep -qa 'PTY allocation request failed' "$bed/err"
}
subsystem() { attempt client -s leader sftp; nothing_came 64; }
sftp_get() {
    echo 'get /etc/passwd /tmp/stolen' >"$bed/batch"
    attempt in_net sftp -F "$bed/ssh_config" -b "$bed/batch" leader
    nothing_came && [ ! -e /tmp/stolen ]
}
copy() {
    rm -f /tmp/stolen /tmp/planted
    attempt "$@"
    nothing_came && [ ! -e /tmp/stolen ] && [ ! -e /tmp/planted ]
}
scp_with() { copy in_net scp -F "$bed/ssh_config" "$@"; }
scp_down() { scp_with leader:/etc/passwd /tmp/stolen; }
scp_up() { scp_with "$bed/m.csr" leader:/tmp/planted; }
scp_old_down() { scp_with -O leader:/etc/passwd /tmp/stolen; }
scp_old_up() { scp_with -O "$bed/m.csr" leader:/tmp/planted; }
rsync_with() {
    command -v rsync >/dev/null || { said="rsync is not installed"; return 3; }
    copy in_net rsync -e "ssh -F $bed/ssh_config" "$@"
}
rsync_down() { rsync_with leader:/etc/passwd /tmp/stolen; }
rsync_up() { rsync_with "$bed/m.csr" leader:/tmp/planted; }

row "shell" "ssh signer@leader" no_command
row "command" "ssh signer@leader 'id; cat /etc/passwd'" shell_command
row "injection" "ssh signer@leader 'kubemaster-\$(id >/tmp/pwned)'" injected
row "-t" "ssh -t signer@leader get-certificate, from a terminal" pty
row "-tt" "ssh -tt signer@leader id" pty_forced
row "-s sftp" "ssh -s signer@leader sftp" subsystem
row "sftp" "sftp: get /etc/passwd" sftp_get
row "scp, down" "scp signer@leader:/etc/passwd ." scp_down
row "scp, up" "scp file signer@leader:/tmp/planted" scp_up
row "scp -O, down" "scp -O signer@leader:/etc/passwd ." scp_old_down
row "scp -O, up" "scp -O file signer@leader:/tmp/planted" scp_old_up
row "rsync, down" "rsync signer@leader:/etc/passwd ." rsync_down
row "rsync, up" "rsync file signer@leader:/tmp/planted" rsync_up
