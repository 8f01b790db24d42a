//! The settings, the CA's files, the program, and the account.

use super::{CheckOptions, Places, Report, ends_soon, last_third, until};
use crate::pki::ca::certificate::CaCertificate;
use crate::pki::ca::error::CaError;
use crate::pki::ca::key::CaKeyFile;
use crate::signer::config::{DEFAULT_PATH, SignerConfig};
use crate::system::account;
use crate::system::settings::SettingsSource;
use crate::system::trusted_file::FileError;
use rustix::fs::IFlags;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What the other checks need to know of the CA.
pub(super) struct Ca {
    /// Its certificate, if it can serve.
    pub(super) certificate: Option<CaCertificate>,
    /// Whether its key is meant to be here, and so this host to sign.
    pub(super) signs: bool,
}

pub(super) fn check(options: &CheckOptions, places: &Places, now: i64, report: &mut Report) -> Ca {
    let config = settings(options, report);
    let certificate = ca_certificate(&config, now, report);
    let signs = ca_key(&config, places, certificate.as_ref(), report);
    program(places, report);
    immutable(places, signs, report);
    signer_account(places, report);
    Ca { certificate, signs }
}

fn settings(options: &CheckOptions, report: &mut Report) -> SignerConfig {
    let path = match &options.settings {
        SettingsSource::Default => Path::new(DEFAULT_PATH),
        SettingsSource::File(path) => path,
    };
    match SignerConfig::load(&options.settings) {
        Ok(config) => {
            let shown = path.display();
            report.ok(
                "settings",
                if path.exists() {
                    format!("{shown}")
                } else {
                    format!("{shown} does not exist; using the defaults")
                },
            );
            config
        }
        Err(error) => {
            report.fail("settings", error.to_string());
            SignerConfig::default()
        }
    }
}

fn ca_certificate(config: &SignerConfig, now: i64, report: &mut Report) -> Option<CaCertificate> {
    match CaCertificate::load(&config.ca_certificate, now) {
        Ok(ca) => {
            let text = format!(
                "{}, {}",
                config.ca_certificate.display(),
                until(ca.not_after(), now)
            );
            if last_third(ca.not_before(), ca.not_after(), now) || ends_soon(ca.not_after(), now) {
                report.warn(
                    "CA certificate",
                    format!("{text}: plan a CA rotation (RUNBOOK, Rotate the CA)"),
                );
            } else {
                report.ok("CA certificate", text);
            }
            Some(ca)
        }
        Err(error) => {
            report.fail("CA certificate", error.to_string());
            None
        }
    }
}

/// Whether this host is meant to sign.
fn ca_key(
    config: &SignerConfig,
    places: &Places,
    certificate: Option<&CaCertificate>,
    report: &mut Report,
) -> bool {
    const SUBJECT: &str = "CA key";
    let path = &config.ca_key;
    let file = match CaKeyFile::open(path) {
        Ok(file) => file,
        Err(CaError::File(FileError::Missing { .. })) if places.pki.join("member.crt").exists() => {
            report.ok(SUBJECT, "none here: this host is a member, not a signer");
            return false;
        }
        Err(error) => {
            report.fail(SUBJECT, error.to_string());
            return true;
        }
    };
    let owner = fs::metadata(path).map_or(0, |metadata| metadata.uid());
    if let Some(account) = account::signer()
        && account.uid != owner
    {
        report.fail(
            SUBJECT,
            format!(
                "{0} is not owned by signer, so signer cannot read it: run 'chown signer: {0}'",
                path.display()
            ),
        );
        return true;
    }
    if let Some(certificate) = certificate {
        match file.with_key(certificate, |_| Ok::<_, CaError>(())) {
            Ok(()) => report.ok(
                SUBJECT,
                format!(
                    "{} matches the CA certificate and is readable only by signer",
                    path.display()
                ),
            ),
            Err(error) => report.fail(SUBJECT, error.to_string()),
        }
    }
    true
}

fn program(places: &Places, report: &mut Report) {
    const SUBJECT: &str = "program";
    let path = places.program.display();
    let Ok(metadata) = fs::metadata(&places.program) else {
        report.fail(
            SUBJECT,
            format!("{path} does not exist: install the package again"),
        );
        return;
    };
    let mode = metadata.mode() & 0o7777;
    if metadata.uid() != 0 || mode & 0o022 != 0 {
        report.fail(
            SUBJECT,
            format!("{path} is writable by users other than root (mode {mode:04o}): run 'chown root: {path}; chmod 0711 {path}'"),
        );
    } else if mode != 0o711 {
        report.warn(
            SUBJECT,
            format!("{path} has mode {mode:04o}; mode 0711 prevents other users from tracing it: run 'chmod 0711 {path}'"),
        );
    } else {
        report.ok(SUBJECT, format!("{path}, owned by root, mode 0711"));
    }
    let link = &places.login_shell;
    if fs::canonicalize(link).ok() != fs::canonicalize(&places.program).ok() {
        report.fail(
            "login shell",
            format!(
                "{0} is not a symbolic link to {path}: run 'ln -sf etcd-signer {0}'",
                link.display()
            ),
        );
    }
}

/// `chattr +i`, on the program and what is there of sshd's drop-ins.
fn immutable(places: &Places, signs: bool, report: &mut Report) {
    const SUBJECT: &str = "immutable";
    let mut files = vec![places.program.clone()];
    let drop_ins = fs::read_dir(&places.drop_ins)
        .into_iter()
        .flatten()
        .flatten();
    files.extend(drop_ins.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("00-etcd-signer") && name.ends_with(".conf")
    }));
    let mut open = Vec::new();
    for file in &files {
        let flags = File::open(file).map(|file| rustix::fs::ioctl_getflags(&file));
        match flags {
            Ok(Ok(flags)) if flags.contains(IFlags::IMMUTABLE) => {}
            Ok(Ok(_)) => open.push(file.display().to_string()),
            Ok(Err(_)) => {
                report.warn(
                    SUBJECT,
                    format!(
                        "{}: its file system does not support the immutable flag (chattr +i)",
                        file.display()
                    ),
                );
                return;
            }
            Err(error) => {
                report.warn(SUBJECT, format!("{}: {error}", file.display()));
                return;
            }
        }
    }
    if open.is_empty() {
        report.ok(SUBJECT, "the program and sshd's drop-in");
    } else if signs {
        report.warn(
            SUBJECT,
            format!(
                "{} can be changed: run 'etcd-signer-lock lock'",
                open.join(", ")
            ),
        );
    }
}

fn signer_account(places: &Places, report: &mut Report) {
    const SUBJECT: &str = "account";
    let Some(account) = account::signer() else {
        report.fail(
            SUBJECT,
            "user signer does not exist: run 'systemd-sysusers', or install the package again",
        );
        return;
    };
    let shell = places.login_shell.display().to_string();
    let shells = fs::read_to_string("/etc/shells").unwrap_or_default();
    if account.uid == 0 {
        report.fail(
            SUBJECT,
            "signer has uid 0, which is root: give it a uid of its own",
        );
    } else if account.shell != shell {
        report.fail(
            SUBJECT,
            format!(
                "signer's login shell is {}: run 'usermod --shell {shell} signer'",
                account.shell
            ),
        );
    } else if shells.lines().any(|line| line == shell) {
        report.fail(
            SUBJECT,
            format!(
                "{shell} is in /etc/shells, which lets local users run 'su -s': remove it there"
            ),
        );
    } else if account.home != "/" {
        report.warn(
            SUBJECT,
            format!(
                "signer's home is {}, where files could be planted: run 'usermod --home / signer'",
                account.home
            ),
        );
    } else {
        report.ok(
            SUBJECT,
            format!("signer (uid {}), shell {shell}", account.uid),
        );
    }
}
