//! `etcd-signer ca init`: creates a CA key and certificate, or neither.

use crate::pki::pem;
use crate::pki::private_key::KeyAlgorithm;
use crate::pki::profile::{ProfileError, serial};
use crate::system::new_file::{self, FileSystemError, NewFileError};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SerialNumber,
};
use std::path::PathBuf;
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

/// How far in the past the certificate's validity begins, for members whose clock is behind.
const BACKDATE: Duration = Duration::minutes(1);

/// The CA to create.
#[derive(Clone, Debug)]
pub struct CaInitOptions {
    /// For `ca.key` and `ca.crt`. Created if it does not exist.
    pub directory: PathBuf,
    /// The type of key.
    pub algorithm: KeyAlgorithm,
    /// The validity of the certificate in days.
    pub days: u16,
    /// The subject's common name.
    pub common_name: String,
}

/// Why no CA was created. No file is left behind.
#[derive(Debug, thiserror::Error)]
pub enum CaInitError {
    #[error("CA not created: {0}")]
    NewFile(#[from] NewFileError),
    #[error("CA not created: the common name must have 1 to 64 printable characters")]
    CommonName,
    #[error("CA not created: {0}")]
    Encoding(#[from] rcgen::Error),
    #[error("CA not created: {0}")]
    Profile(#[from] ProfileError),
}

impl From<FileSystemError> for CaInitError {
    fn from(error: FileSystemError) -> Self {
        Self::NewFile(error.into())
    }
}

/// The files of a new CA.
#[derive(Clone, Debug)]
pub struct CreatedCa {
    /// The private key: PKCS#8 PEM, mode 0400.
    pub key: PathBuf,
    /// The certificate: PEM, mode 0444.
    pub certificate: PathBuf,
}

/// Creates a CA key and a self-signed certificate.
///
/// # Errors
/// [`CaInitError`]. Existing files are never overwritten.
pub fn init(options: &CaInitOptions, now: OffsetDateTime) -> Result<CreatedCa, CaInitError> {
    let created = CreatedCa {
        key: options.directory.join("ca.key"),
        certificate: options.directory.join("ca.crt"),
    };
    new_file::require_absent(&[&created.key, &created.certificate])?;
    let algorithm = match options.algorithm {
        KeyAlgorithm::P256 => &PKCS_ECDSA_P256_SHA256,
        KeyAlgorithm::P384 => &PKCS_ECDSA_P384_SHA384,
        KeyAlgorithm::Ed25519 => &PKCS_ED25519,
    };
    let key = KeyPair::generate_for(algorithm)?;
    let certificate = parameters(options, now)?.self_signed(&key)?;
    let certificate_pem = pem::encode_certificate(certificate.der());
    let key_pem = Zeroizing::new(pem::encode("PRIVATE KEY", key.serialized_der()));

    new_file::create_directory(&options.directory)?;
    let key_file = new_file::prepare(&created.key, key_pem.as_bytes(), 0o400, None)?;
    let certificate_file = new_file::prepare(
        &created.certificate,
        certificate_pem.as_bytes(),
        0o444,
        None,
    )?;
    // A key without its certificate would make the next attempt fail.
    new_file::create_both(
        (key_file, &created.key),
        (certificate_file, &created.certificate),
    )?;
    new_file::sync_directory_of(&created.key)?;
    Ok(created)
}

fn parameters(
    options: &CaInitOptions,
    now: OffsetDateTime,
) -> Result<CertificateParams, CaInitError> {
    // RFC 5280, appendix A.1: ub-common-name.
    let name = &options.common_name;
    if !(1..=64).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        return Err(CaInitError::CommonName);
    }
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, name.as_str());
    params.serial_number = Some(SerialNumber::from_slice(&serial()?));
    params.not_before = now.saturating_sub(BACKDATE);
    params.not_after = params
        .not_before
        .saturating_add(Duration::days(options.days.into()));
    // It signs end-entity certificates, and no other CA.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}
