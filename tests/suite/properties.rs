//! Whatever arrives, the program answers or refuses: it never panics, and a failing exit code
//! comes with nothing on standard output.

use crate::harness::{Ca, base64, openssl_with, run};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::process::Output;
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, DecodePem as _, Encode as _};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages,
    SubjectAltName, SubjectKeyIdentifier, name::GeneralName,
};
use x509_cert::request::CertReq;

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    })
}

fn holds(output: &Output) -> Result<(), TestCaseError> {
    let known = [0, 64, 65, 69, 74];
    let code = output.status.code();
    prop_assert!(code.is_some_and(|code| known.contains(&code)), "{output:?}");
    if code == Some(0) {
        prop_assert!(output.stderr.is_empty(), "{output:?}");
    } else {
        prop_assert!(output.stdout.is_empty(), "{output:?}");
        let line = output.stderr.strip_suffix(b"\n").unwrap_or_default();
        let printable = line.iter().all(|b| matches!(b, b' '..=b'~'));
        prop_assert!(printable && !line.is_empty(), "{output:?}");
    }
    Ok(())
}

#[test]
fn command_of_any_bytes_never_panics() {
    let ca = Ca::new();
    let command = prop_oneof![
        proptest::collection::vec(1_u8.., 0..80),
        "(get-|kubemaster-)?[ -~]{0,20}".prop_map(String::into_bytes),
    ];
    runner(300)
        .run(&command, |command| {
            let mut signer = ca.signer(None);
            signer.env("SSH_ORIGINAL_COMMAND", OsString::from_vec(command));
            holds(&run(&mut signer, b""))
        })
        .unwrap();
}

#[test]
fn input_of_any_bytes_never_panics() {
    let ca = Ca::new();
    let pem = ca.request_pem("p256", "kubemaster-1", "");
    let der = openssl_with(ca.dir.path(), "req -outform DER", &pem).stdout;
    // Bytes as they come, bytes in base64, and a sound request with some of it changed.
    let changed = (
        proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        any::<bool>(),
    )
        .prop_map(move |(changes, in_pem)| {
            let mut bytes = if in_pem { pem.clone() } else { der.clone() };
            for (at, value) in changes {
                *at.get_mut(&mut bytes) = value;
            }
            base64(&bytes)
        });
    let input = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..300),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| base64(&bytes)),
        changed,
    ];
    runner(400)
        .run(&input, |input| {
            let output = run(&mut ca.signer(Some(b"kubemaster-1")), &input);
            holds(&output)?;
            if output.status.success() {
                is_the_profile(&ca, &output.stdout, "kubemaster-1", None)?;
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn issued_certificate_always_follows_the_profile() {
    let ca = Ca::new();
    let subject = "(/O=[a-z]{1,9})?(/OU=[a-z]{1,9}){0,2}";
    let request = (
        "kubemaster-[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?",
        subject,
        0..4_usize,
    );
    runner(40)
        .run(&request, |(name, more, extensions)| {
            let asked = [
                "",
                "-addext basicConstraints=critical,CA:TRUE",
                "-addext subjectAltName=DNS:leader,IP:10.0.0.1",
                "-addext extendedKeyUsage=serverAuth",
            ][extensions];
            let pem = ca.request_pem("p256", &format!("{name}{more}"), asked);
            let output = run(&mut ca.signer(Some(name.as_bytes())), &base64(&pem));
            prop_assert!(output.status.success(), "{output:?}");
            is_the_profile(&ca, &output.stdout, &name, Some(&pem))
        })
        .unwrap();
}

/// The profile, read by a parser that neither made nor checked the certificate.
fn is_the_profile(
    ca: &Ca,
    pem: &[u8],
    name: &str,
    request: Option<&[u8]>,
) -> Result<(), TestCaseError> {
    let certificate = Certificate::from_pem(pem).unwrap();
    let tbs = certificate.tbs_certificate();
    let authority = Certificate::from_pem(ca.dir.read("ca.crt")).unwrap();
    prop_assert_eq!(tbs.issuer(), authority.tbs_certificate().subject());
    prop_assert_eq!(tbs.subject().to_string(), format!("CN={name}"));
    if let Some(request) = request {
        let request = CertReq::from_pem(request).unwrap();
        prop_assert_eq!(tbs.subject_public_key_info(), &request.info.public_key);
    }
    let span =
        tbs.validity().not_after.to_unix_duration() - tbs.validity().not_before.to_unix_duration();
    prop_assert_eq!(span.as_secs(), 86_400);

    let extensions = tbs.extensions().unwrap();
    prop_assert_eq!(extensions.len(), 6);
    prop_assert_eq!(extensions.iter().filter(|one| one.critical).count(), 2);
    let (critical, basic) = tbs.get_extension::<BasicConstraints>().unwrap().unwrap();
    prop_assert!(critical && !basic.ca && basic.path_len_constraint.is_none());
    let (critical, usage) = tbs.get_extension::<KeyUsage>().unwrap().unwrap();
    prop_assert!(critical && usage.0 == KeyUsages::DigitalSignature);
    let (_, extended) = tbs.get_extension::<ExtendedKeyUsage>().unwrap().unwrap();
    let client_auth = "1.3.6.1.5.5.7.3.2".parse().unwrap();
    prop_assert_eq!(extended.0, vec![client_auth]);
    let (_, names) = tbs.get_extension::<SubjectAltName>().unwrap().unwrap();
    let is_name = matches!(&names.0[..], [GeneralName::DnsName(dns)] if dns.as_str() == name);
    prop_assert!(is_name, "{names:?}");
    let (_, own) = tbs
        .get_extension::<SubjectKeyIdentifier>()
        .unwrap()
        .unwrap();
    prop_assert_eq!(own.0.as_bytes().len(), 20);
    let (_, from) = tbs
        .get_extension::<AuthorityKeyIdentifier>()
        .unwrap()
        .unwrap();
    let cas = authority
        .tbs_certificate()
        .get_extension::<SubjectKeyIdentifier>();
    let (_, cas) = cas.unwrap().unwrap();
    prop_assert_eq!(from.key_identifier, Some(cas.0));
    // A strict parser gives back the bytes that it read.
    let der = certificate.to_der().unwrap();
    prop_assert_eq!(Certificate::from_der(&der).unwrap(), certificate);
    Ok(())
}
