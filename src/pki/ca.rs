//! The certificate authority: its certificate and private key, and whether they match.

pub(crate) mod bundle;
pub(crate) mod certificate;
pub(crate) mod error;
pub(crate) mod key;
