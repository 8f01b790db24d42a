//! Every way in which a command of the signer can fail, and the one map from there to exit codes.

use crate::etcd::error::MemberListError;
use crate::pki::ca::error::CaError;
use crate::pki::csr::CsrError;
use crate::pki::grant::WrongName;
use crate::pki::issue::IssueError;
use crate::pki::profile::ProfileError;
use crate::pki::verify::Rejected;
use crate::signer::ca_backup::CaBackupError;
use crate::signer::ca_init::CaInitError;
use crate::signer::serve::request::CommandError;
use crate::system::exit::Exit;
use crate::system::new_file::NewFileError;
use crate::system::output::OutputError;
use crate::system::sandbox::SandboxError;
use crate::system::settings::SettingsError;
use crate::system::stdin::InputError;
use crate::system::trusted_file::FileError;

/// Why a request was not answered. `Display` is one line: what failed, and why.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The command.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The settings.
    #[error(transparent)]
    Config(#[from] SettingsError),
    /// The CA's certificate or key.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The confinement.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// Standard input.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The certificate request.
    #[error(transparent)]
    Csr(#[from] CsrError),
    /// The name that it is for.
    #[error(transparent)]
    WrongName(#[from] WrongName),
    /// Making the certificate's fields.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// Putting the certificate together.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// The second look at it.
    #[error(transparent)]
    Verify(#[from] Rejected),
    /// Standard output.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// `get-peers` has no answer to give.
    #[error(transparent)]
    Peers(#[from] MemberListError),
}

impl RequestError {
    /// What the process exits with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Command(_) => Exit::Usage,
            Self::Csr(_) | Self::WrongName(_) | Self::Input(InputError::TooLarge(_)) => Exit::Data,
            Self::Input(_) | Self::Output(_) => Exit::Io,
            Self::Config(error) => settings_exit(error),
            Self::Ca(error) => ca_exit(error),
            Self::Sandbox(_) => Exit::Config,
            Self::Profile(_) | Self::Issue(_) | Self::Verify(_) => Exit::Software,
            Self::Peers(_) => Exit::Unavailable,
        }
    }
}

impl CaBackupError {
    /// What the process exits with.
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
    /// What the process exits with.
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
