//! Wrong set-ups: each ends in 77 or 78, with a line that says what to do.

use crate::harness::{Ca, Dir, answer, in_namespace, is_root, openssl, openssl_with, records, run};
use crate::profile::lifetime;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

fn refuses(ca: &Ca, code: i32, words: &str) {
    let request = ca.request("kubemaster-1");
    ca.sign("kubemaster-1", &request).fails(code, words);
}

#[test]
fn missing_or_exposed_key_is_refused() {
    let ca = Ca::new();
    for mode in [0o440, 0o404, 0o410, 0o402, 0o644, 0o777] {
        ca.protect("ca.key", mode);
        refuses(&ca, 77, &format!("(mode {mode:04o}): run 'chmod 0400 "));
    }
    ca.protect("ca.key", 0o600);
    ca.sign("kubemaster-1", &ca.request("kubemaster-1")).ok();
    fs::remove_file(ca.dir.join("ca.key")).unwrap();
    refuses(&ca, 78, "/ca.key: it does not exist");
    fs::create_dir(ca.dir.join("ca.key")).unwrap();
    refuses(&ca, 78, "/ca.key: it is not a regular file");
}

#[test]
fn file_or_directory_writable_by_others_is_refused() {
    let ca = Ca::new();
    ca.protect("ca.crt", 0o664);
    refuses(&ca, 77, "chmod go-w ");
    ca.protect("ca.crt", 0o644);
    ca.protect("config.toml", 0o646);
    refuses(&ca, 77, "chmod go-w ");
    ca.protect("config.toml", 0o644);
    ca.protect("", 0o777);
    refuses(&ca, 77, "chmod go-w ");
    ca.protect("", 0o700);
    ca.sign("kubemaster-1", &ca.request("kubemaster-1")).ok();

    // Through a link, the folders on both ways count.
    let elsewhere = Dir::new();
    fs::rename(ca.dir.join("ca.key"), elsewhere.join("real.key")).unwrap();
    symlink(elsewhere.join("real.key"), ca.dir.join("ca.key")).unwrap();
    ca.sign("kubemaster-1", &ca.request("kubemaster-1")).ok();
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(elsewhere.path(), fs::Permissions::from_mode(0o770)).unwrap();
    refuses(&ca, 77, "chmod go-w ");
}

/// Every link on the way leads through folders that count, and is somebody's.
#[test]
fn each_symbolic_link_is_checked() {
    use std::os::unix::fs::PermissionsExt as _;
    let ca = Ca::new();
    let (open, real) = (Dir::new(), Dir::new());
    fs::rename(ca.dir.join("ca.key"), real.join("real.key")).unwrap();
    symlink(real.join("real.key"), open.join("between")).unwrap();
    symlink(open.join("between"), ca.dir.join("ca.key")).unwrap();
    ca.sign("kubemaster-1", &ca.request("kubemaster-1")).ok();
    let mode = |mode| fs::set_permissions(open.path(), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o777);
    refuses(&ca, 77, "chmod go-w ");
    mode(0o1777);
    ca.sign("kubemaster-1", &ca.request("kubemaster-1")).ok();
    // Relative ones, and over a folder.
    mode(0o755);
    fs::remove_file(open.join("between")).unwrap();
    let name = real.path().file_name().unwrap();
    symlink(Path::new("..").join(name), open.join("folder")).unwrap();
    fs::remove_file(ca.dir.join("ca.key")).unwrap();
    symlink(open.join("folder/./real.key"), ca.dir.join("ca.key")).unwrap();
    ca.sign("kubemaster-1", &ca.request("kubemaster-1")).ok();
    mode(0o775);
    refuses(&ca, 77, "chmod go-w ");
    mode(0o755);
    // In a circle.
    fs::remove_file(ca.dir.join("ca.key")).unwrap();
    symlink("ca.key", ca.dir.join("ca.key")).unwrap();
    // ELOOP, whatever the C library calls it.
    refuses(&ca, 78, "(os error 40)");

    if is_root("giving a link to another user") {
        fs::remove_file(ca.dir.join("ca.key")).unwrap();
        symlink(real.join("real.key"), ca.dir.join("ca.key")).unwrap();
        std::os::unix::fs::lchown(ca.dir.join("ca.key"), Some(65_534), None).unwrap();
        refuses(&ca, 77, "belongs to user 65534");
    }
}

#[test]
fn file_of_another_owner_is_refused() {
    if !is_root("giving a file to another user") {
        return;
    }
    for name in ["ca.key", "ca.crt", "config.toml", ""] {
        let ca = Ca::new();
        std::os::unix::fs::chown(ca.dir.join(name), Some(65_534), None).unwrap();
        refuses(
            &ca,
            77,
            "belongs to user 65534, neither to root nor to user 0",
        );
    }
}

#[test]
fn unusable_ca_key_is_refused() {
    let ca = Ca::new();
    let dir = ca.dir.path();
    let put = |pem: Vec<u8>| ca.replace("ca.key", pem, 0o400);
    let key = fs::read(dir.join("ca.key")).unwrap();
    let encrypted = openssl(dir, "pkcs8 -topk8 -in ca.key -passout pass:x");
    put(encrypted);
    refuses(&ca, 78, "it is encrypted");
    put(key.clone());
    let legacy = openssl(dir, "ec -in ca.key -aes128 -passout pass:x");
    assert!(String::from_utf8_lossy(&legacy).contains("Proc-Type: 4,ENCRYPTED"));
    put(legacy);
    refuses(&ca, 78, "it is encrypted");
    put([key.clone(), key.clone()].concat());
    refuses(&ca, 78, "more than one private key");
    put(Vec::new());
    refuses(&ca, 78, "no private key in PEM");
    put(fs::read(dir.join("ca.crt")).unwrap());
    refuses(&ca, 78, "no private key in PEM");
    put(key[..key.len() / 2].to_vec());
    refuses(&ca, 78, "no private key in PEM");
    put(vec![b'x'; 70_000]);
    refuses(&ca, 78, "larger than 65536 bytes");

    for (name, words) in [
        (
            "ECDSA on P-521",
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521",
        ),
        (
            "ECDSA on secp256k1",
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1",
        ),
        ("Ed448", "genpkey -algorithm ED448"),
        ("X25519", "genpkey -algorithm X25519"),
        (
            "RSA-PSS",
            "genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048",
        ),
        (
            "RSA of another size",
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024",
        ),
        (
            "RSA of another size",
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2560",
        ),
    ] {
        put(openssl(dir, words));
        refuses(
            &ca,
            78,
            &format!("its key type is not supported ({name}): use "),
        );
    }
    let ssh = Dir::new();
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(ssh.join("key"))
        .status();
    assert!(made.unwrap().success());
    put(ssh.read("key").into_bytes());
    refuses(&ca, 78, "OpenSSH's own format");
}

#[test]
fn key_of_another_ca_is_refused() {
    for (own, other) in [
        ("p256", "p256"),
        ("p256", "p384"),
        ("p256", "rsa2048"),
        ("p256", "ed25519"),
        ("rsa2048", "rsa2048"),
        ("rsa2048", "p256"),
        ("ed25519", "ed25519"),
        ("ed25519", "p384"),
    ] {
        let ca = Ca::of_kind(own);
        let key = fs::read(Ca::of_kind(other).dir.join("ca.key")).unwrap();
        ca.replace("ca.key", key, 0o400);
        refuses(&ca, 78, "does not belong to the CA certificate");
    }
}

#[test]
fn unusable_ca_certificate_is_refused() {
    let ca = Ca::new();
    let dir = ca.dir.path();
    let good = ca.dir.read("ca.crt");
    let put = |pem: &str| ca.replace("ca.crt", pem, 0o644);
    fs::remove_file(dir.join("ca.crt")).unwrap();
    refuses(&ca, 78, "/ca.crt: it does not exist");
    put("");
    refuses(&ca, 78, "0 PEM blocks");
    put(&format!("{good}{good}"));
    refuses(&ca, 78, "2 PEM blocks");
    put(&ca.dir.read("ca.key"));
    refuses(&ca, 78, "a PEM block PRIVATE KEY");
    put("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    refuses(&ca, 78, "not an X.509 certificate");

    for (extensions, words) in [
        (
            "basicConstraints=critical,CA:FALSE",
            "it is not a CA certificate",
        ),
        ("subjectKeyIdentifier=hash", "it is not a CA certificate"),
        (
            "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,digitalSignature,cRLSign",
            "does not include keyCertSign",
        ),
        (
            "basicConstraints=critical,CA:TRUE\nextendedKeyUsage=serverAuth",
            "does not include clientAuth",
        ),
        (
            "basicConstraints=critical,CA:TRUE\nnameConstraints=permitted;DNS:example.com",
            "nameConstraints would make etcd refuse",
        ),
        (
            "basicConstraints=critical,CA:TRUE\n1.2.3.4.5=critical,DER:0500",
            "1.2.3.4.5 would make etcd refuse",
        ),
    ] {
        put(&own_certificate(
            dir,
            extensions,
            "20200101000000Z",
            "20990101000000Z",
        ));
        refuses(&ca, 78, words);
    }
    let usual = "basicConstraints=critical,CA:TRUE";
    put(&own_certificate(
        dir,
        usual,
        "20200101000000Z",
        "20210101000000Z",
    ));
    refuses(&ca, 78, "it expired at ");
    ca.ask(Some(b"get-certificate"), b"")
        .fails(78, "it expired at ");
    put(&own_certificate(
        dir,
        usual,
        "20980101000000Z",
        "20990101000000Z",
    ));
    refuses(&ca, 78, "it is not valid before ");
    put(&own_certificate(
        dir,
        usual,
        "20200101000000Z",
        "20990101000000Z",
    ));
    ca.sign("kubemaster-1", &ca.request("kubemaster-1")).ok();
}

/// A certificate for `ca.key`, signed with it, in force for any time: `openssl ca` has dates.
pub(crate) fn own_certificate(dir: &Path, extensions: &str, start: &str, end: &str) -> String {
    let work = Dir::new();
    work.write("index.txt", "");
    work.write(
        "ca.cnf",
        format!(
            "[ca]\ndefault_ca = d\n[d]\ndatabase = index.txt\nnew_certs_dir = .\n\
             rand_serial = yes\ndefault_md = sha256\npolicy = p\nx509_extensions = e\n\
             [p]\ncommonName = supplied\n[e]\n{extensions}\n[req]\ndistinguished_name = dn\n[dn]\n"
        ),
    );
    fs::copy(dir.join("ca.key"), work.join("ca.key")).unwrap();
    openssl(
        work.path(),
        "req -new -key ca.key -subj /CN=dated -out ca.csr -config ca.cnf",
    );
    let made = openssl_with(
        work.path(),
        &format!(
            "ca -batch -config ca.cnf -selfsign -keyfile ca.key -in ca.csr -out ca.crt -notext \
             -startdate {start} -enddate {end}"
        ),
        b"",
    );
    assert!(made.status.success(), "{made:?}");
    work.read("ca.crt")
}

fn soon(seconds: i64) -> (String, i64) {
    let end = time::OffsetDateTime::now_utc() + time::Duration::seconds(seconds);
    let text = format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}Z",
        end.year(),
        u8::from(end.month()),
        end.day(),
        end.hour(),
        end.minute(),
        end.second()
    );
    (text, end.unix_timestamp())
}

#[test]
fn validity_is_limited_by_the_ca() {
    let ca = Ca::new();
    let (end, _) = soon(3600);
    let usual = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign";
    let certificate = own_certificate(ca.dir.path(), usual, "20200101000000Z", &end);
    ca.replace("ca.crt", certificate, 0o644);
    let request = ca.request("kubemaster-1");
    let issued = ca.sign("kubemaster-1", &request).ok();
    ca.verifies(&issued);
    let dates = |file: &str| {
        let words = format!("x509 -in {file} -noout -enddate");
        crate::harness::openssl_text(ca.dir.path(), &words)
    };
    assert_eq!(dates("issued.crt"), dates("ca.crt"));
    assert!(lifetime(ca.dir.path(), "issued.crt") <= 3661);

    if !is_root("a journal of its own, to look for the remark in") {
        return;
    }
    let dir = Dir::new();
    let signer = ca.signer(Some(b"kubemaster-1"));
    let program = signer.get_program().to_str().unwrap().to_owned();
    let mut command = in_namespace(&dir, true, &program);
    command
        .args(signer.get_args())
        .env("SSH_ORIGINAL_COMMAND", "kubemaster-1");
    answer(&run(&mut command, &request)).ok();
    let found = records(&dir, 1);
    let remark = found[0]["ETCD_SIGNER_REMARK"].as_str().unwrap();
    assert!(
        remark.contains("validity shortened to the CA certificate's end"),
        "{remark}"
    );
    let message = found[0]["MESSAGE"].as_str().unwrap();
    assert!(message.ends_with(&format!(" ({remark})")), "{message}");
}

#[test]
fn wrong_settings_are_refused() {
    let ca = Ca::new();
    for (line, words) in [
        ("validty = \"1h\"", "line 3: unknown field"),
        (
            "validity = \"25h\"",
            "validity must be \\\"1m\\\" to \\\"24h\\\"",
        ),
        ("validity = \"1441m\"", "validity must be"),
        ("validity = \"59s\"", "validity must be"),
        ("validity = 24", "line 3: invalid type"),
        (
            "input_limit = 65537",
            "input_limit must be 1024 to 65536 bytes",
        ),
        ("input_timeout = \"11s\"", "input_timeout must be"),
        ("etcd_timeout = \"6s\"", "etcd_timeout must be"),
        ("etcd_endpoints = []", "etcd_endpoints must be"),
        (
            "etcd_endpoints = [\"http://127.0.0.1:2379\"]",
            "etcd_endpoints must be",
        ),
        (
            "validity = \"1h\"\nvalidity = \"2h\"",
            "line 4: duplicate key",
        ),
        ("this is not TOML", "line 3: "),
    ] {
        ca.set(line);
        let words = words.replace("\\\"", "\"");
        refuses(&ca, 78, &words);
    }
    ca.set("");
    let settings = ca.dir.read("config.toml");
    ca.replace(
        "config.toml",
        settings.replace("ca_key = \"/", "ca_key = \""),
        0o644,
    );
    refuses(&ca, 78, "ca_key must be an absolute path");
    ca.replace("config.toml", b"\xff\xfe", 0o644);
    refuses(&ca, 78, "not UTF-8");
    fs::remove_file(ca.settings()).unwrap();
    refuses(&ca, 78, "config.toml: it does not exist");
    // Somebody names the key as the settings: nothing of it may be shown.
    fs::rename(ca.dir.join("ca.key"), ca.settings()).unwrap();
    let shown = ca.ask(Some(b"get-certificate"), b"");
    shown.fails(78, "config.toml: line 1: ");
    let key = ca.dir.read("config.toml");
    for line in key.lines() {
        assert!(!shown.stderr.contains(line), "{}", shown.stderr);
    }
}
