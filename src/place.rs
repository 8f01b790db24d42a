//! New files of the operator's commands: whole or not at all, and never in another's place.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use tempfile::{NamedTempFile, PersistError};

/// Why a file was not put in its place. Nothing has been left behind.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Something has that name.
    #[error("{0} exists: move it away first, if it is not needed any more")]
    Exists(String),
    /// The system refused something.
    #[error("{action} {path}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Refuses if something has one of these names already.
///
/// # Errors
/// [`PlaceError::Exists`], with the first that does.
pub fn all_free(paths: &[&Path]) -> Result<(), PlaceError> {
    match paths.iter().find(|path| path.symlink_metadata().is_ok()) {
        Some(path) => Err(PlaceError::Exists(path.display().to_string())),
        None => Ok(()),
    }
}

/// Makes a directory, and those that lead to it, so that others can get there whatever the
/// caller's own umask is.
///
/// # Errors
/// [`PlaceError::System`].
pub fn directory(path: &Path) -> Result<(), PlaceError> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    fs::create_dir_all(path).map_err(failed("making", path))
}

/// Writes a file whole, under a passing name that goes away with the value.
///
/// # Errors
/// [`PlaceError::System`].
pub fn prepare(directory: &Path, contents: &[u8], mode: u32) -> Result<NamedTempFile, PlaceError> {
    let write = || {
        let mut file = tempfile::Builder::new()
            .prefix(".etcd-signer-")
            .permissions(fs::Permissions::from_mode(0o600))
            .tempfile_in(directory)?;
        file.write_all(contents)?;
        file.as_file()
            .set_permissions(fs::Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    write().map_err(failed("writing to", directory))
}

/// Gives a file its name, which nothing must have yet.
///
/// # Errors
/// [`PlaceError`].
pub fn place(file: NamedTempFile, path: &Path) -> Result<(), PlaceError> {
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(PersistError { error, .. }) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(PlaceError::Exists(path.display().to_string()))
        }
        Err(PersistError { error, .. }) => Err(failed("naming", path)(error)),
    }
}

/// Gives two files their names, or neither.
///
/// # Errors
/// [`PlaceError`].
pub fn place_both(
    first: (NamedTempFile, &Path),
    second: (NamedTempFile, &Path),
) -> Result<(), PlaceError> {
    place(first.0, first.1)?;
    if let Err(error) = place(second.0, second.1) {
        fs::remove_file(first.1).map_err(failed("removing", first.1))?;
        return Err(error);
    }
    Ok(())
}

/// Makes the names in a directory last.
///
/// # Errors
/// [`PlaceError::System`].
pub fn sync(directory: &Path) -> Result<(), PlaceError> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(failed("syncing", directory))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PlaceError {
    let path = path.display().to_string();
    move |source| PlaceError::System {
        action,
        path,
        source,
    }
}
