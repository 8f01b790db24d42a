//! `etcd-signer-setup`, as far as it goes without a host of its own: what it refuses, and what an
//! interrupted run leaves. The rest is in `tests/hosts`.

use crate::harness::{Dir, in_namespace, is_root, run};
use std::process::{Command, Output};

fn program() -> std::path::PathBuf {
    crate::signer_path().with_file_name("etcd-signer-setup")
}

fn setup(arguments: &[&str]) -> Output {
    let mut command = Command::new(program());
    run(command.args(arguments), b"")
}

#[test]
fn wrong_arguments_are_one_line_and_64() {
    for (arguments, words) in [
        (&[][..], "no command was given"),
        (&["join"], "--signer-ip <ADDRESS>"),
        (
            &["join", "--signer-ip", "leader"],
            "it must be an IP address",
        ),
        (&["init", "--force"], "unexpected argument '--force'"),
        (
            &["init", "--name", "kubemaster-1"],
            "cannot be a member's name",
        ),
        (
            &["join", "--signer-ip=10.0.0.1", "--admin=-oProxyCommand=x@y"],
            "it must be USER@HOST",
        ),
        (&["leave", "--identity", "x"], "--ca-backup"),
    ] {
        let output = setup(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {said}");
        assert!(said.starts_with("etcd-signer-setup: usage: "), "{said}");
        assert!(said.contains(words) && said.lines().count() == 1, "{said}");
        assert!(output.stdout.is_empty());
    }
}

/// A host in namespaces of its own, with the package's programs, an address, and a journal that a
/// run of long ago has left. Prints what the next run says, then what is left.
const HOST: &str = r#"
set -eu
ip link add eth7 type veth peer name eth8
ip addr add 10.9.9.1/24 dev eth7
ip link set lo up
ip link set eth7 up
mount -t tmpfs tmpfs /mnt
for folder in /etc /var/lib /var/log /usr/sbin; do
    mkdir -p /mnt$folder/upper /mnt$folder/work
    mount -t overlay overlay -o lowerdir=$folder,upperdir=/mnt$folder/upper,workdir=/mnt$folder/work $folder
done
cp "$1/etcd-signer" "$1/etcd-signer-setup" "$2/etcd-signer-endpoint" "$2/etcd-signer-lock" /usr/sbin/
state=/var/lib/etcd-signer
mkdir -p /etc/etcd/pki $state /var/lib/etcd/cluster/member
echo precious >/etc/etcd/pki/ca.key
echo public >/etc/etcd/pki/ca.crt
echo data >/var/lib/etcd/cluster/member/db
echo member >/etc/etcd/pki/member.key
printf '%s\n' 'folder /etc/etcd' 'folder /etc/etcd/pki' 'file /etc/etcd/pki/ca.crt' \
    'file /etc/etcd/pki/ca.key' 'file /etc/etcd/pki/member.key' 'data /var/lib/etcd/cluster' >$state/first-boot.undo
printf 'file /etc/pass' >>$state/first-boot.undo
code=0
etcd-signer-setup join --signer-ip=10.9.9.99 --address=10.9.9.1 --name=n2 2>&1 || code=$?
echo "exit $code"
cat $state/aside/ca.key.* $state/aside/ca.crt.* $state/aside/cluster.*/member/db
stat -c 'aside %a' $state/aside
for path in /etc/etcd /var/lib/etcd/cluster $state/first-boot.undo; do [ ! -e $path ] || echo "left: $path"; done
[ -e /etc/passwd ] || echo "the truncated line was acted on"
echo 'format /dev/sda' >$state/first-boot.undo
etcd-signer-setup init --name=n2 2>&1 || echo "exit $?"
cat $state/first-boot.undo
"#;

#[test]
fn run_of_long_ago_takes_no_ca_key_and_no_data() {
    if !is_root("setup after an interrupted run, in namespaces of its own") {
        return;
    }
    let dir = Dir::new();
    let mut command = in_namespace(&dir, false, "unshare");
    let programs = program();
    command
        .args(["--net", "bash", "-c", HOST, "bash"])
        .arg(programs.parent().unwrap())
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/etcd-signer"));
    let output = run(&mut command, b"");
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    let has = |line: &str| assert!(said.lines().any(|l| l == line), "«{line}» in {said}");
    for line in ["precious", "public", "data", "aside 700", "exit 1"] {
        has(line);
    }
    assert!(said.contains("moved aside, to "), "{said}");
    assert!(said.contains("signer@10.9.9.99"), "{said}");
    assert!(
        !said.contains("left: ") && !said.contains("acted on"),
        "{said}"
    );
    // A journal of another version is not guessed at, and stays.
    assert!(said.contains("an unknown line (format /dev/sda)"), "{said}");
    has("format /dev/sda");
}
