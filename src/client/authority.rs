//! The CA certificate that a master goes by: in place already, or fetched once.

use super::answer::{self, Blocks};
use super::store::{self, StoreError};
use super::text::hex;
use crate::ca::{CaCertificate, CaError, CertificateCause};
use ring::digest::{SHA256, digest};
use std::fmt;
use std::path::Path;

/// SHA-256 of a certificate's DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of a certificate.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, der).as_ref());
        Self(bytes)
    }

    /// Takes 64 hexadecimal digits, with or without colons, in either case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text
            .bytes()
            .filter(|byte| *byte != b':')
            .map(|byte| {
                char::from(byte)
                    .to_digit(16)
                    .and_then(|d| u8::try_from(d).ok())
            })
            .collect::<Option<_>>()?;
        if digits.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair.iter().fold(0, |sum, digit| (sum << 4) | digit);
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// Why there is no CA certificate to go by.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
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
pub enum FetchedRefusal {
    /// There is not exactly one.
    #[error(transparent)]
    Blocks(#[from] Blocks),
    /// It cannot serve as a CA certificate.
    #[error("its CA certificate: {0}")]
    Unusable(#[from] CertificateCause),
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
pub fn in_place(
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
/// [`FetchedRefusal`].
pub fn from_answer(
    answer: &[u8],
    pinned: Option<&Fingerprint>,
    now: i64,
) -> Result<CaCertificate, FetchedRefusal> {
    let block = answer::the_one_block(answer)?;
    let ca = CaCertificate::from_pem(block, now)?;
    let found = Fingerprint::of(ca.der());
    match pinned {
        Some(expected) if *expected != found => Err(FetchedRefusal::Pinned {
            found,
            expected: expected.clone(),
        }),
        _ => Ok(ca),
    }
}

/// Puts it where there is none yet.
///
/// # Errors
/// [`StoreError`].
pub fn place(path: &Path, ca: &CaCertificate) -> Result<bool, StoreError> {
    store::make_directory_for(path)?;
    store::place(path, ca.pem().as_bytes(), 0o644)
}

#[cfg(test)]
mod tests {
    use super::Fingerprint;

    #[test]
    fn fingerprints_are_taken_as_openssl_prints_them() {
        let lower = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let openssl = "E3:B0:C4:42:98:FC:1C:14:9A:FB:F4:C8:99:6F:B9:24:27:AE:41:E4:64:9B:93:4C:A4:95:99:1B:78:52:B8:55";
        // SHA-256 of nothing, as sha256sum says.
        assert_eq!(Fingerprint::of(b"").to_string(), lower);
        assert_eq!(Fingerprint::parse(lower), Some(Fingerprint::of(b"")));
        assert_eq!(Fingerprint::parse(openssl), Some(Fingerprint::of(b"")));
        for bad in [
            "",
            "e3",
            &lower[1..],
            &format!("{lower}00"),
            &lower.replace('e', "g"),
        ] {
            assert_eq!(Fingerprint::parse(bad), None, "{bad}");
        }
    }
}
