//! What can go wrong, and the one map from there to exit codes.

use super::authority::AuthorityError;
use super::private_key::PrivateKeyError;
use super::signers::Unhelpful;
use super::store::StoreError;
use crate::config::ConfigError;
use crate::name::NameError;
use crate::trusted::FileError;

/// The exit codes of `renew`, of `sysexits.h`. `status` has its own, for monitoring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Renewed, not due, or another run is at work.
    Ok,
    /// The arguments.
    Usage,
    /// Every signer answered, and none with a certificate that can be taken.
    Data,
    /// No signer helped, and one at least was not there: the next run tries again.
    Unavailable,
    /// A defect of this program. Report it.
    Software,
    /// The certificate was replaced, and the hook failed.
    Hook,
    /// A file could not be written.
    Io,
    /// A file or directory is not to be read or written by this account, or not protected.
    Permission,
    /// Settings, name, CA certificate or key cannot be used.
    Config,
}

impl Exit {
    /// The number that the process exits with.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Usage => 64,
            Self::Data => 65,
            Self::Unavailable => 69,
            Self::Software => 70,
            Self::Hook => 71,
            Self::Io => 74,
            Self::Permission => 77,
            Self::Config => 78,
        }
    }
}

/// Why a run did not succeed. `Display` is one line: what failed, why, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The name that the certificate would be for.
    #[error("name: the {from} \"{found}\" is not a master's: {cause}: set name in the settings")]
    Name {
        /// Where it comes from.
        from: &'static str,
        /// The name, escaped and cut short.
        found: String,
        /// What is wrong with it.
        cause: NameError,
    },
    /// The private key.
    #[error(transparent)]
    Key(#[from] PrivateKeyError),
    /// The CA certificate.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// Nobody to ask.
    #[error("no signers: the settings name none: set signers = [\"signer@LEADER\"]")]
    NoSigners,
    /// Nobody helped. Each one's reason was told before.
    #[error(transparent)]
    Unhelpful(#[from] Unhelpful),
    /// A file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The request could not be put together.
    #[error("internal error: the request cannot be made ({0}): report it")]
    Request(#[from] rcgen::Error),
    /// The hook, after the certificate was replaced.
    #[error("hook: the certificate is renewed, but {0}: the next run runs the hook again")]
    Hook(String),
}

impl Error {
    /// What the process exits with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Config(ConfigError::File(error)) => file_exit(error),
            Self::Config(_) | Self::Name { .. } | Self::NoSigners => Exit::Config,
            Self::Key(PrivateKeyError::Store(error)) | Self::Store(error) => error.exit(),
            Self::Key(PrivateKeyError::Unreadable { source, .. })
                if source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                Exit::Permission
            }
            Self::Key(PrivateKeyError::Random) => Exit::Software,
            Self::Authority(AuthorityError::InPlace(crate::ca::CaError::File(error))) => {
                file_exit(error)
            }
            Self::Key(_) | Self::Authority(_) => Exit::Config,
            Self::Unhelpful(unhelpful) => unhelpful.exit(),
            Self::Request(_) => Exit::Software,
            Self::Hook(_) => Exit::Hook,
        }
    }
}

fn file_exit(error: &FileError) -> Exit {
    match error {
        FileError::Unreadable { source, .. }
            if source.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            Exit::Permission
        }
        error if error.is_permission() => Exit::Permission,
        _ => Exit::Config,
    }
}
