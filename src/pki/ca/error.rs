//! What can be wrong with a CA's files.

use crate::pki::private_key::PrivateKeyError;
use crate::pki::public_key::KeyRefusal;
use crate::system::trusted_file::FileError;

/// What is wrong with the CA's files.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file itself.
    #[error(transparent)]
    File(#[from] FileError),
    /// The certificate cannot serve.
    #[error("CA certificate {path}: {cause}")]
    Certificate {
        /// Its path.
        path: String,
        /// Why not.
        cause: CaCertificateError,
    },
    /// The key cannot serve.
    #[error("CA key {path}: {cause}")]
    Key {
        /// Its path.
        path: String,
        /// Why not.
        cause: PrivateKeyError,
    },
}

/// Why a CA certificate cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum CaCertificateError {
    /// The file does not hold exactly one PEM certificate.
    #[error("it holds {0}: it must hold one PEM block, CERTIFICATE, and no other")]
    Blocks(String),
    /// The block's contents are not a certificate.
    #[error("its contents are no X.509 certificate")]
    Malformed,
    /// basicConstraints do not say that it is a CA.
    #[error("it is not a CA certificate (no basicConstraints with CA:TRUE)")]
    NotCa,
    /// keyUsage does not allow signing certificates.
    #[error("its keyUsage does not have keyCertSign: it may not sign certificates")]
    NoKeyCertSign,
    /// extendedKeyUsage does not allow client certificates.
    #[error("its extendedKeyUsage does not have clientAuth: etcd would refuse what it signs")]
    NoClientAuth,
    /// An extension that etcd would apply to what it signs, or not understand.
    #[error("its extension {0} would make etcd refuse what it signs: use a CA without it")]
    Extension(String),
    /// Its validity has ended.
    #[error("it expired at {0}: make a new CA; or is the clock wrong?")]
    Expired(String),
    /// Its validity has not begun.
    #[error("it is not valid before {0}: is the clock right?")]
    NotYetValid(String),
    /// Its key is of a kind that is not supported.
    #[error("{0}")]
    Key(#[from] KeyRefusal),
}
