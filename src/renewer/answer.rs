//! What a signer sent: one certificate, whatever else stands around it.

use super::leaf::{Leaf, Misfit};
use super::text::rfc3339;
use crate::pki::ca::certificate::CaCertificate;
use crate::pki::master_name::MasterName;
use crate::pki::pem::{SingleCertificateError, single_certificate};
use crate::pki::public_key::PublicKey;

/// Why an answer is not taken. The certificate in place stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnswerError {
    /// There is not exactly one certificate.
    #[error(transparent)]
    Pem(#[from] SingleCertificateError),
    /// It is not what was asked for.
    #[error("its certificate {0}")]
    Misfit(#[from] Misfit),
    /// It has ended.
    #[error(
        "its certificate expired at {not_after}, and it is {now} here: is this host's clock \
         right, and the signer's?"
    )]
    Expired {
        /// When.
        not_after: String,
        /// This host's time.
        now: String,
    },
    /// It has not begun.
    #[error(
        "its certificate is not valid before {not_before}, and it is {now} here: is this \
         host's clock right, and the signer's?"
    )]
    NotYetValid {
        /// When it begins.
        not_before: String,
        /// This host's time.
        now: String,
    },
}

/// Takes the certificate out of a signer's answer, if it is what was asked for: one, for this
/// key and name, a client's, of this CA, and in force.
///
/// # Errors
/// [`AnswerError`], with the first check that fails.
pub(crate) fn check(
    answer: &[u8],
    public_key: &PublicKey,
    name: &MasterName,
    ca: &CaCertificate,
    now: i64,
) -> Result<Leaf, AnswerError> {
    let leaf = Leaf::from_pem(single_certificate(answer)?)?;
    leaf.fits(public_key, name, ca)?;
    if now < leaf.not_before() {
        return Err(AnswerError::NotYetValid {
            not_before: rfc3339(leaf.not_before()),
            now: rfc3339(now),
        });
    }
    if now > leaf.not_after() {
        return Err(AnswerError::Expired {
            not_after: rfc3339(leaf.not_after()),
            now: rfc3339(now),
        });
    }
    Ok(leaf)
}
