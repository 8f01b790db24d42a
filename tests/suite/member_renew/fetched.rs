//! What is published for a member and not taken; and the file that is replaced.

use super::bed::{Bed, DUE, Days, FRESH, MEMBER};
use crate::harness::{Answer, is_root, openssl, run};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::process::Command;

/// Longer than what is in place.
const LONGER: Days = Days(-1, 89);

/// What `member renew` would issue, but for what a test changes.
fn made(bed: &Bed, change: impl FnOnce(String) -> String, name: &str, validity: Days) -> String {
    let extensions = change(format!(
        "{}\nbasicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n\
         subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid",
        bed.names(0)
    ));
    bed.certificate_by("ca", "m0", name, &extensions, validity)
}

#[track_caller]
fn not_taken(bed: &Bed, words: &str) {
    let before = fs::read(bed.certificate(0)).unwrap();
    let answer = bed.fetch(0, &[]);
    assert_eq!(
        (answer.code, answer.stdout.as_str()),
        (Some(65), ""),
        "{answer:?}"
    );
    assert_eq!(answer.stderr.lines().count(), 1, "{answer:?}");
    assert!(
        answer
            .stderr
            .starts_with("etcd-signer: published certificate /etcd-signer/member/"),
        "{answer:?}"
    );
    assert!(answer.stderr.contains(words), "no «{words}» in {answer:?}");
    assert_eq!(fs::read(bed.certificate(0)).unwrap(), before);
}

#[test]
fn only_a_successor_for_this_key_and_these_names_is_taken() {
    let bed = Bed::start(&[DUE]);
    let same = |text: String| text;
    let good = made(&bed, same, "etcd-member", LONGER);

    // Nonsense of every kind.
    bed.publish(0, "nonsense");
    not_taken(&bed, "not one whole certificate in PEM");
    bed.publish(0, &good[..good.len() / 2]);
    not_taken(&bed, "not one whole certificate in PEM");
    bed.publish(0, format!("{good}{good}"));
    not_taken(&bed, "not one whole certificate in PEM");
    bed.publish(0, format!("{good}{}", "x\n".repeat(10_000)));
    not_taken(&bed, "larger than 16384 bytes");
    bed.publish(0, [b'x'; 1_000_000]);
    not_taken(&bed, "larger than 16384 bytes");

    // Certificates of this CA, and another one's.
    bed.publish(0, made(&bed, same, "etcd-member", Days(-80, -1)));
    not_taken(&bed, "validity");
    bed.publish(0, made(&bed, same, "etcd-member", Days(1, 90)));
    not_taken(&bed, "validity");
    bed.publish(0, made(&bed, same, "etcd-member", Days(-1, 900)));
    not_taken(&bed, "validity");
    bed.publish(0, made(&bed, same, "etcd-member", Days(-1, 10)));
    not_taken(&bed, "does not end later");
    bed.publish(0, made(&bed, same, "kubemaster-1", LONGER));
    not_taken(&bed, "subject");
    let more = |text: String| text.replace("IP:127.0.0.1", "IP:127.0.0.1,IP:192.0.2.66");
    bed.publish(0, made(&bed, more, "etcd-member", LONGER));
    not_taken(&bed, "subjectAltName");
    let fewer = |text: String| text.replace(",IP:127.0.0.1", "");
    bed.publish(0, made(&bed, fewer, "etcd-member", LONGER));
    not_taken(&bed, "subjectAltName");
    let authority = |text: String| {
        text.replace("CA:FALSE", "CA:TRUE")
            .replace("digitalSignature", "digitalSignature,keyCertSign")
    };
    bed.publish(0, made(&bed, authority, "etcd-member", LONGER));
    not_taken(&bed, "basicConstraints");
    let client = |text: String| text.replace("serverAuth,", "");
    bed.publish(0, made(&bed, client, "etcd-member", LONGER));
    not_taken(&bed, "extendedKeyUsage");
    bed.publish(0, bed.ca.dir.read("ca.crt"));
    not_taken(&bed, "issue for this member");
    bed.new_key_file("other");
    let names = bed.names(0);
    bed.publish(
        0,
        bed.certificate_by("ca", "other", "etcd-member", &names, LONGER),
    );
    not_taken(&bed, "subjectPublicKeyInfo");
    openssl(
        bed.ca.dir.path(),
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout twin.key -out \
         twin.crt -subj /CN=etcd-ca -days 99",
    );
    bed.publish(
        0,
        bed.certificate_by("twin", "m0", "etcd-member", &names, LONGER),
    );
    not_taken(&bed, "its signature does not verify");

    // A signer puts a good one in the place of each of them.
    assert!(bed.renew(&[]).ok().contains(": renewed; "));
    assert!(bed.fetch(0, &[]).ok().starts_with("replaced"));

    // With the same extensions and nothing changed, one of openssl's would have been taken.
    bed.certify("m0", "etcd-member", &names, DUE);
    bed.publish(0, &good);
    assert!(bed.fetch(0, &[]).ok().starts_with("replaced"));
    assert_eq!(MEMBER, "extendedKeyUsage=serverAuth,clientAuth");
}

/// etcdctl does not send so much; the JSON gateway does.
#[test]
fn ten_mebibytes_are_not_taken_and_are_overwritten() {
    let bed = Bed::start_with(&[DUE], &["--max-request-bytes", "33554432"]);
    let key = STANDARD.encode(bed.key("m0"));
    let value = STANDARD.encode(vec![b'x'; 10 << 20]);
    let body = bed.ca.dir.write(
        "body",
        format!("{{\"key\":\"{key}\",\"value\":\"{value}\"}}"),
    );
    let dir = &bed.ca.dir;
    let script = "import ssl,sys,http.client\n\
                  host,ca,crt,key,body=sys.argv[1:]\n\
                  c=ssl.create_default_context(cafile=ca)\n\
                  c.load_cert_chain(crt,key)\n\
                  h=http.client.HTTPSConnection(host,2379,context=c)\n\
                  h.request('POST','/v3/kv/put',open(body,'rb').read())\n\
                  r=h.getresponse()\n\
                  print(r.status,r.read()[:200])\n";
    let mut python = Command::new("python3");
    python
        .args(["-c", script, &bed.address(0).to_string()])
        .args([dir.join("ca.crt"), dir.join("m0.crt"), dir.join("m0.key")])
        .arg(body);
    let output = run(&mut python, b"");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.starts_with("200 "), "{output:?}");
    not_taken(&bed, "larger than 16384 bytes");
    assert!(bed.renew(&[]).ok().contains(": renewed; "));
    assert!(bed.fetch(0, &[]).ok().starts_with("replaced"));
}

/// What the signer leaves alone must be what the member takes.
#[test]
fn published_nonsense_is_replaced_by_the_signer() {
    let bed = Bed::start(&[DUE]);
    let shorter = made(&bed, |text| text, "etcd-member", Days(-1, 10));
    for nonsense in ["nonsense", " ", &shorter] {
        bed.publish(0, nonsense);
        assert!(bed.renew(&["--dry-run"]).ok().contains("would be renewed"));
    }
}

#[test]
fn owner_and_mode_stay() {
    let bed = Bed::start(&[DUE]);
    bed.renew(&[]).ok();
    let path = bed.certificate(0);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let is_root = is_root("a member's certificate's owner");
    if is_root {
        chown(&path, Some(12345), Some(54321)).unwrap();
    }
    let before = fs::metadata(&path).unwrap();
    assert!(bed.fetch(0, &[]).ok().starts_with("replaced"));
    let after = fs::metadata(&path).unwrap();
    assert_ne!(before.ino(), after.ino());
    assert_eq!(
        (before.mode(), before.uid(), before.gid()),
        (after.mode(), after.uid(), after.gid())
    );
    assert!(!is_root || after.uid() == 12345);
}

#[track_caller]
fn fails(answer: &Answer, code: i32, words: &str) {
    assert_eq!(
        (answer.code, answer.stdout.as_str()),
        (Some(code), ""),
        "{answer:?}"
    );
    assert_eq!(answer.stderr.lines().count(), 1, "{answer:?}");
    assert!(answer.stderr.contains(words), "no «{words}» in {answer:?}");
}

#[test]
fn link_in_place_of_the_certificate_is_not_followed() {
    let bed = Bed::start(&[DUE]);
    bed.renew(&[]).ok();
    let real = bed.ca.dir.join("real.crt");
    fs::rename(bed.certificate(0), &real).unwrap();
    symlink(&real, bed.certificate(0)).unwrap();
    let before = fs::read(&real).unwrap();
    fails(
        &bed.fetch(0, &[]),
        78,
        "it is a symbolic link, which is not followed",
    );
    assert_eq!(fs::read(&real).unwrap(), before);
    assert!(bed.certificate(0).is_symlink());
}

#[test]
fn certificate_that_is_not_a_members_is_a_persons() {
    let bed = Bed::start(&[FRESH]);
    let names = bed.names(0);
    for (name, validity, words) in [
        (
            "etcd-member",
            Days(-90, -1),
            "it has expired: a person has to renew it",
        ),
        ("etcd-member", Days(1, 2), "it is not in force yet"),
        ("kubemaster-1", FRESH, "it is for CN=kubemaster-1"),
    ] {
        bed.certify("m0", name, &names, validity);
        fails(&bed.fetch(0, &[]), 78, words);
    }
    bed.certify(
        "m0",
        "etcd-member",
        &format!("{names}\nbasicConstraints=CA:TRUE"),
        FRESH,
    );
    fails(&bed.fetch(0, &[]), 78, "it is a CA's");
    openssl(
        bed.ca.dir.path(),
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout twin.key -out \
         twin.crt -subj /CN=etcd-ca -days 99",
    );
    let of_twin = bed.certificate_by("twin", "m0", "etcd-member", &names, FRESH);
    bed.ca.replace("m0.crt", of_twin, 0o444);
    fails(
        &bed.fetch(0, &[]),
        78,
        "it is not signed by the CA in place",
    );
    bed.certify("m0", "etcd-member", &names, FRESH);
    bed.new_key_file("other");
    let other = fs::read(bed.ca.dir.join("other.key")).unwrap();
    bed.ca.replace("m0.key", other, 0o400);
    fails(&bed.fetch(0, &[]), 78, "m0.key: it does not belong to");
    fs::remove_file(bed.certificate(0)).unwrap();
    fails(&bed.fetch(0, &[]), 78, "is this host a member?");
}

#[test]
fn key_of_openssls_older_format_is_used() {
    let bed = Bed::start(&[DUE]);
    bed.renew(&[]).ok();
    let sec1 = openssl(bed.ca.dir.path(), "ec -in m0.key -param_enc named_curve");
    assert!(sec1.starts_with(b"-----BEGIN EC PRIVATE KEY-----"));
    let parameters =
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    bed.ca
        .replace("m0.key", [parameters.as_bytes(), &sec1].concat(), 0o400);
    assert!(bed.fetch(0, &[]).ok().starts_with("replaced"));
}

#[test]
fn full_disk_leaves_the_certificate_in_place() {
    if !is_root("a full disk, which is a small mount") {
        return;
    }
    let bed = Bed::start(&[DUE]);
    bed.renew(&[]).ok();
    let small = bed.ca.dir.join("small");
    fs::create_dir(&small).unwrap();
    let plain = bed.fetch_command(0, &[]);
    let words: Vec<String> = plain
        .get_args()
        .map(|word| word.to_str().unwrap().to_owned())
        .map(|word| {
            let from = bed.certificate(0);
            word.replace(
                from.to_str().unwrap(),
                small.join("m0.crt").to_str().unwrap(),
            )
        })
        .collect();
    // A page for the certificate, and none for another one.
    let script = "mount -t tmpfs -o size=4096 tmpfs \"$1\" && cp \"$2\" \"$1/m0.crt\" && shift 2 && \
                  before=$(sha256sum <\"$SMALL/m0.crt\") && \"$@\"; code=$?; \
                  [ \"$before\" = \"$(sha256sum <\"$SMALL/m0.crt\")\" ] || exit 99; \
                  [ \"$(ls -A \"$SMALL\")\" = m0.crt ] || exit 98; exit $code";
    let mut command = Command::new("unshare");
    command
        .args([
            "--mount",
            "--propagation",
            "private",
            "bash",
            "-c",
            script,
            "-",
        ])
        .arg(&small)
        .arg(bed.certificate(0))
        .arg(plain.get_program())
        .args(words)
        .env("SMALL", &small);
    let answer = crate::harness::answer(&run(&mut command, b""));
    fails(&answer, 74, "free some space; existing files are unchanged");
}
