//! The errors of all commands of the signer, and their exit codes.

use crate::etcd::error::{MemberListError, PublishedError};
use crate::pki::ca::error::CaError;
use crate::pki::csr::CsrError;
use crate::pki::grant::CommonNameMismatch;
use crate::pki::issue::IssueError;
use crate::pki::profile::ProfileError;
use crate::pki::verify::PostIssuanceError;
use crate::signer::ca_backup::CaBackupError;
use crate::signer::ca_init::CaInitError;
use crate::signer::member_fetch::MemberFetchError;
use crate::signer::serve::request::CommandError;
use crate::system::exit::Exit;
use crate::system::new_file::{FileSystemError, NewFileError};
use crate::system::output::OutputError;
use crate::system::sandbox::SandboxError;
use crate::system::settings::SettingsError;
use crate::system::stdin::InputError;
use crate::system::trusted_file::FileError;

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The SSH command.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The settings.
    #[error(transparent)]
    Config(#[from] SettingsError),
    /// The CA certificate or key.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The confinement of the process.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// Standard input.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The certificate request.
    #[error(transparent)]
    Csr(#[from] CsrError),
    /// The common name in the certificate request.
    #[error(transparent)]
    CommonName(#[from] CommonNameMismatch),
    /// The fields of the certificate.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// Encoding or signing the certificate.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// The post-issuance check.
    #[error(transparent)]
    PostIssuance(#[from] PostIssuanceError),
    /// Standard output.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// `get-peers`, and asking etcd for its members.
    #[error(transparent)]
    Peers(#[from] MemberListError),
    /// `member renew`: reading and writing what is published for members.
    #[error(transparent)]
    Published(#[from] PublishedError),
    /// `member renew`: the folder of the metrics.
    #[error(transparent)]
    MetricsFolder(#[from] FileSystemError),
}

impl RequestError {
    /// The exit code for this error.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Command(_) => Exit::Usage,
            Self::Csr(_) | Self::CommonName(_) | Self::Input(InputError::TooLarge(_)) => Exit::Data,
            Self::Input(_) | Self::Output(_) => Exit::Io,
            Self::Config(error) => settings_exit(error),
            Self::Ca(error) => ca_exit(error),
            Self::Sandbox(_) => Exit::Config,
            Self::Profile(_) | Self::Issue(_) | Self::PostIssuance(_) => Exit::Software,
            Self::Peers(_) | Self::Published(_) => Exit::Unavailable,
            Self::MetricsFolder(_) => Exit::Config,
        }
    }
}

impl MemberFetchError {
    #[must_use]
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Config(error) => settings_exit(error),
            Self::Ca(error) => ca_exit(error),
            Self::Sandbox(_) | Self::Key { .. } | Self::NotRenewable { .. } | Self::Link(_) => {
                Exit::Config
            }
            Self::Unreadable { .. } => Exit::Config,
            Self::Published(_) => Exit::Unavailable,
            Self::NotTaken { .. } => Exit::Data,
            Self::File(_) => Exit::Io,
        }
    }
}

impl CaBackupError {
    #[must_use]
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Config(error) => settings_exit(error),
            Self::Ca(error) => ca_exit(error),
            Self::NewFile(error) => new_file_exit(error),
            Self::Sandbox(_) | Self::AnotherCa(_) | Self::NoAge(_) => Exit::Config,
            Self::Age(_) | Self::Unexpected(_) => Exit::Data,
        }
    }
}

impl CaInitError {
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::CommonName => Exit::Config,
            Self::NewFile(error) => new_file_exit(error),
            Self::Encoding(_) | Self::Profile(_) => Exit::Software,
        }
    }
}

fn settings_exit(error: &SettingsError) -> Exit {
    match error {
        SettingsError::File(file) => file_exit(file),
        _ => Exit::Config,
    }
}

fn ca_exit(error: &CaError) -> Exit {
    match error {
        CaError::File(file) => file_exit(file),
        _ => Exit::Config,
    }
}

fn new_file_exit(error: &NewFileError) -> Exit {
    match error {
        NewFileError::Exists(_) => Exit::Config,
        NewFileError::System(_) => Exit::Io,
    }
}

fn file_exit(file: &FileError) -> Exit {
    if file.is_permission() {
        Exit::Permission
    } else {
        Exit::Config
    }
}
