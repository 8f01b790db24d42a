//! A CA's key and certificate together, as a backup keeps them.

use super::certificate::CaCertificate;
use super::error::{CaCertificateError, CaError};
use super::key::CaKeyFile;
use crate::pki::pem::encode;
use crate::pki::private_key::{PrivateKey, PrivateKeyError};
use crate::system::escape;
use std::path::Path;
use zeroize::Zeroizing;

/// A CA's private key and certificate, which fit, as they are kept in a backup: two PEM blocks.
pub(crate) struct CaBundle {
    key: Zeroizing<String>,
    certificate: CaCertificate,
}

impl CaBundle {
    /// Takes the two from their files.
    ///
    /// # Errors
    /// [`CaError`], as loading each of them has it.
    pub(crate) fn load(certificate: &Path, key: &Path, now: i64) -> Result<Self, CaError> {
        let path = escape::path(key);
        let certificate = CaCertificate::load(certificate, now)?;
        let pem = CaKeyFile::open(key)?.read_pem()?;
        Self::from_key(&pem, certificate).map_err(|cause| CaError::Key { path, cause })
    }

    /// Takes the two from what [`CaBundle::to_pem`] has made, which was found at `path`.
    ///
    /// # Errors
    /// [`CaError`]: it does not hold a CA's key and certificate that fit.
    pub(crate) fn parse(pem: &[u8], path: &Path, now: i64) -> Result<Self, CaError> {
        let path = escape::path(path);
        let blocks = pem::parse_many(pem).unwrap_or_default();
        let mut certificates = blocks.iter().filter(|b| b.tag() == "CERTIFICATE");
        let certificate = match (certificates.next(), certificates.next()) {
            (Some(block), None) => CaCertificate::from_der(block.contents())
                .and_then(|certificate| certificate.in_force(now)),
            (None, _) => Err(CaCertificateError::Blocks("no certificate".to_owned())),
            _ => Err(CaCertificateError::Blocks(
                "several certificates".to_owned(),
            )),
        };
        let certificate = certificate.map_err(|cause| CaError::Certificate {
            path: path.clone(),
            cause,
        })?;
        Self::from_key(pem, certificate).map_err(|cause| CaError::Key { path, cause })
    }

    fn from_key(pem: &[u8], certificate: CaCertificate) -> Result<Self, PrivateKeyError> {
        // The one key block among whatever else there is, and as it stands: an encoding of ours
        // would be one more thing to get wrong.
        PrivateKey::from_pem(pem, Some(certificate.public_key()))?;
        let blocks = pem::parse_many(pem).map_err(|_| PrivateKeyError::Malformed)?;
        let key = blocks
            .into_iter()
            .find(|block| block.tag().ends_with("PRIVATE KEY"))
            .ok_or(PrivateKeyError::NoKey)?;
        let label = key.tag().to_owned();
        let der = Zeroizing::new(key.into_contents());
        Ok(Self {
            key: Zeroizing::new(encode(&label, &der)),
            certificate,
        })
    }

    /// The private key, PEM.
    #[must_use]
    pub(crate) fn key_pem(&self) -> &str {
        &self.key
    }

    /// The certificate.
    #[must_use]
    pub(crate) fn certificate(&self) -> &CaCertificate {
        &self.certificate
    }

    /// Key and certificate, PEM: what `age --decrypt` shows, and can be put in place by hand.
    #[must_use]
    pub(crate) fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new([self.key.as_str(), &self.certificate.pem()].concat())
    }
}
