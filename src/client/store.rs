//! Files put in place whole or not at all, and the lock that keeps runs apart.
//!
//! Whatever is written is written under a passing name in the same directory, brought to the
//! disk, and then given its own name in one step. A run that is killed leaves at most a passing
//! name behind, which the next run removes.

use super::error::Exit;
use rustix::fs::{FlockOperation, Gid, Uid, fchown, flock};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::NamedTempFile;

/// How long a second run waits for the first.
const PATIENCE: Duration = Duration::from_secs(3);

/// A file or directory that the system did not let us have.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {action} failed: {source}{}", hint(source))]
pub struct StoreError {
    /// What was tried.
    pub action: &'static str,
    /// With what.
    pub path: String,
    /// What the system said.
    pub source: io::Error,
}

impl StoreError {
    /// What the process exits with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self.source.kind() {
            io::ErrorKind::PermissionDenied => Exit::Permission,
            _ => Exit::Io,
        }
    }
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => ": run this as the owner of the files, usually root",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            ": make room; what was there is untouched"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            ": mount it writable, or in a confined service name it in ReadWritePaths; \
             what was there is untouched"
        }
        _ => "",
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.display().to_string();
    move |source| StoreError {
        action,
        path,
        source,
    }
}

/// Reads a regular file of at most `limit` bytes. A longer one is cut, and so not what it claims.
///
/// # Errors
/// What the system said.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
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

/// Makes the directory that a file is to be in, as others may read it.
///
/// # Errors
/// [`StoreError`].
pub fn make_directory_for(path: &Path) -> Result<(), StoreError> {
    let directory = directory_of(path);
    fs::create_dir_all(directory).map_err(failed("making the directory", directory))
}

/// Makes sure that a file can be appended to. It is made if it is not there.
///
/// # Errors
/// [`StoreError`].
pub fn make_appendable(path: &Path) -> Result<(), StoreError> {
    open_for_append(path)
        .map(drop)
        .map_err(failed("opening", path))
}

fn open_for_append(path: &Path) -> io::Result<File> {
    fs::create_dir_all(directory_of(path))?;
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

/// Puts a file where nothing is yet. `false` if something is: that stays.
///
/// # Errors
/// [`StoreError`]. Then nothing has been put there.
pub fn place(path: &Path, contents: &[u8], mode: u32) -> Result<bool, StoreError> {
    let file = prepare(path, contents, mode, None)?;
    match file.persist_noclobber(path) {
        Ok(_) => sync(path).map(|()| true),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed("naming", path)(error.error)),
    }
}

/// Puts a file in place of the one that is there, with that one's owner and mode; with `mode`
/// if there is none. A link stays, and what it points to is replaced.
///
/// # Errors
/// [`StoreError`]. Then the old one is untouched.
pub fn replace(path: &Path, contents: &[u8], mode: u32) -> Result<(), StoreError> {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let (mode, owner) = match fs::symlink_metadata(&real) {
        Ok(old) if !old.is_file() => {
            let other = io::Error::other("it is not a regular file");
            return Err(failed("replacing", path)(other));
        }
        Ok(old) => (old.mode() & 0o7777, Some((old.uid(), old.gid()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (mode, None),
        Err(error) => return Err(failed("looking at", path)(error)),
    };
    prepare(&real, contents, mode, owner)?
        .persist(&real)
        .map_err(|error| failed("replacing", path)(error.error))?;
    sync(&real)
}

/// Removes what killed runs left behind beside a file.
pub fn sweep(path: &Path) {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let prefix = passing_prefix(&real);
    let prefix = prefix.as_encoded_bytes();
    // What cannot be removed is in nobody's way.
    for entry in fs::read_dir(directory_of(&real))
        .into_iter()
        .flatten()
        .flatten()
    {
        if entry.file_name().as_encoded_bytes().starts_with(prefix) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Writes a file whole, to the disk, under a passing name.
fn prepare(
    path: &Path,
    contents: &[u8],
    mode: u32,
    owner: Option<(u32, u32)>,
) -> Result<NamedTempFile, StoreError> {
    let directory = directory_of(path);
    let write = || {
        let mut file = tempfile::Builder::new()
            .prefix(&passing_prefix(path))
            .make_in(directory, |name| {
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
        // After the owner: changing that takes some bits away.
        file.as_file()
            .set_permissions(Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    write().map_err(failed("writing", path))
}

fn passing_prefix(path: &Path) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(".new-");
    prefix
}

fn sync(path: &Path) -> Result<(), StoreError> {
    let directory = directory_of(path);
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(failed("bringing to the disk", directory))
}

fn directory_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// Held while a run works.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "closing it is what unlocks")] File);

impl Lock {
    /// Takes the lock in a directory, which is made if it is not there. `None` when another
    /// run keeps it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn take(directory: &Path) -> Result<Option<Self>, StoreError> {
        let path: PathBuf = directory.join("lock");
        let file = open_for_append(&path).map_err(failed("locking", &path))?;
        let start = Instant::now();
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Some(Self(file))),
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(failed("locking", &path)(errno.into())),
            }
            if start.elapsed() > PATIENCE {
                return Ok(None);
            }
            sleep(Duration::from_millis(50));
        }
    }
}
