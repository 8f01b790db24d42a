//! What can go wrong, and the one map from there to exit codes.

use super::authority::AuthorityError;
use super::config::RenewerConfigError;
use super::key_file::KeyFileError;
use super::signers::AllSignersFailed;
use crate::system::exit::Exit;
use crate::system::new_file::FileSystemError;
use crate::system::settings::SettingsError;
use crate::system::trusted_file::FileError;
use std::io;

/// Why a run did not succeed. `Display` is one line: what failed, why, and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RenewalError {
    /// The settings.
    #[error(transparent)]
    Config(#[from] RenewerConfigError),
    /// The private key.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The CA certificate.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error("no signers are configured: set signers = [\"signer@LEADER\"]")]
    NoSigners,
    /// Each signer's reason was reported before.
    #[error(transparent)]
    AllSignersFailed(#[from] AllSignersFailed),
    /// A file.
    #[error(transparent)]
    FileSystem(#[from] FileSystemError),
    /// The request could not be put together.
    #[error("internal error: the request cannot be created ({0}): please report this bug")]
    Request(#[from] rcgen::Error),
    /// The hook, after the certificate was replaced.
    #[error("hook: the certificate is renewed, but {0}: the next run runs the hook again")]
    Hook(String),
}

impl RenewalError {
    /// What the process exits with.
    #[must_use]
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Config(RenewerConfigError::Settings(SettingsError::File(error))) => {
                file_exit(error)
            }
            Self::Key(KeyFileError::FileSystem(error)) | Self::FileSystem(error) => {
                file_system_exit(error)
            }
            Self::Key(KeyFileError::Unreadable { source, .. })
            | Self::Authority(AuthorityError::Unreadable { source, .. })
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                Exit::Permission
            }
            Self::Key(KeyFileError::Random(_)) | Self::Request(_) => Exit::Software,
            Self::Config(_) | Self::NoSigners | Self::Key(_) | Self::Authority(_) => Exit::Config,
            Self::AllSignersFailed(failed) => failed.exit(),
            Self::Hook(_) => Exit::OsError,
        }
    }
}

fn file_exit(error: &FileError) -> Exit {
    match error {
        FileError::Unreadable { source, .. }
            if source.kind() == io::ErrorKind::PermissionDenied =>
        {
            Exit::Permission
        }
        error if error.is_permission() => Exit::Permission,
        _ => Exit::Config,
    }
}

/// What the process exits with when the system refused an operation on a file.
#[must_use]
pub(crate) fn file_system_exit(error: &FileSystemError) -> Exit {
    match error.source.kind() {
        io::ErrorKind::PermissionDenied => Exit::Permission,
        _ => Exit::Io,
    }
}
