//! `ca backup` and `ca restore`: the CA comes back whole, from an encrypted file that age itself
//! reads and writes.

use crate::harness::{Answer, Ca, answer, openssl, run};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

fn signer(arguments: &[&str], more: &[&Path]) -> Answer {
    let mut command = Command::new(crate::signer_path());
    command.args(arguments).args(more).env_clear();
    let output = command.stdin(Stdio::null()).output().unwrap();
    answer(&output)
}

fn backup(ca: &Ca, file: &Path, recipient: &str) -> Answer {
    signer(
        &["ca", "backup", "--recipient", recipient, "--config"],
        &[&ca.settings(), file],
    )
}

fn restore(file: &Path, identity: &Path, directory: &Path) -> Answer {
    signer(
        &["ca", "restore"],
        &[
            Path::new("--identity"),
            identity,
            Path::new("--directory"),
            directory,
            file,
        ],
    )
}

/// An age key in a file, and its public half.
fn identity(ca: &Ca, name: &str) -> (std::path::PathBuf, String) {
    let path = ca.dir.join(name);
    let made = run(Command::new("age-keygen").arg("-o").arg(&path), b"");
    assert!(made.status.success(), "{made:?}");
    let public = run(Command::new("age-keygen").arg("-y").arg(&path), b"");
    (
        path,
        String::from_utf8(public.stdout).unwrap().trim().to_owned(),
    )
}

/// What openssl says that a private key is, whatever its form.
fn key_in(dir: &Path, file: &Path) -> Vec<u8> {
    openssl(dir, &format!("pkey -in {} -outform DER", file.display()))
}

#[track_caller]
fn fails(answer: &Answer, code: i32, words: &str) {
    assert_eq!(
        (answer.code, answer.stdout.as_str()),
        (Some(code), ""),
        "{answer:?}"
    );
    assert!(answer.stderr.contains(words), "no «{words}»: {answer:?}");
    let last = answer.stderr.lines().last().unwrap();
    assert!(last.starts_with("etcd-signer: "), "{answer:?}");
}

#[test]
fn backup_is_restored_whole() {
    for kind in ["p256", "p384", "rsa2048", "ed25519"] {
        let ca = Ca::of_kind(kind);
        let (identity, recipient) = identity(&ca, "identity");
        let file = ca.dir.join("ca.age");
        assert!(backup(&ca, &file, &recipient).ok().contains("encrypted"));
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o400);

        let restored = ca.dir.join("pki");
        restore(&file, &identity, &restored).ok();
        let mode = |name: &str| fs::metadata(restored.join(name)).unwrap().mode() & 0o7777;
        assert_eq!((mode("ca.key"), mode("ca.crt")), (0o400, 0o444));
        let dir = ca.dir.path();
        assert_eq!(
            key_in(dir, &restored.join("ca.key")),
            key_in(dir, &ca.dir.join("ca.key"))
        );
        assert_eq!(
            openssl(dir, "x509 -in pki/ca.crt -outform DER"),
            openssl(dir, "x509 -in ca.crt -outform DER")
        );
        // And it signs.
        fs::write(
            ca.settings(),
            format!(
                "ca_certificate = \"{0}/ca.crt\"\nca_key = \"{0}/ca.key\"\n",
                restored.display()
            ),
        )
        .unwrap();
        ca.verifies(&ca.sign("kubemaster-1", &ca.request("kubemaster-1")).ok());
    }
}

#[test]
fn backup_is_exchanged_with_age() {
    let ca = Ca::new();
    let (identity, recipient) = identity(&ca, "identity");
    let file = ca.dir.join("ca.age");
    backup(&ca, &file, &recipient).ok();
    let shown = run(
        Command::new("age")
            .arg("-d")
            .arg("-i")
            .arg(&identity)
            .arg(&file),
        b"",
    );
    let text = String::from_utf8(shown.stdout).unwrap();
    let certificate = ca.dir.read("ca.crt");
    assert!(text.ends_with(&certificate), "{text}");
    assert!(text.starts_with("-----BEGIN PRIVATE KEY-----\n"), "{text}");

    // The other way round, the certificate first, and in age's binary form.
    let bundle = ca
        .dir
        .write("bundle", [certificate, ca.dir.read("ca.key")].concat());
    let by_hand = ca.dir.join("by-hand.age");
    let made = run(
        Command::new("age")
            .args(["-r", &recipient, "-o"])
            .arg(&by_hand)
            .arg(bundle),
        b"",
    );
    assert!(made.status.success());
    restore(&by_hand, &identity, &ca.dir.join("pki")).ok();
    assert_eq!(
        key_in(ca.dir.path(), &ca.dir.join("pki/ca.key")),
        key_in(ca.dir.path(), &ca.dir.join("ca.key"))
    );
}

/// With a terminal, which age asks for the passphrase on.
#[test]
fn passphrase_is_read_from_the_terminal() {
    let ca = Ca::new();
    let on_a_terminal = |arguments: String, typed: &str| {
        let line = format!("{} ca {arguments}", crate::signer_path().display());
        let script = "import os, pty, sys, time\n\
            line, typed = sys.argv[1:]\n\
            pid, fd = pty.fork()\n\
            if pid == 0:\n    os.execvp('sh', ['sh', '-c', 'exec ' + line])\n\
            seen, asked = b'', 0\n\
            while True:\n    try:\n        data = os.read(fd, 1000)\n    except OSError:\n        break\n    \
            if not data:\n        break\n    seen += data\n    \
            if seen.count(b'assphrase') > asked and seen.rstrip().endswith((b':', b'):')):\n        \
            asked = seen.count(b'assphrase')\n        os.write(fd, typed.encode() + b'\\n')\n\
            sys.stdout.buffer.write(seen)\n\
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n";
        run(
            Command::new("python3").args(["-c", script, &line, typed]),
            b"",
        )
    };
    let (file, pki) = (ca.dir.join("ca.age"), ca.dir.join("pki"));
    let saved = on_a_terminal(
        format!(
            "backup --config {} {}",
            ca.settings().display(),
            file.display()
        ),
        "a phrase for this test",
    );
    assert!(saved.status.success(), "{saved:?}");
    let command = format!("restore --directory {} {}", pki.display(), file.display());
    let wrong = on_a_terminal(command.clone(), "another phrase");
    assert_eq!(wrong.status.code(), Some(65), "{wrong:?}");
    assert!(!pki.exists());
    let restored = on_a_terminal(command, "a phrase for this test");
    assert!(restored.status.success(), "{restored:?}");
    assert_eq!(
        key_in(ca.dir.path(), &pki.join("ca.key")),
        key_in(ca.dir.path(), &ca.dir.join("ca.key"))
    );
}

#[test]
fn existing_file_is_not_overwritten_by_backup_or_restore() {
    let ca = Ca::new();
    let (identity, recipient) = identity(&ca, "identity");
    let file = ca.dir.join("ca.age");
    backup(&ca, &file, &recipient).ok();
    let first = fs::read(&file).unwrap();
    fails(&backup(&ca, &file, &recipient), 78, "already exists");
    assert_eq!(fs::read(&file).unwrap(), first);

    // A member has the certificate already; another CA's stays as it is.
    let pki = ca.dir.join("pki");
    fs::create_dir(&pki).unwrap();
    fs::copy(ca.dir.join("ca.crt"), pki.join("ca.crt")).unwrap();
    restore(&file, &identity, &pki).ok();
    fails(&restore(&file, &identity, &pki), 78, "already exists");
    let elsewhere = ca.dir.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let others = Ca::new();
    fs::copy(others.dir.join("ca.crt"), elsewhere.join("ca.crt")).unwrap();
    fails(
        &restore(&file, &identity, &elsewhere),
        78,
        "the certificate of another CA",
    );
    let names: Vec<_> = fs::read_dir(&elsewhere)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["ca.crt"], "nothing but what was there");
}

#[test]
fn damaged_or_foreign_backup_is_refused() {
    let ca = Ca::new();
    let (identity_file, recipient) = identity(&ca, "identity");
    let (stranger, _) = identity(&ca, "stranger");
    let file = ca.dir.join("ca.age");
    backup(&ca, &file, &recipient).ok();
    let whole = fs::read(&file).unwrap();
    let pki = ca.dir.join("pki");
    let refused = |file: &Path, identity: &Path| {
        fails(&restore(file, identity, &pki), 65, "age failed");
        assert!(!pki.exists());
    };
    refused(&file, &stranger);
    refused(&ca.dir.join("not-there"), &identity_file);
    refused(
        &ca.dir.write("cut", &whole[..whole.len() / 2]),
        &identity_file,
    );
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] = if flipped[middle] == b'A' { b'B' } else { b'A' };
    refused(&ca.dir.write("flipped", flipped), &identity_file);

    // Encrypted well, but no CA.
    let others = Ca::new();
    for (words, bundle) in [
        (
            "does not belong",
            others.dir.read("ca.key") + &ca.dir.read("ca.crt"),
        ),
        ("no certificate", ca.dir.read("ca.key")),
        ("no private key in PEM", ca.dir.read("ca.crt")),
        ("no certificate", "nothing of it\n".to_owned()),
    ] {
        let mut age = Command::new("age");
        let made = run(age.args(["-r", &recipient]), bundle.as_bytes());
        let file = ca.dir.write("other.age", made.stdout);
        fails(&restore(&file, &identity_file, &pki), 78, words);
        assert!(!pki.exists());
    }
    // Nor is a pair that does not fit saved.
    ca.replace("ca.key", others.dir.read("ca.key"), 0o400);
    let none = ca.dir.join("none.age");
    fails(&backup(&ca, &none, &recipient), 78, "does not belong");
    let answer = backup(&others, &none, "age1nonsense");
    fails(&answer, 65, "age failed");
    assert!(!none.exists());
}
