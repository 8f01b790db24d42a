//! `etcd-signer member renew`: issues certificates for members whose own are in the last third of
//! their time, and puts them where `member fetch` looks for them.
//!
//! A member has shown that it holds the key, in a handshake that it completed with a certificate of
//! this CA. The CA key is read twice, each time with no connection under way: for the signer's own
//! certificate, before the first byte is sent, and for the members', after the last handshake
//! with one and before anything is written to etcd.

use crate::etcd::error::KeyValueUser;
use crate::etcd::published::{Access, key_of};
use crate::pki::ca::certificate::CaCertificate;
use crate::pki::ca::key::CaKeyFile;
use crate::pki::grant::Grant;
use crate::pki::member_host::{MEMBER, MemberHost};
use crate::pki::verify::Certificate;
use crate::signer::audit::{Log, Record};
use crate::signer::config::SignerConfig;
use crate::signer::error::RequestError;
use crate::signer::member_survey::{self, Survey};
use crate::signer::renewal::{self, Renewal, Row};
use crate::signer::session::{Clock, certify, request_id};
use crate::system::exit::Exit;
use crate::system::new_file::{FileSystemError, directory_of};
use crate::system::output;
use crate::system::sandbox::{Folder, Needs, confine, harden};
use crate::system::settings::SettingsSource;
use std::path::PathBuf;

#[derive(Clone, Debug)]
pub(crate) struct MemberRenewOptions {
    pub(crate) settings: SettingsSource,
    /// Issue and write nothing.
    pub(crate) dry_run: bool,
    /// Renew every member that is due, instead of one in each run.
    pub(crate) all: bool,
    /// Print JSON.
    pub(crate) json: bool,
    /// Where to write metrics.
    pub(crate) metrics: Option<PathBuf>,
}

/// Renews what is due, prints each member, and writes an audit record for each certificate.
#[must_use]
pub(crate) fn renew(clock: Clock, options: &MemberRenewOptions) -> Exit {
    let log = Log::open();
    let mut base = Record {
        id: request_id(),
        request: Some("member renew".to_owned()),
        name: Some(MEMBER.to_owned()),
        ..Record::default()
    };
    let outcome = rows(clock, options, &log, &mut base);
    if let Some(path) = &options.metrics {
        renewal::metrics(outcome.as_deref().ok(), clock()).write(path);
    }
    match outcome {
        Ok(rows) => renewal::report(&rows, options.json),
        Err(error) => {
            let (reason, exit) = (error.to_string(), error.exit());
            log.write(&base, Err((&reason, exit)));
            output::error_line(&format!("{reason} [request {}]", base.id));
            exit
        }
    }
}

fn rows(
    clock: Clock,
    options: &MemberRenewOptions,
    log: &Log,
    base: &mut Record,
) -> Result<Vec<Row>, RequestError> {
    harden()?;
    let config = SignerConfig::load(&options.settings)?;
    let ca = CaCertificate::load(&config.ca_certificate, clock())?;
    let for_own = CaKeyFile::open(&config.ca_key)?;
    let for_members = CaKeyFile::open(&config.ca_key)?;
    let ports = member_survey::ports(&config);
    let folders = metrics_folder(options)?;
    let needs = if folders.is_empty() {
        Needs::Tcp(&ports)
    } else {
        Needs::TcpAndFiles(&ports, &folders)
    };
    let layers = confine(needs, config.allow_without_seccomp)?;
    base.confinement = Some(layers.as_str());

    let identity = member_survey::signer_identity(for_own, &ca, clock())?;
    let survey = Survey {
        config: &config,
        ca: &ca,
        identity: &identity,
        ports: Some(&ports),
        now: clock(),
    };
    let mut rows: Vec<Row> = survey.run()?.into_iter().map(Row::new).collect();
    let access = Access {
        endpoints: &config.etcd_endpoints,
        ca_certificate: ca.der(),
        identity: &identity,
        timeout: config.etcd_timeout,
        user: KeyValueUser::Signer,
    };
    renewal::decide(&mut rows, &access, &ca, options.all, clock())?;
    if options.dry_run || !rows.iter().any(|row| row.renewal == Renewal::WouldRenew) {
        return Ok(rows);
    }
    // No connection is under way now. The key is wiped before the next one begins.
    let values = for_members.with_key(&ca, |key| {
        let mut values = Vec::new();
        for row in &mut rows {
            let Some(member) = row.member.as_ref() else {
                continue;
            };
            if row.renewal != Renewal::WouldRenew {
                continue;
            }
            let mut record = base.clone();
            record.hosts = Some(hosts(member.hosts()));
            let grant = Grant::renewed_member(member);
            let certificate: Certificate =
                certify(&grant, &ca, key, member.lifetime(), clock(), &mut record)?;
            // The record first, as with every certificate.
            log.write(&record, Ok(()));
            values.push((key_of(member.public_key()), certificate.pem()));
            row.renewal = Renewal::Renewed;
        }
        Ok::<_, RequestError>(values)
    })?;
    access.write(&values)?;
    Ok(rows)
}

fn metrics_folder(options: &MemberRenewOptions) -> Result<Vec<Folder>, RequestError> {
    let Some(file) = &options.metrics else {
        return Ok(Vec::new());
    };
    let folder = directory_of(file);
    let opened = Folder::open(folder).map_err(FileSystemError::new("opening", folder))?;
    Ok(vec![opened])
}

fn hosts(hosts: &[MemberHost]) -> String {
    let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    hosts.join(", ")
}
