//! The decision: may this name be certified for this key?

use crate::csr::Csr;
use crate::escape::escape;
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
    /// The name in the command.
    asked: MasterName,
    /// The common name in the request, escaped and cut short.
    found: String,
}

impl Grant {
    /// Grants the name that was asked for, if the request is for that name.
    ///
    /// # Errors
    /// [`WrongName`], when the request's common name is another.
    pub fn decide(asked: MasterName, csr: Csr) -> Result<Self, WrongName> {
        if csr.common_name() != asked.as_str().as_bytes() {
            return Err(WrongName {
                asked,
                found: escape(csr.common_name()),
            });
        }
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
