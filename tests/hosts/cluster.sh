#!/bin/bash
# cluster.sh: from fresh hosts to a cluster with a signer, through what goes wrong on the way, to the
# loss of the leader and a rotation of the CA. Sourced by run.sh, after lib.sh.

# shellcheck disable=SC2016 # what is quoted is the hosts' to expand
# shellcheck disable=SC2154 # $package
up n1 n2 n3 n4 kubemaster-1 kubemaster-2

section "The package"
on n1 "useradd -m alice; printf 'PasswordAuthentication yes\nAllowTcpForwarding no\n' >/etc/ssh/sshd_config.d/20-ours.conf
    printf 'Match User alice Address 10.0.0.0/8\n    X11Forwarding no\n    AuthenticationMethods publickey\n' >>/etc/ssh/sshd_config
    systemctl reload ssh"
before=$(for_others n1)
for host in n1 n2 n3 n4; do ok "$host: install it" install_package $host; done
ok "sshd's effective settings for others are what they were" same "$before" "$(for_others n1)"

section "What init refuses"
on n1 'cp /root/setup/first-boot.sh /root/kept.sh; mkdir -p /etc/etcd'
changes_nothing n1 "an argument that it does not know" "unexpected argument" first_boot n1 init --force
changes_nothing n1 "a network that is none" "--networks needs" first_boot n1 init --networks 10.0.0
changes_nothing n1 "a network with host bits set" "invalid network list" first_boot n1 init --networks 10.77.0.5/24
changes_nothing n1 "an address that the host does not have" "does not have it" first_boot n1 init --address 10.77.0.99
changes_nothing n1 "a master's name" "cannot be a member's name" first_boot n1 init --name kubemaster-1
changes_nothing n1 "another user than root" "needs root" on n1 "cp /root/kept.sh /tmp/first-boot.sh; chmod 755 /tmp/first-boot.sh; runuser -u nobody -- /tmp/first-boot.sh init"
on n1 'nohup openssl s_server -nocert -port 2379 >/dev/null 2>&1 </dev/null & sleep 0.5'
changes_nothing n1 "a port that is taken" "port 2379 is taken by openssl" first_boot n1 init
on n1 'pkill openssl'
on n1 'mkdir -p /etc/etcd/pki; echo x >/etc/etcd/pki/ca.crt'
changes_nothing n1 "a host with a CA" "exists" first_boot n1 init
on n1 'rm -r /etc/etcd'
ok "--help tells how" on n1 "/root/setup/first-boot.sh --help | grep -q ca-fingerprint && etcd-signer-setup join --help | grep -q ca-fingerprint"
before=$(footprint n1)
ok "--dry-run tells each step" on n1 "/root/setup/first-boot.sh init --dry-run | grep -c '^would: ' | grep -qx 11"
ok "  and nothing has changed on n1" same "$before" "$(footprint n1)"

section "init"
others=$(for_others n1)
on n1 '/root/setup/first-boot.sh init' >"$BED/work/init" || { cat "$BED/work/init"; exit 1; }
sed 's/^/        /' "$BED/work/init"
fingerprint=$(sed -n 's/.*--ca-fingerprint=//p' "$BED/work/init")
ok "the fingerprint that it tells is the CA's" same "$fingerprint" \
    "$(on n1 'openssl x509 -in /etc/etcd/pki/ca.crt -outform DER | sha256sum | cut -d" " -f1')"
ok "the CA key is the signer's alone" on n1 '[ "$(stat -c "%U %a" /etc/etcd/pki/ca.key)" = "signer 400" ]'
ok "the script is gone, and its folder" on n1 '! [ -e /root/setup ]'
ok "sshd's effective settings for others are what they were" same "$others" "$(for_others n1)"
ok "the program and the drop-in are immutable" on n1 '! touch /usr/bin/etcd-signer && ! rm /etc/ssh/sshd_config.d/00-etcd-signer.conf'
changes_nothing n1 "init again, from a saved copy" "set up already" saved_copy n1 init
changes_nothing n1 "join, from a saved copy" "set up already" saved_copy n1 join --signer-ip=10.77.0.12
on n1 'echo "file /etc/etcd/pki/ca.key" >/var/lib/etcd-signer/first-boot.undo'
refused "a completed run rolls nothing back, whatever an earlier one has noted" "set up already" saved_copy n1 init
ok "  the CA key is there" on n1 'test -s /etc/etcd/pki/ca.key'
on n4 'mkdir -p /etc/etcd/pki /var/lib/etcd-signer; echo precious >/etc/etcd/pki/ca.key; echo "file /etc/etcd/pki/ca.key" >/var/lib/etcd-signer/first-boot.undo'
refused "an unfinished run of long ago" "moved aside" first_boot n4 join --signer-ip=10.77.0.99
ok "  rolled back nothing that may be somebody's" on n4 'grep -q precious /var/lib/etcd-signer/aside/ca.key.*'
changes_nothing n1 "an upgrade while locked" "unlock" on n1 "dpkg -i /root/$(basename "$package")"
ok "  the installed package works on" as_master n1 get-certificate
ok "a master gets its certificate" master kubemaster-s1 n1
ok "it writes and reads" writes_and_reads kubemaster-s1 n1
one=$BED/work/kubemaster-s1

section "check"
# The line is there once something is broken, and gone when it is mended.
looks() { # WHAT LINE BREAK MEND
    local report after
    on n1 "$3"
    report=$(on n1 'etcd-signer check' || :)
    on n1 "$4"
    after=$(on n1 'etcd-signer check' || :)
    if ! grep -qE "^$2" <<<"$report" || grep -qE "^$2" <<<"$after"; then
        report FAILED "$1" "not «$2» when broken, or still when repaired:" >&2
        printf '%s\n--\n%s\n' "$report" "$after" >&2
        exit 1
    fi
    report ok "$1" "$(grep -m 1 -E "^$2" <<<"$report" | cut -c1-150)"
}
report=$(on n1 'etcd-signer check; echo "exit $?"')
echo "${report//$'\n'/$'\n'        }" | sed '1s/^/        /'
ok "nothing fails; the clock, which no test may set, is the only warning" \
    same "warn clock exit 1" "$(sed -n 's/^\(warn\|FAIL\)  *\([a-zA-Z-]*\) .*/\1 \2/p; /^exit/p' <<<"$report" | paste -sd' ')"
ok "--json says the same" on n1 '[ "$(etcd-signer check --json | jq -r ".findings[] | select(.verdict != \"ok\") | .subject")" = clock ]'
pki=/etc/etcd/pki
looks "a key that others can read" "FAIL +CA key .*chmod 0400" "chmod 440 $pki/ca.key" "chmod 400 $pki/ca.key"
looks "a key that is not the account's" "FAIL +CA key .*chown signer" "chown root $pki/ca.key" "chown signer $pki/ca.key"
looks "another CA's key" "FAIL +CA key .*does not belong" "mv $pki/ca.key /root/ca.key; openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out $pki/ca.key; chmod 400 $pki/ca.key; chown signer: $pki/ca.key" "mv -f /root/ca.key $pki/ca.key"
looks "no CA certificate" "FAIL +get-certificate .*does not exist" "mv $pki/ca.crt /root/" "mv /root/ca.crt $pki/"
looks "settings with a mistake" "FAIL +settings .*validity" "mkdir -p /etc/etcd-signer; echo 'validity = \"48h\"' >/etc/etcd-signer/config.toml" "rm /etc/etcd-signer/config.toml"
looks "a program that is not locked" "warn +immutable .*etcd-signer-lock" "chattr -i /usr/bin/etcd-signer" "chattr +i /usr/bin/etcd-signer"
looks "a program that others can change" "FAIL +program .*chmod 0711" "chattr -i /usr/bin/etcd-signer; chmod 777 /usr/bin/etcd-signer" "chmod 711 /usr/bin/etcd-signer; chattr +i /usr/bin/etcd-signer"
looks "another login shell" "FAIL +account .*usermod" "usermod -s /bin/sh signer" "usermod -s /usr/bin/etcd-signer-login signer"
looks "a login shell that su -s takes" "FAIL +account .*/etc/shells" "echo /usr/bin/etcd-signer-login >>/etc/shells" "sed -i /etcd-signer/d /etc/shells"
looks "a password" "FAIL +password .*passwd --lock" "echo signer:x1y2z3 | chpasswd" "passwd -q --delete signer"
looks "an earlier drop-in that gives a terminal" "FAIL +sshd .*permittty is yes" "printf 'Match User signer\n    PermitTTY yes\n' >/etc/ssh/sshd_config.d/00-a.conf" "rm /etc/ssh/sshd_config.d/00-a.conf"
looks "an earlier drop-in that forwards" "FAIL +sshd .*disableforwarding is no" "printf 'Match User signer\n    DisableForwarding no\n' >/etc/ssh/sshd_config.d/00-a.conf" "rm /etc/ssh/sshd_config.d/00-a.conf"
looks "a drop-in that is not locked" "warn +immutable .*00-etcd-signer.conf" "chattr -i /etc/ssh/sshd_config.d/00-etcd-signer.conf" "chattr +i /etc/ssh/sshd_config.d/00-etcd-signer.conf"
looks "an etcd that takes clients without certificates" "FAIL +etcd .*:2379: .*without a certificate: set client-cert-auth" "sed -Ei 's/^ETCD_(CLIENT_CERT_AUTH|TRUSTED_CA_FILE)/#&/' /etc/etcd/etcd.env; systemctl restart etcd" "sed -Ei 's/^#ETCD_(CLIENT_CERT_AUTH|TRUSTED_CA_FILE)/ETCD_\\1/' /etc/etcd/etcd.env; systemctl restart etcd"
looks "no forced command" "FAIL +sshd .*forcecommand" "printf 'Match User signer\n    ForceCommand /bin/true\n' >/etc/ssh/sshd_config.d/00-a.conf" "rm /etc/ssh/sshd_config.d/00-a.conf"
looks "an sshd that would not start" "FAIL +sshd .*sshd -T" "echo Nonsense >/etc/ssh/sshd_config.d/99-x.conf" "rm /etc/ssh/sshd_config.d/99-x.conf"
looks "a login from everywhere" "FAIL +sshd .*not an allowed address" "printf 'Match User signer\n    PasswordAuthentication yes\n' >/etc/ssh/sshd_config.d/00-a.conf" "rm /etc/ssh/sshd_config.d/00-a.conf"
looks "a member certificate in its last third" "warn +member certificate" "cp -p $pki/member.crt /root/; mkdir /root/ca; touch /root/ca/index; echo 01 >/root/ca/serial; printf '[ca]\ndefault_ca=d\n[d]\nnew_certs_dir=/root/ca\ndatabase=/root/ca/index\nserial=/root/ca/serial\npolicy=p\ndefault_md=sha256\n[p]\ncommonName=supplied\n' >/root/ca/conf; openssl req -new -key $pki/member.key -subj /CN=etcd-member -out /root/ca/csr; openssl ca -batch -config /root/ca/conf -cert $pki/ca.crt -keyfile $pki/ca.key -in /root/ca/csr -startdate \$(date -u -d '-70 days' +%Y%m%d%H%M%SZ) -enddate \$(date -u -d '+30 days' +%Y%m%d%H%M%SZ) -out $pki/member.crt 2>/dev/null" "cp -p /root/member.crt $pki/member.crt"
looks "another CA's member certificate" "FAIL +member certificate .*not signed" "cp -p $pki/member.crt /root/; openssl req -x509 -key $pki/member.key -subj /CN=etcd-member -days 9 -out $pki/member.crt" "cp -p /root/member.crt $pki/member.crt"
looks "another key than the member certificate's" "FAIL +member key .*does not match" "cp -p $pki/member.key /root/; openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out $pki/member.key" "cp -p /root/member.key $pki/member.key"
looks "an etcd that takes masters for peers" "FAIL +etcd .*:2380: any master .*peer-cert-allowed-cn" "sed -i 's/^ETCD_PEER_CERT_ALLOWED_CN/#&/' /etc/etcd/etcd.env; systemctl restart etcd" "sed -i 's/^#ETCD_PEER_CERT_ALLOWED_CN/ETCD_PEER_CERT_ALLOWED_CN/' /etc/etcd/etcd.env; systemctl restart etcd"
looks "no etcd" "FAIL +get-peers .*nothing listens" "systemctl stop etcd" "systemctl start etcd"
ok "who is not root is told so" on n1 'runuser -u nobody -- etcd-signer check | grep -q "warn  user .*sudo etcd-signer check"'

section "Joins that fail"
ip netns exec switch python3 tests/hosts/writer.py "$one" "$(address n1):2379" "$BED/work/writes" &
writer=$!
sleep 1
list=$(members n1)
untouched_cluster() {
    ok "  and the cluster has the members that it had" same "$list" "$(members n1)"
    ok "  and it takes writes" writes_and_reads kubemaster-s1 n1
}
on n2 'cp /root/setup/first-boot.sh /root/kept.sh'
changes_nothing n2 "no leader" "--signer-ip" first_boot n2 join
changes_nothing n2 "a leader that is not there" "does not answer" first_boot n2 join --signer-ip=10.77.0.99
changes_nothing n2 "a leader that is no signer" "does not answer" first_boot n2 join --signer-ip="$(address n3)"
changes_nothing n2 "another CA's fingerprint" "that is another CA" first_boot n2 join --signer-ip="$(address n1)" --ca-fingerprint="$(printf '%064d' 0)"
changes_nothing n2 "no way to root on the leader" "--csr-out" first_boot n2 join --signer-ip="$(address n1)" --admin=nobody@"$(address n1)"
# What is read is the leader's own clock, through its date(1). (The program is static, so that
# libfaketime cannot turn this host's.)
on n1 'printf "#!/bin/sh\nexec faketime -f -120s /usr/bin/date \"\$@\"\n" >/usr/local/bin/date; chmod 755 /usr/local/bin/date'
changes_nothing n2 "a clock that is two minutes ahead" "differ by 1" first_boot n2 join --signer-ip="$(address n1)"
on n1 'sed -i s/-120s/+120s/ /usr/local/bin/date'
changes_nothing n2 "a clock that is two minutes behind" "differ by 1" first_boot n2 join --signer-ip="$(address n1)"
on n1 'rm /usr/local/bin/date'
untouched_cluster
on n2 'mkdir -p /etc/systemd/system/etcd.service.d; printf "[Service]\nExecStart=\nExecStart=/bin/false\n" >/etc/systemd/system/etcd.service.d/zz-broken.conf; systemctl daemon-reload'
refused "an etcd that does not start" "everything was rolled back" first_boot n2 join --signer-ip="$(address n1)"
untouched_cluster
on n2 'rm -r /etc/systemd/system/etcd.service.d; systemctl daemon-reload'

# A join that says these words, and is killed then, on the spot or from here.
start_join() {
    on n2 "rm -f /root/out; setsid /root/setup/first-boot.sh join --signer-ip=$(address n1) >/root/out 2>&1 </dev/null & echo \$! >/root/pid"
}
for step in "installing the certificates" "writing etcd" "adding this host" "starting etcd" "promoting it"; do
    start_join
    on n2 "end=\$((\$(date +%s) + 60)); until grep -q '$step' /root/out; do [ \$(date +%s) -lt \$end ] || break; done; kill -KILL -- -\$(cat /root/pid)
        grep -q '$step' /root/out || { cat /root/out; exit 1; }"
    ok "killed at «$step»: the cluster has n1 and at most one more" \
        on n1 '[ "$(set -a; . /etc/etcd/etcdctl.env; etcdctl member list | wc -l)" -le 2 ]'
    ok "  and it takes writes" writes_and_reads kubemaster-s1 n1
done
start_join
wait_until "the join to add its host" 60 on n2 "grep -q 'starting etcd' /root/out"
cut_cable n2
wait_until "the cut-off join to give up" 120 sh -c "! ip netns exec n2 true || ! kill -0 $(first_process n2) || nsenter -t $(first_process n2) -m -p -n grep -q 'could be rolled back\|everything was rolled back' /root/out"
ok "cut off from the network: writes go on" writes_and_reads kubemaster-s1 n1
ok "  it says what could not be rolled back, and how" nsenter -t "$(first_process n2)" -m -p grep "etcdctl member remove ID" /root/out
mend_cable n2

section "Joins"
from=$(($(wc -l <"$BED/work/writes") + 1))
first_boot n2 join --signer-ip="$(address n1)" --ca-fingerprint="$fingerprint" | sed 's/^/        /'
echo "        the longest time between two writes: $(longest_gap "$from")"
ok "two members vote" same "$(members n1)" " started, n1, false
 started, n2, false"
changes_nothing n2 "join again, from a saved copy" "set up already" saved_copy n2 join --signer-ip="$(address n1)"
# On n3 runs what Debian's package starts as it is installed: an etcd that nobody has written to.
on n3 'systemctl start etcd'
# The third without access to root on the leader: in two steps.
ok "n3 writes its request" first_boot n3 join --signer-ip="$(address n1)" --csr-out=/root/n3.csr
refused "  and does not go on without a certificate" "No such file" first_boot n3 join --signer-ip="$(address n1)" --certificate=/root/n3.crt
on n3 'cat /root/n3.csr' | on n1 "etcd-signer member sign --host $(address n3) --host n3 --host 127.0.0.1 --host localhost" >"$BED/work/n3.crt"
put "$BED/work/n3.crt" n3:/root
before=$(footprint n3)
ok "  --dry-run tells the rest" on n3 "/root/setup/first-boot.sh join --signer-ip=$(address n1) --certificate=/root/n3.crt --dry-run | grep -q 'would: promoting it'"
ok "  and nothing has changed on n3" same "$before" "$(footprint n3)"
from=$(($(wc -l <"$BED/work/writes") + 1))
ok "n3 joins with the certificate that was signed for it" first_boot n3 join --signer-ip="$(address n1)" --certificate=/root/n3.crt --ca-fingerprint="$fingerprint"
echo "        the longest time between two writes: $(longest_gap "$from")"
ok "three members vote" same "$(members n1)" " started, n1, false
 started, n2, false
 started, n3, false"
ok "get-peers lists three" same "$(as_master n1 get-peers)" "https://$(address n1):2379
https://$(address n2):2379
https://$(address n3):2379"
echo "        in all, from before the first failed join: $(longest_gap 1)"
kill "$writer"
wait "$writer" || :

section "The cluster"
ok "a master writes and reads through all three" writes_and_reads kubemaster-s1 n1 n2 n3
# Its name leads to its address there, so that etcd's own look at names and addresses is content.
for host in n1 n2 n3; do on $host "echo '$NET.1 kubemaster-s1' >>/etc/hosts"; done
ok "its certificate is good on the client port" grep -q 200 <<<"$(http n1 2379 /version "$one")"
ok "and not on the peer port" same "" "$(http n1 2380 /members "$one")"
ok "TLS 1.1 is refused" same "" "$(http n1 2379 /version "$one" -tls1_1 -cipher DEFAULT@SECLEVEL=0)"
ok "TLS 1.2 is not" grep -q 200 <<<"$(http n1 2379 /version "$one" -tls1_2)"
mkdir -p "$BED/work/nobody"
cp "$one/ca.crt" "$BED/work/nobody"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=kubemaster-s1 -days 1 \
    -keyout "$BED/work/nobody/client.key" -out "$BED/work/nobody/client.crt" 2>/dev/null
ok "a certificate of no CA is refused" same "" "$(http n1 2379 /version "$BED/work/nobody")"
ok "etcd's unit passes systemd-analyze verify" on n1 'systemd-analyze verify --man=no etcd.service'

section "Masters that renew by themselves"
# A minute of validity, and a look every few seconds, so that it is seen.
for host in n1 n2; do on $host "mkdir -p /etc/etcd-signer; echo 'validity = \"1m\"' >/etc/etcd-signer/config.toml"; done
# shellcheck disable=SC2034 # lib.sh
certificate=/etc/kubernetes/pki/apiserver-etcd-client.crt
for host in kubemaster-1 kubemaster-2; do
    ok "$host: install the package" install_client $host
    on $host "sed -i 's/^signers = .*/signers = [\"signer@$(address n1)\"]/; s/^#ca_fingerprint = .*/ca_fingerprint = \"$fingerprint\"/' /etc/etcd-client-cert/config.toml
        mkdir -p /etc/systemd/system/etcd-client-cert.timer.d
        printf '[Timer]\nOnCalendar=\nOnCalendar=*:*:0/5\nRandomizedDelaySec=0\n' >/etc/systemd/system/etcd-client-cert.timer.d/often.conf
        systemctl daemon-reload; systemctl enable -q --now etcd-client-cert.timer"
done
for host in kubemaster-1 kubemaster-2; do
    ok "$host: a certificate, from nothing, by the timer alone" wait_until "the certificate" 60 on $host "etcd-client-cert status"
    ok "  its key was made there, and is root's alone" on $host '[ "$(stat -c "%U %a" /etc/kubernetes/pki/apiserver-etcd-client.key)" = "root 400" ]'
    ok "  it writes" etcd_of $host n2 put by $host
    on $host 'etcd-client-cert status' | sed 's/^/        /'
done

section "A member's certificate, renewed"
serving() { { echo | ip netns exec switch openssl s_client -connect "$(address n2):$1" -cert "$one/client.crt" -key "$one/client.key" 2>/dev/null || :; } | openssl x509 -noout -serial; }
process=$(on n2 'systemctl show -P MainPID etcd')
old=$(serving 2379)
ok "etcd shows a certificate" [ -n "$old" ]
ok "with the line of the runbook" on n2 "openssl req -new -key /etc/etcd/pki/member.key -subj /CN=etcd-member |
    ssh root@$(address n1) etcd-signer member sign --host $(address n2) --host n2 --host 127.0.0.1 --host localhost >/etc/etcd/pki/member.crt.new &&
    chmod 444 /etc/etcd/pki/member.crt.new && mv /etc/etcd/pki/member.crt.new /etc/etcd/pki/member.crt"
new=$(serving 2379)
ok "etcd shows the new one without a restart" same yes "$(if [ -n "$new" ] && [ "$new" != "$old" ]; then echo yes; fi)"
ok "  to peers too" [ "$(serving 2380)" = "$new" ]
ok "  as the same process" same "$process" "$(on n2 'systemctl show -P MainPID etcd')"
ok "  and the cluster is healthy" ctl n3 endpoint health

section "The CA outlives its host"
on n1 'umask 077; age-keygen -o /root/identity 2>/dev/null'
ok "the CA is saved, for an age key" on n1 'etcd-signer ca backup /root/etcd-ca.age --recipient "$(age-keygen -y /root/identity)"'
on n1 'cat /root/etcd-ca.age' >"$BED/work/etcd-ca.age"
on n1 'cat /root/identity' >"$BED/work/identity"
for host in n2 n4; do put "$BED/work/etcd-ca.age" "$BED/work/identity" $host:/root; done
ok "n2 is promoted" on n2 "etcd-signer-endpoint promote /root/etcd-ca.age --identity /root/identity --networks $NET.0/24"
ok "both sign at once: n1" master kubemaster-s1 n1
ok "both sign at once: n2" master kubemaster-s2 n2
ok "  and both certificates write" writes_and_reads kubemaster-s2 n1 n2 n3
echo "        the plug of n1 is pulled"
pull_plug n1
wait_until "a new leader of the cluster" 30 writes_and_reads kubemaster-s2 n2 n3
declare -A serials
for host in kubemaster-1 kubemaster-2; do serials[$host]=$(serial_of $host); done
for host in kubemaster-1 kubemaster-2; do
    ok "$host renews by itself, from a member that get-peers had told it of" wait_until "its renewal" 150 renewed $host "${serials[$host]}"
    ok "  and writes" etcd_of $host n2 put by $host
    on $host 'journalctl -u etcd-client-cert -o cat --no-pager | grep -v -e systemd -e Deactivated -e Starting -e Finished | tail -n 3' | sed 's/^/        /'
done
ok "the promoted signer goes on issuing" master kubemaster-s3 n2
ok "  to who writes through those that are left" writes_and_reads kubemaster-s3 n2 n3
ok "  and tells the members" grep -q "$(address n3)" <<<"$(as_master n2 get-peers)"
ok "the dead member is taken off the list" ctl n2 member remove "$(ctl n2 member list | sed -n 's/, started, n1,.*//p')"
ok "a new host restores the CA from its backup" on n4 "etcd-signer-endpoint promote /root/etcd-ca.age --identity /root/identity --networks $NET.0/24"
ok "  and issues" master kubemaster-s4 n4
ok "  what the cluster accepts" writes_and_reads kubemaster-s4 n2 n3

section "Another CA, with both trusted for a while"
# The runbook's steps, on the two members that are left, with two masters whose certificates last a
# minute, and a put every 50 ms with the files of one of them.
files=$BED/disks/kubemaster-1/root/etc/kubernetes/pki
mkdir -p "$BED/work/rotation"
ln -sf "$files/etcd/ca.crt" "$BED/work/rotation/ca.crt"
ln -sf "$files/apiserver-etcd-client.crt" "$BED/work/rotation/client.crt"
ln -sf "$files/apiserver-etcd-client.key" "$BED/work/rotation/client.key"
ip netns exec switch python3 tests/hosts/writer.py "$BED/work/rotation" "$(address n2):2379,$(address n3):2379" "$BED/work/rotation/writes" 50 &
writer=$!
for host in kubemaster-1 kubemaster-2; do on $host 'date +%s >/root/rotation-began'; done
failed_runs() { on "$1" 'journalctl -u etcd-client-cert --since "@$(cat /root/rotation-began)" -o cat --no-pager | grep "not renewed\|Failed with result" || :'; }
on n2 'etcd-signer ca init --directory /root/new-ca --common-name etcd-ca-2
    printf "ca_certificate = \"/root/new-ca/ca.crt\"\nca_key = \"/root/new-ca/ca.key\"\n" >/root/new-ca.toml'
on n2 'cat /root/new-ca/ca.crt' >"$BED/work/new.crt"
restarted() { # HOST: etcd has started again, and the cluster is whole before the next
    on "$1" 'systemctl restart etcd'
    wait_until "the cluster after a restart on $1" 60 on "$1" 'set -a; . /etc/etcd/etcdctl.env; ETCDCTL_CACERT=/etc/etcd/pki/trusted.crt; ETCDCTL_ENDPOINTS=https://127.0.0.1:2379 etcdctl endpoint health --cluster'
}
# A file is replaced in one step: who reads it meanwhile reads the old one or the new one.
for host in kubemaster-1 kubemaster-2; do
    put "$BED/work/new.crt" $host:/root
    ok "$host trusts both" on $host 'cd /etc/kubernetes/pki/etcd && cat ca.crt /root/new.crt >ca.crt.new && chmod 644 ca.crt.new && mv ca.crt.new ca.crt && [ "$(etcd-client-cert status --json | jq ".ca.certificates | length")" = 2 ]'
done
for host in n2 n3; do
    put "$BED/work/new.crt" $host:/root
    on $host 'cat /etc/etcd/pki/ca.crt /root/new.crt >/etc/etcd/pki/trusted.crt
        sed -i "s|^\(ETCD.*TRUSTED_CA_FILE\)=.*|\1=/etc/etcd/pki/trusted.crt|" /etc/etcd/etcd.env'
    ok "$host trusts both" restarted $host
done
for host in n2 n3; do
    on $host 'openssl req -new -key /etc/etcd/pki/member.key -subj /CN=etcd-member' |
        on n2 "etcd-signer member sign --config /root/new-ca.toml --host $(address $host) --host $host --host 127.0.0.1 --host localhost" >"$BED/work/member.crt.new"
    put "$BED/work/member.crt.new" $host:/etc/etcd/pki
    ok "$host has a certificate of the new CA" on $host 'cd /etc/etcd/pki && chmod 444 member.crt.new && mv -f member.crt.new member.crt && openssl verify -CAfile /root/new.crt member.crt'
done
ok "n2 signs with the new CA" on n2 'cd /etc/etcd/pki && mv -f /root/new-ca/ca.crt ca.crt && mv -f /root/new-ca/ca.key ca.key && chown signer: ca.key && [ "$(etcd-signer check --json | jq -r ".findings[] | select(.verdict == \"fail\")")" = "" ]'
ok "n3 has its certificate" on n3 'cp --remove-destination /root/new.crt /etc/etcd/pki/ca.crt'
issued_by_new() { on "$1" 'openssl verify -CAfile /root/new.crt /etc/kubernetes/pki/apiserver-etcd-client.crt'; }
for host in kubemaster-1 kubemaster-2; do
    ok "$host gets a certificate of the new CA by its next renewal" wait_until "it" 150 issued_by_new $host
    ok "  and says which CA signed it" on $host 'journalctl -u etcd-client-cert -o cat --no-pager | grep -q "signed by the CA with the SHA-256 $(openssl x509 -in /root/new.crt -outform DER | sha256sum | cut -d" " -f1)"'
done
ok "a master without the renewer gets one too" master kubemaster-s5 n2
ok "  and writes" writes_and_reads kubemaster-s5 n2 n3
cp "$BED/work/new.crt" "$BED/work/kubemaster-s4/ca.crt" # what its --etcd-cafile has by then
ok "  as does who has one of the old CA" writes_and_reads kubemaster-s4 n2 n3
for host in n2 n3; do
    on $host 'sed -i "s|^\(ETCD.*TRUSTED_CA_FILE\)=.*|\1=/etc/etcd/pki/ca.crt|" /etc/etcd/etcd.env'
    ok "$host trusts the new one alone" restarted $host
done
for host in kubemaster-1 kubemaster-2; do
    on $host "sed -i 's/^ca_fingerprint = .*/ca_fingerprint = \"$(openssl x509 -in "$BED/work/new.crt" -outform DER | sha256sum | cut -d' ' -f1)\"/' /etc/etcd-client-cert/config.toml"
    ok "$host trusts the new one alone" on $host 'cd /etc/kubernetes/pki/etcd && cp /root/new.crt ca.crt.new && mv ca.crt.new ca.crt && etcd-client-cert status >/dev/null'
done
ok "the new certificate goes on" writes_and_reads kubemaster-s5 n2 n3
refused "the old CA's does not" "" writes_and_reads kubemaster-s4 n2
kill "$writer"
wait "$writer" || :
for host in kubemaster-1 kubemaster-2; do
    ok "$host: no run of its renewals has failed" same "" "$(failed_runs $host)"
done
echo "        the longest time between two writes: $(longest_gap 1 "$BED/work/rotation/writes")"
