//! Whether a certificate that is published for a member may take the place of the one that it has.

use crate::etcd::published::{Published, VALUE_LIMIT};
use crate::pki::ca::certificate::CaCertificate;
use crate::pki::grant::Grant;
use crate::pki::member_renewal::RenewableMember;
use crate::pki::verify::Certificate;
use std::time::Duration;

/// Why it may not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotASuccessor {
    #[error("it is larger than {VALUE_LIMIT} bytes")]
    TooLarge,
    #[error("it is not one whole certificate in PEM")]
    NotOneCertificate,
    /// What is not as `member renew` would have made it.
    #[error("it is not what a signer of this CA would issue for this member ({0})")]
    Field(&'static str),
    #[error("it does not end later than the one in place")]
    EndsNoLater,
}

/// Checks what is published for a member: every field as an issued certificate's, for the same
/// key and names, of this CA, in force; and it must end later. `None` if nothing is published.
///
/// # Errors
/// [`NotASuccessor`], with the first check that fails.
pub(crate) fn check(
    published: &Published,
    current: &RenewableMember,
    ca: &CaCertificate,
    now: i64,
) -> Result<Option<Certificate>, NotASuccessor> {
    let value = match published {
        Published::Nothing => return Ok(None),
        Published::TooLarge => return Err(NotASuccessor::TooLarge),
        Published::Value(value) => value,
    };
    let blocks = pem::parse_many(value).map_err(|_| NotASuccessor::NotOneCertificate)?;
    let [block] = blocks.as_slice() else {
        return Err(NotASuccessor::NotOneCertificate);
    };
    if block.tag() != "CERTIFICATE" {
        return Err(NotASuccessor::NotOneCertificate);
    }
    let grant = Grant::renewed_member(current);
    let der = block.contents().to_vec();
    let certificate = Certificate::check(der, &grant, ca, now, Duration::MAX)
        .map_err(|error| NotASuccessor::Field(error.field()))?;
    if certificate.not_after() <= current.not_after() {
        return Err(NotASuccessor::EndsNoLater);
    }
    Ok(Some(certificate))
}
