//! The CA certificate, which must be allowed to sign client certificates now.

use super::error::{CaCertificateError, CaError};
use crate::pki::pem::encode_certificate;
use crate::pki::public_key::PublicKey;
use crate::pki::strict_der;
use crate::system::escape;
use crate::system::trusted_file::{Protection, TrustedFile};
use std::path::Path;
use x509_parser::asn1_rs::FromDer as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::time::ASN1Time;

/// The largest certificate file, in bytes.
const SIZE_LIMIT: u64 = 64 * 1024;

const CERTIFICATE: &str = "CA certificate";

/// A CA certificate that may sign client certificates.
#[derive(Clone, Debug)]
pub struct CaCertificate {
    der: Vec<u8>,
    subject: Vec<u8>,
    public_key: PublicKey,
    key_identifier: Option<Vec<u8>>,
    not_before: i64,
    not_after: i64,
}

impl CaCertificate {
    /// Loads a CA certificate and checks it. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// [`CaError`].
    pub fn load(path: &Path, now: i64) -> Result<Self, CaError> {
        let pem = TrustedFile::open(CERTIFICATE, path, Protection::Public)?.read(SIZE_LIMIT)?;
        Self::from_pem(&pem, now).map_err(|cause| CaError::Certificate {
            path: escape::path(path),
            cause,
        })
    }

    /// Parses a single PEM certificate, with the same checks.
    ///
    /// # Errors
    /// [`CaCertificateError`], with the first check that fails.
    pub fn from_pem(pem: &[u8], now: i64) -> Result<Self, CaCertificateError> {
        let blocks = pem::parse_many(pem)
            .map_err(|_| CaCertificateError::Blocks("malformed PEM".to_owned()))?;
        let [block] = blocks.as_slice() else {
            let found = format!("{} PEM blocks", blocks.len());
            return Err(CaCertificateError::Blocks(found));
        };
        if block.tag() != "CERTIFICATE" {
            let found = format!("a PEM block {}", block.tag().escape_default());
            return Err(CaCertificateError::Blocks(found));
        }
        Self::from_der(block.contents())?.in_force(now)
    }

    /// Takes DER, with all checks but the one of its validity.
    ///
    /// # Errors
    /// [`CaCertificateError`], with the first check that fails.
    pub fn from_der(der: &[u8]) -> Result<Self, CaCertificateError> {
        strict_der::single(der).map_err(|_| CaCertificateError::Malformed)?;
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|_| CaCertificateError::Malformed)?;
        may_sign(&certificate)?;
        let validity = certificate.validity();
        let spki = strict_der::single(certificate.public_key().raw)
            .map_err(|_| CaCertificateError::Malformed)?;
        let key_identifier = certificate
            .extensions()
            .iter()
            .find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0.to_vec()),
                _ => None,
            });
        Ok(Self {
            der: der.to_vec(),
            subject: certificate.subject().as_raw().to_vec(),
            public_key: PublicKey::from_spki(&spki)?,
            key_identifier,
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
        })
    }

    /// Refuses it outside of its validity.
    ///
    /// # Errors
    /// [`CaCertificateError::NotYetValid`] or [`CaCertificateError::Expired`].
    pub fn in_force(self, now: i64) -> Result<Self, CaCertificateError> {
        let shown = |seconds| {
            ASN1Time::from_timestamp(seconds)
                .map_or_else(|_| "?".to_owned(), |time| time.to_string())
        };
        if now < self.not_before {
            return Err(CaCertificateError::NotYetValid(shown(self.not_before)));
        }
        if now > self.not_after {
            return Err(CaCertificateError::Expired(shown(self.not_after)));
        }
        Ok(self)
    }

    /// The certificate, DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The certificate, PEM, without other text of its file.
    #[must_use]
    pub fn pem(&self) -> String {
        encode_certificate(&self.der)
    }

    /// The bytes of the subject, DER: the issuer of the certificates that it signs.
    #[must_use]
    pub fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The subject key identifier, if it has one.
    #[must_use]
    pub fn key_identifier(&self) -> Option<&[u8]> {
        self.key_identifier.as_deref()
    }

    /// notBefore, in seconds since 1970.
    #[must_use]
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// notAfter, in seconds since 1970.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.not_after
    }
}

/// RFC 5280, sections 4.2.1.3, 4.2.1.9 and 4.2.1.12. Go, and so etcd, applies the extendedKeyUsage
/// of a CA to the certificates that it signs.
fn may_sign(certificate: &X509Certificate<'_>) -> Result<(), CaCertificateError> {
    let malformed = |_| CaCertificateError::Malformed;
    let constraints = certificate.basic_constraints().map_err(malformed)?;
    if !constraints.is_some_and(|extension| extension.value.ca) {
        return Err(CaCertificateError::NotCa);
    }
    let usage = certificate.key_usage().map_err(malformed)?;
    if usage.is_some_and(|extension| !extension.value.key_cert_sign()) {
        return Err(CaCertificateError::NoKeyCertSign);
    }
    let extended = certificate.extended_key_usage().map_err(malformed)?;
    if extended.is_some_and(|extension| !extension.value.any && !extension.value.client_auth) {
        return Err(CaCertificateError::NoClientAuth);
    }
    // Name constraints apply to the certificates that it signs, and an unknown critical extension
    // makes the path invalid (sections 4.2.1.10 and 4.2).
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::NameConstraints(_) => {
                return Err(CaCertificateError::Extension("nameConstraints".to_owned()));
            }
            ParsedExtension::UnsupportedExtension { .. } if extension.critical => {
                return Err(CaCertificateError::Extension(extension.oid.to_string()));
            }
            _ => {}
        }
    }
    Ok(())
}
