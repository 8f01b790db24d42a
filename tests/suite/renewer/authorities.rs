//! The CA certificates in place: one, or several while a CA is being replaced; and files that
//! others than root can write.

use super::Master;
use crate::ca_files::own_certificate;
use crate::harness::{Ca, is_root, openssl_text};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

/// openssl's SHA-256 of the first certificate in a file, in lower case without colons.
fn fingerprint(file: &Path) -> String {
    let words = format!("x509 -in {} -noout -fingerprint -sha256", file.display());
    let text = openssl_text(Path::new("/"), &words);
    let hex = text.trim().split_once('=').unwrap().1;
    hex.replace(':', "").to_lowercase()
}

fn bundle(cas: &[&Ca]) -> String {
    cas.iter().map(|ca| ca.dir.read("ca.crt")).collect()
}

#[test]
fn answer_of_any_ca_in_the_bundle_is_installed() {
    let (old, new) = (Ca::new(), Ca::with("p384", "-subj /CN=new-ca -days 30"));
    for pem in [bundle(&[&old, &new]), bundle(&[&new, &old])] {
        let master = Master::new();
        master.dir.write("ca.crt", &pem);
        for ca in [&old, &new] {
            master.set_without_ssh(ca, "");
            let said = master.renews(&["--force"]);
            let sha256 = fingerprint(&ca.dir.join("ca.crt"));
            let words = format!(", signed by the CA with the SHA-256 {sha256}\n");
            assert!(said.contains(&words), "{said}");
            // openssl takes all certificates of the file for trusted.
            master.has_a_pair();
            let status = master.status();
            assert_eq!(status["certificate"]["state"], "valid");
            assert_eq!(status["ca"]["sha256"], sha256);
            assert!(master.renews(&[]).starts_with("not due before "));
        }
        assert_eq!(master.dir.read("ca.crt"), pem, "it is never replaced");
    }
}

#[test]
fn answer_of_a_ca_outside_the_bundle_is_refused() {
    let cas = [Ca::new(), Ca::new(), Ca::new()];
    let master = Master::new();
    master.dir.write("ca.crt", bundle(&[&cas[0], &cas[1]]));
    master.set_without_ssh(&cas[2], "");
    let said = master.fails(&[], 65, "is not signed by an installed CA");
    for ca in &cas {
        assert!(
            said.contains(&fingerprint(&ca.dir.join("ca.crt"))),
            "{said}"
        );
    }
    assert!(!master.dir.join("client.crt").exists());
}

#[test]
fn status_shows_every_ca_with_its_end() {
    let cas = [
        Ca::with("p256", "-subj /CN=old -days 10"),
        Ca::with("rsa2048", "-subj /CN=new -days 1000"),
    ];
    let master = Master::new();
    master.dir.write("ca.crt", bundle(&[&cas[0], &cas[1]]));
    master.set_without_ssh(&cas[0], "");
    master.renews(&[]);
    // In the second in which it was made, ten days are left.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let status = master.status();
    let table = String::from_utf8(master.run(&["status"]).stdout).unwrap();
    for (index, (ca, left)) in cas.iter().zip(["9d", "2y"]).enumerate() {
        let sha256 = fingerprint(&ca.dir.join("ca.crt"));
        let words = "x509 -in ca.crt -noout -enddate -dateopt iso_8601";
        let end = openssl_text(ca.dir.path(), words);
        let end = end
            .trim()
            .strip_prefix("notAfter=")
            .unwrap()
            .replace(' ', "T");
        let listed = &status["ca"]["certificates"][index];
        assert_eq!(listed["sha256"], sha256);
        assert_eq!(listed["not_after"], end);
        let place = format!("ca.crt, {} of 2", index + 1);
        let lines: Vec<&str> = table.lines().collect();
        let at = lines.iter().position(|line| line.contains(&place)).unwrap();
        assert!(lines[at].ends_with(left), "{table}");
        assert_eq!(lines[at + 1], format!("SHA-256 {sha256}"));
    }
}

#[test]
fn unusable_ca_in_the_bundle_is_a_warning() {
    let ca = Ca::new();
    let expired = own_certificate(
        ca.dir.path(),
        "basicConstraints=critical,CA:true",
        "20200101000000Z",
        "20210101000000Z",
    );
    let leaf = ca.sign("kubemaster-1", &ca.request("kubemaster-1")).ok();
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned();
    let no_base64 = "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n".to_owned();
    let cut = bundle(&[&ca])[..200].to_owned() + "\n";
    for (other, words) in [
        (String::from_utf8(expired.into()).unwrap(), "it expired at "),
        (
            leaf,
            "ignoring certificate 1 in the file: it is not a CA certificate",
        ),
        (junk, "ignoring certificate 1 in the file: "),
        (
            no_base64,
            "ignoring certificate 1 in the file: malformed PEM",
        ),
        (cut, "ignoring certificate 1 in the file: malformed PEM"),
    ] {
        let master = Master::new();
        master.dir.write("ca.crt", other + &bundle(&[&ca]));
        master.set_without_ssh(&ca, "");
        let output = master.run(&["renew"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains("etcd-client-cert: warning: CA certificate "),
            "{said}"
        );
        assert!(said.contains(words), "{said}");
        let table = String::from_utf8(master.run(&["status"]).stdout).unwrap();
        assert!(table.contains(words), "{table}");
        let warnings = master.status()["warnings"].to_string();
        assert!(warnings.contains(words), "{warnings}");
    }
}

#[test]
fn file_without_one_to_eight_cas_is_refused() {
    let ca = Ca::new();
    let one = bundle(&[&ca]);
    for (pem, words) in [
        (String::new(), "it contains 0 certificates"),
        (one.repeat(9), "it contains 9 certificates"),
        (
            one.clone() + &"# x\n".repeat(20_000),
            "it contains more than 64 KiB",
        ),
        (ca.dir.read("ca.key"), "it contains 0 certificates"),
    ] {
        let master = Master::new();
        master.dir.write("ca.crt", pem);
        master.set_without_ssh(&ca, "");
        let said = master.fails(&[], 78, words);
        assert!(
            said.contains("it must contain one to eight CERTIFICATE PEM blocks"),
            "{said}"
        );
        assert_eq!(master.requests(), 0);
    }
    let master = Master::new();
    master.dir.write("ca.crt", &one[..200]);
    master.set_without_ssh(&ca, "");
    master.fails(&[], 78, "malformed PEM");
    assert_eq!(master.requests(), 0);
    let master = Master::new();
    master.dir.write("ca.crt", one.repeat(8));
    master.set_without_ssh(&ca, "");
    master.renews(&[]);
}

#[test]
fn pinned_ca_must_be_in_the_bundle() {
    let (old, new, other) = (Ca::new(), Ca::new(), Ca::new());
    let master = Master::new();
    master.dir.write("ca.crt", bundle(&[&old, &new]));
    let pin = |ca: &Ca| format!("ca_fingerprint = {:?}", fingerprint(&ca.dir.join("ca.crt")));
    for pinned in [&old, &new] {
        master.set_without_ssh(&new, &pin(pinned));
        master.renews(&["--force"]);
        master.has_a_pair();
    }
    master.set_without_ssh(&new, &pin(&other));
    let said = master.fails(&["--force"], 78, "but ca_fingerprint in the settings is ");
    for ca in [&old, &new, &other] {
        assert!(
            said.contains(&fingerprint(&ca.dir.join("ca.crt"))),
            "{said}"
        );
    }
}

/// /etc/kubernetes is another user's (kubespray's), or its group can write it: who owns it can
/// replace kube-apiserver's own files. The settings stay strict.
#[test]
fn directory_of_another_owner_is_a_warning() {
    if !is_root("files of other owners") {
        return;
    }
    let ca = Ca::new();
    let master = Master::new();
    let pki = master.dir.join("pki");
    fs::create_dir(&pki).unwrap();
    let settings = |master: &Master| {
        master.set_without_ssh(&ca, "");
        let text = master.dir.read("config.toml");
        let dir = master.dir.path().display().to_string();
        let text = ["ca.crt", "client.crt", "client.key"]
            .iter()
            .fold(text, |text, name| {
                text.replace(&format!("{dir}/{name}"), &format!("{dir}/pki/{name}"))
            });
        master.dir.write("config.toml", text);
    };
    settings(&master);
    master.renews(&[]);
    for (change, words) in [
        ("owner", "belongs to user 12345"),
        ("mode", "can be written by its group or others (mode 0775)"),
    ] {
        match change {
            "owner" => chown(&pki, Some(12345), None).unwrap(),
            _ => {
                chown(&pki, Some(0), None).unwrap();
                fs::set_permissions(&pki, Permissions::from_mode(0o775)).unwrap();
            }
        }
        let output = master.run(&["renew", "--force"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        for file in ["CA certificate", "certificate", "key"] {
            let warned = said.lines().any(|line| {
                line.starts_with(&format!("etcd-client-cert: warning: {file} "))
                    && line.contains(words)
            });
            assert!(warned, "{file}: {said}");
        }
        let table = String::from_utf8(master.run(&["status"]).stdout).unwrap();
        assert!(
            table.contains("warning: key ") && table.contains(words),
            "{table}"
        );
        // A run that has nothing to do says nothing of it.
        let output = master.run(&["renew"]);
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{output:?}"
        );
    }
    fs::set_permissions(
        master.dir.join("config.toml"),
        Permissions::from_mode(0o664),
    )
    .unwrap();
    master.fails(&["--force"], 77, "settings ");
}
