//! `etcd-signer ca backup` and `ca restore`: the CA in an encrypted file.
//!
//! age encrypts the file: the signer would otherwise contain a second cryptographic library. Key and
//! certificate pass through pipes, and are never on disk in plain text.

use crate::pki::ca::bundle::CaBundle;
use crate::pki::ca::certificate::CaCertificate;
use crate::pki::ca::error::CaError;
use crate::signer::config::SignerConfig;
use crate::system::escape;
use crate::system::new_file::{self, FileSystemError, NewFileError};
use crate::system::sandbox::{SandboxError, drop_privileges};
use crate::system::settings::{SettingsError, SettingsSource};
use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use zeroize::Zeroizing;

/// The path in Debian's package. PATH is not searched, because root runs this.
const AGE: &str = "/usr/bin/age";

/// The largest output of age, in bytes.
const SIZE_LIMIT: u64 = 256 * 1024;

#[derive(Clone, Debug)]
pub(crate) struct BackupOptions {
    /// The file to create.
    pub file: PathBuf,
    /// age or SSH public keys. Without any, age asks for a passphrase.
    pub recipients: Vec<String>,
    /// The settings with the paths of the CA's files.
    pub settings: SettingsSource,
}

#[derive(Clone, Debug)]
pub(crate) struct RestoreOptions {
    /// The backup.
    pub file: PathBuf,
    /// Files of age or SSH private keys. Without any, age asks for a passphrase.
    pub identities: Vec<PathBuf>,
    /// For `ca.key` and `ca.crt`. Created if it does not exist.
    pub directory: PathBuf,
}

/// Why no backup was written, or nothing was restored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CaBackupError {
    #[error(transparent)]
    Config(#[from] SettingsError),
    /// The CA's files, or the contents of the backup.
    #[error(transparent)]
    Ca(#[from] CaError),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error("CA not saved or restored: {0}")]
    NewFile(#[from] NewFileError),
    #[error(
        "CA not restored: {0} is the certificate of another CA: move it away, or restore to another \
         --directory"
    )]
    AnotherCa(String),
    /// age could not be run.
    #[error("backup: {AGE}: {0}: install the package age")]
    NoAge(#[source] io::Error),
    /// age has written the reason to standard error.
    #[error("backup: age failed ({0}): see its message above")]
    Age(ExitStatus),
    #[error("backup: {0}")]
    Unexpected(&'static str),
}

impl From<FileSystemError> for CaBackupError {
    fn from(error: FileSystemError) -> Self {
        Self::NewFile(error.into())
    }
}

/// Saves the CA's key and certificate, which must match.
///
/// # Errors
/// [`CaBackupError`]. Existing files are never overwritten.
pub(crate) fn backup(options: &BackupOptions, now: i64) -> Result<(), CaBackupError> {
    drop_privileges()?;
    new_file::require_absent(&[&options.file])?;
    let config = SignerConfig::load(&options.settings)?;
    let bundle = CaBundle::load(&config.ca_certificate, &config.ca_key, now)?.to_pem();

    let mut age = Command::new(AGE);
    age.args(["--encrypt", "--armor"]);
    if options.recipients.is_empty() {
        age.arg("--passphrase");
    }
    for recipient in &options.recipients {
        age.arg("--recipient").arg(recipient);
    }
    let encrypted = run_age(age, bundle.as_bytes())?;
    if !encrypted.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----") {
        return Err(CaBackupError::Unexpected(
            "what age wrote is not an encrypted file: check the package age",
        ));
    }
    let file = new_file::prepare(&options.file, &encrypted, 0o400, None)?;
    new_file::create(file, &options.file)?;
    Ok(new_file::sync_directory_of(&options.file)?)
}

/// Restores a CA. Its certificate may exist already, as it does on every member.
///
/// # Errors
/// [`CaBackupError`]. Existing files are never overwritten.
pub(crate) fn restore(options: &RestoreOptions, now: i64) -> Result<(), CaBackupError> {
    drop_privileges()?;
    let key_path = options.directory.join("ca.key");
    let certificate_path = options.directory.join("ca.crt");
    new_file::require_absent(&[&key_path])?;

    let mut age = Command::new(AGE);
    age.arg("--decrypt");
    for identity in &options.identities {
        age.arg("--identity").arg(identity);
    }
    age.arg("--").arg(absolute(&options.file));
    let pem = run_age(age, b"")?;
    let bundle = CaBundle::parse(&pem, &options.file, now)?;

    new_file::create_directory(&options.directory)?;
    let key = new_file::prepare(&key_path, bundle.key_pem().as_bytes(), 0o400, None)?;
    if certificate_path.symlink_metadata().is_ok() {
        let existing = CaCertificate::load(&certificate_path, now)?;
        if existing.der() != bundle.certificate().der() {
            return Err(CaBackupError::AnotherCa(escape::path(&certificate_path)));
        }
        new_file::create(key, &key_path)?;
    } else {
        let pem = bundle.certificate().pem();
        let certificate = new_file::prepare(&certificate_path, pem.as_bytes(), 0o444, None)?;
        new_file::create_both((key, &key_path), (certificate, &certificate_path))?;
    }
    Ok(new_file::sync_directory_of(&key_path)?)
}

/// Runs age with this standard input, and returns its standard output. age asks for passphrases on
/// the terminal.
fn run_age(mut age: Command, input: &[u8]) -> Result<Zeroizing<Vec<u8>>, CaBackupError> {
    let mut child = age
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(CaBackupError::NoAge)?;
    let output = exchange(&mut child, input);
    let status = child.wait().map_err(CaBackupError::NoAge)?;
    if !status.success() {
        return Err(CaBackupError::Age(status));
    }
    let output = output.map_err(CaBackupError::NoAge)?;
    if u64::try_from(output.len()).unwrap_or(u64::MAX) > SIZE_LIMIT {
        return Err(CaBackupError::Unexpected(
            "the file is too large for a backup of a CA: is it the right file?",
        ));
    }
    Ok(output)
}

/// The input is a few kilobytes, which fit into a pipe, so it is written before anything is read.
fn exchange(child: &mut Child, input: &[u8]) -> io::Result<Zeroizing<Vec<u8>>> {
    let written = child
        .stdin
        .take()
        .map_or(Ok(()), |mut stdin| stdin.write_all(input));
    let mut output = Zeroizing::new(Vec::new());
    if let Some(stdout) = child.stdout.take() {
        stdout
            .take(SIZE_LIMIT.saturating_add(1))
            .read_to_end(&mut output)?;
    }
    written?;
    Ok(output)
}

/// age would take a relative name for standard input or an option, if it begins with a hyphen.
fn absolute(file: &Path) -> OsString {
    std::path::absolute(file).map_or_else(|_| file.into(), Into::into)
}
