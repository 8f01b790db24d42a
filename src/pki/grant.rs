//! The decision: may this subject be certified for this key?

use crate::pki::csr::Csr;
use crate::pki::master_name::MasterName;
use crate::pki::member_host::MemberHost;
use crate::pki::public_key::PublicKey;
use crate::system::escape::escape;

/// What may be issued: this subject, for this key. The later stages accept nothing else.
///
/// [`Grant::master`], [`Grant::member`] and [`Grant::signer`] are its only constructors.
#[must_use]
#[derive(Debug)]
pub struct Grant {
    subject: Subject,
    public_key: PublicKey,
}

/// Whom a certificate is for.
#[derive(Debug)]
pub enum Subject {
    /// A master, towards etcd as its client.
    Master(MasterName),
    /// A member of the etcd cluster, towards its peers and clients, at these addresses and names.
    Member(Vec<MemberHost>),
    /// The signer itself, towards etcd as its client.
    Signer,
}

/// The common name of every member of the etcd cluster. A master's name differs from it, so that
/// etcd's `peer-cert-allowed-cn` keeps masters out.
pub(crate) const MEMBER: &str = "etcd-member";

/// The common name that the signer has towards etcd. A master's name differs from it.
pub(crate) const SIGNER: &str = "etcd-signer";

impl Subject {
    /// The common name that its certificate carries.
    #[must_use]
    pub fn common_name(&self) -> &str {
        match self {
            Self::Master(name) => name.as_str(),
            Self::Member(_) => MEMBER,
            Self::Signer => SIGNER,
        }
    }
}

/// The request is sound, but for another name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "request refused: its common name is \"{found}\", but {asked} was requested: \
     make the request with CN={asked}"
)]
pub struct WrongName {
    asked: String,
    /// The common name in the request, escaped and truncated.
    found: String,
}

impl Grant {
    /// Grants the name that was asked for, if the request is for that name.
    ///
    /// # Errors
    /// [`WrongName`], when the request's common name is another.
    pub fn master(asked: MasterName, csr: Csr) -> Result<Self, WrongName> {
        Self::from_request(Subject::Master(asked), csr)
    }

    /// Grants a member's certificate for these hosts, which are the operator's words: of the
    /// request, only the key is taken.
    ///
    /// # Errors
    /// [`WrongName`], when the request's common name is not [`MEMBER`]: it was then made for
    /// something else.
    pub fn member(hosts: Vec<MemberHost>, csr: Csr) -> Result<Self, WrongName> {
        Self::from_request(Subject::Member(hosts), csr)
    }

    /// Grants the signer's own client certificate, for a key that it has just made.
    pub fn signer(public_key: PublicKey) -> Self {
        Self {
            subject: Subject::Signer,
            public_key,
        }
    }

    fn from_request(subject: Subject, csr: Csr) -> Result<Self, WrongName> {
        if csr.common_name() != subject.common_name().as_bytes() {
            return Err(WrongName {
                asked: subject.common_name().to_owned(),
                found: escape(csr.common_name()),
            });
        }
        Ok(Self {
            subject,
            public_key: csr.into_public_key(),
        })
    }

    /// Whom the certificate will be for.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The key that the certificate will be for.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }
}

#[cfg(test)]
mod tests {
    use super::{MEMBER, SIGNER};
    use crate::pki::master_name::MasterName;

    #[test]
    fn master_name_is_never_a_members_or_the_signers() {
        for reserved in [MEMBER, SIGNER] {
            assert!(MasterName::parse(reserved.as_bytes()).is_err());
        }
    }
}
