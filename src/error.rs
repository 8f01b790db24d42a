//! Every way in which a request can fail, and the one map from there to exit codes.

use crate::ca::CaError;
use crate::config::ConfigError;
use crate::csr;
use crate::input::InputError;
use crate::issue::IssueError;
use crate::output::OutputError;
use crate::peers;
use crate::policy::WrongName;
use crate::profile::ProfileError;
use crate::request;
use crate::sandbox::SandboxError;
use crate::trusted::FileError;
use crate::verify::Rejected;

/// The exit codes, of `sysexits.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Answered.
    Ok,
    /// The command is none of the three. Trying again does not help.
    Usage,
    /// The request is not acceptable. Trying again unchanged does not help.
    Data,
    /// etcd did not answer. Try again.
    Unavailable,
    /// A defect of this program. Report it.
    Software,
    /// The client went away or took too long. Try again.
    Io,
    /// A file is not owned or protected as it must be. The operator must act.
    Permission,
    /// Settings, CA certificate or key are missing, unreadable or do not fit. The operator
    /// must act.
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
            Self::Io => 74,
            Self::Permission => 77,
            Self::Config => 78,
        }
    }
}

/// Why a request was not answered. `Display` is one line: what failed, and why.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command.
    #[error(transparent)]
    Command(#[from] request::Refusal),
    /// The settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
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
    Csr(#[from] csr::Refusal),
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
    Peers(#[from] peers::Error),
}

impl Error {
    /// What the process exits with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Command(_) => Exit::Usage,
            Self::Csr(_) | Self::WrongName(_) | Self::Input(InputError::TooLarge(_)) => Exit::Data,
            Self::Input(_) | Self::Output(_) => Exit::Io,
            Self::Config(ConfigError::File(file)) | Self::Ca(CaError::File(file)) => {
                file_exit(file)
            }
            Self::Config(_) | Self::Ca(_) | Self::Sandbox(_) => Exit::Config,
            Self::Profile(_) | Self::Issue(_) | Self::Verify(_) => Exit::Software,
            Self::Peers(_) => Exit::Unavailable,
        }
    }
}

fn file_exit(file: &FileError) -> Exit {
    if file.is_permission() {
        Exit::Permission
    } else {
        Exit::Config
    }
}
