//! The certificate authority: its certificate, its private key, and whether they belong together.

pub(crate) mod bundle;
pub(crate) mod certificate;
pub(crate) mod error;
pub(crate) mod key;
