//! `etcd-signer member fetch`: puts the certificate that a signer has renewed for this member in
//! place of its own. The key stays.
//!
//! What is in etcd is not trusted: it is checked as if it had just been issued, and is for this key
//! and these names, or is not taken.

use crate::etcd::error::{KeyValueUser, PublishedError};
use crate::etcd::identity::Identity;
use crate::etcd::published::{Access, key_of};
use crate::pki::ca::certificate::CaCertificate;
use crate::pki::ca::error::CaError;
use crate::pki::member_renewal::{NotRenewable, RenewableMember};
use crate::pki::private_key::{PrivateKey, PrivateKeyError};
use crate::pki::verify::Certificate;
use crate::signer::config::SignerConfig;
use crate::signer::member_metrics::Metrics;
use crate::signer::successor::{self, NotASuccessor};
use crate::system::escape;
use crate::system::exit::Exit;
use crate::system::installed_file;
use crate::system::new_file::{FileSystemError, directory_of};
use crate::system::output;
use crate::system::sandbox::{Folder, Needs, SandboxError, confine, harden};
use crate::system::settings::{SettingsError, SettingsSource};
use serde::Serialize;
use std::io;
use std::path::{Path, PathBuf};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zeroize::Zeroizing;

/// The largest certificate or key file, in bytes.
const SIZE_LIMIT: u64 = 64 * 1024;

#[derive(Clone, Debug)]
pub(crate) struct MemberFetchOptions {
    pub(crate) settings: SettingsSource,
    /// This member's certificate, which is replaced.
    pub(crate) certificate: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
    /// Replace nothing.
    pub(crate) dry_run: bool,
    /// Print JSON.
    pub(crate) json: bool,
    /// Where to write metrics.
    pub(crate) metrics: Option<PathBuf>,
}

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MemberFetchError {
    #[error(transparent)]
    Config(#[from] SettingsError),
    #[error(transparent)]
    Ca(#[from] CaError),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error("member's {what} {path}: {source}: is this host a member? (--certificate, --key)")]
    Unreadable {
        what: &'static str,
        path: String,
        source: io::Error,
    },
    #[error(
        "member's certificate {0}: it is a symbolic link, which is not followed: put the file \
         itself there"
    )]
    Link(String),
    #[error("member's key {path}: {reason}")]
    Key {
        path: String,
        reason: PrivateKeyError,
    },
    #[error(
        "member's certificate {path}: {reason}: a person has to renew it (RUNBOOK, Renew a \
         member's certificate)"
    )]
    NotRenewable { path: String, reason: NotRenewable },
    #[error(transparent)]
    Published(#[from] PublishedError),
    #[error(
        "published certificate {key}: {reason}: it is not taken, and the one in place stays; once \
         this member is due, etcd-signer member renew on a signer replaces it (or: etcdctl del)"
    )]
    NotTaken { key: String, reason: NotASuccessor },
    #[error(transparent)]
    File(#[from] FileSystemError),
}

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fetched {
    /// A new certificate is in place.
    Replaced,
    /// One would be, without `--dry-run`.
    WouldReplace,
    /// Nothing is published, and nothing is due.
    NotDue,
    /// It is due, and nothing is published.
    Missing,
}

/// What there is to tell of a run.
#[derive(Debug, Serialize)]
pub(crate) struct FetchReport {
    outcome: Fetched,
    /// Of the certificate that is in place now: RFC 3339.
    not_after: Option<String>,
    #[serde(skip)]
    end: i64,
    #[serde(skip)]
    is_due: bool,
}

/// Fetches a renewed certificate, if there is one.
#[must_use]
pub(crate) fn fetch(clock: fn() -> i64, options: &MemberFetchOptions) -> Exit {
    let outcome = run(clock, options);
    if let Some(path) = &options.metrics {
        metrics(outcome.as_ref().ok(), clock()).write(path);
    }
    match outcome {
        Ok(report) => {
            let text = if options.json {
                serde_json::to_string_pretty(&report)
                    .map_or_else(|_| String::new(), |json| json + "\n")
            } else {
                report.line()
            };
            // The certificate is in place, even if this cannot be written.
            let _ = output::answer(text.as_bytes());
            Exit::Ok
        }
        Err(error) => {
            output::error_line(&error.to_string());
            error.exit()
        }
    }
}

/// The files of this member as they were before the confinement.
struct Own {
    member: RenewableMember,
    identity: Identity,
}

fn run(clock: fn() -> i64, options: &MemberFetchOptions) -> Result<FetchReport, MemberFetchError> {
    harden()?;
    let config = SignerConfig::load(&options.settings)?;
    let ca = CaCertificate::load(&config.ca_certificate, clock())?;
    let pem = read("certificate", &options.certificate)?;
    let key_pem = Zeroizing::new(read("key", &options.key)?);
    let mut folders = vec![folder(&options.certificate)?];
    if let Some(metrics) = &options.metrics {
        folders.push(folder(metrics)?);
    }
    let ports: Vec<u16> = config.etcd_endpoints.iter().map(|url| url.port()).collect();
    confine(
        Needs::TcpAndFiles(&ports, &folders),
        config.allow_without_seccomp,
    )?;
    let own = own(options, &pem, &key_pem, &ca, clock())?;
    drop(key_pem);

    let access = Access {
        endpoints: &config.etcd_endpoints,
        ca_certificate: ca.der(),
        identity: &own.identity,
        timeout: config.etcd_timeout,
        user: KeyValueUser::Member,
    };
    let key = key_of(own.member.public_key());
    let published = access.read_one(&key)?;
    match successor::check(&published, &own.member, &ca, clock()) {
        Ok(Some(certificate)) => install(options, &certificate),
        Ok(None) => Ok(FetchReport::in_place(&own.member, clock())),
        // What was fetched before stays in etcd until the next renewal.
        Err(NotASuccessor::EndsNoLater) if !own.member.is_due(clock()) => {
            Ok(FetchReport::in_place(&own.member, clock()))
        }
        Err(reason) => Err(MemberFetchError::NotTaken { key, reason }),
    }
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, MemberFetchError> {
    let unreadable = |source| MemberFetchError::Unreadable {
        what,
        path: escape::path(path),
        source,
    };
    let metadata = path.symlink_metadata().map_err(unreadable)?;
    if what == "certificate" && metadata.is_symlink() {
        return Err(MemberFetchError::Link(escape::path(path)));
    }
    installed_file::read(path, SIZE_LIMIT).map_err(unreadable)
}

fn folder(file: &Path) -> Result<Folder, FileSystemError> {
    let folder = directory_of(file);
    Folder::open(folder).map_err(FileSystemError::new("opening", folder))
}

/// This member's certificate, which is one that can be renewed, and its key, which is the
/// certificate's.
fn own(
    options: &MemberFetchOptions,
    pem: &[u8],
    key_pem: &[u8],
    ca: &CaCertificate,
    now: i64,
) -> Result<Own, MemberFetchError> {
    let not_renewable = |reason| MemberFetchError::NotRenewable {
        path: escape::path(&options.certificate),
        reason,
    };
    let key_error = |reason| MemberFetchError::Key {
        path: escape::path(&options.key),
        reason,
    };
    let block = pem::parse(pem).map_err(|_| not_renewable(NotRenewable::Unreadable))?;
    let member = RenewableMember::check(block.contents(), ca, now).map_err(not_renewable)?;
    PrivateKey::from_pem(key_pem, Some(member.public_key())).map_err(key_error)?;
    let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
    let identity = Identity::from_pem(text(pem), text(key_pem))
        .ok_or_else(|| key_error(PrivateKeyError::NoPublicKey))?;
    Ok(Own { member, identity })
}

fn install(
    options: &MemberFetchOptions,
    certificate: &Certificate,
) -> Result<FetchReport, MemberFetchError> {
    let outcome = if options.dry_run {
        Fetched::WouldReplace
    } else {
        let path = &options.certificate;
        installed_file::remove_temporary_files_beside(path);
        installed_file::replace_regular(path, certificate.pem().as_bytes(), 0o444)?;
        Fetched::Replaced
    };
    Ok(FetchReport::new(outcome, certificate.not_after(), false))
}

impl FetchReport {
    fn in_place(member: &RenewableMember, now: i64) -> Self {
        let is_due = member.is_due(now);
        let outcome = if is_due {
            Fetched::Missing
        } else {
            Fetched::NotDue
        };
        Self::new(outcome, member.not_after(), is_due)
    }

    fn new(outcome: Fetched, end: i64, is_due: bool) -> Self {
        let time = OffsetDateTime::from_unix_timestamp(end).ok();
        Self {
            outcome,
            not_after: time.and_then(|time| time.format(&Rfc3339).ok()),
            end,
            is_due,
        }
    }

    fn line(&self) -> String {
        let end = self.not_after.as_deref().unwrap_or("?");
        match self.outcome {
            Fetched::Replaced => format!(
                "replaced this member's certificate: until {end}; etcd reads it at the next \
                 connection\n"
            ),
            Fetched::WouldReplace => {
                format!("would replace this member's certificate: until {end}\n")
            }
            Fetched::NotDue => format!("not due: this member's certificate is good until {end}\n"),
            Fetched::Missing => format!(
                "this member's certificate ends at {end} and is due, and no signer has published a \
                 renewed one yet: is etcd-signer-member-renew.timer on, on a signer?\n"
            ),
        }
    }
}

/// The metrics of a run. Without a report, it has failed.
fn metrics(report: Option<&FetchReport>, now: i64) -> Metrics {
    let mut text = Metrics::default();
    text.gauge(
        "fetch_last_run_timestamp_seconds",
        "When member fetch last ran.",
        "",
        now,
    );
    text.gauge(
        "fetch_success",
        "Whether the last run of member fetch got through, whether or not it found anything.",
        "",
        report.is_some().into(),
    );
    if let Some(report) = report {
        text.gauge(
            "not_after_timestamp_seconds",
            "The end of the certificate of this member.",
            "",
            report.end,
        );
        text.gauge(
            "due",
            "Whether a third or less of its time is left, and no renewed one was found.",
            "",
            report.is_due.into(),
        );
    }
    text
}
