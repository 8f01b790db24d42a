//! Why setup has not done what it was asked.

use super::journal::JournalError;
use super::paths::LOG;
use crate::system::new_file::{FileSystemError, NewFileError};
use std::process::ExitCode;

/// The program's name, which begins each error line.
pub(super) const PROGRAM: &str = "etcd-signer-setup";

/// Why setup has not done what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetupError {
    /// Something that can be known before the first change.
    #[error("{0}")]
    Refused(String),
    #[error("failed: {what}: {why}")]
    Step { what: String, why: String },
    #[error("interrupted")]
    Interrupted,
    #[error(
        "not everything could be rolled back. What is left is in {}: run this again to retry",
        LOG
    )]
    Left,
    #[error(transparent)]
    FileSystem(#[from] FileSystemError),
    #[error(transparent)]
    NewFile(#[from] NewFileError),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl SetupError {
    /// The exit code. 130 is what a shell reports of a program that SIGINT has ended.
    pub(super) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Interrupted => 130,
            _ => 1,
        })
    }
}

/// Returns [`SetupError::Refused`] with a formatted text.
macro_rules! refuse {
    ($($text:tt)*) => {
        return Err($crate::setup::error::SetupError::Refused(format!($($text)*)))
    };
}
pub(super) use refuse;
