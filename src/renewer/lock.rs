//! The lock that keeps runs apart.

use super::installed_file::open_for_append;
use crate::system::new_file::FileSystemError;
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a second run waits for the first.
const PATIENCE: Duration = Duration::from_secs(3);

/// Held while a run works.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "closing it is what unlocks")] File);

impl Lock {
    /// Takes the lock in a directory, which is created if it does not exist. `None` when another
    /// run keeps it.
    ///
    /// # Errors
    /// [`FileSystemError`].
    pub(crate) fn take(directory: &Path) -> Result<Option<Self>, FileSystemError> {
        let path: PathBuf = directory.join("lock");
        let file = open_for_append(&path)?;
        let start = Instant::now();
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Some(Self(file))),
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(FileSystemError::new("locking", &path)(errno.into())),
            }
            if start.elapsed() > PATIENCE {
                return Ok(None);
            }
            sleep(Duration::from_millis(50));
        }
    }
}
