//! `etcd-signer ca backup` and `ca restore`: the CA in an encrypted file.
//!
//! The format is age's, and age itself does the encrypting: a second cryptographic library
//! would otherwise be a part of the program that signs. The bundle goes to it and comes from
//! it through pipes, and is never on disk.

use crate::ca::{Bundle, CaCertificate, CaError};
use crate::config::{Config, ConfigError, Source};
use crate::escape;
use crate::place::{self, PlaceError};
use crate::sandbox::{SandboxError, keep_to_itself};
use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use zeroize::Zeroizing;

/// The program, where Debian's package has it. Not looked up: root runs this.
const AGE: &str = "/usr/bin/age";

/// More than any bundle has, in bytes.
const SIZE_LIMIT: u64 = 256 * 1024;

/// What to save, and where.
#[derive(Clone, Debug)]
pub struct BackupOptions {
    /// The file to make.
    pub file: PathBuf,
    /// Who can read it: age's or SSH's public keys. Without any, age asks for a passphrase.
    pub recipients: Vec<String>,
    /// Which settings name the CA's files.
    pub settings: Source,
}

/// What to bring back, and where to.
#[derive(Clone, Debug)]
pub struct RestoreOptions {
    /// The backup.
    pub file: PathBuf,
    /// Files of private keys that can read it. Without any, age asks for a passphrase.
    pub identities: Vec<PathBuf>,
    /// Where `ca.key` and `ca.crt` are put. Made if it is not there.
    pub directory: PathBuf,
}

/// Why there is no backup, or why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The CA's files, or what is in the backup.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The process could not give up what it must.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A file could not be put in its place, or one is there.
    #[error("CA not saved or restored: {0}")]
    Place(#[from] PlaceError),
    /// Another CA's certificate is there.
    #[error(
        "CA not restored: {0} is another CA's certificate: restore with --directory elsewhere, \
         or move it away"
    )]
    AnotherCa(String),
    /// age is not there, or could not be talked to.
    #[error("backup: {AGE}: {0}: install the package age")]
    NoAge(#[source] io::Error),
    /// age said no, on its own standard error.
    #[error("backup: age did not do it ({0}): what it says is above")]
    Age(ExitStatus),
    /// age made more, or something else, than it should have.
    #[error("backup: {0}")]
    Unexpected(&'static str),
}

/// Saves the CA's key and certificate, after looking whether they fit.
///
/// # Errors
/// [`BackupError`]. A file that exists is never overwritten.
pub fn backup(options: &BackupOptions, now: i64) -> Result<(), BackupError> {
    keep_to_itself()?;
    place::all_free(&[&options.file])?;
    let config = Config::load(&options.settings)?;
    let bundle = Bundle::load(&config.ca_certificate, &config.ca_key, now)?.to_pem();

    let mut age = Command::new(AGE);
    age.args(["--encrypt", "--armor"]);
    if options.recipients.is_empty() {
        age.arg("--passphrase");
    }
    for recipient in &options.recipients {
        age.arg("--recipient").arg(recipient);
    }
    let encrypted = pass_through(age, bundle.as_bytes())?;
    if !encrypted.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----") {
        return Err(BackupError::Unexpected("age did not make what it should"));
    }
    let directory = parent(&options.file);
    let file = place::prepare(directory, &encrypted, 0o400)?;
    place::place(file, &options.file)?;
    Ok(place::sync(directory)?)
}

/// Brings a CA back. Its certificate may be there already, as it is on every member.
///
/// # Errors
/// [`BackupError`]. Nothing that exists is overwritten.
pub fn restore(options: &RestoreOptions, now: i64) -> Result<(), BackupError> {
    keep_to_itself()?;
    let key_path = options.directory.join("ca.key");
    let certificate_path = options.directory.join("ca.crt");
    place::all_free(&[&key_path])?;

    let mut age = Command::new(AGE);
    age.arg("--decrypt");
    for identity in &options.identities {
        age.arg("--identity").arg(identity);
    }
    age.arg("--").arg(absolute(&options.file));
    let pem = pass_through(age, b"")?;
    let bundle = Bundle::parse(&pem, &options.file, now)?;

    place::directory(&options.directory)?;
    let key = place::prepare(&options.directory, bundle.key_pem().as_bytes(), 0o400)?;
    if certificate_path.symlink_metadata().is_ok() {
        let there = CaCertificate::load(&certificate_path, now)?;
        if there.der() != bundle.certificate().der() {
            return Err(BackupError::AnotherCa(escape::path(&certificate_path)));
        }
        place::place(key, &key_path)?;
    } else {
        let pem = bundle.certificate().pem();
        let certificate = place::prepare(&options.directory, pem.as_bytes(), 0o444)?;
        place::place_both((key, &key_path), (certificate, &certificate_path))?;
    }
    Ok(place::sync(&options.directory)?)
}

/// Runs age with this standard input: its standard output. It asks for passphrases on the
/// terminal itself.
fn pass_through(mut age: Command, input: &[u8]) -> Result<Zeroizing<Vec<u8>>, BackupError> {
    let mut child = age
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(BackupError::NoAge)?;
    let output = exchange(&mut child, input);
    let status = child.wait().map_err(BackupError::NoAge)?;
    if !status.success() {
        return Err(BackupError::Age(status));
    }
    let output = output.map_err(BackupError::NoAge)?;
    if u64::try_from(output.len()).unwrap_or(u64::MAX) > SIZE_LIMIT {
        return Err(BackupError::Unexpected(
            "that is no backup of a CA: it is too large",
        ));
    }
    Ok(output)
}

/// The input is a few kilobytes, which a pipe holds: it is written before anything is read.
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

fn parent(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// No name that begins with a hyphen, and none that age takes for standard input.
fn absolute(file: &Path) -> OsString {
    std::path::absolute(file).map_or_else(|_| file.into(), Into::into)
}
