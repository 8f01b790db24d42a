//! The contract, restated: what the signer says and issues is held against it, with other
//! parsers than the signer's own.

use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, UnparsedPublicKey,
    VerificationAlgorithm,
};
use std::time::Duration;
use x509_cert::Version;
use x509_cert::certificate::Certificate;
use x509_cert::der::asn1::{Any, ObjectIdentifier, OctetString};
use x509_cert::der::{Decode as _, Encode as _, Tag, Tagged as _};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName,
    SubjectKeyIdentifier,
};
use x509_cert::name::Name;
use x509_cert::request::CertReq;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");

/// What a person is shown: one short line of printable ASCII.
///
/// # Panics
/// If it is not.
pub fn check_message(text: &str) {
    assert!(text.len() <= 700, "{} bytes: {text:?}", text.len());
    assert!(!text.is_empty());
    assert!(
        text.bytes().all(|byte| (0x20..0x7f).contains(&byte)),
        "{text:?}"
    );
}

/// The bytes of all common names.
fn common_names(name: &Name) -> Vec<&[u8]> {
    name.iter()
        .filter(|attribute| attribute.oid == COMMON_NAME)
        .map(|attribute| attribute.value.value())
        .collect()
}

/// What was accepted of a request, held against what x509-cert reads in it. (It may refuse what
/// the contract accepts: attributes, which the signer does not read.)
///
/// # Panics
/// If the two differ.
pub fn check_accepted(der: &[u8], common_name: &[u8], spki: &[u8]) {
    let Ok(request) = CertReq::from_der(der) else {
        return;
    };
    assert_eq!(common_names(&request.info.subject), [common_name]);
    assert_eq!(request.info.public_key.to_der().unwrap(), spki);
}

/// The CA's side of what is checked.
#[derive(Debug)]
pub struct Issuer {
    /// The CA certificate.
    certificate: Certificate,
}

impl Issuer {
    /// Reads a CA certificate.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn from_der(der: &[u8]) -> Self {
        Self {
            certificate: Certificate::from_der(der).unwrap(),
        }
    }

    fn signature_algorithm(&self) -> (&'static str, &'static dyn VerificationAlgorithm) {
        let spki = self.certificate.tbs_certificate().subject_public_key_info();
        match spki.subject_public_key.raw_bytes().len() {
            65 => ("1.2.840.10045.4.3.2", &ECDSA_P256_SHA256_ASN1),
            97 => ("1.2.840.10045.4.3.3", &ECDSA_P384_SHA384_ASN1),
            32 => ("1.3.101.112", &ED25519),
            other => panic!("a CA key of {other} bytes"),
        }
    }

    fn end(&self) -> Duration {
        let validity = self.certificate.tbs_certificate().validity();
        validity.not_after.to_unix_duration()
    }

    /// Holds a certificate against the profile, field by field.
    ///
    /// # Panics
    /// If it is not what the contract says.
    pub fn check(&self, pem: &str, name: &str, spki: &[u8], now: u64, longest: u64) {
        let text = pem.strip_prefix("-----BEGIN CERTIFICATE-----\n").unwrap();
        let text = text.strip_suffix("-----END CERTIFICATE-----\n").unwrap();
        assert!(text.lines().all(|line| line.len() <= 64));
        let der = crate::pem::decode(text.as_bytes()).unwrap();
        let certificate = Certificate::from_der(&der).unwrap();
        assert_eq!(certificate.to_der().unwrap(), der, "not in its one form");
        self.check_signature(&certificate);
        let tbs = certificate.tbs_certificate();
        assert_eq!(tbs.version(), Version::V3);
        let serial = tbs.serial_number().as_bytes();
        assert!(serial.len() <= 20 && serial[0] < 0x80, "{serial:02x?}");
        assert!(
            serial.len() >= 12,
            "too little of it is random: {serial:02x?}"
        );
        let ca = self.certificate.tbs_certificate();
        assert_eq!(
            tbs.issuer().to_der().unwrap(),
            ca.subject().to_der().unwrap()
        );
        let subject: Vec<_> = tbs.subject().iter().collect();
        let [attribute] = subject.as_slice() else {
            panic!("subject: {}", tbs.subject());
        };
        assert_eq!(attribute.oid, COMMON_NAME);
        assert!(matches!(
            Any::tag(&attribute.value),
            Tag::Utf8String | Tag::PrintableString
        ));
        assert_eq!(attribute.value.value(), name.as_bytes());
        assert_eq!(tbs.subject_public_key_info().to_der().unwrap(), spki);
        assert!(tbs.issuer_unique_id().is_none() && tbs.subject_unique_id().is_none());

        let not_before = tbs.validity().not_before.to_unix_duration().as_secs();
        let not_after = tbs.validity().not_after.to_unix_duration().as_secs();
        assert!(not_before <= now && now <= not_before + 60);
        assert!(not_after >= now && not_after <= self.end().as_secs());
        assert!(not_after - not_before <= longest);
        if not_after < self.end().as_secs() {
            assert_eq!(not_after - not_before, longest);
        }
        self.check_extensions(&certificate, name);
    }

    fn check_signature(&self, certificate: &Certificate) {
        let (oid, verification) = self.signature_algorithm();
        let algorithm = certificate.signature_algorithm();
        assert_eq!(algorithm.oid.to_string(), oid);
        assert!(algorithm.parameters.is_none());
        assert_eq!(algorithm, certificate.tbs_certificate().signature());
        let ca_key = self.certificate.tbs_certificate().subject_public_key_info();
        UnparsedPublicKey::new(verification, ca_key.subject_public_key.raw_bytes())
            .verify(
                &certificate.tbs_certificate().to_der().unwrap(),
                certificate.signature().as_bytes().unwrap(),
            )
            .unwrap();
    }

    fn check_extensions(&self, certificate: &Certificate, name: &str) {
        let tbs = certificate.tbs_certificate();
        assert_eq!(tbs.extensions().unwrap().len(), 6);
        let (critical, basic) = tbs.get_extension::<BasicConstraints>().unwrap().unwrap();
        assert!(critical && !basic.ca && basic.path_len_constraint.is_none());
        let (critical, usage) = tbs.get_extension::<KeyUsage>().unwrap().unwrap();
        assert!(critical && usage.digital_signature() && usage.0.into_iter().count() == 1);
        let (critical, extended) = tbs.get_extension::<ExtendedKeyUsage>().unwrap().unwrap();
        assert!(!critical && extended.0 == [CLIENT_AUTH]);
        let (critical, names) = tbs.get_extension::<SubjectAltName>().unwrap().unwrap();
        assert!(!critical);
        let [GeneralName::DnsName(dns)] = names.0.as_slice() else {
            panic!("subjectAltName: {names:?}");
        };
        assert_eq!(dns.as_str(), name);
        let (critical, own) = tbs
            .get_extension::<SubjectKeyIdentifier>()
            .unwrap()
            .unwrap();
        assert!(!critical && own.0.as_bytes().len() == 20);
        let found = tbs.get_extension::<AuthorityKeyIdentifier>();
        let (critical, authority) = found.unwrap().unwrap();
        assert!(!critical);
        assert!(authority.authority_cert_issuer.is_none());
        assert!(authority.authority_cert_serial_number.is_none());
        let ca = self.certificate.tbs_certificate();
        let (_, cas) = ca.get_extension::<SubjectKeyIdentifier>().unwrap().unwrap();
        assert_eq!(
            authority.key_identifier.as_ref().map(OctetString::as_bytes),
            Some(cas.0.as_bytes())
        );
    }
}
