#!/bin/bash
# members.sh: members' certificates that renew by themselves, under a load of writes, with a signer
# down, and a member down and back. Sourced by run.sh, after lib.sh.
# shellcheck disable=SC2016 # what is quoted is the hosts' to expand
# shellcheck disable=SC2034,SC2154 # lib.sh, bed.sh
# shellcheck disable=SC2086 # addresses have no spaces

up m1 m2 m3
for host in m1 m2 m3; do install_package $host >/dev/null; done

section "Three members, two of them signers"
ok "m1 begins" on m1 "etcd-signer-setup init --networks $NET.0/24"
for host in m2 m3; do ok "$host joins" on $host "etcd-signer-setup join --signer-ip=$(address m1)"; done
is_on() { on "$1" "systemctl -q is-enabled etcd-signer-member-$2.timer && systemctl -q is-active etcd-signer-member-$2.timer"; }
for host in m1 m2 m3; do ok "init and join have switched fetching on: $host" is_on $host fetch; done
ok "init has switched renewing on" is_on m1 renew
ok "  and join has not" on m3 '! systemctl -q is-enabled etcd-signer-member-renew.timer'
on m1 'umask 077; age-keygen -o /root/identity 2>/dev/null; etcd-signer ca backup /root/etcd-ca.age --recipient "$(age-keygen -y /root/identity)" >/dev/null'
for file in etcd-ca.age identity; do on m1 "cat /root/$file" >"$BED/work/$file"; done
put "$BED/work/etcd-ca.age" "$BED/work/identity" m2:/root
ok "m2 is a signer, too" on m2 "etcd-signer-endpoint promote /root/etcd-ca.age --identity /root/identity --networks $NET.0/24 && systemctl -q is-enabled etcd-signer-member-renew.timer"
ok "  and check fails nowhere" on m2 '[ "$(etcd-signer check --json | jq -r ".findings[] | select(.verdict == \"fail\")")" = "" ]'

# back_dated HOST: a certificate for its key and names that is in its last third, made by openssl on m2.
pki=/etc/etcd/pki
back_dated() {
    on "$1" "openssl req -new -key $pki/member.key -subj /CN=etcd-member" >"$BED/work/$1.csr"
    printf 'subjectAltName=IP:%s,DNS:%s,IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n' \
        "$(address "$1")" "$1" >"$BED/work/$1.ext"
    put "$BED/work/$1.csr" "$BED/work/$1.ext" m2:/root
    on m2 "mkdir -p /root/ca; : >/root/ca/index
        printf '[ca]\ndefault_ca=d\n[d]\nnew_certs_dir=/root/ca\ndatabase=/root/ca/index\nrand_serial=yes\npolicy=p\ndefault_md=sha256\nunique_subject=no\n[p]\ncommonName=supplied\n' >/root/ca/conf
        openssl ca -batch -notext -config /root/ca/conf -cert $pki/ca.crt -keyfile $pki/ca.key -in /root/$1.csr -extfile /root/$1.ext \
            -startdate \$(date -u -d '-70 days' +%Y%m%d%H%M%SZ) -enddate \$(date -u -d '+20 days' +%Y%m%d%H%M%SZ) -out /root/$1.crt 2>/dev/null
        cat /root/$1.crt" >"$BED/work/$1.crt"
    put "$BED/work/$1.crt" "$1:/root"
    on "$1" "chmod 444 /root/$1.crt && mv -f /root/$1.crt $pki/member.crt"
}
serial() { on "$1" "openssl x509 -in $pki/member.crt -noout -serial"; }
has_another_than() { [ "$(serial "$1")" != "$2" ]; }
key() { on "$1" "sha256sum <$pki/member.key"; }
process() { on "$1" 'systemctl show -P MainPID etcd'; }
serving() { { echo | ip netns exec switch openssl s_client -connect "$(address "$1"):2379" -cert "$one/client.crt" -key "$one/client.key" 2>/dev/null || :; } | openssl x509 -noout -serial; }
# Every five seconds instead of every day.
often() {
    on "$1" "for name in renew fetch; do
            mkdir -p /etc/systemd/system/etcd-signer-member-\$name.timer.d
            printf '[Timer]\nOnCalendar=\nOnCalendar=*:*:0/5\nRandomizedDelaySec=0\nAccuracySec=1s\n' >/etc/systemd/system/etcd-signer-member-\$name.timer.d/often.conf
        done
        # Many runs of a service in a short time are no reason to refuse it here.
        for name in renew fetch; do
            mkdir -p /etc/systemd/system/etcd-signer-member-\$name.service.d
            printf '[Unit]\nStartLimitIntervalSec=0\n' >/etc/systemd/system/etcd-signer-member-\$name.service.d/often.conf
        done
        systemctl daemon-reload
        systemctl try-restart etcd-signer-member-renew.timer etcd-signer-member-fetch.timer"
}

section "All three renew by themselves, under writes"
ok "a master gets its certificate" master kubemaster-m1 m1
one=$BED/work/kubemaster-m1
declare -A serials keys processes
for host in m1 m2 m3; do
    back_dated $host
    serials[$host]=$(serial $host)
    keys[$host]=$(key $host)
    processes[$host]=$(process $host)
    ok "$host serves a certificate in its last third" same "${serials[$host]}" "$(serving $host)"
done
ok "  which check says" on m3 'etcd-signer check --only member | grep -q "^warn  member renewal .*it is due, and nobody has renewed it"'
ip netns exec switch python3 tests/hosts/writer.py "$one" "$(address m1):2379,$(address m2):2379,$(address m3):2379" "$BED/work/member-writes" 50 &
writer=$!
sleep 2
for host in m1 m2 m3; do often $host; done
for host in m1 m2 m3; do
    ok "$host has a new certificate" wait_until "it" 120 has_another_than $host "${serials[$host]}"
    ok "  which etcd serves" wait_until "it" 20 eval '[ "$(serving '$host')" = "$(serial '$host')" ]'
    ok "  as the same process" same "${processes[$host]}" "$(process $host)"
    ok "  with the same key" same "${keys[$host]}" "$(key $host)"
    ok "  for the same names and 90 days" on $host "openssl x509 -in $pki/member.crt -noout -ext subjectAltName | grep -q '$(address $host).*DNS:$host.*127.0.0.1.*localhost' && openssl x509 -in $pki/member.crt -noout -checkend \$((89 * 86400)) && ! openssl x509 -in $pki/member.crt -noout -checkend \$((90 * 86400))"
    ok "  owner and mode are what they were" on $host "[ \"\$(stat -c '%U %a' $pki/member.crt)\" = 'root 444' ]"
done
sleep 2
kill "$writer"
wait "$writer" || :
gap=$(longest_gap 1 "$BED/work/member-writes")
echo "        the longest time between two writes: $gap"
ok "no put has failed" grep -q " 0 of them failed" <<<"$gap"
ok "every certificate has its audit record" on m1 "journalctl -t etcd-signer -o cat --no-pager >/root/records; grep 'granted member renew for' /root/records || true"
records() { on "$1" "journalctl -t etcd-signer -o cat --no-pager | grep -c '^granted member renew for' || :"; }
ok "  on one signer or the other" [ $(($(records m1) + $(records m2))) -ge 3 ]
for host in m1 m2; do on $host "journalctl -t etcd-signer -o cat --no-pager | grep '^granted member renew for' || :" | sed 's/^/        /'; done
# What a container's own filter lets through of it is the same for all.
ok "  whose process was confined under its unit as the forced command is" as_master m1 get-peers
confinements() { on "$1" "journalctl -t etcd-signer -o json --no-pager | jq -r 'select(.ETCD_SIGNER_CONFINEMENT) | .ETCD_SIGNER_CONFINEMENT' | sort -u"; }
ok "    ($(confinements m1))" [ "$(confinements m1 | grep -c seccomp)" = 1 ]
ok "the cluster is healthy" ctl m3 endpoint health --cluster
for host in m1 m2 m3; do ok "$host is in order" on $host 'etcd-signer check --only member | grep -vE "^(warn  (clock|etcd)|ok)" | { ! grep .; }'; done
no_more_runs() { on "$1" 'systemctl show -P Result etcd-signer-member-'"$2"'.service' | grep -qx success; }
for host in m1 m2 m3; do ok "the last run of fetch was good: $host" no_more_runs $host fetch; done

section "A signer is down, which is a member, too"
back_dated m1
down=$(serial m1)
shut_down m1
wait_until "a new leader of the cluster" 30 writes_and_reads kubemaster-m1 m2 m3
back_dated m3
old=$(serial m3)
ok "the other signer renews a member" wait_until "it" 120 has_another_than m3 "$old"
ok "  and says which one it could not reach" wait_until "the line" 60 on m2 'journalctl -u etcd-signer-member-renew -o cat --no-pager | grep -q "m1: https://'"$(address m1)"':2379: "'
ok "  as check does" on m2 'etcd-signer check --only member | grep -q "^warn  members .*m1 could not be reached"'

section "The member is back, later"
boot m1
wait_until "m1 to be back" 60 on m1 true
ok "it is a member again" wait_until "it" 60 ctl m1 endpoint health --cluster
ok "  and gets the certificate that was due" wait_until "it" 120 has_another_than m1 "$down"
ok "  which etcd serves" wait_until "it" 20 eval '[ "$(serving m1)" = "$(serial m1)" ]'
ok "a reboot has run what was missed" on m1 'systemctl show -P LastTriggerUSec etcd-signer-member-fetch.timer | grep -q .'

section "By hand, what does not renew by itself"
# The names of the runbook's example, pasted as they stand.
names() { on "$1" "openssl x509 -in $pki/member.crt -noout -ext subjectAltName"; }
fits=$(names m3)
on m3 "openssl req -new -key $pki/member.key -subj /CN=etcd-member" |
    on m2 'etcd-signer member sign --host 10.0.0.12 --host n2 --host 127.0.0.1 --host localhost' >"$BED/work/wrong.crt"
put "$BED/work/wrong.crt" m3:/root
on m3 "chmod 444 /root/wrong.crt && cp -p $pki/member.crt /root/right.crt && mv -f /root/wrong.crt $pki/member.crt"
ok "names that do not fit are a failure" on m3 "etcd-signer check --only member | grep -q '^FAIL  member names .*is not for $(address m3)'"
refused "  which a member alone does not repair" "this host is no signer" on m3 'etcd-signer-setup renew'
ok "  and one command repairs" on m3 "etcd-signer-setup renew --signer-ip=$(address m2)"
ok "  with the names that it had" same "$fits" "$(names m3)"
ok "  and check fails nowhere" on m3 '! etcd-signer check --only member | grep ^FAIL'
old=$(serial m2)
ok "a signer does it for itself" on m2 'etcd-signer-setup renew'
ok "  with another certificate" has_another_than m2 "$old"
ok "the cluster is healthy" ctl m2 endpoint health --cluster

section "leave"
ok "a member leaves" on m3 'etcd-signer-setup leave'
ok "  and its timer is off" on m3 '! systemctl -q is-enabled etcd-signer-member-fetch.timer && ! systemctl -q is-active etcd-signer-member-fetch.timer'
