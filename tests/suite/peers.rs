//! `get-peers`: what it answers, and what it says of every server that it cannot use.

mod cluster;
mod hostile;
pub(crate) mod key;
mod pki;
mod real;
mod servers;

pub(crate) use cluster::{address, version};
use pki::Pki;
use std::fs;
use std::process::{Command, Output};

/// Runs `get-peers` with these endpoints. It may take two seconds; one that hangs is killed.
fn get_peers(pki: &Pki, endpoints: &[&str]) -> Output {
    let signer = signer(pki, endpoints, "get-peers");
    Command::new("timeout")
        .args(["--signal=KILL", "30"])
        .arg(signer.get_program())
        .args(signer.get_args())
        .env("SSH_ORIGINAL_COMMAND", "get-peers")
        .output()
        .unwrap()
}

fn signer(pki: &Pki, endpoints: &[&str], command: &str) -> Command {
    let settings = pki.path("config.toml");
    fs::write(
        &settings,
        format!(
            "ca_certificate = {:?}\nca_key = {:?}\netcd_endpoints = {endpoints:?}\n\
             etcd_timeout = \"2s\"\n",
            pki.certificate(),
            pki.path("ca.key")
        ),
    )
    .unwrap();
    let mut signer = Command::new(crate::signer_path());
    signer
        .args(["serve", "--config"])
        .arg(settings)
        .env("SSH_ORIGINAL_COMMAND", command);
    signer
}

/// Exactly these lines are the answer.
fn answers(output: &Output, lines: &str) {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stdout, lines, "{stderr}");
    assert_eq!((stderr.as_ref(), output.status.code()), ("", Some(0)));
}

/// There is no answer, and one line of printable ASCII says why; it has all of these parts.
fn fails(output: &Output, parts: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(69), "{stderr}");
    assert!(output.stdout.is_empty(), "{:?}", output.stdout);
    let line = stderr.strip_suffix("]\n").unwrap();
    assert!(
        line.bytes().all(|byte| matches!(byte, b' '..=b'~')),
        "{line:?}"
    );
    assert!(line.len() < 2000, "{line}");
    assert!(
        line.starts_with("etcd-signer: no member list from etcd: https://"),
        "{line}"
    );
    for part in parts {
        assert!(line.contains(part), "{part:?} is not in: {line}");
    }
}
