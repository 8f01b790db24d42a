//! Files that the operator placed: opened once, then judged on the descriptor.
//!
//! Every directory on the way is opened relative to the one before it and checked, and every
//! link is followed by the same way, so that what was judged is what is read.

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

/// Who, besides its owner, may do what with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    /// Nobody but the owner and root may write it.
    Public,
    /// Nobody but the owner and root may read or write it. To root, the account that the
    /// endpoint runs as is a good owner too: the CA key is its own.
    Secret,
}

/// What is wrong with a file. Each text begins with what the file is, and its path.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is no such file.
    #[error("{what} {path}: it does not exist: create it, or set another path in the settings")]
    Missing {
        /// What the file is for.
        what: &'static str,
        /// Its path.
        path: String,
    },
    /// It cannot be opened or read.
    #[error("{what} {path}: it cannot be read: {source}{}", hint(source))]
    Unreadable {
        /// What the file is for.
        what: &'static str,
        /// Its path.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// It is a directory, a device or a pipe.
    #[error("{what} {path}: it is not a regular file: replace it with one")]
    NotRegular {
        /// What the file is for.
        what: &'static str,
        /// Its path.
        path: String,
    },
    /// It is larger than anything of its kind.
    #[error("{what} {path}: it is larger than {limit} bytes: is it the right file?")]
    TooLarge {
        /// What the file is for.
        what: &'static str,
        /// Its path.
        path: String,
        /// The limit, in bytes.
        limit: u64,
    },
    /// It, or a directory that leads to it, belongs to somebody else.
    #[error(
        "{what} {path}: {at} belongs to user {owner}, neither to root nor to user {me}: \
         chown root {at}"
    )]
    Owner {
        /// What the file is for.
        what: &'static str,
        /// Its path.
        path: String,
        /// The file or directory in question.
        at: String,
        /// Its owner's numeric id.
        owner: u32,
        /// The numeric id that this process runs with.
        me: u32,
    },
    /// It, or a directory that leads to it, can be written by others.
    #[error(
        "{what} {path}: {at} can be written by its group or others (mode {mode:04o}): \
         chmod go-w {at}"
    )]
    Writable {
        /// What the file is for.
        what: &'static str,
        /// Its path.
        path: String,
        /// The file or directory in question.
        at: String,
        /// Its permission bits.
        mode: u32,
    },
    /// A secret that others can read.
    #[error(
        "{what} {path}: its group or others have access to it (mode {mode:04o}): chmod 0400 {path}"
    )]
    Exposed {
        /// What the file is for.
        what: &'static str,
        /// Its path.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
}

impl FileError {
    /// Whether the file's protection is at fault, not its contents.
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

/// A file that has been opened and found trustworthy, and not yet read.
#[derive(Debug)]
pub(crate) struct TrustedFile {
    what: &'static str,
    path: String,
    /// When it was judged. A file that grows afterwards is too large.
    size: u64,
    file: File,
}

impl TrustedFile {
    /// Opens a file and judges owner and mode of it and of every directory that leads to it:
    /// each must belong to root or to the invoking user, and be writable by nobody else.
    /// (A directory with the sticky bit, such as `/tmp`, lets nobody replace another's entry.)
    ///
    /// # Errors
    /// [`FileError`], with the path and the remedy.
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
        let judge = Judge {
            what,
            path: &shown,
            me: rustix::process::geteuid().as_raw(),
        };
        let given = std::path::absolute(path).map_err(failed)?;
        let fd = walk(&given, &judge).map_err(|stop| match stop {
            Stop::Judged(error) => error,
            Stop::System(errno) => failed(errno.into()),
        })?;
        let stat = fstat(&fd).map_err(|errno| failed(errno.into()))?;
        judge.file(&stat, protection)?;
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
        // Allocated once, so that no copy is left behind by growing, and as small as it goes:
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
    Judged(FileError),
    System(Errno),
}

/// Follows a path from `/`, each name in the directory that was opened and judged before, and
/// each link by the same way: who could change any of it could have another file read.
fn walk(given: &Path, judge: &Judge<'_>) -> Result<OwnedFd, Stop> {
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
    let mut way = vec![root().map_err(Stop::System)?];
    let mut names: VecDeque<OsString> = names_of(given);
    for (at, directory) in &way {
        let stat = fstat(directory).map_err(Stop::System)?;
        judge.directory(at, &stat).map_err(Stop::Judged)?;
    }
    while let Some(name) = names.pop_front() {
        let (at, directory) = way.last().ok_or(Stop::System(Errno::NOENT))?;
        if name == ".." {
            if way.len() > 1 {
                way.pop();
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
                judge.directory(&at, &stat).map_err(Stop::Judged)?;
                way.push((at, entry));
            }
            FileType::Symlink => {
                judge.link(&at.join(name), &stat).map_err(Stop::Judged)?;
                links = links
                    .checked_add(1)
                    .filter(|links| *links <= MAX_LINKS)
                    .ok_or(Stop::System(Errno::LOOP))?;
                let target = readlinkat(&entry, "", Vec::new()).map_err(Stop::System)?;
                let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                if target.is_absolute() {
                    way.truncate(1);
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

/// As many as the kernel follows (path_resolution(7)).
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

struct Judge<'a> {
    what: &'static str,
    path: &'a str,
    me: u32,
}

impl Judge<'_> {
    /// A link cannot be changed, but its owner can replace it, in a sticky directory too.
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

    /// Whether root looks at what belongs to the endpoint's account.
    fn is_signers(&self, stat: &Stat) -> bool {
        self.me == 0
            && stat.st_uid != 0
            && account::signer().is_some_and(|account| account.uid == stat.st_uid)
    }

    fn owner(&self, at: &str, stat: &Stat) -> Result<(), FileError> {
        if stat.st_uid == 0 || stat.st_uid == self.me {
            return Ok(());
        }
        Err(FileError::Owner {
            what: self.what,
            path: self.path.to_owned(),
            at: at.to_owned(),
            owner: stat.st_uid,
            me: self.me,
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
