//! `ca init`: both files whole, or neither; nothing is overwritten.

use crate::harness::{Answer, Ca, Dir, answer, openssl_text, run};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

fn init(directory: &Path, arguments: &[&str]) -> Answer {
    let mut command = Command::new(crate::signer_path());
    command
        .args(["ca", "init", "--directory"])
        .arg(directory)
        .args(arguments);
    answer(&run(&mut command, b""))
}

#[track_caller]
fn fails(answer: &Answer, code: i32, words: &str) {
    assert_eq!(
        (answer.code, answer.stdout.as_str()),
        (Some(code), ""),
        "{answer:?}"
    );
    assert!(
        answer.stderr.starts_with("etcd-signer: CA not created: "),
        "{answer:?}"
    );
    assert!(answer.stderr.contains(words), "{answer:?}");
    assert_eq!(answer.stderr.lines().count(), 1, "{answer:?}");
}

fn entries(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn new_ca_is_accepted_by_openssl_and_the_signer() {
    for (arguments, key) in [
        (vec![], "NIST CURVE: P-256"),
        (vec!["--key-type", "p384"], "NIST CURVE: P-384"),
        (vec!["--key-type", "ed25519"], "ED25519 Public-Key:"),
    ] {
        let ca = Ca::new();
        let pki = ca.dir.join("pki");
        let told = init(&pki, &arguments).ok();
        assert!(told.contains("ca.key") && told.contains("There is no other copy"));
        assert_eq!(entries(&pki), ["ca.crt", "ca.key"]);
        let mode = |name: &str| fs::metadata(pki.join(name)).unwrap().mode() & 0o7777;
        assert_eq!((mode("ca.key"), mode("ca.crt")), (0o400, 0o444));

        let text = openssl_text(&pki, "x509 -in ca.crt -noout -text");
        for part in [
            key,
            "Version: 3 (0x2)",
            "Subject: CN = etcd-ca",
            "X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:0",
            "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign",
            "X509v3 Subject Key Identifier",
        ] {
            assert!(text.contains(part), "no {part}: {text}");
        }
        assert_eq!(crate::profile::lifetime(&pki, "ca.crt"), 3650 * 86_400);
        for name in ["ca.key", "ca.crt"] {
            fs::remove_file(ca.dir.join(name)).unwrap();
            fs::rename(pki.join(name), ca.dir.join(name)).unwrap();
        }
        ca.verifies(&ca.sign("kubemaster-1", &ca.request("kubemaster-1")).ok());
    }
}

#[test]
fn new_ca_has_the_chosen_name_and_lifetime() {
    let dir = Dir::new();
    init(dir.path(), &["--common-name", "caf\u{e9}", "--days", "7"]).ok();
    let text = openssl_text(
        dir.path(),
        "x509 -in ca.crt -noout -subject -nameopt utf8,sep_comma_plus_space",
    );
    assert!(text.contains("caf\u{e9}"), "{text}");
    assert_eq!(crate::profile::lifetime(dir.path(), "ca.crt"), 7 * 86_400);
}

#[test]
fn strict_umask_leaves_the_ca_readable_for_the_account() {
    let dir = Dir::new();
    let line = format!(
        "umask 0777; exec {:?} ca init --directory a/b",
        crate::signer_path()
    );
    let output = Command::new("sh")
        .args(["-c", &line])
        .current_dir(dir.path())
        .output()
        .unwrap();
    answer(&output).ok();
    let mode = |name: &str| fs::metadata(dir.join(name)).unwrap().mode() & 0o7777;
    assert_eq!([mode("a"), mode("a/b")], [0o755, 0o755]);
    assert_eq!([mode("a/b/ca.key"), mode("a/b/ca.crt")], [0o400, 0o444]);
}

#[test]
fn existing_ca_file_is_not_overwritten() {
    for name in ["ca.key", "ca.crt"] {
        let dir = Dir::new();
        dir.write(name, "precious");
        fails(
            &init(dir.path(), &[]),
            78,
            &format!("{name} already exists"),
        );
        assert_eq!(entries(dir.path()), [name]);
        assert_eq!(dir.read(name), "precious");
    }
    // A link to nowhere is there, too.
    let dir = Dir::new();
    std::os::unix::fs::symlink("/nonexistent", dir.join("ca.crt")).unwrap();
    fails(&init(dir.path(), &[]), 78, "ca.crt already exists");
    assert_eq!(entries(dir.path()), ["ca.crt"]);
}

#[test]
fn concurrent_inits_make_one_ca() {
    let dir = Dir::new();
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| init(dir.path(), &[])))
            .collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let made = answers.iter().filter(|one| one.code == Some(0)).count();
    assert_eq!(made, 1, "{answers:?}");
    assert_eq!(entries(dir.path()), ["ca.crt", "ca.key"]);
    let public = |words: &str| openssl_text(dir.path(), words);
    assert_eq!(
        public("x509 -in ca.crt -noout -pubkey"),
        public("pkey -in ca.key -pubout")
    );
}

#[test]
fn unwritable_directory_is_left_unchanged() {
    let dir = Dir::new();
    dir.write("file", "");
    fails(&init(&dir.join("file/pki"), &[]), 74, "Not a directory");
    let command = Command::new(crate::signer_path())
        .args(["ca", "init", "--directory", "/proc/pki"])
        .output();
    fails(&answer(&command.unwrap()), 74, "/proc/pki");
    if !rustix::process::geteuid().is_root() {
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o500)).unwrap();
        fails(&init(dir.path(), &[]), 74, "Permission denied");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    }
    assert_eq!(entries(dir.path()), ["file"]);
}

#[test]
fn unusable_common_name_is_refused() {
    let dir = Dir::new();
    for name in ["", "a\nb", &"x".repeat(65)] {
        fails(
            &init(dir.path(), &["--common-name", name]),
            78,
            "1 to 64 printable characters",
        );
    }
    assert!(entries(dir.path()).is_empty());
}
