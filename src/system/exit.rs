//! The exit codes of both programs, from `sysexits.h`.

/// How a program ends. 255 is left out, because ssh uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing had to be done.
    Ok,
    /// The command or the arguments are not valid. Trying again does not help.
    Usage,
    /// The request, or what a signer answered, is not acceptable. Trying again unchanged does
    /// not help.
    Data,
    /// A server did not answer. Try again.
    Unavailable,
    /// A bug in this program. Report it.
    Software,
    /// Another program that was run has failed.
    OsError,
    /// Input or output failed or took too long. Try again.
    Io,
    /// A file's owner or mode is wrong. The operator must act.
    Permission,
    /// Settings, CA certificate or key are missing, unreadable or do not match. The operator
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
            Self::OsError => 71,
            Self::Io => 74,
            Self::Permission => 77,
            Self::Config => 78,
        }
    }
}
