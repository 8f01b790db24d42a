//! `SSH_ORIGINAL_COMMAND`, parsed into a closed set.

use crate::pki::master_name::{MasterName, NameError};
use crate::system::escape::escape;

/// All that a client can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `get-peers`: the client URLs of the cluster's started, voting members.
    Peers,
    /// `get-certificate`: the CA certificate.
    Certificate,
    /// `kubemaster-<id>`: a client certificate for that master.
    Sign(MasterName),
}

/// Why a command is none of the three. Standard input has not been read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// `SSH_ORIGINAL_COMMAND` is not set: the client asked for a shell.
    #[error(
        "command refused: none was given: ask for get-certificate, get-peers or kubemaster-<id> \
         ($HOSTNAME is empty in some shells: try \"$(hostname -s)\")"
    )]
    Missing,
    /// `SSH_ORIGINAL_COMMAND` is set and empty.
    #[error(
        "command refused: it is empty: ask for get-certificate, get-peers or kubemaster-<id> \
         ($HOSTNAME is empty in some shells: try \"$(hostname -s)\")"
    )]
    Empty,
    /// It begins like a master's name, and is none.
    #[error("command refused: \"{command}\" is no master's name: {reason}")]
    Name {
        /// The command, escaped and cut short.
        command: String,
        /// The rule that it breaks.
        reason: NameError,
    },
    /// Anything else.
    #[error(
        "command refused: \"{command}\" is none of get-certificate, get-peers and kubemaster-<id>"
    )]
    Unknown {
        /// The command, escaped and cut short.
        command: String,
    },
}

impl Request {
    /// Takes the client's command, whole and byte for byte: nothing is trimmed or folded.
    ///
    /// # Errors
    /// [`CommandError`], when it is not one of the closed set.
    pub fn parse(original_command: Option<&[u8]>) -> Result<Self, CommandError> {
        match original_command {
            None => Err(CommandError::Missing),
            Some(b"") => Err(CommandError::Empty),
            Some(b"get-peers") => Ok(Self::Peers),
            Some(b"get-certificate") => Ok(Self::Certificate),
            Some(command) => match MasterName::parse(command) {
                Ok(name) => Ok(Self::Sign(name)),
                Err(reason) if MasterName::is_meant(command) => Err(CommandError::Name {
                    command: escape(command),
                    reason,
                }),
                Err(_) => Err(CommandError::Unknown {
                    command: escape(command),
                }),
            },
        }
    }

    /// What was asked for, in the command's own words.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Peers => "get-peers",
            Self::Certificate => "get-certificate",
            Self::Sign(name) => name.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CommandError, Request};
    use crate::pki::master_name::MasterName;

    #[test]
    fn knows_three_commands() {
        let name = MasterName::parse(b"kubemaster-7").unwrap();
        assert_eq!(Request::parse(Some(b"get-peers")), Ok(Request::Peers));
        assert_eq!(
            Request::parse(Some(b"get-certificate")),
            Ok(Request::Certificate)
        );
        assert_eq!(
            Request::parse(Some(b"kubemaster-7")),
            Ok(Request::Sign(name))
        );
    }

    #[test]
    fn a_missing_command_is_told_about_hostname() {
        let refusal = Request::parse(None).unwrap_err();
        assert_eq!(refusal, CommandError::Missing);
        assert!(refusal.to_string().contains("$HOSTNAME"));
    }

    #[test]
    fn what_is_refused_is_shown_escaped() {
        let refusal = Request::parse(Some(b"get-peers\n\x1b[31m")).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            r#"command refused: "get-peers\n\x1b[31m" is none of get-certificate, get-peers and kubemaster-<id>"#
        );
    }
}
