//! The CA certificate that a master goes by: in place already, or fetched once.

use super::installed_file;
use crate::pki::ca::certificate::CaCertificate;
use crate::pki::ca::error::{CaCertificateError, CaError};
use crate::pki::fingerprint::Fingerprint;
use crate::pki::pem::{SingleCertificateError, single_certificate};
use crate::system::new_file::FileSystemError;
use std::path::Path;

/// Why there is no CA certificate to go by.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthorityError {
    /// The one in place cannot serve.
    #[error(transparent)]
    InPlace(#[from] CaError),
    /// The one in place is not the one that the settings name.
    #[error(
        "CA certificate {path}: its SHA-256 is {found}, but ca_fingerprint in the settings is \
         {expected}: put the right one there, or correct the settings"
    )]
    Pinned {
        /// Its path.
        path: String,
        /// Its fingerprint.
        found: Fingerprint,
        /// The settings' fingerprint.
        expected: Fingerprint,
    },
}

/// Why a CA certificate that a signer sent is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchedCaError {
    /// There is not exactly one.
    #[error(transparent)]
    Pem(#[from] SingleCertificateError),
    /// It cannot serve as a CA certificate.
    #[error("its CA certificate: {0}")]
    Unusable(#[from] CaCertificateError),
    /// It is not the one that the settings name.
    #[error(
        "its CA certificate has the SHA-256 {found}, but ca_fingerprint in the settings is {expected}"
    )]
    Pinned {
        /// Its fingerprint.
        found: Fingerprint,
        /// The settings' fingerprint.
        expected: Fingerprint,
    },
}

/// The CA certificate in place, if there is one; it must be what the settings say.
///
/// # Errors
/// [`AuthorityError`].
pub(crate) fn in_place(
    path: &Path,
    pinned: Option<&Fingerprint>,
    now: i64,
) -> Result<Option<CaCertificate>, AuthorityError> {
    if let Err(error) = path.symlink_metadata()
        && error.kind() == std::io::ErrorKind::NotFound
    {
        return Ok(None);
    }
    let ca = CaCertificate::load(path, now)?;
    let found = Fingerprint::of(ca.der());
    match pinned {
        Some(expected) if *expected != found => Err(AuthorityError::Pinned {
            path: path.display().to_string(),
            found,
            expected: expected.clone(),
        }),
        _ => Ok(Some(ca)),
    }
}

/// Takes the CA certificate out of what a signer sent.
///
/// # Errors
/// [`FetchedCaError`].
pub(crate) fn from_answer(
    answer: &[u8],
    pinned: Option<&Fingerprint>,
    now: i64,
) -> Result<CaCertificate, FetchedCaError> {
    let block = single_certificate(answer)?;
    let ca = CaCertificate::from_pem(block, now)?;
    let found = Fingerprint::of(ca.der());
    match pinned {
        Some(expected) if *expected != found => Err(FetchedCaError::Pinned {
            found,
            expected: expected.clone(),
        }),
        _ => Ok(ca),
    }
}

/// Puts it where there is none yet.
///
/// # Errors
/// [`FileSystemError`].
pub(crate) fn install(path: &Path, ca: &CaCertificate) -> Result<bool, FileSystemError> {
    installed_file::create(path, ca.pem().as_bytes(), 0o644)
}
