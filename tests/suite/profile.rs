//! What is issued, as openssl reads it: exactly the profile, for every kind of key on both sides.

use crate::harness::{Ca, base64, key_words, openssl, openssl_text, openssl_with};
use std::collections::BTreeMap;
use std::path::Path;

const KINDS: [&str; 6] = ["p256", "p384", "ed25519", "rsa2048", "rsa3072", "rsa4096"];

/// The extensions of a certificate, as `openssl x509 -text` prints them: title to contents.
fn extensions(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut title = None;
    let lines = text
        .lines()
        .skip_while(|line| line.trim() != "X509v3 extensions:")
        .skip(1)
        .take_while(|line| line.starts_with("            "));
    for line in lines {
        if line.starts_with("                ") {
            let entry: &mut String = found.entry(title.clone().unwrap()).or_default();
            entry.push_str(line.trim());
            entry.push('\n');
        } else {
            let line = line.trim().to_owned();
            assert!(!found.contains_key(&line), "{line} twice");
            found.insert(line.clone(), String::new());
            title = Some(line);
        }
    }
    found
}

/// Holds a certificate against the whole profile.
fn is_the_profile(ca: &Ca, certificate: &str, name: &str, signature: &str) {
    ca.verifies(certificate);
    let dir = ca.dir.path();
    let text = openssl_text(dir, "x509 -in issued.crt -noout -text");
    let line = |start: &str| {
        let mut lines = text
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with(start));
        let line = lines.next().unwrap_or_else(|| panic!("no {start}: {text}"));
        line.strip_prefix(start).unwrap().trim().to_owned()
    };
    assert_eq!(line("Version:"), "3 (0x2)");
    assert_eq!(line("Signature Algorithm:"), signature);
    assert_eq!(line("Subject:"), format!("CN = {name}"));

    let found = extensions(&text);
    let ca_text = openssl_text(dir, "x509 -in ca.crt -noout -ext subjectKeyIdentifier");
    let ca_identifier = ca_text.lines().nth(1).unwrap().trim();
    let own = regex::Regex::new(r"\A([0-9A-F]{2}:){19}[0-9A-F]{2}\n\z").unwrap();
    assert!(
        own.is_match(&found["X509v3 Subject Key Identifier:"]),
        "{text}"
    );
    let mut expected = BTreeMap::from([
        (
            "X509v3 Basic Constraints: critical",
            "CA:FALSE\n".to_owned(),
        ),
        (
            "X509v3 Key Usage: critical",
            "Digital Signature\n".to_owned(),
        ),
        (
            "X509v3 Extended Key Usage:",
            "TLS Web Client Authentication\n".to_owned(),
        ),
        ("X509v3 Subject Alternative Name:", format!("DNS:{name}\n")),
        (
            "X509v3 Authority Key Identifier:",
            format!("{ca_identifier}\n"),
        ),
    ]);
    expected.insert(
        "X509v3 Subject Key Identifier:",
        found["X509v3 Subject Key Identifier:"].clone(),
    );
    let found: BTreeMap<&str, String> = found
        .iter()
        .map(|(title, text)| (title.as_str(), text.clone()))
        .collect();
    assert_eq!(found, expected);

    // The issuer is the CA's subject, and the key the request's, byte for byte.
    assert_eq!(
        name_der(dir, "issued.crt", "issuer"),
        name_der(dir, "ca.crt", "subject")
    );
    openssl(dir, "x509 -in issued.crt -noout -pubkey -out issued.pub");
    assert_eq!(
        openssl(dir, "pkey -pubin -in issued.pub -outform DER"),
        openssl(dir, "pkey -in client.key -pubout -outform DER")
    );
    let serial = openssl_text(dir, "x509 -in issued.crt -noout -serial");
    let serial = serial.trim().strip_prefix("serial=").unwrap();
    assert!(serial.len() > 30 && serial.len() <= 40, "{serial}");
    assert_eq!(lifetime(dir, "issued.crt"), 86_400);
}

/// The DER of a certificate's issuer or subject, found by openssl.
pub(crate) fn name_der(dir: &Path, file: &str, field: &str) -> Vec<u8> {
    openssl(dir, &format!("x509 -in {file} -outform DER -out name.der"));
    let parsed = openssl_text(dir, "asn1parse -inform DER -in name.der");
    // In a TBSCertificate, depth 2: version, serial, algorithm, issuer, validity, subject.
    let sequences: Vec<&str> = parsed
        .lines()
        .filter(|line| line.contains("d=2 ") && line.contains("cons: SEQUENCE"))
        .collect();
    let line = sequences[if field == "issuer" { 1 } else { 3 }];
    let number = |after: &str| -> usize {
        let (_, rest) = line.split_once(after).unwrap();
        let digits: String = rest
            .trim_start()
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        digits.parse().unwrap()
    };
    let offset: usize = line.split(':').next().unwrap().trim().parse().unwrap();
    let der = std::fs::read(dir.join("name.der")).unwrap();
    der[offset..offset + number("hl=") + number(" l=")].to_vec()
}

/// Seconds from the first to the last of a certificate's validity, as openssl says.
pub(crate) fn lifetime(dir: &Path, file: &str) -> i64 {
    let words = format!("x509 -in {file} -noout -dates -dateopt iso_8601");
    let text = openssl_text(dir, &words);
    let at = |name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        let rfc3339 = line.replace(' ', "T");
        let format = &time::format_description::well_known::Rfc3339;
        time::OffsetDateTime::parse(&rfc3339, format)
            .unwrap()
            .unix_timestamp()
    };
    at("notAfter=") - at("notBefore=")
}

#[test]
fn every_ca_key_type_signs_the_profile() {
    for (kind, signature) in [
        ("p256", "ecdsa-with-SHA256"),
        ("p384", "ecdsa-with-SHA384"),
        ("ed25519", "ED25519"),
        ("rsa2048", "sha256WithRSAEncryption"),
        ("rsa3072", "sha256WithRSAEncryption"),
        ("rsa4096", "sha256WithRSAEncryption"),
    ] {
        let ca = Ca::of_kind(kind);
        let certificate = ca.sign("kubemaster-1", &ca.request("kubemaster-1")).ok();
        is_the_profile(&ca, &certificate, "kubemaster-1", signature);
    }
}

#[test]
fn every_accepted_client_key_is_certified() {
    let ca = Ca::new();
    for kind in KINDS {
        let digests: &[&str] = match kind {
            "ed25519" => &[""],
            "p256" | "p384" => &["", "-sha256", "-sha384"],
            _ => &["", "-sha256", "-sha384", "-sha512"],
        };
        openssl(
            ca.dir.path(),
            &format!("{} -out client.key", key_words(kind)),
        );
        for digest in digests {
            let words = format!("req -new -key client.key -subj /CN=kubemaster-1 {digest}");
            let pem = openssl(ca.dir.path(), words.trim());
            let certificate = ca.sign("kubemaster-1", &base64(&pem)).ok();
            is_the_profile(&ca, &certificate, "kubemaster-1", "ecdsa-with-SHA256");
        }
    }
}

#[test]
fn every_ca_key_encoding_is_read() {
    for kind in KINDS {
        let ca = Ca::of_kind(kind);
        let dir = ca.dir.path();
        let request = ca.request("kubemaster-1");
        let mut forms = vec![("PKCS#8", openssl(dir, "pkey -in ca.key"))];
        if kind.starts_with("rsa") {
            forms.push(("PKCS#1", openssl(dir, "rsa -in ca.key -traditional")));
        }
        if kind.starts_with('p') {
            let sec1 = openssl(dir, "ec -in ca.key");
            let curve = if kind == "p256" {
                "prime256v1"
            } else {
                "secp384r1"
            };
            let parameters = openssl(dir, &format!("ecparam -name {curve}"));
            assert!(parameters.starts_with(b"-----BEGIN EC PARAMETERS-----"));
            forms.push((
                "SEC1 after its parameters",
                [parameters, sec1.clone()].concat(),
            ));
            forms.push(("SEC1", sec1));
            let bare = openssl(dir, "ec -in ca.key -no_public");
            forms.push(("SEC1 without the public key", bare));
        }
        for (form, pem) in forms {
            ca.replace("ca.key", pem, 0o400);
            let answer = ca.sign("kubemaster-1", &request);
            assert_eq!(answer.code, Some(0), "{kind} {form}: {answer:?}");
            ca.verifies(&answer.stdout);
        }
    }
}

/// What a request asks for besides is not issued, whatever it is.
#[test]
fn requested_attributes_and_extensions_are_ignored() {
    const HOSTILE: &str = "[req]\nprompt = no\ndistinguished_name = dn\nattributes = attrs\n\
        req_extensions = ext\n[dn]\nC = XX\nO = system:masters\n1.OU = a\n2.OU = b\n\
        CN = kubemaster-1\nemailAddress = root@example.com\nserialNumber = 1\nDC = example\n\
        [attrs]\nchallengePassword = secret123\nunstructuredName = kubemaster-2\n\
        [ext]\nbasicConstraints = critical,CA:TRUE,pathlen:3\nkeyUsage = critical,keyCertSign,cRLSign\n\
        extendedKeyUsage = critical,serverAuth,clientAuth,anyExtendedKeyUsage,codeSigning\n\
        subjectAltName = DNS:leader,DNS:kubemaster-2,IP:10.0.0.1,URI:spiffe://x,email:a@example.com,\
        dirName:dn,otherName:1.2.3.4;UTF8:x,RID:1.2.3\n\
        nameConstraints = critical,permitted;DNS:.example\n\
        certificatePolicies = 1.2.3.4\ncrlDistributionPoints = URI:http://x/y\n\
        authorityInfoAccess = OCSP;URI:http://x/z\nsubjectKeyIdentifier = hash\n\
        1.2.3.4.5 = critical,DER:0500\n1.2.3.4.6 = DER:DEADBEEF\n\
        2.5.29.99 = critical,ASN1:UTF8String:x\n";
    let ca = Ca::new();
    ca.dir.write("hostile.cnf", HOSTILE);
    for kind in ["p256", "rsa2048"] {
        openssl(
            ca.dir.path(),
            &format!("{} -out client.key", key_words(kind)),
        );
        let pem = openssl(
            ca.dir.path(),
            "req -new -key client.key -config hostile.cnf -utf8",
        );
        let shown = openssl_with(ca.dir.path(), "req -noout -text", &pem);
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        for asked in [
            "CA:TRUE",
            "TLS Web Server",
            "leader",
            "1.2.3.4.5: critical",
            "secret123",
        ] {
            assert!(shown.contains(asked), "openssl left {asked} out: {shown}");
        }
        let certificate = ca.sign("kubemaster-1", &base64(&pem)).ok();
        is_the_profile(&ca, &certificate, "kubemaster-1", "ecdsa-with-SHA256");
    }
}

#[test]
fn base64_of_every_encoder_is_accepted() {
    let ca = Ca::new();
    let pem = ca.request_pem("p256", "kubemaster-1", "");
    let dir = ca.dir.path();
    let der = openssl_with(dir, "req -outform DER", &pem).stdout;
    let gnu = base64(&pem);
    let one_line: Vec<u8> = gnu.iter().copied().filter(|b| *b != b'\n').collect();
    let crlf = String::from_utf8(gnu.clone())
        .unwrap()
        .replace('\n', "\r\n");
    let text = openssl_with(dir, "req -text", &pem).stdout;
    assert!(text.starts_with(b"Certificate Request:"));
    let renamed = String::from_utf8(pem.clone())
        .unwrap()
        .replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST");
    let pem_crlf = String::from_utf8(pem.clone())
        .unwrap()
        .replace('\n', "\r\n");
    for (dialect, input) in [
        ("76 columns", gnu.clone()),
        ("one line, no newline", one_line),
        (
            "openssl, 64 columns",
            openssl_with(dir, "base64", &pem).stdout,
        ),
        (
            "openssl, one line",
            openssl_with(dir, "base64 -A", &pem).stdout,
        ),
        ("CR LF", crlf.into_bytes()),
        (
            "white space around",
            [b" \n\t", gnu.as_slice(), b"\n\n "].concat(),
        ),
        ("DER inside", base64(&der)),
        ("text around the block", base64(&text)),
        ("the other label", base64(renamed.as_bytes())),
        ("CR LF inside", base64(pem_crlf.as_bytes())),
    ] {
        let answer = ca.sign("kubemaster-1", &input);
        assert_eq!(answer.code, Some(0), "{dialect}: {answer:?}");
    }
}

#[test]
fn shorter_validity_is_applied() {
    let ca = Ca::new();
    for (setting, seconds) in [("1m", 60), ("90s", 90), ("12h", 43_200), ("24h", 86_400)] {
        ca.set(&format!("validity = \"{setting}\""));
        let certificate = ca.sign("kubemaster-1", &ca.request("kubemaster-1")).ok();
        ca.verifies(&certificate);
        assert_eq!(lifetime(ca.dir.path(), "issued.crt"), seconds, "{setting}");
    }
}

/// Subjects that a name's encoder would not give back as they were.
#[test]
fn issuer_is_the_ca_subject_byte_for_byte() {
    for (what, mask, subject) in [
        ("PrintableString", "default", "CN=etcd CA"),
        ("UTF8String", "utf8only", "CN=etcd CA"),
        ("T61String", "MASK:0x4", "CN=etcd CA"),
        ("BMPString", "MASK:0x800", "CN=etcd CA"),
        (
            "non-ASCII",
            "utf8only",
            "C=DE\nO=Gesellschaft f\u{fc}r \u{7fa4}\nCN=M\u{fc}nchen",
        ),
        (
            "non-ASCII in BMPString",
            "MASK:0x800",
            "CN=M\u{fc}nchen \u{7fa4}",
        ),
        ("Latin-1 in T61String", "MASK:0x4", "CN=M\u{fc}nchen"),
        (
            "several parts",
            "utf8only",
            "C=DE\nST=x\nL=y\nO=z\nOU=a\nCN=b",
        ),
        ("two DC", "utf8only", "0.DC=example\n1.DC=net\nCN=b"),
        ("two OU", "utf8only", "O=z\n0.OU=a\n1.OU=b\nCN=c"),
        ("the same OU twice", "utf8only", "0.OU=a\n1.OU=a\nCN=c"),
        (
            "several values in a part",
            "utf8only",
            "O=z\nCN=b\n+OU=a\n+UID=c",
        ),
        ("two common names", "utf8only", "0.CN=a\n1.CN=b"),
        ("no common name", "utf8only", "O=z"),
        ("e-mail", "default", "CN=b\nemailAddress=a@example.com"),
    ] {
        let configuration = crate::harness::Dir::new();
        let fields = subject.replace('=', " = ");
        let path = configuration.write(
            "ca.cnf",
            format!(
                "[req]\nprompt = no\nutf8 = yes\nstring_mask = {mask}\ndistinguished_name = dn\n\
                 x509_extensions = ext\n[dn]\n{fields}\n[ext]\n\
                 basicConstraints = critical,CA:TRUE\nkeyUsage = critical,keyCertSign\n\
                 subjectKeyIdentifier = hash\n"
            ),
        );
        let arguments = format!("-days 30 -utf8 -config {}", path.display());
        let ca = Ca::with_only("p256", &arguments);
        let answer = ca.sign("kubemaster-1", &ca.request("kubemaster-1"));
        assert_eq!(answer.code, Some(0), "{what}: {answer:?}");
        is_the_profile(&ca, &answer.stdout, "kubemaster-1", "ecdsa-with-SHA256");
        let tag = match what {
            "PrintableString" => Some(0x13),
            "UTF8String" => Some(0x0c),
            "T61String" | "Latin-1 in T61String" => Some(0x14),
            "BMPString" | "non-ASCII in BMPString" => Some(0x1e),
            _ => None,
        };
        if let Some(tag) = tag {
            // SEQUENCE, SET, SEQUENCE, the OID of five bytes, and the string.
            assert_eq!(
                name_der(ca.dir.path(), "ca.crt", "subject")[11],
                tag,
                "{what}"
            );
        }
    }
}

#[test]
fn ca_without_key_identifier_is_accepted() {
    let configuration = crate::harness::Dir::new();
    let path = configuration.write(
        "ca.cnf",
        "[req]\nprompt = no\ndistinguished_name = dn\nx509_extensions = ext\n[dn]\nCN = bare\n\
         [ext]\nbasicConstraints = critical,CA:TRUE\nsubjectKeyIdentifier = none\n\
         authorityKeyIdentifier = none\n",
    );
    let arguments = format!("-days 30 -config {}", path.display());
    let ca = Ca::with_only("p256", &arguments);
    let text = openssl_text(ca.dir.path(), "x509 -in ca.crt -noout -text");
    assert!(!text.contains("Key Identifier"), "{text}");
    let certificate = ca.sign("kubemaster-1", &ca.request("kubemaster-1")).ok();
    ca.dir.write("issued.crt", certificate);
    let words = "verify -purpose sslclient -CAfile ca.crt issued.crt";
    assert_eq!(openssl_text(ca.dir.path(), words), "issued.crt: OK\n");
    let text = openssl_text(ca.dir.path(), "x509 -in issued.crt -noout -text");
    assert!(text.contains("X509v3 Authority Key Identifier"), "{text}");
}
