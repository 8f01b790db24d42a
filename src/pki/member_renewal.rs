//! Which members' certificates can be followed by another one without a person: the same key, the
//! same names, the same lifetime.

use crate::pki::ca::certificate::CaCertificate;
use crate::pki::member_certificate::MemberCertificate;
use crate::pki::member_host::{MEMBER, MemberHost};
use crate::pki::public_key::PublicKey;
use crate::system::escape::escape;
use std::time::Duration;

/// The longest validity of a member's certificate, as `member sign` has it: 825 days.
const LONGEST: i64 = 825 * 24 * 60 * 60;

/// A certificate of this CA for a member, in force.
///
/// [`RenewableMember::check`] is the only constructor.
#[derive(Clone, Debug)]
pub(crate) struct RenewableMember {
    public_key: PublicKey,
    hosts: Vec<MemberHost>,
    not_before: i64,
    not_after: i64,
}

/// Why a certificate cannot be renewed without a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotRenewable {
    #[error("it cannot be read as a certificate")]
    Unreadable,
    #[error("it is not signed by the CA in place")]
    AnotherCa,
    #[error("it is a CA's")]
    Authority,
    /// The name, escaped.
    #[error("it is for CN={0}, and a member's is for CN=etcd-member")]
    CommonName(String),
    #[error("it is not for both a TLS server and a TLS client, as a member's is")]
    Purpose,
    #[error("its key is of a type that is not accepted")]
    Key,
    #[error("it has no alternative names")]
    NoNames,
    #[error("it has alternative names that are neither addresses nor host names")]
    OtherNames,
    #[error("it has expired")]
    Expired,
    #[error("it is not in force yet")]
    NotYetValid,
}

impl RenewableMember {
    /// Checks a certificate, DER. `now` is in seconds since 1970.
    ///
    /// Whether its holder has shown that it holds the key is for the caller to know.
    ///
    /// # Errors
    /// [`NotRenewable`], with the first check that fails.
    pub(crate) fn check(der: &[u8], ca: &CaCertificate, now: i64) -> Result<Self, NotRenewable> {
        let found = MemberCertificate::from_der(der, Some(ca)).ok_or(NotRenewable::Unreadable)?;
        if !found.is_the_cas {
            return Err(NotRenewable::AnotherCa);
        }
        if found.is_ca {
            return Err(NotRenewable::Authority);
        }
        if found.common_name != MEMBER {
            let name = escape(found.common_name.as_bytes());
            return Err(NotRenewable::CommonName(name));
        }
        if !found.is_for_server_and_client {
            return Err(NotRenewable::Purpose);
        }
        if found.has_other_names {
            return Err(NotRenewable::OtherNames);
        }
        if found.hosts.is_empty() {
            return Err(NotRenewable::NoNames);
        }
        if now > found.not_after {
            return Err(NotRenewable::Expired);
        }
        if now < found.not_before {
            return Err(NotRenewable::NotYetValid);
        }
        Ok(Self {
            public_key: found.public_key.ok_or(NotRenewable::Key)?,
            hosts: found.hosts,
            not_before: found.not_before,
            not_after: found.not_after,
        })
    }

    #[must_use]
    pub(crate) fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The subject alternative names, in their order.
    #[must_use]
    pub(crate) fn hosts(&self) -> &[MemberHost] {
        &self.hosts
    }

    /// notAfter, in seconds since 1970.
    #[must_use]
    pub(crate) fn not_after(&self) -> i64 {
        self.not_after
    }

    /// How long the next one is to last.
    #[must_use]
    pub(crate) fn lifetime(&self) -> Duration {
        let lifetime = self.not_after.saturating_sub(self.not_before).min(LONGEST);
        Duration::from_secs(u64::try_from(lifetime).unwrap_or(0))
    }

    /// Whether a third of its time, or less, is left.
    #[must_use]
    pub(crate) fn is_due(&self, now: i64) -> bool {
        self.is_left_at_most(3, now)
    }

    /// Whether a sixth of its time, or less, is left: half of the time for renewals is over.
    #[must_use]
    pub(crate) fn is_urgent(&self, now: i64) -> bool {
        self.is_left_at_most(6, now)
    }

    fn is_left_at_most(&self, part: i64, now: i64) -> bool {
        let lifetime = self.not_after.saturating_sub(self.not_before);
        self.not_after.saturating_sub(now).saturating_mul(part) <= lifetime
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, RenewableMember};
    use crate::pki::public_key::PublicKey;
    use crate::pki::strict_der;

    /// From 0 on.
    fn lasting(seconds: i64) -> RenewableMember {
        // An Ed25519 key (RFC 8410, section 4).
        let spki = [
            0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00, 0x19, 0xbf,
            0x44, 0x09, 0x69, 0x84, 0xcd, 0xfe, 0x85, 0x41, 0xba, 0xc1, 0x67, 0xdc, 0x3b, 0x96,
            0xc8, 0x50, 0x86, 0xaa, 0x30, 0xb6, 0xb6, 0xcb, 0x0c, 0x5c, 0x38, 0xad, 0x70, 0x31,
            0x66, 0xe1,
        ];
        RenewableMember {
            public_key: PublicKey::from_spki(&strict_der::single(&spki).unwrap()).unwrap(),
            hosts: Vec::new(),
            not_before: 0,
            not_after: seconds,
        }
    }

    #[test]
    fn member_is_due_with_a_third_left_and_urgent_with_a_sixth() {
        let member = lasting(90);
        assert!(!member.is_due(59) && member.is_due(60) && member.is_due(90));
        assert!(!member.is_urgent(74) && member.is_urgent(75));
    }

    #[test]
    fn lifetime_is_at_most_825_days() {
        assert_eq!(lasting(3600).lifetime().as_secs(), 3600);
        let longest = u64::try_from(LONGEST).unwrap();
        assert_eq!(lasting(LONGEST).lifetime().as_secs(), longest);
        assert_eq!(lasting(LONGEST * 2).lifetime().as_secs(), longest);
    }
}
