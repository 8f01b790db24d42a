//! Files that a program keeps: read within bounds, replaced whole or not at all.
//!
//! A run that is killed leaves at most a temporary file behind, which the next run removes.

use crate::system::new_file::{
    self, FileSystemError, NewFileError, directory_of, sync_directory_of, temporary_prefix,
};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Reads a regular file of at most `limit` bytes. A longer one is cut off, and so not what it
/// claims to be.
///
/// # Errors
/// What the system said.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    // Without O_NONBLOCK, opening a pipe would wait for a writer.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut contents = Vec::new();
    file.take(limit).read_to_end(&mut contents)?;
    Ok(contents)
}

/// Opens a file to append to it. It is created if it does not exist, and its directory too.
///
/// # Errors
/// [`FileSystemError`].
pub(crate) fn open_for_append(path: &Path) -> Result<File, FileSystemError> {
    new_file::create_directory(directory_of(path))?;
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(FileSystemError::new("opening", path))
}

/// Creates a file, and its directory. `false` if something has that name: that stays.
///
/// # Errors
/// [`FileSystemError`]. Then nothing has been created.
pub(crate) fn create(path: &Path, contents: &[u8], mode: u32) -> Result<bool, FileSystemError> {
    new_file::create_directory(directory_of(path))?;
    let file = new_file::prepare(path, contents, mode, None)?;
    match new_file::create(file, path) {
        Ok(()) => sync_directory_of(path).map(|()| true),
        Err(NewFileError::Exists(_)) => Ok(false),
        Err(NewFileError::System(error)) => Err(error),
    }
}

/// Replaces a file, keeping its owner and mode; one that does not exist gets `mode`. A symbolic
/// link stays, and what it points to is replaced.
///
/// # Errors
/// [`FileSystemError`]. Then the old file is unchanged.
pub(crate) fn replace(path: &Path, contents: &[u8], mode: u32) -> Result<(), FileSystemError> {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    replace_entry(&real, path, contents, mode)
}

/// The same, but a symbolic link is refused: what it points to is not touched.
///
/// # Errors
/// [`FileSystemError`]. Then the old file is unchanged.
pub(crate) fn replace_regular(
    path: &Path,
    contents: &[u8],
    mode: u32,
) -> Result<(), FileSystemError> {
    replace_entry(path, path, contents, mode)
}

/// Replaces what is at `real`, which is shown as `path`.
fn replace_entry(
    real: &Path,
    path: &Path,
    contents: &[u8],
    mode: u32,
) -> Result<(), FileSystemError> {
    let (mode, owner) = match fs::symlink_metadata(real) {
        Ok(old) if !old.is_file() => {
            let other = io::Error::other("it is not a regular file");
            return Err(FileSystemError::new("replacing", path)(other));
        }
        Ok(old) => (old.mode() & 0o7777, Some((old.uid(), old.gid()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (mode, None),
        Err(error) => return Err(FileSystemError::new("reading the mode", path)(error)),
    };
    new_file::prepare(real, contents, mode, owner)?
        .persist(real)
        .map_err(|error| FileSystemError::new("replacing", path)(error.error))?;
    sync_directory_of(real)
}

/// Removes the temporary files that killed runs left beside a file.
pub(crate) fn remove_temporary_files(path: &Path) {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    remove_temporary_files_beside(&real);
}

/// The same for a path whose links are not followed.
pub(crate) fn remove_temporary_files_beside(path: &Path) {
    let prefix = temporary_prefix(path);
    let prefix = prefix.as_encoded_bytes();
    // What cannot be removed does no harm.
    for entry in fs::read_dir(directory_of(path))
        .into_iter()
        .flatten()
        .flatten()
    {
        if entry.file_name().as_encoded_bytes().starts_with(prefix) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
