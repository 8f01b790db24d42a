//! What came of the last runs, and which members etcd had: one JSON file.

use super::leaf::Leaf;
use super::target::Target;
use crate::system::installed_file;
use crate::system::new_file::FileSystemError;
use crate::system::reach::{self, Reach};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The largest state file, in bytes.
const SIZE_LIMIT: u64 = 64 * 1024;
/// The most members that are saved.
const MAX_MEMBERS: usize = 16;

/// How far two clocks may be apart without a word, in seconds: what the signer's certificates
/// bridge.
const GRACE: i64 = 60;

/// The outcome of the last runs. Times are in seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    /// When a run last began.
    pub last_run: Option<i64>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Why, where it failed.
    pub reason: Option<String>,
    /// When a signer was last asked.
    pub last_attempt: Option<i64>,
    /// When a certificate was last put in place.
    pub last_success: Option<i64>,
    /// Who issued it.
    pub signer: Option<String>,
    /// The signers that issued no certificate in the last attempt, and why.
    pub failures: Vec<SignerFailure>,
    /// The members that etcd had at the last success, as signers.
    pub members: Vec<String>,
    /// The difference to the signer's clock, as the last certificate showed it.
    pub clock: Option<ClockOffset>,
    /// Whether the certificate has been replaced and the hook has not succeeded since.
    pub hook_pending: bool,
}

/// How far this host's clock is behind the one of the signer that issued a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClockOffset {
    /// SHA-256 of that certificate.
    pub certificate: String,
    /// In seconds; negative if this host's clock is ahead.
    pub seconds: i64,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// A new certificate is in place.
    Renewed,
    /// Nothing was to do.
    NotDue,
    /// It did not succeed.
    Failed,
}

impl Outcome {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Renewed, Self::NotDue, Self::Failed];

    /// One word, as in the file.
    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Renewed => "renewed",
            Self::NotDue => "not_due",
            Self::Failed => "failed",
        }
    }
}

/// One signer that issued no certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SignerFailure {
    /// Which.
    pub signer: String,
    /// Why.
    pub reason: String,
}

impl State {
    /// Loads the state. A file that cannot be read or parsed counts as missing: nothing that
    /// matters depends on it.
    #[must_use]
    pub(crate) fn load(directory: &Path) -> Self {
        installed_file::read(&path(directory), SIZE_LIMIT)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    /// Saves the state.
    ///
    /// # Errors
    /// [`FileSystemError`].
    pub(crate) fn save(&self, directory: &Path) -> Result<(), FileSystemError> {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        installed_file::replace(&path(directory), text.as_bytes(), 0o644)
    }

    /// Removes what killed runs left of it.
    pub(crate) fn sweep(directory: &Path) {
        installed_file::remove_temporary_files(&path(directory));
    }

    /// Notes when a run begins.
    ///
    /// A clock that was ahead when the certificate was issued, and has been set back since, is
    /// ahead no more: the certificate would be taken for younger than it is, and expire before it
    /// is due.
    pub(crate) fn begin_run(&mut self, now: i64) {
        let is_set_back = self
            .last_run
            .is_some_and(|last_run| now.saturating_add(GRACE) < last_run);
        if is_set_back && self.clock.as_ref().is_some_and(|clock| clock.seconds < 0) {
            self.clock = None;
        }
        self.last_run = Some(now);
    }

    /// How far this host's clock was behind the signer's when this certificate was issued, in
    /// seconds. Clocks that agree to the minute count as one.
    pub(crate) fn clock_offset(&self, leaf: Option<&Leaf>) -> i64 {
        match (&self.clock, leaf) {
            (Some(clock), Some(leaf)) if clock.certificate == leaf.fingerprint().to_string() => {
                clock.seconds
            }
            _ => 0,
        }
    }

    /// Keeps the difference to the signer's clock that an installed certificate shows.
    pub(crate) fn set_clock_offset(&mut self, leaf: &Leaf, seconds: i64) {
        self.clock = (seconds.saturating_abs() > GRACE).then(|| ClockOffset {
            certificate: leaf.fingerprint().to_string(),
            seconds,
        });
    }

    /// The members as signers.
    pub(crate) fn members(&self) -> impl Iterator<Item = Target> {
        let members = self.members.iter().filter_map(|text| Target::parse(text));
        members.filter(may_be_another_host)
    }

    /// Keeps the members of an answer to `get-peers`, unless it names none. They are
    /// reached as `like` is.
    pub(crate) fn set_members(&mut self, answer: &[u8], like: &Target) {
        let text = String::from_utf8_lossy(answer);
        let mut members: Vec<String> = Vec::new();
        for line in text.lines() {
            let target = like.at_client_url(line.trim());
            if let Some(target) = target.filter(may_be_another_host) {
                let member = target.to_string();
                if members.len() < MAX_MEMBERS && !members.contains(&member) {
                    members.push(member);
                }
            }
        }
        if !members.is_empty() {
            self.members = members;
        }
    }
}

/// Not so the address that a member listens on, `0.0.0.0`, which is this host to Linux. Older
/// signers pass it on.
fn may_be_another_host(member: &Target) -> bool {
    reach::of_host(member.host()) != Reach::Nowhere
}

fn path(directory: &Path) -> PathBuf {
    directory.join("state.json")
}

#[cfg(test)]
mod tests {
    use super::State;
    use crate::renewer::target::Target;

    #[test]
    fn members_are_found_amid_junk_and_kept_when_there_are_none() {
        let like = Target::parse("signer@leader:2222").unwrap();
        let mut state = State::default();
        state.set_members(
            b"Welcome to leader\nhttps://10.0.0.1:2379\r\nhttps://10.0.0.1:2379\nhttps://etcd-2:2379\n\xff",
            &like,
        );
        let expected = ["signer@10.0.0.1:2222", "signer@etcd-2:2222"];
        assert_eq!(state.members, expected);
        state.set_members(b"", &like);
        assert_eq!(state.members, expected);
        let many: String = (0..100)
            .map(|i| format!("https://10.0.0.{i}:2379\n"))
            .collect();
        state.set_members(many.as_bytes(), &like);
        assert_eq!(state.members.len(), 16);
    }

    #[test]
    fn address_to_listen_on_is_no_member() {
        let like = Target::parse("signer@leader").unwrap();
        let mut state = State::default();
        state.set_members(
            b"https://0.0.0.0:2379\nhttps://[::]:2379\nhttps://[::ffff:0.0.0.0]:2379\nhttps://0:2379",
            &like,
        );
        assert_eq!(state.members, Vec::<String>::new());
        state.set_members(b"https://0.0.0.0:2379\nhttps://10.0.0.1:2379", &like);
        assert_eq!(state.members, ["signer@10.0.0.1"]);
        // An older version has remembered them.
        state
            .members
            .extend(["0.0.0.0", "signer@::", "fd00::1"].map(str::to_owned));
        let hosts: Vec<String> = state
            .members()
            .map(|member| member.host().to_owned())
            .collect();
        assert_eq!(hosts, ["10.0.0.1", "fd00::1"]);
    }
}
