# shellcheck shell=bash disable=SC2034,SC2154 # attacks.sh and lib.sh set and use them
# The drop-in for login by key. Sourced by attacks.sh.

keys() {
    local config=/etc/ssh/keys
    mkdir -p $config /etc/etcd-signer
    install_dropin "$bed/deploy/etcd-signer/sshd/00-etcd-signer-keys.conf"
    mv /etc/ssh/sshd_config.d/00-etcd-signer-keys.conf $config/
    sed "s|/etc/ssh/sshd_config.d|$config|" /etc/ssh/sshd_config >$config/sshd_config
    ssh-keygen -q -t ed25519 -N '' -f "$bed/master" <<<y >/dev/null
    echo "restrict $(cat "$bed/master.pub")" >/etc/etcd-signer/authorized_keys
    chmod 0755 /etc/etcd-signer
    passwd --lock signer >/dev/null
    start_sshd 2223 $config/sshd_config
    local keys_pid=$sshd_pid bad=1 good='' su_said=''
    sign client -p 2223 -i "$bed/master" leader kubemaster-m && good=1
    local main=$said
    while [ -n "$good" ]; do
        attempt client -p 2223 leader get-certificate
        nothing_came 255 || { said="without a key: $said"; break; }
        attempt client -p 2223 -i "$bed/key" leader get-certificate
        nothing_came 255 || { said="with a key for everybody: $said"; break; }
        attempt client -p 2223 -i "$bed/master" -b 10.99.2.1 leader get-certificate
        nothing_came 255 || { said="from outside: $said"; break; }
        attempt client -p 2223 -i "$bed/master" leader id
        nothing_came 64 || { said="with another command: $said"; break; }
        as_mallory 'SSH_ORIGINAL_COMMAND=get-certificate su signer -c x'
        nothing_came || { said="su: $said"; break; }
        su_said=$err
        bad=0
        break
    done
    kill "$keys_pid"
    passwd --delete signer >/dev/null
    [ "$bad" = 1 ] || said="$main; another key, none, outside: 255; su: $su_said"
    return "$bad"
}
any_key() {
    local config=/etc/ssh/anykey
    mkdir -p $config
    install_dropin "$bed/deploy/etcd-signer/sshd/00-etcd-signer-keys.conf"
    sed -E 's|^( *)AuthorizedKeysFile .*|\1AuthorizedKeysFile none|; s|#(AuthorizedKeysCommand)|\1|' \
        /etc/ssh/sshd_config.d/00-etcd-signer-keys.conf >$config/00.conf
    rm /etc/ssh/sshd_config.d/00-etcd-signer-keys.conf
    sed "s|/etc/ssh/sshd_config.d|$config|" /etc/ssh/sshd_config >$config/sshd_config
    passwd --lock signer >/dev/null
    start_sshd 2224 $config/sshd_config
    local pid=$sshd_pid bad=1
    sign client -p 2224 -i "$bed/key" leader kubemaster-m && bad=0
    kill "$pid"
    passwd --delete signer >/dev/null
    local print
    print=$(ssh-keygen -lf "$bed/key.pub" | cut -d' ' -f2)
    grep -q "Accepted publickey for signer .*$print" "$bed/sshd.2224.log" || { said="not logged"; bad=1; }
    [ "$bad" = 1 ] || said="$said; its fingerprint is in sshd's log"
    return "$bad"
}

row "keys" "00-etcd-signer-keys.conf: a known key; others; su" keys
row "keys, any" "the same with AuthorizedKeysCommand echo" any_key
