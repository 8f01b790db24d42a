//! What a signer sent: one certificate, whatever text surrounds it.

use super::leaf::{Leaf, Misfit};
use super::text::{residual, rfc3339};
use crate::pki::ca::certificate::CaCertificate;
use crate::pki::fingerprint::Fingerprint;
use crate::pki::master_name::MasterName;
use crate::pki::pem::{SingleCertificateError, single_certificate};
use crate::pki::public_key::PublicKey;

/// Why an answer is not installed. The certificate in place stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnswerError {
    /// There is not exactly one certificate.
    #[error(transparent)]
    Pem(#[from] SingleCertificateError),
    /// It is not what was asked for.
    #[error("its certificate {0}")]
    Misfit(#[from] Misfit),
    /// Its clock and this host's are far apart, and the certificate in place is still in force.
    #[error(
        "its certificate is valid from {not_before} to {not_after}, but it is {now} here: the \
         clocks are {difference} apart; the installed certificate is still valid and is kept: \
         correct the wrong clock (chrony or systemd-timesyncd)"
    )]
    Clock {
        not_before: String,
        not_after: String,
        /// This host's time.
        now: String,
        difference: String,
        /// How far this host's clock is behind the signer's, in seconds.
        offset: i64,
    },
}

/// A certificate that was asked for, and what it tells of the signer's clock.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) leaf: Leaf,
    /// SHA-256 of the CA certificate that signed it.
    pub(crate) ca: Fingerprint,
    /// How far this host's clock is behind the signer's, in seconds; negative if it is ahead.
    pub(crate) clock_offset: i64,
}

/// How far in the past a signer lets validity begin at most, in seconds.
const BACKDATE: i64 = 60;

impl Answer {
    /// Takes the certificate out of a signer's answer, if it is what was asked for: one, for this
    /// key and name, for a TLS client, and of one of these CAs.
    ///
    /// A signer lets validity begin a minute before its own time, or a quarter of the lifetime
    /// where that is less. So it says what time it is there, by a clock that is an etcd node's.
    ///
    /// # Errors
    /// [`AnswerError`], with the first check that fails.
    pub(crate) fn check(
        answer: &[u8],
        public_key: &PublicKey,
        name: &MasterName,
        cas: &[CaCertificate],
        now: i64,
    ) -> Result<Self, AnswerError> {
        let leaf = Leaf::from_pem(single_certificate(answer)?)?;
        let ca = Fingerprint::of(leaf.fits(Some(public_key), name, cas)?.der());
        let lifetime = leaf.not_after().saturating_sub(leaf.not_before());
        if lifetime <= 0 {
            return Err(Misfit::Malformed.into());
        }
        let issued = leaf
            .not_before()
            .saturating_add(BACKDATE.min(lifetime.wrapping_div(4)));
        Ok(Self {
            leaf,
            ca,
            clock_offset: issued.saturating_sub(now),
        })
    }

    /// The error that the two clocks are too far apart.
    #[must_use]
    pub(crate) fn clock_error(&self, now: i64) -> AnswerError {
        AnswerError::Clock {
            not_before: rfc3339(self.leaf.not_before()),
            not_after: rfc3339(self.leaf.not_after()),
            now: rfc3339(now),
            difference: residual(self.clock_offset.saturating_abs()),
            offset: self.clock_offset,
        }
    }
}
