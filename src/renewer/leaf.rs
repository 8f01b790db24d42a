//! A client certificate, and whether it is this master's: for its key, its name, from its CA.

use crate::pki::ca::certificate::CaCertificate;
use crate::pki::fingerprint::Fingerprint;
use crate::pki::master_name::MasterName;
use crate::pki::pem::encode_certificate;
use crate::pki::public_key::PublicKey;
use crate::pki::strict_der::{self, BIT_STRING, SEQUENCE};
use crate::system::escape::escape;
use ring::signature::UnparsedPublicKey;
use x509_parser::asn1_rs::FromDer as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::x509::X509Name;

/// A certificate that could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    der: Vec<u8>,
    issuer: String,
    not_before: i64,
    not_after: i64,
}

/// Why a certificate is not this master's. The text goes on after "its certificate".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Misfit {
    /// No certificate at all.
    #[error("cannot be parsed: it may be truncated")]
    Malformed,
    /// Another public key.
    #[error("is for a different key")]
    Key,
    /// Another subject or alternative name.
    #[error("is for a different name: {0}")]
    Name(String),
    /// Not a TLS client's.
    #[error("is not for a TLS client: its extendedKeyUsage lacks clientAuth")]
    NotClient,
    /// A CA's.
    #[error("is a CA certificate")]
    IsCa,
    /// Another issuer, or a signature that the CA in place did not make.
    #[error("is not signed by an installed CA{0}")]
    Authority(String),
}

impl Leaf {
    /// Takes one PEM block.
    ///
    /// # Errors
    /// [`Misfit::Malformed`].
    pub(crate) fn from_pem(pem: &[u8]) -> Result<Self, Misfit> {
        let block = pem::parse(pem).map_err(|_| Misfit::Malformed)?;
        if block.tag() != "CERTIFICATE" {
            return Err(Misfit::Malformed);
        }
        Self::from_der(block.into_contents())
    }

    fn from_der(der: Vec<u8>) -> Result<Self, Misfit> {
        strict_der::single(&der).map_err(|_| Misfit::Malformed)?;
        let certificate = parse(&der)?;
        let issuer = common_name(certificate.issuer());
        let not_before = certificate.validity().not_before.timestamp();
        let not_after = certificate.validity().not_after.timestamp();
        Ok(Self {
            der,
            issuer,
            not_before,
            not_after,
        })
    }

    /// The CA of these that signed it, if it is for this key and name and for a TLS client. Its
    /// validity is not checked. Without a public key, only the rest is.
    ///
    /// # Errors
    /// [`Misfit`], with the first check that fails.
    pub(crate) fn fits<'a>(
        &self,
        public_key: Option<&PublicKey>,
        name: &MasterName,
        cas: &'a [CaCertificate],
    ) -> Result<&'a CaCertificate, Misfit> {
        let certificate = parse(&self.der)?;
        if public_key.is_some_and(|key| certificate.public_key().raw != key.spki()) {
            return Err(Misfit::Key);
        }
        check_name(&certificate, name)?;
        check_purpose(&certificate)?;
        cas.iter()
            .find(|ca| certificate.issuer().as_raw() == ca.subject() && is_signed_by(&self.der, ca))
            .ok_or_else(|| Misfit::Authority(String::new()))
    }

    /// The certificate, PEM.
    #[must_use]
    pub(crate) fn pem(&self) -> String {
        encode_certificate(&self.der)
    }

    /// SHA-256 of it.
    #[must_use]
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.der)
    }

    /// The issuer's common name, escaped and truncated.
    #[must_use]
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The first second of its validity, since 1970.
    #[must_use]
    pub(crate) fn not_before(&self) -> i64 {
        self.not_before
    }

    /// The last second of its validity, since 1970.
    #[must_use]
    pub(crate) fn not_after(&self) -> i64 {
        self.not_after
    }
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, Misfit> {
    X509Certificate::from_der(der)
        .map(|(_, certificate)| certificate)
        .map_err(|_| Misfit::Malformed)
}

/// The last common name, as the most specific one is.
fn common_name(name: &X509Name<'_>) -> String {
    name.iter_common_name()
        .last()
        .map_or_else(String::new, |value| escape(value.as_slice()))
}

fn check_name(certificate: &X509Certificate<'_>, name: &MasterName) -> Result<(), Misfit> {
    let common_names: Vec<_> = certificate.subject().iter_common_name().collect();
    let [common_name] = common_names.as_slice() else {
        return Err(Misfit::Name(
            "it has no common name, or more than one".to_owned(),
        ));
    };
    if common_name.as_slice() != name.as_str().as_bytes() {
        return Err(Misfit::Name(escape(common_name.as_slice())));
    }
    let alternative = certificate
        .subject_alternative_name()
        .map_err(|_| Misfit::Malformed)?;
    let names = alternative.map_or(&[][..], |extension| &extension.value.general_names);
    match names {
        [GeneralName::DNSName(found)] if *found == name.as_str() => Ok(()),
        _ => Err(Misfit::Name(
            "its subjectAltName must contain only that name".to_owned(),
        )),
    }
}

fn check_purpose(certificate: &X509Certificate<'_>) -> Result<(), Misfit> {
    if certificate.is_ca() {
        return Err(Misfit::IsCa);
    }
    match certificate.extended_key_usage() {
        Ok(Some(usage)) if usage.value.client_auth => Ok(()),
        Ok(_) => Err(Misfit::NotClient),
        Err(_) => Err(Misfit::Malformed),
    }
}

/// RFC 5280, section 4.1.1.3: the signature over the TBSCertificate as it stands.
fn is_signed_by(der: &[u8], ca: &CaCertificate) -> bool {
    let parts = strict_der::single(der)
        .ok()
        .and_then(|certificate| certificate.inside(SEQUENCE))
        .unwrap_or_default();
    let [tbs, algorithm, signature] = parts.as_slice() else {
        return false;
    };
    let verification = strict_der::algorithm(algorithm)
        .and_then(|algorithm| ca.public_key().key_type().verification(&algorithm).ok());
    let Some((verification, [0, signature @ ..])) =
        verification.zip(signature.contents_of(BIT_STRING))
    else {
        return false;
    };
    UnparsedPublicKey::new(verification, ca.public_key().subject_public_key())
        .verify(tbs.encoding, signature)
        .is_ok()
}
