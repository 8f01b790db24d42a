//! What this host's sshd would do with a login (`sshd -T`).

use crate::system::child::{Ending, run};
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const TIME: Duration = Duration::from_secs(20);
const SIZE: usize = 64 * 1024;

/// sshd's directory for privilege separation. Where sshd is started by a socket, it is made at the
/// first login, and sshd answers nothing without it.
const RUN_DIRECTORY: &str = "/run/sshd";

/// The line without which sshd reads no drop-in.
pub(crate) const INCLUDE: &str = "Include /etc/ssh/sshd_config.d/*.conf";

/// sshd's effective settings for a client: keywords in lower case, and their values.
#[derive(Debug)]
pub(crate) struct SshdSettings(Vec<(String, String)>);

impl SshdSettings {
    /// Asks sshd, by the path of its executable, for a login as `user` from an address.
    ///
    /// # Errors
    /// What sshd said, and what to do about it.
    pub(crate) fn ask(sshd: &Path, user: &str, address: &str) -> Result<Self, String> {
        // All that a Match line can ask for, or sshd refuses to answer.
        let client = format!("user={user},host=client,addr={address},laddr=127.0.0.1,lport=22");
        let failed =
            |why: &str| format!("cannot get sshd's effective configuration (sshd -T): {why}");
        let ask = || {
            let mut command = Command::new(sshd);
            run(command.args(["-T", "-C", &client]), b"", Some(SIZE), TIME)
                .map_err(|error| failed(&format!("{}: {error}", sshd.display())))
        };
        let mut ended = ask()?;
        if lacks_directory(&ended.stderr) {
            // It stays: an sshd that has started meanwhile could let nobody in without it.
            let _ = fs::DirBuilder::new().mode(0o755).create(RUN_DIRECTORY);
            ended = ask()?;
        }
        match ended.ending {
            Ending::Exited(status) if status.success() => {}
            _ => {
                let said = String::from_utf8_lossy(&ended.stderr);
                let line = said.lines().next().unwrap_or("it gave no reason");
                let remedy = if line.contains("no hostkeys available") {
                    ": it has no host keys yet: run 'ssh-keygen -A'"
                } else {
                    ""
                };
                return Err(failed(&format!("{}{remedy}", line.escape_default())));
            }
        }
        Ok(Self::parse(&String::from_utf8_lossy(&ended.stdout)))
    }

    fn parse(text: &str) -> Self {
        Self(
            text.lines()
                .filter_map(|line| line.trim_end().split_once(' '))
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        )
    }

    /// The first value of a keyword.
    pub(crate) fn get<'a>(&'a self, keyword: &'a str) -> Option<&'a str> {
        self.values(keyword).next()
    }

    /// All values of a keyword, each on a line of its own.
    fn values<'a>(&'a self, keyword: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(found, _)| found == keyword)
            .map(|(_, value)| value.as_str())
    }

    /// The line that keeps a user out whatever else is set, with what to do about it. `None` if
    /// there is none that tells.
    pub(crate) fn exclusion_of(&self, user: &str) -> Option<String> {
        for (keyword, shown) in [("allowusers", "AllowUsers"), ("allowgroups", "AllowGroups")] {
            let patterns: Vec<&str> = self.values(keyword).collect();
            if !patterns.is_empty() && !patterns.iter().any(|pattern| names(pattern, user)) {
                let patterns = patterns.join(" ");
                return Some(format!(
                    "\"{shown} {patterns}\" does not include {user}: add it"
                ));
            }
        }
        for (keyword, shown) in [("denyusers", "DenyUsers"), ("denygroups", "DenyGroups")] {
            if let Some(pattern) = self.values(keyword).find(|pattern| names(pattern, user)) {
                return Some(format!("\"{shown} {pattern}\" excludes {user}: remove it"));
            }
        }
        None
    }
}

fn lacks_directory(said: &[u8]) -> bool {
    let said = String::from_utf8_lossy(said);
    said.lines()
        .any(|line| line.ends_with(&format!(": {RUN_DIRECTORY}")))
}

/// Whether a pattern (ssh_config(5), PATTERNS) names a user, or the group of the same name, from
/// some address.
fn names(pattern: &str, user: &str) -> bool {
    let pattern = pattern.split('@').next().unwrap_or(pattern);
    matches_glob(pattern.as_bytes(), user.as_bytes())
}

fn matches_glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            matches_glob(rest, text)
                || text
                    .split_first()
                    .is_some_and(|(_, left)| matches_glob(pattern, left))
        }
        (Some((b'?', rest)), Some((_, left))) => matches_glob(rest, left),
        (Some((wanted, rest)), Some((found, left))) => wanted == found && matches_glob(rest, left),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{SshdSettings, names};

    #[test]
    fn pattern_names_a_user() {
        for pattern in [
            "signer",
            "*",
            "sign*",
            "s?gner",
            "signer@10.0.0.0/8",
            "*@10.*",
        ] {
            assert!(names(pattern, "signer"), "{pattern}");
        }
        for pattern in ["alice", "signer2", "sign", "", "?", "root@*"] {
            assert!(!names(pattern, "signer"), "{pattern}");
        }
    }

    #[test]
    fn line_that_keeps_a_user_out_is_found() {
        let exclusion = |text: &str| SshdSettings::parse(text).exclusion_of("signer");
        for admitted in [
            "",
            "allowusers alice\nallowusers sign*\n",
            "denyusers alice\n",
        ] {
            assert_eq!(exclusion(admitted), None, "{admitted}");
        }
        for (text, line) in [
            ("allowusers alice\nallowusers bob\n", "AllowUsers alice bob"),
            ("allowgroups ssh-users\n", "AllowGroups ssh-users"),
            ("denyusers sign*\n", "DenyUsers sign*"),
            ("denygroups signer\n", "DenyGroups signer"),
        ] {
            assert!(
                exclusion(text).is_some_and(|found| found.contains(line)),
                "{text}"
            );
        }
    }
}
