//! The signer's own identity as a client of etcd: a key that exists in memory only, and its
//! certificate.

use crate::pki::profile::ProfileError;
use crate::pki::public_key::PublicKey;
use crate::pki::strict_der;
use crate::pki::verify::Certificate;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use zeroize::Zeroizing;

/// A new P-256 key. It implements neither `Debug` nor `Clone`.
pub struct OwnKey {
    pkcs8: Zeroizing<Vec<u8>>,
    public_key: PublicKey,
}

impl OwnKey {
    /// Generates the key.
    ///
    /// # Errors
    /// [`ProfileError::Random`].
    pub fn generate() -> Result<Self, ProfileError> {
        let pair =
            KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|_| ProfileError::Random)?;
        let spki = pair.subject_public_key_info();
        let public_key = strict_der::single(&spki)
            .ok()
            .and_then(|spki| PublicKey::from_spki(&spki).ok())
            .ok_or(ProfileError::Encoding("the signer's own key"))?;
        Ok(Self {
            pkcs8: Zeroizing::new(pair.serialize_der()),
            public_key,
        })
    }

    /// The public key for its certificate.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }
}

/// A TLS client key with its certificate.
pub(crate) struct Identity {
    key: OwnKey,
    certificate: Certificate,
}

impl Identity {
    #[must_use]
    pub(crate) fn new(key: OwnKey, certificate: Certificate) -> Self {
        Self { key, certificate }
    }

    /// The certificate, DER.
    #[must_use]
    pub(crate) fn certificate(&self) -> &[u8] {
        self.certificate.der()
    }

    /// The private key, PKCS#8 DER.
    #[must_use]
    pub(crate) fn key(&self) -> &[u8] {
        &self.key.pkcs8
    }
}
