//! Errors about a CA's files.

use crate::pki::private_key::PrivateKeyError;
use crate::pki::public_key::PublicKeyError;
use crate::system::trusted_file::FileError;

/// Why the CA's files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("CA certificate {path}: {cause}")]
    Certificate {
        path: String,
        cause: CaCertificateError,
    },
    #[error("CA key {path}: {cause}")]
    Key {
        path: String,
        cause: PrivateKeyError,
    },
}

/// Why a CA certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaCertificateError {
    #[error("it contains {0}: it must contain exactly one PEM block, a CERTIFICATE")]
    Blocks(String),
    #[error("its contents are not an X.509 certificate: replace the file")]
    Malformed,
    #[error("it is not a CA certificate (no basicConstraints with CA:TRUE): use a CA certificate")]
    NotCa,
    #[error("its keyUsage does not include keyCertSign: use a CA that may sign certificates")]
    NoKeyCertSign,
    #[error(
        "its extendedKeyUsage does not include clientAuth, so etcd would refuse the certificates that \
         it signs: use a CA without extendedKeyUsage"
    )]
    NoClientAuth,
    /// An extension that etcd would apply to the certificates that it signs, or does not know.
    #[error(
        "its extension {0} would make etcd refuse the certificates that it signs: use a CA without it"
    )]
    Extension(String),
    #[error("it expired at {0}: create a new CA, or correct this host's clock")]
    Expired(String),
    #[error("it is not valid before {0}: correct this host's clock")]
    NotYetValid(String),
    #[error("{0}")]
    Key(#[from] PublicKeyError),
}
