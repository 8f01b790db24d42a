//! The system's ssh, run without a terminal, without anybody's configuration, with bounds.

use super::config::RenewerConfig;
use super::target::Target;
use crate::system::child::{self, Ending};
use crate::system::escape::escape_up_to;
use std::io;
use std::process::Command;
use std::time::Duration;

/// The most that an answer may have, in bytes.
const ANSWER_LIMIT: usize = 64 * 1024;
/// The most of a signer's words that is repeated, in bytes.
const SHOWN: usize = 300;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SshError {
    /// ssh itself is not there.
    #[error("ssh cannot be started: {0}: install openssh-client, or set ssh in the settings")]
    Unstarted(#[source] io::Error),
    /// It cannot be reached, or cannot answer at the moment.
    #[error("no answer: {0}")]
    Absent(String),
    /// It can be reached, and does not let us log in; or it is not the host that it was.
    #[error("no answer: {0}")]
    Login(String),
    /// It can be reached, and does not answer.
    #[error("no answer within {} s", .0.as_secs())]
    Stalled(Duration),
    /// The request is refused, and would be again.
    #[error("refused ({code}): {reason}")]
    Refused {
        /// The signer's exit code.
        code: i32,
        /// The signer's words.
        reason: String,
    },
    /// The signer cannot work until its operator acts.
    #[error("it cannot answer ({code}): {reason}")]
    Broken {
        /// The signer's exit code.
        code: i32,
        /// The signer's words.
        reason: String,
    },
    /// No answer has so much in it.
    #[error("its answer is longer than {ANSWER_LIMIT} bytes")]
    OutputLimit,
}

/// Sends a signer one command and its input: the answer.
///
/// # Errors
/// [`SshError`].
pub(crate) fn ask(
    config: &RenewerConfig,
    target: &Target,
    command: &str,
    input: &[u8],
) -> Result<Vec<u8>, SshError> {
    let mut ssh = Command::new(&config.ssh);
    ssh.args(arguments(config, target)).arg(command);
    let ended = child::run(&mut ssh, input, Some(ANSWER_LIMIT), config.timeout)
        .map_err(SshError::Unstarted)?;
    let status = match ended.ending {
        Ending::Exited(status) => status,
        Ending::OutputLimit => return Err(SshError::OutputLimit),
        Ending::TimedOut => return Err(SshError::Stalled(config.timeout)),
    };
    let reason = || reason(&ended.stderr);
    match status.code() {
        Some(0) => Ok(ended.stdout),
        // The exit codes of the signer; 255 is ssh's own.
        Some(69 | 74) | None => Err(SshError::Absent(reason())),
        Some(255) => Err(of_ssh(&ended.stderr)),
        Some(code @ (64 | 65)) => Err(SshError::Refused {
            code,
            reason: reason(),
        }),
        Some(code) => Err(SshError::Broken {
            code,
            reason: reason(),
        }),
    }
}

/// Everything before the command. Each setting is said, so that no file's and no default counts.
fn arguments(config: &RenewerConfig, target: &Target) -> Vec<String> {
    let checking = if config.accept_new_host_keys {
        "accept-new"
    } else {
        "yes"
    };
    let identity = config
        .identity
        .as_ref()
        .map_or_else(|| "none".to_owned(), |path| path.display().to_string());
    let options = [
        "BatchMode=yes".to_owned(),
        format!("ConnectTimeout={}", config.connect_timeout.as_secs()),
        "ConnectionAttempts=1".to_owned(),
        "ServerAliveInterval=5".to_owned(),
        "ServerAliveCountMax=3".to_owned(),
        format!("StrictHostKeyChecking={checking}"),
        format!("UserKnownHostsFile={}", config.known_hosts.display()),
        "GlobalKnownHostsFile=/dev/null".to_owned(),
        "UpdateHostKeys=no".to_owned(),
        "CheckHostIP=no".to_owned(),
        "VerifyHostKeyDNS=no".to_owned(),
        "IdentitiesOnly=yes".to_owned(),
        "IdentityAgent=none".to_owned(),
        format!("IdentityFile={identity}"),
        "PreferredAuthentications=publickey".to_owned(),
        "PasswordAuthentication=no".to_owned(),
        "KbdInteractiveAuthentication=no".to_owned(),
        "ForwardAgent=no".to_owned(),
        "ForwardX11=no".to_owned(),
        "ClearAllForwardings=yes".to_owned(),
        "PermitLocalCommand=no".to_owned(),
        "ControlMaster=no".to_owned(),
        "ControlPath=none".to_owned(),
        // ERROR would hide that the connection was closed.
        "LogLevel=INFO".to_owned(),
    ];
    let mut arguments = vec!["-F".to_owned(), "none".to_owned(), "-T".to_owned()];
    for option in options {
        arguments.extend(["-o".to_owned(), option]);
    }
    arguments.extend([
        "-p".to_owned(),
        target.port().to_string(),
        "-l".to_owned(),
        target.user().to_owned(),
        "--".to_owned(),
        target.host().to_owned(),
    ]);
    arguments
}

/// The error that ssh itself reports (exit code 255), with the likely cause and where to look.
fn of_ssh(stderr: &[u8]) -> SshError {
    let said = reason(stderr);
    let text = String::from_utf8_lossy(stderr);
    let has = |words: &[&str]| words.iter().any(|words| text.contains(words));
    if has(&[
        "HOST IDENTIFICATION HAS CHANGED",
        "Host key verification failed",
    ]) {
        return SshError::Login(format!(
            "{said}: its host key is not the one in known_hosts: compare it with the signer's own \
             (run 'ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub' there), then remove the old \
             one (run 'ssh-keygen -R HOST -f KNOWN_HOSTS')"
        ));
    }
    if has(&["Permission denied"]) {
        return SshError::Login(format!(
            "{said}: the login is not permitted: run 'etcd-signer check' on the signer, and check \
             that 'etcd-signer-endpoint status' lists this host's network"
        ));
    }
    SshError::Absent(if has(&["Could not resolve hostname"]) {
        format!("{said}: use an IP address in signers, or fix name resolution on this host")
    } else if has(&["Connection refused"]) {
        format!("{said}: sshd is not listening there: run 'systemctl status ssh' on the signer")
    } else if has(&[
        "Connection timed out",
        "No route to host",
        "Network is unreachable",
        "Operation timed out",
    ]) {
        format!("{said}: check the address, the route and the firewalls in between")
    } else if has(&[
        "kex_exchange_identification",
        "Connection closed by",
        "Connection reset by",
        "banner exchange",
    ]) {
        format!(
            "{said}: the connection was closed before the login: sshd's limits (MaxStartups), its \
             penalties for this address (PerSourcePenalties, OpenSSH 9.8 and later, 15 s and \
             more) or a firewall: run 'journalctl -u ssh' on the signer"
        )
    } else {
        said
    })
}

/// The signer's own line, or else the last that ssh said.
fn reason(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let own = lines
        .clone()
        .find_map(|line| line.strip_prefix("etcd-signer: "));
    match own.or_else(|| lines.next_back()) {
        Some(line) => escape_up_to(SHOWN, line.as_bytes()),
        None => "it exited without a message".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::reason;

    #[test]
    fn signers_own_line_is_the_reason() {
        for (stderr, expected) in [
            (&b""[..], "it exited without a message"),
            (
                b"Warning: x\r\nPermission denied (publickey).\r\n\r\n",
                "Permission denied (publickey).",
            ),
            (
                b"banner\netcd-signer: request refused: why\nlater\n",
                "request refused: why",
            ),
            (b"a\x1b[31m\xff\n", r"a\x1b[31m\xef\xbf\xbd"),
        ] {
            assert_eq!(reason(stderr), expected);
        }
        assert!(reason(&[b'x'; 5000]).len() < 400);
    }
}
