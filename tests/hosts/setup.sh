#!/bin/bash
# setup.sh: etcd-signer-setup on hosts as people have them, interrupted at every step, and out of the
# cluster again. Sourced by run.sh, after lib.sh.
# shellcheck disable=SC2016 # what is quoted is the hosts' to expand
# shellcheck disable=SC2034,SC2154 # bed.sh
# shellcheck disable=SC2086 # addresses have no spaces

# A container without this capability may not make a file immutable.
NSPAWN[s1]=--drop-capability=CAP_LINUX_IMMUTABLE
up s1 s2 s3
# From the console: without sshd, too.
console_of() { nsenter -t "$(first_process "$1")" -m -u -i -n -p env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin bash -c "${*:2}"; }
setup() { on "$1" "etcd-signer-setup ${*:2}"; }
for host in s1 s2 s3; do install_package $host >/dev/null; done
on s1 'rm -r /root/setup'

section "What init refuses on hosts as people have them"
# refuses_init WHAT WORDS BREAK MEND: what is broken is named, and nothing has changed.
refuses_init() {
    console_of s1 "$3"
    local before
    before=$(footprint s1)
    refused "$1" "$2" console_of s1 etcd-signer-setup init
    ok "  and nothing has changed" same "$before" "$(footprint s1)"
    console_of s1 "$4"
}
drop=/etc/ssh/sshd_config.d/90-ours.conf
refuses_init "AllowUsers without signer" 'AllowUsers root' "echo 'AllowUsers root alice' >$drop" "rm $drop"
refuses_init "AllowGroups without signer" 'AllowGroups root' "echo 'AllowGroups root' >$drop" "rm $drop"
refuses_init "DenyUsers with signer" 'DenyUsers' "echo 'DenyUsers s*' >$drop" "rm $drop"
refuses_init "sshd_config without its Include line" 'needs the line "Include /etc/ssh/sshd_config.d/*.conf"' \
    "sed -i 's/^Include/#Include/' /etc/ssh/sshd_config" "sed -i 's/^#Include/Include/' /etc/ssh/sshd_config"
console_of s1 "sed -i 's/^Include/#Include/' /etc/ssh/sshd_config"
ok "  which check says, too" grep -q 'FAIL  sshd .*needs the line "Include' <<<"$(console_of s1 'etcd-signer check || :')"
console_of s1 "sed -i 's/^#Include/Include/' /etc/ssh/sshd_config"
refuses_init "/etc/ssh read-only" "mount it writable" \
    "mount --bind /etc/ssh /etc/ssh; mount -o remount,ro,bind /etc/ssh" "umount /etc/ssh"
refuses_init "sshd without host keys" "ssh-keygen -A" \
    "mkdir /root/keys; mv /etc/ssh/ssh_host_* /root/keys/" "mv /root/keys/* /etc/ssh/; rmdir /root/keys"
refuses_init "no space for etcd" "MiB left" \
    "mount -t tmpfs -o size=20m tmpfs /var/lib/etcd" "umount /var/lib/etcd"
refused "a name that is no DNS name" "is a DNS name" setup s1 init --name s_1
ip -n s2 addr del $NET.32/24 dev eth0
ip -n s2 addr add $NET.32 peer $NET.1/32 dev eth0
ip -n s2 route add $NET.0/24 dev eth0
ip -n s2 route add default via $NET.1
refused "a point-to-point address, in no network" "--networks" setup s2 init

section "init on a host with all of it at once"
# sshd by a socket and on a second port, PAM off, /var/lib/etcd on a mount of its own, no immutable
# files, variables of etcdctl and a proxy in the environment, a whole name in upper case.
printf 'Port 22\nPort 2222\nUsePAM no\nAllowUsers root alice signer\n' | on s1 "cat >$drop"
on s1 'mkdir -p /srv/etcd/lost+found; chown etcd: /srv/etcd; mount --bind /srv/etcd /var/lib/etcd
    systemctl disable -q ssh.service; systemctl enable -q ssh.socket
    mkdir -p /etc/systemd/system/ssh.socket.d; printf "[Socket]\nListenStream=2222\n" >/etc/systemd/system/ssh.socket.d/port.conf'
shut_down s1
boot s1
wait_until "the socket" 60 console_of s1 'systemctl -q is-active ssh.socket'
console_of s1 'mount --bind /srv/etcd /var/lib/etcd; rm -rf /run/sshd'
environment='export ETCDCTL_ENDPOINTS=https://192.0.2.9:2379 ETCDCTL_CACERT=/nonexistent ETCDCTL_USER=x:y HTTPS_PROXY=http://192.0.2.9:3128;'
output=$(on s1 "rm -rf /run/sshd; $environment etcd-signer-setup init --name S1.Example.COM") || { echo "$output"; exit 1; }
echo "        ${output//$'\n'/$'\n'        }"
ok "it is up, and says that nothing could be made immutable" grep -q "This host is the first member" <<<"$output"
ok "check warns of that" grep -q "^warn  immutable" <<<"$(on s1 'etcd-signer check || :')"
ok "metrics need no certificate, from this host alone" on s1 'exec 3<>/dev/tcp/127.0.0.1/2381; printf "GET /metrics HTTP/1.0\r\n\r\n" >&3; grep -q "^etcd_server_has_leader 1" <&3'
ok "status shows it" grep -qE "^cluster: .* s1.example.com voting, healthy" <<<"$(setup s1 status)"
ok "a master gets its certificate" master kubemaster-s1 s1
fingerprint=$(sed -n 's/.*--ca-fingerprint=//p' <<<"$output")

section "join, over another port, with sudo, from behind a proxy"
on s1 "useradd -m -p '*' alice"
on s1 ' install -d -m 700 -o alice -g alice /home/alice/.ssh; install -m 600 -o alice -g alice /root/.ssh/authorized_keys /home/alice/.ssh/'
refused "an administrator who may not" "does not sign" \
    setup s2 join --signer-ip=$NET.31 --ssh-port=2222 --admin=alice@$NET.31
on s1 'echo "alice ALL=(root) NOPASSWD: /usr/bin/etcd-signer member sign *" >/etc/sudoers.d/alice'
on s1 "etcd-signer-endpoint open --networks $NET.0/24,$NET6/64" >/dev/null
refused "an address of the leader that its etcd does not listen on" "client URLs are https://$NET.31:2379" \
    setup s2 join --signer-ip=${NET6}31 --address=${NET6}32 --ssh-port=2222 --admin=alice@${NET6}31
ok "s2 joins, with its point-to-point address" on s2 "$environment etcd-signer-setup join --signer-ip=$NET.31 --ssh-port=2222 --admin=alice@$NET.31 --ca-fingerprint=$fingerprint"
ok "both vote" same "$(members s1)" " started, s1.example.com, false
 started, s2, false"
ok "the member writes with the settings of etcdctl that it was given" ctl s2 put setup joined

section "leave"
members_are() { wait_until "the members" 30 eval '[ "$(members s2 | wc -l)" = '"$1"' ]'; }
refused "the only signer, without a backup" "--ca-backup" setup s1 leave
on s1 'umask 077; age-keygen -o /root/identity 2>/dev/null; etcd-signer ca backup /root/ca.age --recipient "$(age-keygen -y /root/identity)"; etcd-signer ca init --directory /root/other >/dev/null; printf "ca_certificate = \"/root/other/ca.crt\"\nca_key = \"/root/other/ca.key\"\n" >/root/other.toml; etcd-signer ca backup /root/other.age --config /root/other.toml --recipient "$(age-keygen -y /root/identity)"' >/dev/null
refused "  or with one of another CA" "it contains a different" setup s1 leave --ca-backup /root/other.age --identity /root/identity
refused "  or with one that cannot be decrypted" "--ca-backup" on s1 'age-keygen -o /root/wrong 2>/dev/null; etcd-signer-setup leave --ca-backup /root/ca.age --identity /root/wrong'
cut_cable s2
refused "where it would cost the quorum" "quorum" setup s1 leave --ca-backup /root/ca.age --identity /root/identity
mend_cable s2
ok "s3 joins" setup s3 join --signer-ip=$NET.31 --ssh-port=2222
wait_until "all members" 60 ctl s3 endpoint health
before=$(footprint s3)
ok "--dry-run tells each step" [ "$(setup s3 leave --dry-run | grep -c "^would: ")" = 5 ]
ok "  and nothing has changed" same "$before" "$(footprint s3)"
pull_plug s2
refused "the others would be without a quorum" "would cost the quorum" setup s3 leave
ok "  as check says" grep -q "^warn  cluster .*2 of 3 voting members answer, and no more may fail: bring back s2 " <<<"$(on s3 etcd-signer check || :)"
boot s2
wait_until "s2" 60 on s2 true
members_are 3
wait_until "health" 60 ctl s3 endpoint health
for step in "removing this host" "stopping etcd" "moving data"; do
    on s3 "rm -f /root/out; setsid etcd-signer-setup leave >/root/out 2>&1 </dev/null & echo \$! >/root/pid
        end=\$((\$(date +%s) + 60)); until grep -q '$step' /root/out; do [ \$(date +%s) -lt \$end ] || break; done; kill -KILL \$(cat /root/pid)
        grep -q '$step' /root/out || { cat /root/out; exit 1; }"
    ok "killed at «$step»: check says what to do" grep -q "^warn  setup .*etcd-signer-setup leave" <<<"$(on s3 etcd-signer check || :)"
done
refused "join does not go over it" "run 'etcd-signer-setup leave' to complete it" setup s3 join --signer-ip=$NET.31 --ssh-port=2222
ok "leave completes it" setup s3 leave
ok "  the others are two" members_are 2
ok "  its data are aside, for root alone" on s3 '[ "$(stat -c %a /var/lib/etcd-signer/left.*)" = 700 ] && ls -d /var/lib/etcd-signer/left.*/cluster.* && ! [ -e /etc/etcd/pki ]'
ok "  and its etcd does not run" on s3 '! systemctl -q is-active etcd && ! systemctl -q is-enabled etcd'
ok "it joins again" setup s3 join --signer-ip=$NET.31 --ssh-port=2222
ok "  and is a member" members_are 3
id=$(ctl s2 member list | sed -n 's/, started, s3,.*//p')
ok "s3 is removed by somebody else" wait_until "the removal" 60 ctl s2 member remove "$id"
ok "  check says so there" wait_until "it" 30 eval 'grep -q "^FAIL  cluster .*etcd-signer-setup leave" <<<"$(on s3 etcd-signer check || :)"'
ok "  and leave makes it ready to join" setup s3 leave
ok "it joins again" setup s3 join --signer-ip=$NET.31 --ssh-port=2222
ok "s1, signer and perhaps leader, leaves with a verified backup" setup s1 leave --ca-backup /root/ca.age --identity /root/identity
ok "  its login is closed" refused "a master" "ermission denied" as_master s1 get-certificate
ok "  the others go on" ctl s2 put setup s1-left
ok "  s2 becomes a signer" on s1 'cat /root/ca.age /root/identity' >/dev/null
on s1 'cat /root/ca.age' >"$BED/work/ca.age"
on s1 'cat /root/identity' >"$BED/work/ca-identity"
put "$BED/work/ca.age" "$BED/work/ca-identity" s2:/root
ok "  which issues" on s2 "etcd-signer-endpoint promote /root/ca.age --identity /root/ca-identity --networks $NET.0/24"
ok "s1 joins again, through s2" setup s1 join --signer-ip=$NET.32
ok "  and check has nothing against a member without the CA" same "" "$(on s1 'etcd-signer check | grep ^FAIL || :')"
on s1 "etcd-signer-endpoint open --networks $NET.0/24" >/dev/null 2>&1 || :
for host in s3 s1; do ok "$host leaves" setup $host leave; done
ok "a snapshot is taken" on s2 "set -a; . /etc/etcd/etcdctl.env; ETCDCTL_ENDPOINTS=https://127.0.0.1:2379 etcdctl snapshot save /root/snapshot"
refused "the last member does not leave by mistake" "--last-member" setup s2 leave
refused "  nor with the only copy of the CA" "--ca-backup" setup s2 leave --last-member
ok "  but when told so" setup s2 leave --last-member --ca-backup /root/ca.age --identity /root/ca-identity

section "All members are lost, and a backup and a snapshot are there"
refused "a snapshot that is none" "snapshot" on s2 'head -c 5000 /dev/urandom >/root/none; etcd-signer-setup init --networks '$NET'.0/24 --ca-backup /root/ca.age --identity /root/ca-identity --snapshot /root/none'
refused "no such backup" "no such file" setup s2 init --networks $NET.0/24 --ca-backup /root/nowhere
output=$(setup s2 init --networks $NET.0/24 --ca-backup /root/ca.age --identity /root/ca-identity --snapshot /root/snapshot) || { echo "$output"; exit 1; }
echo "        ${output//$'\n'/$'\n'        }"
ok "the CA is the one that it was" same "$fingerprint" "$(sed -n 's/.*--ca-fingerprint=//p' <<<"$output")"
ok "the data are those of the snapshot" same s1-left "$(ctl s2 get --print-value-only setup)"
ok "a master goes on with the certificate that it had" writes_and_reads kubemaster-s1 s2
ok "  and gets its next one" master kubemaster-s1 s2
ok "a member joins" setup s3 join --signer-ip=$NET.32
ok "  and has the data" same s1-left "$(ctl s3 get --print-value-only setup)"
ok "  and leaves" setup s3 leave
ok "and s2, the last one" setup s2 leave --last-member --ca-backup /root/ca.age --identity /root/ca-identity

section "init, interrupted at every step"
start_init() { on s3 "rm -f /root/out; setsid etcd-signer-setup init >/root/out 2>&1 </dev/null & echo \$! >/root/pid"; }
for step in "making the CA" "making this member/plug" "writing etcd" "starting etcd/plug" "opening this signer" "asking it for the members/plug" "making the program" "checking this host/plug"; do
    how="kill"
    [ "$step" = "${step%/plug}" ] || { how=plug step=${step%/plug}; }
    start_init
    on s3 "end=\$((\$(date +%s) + 90)); until grep -q '$step' /root/out; do [ \$(date +%s) -lt \$end ] || break; done
        [ '$how' = plug ] || kill -KILL \$(cat /root/pid)
        grep -q '$step' /root/out || { cat /root/out; exit 1; }"
    if [ "$how" = plug ]; then
        pull_plug s3
        boot s3
        wait_until "s3" 60 on s3 true
    fi
    ok "cut off ($how) at «$step»: check warns of it" grep -q "^warn  setup .*interrupted" <<<"$(on s3 etcd-signer check || :)"
    case $step in
        "making the program") # somebody joins meanwhile, and writes
            ok "  another host joins" setup s2 join --signer-ip=$NET.33
            ctl s2 put precious data >/dev/null
            authority=$(on s3 'sha256sum </etc/etcd/pki/ca.crt')
            ;;
    esac
done
refused "the others' names are not its own" "--take-back s2" setup s3 init --take-back s2
ok "the next run completes it" grep -q "This host is the first member" <<<"$(setup s3 init 2>&1)"
ok "  with the CA that was there" same "$authority" "$(on s3 'sha256sum </etc/etcd/pki/ca.crt')"
ok "  and the data" same data "$(ctl s3 get --print-value-only precious)"
ok "  and both members" same 2 "$(members s3 | wc -l)"
refused "set up once" "set up already" setup s3 init
# Told so by name, all is rolled back, and what cannot be made again is kept.
ok "s2 leaves" setup s2 leave
on s3 'rm /var/lib/etcd-signer/first-boot.done; printf "run init s3\nfile /etc/etcd/pki/ca.crt\nfile /etc/etcd/pki/ca.key\nfile /etc/etcd/pki/member.crt\nfile /etc/etcd/pki/member.key\nreload-units\nfile /etc/etcd/etcd.env\nfile /etc/etcd/etcdctl.env\nfile /etc/systemd/system/etcd.service.d/etcd-signer.conf\ndata /var/lib/etcd/cluster\nstop etcd.service\nclose\nunlock\n" >/var/lib/etcd-signer/first-boot.undo; sed -i "s/^Include/#Include/" /etc/ssh/sshd_config'
refused "rolled back without an Include line, as far as it goes" "needs the line" setup s3 init --take-back s3
ok "  the CA key and the data are aside" on s3 'ls /var/lib/etcd-signer/aside/ca.key.* /var/lib/etcd-signer/aside/cluster.* -d && ! [ -e /etc/etcd/pki/ca.key ]'
on s3 'sed -i "s/^#Include/Include/" /etc/ssh/sshd_config'

section "IPv6 alone, and both"
ip -n s2 addr del $NET.32 peer $NET.1/32 dev eth0
IPV6_ALONE[s2]=1
without_ipv4 s3
for host in s2 s3; do wait_until "$host by IPv6" 30 on $host true; done
ok "init with IPv6 alone" setup s3 init
ok "  the network is its own" grep -q "networks: ${NET6}/64" <<<"$(on s3 etcd-signer-endpoint status)"
ok "join" setup s2 join --signer-ip=${NET6}33
ok "  both vote" same 2 "$(members s3 | grep -c 'started.*false')"
ok "a master gets a certificate, and writes" on s2 "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out /root/m.key 2>/dev/null
    openssl req -new -key /root/m.key -subj /CN=kubemaster-6 | base64 | ssh signer@${NET6}33 kubemaster-6 >/root/m.crt
    ETCDCTL_API=3 etcdctl --cacert /etc/etcd/pki/ca.crt --cert /root/m.crt --key /root/m.key --endpoints 'https://[${NET6}33]:2379,https://[${NET6}32]:2379' put six alone"
ok "s1 joins with both" setup s1 join --signer-ip=${NET6}33 --address=$NET.31,${NET6}31
ok "  and etcd listens on both" on s1 "ss -Hltn 'sport = :2379' | grep -q '$NET.31:2379' && ss -Hltn 'sport = :2379' | grep -q '${NET6}31\]:2379'"
ok "  and get-peers lists both" on s2 "[ \"\$(ssh signer@${NET6}33 get-peers | grep -c 31)\" = 2 ]"
for host in s1 s2 s3; do shut_down $host; done
