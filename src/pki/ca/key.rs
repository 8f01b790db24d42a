//! The CA's private key: its file is opened early and read late, and its memory is wiped after use.
//!
//! Only this module and `bundle` handle the bytes of a CA's private key.

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

/// The CA's private key, which matches its certificate. It implements neither `Debug` nor `Clone`.
pub struct CaKey(PrivateKey);

impl CaKey {
    /// Signs with the algorithm that the profile has for this type of key.
    ///
    /// # Errors
    /// [`PrivateKeyError::Signing`].
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PrivateKeyError> {
        self.0.sign(message)
    }
}

/// The file of the CA key, opened and checked, but not read yet.
#[derive(Debug)]
pub struct CaKeyFile {
    file: TrustedFile,
    path: String,
}

impl CaKeyFile {
    /// Opens the file, and checks who can access it.
    ///
    /// # Errors
    /// [`CaError::File`].
    pub fn open(path: &Path) -> Result<Self, CaError> {
        Ok(Self {
            file: TrustedFile::open(KEY, path, Protection::Secret)?,
            path: escape::path(path),
        })
    }

    /// Reads the key.
    ///
    /// # Errors
    /// [`CaError`], if it cannot be used or does not match the certificate.
    pub fn read(self, certificate: &CaCertificate) -> Result<CaKey, CaError> {
        let path = self.path.clone();
        PrivateKey::from_pem(&self.read_pem()?, Some(certificate.public_key()))
            .map(CaKey)
            .map_err(|cause| CaError::Key { path, cause })
    }

    pub(super) fn read_pem(self) -> Result<Zeroizing<Vec<u8>>, CaError> {
        Ok(self.file.read(SIZE_LIMIT)?)
    }

    /// Reads the key, calls `work` with it, and wipes it from memory.
    ///
    /// ring leaves copies of keys on the heap and on the stack. The allocator (see `bin`) wipes the
    /// heap as it is freed; this wipes the stack.
    ///
    /// # Errors
    /// [`CaError`], or the error of `work`.
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

/// Overwrites what earlier calls have left on the stack, to a greater depth than they used.
#[inline(never)]
fn wipe_stack() {
    black_box([0_u8; STACK]);
}

/// A request uses 19 KiB with any type of CA key (valgrind --tool=massif --stacks=yes), and several
/// times that in unoptimized builds.
const STACK: usize = if cfg!(debug_assertions) { 256 } else { 32 } * 1024;
