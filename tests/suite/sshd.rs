//! The endpoint behind the real sshd, with the drop-in and the account of `deploy/etcd-signer/`.
//!
//! The rows are a shell script's, because they are what a person at a shell would try. It
//! works in namespaces of its own, and needs root for them.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command};

/// A script that is running, with everything that it started.
struct Script(Child);

impl Script {
    fn start(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/suite/sshd")
            .join(name);
        // Its table goes past the test's own capture, so that it is seen when all is well too.
        // The script is killed should this process be, and its namespace with it.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "bash"])
            .arg(path)
            .env("SIGNER", crate::signer_path())
            .env("CLIENT_CERT", crate::client_path())
            .process_group(0);
        // A release is static; what `cargo test` alone builds is not, and the script says so.
        if std::env::var_os("ETCD_SIGNER").is_some() {
            command.env("REQUIRE_STATIC", "1");
        }
        Self(command.spawn().unwrap())
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn attack_through_sshd_gets_nothing() {
    if crate::harness::is_root("attacks through sshd, in namespaces of their own") {
        let mut script = Script::start("attacks.sh");
        assert!(script.0.wait().unwrap().success(), "see the table above");
    }
}

#[test]
fn check_and_endpoint_know_hardened_hosts() {
    if crate::harness::is_root("logins through sshd, in namespaces of their own") {
        let mut script = Script::start("login.sh");
        assert!(script.0.wait().unwrap().success(), "see the table above");
    }
}

/// What must hold for the account however the client logs in is the same in both files.
#[test]
fn both_drop_ins_close_the_account_alike() {
    let closing = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("deploy/etcd-signer/sshd")
            .join(name);
        let text = std::fs::read_to_string(path).unwrap();
        text.split_once("\nMatch User signer\n")
            .unwrap()
            .1
            .to_owned()
    };
    assert_eq!(
        closing("00-etcd-signer.conf"),
        closing("00-etcd-signer-keys.conf")
    );
}

/// OpenSSH's own settings for everybody are in the one file that is optional.
#[test]
fn drop_in_affects_the_account_only() {
    for name in ["00-etcd-signer.conf", "00-etcd-signer-keys.conf"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("deploy/etcd-signer/sshd")
            .join(name);
        let text = std::fs::read_to_string(path).unwrap();
        let (global, _) = text.split_once("\nMatch ").unwrap();
        for line in global.lines() {
            assert!(line.is_empty() || line.starts_with('#'), "{name}: {line}");
        }
        for line in text.lines().filter(|line| line.starts_with("Match ")) {
            assert!(line.starts_with("Match User signer"), "{name}: {line}");
        }
    }
}

/// Every directive has a comment right above it, and nothing is opened but to an address.
#[test]
fn directive_of_a_drop_in_says_what_it_prevents() {
    for name in ["00-etcd-signer.conf", "00-etcd-signer-keys.conf"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("deploy/etcd-signer/sshd")
            .join(name);
        let text = std::fs::read_to_string(path).unwrap();
        let mut explained = false;
        for line in text.lines().map(str::trim) {
            match line {
                "" => explained = false,
                _ if line.starts_with('#') => explained = true,
                _ => assert!(explained, "{name}: {line}"),
            }
        }
        assert!(text.contains("Match User signer Address 192.0.2.0/24,2001:db8::/32\n"));
    }
}
