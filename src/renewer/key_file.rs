//! The master's private key file: created once, never overwritten, never sent.

use crate::pki::pem::encode;
use crate::pki::private_key::{
    KeyAlgorithm, NoRandomNumbers, PrivateKey, PrivateKeyError, generate,
};
use crate::system::installed_file;
use crate::system::new_file::FileSystemError;
use std::io;
use std::path::Path;
use zeroize::Zeroizing;

/// The largest key file, in bytes.
const SIZE_LIMIT: u64 = 64 * 1024;

/// Why there is no key to use. One that is in place is never overwritten.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyFileError {
    #[error("key {path}: it cannot be read: {source}")]
    Unreadable {
        path: String,
        /// What the system said.
        source: io::Error,
    },
    #[error("key {path}: {cause}; or move it away, and the next run creates a new one")]
    Unusable {
        path: String,
        cause: PrivateKeyError,
    },
    /// A new one cannot be put in place.
    #[error(transparent)]
    FileSystem(#[from] FileSystemError),
    #[error("key: {0}: please report this bug")]
    Random(#[from] NoRandomNumbers),
}

/// Loads the key in place. `None` if there is none.
///
/// # Errors
/// [`KeyFileError`].
pub(crate) fn load(path: &Path) -> Result<Option<PrivateKey>, KeyFileError> {
    let shown = || path.display().to_string();
    let pem = match installed_file::read(path, SIZE_LIMIT) {
        Ok(pem) => Zeroizing::new(pem),
        // A link to nowhere is not nothing: somebody has to repair it.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {
            return Ok(None);
        }
        Err(source) => {
            return Err(KeyFileError::Unreadable {
                path: shown(),
                source,
            });
        }
    };
    PrivateKey::from_pem(&pem, None)
        .map(Some)
        .map_err(|cause| KeyFileError::Unusable {
            path: shown(),
            cause,
        })
}

/// Makes a key and creates its file, readable by its owner alone. If another was put there
/// meanwhile, it is that one.
///
/// # Errors
/// [`KeyFileError`].
pub(crate) fn create(
    path: &Path,
    algorithm: KeyAlgorithm,
) -> Result<Option<PrivateKey>, KeyFileError> {
    let der = generate(algorithm)?;
    let pem = Zeroizing::new(encode("PRIVATE KEY", &der));
    installed_file::create(path, pem.as_bytes(), 0o400)?;
    load(path)
}
