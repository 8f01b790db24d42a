//! Whether the certificate in place is due.

use super::authority::TrustedCas;
use super::leaf::{Leaf, Misfit};
use super::state::State;
use super::text::rfc3339;
use crate::pki::ca::certificate::CaCertificate;
use crate::pki::master_name::MasterName;
use crate::pki::private_key::PrivateKey;
use crate::system::installed_file;
use ring::digest::{SHA256, digest};
use std::io;
use std::path::Path;

/// The largest certificate file, in bytes.
const SIZE_LIMIT: u64 = 64 * 1024;

/// What is in place of a certificate.
#[derive(Clone, Debug)]
pub(crate) struct Assessment {
    /// The certificate, if it could be read.
    pub leaf: Option<Leaf>,
    /// The CA certificate that signed it, if it fits.
    pub(crate) ca: Option<CaCertificate>,
    /// What it is good for.
    pub condition: Condition,
}

/// What a certificate in place is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It is in force, and not due.
    Valid,
    /// It is in force, and two thirds of its lifetime are over.
    Due,
    /// Its time is over.
    Expired,
    /// It is missing, or not this master's, for the reason given.
    Unusable(String),
}

impl Condition {
    /// One word.
    #[must_use]
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Due => "due",
            Self::Expired => "expired",
            Self::Unusable(_) => "unusable",
        }
    }
}

/// What the certificate in place has to fit.
#[derive(Clone, Copy)]
pub(crate) struct Expected<'a> {
    /// The key; without it, only the rest is checked.
    pub(crate) key: Option<&'a PrivateKey>,
    pub(crate) name: &'a MasterName,
    pub(crate) cas: &'a TrustedCas,
}

/// Assesses what is in place, by this host's clock put right with what is known of the signer's.
#[must_use]
pub(crate) fn assess(path: &Path, expected: Expected<'_>, state: &State, now: i64) -> Assessment {
    let unusable = |reason: &str| Assessment {
        leaf: None,
        ca: None,
        condition: Condition::Unusable(reason.to_owned()),
    };
    let pem = match installed_file::read(path, SIZE_LIMIT) {
        Ok(pem) => pem,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return unusable("it is missing"),
        Err(error) => return unusable(&format!("it cannot be read: {error}")),
    };
    match Leaf::from_pem(&pem) {
        Err(misfit) => unusable(&format!("it {misfit}")),
        Ok(leaf) => {
            let key = expected.key.map(PrivateKey::public_key);
            let fits = leaf.fits(key, expected.name, expected.cas.usable());
            let now = now.saturating_add(state.clock_offset(Some(&leaf)));
            Assessment {
                ca: fits.clone().ok().cloned(),
                condition: condition(&leaf, fits, now),
                leaf: Some(leaf),
            }
        }
    }
}

fn condition(leaf: &Leaf, fits: Result<&CaCertificate, Misfit>, now: i64) -> Condition {
    if let Err(misfit) = fits {
        return Condition::Unusable(format!("it {misfit}"));
    }
    if now < leaf.not_before() {
        return Condition::Unusable(format!(
            "it is not valid before {}, but it is {} here: check the clocks",
            rfc3339(leaf.not_before()),
            rfc3339(now)
        ));
    }
    if now > leaf.not_after() {
        Condition::Expired
    } else if now >= due_at(leaf) {
        Condition::Due
    } else {
        Condition::Valid
    }
}

/// From when on a certificate is due, in seconds since 1970: at two thirds of its lifetime, or
/// up to a twenty-fourth of it sooner, by chance.
///
/// The chance is the certificate's own digest, so that a fleet whose certificates are of the
/// same minute does not come at the same minute again, and that every run gets the same answer.
#[must_use]
pub(crate) fn due_at(leaf: &Leaf) -> i64 {
    let digest = digest(&SHA256, leaf.pem().as_bytes());
    let chance = digest.as_ref().iter().take(2).fold(0_i64, |sum, byte| {
        sum.wrapping_mul(256).wrapping_add((*byte).into())
    });
    due_between(leaf.not_before(), leaf.not_after(), chance)
}

/// `chance` is from 0 to 65535.
fn due_between(not_before: i64, not_after: i64, chance: i64) -> i64 {
    let lifetime = not_after.saturating_sub(not_before);
    let two_thirds = lifetime.saturating_mul(2).wrapping_div(3);
    let sooner = lifetime
        .wrapping_div(24)
        .saturating_mul(chance)
        .wrapping_div(65536);
    not_before.saturating_add(two_thirds).saturating_sub(sooner)
}

#[cfg(test)]
mod tests {
    use super::due_between;

    #[test]
    fn due_at_two_thirds_or_up_to_an_hour_of_a_day_sooner() {
        let day = 24 * 3600;
        assert_eq!(due_between(1000, 1000 + day, 0), 1000 + 16 * 3600);
        let soonest = due_between(1000, 1000 + day, 65535);
        assert_eq!(soonest, 1000 + 15 * 3600 + 1);
        assert_eq!(due_between(0, 60, 0), 40);
        assert_eq!(due_between(0, 60, 65535), 39);
    }

    #[test]
    fn nonsense_ends_nowhere() {
        for (begin, end) in [(0, 0), (5, 0), (i64::MIN, i64::MAX), (i64::MAX, i64::MIN)] {
            let _ = due_between(begin, end, 65535);
        }
    }
}
