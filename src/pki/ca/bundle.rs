//! A CA's key and certificate together, for backups.

use super::certificate::CaCertificate;
use super::error::{CaCertificateError, CaError};
use super::key::CaKeyFile;
use crate::pki::pem::encode;
use crate::pki::private_key::{PrivateKey, PrivateKeyError};
use crate::system::escape;
use std::path::Path;
use zeroize::Zeroizing;

/// A CA's private key and matching certificate: two PEM blocks.
pub(crate) struct CaBundle {
    key: Zeroizing<String>,
    certificate: CaCertificate,
}

impl CaBundle {
    /// Loads both from their files.
    ///
    /// # Errors
    /// [`CaError`].
    pub(crate) fn load(certificate: &Path, key: &Path, now: i64) -> Result<Self, CaError> {
        let path = escape::path(key);
        let certificate = CaCertificate::load(certificate, now)?;
        let pem = CaKeyFile::open(key)?.read_pem()?;
        Self::from_key(&pem, certificate).map_err(|cause| CaError::Key { path, cause })
    }

    /// Parses the output of [`CaBundle::to_pem`]. `path` is for messages.
    ///
    /// # Errors
    /// [`CaError`], if it does not contain a CA's key and matching certificate.
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
        // The block is copied, not re-encoded: what could be read before can be read from the copy.
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

    #[must_use]
    pub(crate) fn key_pem(&self) -> &str {
        &self.key
    }

    #[must_use]
    pub(crate) fn certificate(&self) -> &CaCertificate {
        &self.certificate
    }

    /// Key and certificate, PEM. `age --decrypt` prints it, so that a restore by hand is possible.
    #[must_use]
    pub(crate) fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new([self.key.as_str(), &self.certificate.pem()].concat())
    }
}
