//! Identities of a client of etcd, with keys that exist in memory only: the signer's own, and an
//! intruder's.

use crate::pki::member_host::MEMBER;
use crate::pki::private_key::PrivateKey;
use crate::pki::profile::ProfileError;
use crate::pki::public_key::PublicKey;
use crate::pki::strict_der;
use crate::pki::verify::Certificate;
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, PKCS_ECDSA_P256_SHA256,
    PublicKeyData as _, SanType,
};
use std::net::IpAddr;
use zeroize::Zeroizing;

/// A new P-256 key. It implements neither `Debug` nor `Clone`.
pub struct OwnKey {
    der: Zeroizing<Vec<u8>>,
    public_key: PublicKey,
}

impl OwnKey {
    /// Generates the key.
    ///
    /// # Errors
    /// [`ProfileError::Random`].
    pub fn generate() -> Result<Self, ProfileError> {
        Self::from_pair(&new_pair()?)
    }

    fn from_pair(pair: &KeyPair) -> Result<Self, ProfileError> {
        let spki = pair.subject_public_key_info();
        let public_key = strict_der::single(&spki)
            .ok()
            .and_then(|spki| PublicKey::from_spki(&spki).ok())
            .ok_or(ProfileError::Encoding("the signer's own key"))?;
        Ok(Self {
            der: Zeroizing::new(pair.serialize_der()),
            public_key,
        })
    }

    /// The public key for its certificate.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }
}

fn new_pair() -> Result<KeyPair, ProfileError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|_| ProfileError::Random)
}

/// A TLS client key with its certificate.
pub(crate) struct Identity {
    key: OwnKey,
    certificate: Vec<u8>,
}

impl Identity {
    #[must_use]
    pub(crate) fn new(key: OwnKey, certificate: &Certificate) -> Self {
        let certificate = certificate.der().to_vec();
        Self { key, certificate }
    }

    /// What the PEM files of a client hold: its certificate, and its key. `None` if they do not.
    #[must_use]
    pub(crate) fn from_pem(certificate: &str, key: &str) -> Option<Self> {
        let certificate = pem::parse(certificate).ok()?.into_contents();
        let private_key = PrivateKey::from_pem(key.as_bytes(), None).ok()?;
        // openssl writes the parameters of a curve in a block of their own, before the key.
        let block = pem::parse_many(key)
            .ok()?
            .into_iter()
            .find(|block| block.tag().ends_with("PRIVATE KEY"))?;
        let der = Zeroizing::new(block.into_contents());
        let public_key = private_key.public_key().clone();
        Some(Self {
            key: OwnKey { der, public_key },
            certificate,
        })
    }

    /// A member's name and addresses in a certificate that no CA has signed: what anybody can
    /// make, and no etcd should take.
    ///
    /// # Errors
    /// [`ProfileError`].
    pub(crate) fn self_signed(addresses: &[IpAddr]) -> Result<Self, ProfileError> {
        let pair = new_pair()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, MEMBER);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = addresses.iter().copied().map(SanType::IpAddress).collect();
        let certificate = params
            .self_signed(&pair)
            .map_err(|_| ProfileError::Encoding("a self-signed certificate"))?;
        Ok(Self {
            key: OwnKey::from_pair(&pair)?,
            certificate: certificate.der().to_vec(),
        })
    }

    /// The certificate, DER.
    #[must_use]
    pub(crate) fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// The private key, DER: PKCS#8, SEC1 or PKCS#1.
    #[must_use]
    pub(crate) fn key(&self) -> &[u8] {
        &self.key.der
    }
}
