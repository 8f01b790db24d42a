//! A certificate that is not a CA's: when it ends, and whose it is.

use crate::pki::ca::certificate::CaCertificate;
use crate::pki::public_key::PublicKey;
use crate::pki::strict_der;
use x509_parser::asn1_rs::FromDer as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::x509::SubjectPublicKeyInfo;

/// What is looked at of it.
pub(super) struct MemberCertificate {
    /// The first second of its validity, since 1970.
    pub(super) not_before: i64,
    /// The last.
    pub(super) not_after: i64,
    /// Its key, if it is of a kind that is known here.
    pub(super) public_key: Option<PublicKey>,
    /// Its one common name, if it has one.
    pub(super) common_name: String,
    /// Whether the CA has signed it.
    pub(super) is_the_cas: bool,
}

impl MemberCertificate {
    /// Takes the first PEM block of a file.
    pub(super) fn parse(pem: &[u8], ca: Option<&CaCertificate>) -> Option<Self> {
        let block = pem::parse(pem).ok()?;
        let (_, certificate) = X509Certificate::from_der(block.contents()).ok()?;
        let spki = strict_der::single(certificate.public_key().raw).ok()?;
        let ca_key = ca.and_then(|ca| {
            let (_, key) = SubjectPublicKeyInfo::from_der(ca.public_key().spki()).ok()?;
            Some(key)
        });
        Some(Self {
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            public_key: PublicKey::from_spki(&spki).ok(),
            common_name: certificate
                .subject()
                .iter_common_name()
                .next()
                .and_then(|name| name.as_str().ok())
                .unwrap_or_default()
                .to_owned(),
            is_the_cas: ca_key.is_some_and(|key| certificate.verify_signature(Some(&key)).is_ok()),
        })
    }
}
