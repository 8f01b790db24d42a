//! Issuing: from the parameters and the CA key to DER, which `verify` has yet to check.

use crate::pki::ca::certificate::CaCertificate;
use crate::pki::ca::key::CaKey;
use crate::pki::private_key::PrivateKeyError;
use crate::pki::public_key::{KeyType, PublicKey};
use crate::pki::strict_der::{self, DerError};
use der::asn1::{AnyRef, BitStringRef};
use der::{Encode as _, Tag};
use rcgen::{
    CertificateParams, Issuer, KeyIdMethod, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData, SignatureAlgorithm, SigningKey,
};
use std::cell::RefCell;

/// Why a certificate could not be issued. The client is not the cause of any of these.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error("internal error: the certificate cannot be encoded ({0}): please report this bug")]
    Encoding(#[from] rcgen::Error),
    /// rcgen has written something that is not DER.
    #[error("internal error: the certificate is not strict DER ({0}): please report this bug")]
    DerError(#[from] DerError),
    #[error("internal error: the certificate cannot be assembled ({0}): please report this bug")]
    Der(#[from] der::Error),
    #[error("internal error: the certificate has too few fields: please report this bug")]
    Fields,
    #[error("internal error: {0}: please report this bug")]
    Signing(#[from] PrivateKeyError),
}

/// Signs a certificate: DER.
///
/// rcgen re-encodes the issuer's name, and so loses repeated attributes and older string types.
/// Therefore rcgen writes the TBSCertificate alone; its issuer is replaced by the bytes of the CA's
/// subject, and the result is signed.
///
/// # Errors
/// [`IssueError`].
pub fn issue(
    params: &CertificateParams,
    subject_key: &PublicKey,
    ca: &CaCertificate,
    key: &CaKey,
) -> Result<Vec<u8>, IssueError> {
    let mut issuer_params = CertificateParams::default();
    if let Some(identifier) = ca.key_identifier() {
        issuer_params.key_identifier_method = KeyIdMethod::PreSpecified(identifier.to_vec());
    }
    let writer = TbsWriter {
        public_key: ca.public_key(),
        tbs: RefCell::default(),
    };
    params.signed_by(subject_key, &Issuer::from_params(&issuer_params, &writer))?;
    let (tbs, algorithm) = with_issuer(&writer.tbs.into_inner(), ca.subject())?;
    let signature = key.sign(&tbs)?;
    sequence(&[
        &tbs,
        &algorithm,
        &BitStringRef::from_bytes(&signature)?.to_der()?,
    ])
}

/// The TBSCertificate with another issuer, and its signature algorithm (RFC 5280, section 4.1).
fn with_issuer(tbs: &[u8], issuer: &[u8]) -> Result<(Vec<u8>, Vec<u8>), IssueError> {
    let fields = strict_der::elements(strict_der::single(tbs)?.contents)?;
    let [version, serial, algorithm, _placeholder, rest @ ..] = fields.as_slice() else {
        return Err(IssueError::Fields);
    };
    let mut parts = vec![
        version.encoding,
        serial.encoding,
        algorithm.encoding,
        issuer,
    ];
    parts.extend(rest.iter().map(|field| field.encoding));
    Ok((sequence(&parts)?, algorithm.encoding.to_vec()))
}

fn sequence(parts: &[&[u8]]) -> Result<Vec<u8>, IssueError> {
    let contents = parts.concat();
    Ok(AnyRef::new(Tag::Sequence, &contents)?.to_der()?)
}

/// Takes the place of the CA key in rcgen, and keeps the TBSCertificate instead of signing it.
struct TbsWriter<'a> {
    public_key: &'a PublicKey,
    tbs: RefCell<Vec<u8>>,
}

impl SigningKey for TbsWriter<'_> {
    fn sign(&self, tbs: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        tbs.clone_into(&mut self.tbs.borrow_mut());
        Ok(Vec::new())
    }
}

impl PublicKeyData for TbsWriter<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.public_key.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.public_key.algorithm()
    }
}

impl PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        self.subject_public_key()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self.key_type() {
            KeyType::Rsa => &PKCS_RSA_SHA256,
            KeyType::P256 => &PKCS_ECDSA_P256_SHA256,
            KeyType::P384 => &PKCS_ECDSA_P384_SHA384,
            KeyType::Ed25519 => &PKCS_ED25519,
        }
    }
}
