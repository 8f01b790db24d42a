//! The authorization to issue a certificate for a subject and a public key.

use crate::pki::csr::Csr;
use crate::pki::master_name::MasterName;
use crate::pki::member_host::{MEMBER, MemberHost};
use crate::pki::member_renewal::RenewableMember;
use crate::pki::public_key::PublicKey;
use crate::system::escape::escape;
use std::net::IpAddr;

/// Authorizes a certificate for a subject and a public key. Nothing is issued without one.
///
/// [`Grant::master`], [`Grant::member`], [`Grant::renewed_member`], [`Grant::signer`] and
/// [`Grant::peer_probe`] are the only constructors.
#[must_use]
#[derive(Debug)]
pub struct Grant {
    subject: Subject,
    public_key: PublicKey,
}

/// The subject of a certificate.
#[derive(Debug)]
pub enum Subject {
    /// A master, as a client of etcd.
    Master(MasterName),
    /// A member of the etcd cluster, as a server, client and peer, with these addresses and names.
    Member(Vec<MemberHost>),
    /// The signer itself, as a client of etcd.
    Signer,
    /// The signer itself, from these addresses, towards etcd's peer port: a client that must be
    /// refused there, as a master must.
    PeerProbe(Vec<MemberHost>),
}

/// The common name of the signer as a client of etcd. No master can have it.
pub(crate) const SIGNER: &str = "etcd-signer";

impl Subject {
    #[must_use]
    pub fn common_name(&self) -> &str {
        match self {
            Self::Master(name) => name.as_str(),
            Self::Member(_) => MEMBER,
            Self::Signer | Self::PeerProbe(_) => SIGNER,
        }
    }
}

/// The common name of a request is not the requested name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "request refused: its common name is \"{found}\", but {requested} was requested: \
     make the request with CN={requested}"
)]
pub struct CommonNameMismatch {
    requested: String,
    /// The common name in the request, escaped and truncated.
    found: String,
}

impl Grant {
    /// Authorizes a master's certificate, if the request has that common name.
    ///
    /// # Errors
    /// [`CommonNameMismatch`].
    pub fn master(name: MasterName, csr: Csr) -> Result<Self, CommonNameMismatch> {
        Self::from_request(Subject::Master(name), csr)
    }

    /// Authorizes a member's certificate for the hosts that the operator names. Only the key comes
    /// from the request.
    ///
    /// # Errors
    /// [`CommonNameMismatch`], if the common name is not [`MEMBER`]: the request was made for
    /// another purpose.
    pub fn member(hosts: Vec<MemberHost>, csr: Csr) -> Result<Self, CommonNameMismatch> {
        Self::from_request(Subject::Member(hosts), csr)
    }

    /// Authorizes a certificate that follows a member's: for the same key and the same names.
    pub(crate) fn renewed_member(member: &RenewableMember) -> Self {
        Self {
            subject: Subject::Member(member.hosts().to_vec()),
            public_key: member.public_key().clone(),
        }
    }

    /// Authorizes the signer's own client certificate.
    pub fn signer(public_key: PublicKey) -> Self {
        Self {
            subject: Subject::Signer,
            public_key,
        }
    }

    /// Grants the certificate that etcd's peer port is tried with. Where a certificate's
    /// alternative names do not fit the address that it comes from, etcd refuses it for that
    /// reason; with these addresses in it, only its common name is left to be refused.
    pub fn peer_probe(public_key: PublicKey, addresses: &[IpAddr]) -> Self {
        let addresses = addresses.iter().copied().map(MemberHost::Address);
        Self {
            subject: Subject::PeerProbe(addresses.collect()),
            public_key,
        }
    }

    fn from_request(subject: Subject, csr: Csr) -> Result<Self, CommonNameMismatch> {
        if csr.common_name() != subject.common_name().as_bytes() {
            return Err(CommonNameMismatch {
                requested: subject.common_name().to_owned(),
                found: escape(csr.common_name()),
            });
        }
        Ok(Self {
            subject,
            public_key: csr.into_public_key(),
        })
    }

    /// The subject of the certificate.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The public key of the certificate.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }
}

#[cfg(test)]
mod tests {
    use super::SIGNER;
    use crate::pki::master_name::MasterName;
    use crate::pki::member_host::MEMBER;

    #[test]
    fn reserved_common_name_is_rejected_as_a_master_name() {
        for reserved in [MEMBER, SIGNER] {
            assert!(MasterName::parse(reserved.as_bytes()).is_err());
        }
    }
}
