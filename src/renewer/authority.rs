//! The CA certificates that a master trusts: those in place, or one that is fetched once.

use super::config::RenewerConfig;
use crate::pki::ca::certificate::CaCertificate;
use crate::pki::ca::error::CaCertificateError;
use crate::pki::fingerprint::Fingerprint;
use crate::pki::pem::{SingleCertificateError, certificates, single_certificate};
use crate::system::escape;
use crate::system::installed_file;
use crate::system::new_file::FileSystemError;
use std::io;
use std::path::Path;

/// The largest file of CA certificates, in bytes.
const SIZE_LIMIT: u64 = 64 * 1024;
/// The most certificates that the file may hold.
const MAX_CERTIFICATES: usize = 8;

/// The CA certificates in place. More than one is there while a CA is being replaced.
#[derive(Clone, Debug)]
pub(crate) struct TrustedCas {
    usable: Vec<CaCertificate>,
    unusable: Vec<UnusableCa>,
}

/// A certificate in the file that is ignored.
#[derive(Clone, Debug)]
struct UnusableCa {
    /// Its place in the file, counted from 1.
    position: usize,
    reason: String,
}

impl TrustedCas {
    /// Those that can be used, in the file's order; at least one.
    #[must_use]
    pub(crate) fn usable(&self) -> &[CaCertificate] {
        &self.usable
    }

    /// What the operator should know of them, whatever they are used for.
    #[must_use]
    pub(crate) fn warnings(&self, path: &Path, now: i64) -> Vec<String> {
        let path = escape::path(path);
        let of_time = self.usable.iter().filter_map(|ca| {
            let reason = ca.clone().in_force(now).err()?;
            Some(format!(
                "CA certificate {path}: SHA-256 {}: {reason}",
                Fingerprint::of(ca.der())
            ))
        });
        let ignored = self.unusable.iter().map(|ca| {
            format!(
                "CA certificate {path}: ignoring certificate {} in the file: {}",
                ca.position, ca.reason
            )
        });
        of_time.chain(ignored).collect()
    }
}

/// Why there is no CA certificate to trust.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthorityError {
    #[error("CA certificate {path}: it cannot be read: {source}")]
    Unreadable { path: String, source: io::Error },
    #[error(
        "CA certificate {path}: it contains {found}: it must contain one to eight CERTIFICATE PEM blocks"
    )]
    Blocks { path: String, found: String },
    /// None of its certificates can be used.
    #[error("CA certificate {path}: {reason}")]
    Unusable { path: String, reason: String },
    /// The one that the settings name is not there.
    #[error(
        "CA certificate {path}: its SHA-256 is {found}, but ca_fingerprint in the settings is \
         {expected}: install the correct certificate, or correct the settings"
    )]
    Pinned {
        path: String,
        /// The fingerprints of those that are there.
        found: String,
        expected: Fingerprint,
    },
}

/// Why a CA certificate that a signer sent is not installed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchedCaError {
    #[error(transparent)]
    Pem(#[from] SingleCertificateError),
    #[error("its CA certificate: {0}")]
    Unusable(#[from] CaCertificateError),
    /// It is not the one that the settings name.
    #[error(
        "its CA certificate has the SHA-256 {found}, but ca_fingerprint in the settings is {expected}"
    )]
    Pinned {
        found: Fingerprint,
        expected: Fingerprint,
    },
}

/// The CA certificates in place, if the file exists. With `ca_fingerprint`, one of them must be
/// the one that it names.
///
/// Their validity is not checked: this host's clock may be wrong, and the signer and etcd check it
/// with theirs.
///
/// # Errors
/// [`AuthorityError`].
pub(crate) fn in_place(config: &RenewerConfig) -> Result<Option<TrustedCas>, AuthorityError> {
    let path = escape::path(&config.ca_certificate);
    // One byte more tells that it is longer.
    let pem = match installed_file::read(&config.ca_certificate, SIZE_LIMIT.saturating_add(1)) {
        Ok(pem) => pem,
        // A link to nowhere is not nothing: somebody has to repair it.
        Err(error)
            if error.kind() == io::ErrorKind::NotFound && !config.ca_certificate.is_symlink() =>
        {
            return Ok(None);
        }
        Err(source) => return Err(AuthorityError::Unreadable { path, source }),
    };
    let cas = parse(&pem, &path)?;
    if let Some(expected) = &config.ca_fingerprint {
        let found: Vec<Fingerprint> = cas
            .usable
            .iter()
            .map(|ca| Fingerprint::of(ca.der()))
            .collect();
        if !found.contains(expected) {
            return Err(AuthorityError::Pinned {
                path,
                found: list(&found),
                expected: expected.clone(),
            });
        }
    }
    Ok(Some(cas))
}

/// Fingerprints as they are shown.
pub(crate) fn list(fingerprints: &[Fingerprint]) -> String {
    let shown: Vec<String> = fingerprints.iter().map(ToString::to_string).collect();
    shown.join(", ")
}

fn parse(pem: &[u8], path: &str) -> Result<TrustedCas, AuthorityError> {
    let blocks = |found: String| AuthorityError::Blocks {
        path: path.to_owned(),
        found,
    };
    if u64::try_from(pem.len()).unwrap_or(u64::MAX) > SIZE_LIMIT {
        return Err(blocks("more than 64 KiB".to_owned()));
    }
    // What else the file holds is no more looked at than etcd and kube-apiserver do.
    let certificates = certificates(pem);
    if !(1..=MAX_CERTIFICATES).contains(&certificates.len()) {
        return Err(blocks(format!("{} certificates", certificates.len())));
    }
    let (mut usable, mut unusable): (Vec<CaCertificate>, Vec<UnusableCa>) = Default::default();
    for (position, block) in (1_usize..).zip(certificates) {
        let der = single_certificate(block)
            .ok()
            .and_then(|block| pem::parse(block).ok());
        let ca = der
            .ok_or_else(|| "malformed PEM: replace it".to_owned())
            .and_then(|der| CaCertificate::from_der(der.contents()).map_err(|e| e.to_string()));
        match ca {
            Ok(ca) => usable.push(ca),
            Err(reason) => unusable.push(UnusableCa { position, reason }),
        }
    }
    match unusable.first() {
        Some(first) if usable.is_empty() => Err(AuthorityError::Unusable {
            path: path.to_owned(),
            reason: first.reason.clone(),
        }),
        _ => Ok(TrustedCas { usable, unusable }),
    }
}

/// Takes the CA certificate out of what a signer sent. One that has not begun may be right, where
/// this host's clock is not; one that has ended will not serve, and would stay.
///
/// # Errors
/// [`FetchedCaError`].
pub(crate) fn from_answer(
    answer: &[u8],
    pinned: Option<&Fingerprint>,
    now: i64,
) -> Result<CaCertificate, FetchedCaError> {
    let block = single_certificate(answer)?;
    let der = pem::parse(block).map_err(|_| CaCertificateError::Malformed)?;
    let ca = CaCertificate::from_der(der.contents())?;
    let begun = now.max(ca.not_before());
    let ca = ca.in_force(begun)?;
    let found = Fingerprint::of(ca.der());
    match pinned {
        Some(expected) if *expected != found => Err(FetchedCaError::Pinned {
            found,
            expected: expected.clone(),
        }),
        _ => Ok(ca),
    }
}

/// Creates the file with a certificate that was fetched. `false` if something has that name: that
/// stays.
///
/// # Errors
/// [`FileSystemError`].
pub(crate) fn install(path: &Path, ca: &CaCertificate) -> Result<bool, FileSystemError> {
    installed_file::create(path, ca.pem().as_bytes(), 0o644)
}

impl From<CaCertificate> for TrustedCas {
    fn from(ca: CaCertificate) -> Self {
        Self {
            usable: vec![ca],
            unusable: Vec::new(),
        }
    }
}
