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
    #[error("it contains {0}: it must contain exactly one PEM block, a CERTIFICATE")]
    Blocks(String),
    /// The block's contents are not a certificate.
    #[error("its contents are not an X.509 certificate: replace the file")]
    Malformed,
    /// basicConstraints do not say that it is a CA.
    #[error("it is not a CA certificate (no basicConstraints with CA:TRUE): use a CA certificate")]
    NotCa,
    /// keyUsage does not allow signing certificates.
    #[error("its keyUsage does not include keyCertSign: use a CA that may sign certificates")]
    NoKeyCertSign,
    /// extendedKeyUsage does not allow client certificates.
    #[error(
        "its extendedKeyUsage does not include clientAuth, so etcd would refuse the certificates that \
         it signs: use a CA without extendedKeyUsage"
    )]
    NoClientAuth,
    /// An extension that etcd would apply to what it signs, or not understand.
    #[error(
        "its extension {0} would make etcd refuse the certificates that it signs: use a CA without it"
    )]
    Extension(String),
    /// Its validity has ended.
    #[error("it expired at {0}: create a new CA, or correct this host's clock")]
    Expired(String),
    /// Its validity has not begun.
    #[error("it is not valid before {0}: correct this host's clock")]
    NotYetValid(String),
    /// Its key is of a kind that is not supported.
    #[error("{0}")]
    Key(#[from] KeyRefusal),
}
