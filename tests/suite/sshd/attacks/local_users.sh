# shellcheck shell=bash disable=SC2034,SC2154 # attacks.sh and lib.sh set and use them
# Another user of the leader: su, debuggers, planted files; and the account without its forced command. Sourced by attacks.sh.

# as_mallory SCRIPT: in a shell of hers.
as_mallory() {
    attempt runuser -u mallory -- env -i PATH="$PATH" HOME=/home/mallory USER=mallory sh -c "$1"
}
su_plain() { as_mallory 'su signer'; nothing_came 64; }
su_login() { as_mallory 'su - signer'; nothing_came 64; }
su_command() { as_mallory 'su signer -c "id; sh"'; nothing_came 64; }
su_shell() {
    as_mallory 'su -s /bin/sh signer -c id'
    nothing_came || return 1
    as_mallory 'SHELL=/bin/sh su -m signer -c id'
    nothing_came
}
su_ca_init() {
    install -d -m 0777 /home/mallory/open
    as_mallory 'su signer -- ca init --directory /home/mallory/open'
    nothing_came || return 1
    [ -z "$(ls -A /home/mallory/open)" ] || { said="it wrote $(ls -A /home/mallory/open)"; return 1; }
}
su_config() {
    # shellcheck disable=SC2016
    as_mallory 'mkdir -p ~/pki; cd ~/pki; chmod 755 ~ .
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key \
            -out ca.crt -subj /CN=evil -addext keyUsage=critical,keyCertSign 2>/dev/null
        printf "ca_certificate = \"%s/ca.crt\"\nca_key = \"%s/ca.key\"\n" "$PWD" "$PWD" >evil.toml
        chmod 644 *'
    [ -s /home/mallory/pki/evil.toml ] || { said="no settings made: $err"; return 1; }
    local file
    for file in /home/mallory/pki/evil.toml /etc/etcd/pki/ca.key /dev/stdin /proc/self/fd/0 \
        /home/mallory/none; do
        as_mallory "SSH_ORIGINAL_COMMAND=get-certificate su signer -- serve --config $file \
            </home/mallory/pki/evil.toml"
        # Either the settings are refused, or the option is not heard: never other settings.
        if [ "$code" = 0 ]; then
            cmp -s "$bed/out" /etc/etcd/pki/ca.crt || { said="$file: other settings hold"; return 1; }
            said="the option is not heard"
        else
            nothing_came || return 1
        fi
        ! grep -q 'PRIVATE' "$bed/err" || { said="$file is shown: $err"; return 1; }
    done
}
su_network_client() {
    as_mallory "SSH_ORIGINAL_COMMAND=kubemaster-m su signer -c x <$bed/m.csr"
    is_certificate
}
evil_library() {
    [ -e /tmp/evil.so ] && return
    command -v cc >/dev/null || { said="cc, to make a library for LD_PRELOAD, is missing"; return 3; }
    cc -shared -fPIC -o /tmp/evil.so -x c - <<'END' || fatal "no library"
#include <stdio.h>
#include <unistd.h>
__attribute__((constructor)) static void run(void) {
    char name[64];
    snprintf(name, sizeof name, "/tmp/loaded-by-%u", geteuid());
    FILE *file = fopen(name, "w");
    if (file) fclose(file);
}
END
}
su_environment() {
    evil_library || return
    rm -f /tmp/loaded-by-*
    local signer
    signer=$(id -u signer)
    as_mallory "export LD_PRELOAD=/tmp/evil.so; /bin/true
        export LD_AUDIT=/tmp/evil.so LD_LIBRARY_PATH=/tmp LD_DEBUG=all \
        LD_DEBUG_OUTPUT=/tmp/ld LC_ALL=../../evil LANG=evil LOCPATH=/tmp RUST_BACKTRACE=full RUST_LOG=trace \
        BASH_ENV=/tmp/evil ENV=/tmp/evil IFS=x HOME=/home/mallory TMPDIR=/home/mallory TZ=/etc/shadow \
        GLIBC_TUNABLES=glibc.malloc.check=3 MALLOC_CHECK_=3 GCONV_PATH=/tmp SSL_CERT_FILE=/tmp/x \
        OPENSSL_CONF=/tmp/x XDG_CONFIG_HOME=/home/mallory HTTPS_PROXY=http://127.0.0.1:1 \
        RES_OPTIONS=debug HOSTALIASES=/tmp/x SSH_CONNECTION='1.2.3.4 5 6.7.8.9 22; id' \
        SSH_ORIGINAL_COMMAND=kubemaster-m; su signer -c x <$bed/m.csr"
    is_certificate || return 1
    [ -e "/tmp/loaded-by-$(id -u mallory)" ] || { said="the library is no good"; return 1; }
    [ -z "$(ls "/tmp/loaded-by-$signer" /tmp/loaded-by-0 2>/dev/null)" ] ||
        { said="it was LOADED"; return 1; }
    [ ! -s "$bed/err" ] || { said="it says more: $err"; return 1; }
    as_mallory 'RUST_BACKTRACE=full RUST_LOG=trace SSH_ORIGINAL_COMMAND=x su signer -c x'
    [ "$(wc -l <"$bed/err")" = 1 ] || { said="more than one line of error: $err"; return 1; }
    said="a certificate as for any client; LD_PRELOAD not loaded; one line of error"
}
su_descriptors() {
    local redirect
    for redirect in '0<&-' '0<&- 1>&-' '0<&- 2>&-' '0</dev/zero' '0</proc/self/environ' '0</home' \
        '1>/dev/full' '1</etc/passwd' '1>&1 0>/home/mallory/zero'; do
        as_mallory "exec <$bed/m.csr; SSH_ORIGINAL_COMMAND=kubemaster-m su signer -c x $redirect"
        nothing_came || { said="$redirect: $said"; return 1; }
    done
    # Here the request is answered, to nobody.
    for redirect in '1>&-' '1>&- 2>&-' '1>&- 5</etc/passwd 9>/home/mallory/nine'; do
        as_mallory "exec <$bed/m.csr; SSH_ORIGINAL_COMMAND=kubemaster-m su signer -c x $redirect"
        said="$redirect: exit $code, $out"
        [ -z "$out" ] && [ "$code" -lt 124 ] || return 1
    done
    for redirect in '2>&-' '7</etc/passwd 8>/home/mallory/eight 2>/dev/full'; do
        as_mallory "exec <$bed/m.csr; SSH_ORIGINAL_COMMAND=kubemaster-m su signer -c x $redirect"
        is_certificate || { said="$redirect: $said"; return 1; }
    done
    [ -z "$(cat /home/mallory/eight /home/mallory/nine /home/mallory/zero)" ] ||
        { said="a descriptor of hers was written"; return 1; }
    sha256sum --quiet -c "$bed/pki.sha256" >/dev/null 2>&1 || { said="the CA's files CHANGED"; return 1; }
    said="no part of an answer without 0 or 1; without 2 as ever; CA files and her descriptors untouched"
}
su_limits() {
    local limit
    for limit in 'umask 0' 'umask 777' 'trap "" PIPE CHLD USR1 TERM INT ALRM' 'ulimit -c unlimited'; do
        as_mallory "$limit; SSH_ORIGINAL_COMMAND=kubemaster-m su signer -c x <$bed/m.csr"
        is_certificate || { said="$limit: $said"; return 1; }
    done
    # Too little of something: no answer, or a whole one.
    for limit in 'ulimit -f 0' 'ulimit -n 3' 'ulimit -n 4' 'ulimit -v 8000' 'ulimit -s 64' 'ulimit -l 0' 'ulimit -u 1'; do
        as_mallory "$limit; SSH_ORIGINAL_COMMAND=kubemaster-m su signer -c x <$bed/m.csr"
        [ -z "$out" ] || is_certificate || { said="$limit: part of an answer: $said"; return 1; }
    done
    said="umask, core, signals change nothing; too small a limit gives no answer or a whole one"
}
# An answer that she has but for its last bytes, when the signer is stopped for good: there
# must be a record of it.
su_unrecorded() {
    local serial
    sign_ssh || return 1
    local size=$((1024 - $(wc -c <"$bed/answer.pem") + 20))
    as_mallory "head -c $size /dev/zero | tr '\\0' ' ' >/home/mallory/cut; exec <$bed/m.csr
        exec bash -c 'ulimit -f 1; SSH_ORIGINAL_COMMAND=kubemaster-m exec su signer -c x >>/home/mallory/cut'"
    # What is left of the last line, too: so it is a certificate again.
    sed -i 's/^ *//; s/^-\{1,5\}\(E.*\)\?$//' /home/mallory/cut
    echo '-----END CERTIFICATE-----' >>/home/mallory/cut
    serial=$(openssl x509 -in /home/mallory/cut -noout -serial 2>/dev/null) ||
        { said="exit $code; she got no certificate"; return 0; }
    said="she has $serial, exit $code, "
    if recorded "$serial"; then said+="and it is recorded"; else said+="and NO RECORD of it"; return 1; fi
}
no_debugger() {
    command -v gdb >/dev/null || { said="gdb is not installed"; return 3; }
    command -v strace >/dev/null || { said="strace is not installed"; return 3; }
    wait_until 30 no_signer
    runuser -u mallory -- sh -c 'SSH_ORIGINAL_COMMAND=kubemaster-m su signer -c x' \
        >/dev/null 2>&1 < <(sleep 30) &
    wait_until 20 signers >/dev/null || { said="no signer ran"; return 1; }
    held=$(signers | head -n 1)
    wait_until 5 settled_signer
    local tool
    for tool in "strace -o /tmp/trace.m -p $held" "gdb -batch -p $held -ex 'info registers'" \
        "cat /proc/$held/mem" "cat /proc/$held/environ" "cat /proc/$held/maps" \
        "ls /proc/$held/fd/" "cat /proc/$held/auxv" "kill -ABRT $held" "prlimit --core --pid $held"; do
        as_mallory "timeout 5 $tool"
        if grep -q '0x[0-9a-f]\|rip\|attached' "$bed/out" "$bed/err"; then
            said="$tool: $out $err"; break
        fi
        [ "$code" != 0 ] && [ "$code" != 124 ] || [[ $tool == gdb* ]] ||
            { said="$tool SUCCEEDED: ${out:0:40}"; break; }
    done
    local alive=0
    kill -0 "$held" 2>/dev/null && alive=1
    [ -n "$said" ] || said="strace, gdb, /proc/<pid>/mem, environ, maps, fd and kill: refused; $err"
    [[ $said == strace,* ]] && [ "$alive" = 1 ]
}
own_debugger() {
    command -v strace >/dev/null || { said="strace is not installed"; return 3; }
    held=$(signers | head -n 1)
    [ -n "$held" ] || { hold || return 1; }
    attempt setpriv --reuid signer --regid signer --clear-groups timeout 5 strace -o /tmp/trace.s \
        -p "$held"
    said="exit $code; $err"
    [ "$code" != 0 ] && [ "$code" != 124 ] && grep -qi 'not permitted' "$bed/err" || return 1
    attempt setpriv --reuid signer --regid signer --clear-groups cat "/proc/$held/mem" "/proc/$held/environ"
    kill -KILL "$held" 2>/dev/null
    wait_until 20 no_signer
    [ -z "$out" ] && [ "$code" != 0 ]
}
traced_su() {
    command -v strace >/dev/null || { said="strace is not installed"; return 3; }
    as_mallory "SSH_ORIGINAL_COMMAND=kubemaster-m strace -f -o /tmp/trace.f su signer <$bed/m.csr"
    nothing_came
}
key_file() { as_mallory 'cat /etc/etcd/pki/ca.key'; nothing_came; }

plant_home() {
    evil_library || return
    usermod --home /home/signer signer >/dev/null 2>&1
    install -d -o signer -g signer /home/signer /home/signer/.ssh
    local file library=/tmp/evil.so
    for file in .ssh/rc .bashrc .profile .bash_profile .bash_login .bash_logout .zshenv; do
        printf '#!/bin/sh\ntouch /tmp/ran-%s\n' "${file//\//-}" >"/home/signer/$file"
        chmod 0755 "/home/signer/$file"
    done
    is_static || [ -n "${REQUIRE_STATIC:-}" ] || library=/none
    printf 'LD_PRELOAD=%s\nEVIL=1\nBASH_ENV=/home/signer/.bashrc\nSSH_ORIGINAL_COMMAND=evil\n' "$library" |
        tee /home/signer/.pam_environment >/home/signer/.ssh/environment
    cp "$bed/key.pub" /home/signer/.ssh/authorized_keys
    chown -R signer: /home/signer
    rm -f /tmp/ran-* /tmp/loaded-by-*
}
unplant_home() { usermod --home / signer >/dev/null 2>&1; }
planted() {
    plant_home || return
    local bad=0
    sign_ssh || bad=1
    local main=$said
    attempt client leader id
    nothing_came 64 || bad=1
    as_mallory 'su - signer -c id'
    nothing_came 64 || bad=1
    unplant_home
    said="none of them ran; $main"
    local ran
    ran=$(find /tmp -name 'ran-*' -o -name "loaded-by-$(id -u signer)" | tr '\n' ' ')
    [ -z "$ran" ] || { said="RAN: $ran"; return 1; }
    [ "$bad" = 0 ] || { said="$main; exit $code $err"; return 1; }
}
planted_key() {
    plant_home || return
    outside_key
    local bad=$?
    unplant_home
    return "$bad"
}
home() {
    attempt setpriv --reuid signer --regid signer --clear-groups \
        sh -c 'touch /.pam_environment || mkdir /.ssh'
    [ ! -e /.pam_environment ] && nothing_came
}

unforced() {
    local config=/etc/ssh/unforced attack
    mkdir -p $config
    sed '/ForceCommand/d' /etc/ssh/sshd_config.d/00-etcd-signer.conf >$config/00.conf
    sed "s|/etc/ssh/sshd_config.d|$config|" /etc/ssh/sshd_config >$config/sshd_config
    start_sshd 2222 $config/sshd_config
    local unforced_pid=$sshd_pid bad=0
    sshd -T -f $config/sshd_config -C user=signer,host=x,addr=10.99.1.7 |
        grep -qx 'forcecommand none' || { said="there still is a forced command"; return 1; }
    for attack in 'id' 'sh -c id' 'exec /bin/sh' 'cat /etc/passwd' 'ca init --directory /tmp/open' \
        'get-certificate'; do
        attempt client -p 2222 leader "$attack"
        nothing_came 64 || { said="$attack: $said"; bad=1; break; }
    done
    # Without a command a shell would read its input. (sshd greets with the message of the day.)
    out=$(echo id | timeout 30 client -p 2222 leader 2>/dev/null)
    code=$?
    [ "$code/${out//uid=*/a shell}" = "64/$out" ] || { said="exit $code: $out"; bad=1; }
    [ "$bad" = 1 ] || { attempt client -p 2222 -s leader sftp; nothing_came 64 || bad=1; }
    [ "$bad" = 1 ] || { scp_with -P 2222 leader:/etc/passwd /tmp/stolen || bad=1; }
    [ "$bad" = 1 ] || said="no command, seven others, sftp, scp: exit 64 each; $err"
    kill "$unforced_pid"
    return "$bad"
}

row "su" "mallory: su signer" su_plain
row "su -" "mallory: su - signer" su_login
row "su -c" "mallory: su signer -c 'id; sh'" su_command
row "su -s" "mallory: su -s /bin/sh signer -c id; su -m" su_shell
row "su -- ca init" "mallory: su signer -- ca init --directory (hers, mode 0777)" su_ca_init
row "su -- serve --config" "mallory: su signer -- serve --config (hers, ca.key, stdin)" su_config
row "su, request" "mallory: SSH_ORIGINAL_COMMAND=kubemaster-m su signer -c x" su_network_client
row "su, environment" "mallory: the same with LD_PRELOAD, LC_ALL, RUST_* ... forged" su_environment
row "su, descriptors" "mallory: the same with 0, 1, 2 closed in turn, or full" su_descriptors
row "su, limits" "mallory: the same under umask, ulimit, ignored signals" su_limits
row "su, unrecorded" "mallory: ulimit -f cuts the end of the answer off" su_unrecorded
row "su, debugger" "mallory: strace, gdb, /proc, kill on her signer" no_debugger
row "own debugger" "a process of the account itself: strace, /proc/<pid>/mem" own_debugger
row "strace su" "mallory: strace -f su signer" traced_su
row "ca.key" "mallory: cat ca.key" key_file
row "home" "the account: plant files in its home, /" home
row "planted files" "a home it can write: .ssh/rc, .bashrc, .profile, .pam_environment" planted
row "planted key" "the same: .ssh/authorized_keys, from 10.99.2.1" planted_key
row "no ForceCommand" "the drop-in without that line: commands, sftp, scp" unforced
