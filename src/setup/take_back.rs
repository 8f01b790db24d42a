//! How each step of a run that has failed, or was interrupted, is rolled back on this host.

use super::clock::stamp;
use super::console::Console;
use super::error::SetupError;
use super::etcdctl::installed_client;
use super::journal::{Entry, Remainder, is_precious};
use super::paths::{ASIDE, LOG, SERVICE};
use super::tool::{Call, systemctl};
use crate::system::installed_file;
use crate::system::new_file::{self, FileSystemError};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

/// Whose steps are taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// This run's, moments ago.
    ThisRun,
    /// An interrupted run's, who knows when. What it made may have been used since: the CA and
    /// a member's data are moved aside, and never removed.
    EarlierRun,
}

/// Takes back all that is in the journal.
///
/// # Errors
/// [`SetupError::Left`], if the cluster still lists this host.
pub(super) fn take_back(console: &mut Console, origin: Origin) -> Result<(), SetupError> {
    let words = std::cell::RefCell::new(Vec::new());
    let remainder = console.journal.take_back(
        |entry| undo(entry, origin, &mut words.borrow_mut()),
        |entry, why| {
            words
                .borrow_mut()
                .push(format!("not rolled back ({entry}): {why}"));
        },
    );
    for line in words.into_inner() {
        console.say(&line);
    }
    match remainder? {
        Remainder::Nothing => Ok(()),
        Remainder::Member => Err(SetupError::Left),
    }
}

fn undo(entry: &Entry, origin: Origin, words: &mut Vec<String>) -> Result<(), String> {
    let tool = |call: Call| call.run().map(drop).map_err(|error| error.to_string());
    match entry {
        Entry::Run { .. } => Ok(()),
        Entry::File(path) | Entry::Data(path) => {
            if origin == Origin::EarlierRun && is_precious(entry) && path.symlink_metadata().is_ok()
            {
                let to = move_aside(path, Path::new(ASIDE)).map_err(|error| error.to_string())?;
                words.push(format!(
                    "moved aside, to {}: {}",
                    to.display(),
                    path.display()
                ));
                return Ok(());
            }
            // What a run that was killed was writing.
            installed_file::remove_temporary_files(path);
            discard(path).map_err(|error| error.to_string())
        }
        // One that somebody has put a file into stays.
        Entry::Folder(path) => {
            let _ = fs::remove_dir(path);
            Ok(())
        }
        Entry::ReloadUnits => tool(Call::new("systemctl").args(["daemon-reload"])),
        Entry::Stop(unit) => tool(
            Call::new("systemctl")
                .args(["disable", "-q", "--now", unit])
                .within(120),
        ),
        Entry::Start(unit) => tool(
            Call::new("systemctl")
                .args(["enable", "-q", "--now", unit])
                .within(120),
        ),
        Entry::Close => tool(Call::new("etcd-signer-endpoint").args(["close"])),
        Entry::Unlock => tool(Call::new("etcd-signer-lock").args(["unlock"])),
        Entry::Member {
            endpoints,
            peer_urls,
        } => withdraw(endpoints, peer_urls, words),
    }
}

fn discard(path: &Path) -> Result<(), FileSystemError> {
    let removed = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FileSystemError::new("removing", path)(error))
        }
        _ => Ok(()),
    }
}

/// Moves a file or a folder into a folder for root alone, under a name with the time. A folder on
/// another file system stays on it, beside where it was: it may be large.
///
/// # Errors
/// The file system's. Nothing is lost then.
pub(super) fn move_aside(path: &Path, folder: &Path) -> Result<PathBuf, FileSystemError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(FileSystemError::new("creating the directory", folder))?;
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}", stamp()));
    let to = folder.join(&name);
    let moving = FileSystemError::new("moving aside", path);
    let other_file_system = match fs::rename(path, &to) {
        Ok(()) => return sync(path, to),
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => error,
        Err(error) => return Err(moving(error)),
    };
    let metadata = path
        .symlink_metadata()
        .map_err(FileSystemError::new("reading", path))?;
    if metadata.is_file() {
        let contents = fs::read(path).map_err(FileSystemError::new("reading", path))?;
        let owner = Some((metadata.uid(), metadata.gid()));
        new_file::prepare(&to, &contents, metadata.mode() & 0o7777, owner)?
            .persist_noclobber(&to)
            .map_err(|error| FileSystemError::new("creating", &to)(error.error))?;
        new_file::sync_directory_of(&to)?;
        fs::remove_file(path).map_err(FileSystemError::new("removing", path))?;
        return sync(path, to);
    }
    let Some(parent) = path.parent() else {
        return Err(moving(other_file_system));
    };
    let beside = parent.join(&name);
    fs::rename(path, &beside).map_err(FileSystemError::new("moving aside", path))?;
    sync(path, beside)
}

fn sync(from: &Path, to: PathBuf) -> Result<PathBuf, FileSystemError> {
    new_file::sync_directory_of(from)?;
    new_file::sync_directory_of(&to)?;
    Ok(to)
}

/// Takes the member with these peer URLs off the cluster's list, if it is on it.
fn withdraw(endpoints: &str, peer_urls: &str, words: &mut Vec<String>) -> Result<(), String> {
    let cluster = installed_client(endpoints);
    let urls: Vec<&str> = peer_urls.split(',').collect();
    let mut why = String::new();
    for seconds in [2, 4, 6, 8, 10] {
        let removed = cluster.members().and_then(|members| {
            let own = members.iter().find(|member| member.has_peer_url(&urls));
            own.map_or(Ok(false), |own| cluster.remove(own.id).map(|()| true))
        });
        match removed {
            Ok(true) => {
                words.push(format!(
                    "removed from the cluster's list of members: {peer_urls}"
                ));
                return Ok(());
            }
            Ok(false) => return Ok(()),
            Err(error) => why = error.to_string(),
        }
        // Should this host vote by now, the others may need it to agree.
        let _ = systemctl(&["start", "--no-block", SERVICE]);
        sleep(Duration::from_secs(seconds));
    }
    Err(format!(
        "the cluster ({endpoints}) still lists {peer_urls}: {why}. On a member, as root: \
         set -a; . /etc/etcd/etcdctl.env; etcdctl member list; etcdctl member remove ID. \
         The log is {LOG}"
    ))
}

#[cfg(test)]
mod tests {
    use super::{Origin, move_aside, undo};
    use crate::setup::journal::Entry;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("take-back-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        path
    }

    #[test]
    fn file_of_this_run_is_removed_and_a_missing_one_is_no_failure() {
        let folder = folder("removed");
        let file = folder.join("etcd.env");
        fs::write(&file, "x").unwrap();
        fs::write(folder.join(".etcd.env.new-AbC123"), "half").unwrap();
        for _ in 0..2 {
            let mut words = Vec::new();
            undo(&Entry::File(file.clone()), Origin::ThisRun, &mut words).unwrap();
            assert!(!file.exists() && words.is_empty());
        }
        fs::remove_dir(folder).unwrap();
    }

    #[test]
    fn what_is_moved_aside_is_whole_and_for_its_owner_alone() {
        let folder = folder("aside");
        let key = folder.join("ca.key");
        fs::write(&key, "precious").unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o400)).unwrap();
        let aside = folder.join("aside");
        let to = move_aside(&key, &aside).unwrap();
        assert!(!key.exists() && to.starts_with(&aside));
        assert_eq!(fs::read(&to).unwrap(), b"precious");
        let mode = |path: &PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&to), mode(&aside)), (0o400, 0o700));
        fs::remove_dir_all(folder).unwrap();
    }
}
