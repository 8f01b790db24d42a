//! Files that the operator has installed, whose owner and mode are checked on the open descriptor.
//!
//! Each directory of the path is opened relative to its parent and checked, and symbolic links are
//! followed in the same way, so that the file that was checked is the file that is read.

use crate::system::account;
use crate::system::escape;
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, open, openat, readlinkat};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};
use zeroize::Zeroizing;

/// Which access others than the owner may have to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    /// Only the owner and root may write it.
    Public,
    /// Only the owner and root may read or write it. For root, the owner may also be the account
    /// that the endpoint runs as, because the CA key belongs to it.
    Secret,
}

/// Why a file cannot be used. Each message begins with what the file is for, and its path.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{what} {path}: it does not exist: create it, or set another path in the settings")]
    Missing { what: &'static str, path: String },
    #[error("{what} {path}: it cannot be read: {source}{}", hint(source))]
    Unreadable {
        what: &'static str,
        path: String,
        source: io::Error,
    },
    #[error("{what} {path}: it is not a regular file: replace it with one")]
    NotRegular { what: &'static str, path: String },
    #[error("{what} {path}: it is larger than {limit} bytes: is it the right file?")]
    TooLarge {
        what: &'static str,
        path: String,
        /// In bytes.
        limit: u64,
    },
    /// It, or a directory of its path, belongs to another user.
    #[error(
        "{what} {path}: {at} belongs to user {owner}, neither to root nor to user {euid}: \
         run 'chown root {at}'"
    )]
    Owner {
        what: &'static str,
        path: String,
        /// The file or directory in question.
        at: String,
        /// The user ID of its owner.
        owner: u32,
        /// The effective user ID of this process.
        euid: u32,
    },
    /// It, or a directory of its path, can be written by others.
    #[error(
        "{what} {path}: {at} can be written by its group or others (mode {mode:04o}): \
         run 'chmod go-w {at}'"
    )]
    Writable {
        what: &'static str,
        path: String,
        /// The file or directory in question.
        at: String,
        /// Its permission bits.
        mode: u32,
    },
    #[error(
        "{what} {path}: its group or others have access to it (mode {mode:04o}): \
         run 'chmod 0400 {path}'"
    )]
    Exposed {
        what: &'static str,
        path: String,
        /// Its permission bits.
        mode: u32,
    },
}

impl FileError {
    /// Whether owner or mode is wrong, and not the contents.
    #[must_use]
    pub fn is_permission(&self) -> bool {
        matches!(
            self,
            Self::Owner { .. } | Self::Writable { .. } | Self::Exposed { .. }
        )
    }
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => {
            ": make it readable for the account that runs this program"
        }
        _ => "",
    }
}

/// A file that has been opened and checked, but not read yet.
#[derive(Debug)]
pub(crate) struct TrustedFile {
    what: &'static str,
    path: String,
    /// At the check. A file that grows afterwards is rejected as too large.
    size: u64,
    file: File,
}

impl TrustedFile {
    /// Opens a file, and checks owner and mode of it and of every directory of its path: each must
    /// belong to root or to the invoking user, and not be writable by others. (In a directory with
    /// the sticky bit, such as `/tmp`, others cannot replace it.)
    ///
    /// # Errors
    /// [`FileError`].
    pub(crate) fn open(
        what: &'static str,
        path: &Path,
        protection: Protection,
    ) -> Result<Self, FileError> {
        let shown = escape::path(path);
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => FileError::Missing {
                what,
                path: shown.clone(),
            },
            _ => FileError::Unreadable {
                what,
                path: shown.clone(),
                source: error,
            },
        };
        let check = AccessCheck {
            what,
            path: &shown,
            euid: rustix::process::geteuid().as_raw(),
        };
        let given = std::path::absolute(path).map_err(failed)?;
        let fd = open_checked(&given, &check).map_err(|stop| match stop {
            Stop::Rejected(error) => error,
            Stop::System(errno) => failed(errno.into()),
        })?;
        let stat = fstat(&fd).map_err(|errno| failed(errno.into()))?;
        check.file(&stat, protection)?;
        Ok(Self {
            what,
            path: shown,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            file: File::from(fd),
        })
    }

    /// Reads the whole file, of at most `limit` bytes, into memory that is wiped when dropped.
    ///
    /// # Errors
    /// [`FileError::TooLarge`] or [`FileError::Unreadable`].
    pub(crate) fn read(self, limit: u64) -> Result<Zeroizing<Vec<u8>>, FileError> {
        // Allocated once, so that growing leaves no copy behind, and no larger than needed, because
        // all of it is wiped.
        let expected = self.size.min(limit).saturating_add(1);
        let capacity = usize::try_from(expected).unwrap_or(0);
        let mut contents = Zeroizing::new(Vec::with_capacity(capacity));
        self.file
            .take(expected)
            .read_to_end(&mut contents)
            .map_err(|source| FileError::Unreadable {
                what: self.what,
                path: self.path.clone(),
                source,
            })?;
        if contents.len() >= capacity {
            return Err(FileError::TooLarge {
                what: self.what,
                path: self.path,
                limit,
            });
        }
        Ok(contents)
    }
}

enum Stop {
    Rejected(FileError),
    System(Errno),
}

/// Opens a path component by component from `/`, and checks each directory and symbolic link:
/// whoever can change one of them can substitute another file.
fn open_checked(path: &Path, check: &AccessCheck<'_>) -> Result<OwnedFd, Stop> {
    const ENTRY: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
    // Without O_NONBLOCK, opening a pipe would wait for a writer.
    const FILE: OFlags = OFlags::RDONLY
        .union(OFlags::NOFOLLOW)
        .union(OFlags::NONBLOCK)
        .union(OFlags::NOCTTY)
        .union(OFlags::CLOEXEC);
    let root = || {
        let root = open("/", ENTRY.union(OFlags::DIRECTORY), Mode::empty())?;
        Ok::<_, Errno>((PathBuf::from("/"), root))
    };
    let mut links = 0_u8;
    let mut parents = vec![root().map_err(Stop::System)?];
    let mut names: VecDeque<OsString> = names_of(path);
    for (at, directory) in &parents {
        let stat = fstat(directory).map_err(Stop::System)?;
        check.directory(at, &stat).map_err(Stop::Rejected)?;
    }
    while let Some(name) = names.pop_front() {
        let (at, directory) = parents.last().ok_or(Stop::System(Errno::NOENT))?;
        if name == ".." {
            if parents.len() > 1 {
                parents.pop();
            }
            continue;
        }
        if names.is_empty() {
            match openat(directory, &name, FILE, Mode::empty()) {
                Err(Errno::LOOP) => {}
                outcome => return outcome.map_err(Stop::System),
            }
        }
        let entry = openat(directory, &name, ENTRY, Mode::empty()).map_err(Stop::System)?;
        let stat = fstat(&entry).map_err(Stop::System)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let at = at.join(name);
                check.directory(&at, &stat).map_err(Stop::Rejected)?;
                parents.push((at, entry));
            }
            FileType::Symlink => {
                check.link(&at.join(name), &stat).map_err(Stop::Rejected)?;
                links = links
                    .checked_add(1)
                    .filter(|links| *links <= MAX_LINKS)
                    .ok_or(Stop::System(Errno::LOOP))?;
                let target = readlinkat(&entry, "", Vec::new()).map_err(Stop::System)?;
                let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                if target.is_absolute() {
                    parents.truncate(1);
                }
                let mut ahead = names_of(&target);
                ahead.append(&mut names);
                names = ahead;
            }
            _ => return Err(Stop::System(Errno::NOTDIR)),
        }
    }
    Err(Stop::System(Errno::ISDIR))
}

/// The limit of the kernel (path_resolution(7)).
const MAX_LINKS: u8 = 40;

fn names_of(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            _ => None,
        })
        .collect()
}

struct AccessCheck<'a> {
    what: &'static str,
    path: &'a str,
    euid: u32,
}

impl AccessCheck<'_> {
    /// The owner of a symbolic link can replace it, even in a directory with the sticky bit.
    fn link(&self, at: &Path, stat: &Stat) -> Result<(), FileError> {
        let at = escape::path(at);
        self.owner(&at, stat)
    }

    fn directory(&self, at: &Path, stat: &Stat) -> Result<(), FileError> {
        let at = escape::path(at);
        self.owner(&at, stat)?;
        let mode = Mode::from_raw_mode(stat.st_mode);
        if mode.intersects(Mode::WGRP.union(Mode::WOTH)) && !mode.contains(Mode::SVTX) {
            return Err(self.writable(at, mode));
        }
        Ok(())
    }

    fn file(&self, stat: &Stat, protection: Protection) -> Result<(), FileError> {
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(FileError::NotRegular {
                what: self.what,
                path: self.path.to_owned(),
            });
        }
        if protection == Protection::Public || !self.is_signers(stat) {
            self.owner(self.path, stat)?;
        }
        let mode = Mode::from_raw_mode(stat.st_mode);
        match protection {
            Protection::Public if mode.intersects(Mode::WGRP.union(Mode::WOTH)) => {
                Err(self.writable(self.path.to_owned(), mode))
            }
            Protection::Secret if mode.intersects(Mode::RWXG.union(Mode::RWXO)) => {
                Err(FileError::Exposed {
                    what: self.what,
                    path: self.path.to_owned(),
                    mode: mode.as_raw_mode(),
                })
            }
            Protection::Public | Protection::Secret => Ok(()),
        }
    }

    /// Whether this process is root's, and the file belongs to the account of the endpoint.
    fn is_signers(&self, stat: &Stat) -> bool {
        self.euid == 0
            && stat.st_uid != 0
            && account::signer().is_some_and(|account| account.uid == stat.st_uid)
    }

    fn owner(&self, at: &str, stat: &Stat) -> Result<(), FileError> {
        if stat.st_uid == 0 || stat.st_uid == self.euid {
            return Ok(());
        }
        Err(FileError::Owner {
            what: self.what,
            path: self.path.to_owned(),
            at: at.to_owned(),
            owner: stat.st_uid,
            euid: self.euid,
        })
    }

    fn writable(&self, at: String, mode: Mode) -> FileError {
        FileError::Writable {
            what: self.what,
            path: self.path.to_owned(),
            at,
            mode: mode.as_raw_mode(),
        }
    }
}
