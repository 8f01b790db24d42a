//! Parsing `SSH_ORIGINAL_COMMAND` into one of three requests.

use crate::pki::master_name::{MasterName, NameError};
use crate::system::escape::escape;

/// What a client can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `get-peers`: the client URLs of the cluster's started, voting members.
    Peers,
    /// `get-certificate`: the CA certificate.
    Certificate,
    /// `kubemaster-<id>`: a client certificate for that master.
    Sign(MasterName),
}

/// Why a command is refused. Standard input has not been read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// `SSH_ORIGINAL_COMMAND` is not set: the client asked for a shell.
    #[error(
        "command refused: no command was given: send get-certificate, get-peers or \
         kubemaster-<id> ($HOSTNAME is empty in some shells: use \"$(hostname -s)\")"
    )]
    Missing,
    /// `SSH_ORIGINAL_COMMAND` is set and empty.
    #[error(
        "command refused: the command is empty: send get-certificate, get-peers or \
         kubemaster-<id> ($HOSTNAME is empty in some shells: use \"$(hostname -s)\")"
    )]
    Empty,
    /// It begins with `kubemaster-`.
    #[error("command refused: \"{command}\" is not a valid master name: {reason}")]
    Name {
        /// The command, escaped and truncated.
        command: String,
        reason: NameError,
    },
    #[error(
        "command refused: \"{command}\" is not one of get-certificate, get-peers and \
         kubemaster-<id>: for a certificate, send the host name: \"$(hostname -s)\""
    )]
    Unknown {
        /// The command, escaped and truncated.
        command: String,
    },
}

impl Request {
    /// Parses the client's command. Nothing is trimmed, and case is not folded.
    ///
    /// # Errors
    /// [`CommandError`], if it is not one of the closed set.
    pub fn parse(original_command: Option<&[u8]>) -> Result<Self, CommandError> {
        match original_command {
            None => Err(CommandError::Missing),
            Some(b"") => Err(CommandError::Empty),
            Some(b"get-peers") => Ok(Self::Peers),
            Some(b"get-certificate") => Ok(Self::Certificate),
            Some(command) => match MasterName::parse(command) {
                Ok(name) => Ok(Self::Sign(name)),
                Err(reason) if MasterName::has_prefix(command) => Err(CommandError::Name {
                    command: escape(command),
                    reason,
                }),
                Err(_) => Err(CommandError::Unknown {
                    command: escape(command),
                }),
            },
        }
    }

    /// The command that asks for it.
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
    fn three_commands_are_accepted() {
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

    fn refusal(command: &[u8]) -> String {
        Request::parse(Some(command)).unwrap_err().to_string()
    }

    #[test]
    fn missing_command_is_refused_with_the_remedy() {
        let refusal = Request::parse(None).unwrap_err();
        assert_eq!(refusal, CommandError::Missing);
        assert!(refusal.to_string().contains("$HOSTNAME"));
    }

    #[test]
    fn upper_case_name_is_refused_with_the_remedy() {
        for command in ["KUBEMASTER-1", "kubemaster-A"] {
            assert_eq!(
                refusal(command.as_bytes()),
                format!(
                    "command refused: \"{command}\" is not a valid master name: it contains \
                     upper-case letters: use lower case"
                )
            );
        }
    }

    #[test]
    fn fully_qualified_name_is_refused_with_the_remedy() {
        assert_eq!(
            refusal(b"kubemaster-1.example.com"),
            "command refused: \"kubemaster-1.example.com\" is not a valid master name: it contains \
             a dot: leave the domain out: use \"$(hostname -s)\""
        );
    }

    #[test]
    fn refused_command_is_escaped() {
        let refusal = refusal(b"get-peers\n\x1b[31m");
        assert!(
            refusal.starts_with(r#"command refused: "get-peers\n\x1b[31m" is not one of"#),
            "{refusal}"
        );
    }
}
