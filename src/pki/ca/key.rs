//! The CA's private key: opened early, read late, wiped at once.
//!
//! The bytes of a CA's private key are handled here and in `bundle`, and nowhere else.

use super::certificate::CaCertificate;
use super::error::CaError;
use crate::pki::private_key::{PrivateKey, PrivateKeyError};
use crate::system::escape;
use crate::system::trusted_file::{Protection, TrustedFile};
use std::hint::black_box;
use std::path::Path;
use zeroize::Zeroizing;

/// The largest key file, in bytes.
const SIZE_LIMIT: u64 = 64 * 1024;

const KEY: &str = "CA key";

/// The CA's private key, which belongs to its certificate. It cannot be shown or copied.
pub struct CaKey(PrivateKey);

impl CaKey {
    /// Signs with the algorithm that the profile has for this kind of key.
    ///
    /// # Errors
    /// [`PrivateKeyError::Signing`], when the system has no random numbers.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PrivateKeyError> {
        self.0.sign(message)
    }
}

/// The CA key's file, opened and checked, and not yet read.
#[derive(Debug)]
pub struct CaKeyFile {
    file: TrustedFile,
    path: String,
}

impl CaKeyFile {
    /// Opens the key's file.
    ///
    /// # Errors
    /// [`FileError`]: it is missing, or not protected as a secret must be.
    pub fn open(path: &Path) -> Result<Self, CaError> {
        Ok(Self {
            file: TrustedFile::open(KEY, path, Protection::Secret)?,
            path: escape::path(path),
        })
    }

    /// Reads the key.
    ///
    /// # Errors
    /// [`CaError`]: it is no key that can sign, or not the certificate's.
    pub fn read(self, certificate: &CaCertificate) -> Result<CaKey, CaError> {
        let path = self.path.clone();
        PrivateKey::from_pem(&self.read_pem()?, Some(certificate.public_key()))
            .map(CaKey)
            .map_err(|cause| CaError::Key { path, cause })
    }

    /// Reads the file as it is.
    pub(super) fn read_pem(self) -> Result<Zeroizing<Vec<u8>>, CaError> {
        Ok(self.file.read(SIZE_LIMIT)?)
    }

    /// Reads the key for one piece of work, after which it is not in memory any more.
    ///
    /// The heap is wiped as it is freed (see `main`), and the stack here: ring keeps keys on
    /// both, and wipes neither.
    ///
    /// # Errors
    /// [`CaError`], as [`CaKeyFile::read`] does, or the work's own.
    pub fn with_key<T, E: From<CaError>>(
        self,
        certificate: &CaCertificate,
        work: impl FnOnce(&CaKey) -> Result<T, E>,
    ) -> Result<T, E> {
        let outcome = call_out_of_line(|| work(&self.read(certificate)?));
        wipe_stack();
        outcome
    }
}

#[inline(never)]
fn call_out_of_line<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// Overwrites what calls that have returned left on the stack, deeper than any of them went.
#[inline(never)]
fn wipe_stack() {
    black_box([0_u8; STACK]);
}

/// A whole request uses 19 KiB, whatever the CA's key (valgrind --tool=massif --stacks=yes);
/// unoptimized builds several times that.
const STACK: usize = if cfg!(debug_assertions) { 256 } else { 32 } * 1024;
