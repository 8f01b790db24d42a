//! The decision: may this name be certified for this key?

use crate::csr::Csr;
use crate::escape::escape;
use crate::host::Host;
use crate::key::PublicKey;
use crate::name::MasterName;

/// What may be issued: this name, for this key. The later stages accept nothing else.
///
/// [`Grant::decide`] is its only constructor.
#[must_use]
#[derive(Debug)]
pub struct Grant {
    name: MasterName,
    public_key: PublicKey,
}

/// The request is sound, but for another name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "request refused: its common name is \"{found}\", but {asked} was asked for: \
     make the request with CN={asked}"
)]
pub struct WrongName {
    /// The name that was asked for.
    asked: String,
    /// The common name in the request, escaped and cut short.
    found: String,
}

impl Grant {
    /// Grants the name that was asked for, if the request is for that name.
    ///
    /// # Errors
    /// [`WrongName`], when the request's common name is another.
    pub fn decide(asked: MasterName, csr: Csr) -> Result<Self, WrongName> {
        named(&csr, asked.as_str())?;
        Ok(Self {
            name: asked,
            public_key: csr.into_public_key(),
        })
    }

    /// The name that the certificate will carry.
    #[must_use]
    pub fn name(&self) -> &MasterName {
        &self.name
    }

    /// The key that the certificate will be for.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }
}

/// The common name of every member of the etcd cluster, towards its peers and clients. No
/// master's name is like it, so that etcd's `peer-cert-allowed-cn` keeps masters out.
pub const MEMBER: &str = "etcd-member";

/// What may be issued to a member: a certificate for these hosts, which are the operator's
/// words, and this key, which is all that is taken from the request.
///
/// [`MemberGrant::decide`] is its only constructor.
#[must_use]
#[derive(Debug)]
pub struct MemberGrant {
    hosts: Vec<Host>,
    public_key: PublicKey,
}

impl MemberGrant {
    /// Grants a member's certificate for these hosts, if the request is a member's.
    ///
    /// # Errors
    /// [`WrongName`], when the request's common name is not [`MEMBER`]: it was then made for
    /// something else.
    pub fn decide(hosts: Vec<Host>, csr: Csr) -> Result<Self, WrongName> {
        named(&csr, MEMBER)?;
        Ok(Self {
            hosts,
            public_key: csr.into_public_key(),
        })
    }

    /// The addresses and names that the certificate will be for.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The key that the certificate will be for.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }
}

fn named(csr: &Csr, asked: &str) -> Result<(), WrongName> {
    if csr.common_name() == asked.as_bytes() {
        return Ok(());
    }
    Err(WrongName {
        asked: asked.to_owned(),
        found: escape(csr.common_name()),
    })
}

#[cfg(test)]
mod tests {
    use super::MEMBER;
    use crate::name::MasterName;

    #[test]
    fn no_master_can_have_a_members_name() {
        assert!(MasterName::parse(MEMBER.as_bytes()).is_err());
    }
}
