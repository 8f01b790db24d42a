#!/bin/bash
# oddities.sh: hosts as people have them: sshd started by a socket, a hardening role, an etcd with its
# settings in a file. Sourced by run.sh, after lib.sh.
# shellcheck disable=SC2016 # what is quoted is the host's to expand
# shellcheck disable=SC2154 # bed.sh

up odd
# From the console: a login over ssh would bring sshd's directory with it.
console() { nsenter -t "$(first_process odd)" -m -u -i -n -p env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin bash -c "$*"; }
# finding SUBJECT: the line of check.
finding() { console "etcd-signer check" | grep -E "^(ok|warn|FAIL) +$1 " || :; }
finds() { grep -qE "$2" <<<"$(finding "$1")" || { finding "$1"; return 1; }; }

# As a master does, and what it was answered.
log_in() {
    local output
    output=$(as_master odd get-certificate 2>&1) || :
    echo "$output"
    grep -q 'BEGIN CERTIFICATE' <<<"$output"
}

section "A host whose sshd is started by a socket"
ok "install the package" install_package odd
on odd 'etcd-signer ca init'
on odd 'systemctl disable -q ssh.service; systemctl enable -q ssh.socket'
shut_down odd
boot odd
wait_until "the socket" 60 console 'systemctl -q is-active ssh.socket'
ok "no sshd runs" console '! systemctl -q is-active ssh.service'
# Debian 12 does not have it now; Debian 13 makes it at boot, Ubuntu does not.
console 'rm -rf /run/sshd'
ok "sshd itself answers nothing there" console 'sshd -T -C user=signer,host=x,addr=10.9.9.9 2>&1 | grep "Missing privilege separation directory"'
ok "check asks it all the same" finds sshd "warn +sshd +no networks are open yet"
console 'rm -rf /run/sshd'
ok "first-boot.sh gets past it" console '/usr/share/etcd-signer/first-boot.sh init --dry-run 2>&1 | grep -q "exists: this host is a signer"'
console 'rm -rf /run/sshd'
ok "etcd-signer-endpoint test" console "etcd-signer-endpoint test --networks $NET.0/24"
ok "etcd-signer-endpoint open" console "etcd-signer-endpoint open --networks $NET.0/24"
ok "a master gets the CA certificate" log_in
ok "check logs in as a master does" finds login "ok +login +ssh signer@$(address odd) get-certificate, as a master would: answered"
ok "the package is installed again" console 'dpkg -i /root/etcd-signer_*.deb'
ok "  and the login is open" log_in

section "A host after a hardening role"
# hardened WHAT SUBJECT PATTERN HARDEN UNDO
hardened() {
    console "$4"
    refused "$1: a master does not get in" "ermission denied" log_in
    ok "  and check says so" finds "$2" "$3"
    console "$5"
    ok "  and it works again" log_in
}
hardened "a locked account" password "FAIL +password +locked, so no master can log in" \
    "passwd -q -l signer" "etcd-signer-endpoint open --networks $NET.0/24"
hardened "PAM without nullok" login "FAIL +login .*Permission denied" \
    "cp /etc/pam.d/common-auth /root/; sed -i 's/ nullok//' /etc/pam.d/common-auth" "cp /root/common-auth /etc/pam.d/"
hardened "a deny rule" login "FAIL +login .*Permission denied" \
    "echo 'DenyUsers signer' >/etc/ssh/sshd_config.d/00-a.conf; systemctl restart ssh.service" "rm /etc/ssh/sshd_config.d/00-a.conf; systemctl restart ssh.service"
console 'chage -M 90 signer'
ok "ageing: check warns before the day" finds expiry "warn +expiry +the password expires on"
ok "  and open takes it off" console "etcd-signer-endpoint open --networks $NET.0/24 && [ \"\$(chage -l signer | grep -c never)\" -ge 3 ]"
refused "the whole internet is not opened" "a large part of the internet" console "etcd-signer-endpoint open --networks ::/0"

section "A hook that signals another user's process"
put "$client_package" odd:/root
on odd "dpkg -i /root/$(basename "$client_package") >/dev/null
    sed -i 's/^signers = .*/signers = [\"signer@$(address odd)\"]/; s/^#name = .*/name = \"kubemaster-9\"/' /etc/etcd-client-cert/config.toml
    sed -i 's|^#hook = .*|hook = [\"/usr/bin/pkill\", \"-HUP\", \"-x\", \"my-client\"]|' /etc/etcd-client-cert/config.toml
    cp /usr/bin/sleep /usr/local/bin/my-client; systemd-run --quiet --uid=nobody --unit=my-client /usr/local/bin/my-client 10000"
refused "the unit may not" "failed" on odd 'systemctl start etcd-client-cert'
ok "  though the certificate is renewed" on odd 'etcd-client-cert status; systemctl show -P ExecMainStatus etcd-client-cert | grep -x 71'
ok "  and the process goes on" on odd 'pgrep -x my-client'
lines=$(sed -n '/^    mkdir -p .*etcd-client-cert.service.d$/,/^    systemctl daemon-reload$/p' docs/MASTERS.md | sed 's/^    //')
ok "with the drop-in of MASTERS.md it may" on odd "$lines
    systemctl start etcd-client-cert"
ok "  and the process has its signal" on odd '! pgrep -x my-client'

section "An etcd with its settings in a file"
on odd 'printf "name: odd\ndata-dir: /var/lib/etcd/odd\nlisten-client-urls: http://0.0.0.0:2379\nadvertise-client-urls: http://'"$(address odd)"':2379\n" >/root/etcd.yaml
    ETCD_CLIENT_CERT_AUTH=true systemd-run --quiet --unit=odd-etcd -E ETCD_CLIENT_CERT_AUTH=true -E ETCD_PEER_CERT_ALLOWED_CN=etcd-member etcd --config-file /root/etcd.yaml'
anybody() { ip netns exec switch env ETCDCTL_API=3 etcdctl --endpoints "http://$(address odd):2379" --command-timeout 5s put odd "$1"; }
ok "anybody writes to it, whatever its environment says" wait_until "a write" 30 anybody door
ok "check finds the door open" finds etcd "FAIL +etcd "
console "etcd-signer check | grep -E '^FAIL +etcd ' | head -n 2" | sed 's/^/        /'
on odd 'systemctl stop odd-etcd'
shut_down odd
