//! The lock that keeps runs apart.

use crate::system::installed_file::open_for_append;
use crate::system::new_file::FileSystemError;
use rustix::fs::{FlockOperation, flock};
use rustix::io::{FdFlags, fcntl_setfd};
use std::fs::File;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Held while a run works.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// Takes the lock that is a file, which is created if it does not exist, and its directory
    /// too. `None` when another run keeps it for longer than the patience.
    ///
    /// # Errors
    /// [`FileSystemError`].
    pub(crate) fn take(path: &Path, patience: Duration) -> Result<Option<Self>, FileSystemError> {
        let file = open_for_append(path)?;
        let start = Instant::now();
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Some(Self(file))),
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(FileSystemError::new("locking", path)(errno.into())),
            }
            if start.elapsed() > patience {
                return Ok(None);
            }
            sleep(Duration::from_millis(50));
        }
    }

    /// Lets programs that this one starts hold the lock, too, until they end.
    pub(crate) fn pass_to_children(&self) {
        // Without it, only a run that was killed is not waited for.
        let _ = fcntl_setfd(&self.0, FdFlags::empty());
    }
}
