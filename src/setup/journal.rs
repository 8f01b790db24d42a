//! The journal: how each step of an unfinished run is taken back, on disk before it is taken.
//!
//! A run that is killed, by a power cut too, is taken back by the next one.

use super::paths::{MEMBER_CERTIFICATE, MEMBER_KEY, SERVICE};
use crate::system::escape::{self, escape};
use crate::system::installed_file;
use crate::system::new_file::{self, FileSystemError};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// One step, as what takes it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// Which command this run is, and the member's name. There is nothing to take back.
    Run { command: String, name: String },
    /// A file that was created.
    File(PathBuf),
    /// A folder that was created, and is removed if nothing is in it.
    Folder(PathBuf),
    /// A folder with a member's data.
    Data(PathBuf),
    /// systemd has read new settings of a unit.
    ReloadUnits,
    /// A unit that was stopped.
    Start(String),
    /// A unit that was started.
    Stop(String),
    /// The signer's login was opened.
    Close,
    /// The program and sshd's drop-ins were made immutable.
    Unlock,
    /// This host was added to a cluster, which is reached by these endpoints, with these peer
    /// URLs. Both are lists with commas.
    Member {
        endpoints: String,
        peer_urls: String,
    },
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run { command, name } => write!(f, "run {command} {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Folder(path) => write!(f, "folder {}", path.display()),
            Self::Data(path) => write!(f, "data {}", path.display()),
            Self::ReloadUnits => f.write_str("reload-units"),
            Self::Start(unit) => write!(f, "start {unit}"),
            Self::Stop(unit) => write!(f, "stop {unit}"),
            Self::Close => f.write_str("close"),
            Self::Unlock => f.write_str("unlock"),
            Self::Member {
                endpoints,
                peer_urls,
            } => write!(f, "member {endpoints} {peer_urls}"),
        }
    }
}

impl Entry {
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        Some(match words.as_slice() {
            ["run", command, name] => Self::Run {
                command: (*command).to_owned(),
                name: (*name).to_owned(),
            },
            ["file", path] => Self::File(absolute(path)?),
            ["folder", path] => Self::Folder(absolute(path)?),
            ["data", path] => Self::Data(absolute(path)?),
            ["reload-units"] => Self::ReloadUnits,
            ["start", unit] => Self::Start((*unit).to_owned()),
            ["stop", unit] => Self::Stop((*unit).to_owned()),
            ["close"] => Self::Close,
            ["unlock"] => Self::Unlock,
            ["member", endpoints, peer_urls] => Self::Member {
                endpoints: (*endpoints).to_owned(),
                peer_urls: (*peer_urls).to_owned(),
            },
            _ => return None,
        })
    }

    /// Whether it must stay where this host could not be withdrawn from the cluster: to be
    /// withdrawn, it needs its certificate; and if it votes already, the others may need it.
    fn is_needed_to_withdraw(&self) -> bool {
        matches!(
            self,
            Self::File(_) | Self::Folder(_) | Self::Data(_) | Self::Stop(_)
        )
    }
}

fn absolute(path: &str) -> Option<PathBuf> {
    let path = PathBuf::from(path);
    path.is_absolute().then_some(path)
}

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum JournalError {
    #[error(transparent)]
    FileSystem(#[from] FileSystemError),
    #[error(
        "the journal of an unfinished run, {path}, has an unknown line ({line}), so another \
         version wrote it: use that version to roll the run back"
    )]
    Unknown { path: String, line: String },
}

/// What could not be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remainder {
    /// Nothing is left, or nothing that keeps another run from its work.
    Nothing,
    /// The cluster still lists this host, or its etcd still runs.
    Member,
}

/// The journal of one run.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    entries: Vec<Entry>,
}

impl Journal {
    /// Reads the journal of an earlier run. It is empty if that has finished, or was taken back.
    ///
    /// # Errors
    /// [`JournalError`].
    pub(super) fn load(path: &Path) -> Result<Self, JournalError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(FileSystemError::new("reading", path)(error).into()),
        };
        // A line without its end was not on disk when its step would have been taken.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole.lines().filter(|line| !line.is_empty());
        let entries = lines
            .map(|line| {
                Entry::parse(line).ok_or_else(|| JournalError::Unknown {
                    path: escape::path(path),
                    line: escape(line.as_bytes()),
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            path: path.to_path_buf(),
            entries,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether etcd was started, or was about to be.
    pub(super) fn began_etcd(&self) -> bool {
        self.entries.iter().any(stops_etcd)
    }

    /// The command and the member's name. `None` in a journal of the script that was before.
    pub(super) fn run(&self) -> Option<(&str, &str)> {
        self.entries.iter().find_map(|entry| match entry {
            Entry::Run { command, name } => Some((command.as_str(), name.as_str())),
            _ => None,
        })
    }

    /// Notes a step that is about to be taken. It is on disk when this returns.
    ///
    /// # Errors
    /// [`FileSystemError`]. The step must not be taken then.
    pub(super) fn note(&mut self, entry: Entry) -> Result<(), FileSystemError> {
        let all = [self.entries.as_slice(), &[entry]].concat();
        self.write(&all)?;
        self.entries = all;
        Ok(())
    }

    /// Writes the whole journal anew, so that what is on disk is always whole.
    fn write(&self, entries: &[Entry]) -> Result<(), FileSystemError> {
        new_file::create_directory(new_file::directory_of(&self.path))?;
        let text: String = entries.iter().map(|entry| format!("{entry}\n")).collect();
        installed_file::replace(&self.path, text.as_bytes(), 0o600)
    }

    /// The run has finished: nothing of it is taken back any more.
    ///
    /// # Errors
    /// [`FileSystemError`].
    pub(super) fn close(&mut self) -> Result<(), FileSystemError> {
        self.entries.clear();
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(FileSystemError::new("removing", &self.path)(error))
            }
            _ => new_file::sync_directory_of(&self.path),
        }
    }

    /// Takes back every step, the last one first. What fails does not keep the rest from being
    /// taken back, with one exception: where the cluster still lists this host, its etcd and its
    /// certificate stay. `undo` says why it fails to `failed`.
    ///
    /// # Errors
    /// [`FileSystemError`], if the journal cannot be brought up to date.
    pub(super) fn take_back(
        &mut self,
        mut undo: impl FnMut(&Entry) -> Result<(), String>,
        mut failed: impl FnMut(&Entry, String),
    ) -> Result<Remainder, FileSystemError> {
        let mut left = Vec::new();
        let mut is_listed = false;
        for (index, entry) in self.entries.iter().enumerate().rev() {
            if is_listed && entry.is_needed_to_withdraw() {
                left.push(entry.clone());
                continue;
            }
            if let Err(why) = undo(entry) {
                failed(entry, why);
                // Nor are data taken from an etcd that still runs.
                is_listed |= matches!(entry, Entry::Member { .. }) || stops_etcd(entry);
                // Once more by the next run. What cannot be taken back for lack of an Include line,
                // or of attributes in a file system, is no reason to try for ever.
                if matches!(
                    entry,
                    Entry::Member { .. } | Entry::File(_) | Entry::Data(_) | Entry::Stop(_)
                ) {
                    left.push(entry.clone());
                }
            } else if matches!(entry, Entry::Member { .. }) {
                // Withdrawn once: what it needs for that is removed next.
                self.write(self.entries.get(..index).unwrap_or_default())?;
            }
        }
        if left.is_empty() {
            self.close()?;
            return Ok(Remainder::Nothing);
        }
        if let Some(run) = self
            .entries
            .iter()
            .find(|entry| matches!(entry, Entry::Run { .. }))
            && !left.contains(run)
        {
            left.push(run.clone());
        }
        left.reverse();
        self.write(&left)?;
        self.entries = left;
        Ok(Remainder::Member)
    }
}

fn stops_etcd(entry: &Entry) -> bool {
    matches!(entry, Entry::Stop(unit) if unit == SERVICE)
}

/// Whether something that an earlier run has left is moved aside rather than removed: it may have
/// been used since, or be somebody else's by now. A member's own key and certificate can be made
/// again; a CA's key, and what the cluster has written, cannot.
pub(super) fn is_precious(entry: &Entry) -> bool {
    match entry {
        Entry::Data(_) => true,
        Entry::File(path) => {
            let replaceable = [MEMBER_KEY, MEMBER_CERTIFICATE].map(Path::new);
            let extension = path.extension().and_then(|extension| extension.to_str());
            matches!(extension, Some("key" | "crt")) && !replaceable.contains(&path.as_path())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, Journal, JournalError, Remainder, is_precious};
    use std::fs;
    use std::path::PathBuf;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("journal-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            Self(path)
        }

        fn journal(&self) -> Journal {
            Journal::load(&self.0.join("undo")).unwrap()
        }

        /// A journal with an entry of every kind.
        fn noted(&self) -> Journal {
            let mut journal = self.journal();
            for entry in every_kind() {
                journal.note(entry).unwrap();
            }
            journal
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn every_kind() -> Vec<Entry> {
        vec![
            Entry::Run {
                command: "join".to_owned(),
                name: "n2".to_owned(),
            },
            Entry::Start("etcd.service".to_owned()),
            Entry::Folder("/etc/etcd".into()),
            Entry::File("/etc/etcd/pki/member.key".into()),
            Entry::ReloadUnits,
            Entry::Data("/var/lib/etcd/cluster".into()),
            Entry::Stop("etcd.service".to_owned()),
            Entry::Member {
                endpoints: "https://10.0.0.1:2379,https://10.0.0.2:2379".to_owned(),
                peer_urls: "https://10.0.0.2:2380".to_owned(),
            },
            Entry::Close,
            Entry::Unlock,
        ]
    }

    #[test]
    fn next_run_reads_what_a_killed_one_noted() {
        let folder = Folder::new("reads");
        let journal = folder.journal();
        assert!(journal.is_empty());
        folder.noted();
        let read = folder.journal();
        assert_eq!(read.entries(), every_kind());
        assert_eq!(read.run(), Some(("join", "n2")));
    }

    #[test]
    fn journal_of_the_script_is_understood() {
        let folder = Folder::new("script");
        fs::create_dir(&folder.0).unwrap();
        fs::write(
            folder.0.join("undo"),
            "start etcd.service\nfolder /etc/etcd\nfile /etc/etcd/pki/ca.key\nreload-units\n\
             data /var/lib/etcd/cluster\nstop etcd.service\nclose\nunlock\n\
             member https://10.0.0.1:2379 https://10.0.0.2:2380\n",
        )
        .unwrap();
        let journal = folder.journal();
        assert_eq!(journal.entries().len(), 9);
        assert_eq!(journal.run(), None);
    }

    #[test]
    fn line_that_was_cut_off_was_never_acted_on() {
        let folder = Folder::new("cut");
        fs::create_dir(&folder.0).unwrap();
        fs::write(folder.0.join("undo"), "file /a/b\nfile /etc").unwrap();
        assert_eq!(folder.journal().entries(), [Entry::File("/a/b".into())]);
    }

    #[test]
    fn unknown_line_is_refused() {
        let folder = Folder::new("unknown");
        fs::create_dir(&folder.0).unwrap();
        for line in [
            "format /dev/sda",
            "file relative",
            "file",
            "member a",
            "file /a /b",
        ] {
            fs::write(folder.0.join("undo"), format!("{line}\n")).unwrap();
            let error = Journal::load(&folder.0.join("undo")).unwrap_err();
            assert!(matches!(error, JournalError::Unknown { .. }), "{line}");
        }
    }

    #[test]
    fn steps_are_taken_back_in_reverse() {
        let folder = Folder::new("reverse");
        let mut journal = folder.noted();
        let mut order = Vec::new();
        let remainder = journal.take_back(
            |entry| {
                order.push(entry.clone());
                Ok(())
            },
            |_, _| panic!(),
        );
        assert_eq!(remainder.unwrap(), Remainder::Nothing);
        order.reverse();
        assert_eq!(order, every_kind());
        assert!(!folder.0.join("undo").exists() && folder.journal().is_empty());
    }

    #[test]
    fn what_cannot_be_taken_back_does_not_stop_the_rest() {
        let folder = Folder::new("rest");
        let mut journal = folder.noted();
        let mut undone = 0;
        let mut failed = Vec::new();
        let remainder = journal.take_back(
            |entry| {
                undone += 1;
                match entry {
                    Entry::Close | Entry::Unlock => Err("no".to_owned()),
                    _ => Ok(()),
                }
            },
            |entry, _| failed.push(entry.clone()),
        );
        assert_eq!(remainder.unwrap(), Remainder::Nothing);
        assert_eq!((undone, failed.len()), (every_kind().len(), 2));
        assert!(folder.journal().is_empty());
    }

    #[test]
    fn member_that_is_still_listed_keeps_its_etcd_and_its_certificate() {
        let folder = Folder::new("listed");
        let mut journal = folder.noted();
        let mut undone = Vec::new();
        let remainder = journal.take_back(
            |entry| {
                undone.push(entry.clone());
                match entry {
                    Entry::Member { .. } => Err("no quorum".to_owned()),
                    _ => Ok(()),
                }
            },
            |_, _| {},
        );
        assert_eq!(remainder.unwrap(), Remainder::Member);
        assert!(!undone.iter().any(|entry| matches!(
            entry,
            Entry::File(_) | Entry::Folder(_) | Entry::Data(_) | Entry::Stop(_)
        )));
        // The next run has the same to do, in the same order, and knows what the run was.
        let left = folder.journal();
        assert_eq!(left.run(), Some(("join", "n2")));
        let expected: Vec<Entry> = every_kind()
            .into_iter()
            .filter(|entry| {
                !matches!(
                    entry,
                    Entry::Start(_) | Entry::ReloadUnits | Entry::Close | Entry::Unlock
                )
            })
            .collect();
        assert_eq!(left.entries(), expected);
    }

    #[test]
    fn host_that_was_withdrawn_is_not_withdrawn_again() {
        let folder = Folder::new("withdrawn");
        let mut journal = folder.noted();
        // What a run that is killed while it removes the certificate leaves on disk.
        let mut on_disk = Vec::new();
        journal
            .take_back(
                |entry| {
                    if matches!(entry, Entry::File(_)) {
                        on_disk = folder.journal().entries().to_vec();
                    }
                    Ok(())
                },
                |_, _| panic!(),
            )
            .unwrap();
        assert!(
            !on_disk
                .iter()
                .any(|entry| matches!(entry, Entry::Member { .. }))
        );
        assert_eq!(on_disk, every_kind()[..7]);
    }

    #[test]
    fn data_of_an_etcd_that_still_runs_stay() {
        let folder = Folder::new("running");
        let mut journal = folder.noted();
        let mut undone = Vec::new();
        let remainder = journal.take_back(
            |entry| {
                undone.push(entry.clone());
                match entry {
                    Entry::Stop(_) => Err("it hangs".to_owned()),
                    _ => Ok(()),
                }
            },
            |_, _| {},
        );
        assert_eq!(remainder.unwrap(), Remainder::Member);
        assert!(!undone.iter().any(|entry| matches!(entry, Entry::Data(_))));
    }

    #[test]
    fn ca_and_data_are_precious_whatever_they_are_called() {
        for path in ["/etc/etcd/pki/ca.key", "/etc/etcd/pki/ca.crt", "/srv/x.key"] {
            assert!(is_precious(&Entry::File(path.into())), "{path}");
        }
        assert!(is_precious(&Entry::Data("/var/lib/etcd/cluster".into())));
        for path in [
            "/etc/etcd/pki/member.key",
            "/etc/etcd/pki/member.crt",
            "/etc/etcd/etcd.env",
        ] {
            assert!(!is_precious(&Entry::File(path.into())), "{path}");
        }
    }
}
