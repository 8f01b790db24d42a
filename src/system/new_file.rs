//! Creating files atomically, without overwriting existing ones.
//!
//! Each is written to a temporary file in the same directory, synced, and renamed. A process that
//! is killed leaves at most the temporary file.

use crate::system::escape;
use rustix::fs::{Gid, Mode, Uid, fchown};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use tempfile::{NamedTempFile, PersistError};

/// Why a file was not created. No file is left behind.
#[derive(Debug, thiserror::Error)]
pub enum NewFileError {
    #[error("{0} already exists: move it away first")]
    Exists(String),
    #[error(transparent)]
    System(#[from] FileSystemError),
}

/// A failed operation on a file or directory.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {action} failed: {source}{}", hint(source))]
pub struct FileSystemError {
    pub action: &'static str,
    pub path: String,
    pub source: io::Error,
}

impl FileSystemError {
    /// For `map_err`.
    pub fn new(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = escape::path(path);
        move |source| Self {
            action,
            path,
            source,
        }
    }
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => ": run this as the owner of the files, usually root",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            ": free some space; existing files are unchanged"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            ": mount it writable, or add it to ReadWritePaths= of the service; existing \
             files are unchanged"
        }
        _ => "",
    }
}

/// Checks that none of these paths exists.
///
/// # Errors
/// [`NewFileError::Exists`], with the first that exists.
pub(crate) fn require_absent(paths: &[&Path]) -> Result<(), NewFileError> {
    match paths.iter().find(|path| path.symlink_metadata().is_ok()) {
        Some(path) => Err(NewFileError::Exists(escape::path(path))),
        None => Ok(()),
    }
}

/// Creates a directory and its parents, mode 0755 whatever the caller's umask is.
///
/// # Errors
/// [`FileSystemError`].
pub(crate) fn create_directory(path: &Path) -> Result<(), FileSystemError> {
    let umask = rustix::process::umask(Mode::WGRP | Mode::WOTH);
    let created = fs::create_dir_all(path);
    rustix::process::umask(umask);
    created.map_err(FileSystemError::new("creating the directory", path))
}

/// Writes the whole contents of `path` to a temporary file beside it, which is removed if the
/// value is dropped. `owner` is a user and a group.
///
/// # Errors
/// [`FileSystemError`].
pub(crate) fn prepare(
    path: &Path,
    contents: &[u8],
    mode: u32,
    owner: Option<(u32, u32)>,
) -> Result<NamedTempFile, FileSystemError> {
    let write = || {
        let mut file = tempfile::Builder::new()
            .prefix(&temporary_prefix(path))
            .make_in(directory_of(path), |name| {
                OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(name)
            })?;
        file.as_file_mut().write_all(contents)?;
        let made = file.as_file().metadata()?;
        if let Some((user, group)) = owner
            && (made.uid(), made.gid()) != (user, group)
        {
            fchown(&file, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))?;
        }
        // After the owner: changing that clears some mode bits.
        file.as_file()
            .set_permissions(fs::Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    write().map_err(FileSystemError::new("writing", path))
}

/// Renames a prepared file to `path`, which must not exist.
///
/// # Errors
/// [`NewFileError`].
pub(crate) fn create(file: NamedTempFile, path: &Path) -> Result<(), NewFileError> {
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(PersistError { error, .. }) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(NewFileError::Exists(escape::path(path)))
        }
        Err(PersistError { error, .. }) => {
            Err(FileSystemError::new("creating", path)(error).into())
        }
    }
}

/// Renames two prepared files, or neither.
///
/// # Errors
/// [`NewFileError`].
pub(crate) fn create_both(
    first: (NamedTempFile, &Path),
    second: (NamedTempFile, &Path),
) -> Result<(), NewFileError> {
    create(first.0, first.1)?;
    if let Err(error) = create(second.0, second.1) {
        fs::remove_file(first.1).map_err(FileSystemError::new("removing", first.1))?;
        return Err(error);
    }
    Ok(())
}

/// Syncs the directory entry of a file.
///
/// # Errors
/// [`FileSystemError`].
pub(crate) fn sync_directory_of(path: &Path) -> Result<(), FileSystemError> {
    let directory = directory_of(path);
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(FileSystemError::new("syncing", directory))
}

/// How the names of the temporary files of `path` begin.
pub(crate) fn temporary_prefix(path: &Path) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(".new-");
    prefix
}

/// The directory that a file is in.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) => Path::new("."),
        None => Path::new("/"),
    }
}
