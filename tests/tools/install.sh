#!/bin/bash
# install.sh TOOL...: makes sure that these commands are there, and installs the Debian or Ubuntu
# package of each that is not, saying which and why. Nothing that a package brings is started,
# and no service is left enabled that was not there before.
set -euo pipefail

# tool package what-for (a package may be named by several tools)
known() {
    cat <<'E2'
cc gcc compiling ring, the cryptography library
c++ g++ compiling libFuzzer
musl-gcc musl-tools compiling ring for executables with musl
make make running the targets
ssh openssh-client the client that masters use
ssh-keygen openssh-client making keys for the tests' own sshd
sshd openssh-server the server that runs the signer
etcd etcd-server the server that judges the certificates
etcdctl etcd-client talking to etcd
openssl openssl making requests, and a second opinion on certificates
unshare util-linux namespaces in which nothing on the machine changes
setpriv util-linux ending servers together with their test
mount mount the same namespaces
ps procps looking for processes, in tests and in the package
readelf binutils showing how the executable is linked
strace strace showing which files a request opens
cron cron running the cron file of masters
journald systemd a real journal to look for audit records in
ip iproute2 networks of a test's own
gdb gdb attacking a running signer with a debugger
dbclient dropbear-bin another ssh client
plink putty-tools another ssh client
rsync rsync an attack through the endpoint
xauth xauth an attack through the endpoint
sudo sudo running commands as other users
runuser util-linux running commands as other users
paramiko python3-paramiko another ssh client
asyncssh python3-asyncssh another ssh client
sshpass sshpass an attack through the endpoint
shellcheck shellcheck checking the shell scripts
jq jq reading JSON in scripts
age age encrypting backups of the CA
python3 python3 clients that the tests drive
lintian lintian checking the packages
xz xz-utils unpacking Debian packages
valgrind valgrind counting instructions
cfssl golang-cfssl a peer to measure against
mmdebstrap mmdebstrap making the test hosts
systemd-nspawn systemd-container running the test hosts
promtool prometheus checking metrics and alert rules (the server is not started)
git git tools that ask for it
curl curl tools that ask for it
E2
}

have() {
    case $1 in
        sshd) [ -x /usr/sbin/sshd ] ;;
        journald) [ -x /lib/systemd/systemd-journald ] || [ -x /usr/lib/systemd/systemd-journald ] ;;
        paramiko | asyncssh) /usr/bin/python3 -c "import $1" 2>/dev/null ;;
        *) PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null 2>&1 ;;
    esac
}

packages=()
for tool; do
    if have "$tool"; then continue; fi
    read -r _ package reason < <(known | grep "^$tool ") || {
        echo "install.sh: no package is known for $tool" >&2
        exit 1
    }
    echo "missing: $tool. Installing the package $package, for $reason."
    packages+=("$package")
done
[ ${#packages[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "install.sh: this is no Debian or Ubuntu. Install by hand: ${packages[*]}" >&2
    exit 1
fi
as_root=()
if [ "$(id -u)" != 0 ]; then
    if ! sudo -n true 2>/dev/null && [ ! -t 0 ]; then
        echo "install.sh: this needs root. Run: apt-get install ${packages[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi

# Packages of servers start them, unless this program says no (Debian policy, section 9.3.3).
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap '"${as_root[@]}" rm -f $policy' EXIT
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
    "${as_root[@]}" chmod 755 $policy
fi
units() { systemctl list-unit-files --state=enabled --no-legend 2>/dev/null | cut -d' ' -f1 | sort; }
before=$(units || :)
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
for unit in $(comm -13 <(echo "$before") <(units || :)); do
    case $unit in
        ssh.s* | sshd.s* | etcd.s* | dropbear.s* | rsync.s* | prometheus.s* | cron.s*)
            echo "leaving $unit disabled, as it was before"
            "${as_root[@]}" systemctl -q disable "$unit"
            ;;
    esac
done
