//! From nothing to a certificate, over a real sshd.

use super::Master;
use crate::ca_files::own_certificate;
use crate::harness::{Ca, Dir, Login, Sshd, key_words, openssl, openssl_text, run};
use crate::used_by::{Etcd, forced_command};
use std::process::Command;

#[test]
fn first_run_creates_key_and_gets_certificates() {
    let ca = Ca::new();
    let etcd = Etcd::start(&ca);
    ca.set(&format!("etcd_endpoints = [{:?}]", etcd.endpoint));
    let sshd = Sshd::start(Login::ForceCommand, &forced_command(&ca));
    let master = Master::new();
    // etcd is up when this has an answer.
    let nobody = Dir::new();
    nobody.write("client.crt", "");
    etcd.ctl(&nobody, &["version"]);
    let identity = format!("identity = {:?}", sshd.dir.join("client"));
    master.set(&[sshd.place()], &identity);
    let said = master.renews(&[]);
    assert!(said.contains("created the key "), "{said}");
    assert!(said.contains("installed the CA certificate of "), "{said}");
    let renewed = format!("renewed by {}: ", sshd.place());
    assert!(said.contains(&renewed), "{said}");

    assert_eq!(master.read("ca.crt"), ca.dir.read("ca.crt").as_bytes());
    master.has_a_pair();
    assert_eq!(
        (master.mode("client.key"), master.mode("client.crt")),
        (0o400, 0o644)
    );
    let put = etcd.ctl(&master.dir, &["put", "key", "value"]);
    assert_eq!(String::from_utf8_lossy(&put.stdout), "OK\n", "{put:?}");

    // The members are remembered, with the account and port of the signer.
    let status = master.status();
    let host = sshd.place();
    assert_eq!(status["members"], serde_json::json!([host]), "{status}");
    assert_eq!(status["last_success"]["signer"], host);
    assert_eq!(status["certificate"]["state"], "valid");

    // The host key was remembered: another one is refused from now on.
    let known = String::from_utf8(master.read("known_hosts")).unwrap();
    let key = sshd.dir.read("host.pub");
    assert!(known.contains(key.split(' ').nth(1).unwrap()), "{known}");
    let impostor = Dir::new();
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(impostor.join("host"))
        .output()
        .unwrap();
    assert!(made.status.success());
    let public = impostor.read("host.pub");
    let place = known.split(' ').next().unwrap();
    master.dir.write("known_hosts", format!("{place} {public}"));
    let before = master.read("client.crt");
    let more = format!("{identity}\nattempts = 1\nuse_members = false");
    master.set(&[sshd.place()], &more);
    master.fails(&["--force"], 69, "Host key verification failed");
    assert_eq!(master.read("client.crt"), before);
    // Without a known key, and told not to take a new one, it takes none.
    master.dir.write("known_hosts", "");
    master.set(
        &[sshd.place()],
        &format!("{more}\naccept_new_host_keys = false"),
    );
    master.fails(&["--force"], 69, "Host key verification failed");
    assert_eq!(master.read("known_hosts"), b"");
}

/// Whatever kind of key there is, made here or by openssl or kubeadm, it is used and kept.
#[test]
fn every_key_type_is_created_or_used() {
    for (made, kind) in [(true, "p256"), (true, "p384"), (true, "ed25519")]
        .into_iter()
        .chain(
            ["p256", "p384", "ed25519", "rsa2048", "rsa3072", "rsa4096"].map(|kind| (false, kind)),
        )
    {
        let ca = Ca::new();
        let master = Master::new();
        master.set_without_ssh(
            &ca,
            &if made {
                format!("key_type = \"{kind}\"")
            } else {
                String::new()
            },
        );
        if !made {
            openssl(
                master.dir.path(),
                &format!("{} -out client.key", key_words(kind)),
            );
        }
        let before = (!made).then(|| master.read("client.key"));
        master.renews(&[]);
        master.has_a_pair();
        if let Some(before) = before {
            assert_eq!(master.read("client.key"), before, "{kind}");
        }
        let words = "pkey -in client.key -noout -text";
        let text = openssl_text(master.dir.path(), words);
        let expected = match kind {
            "p256" => "NIST CURVE: P-256",
            "p384" => "NIST CURVE: P-384",
            "ed25519" => "ED25519",
            "rsa2048" => "2048 bit",
            "rsa3072" => "3072 bit",
            _ => "4096 bit",
        };
        assert!(text.contains(expected), "{kind}: {text}");
    }
}

/// kubeadm writes `RSA PRIVATE KEY` and `EC PRIVATE KEY`.
#[test]
fn older_key_encodings_are_used() {
    for (kind, words) in [
        ("rsa2048", "rsa -in new.key -traditional -out client.key"),
        ("p256", "ec -in new.key -out client.key"),
        ("p384", "ec -in new.key -out client.key"),
    ] {
        let ca = Ca::new();
        let master = Master::new();
        master.set_without_ssh(&ca, "");
        openssl(
            master.dir.path(),
            &format!("{} -out new.key", key_words(kind)),
        );
        openssl(master.dir.path(), words);
        let key = String::from_utf8(master.read("client.key")).unwrap();
        assert!(!key.contains("BEGIN PRIVATE KEY"), "{key}");
        master.renews(&[]);
        master.has_a_pair();
        assert_eq!(master.read("client.key"), key.as_bytes());
    }
}

#[test]
fn unusable_key_is_kept_and_reported() {
    let ca = Ca::new();
    let encrypted = "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes256 -pass pass:x -out client.key";
    for (make, words) in [
        (encrypted, "it is encrypted"),
        (
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out client.key",
            "ECDSA on P-521",
        ),
        (
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out client.key",
            "RSA",
        ),
        ("genpkey -algorithm X25519 -out client.key", "X25519"),
        ("rand -out client.key 300", "no private key in PEM"),
    ] {
        let master = Master::new();
        master.set_without_ssh(&ca, "");
        openssl(master.dir.path(), make);
        let before = master.read("client.key");
        master.fails(&[], 78, words);
        master.fails(
            &["--force"],
            78,
            "move it away, and the next run creates a new one",
        );
        assert_eq!(master.read("client.key"), before, "{make}");
        assert_eq!(master.requests(), 0, "{make}");
        assert_eq!(master.status()["certificate"]["state"], "unusable");
    }
}

#[test]
fn ca_other_than_the_pinned_one_is_refused() {
    let (ca, other) = (Ca::new(), Ca::new());
    let fingerprint = |ca: &Ca| {
        let words = "x509 -in ca.crt -noout -fingerprint -sha256";
        let text = openssl_text(ca.dir.path(), words);
        text.trim().split_once('=').unwrap().1.to_owned()
    };
    let master = Master::new();
    let pinned = format!("ca_fingerprint = {:?}", fingerprint(&ca));
    master.set_without_ssh(&other, &pinned);
    let said = master.fails(&[], 65, "its CA certificate has the SHA-256 ");
    let shown = fingerprint(&other).replace(':', "").to_lowercase();
    assert!(said.contains(&shown), "{said}");
    assert!(!master.dir.join("ca.crt").exists() && !master.dir.join("client.crt").exists());

    master.set_without_ssh(&ca, &pinned);
    master.renews(&[]);
    master.has_a_pair();

    // One in place counts as much.
    let pinned = format!("ca_fingerprint = {:?}", fingerprint(&other));
    master.set_without_ssh(&ca, &pinned);
    master.fails(&[], 78, "but ca_fingerprint in the settings is ");
}

#[test]
fn unusable_ca_from_a_signer_is_refused() {
    let ca = Ca::new();
    let leaf = ca.sign("kubemaster-1", &ca.request("kubemaster-1")).ok();
    let expired = own_certificate(
        ca.dir.path(),
        "basicConstraints=critical,CA:true",
        "20200101000000Z",
        "20210101000000Z",
    );
    for (sent, words) in [
        (leaf, "not a CA certificate"),
        (expired, "it expired at "),
        (String::new(), "contains no certificate"),
    ] {
        let master = Master::new();
        let file = master.dir.write("sent", sent);
        let ssh = master.script("ssh", &format!("#!/bin/sh\ncat {}\n", file.display()));
        master.set(&["leader".to_owned()], &format!("ssh = {ssh:?}"));
        master.fails(&[], 65, words);
        assert!(!master.dir.join("ca.crt").exists());
    }
}

/// The lines of an operator who installs nothing: the same files, with ssh, openssl and base64.
#[test]
fn three_ssh_commands_do_without_the_renewer() {
    let ca = Ca::new();
    let sshd = Sshd::start(Login::ForceCommand, &forced_command(&ca));
    let master = Master::new();
    master.set(&[], "");
    let page = std::fs::read_to_string(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/MASTERS.md"),
    )
    .unwrap();
    let lines: String = page
        .split("<!-- plain lines -->")
        .nth(1)
        .expect("the plain lines in docs/MASTERS.md")
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(lines.contains("ssh signer@leader"), "{lines}");
    let output = sshd.shell(&master.dir, &lines, &[("HOSTNAME", "kubemaster-1")]);
    assert!(output.status.success(), "{output:?}");
    master.has_a_pair();
    // This program takes over from there, and finds nothing to do.
    let said = master.renews(&[]);
    assert!(said.starts_with("not due before "), "{said}");
}

#[test]
fn usage_error_is_one_line() {
    for arguments in [&[][..], &["renew", "now"], &["sign"], &["status", "--yaml"]] {
        let output = run(Command::new(crate::client_path()).args(arguments), b"");
        super::fails(&output, 64, "usage: ");
        assert!(output.stdout.is_empty());
    }
    let output = run(Command::new(crate::client_path()).arg("--version"), b"");
    let version = format!("etcd-client-cert {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), version);
}
