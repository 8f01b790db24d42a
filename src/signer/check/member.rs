//! This host as a member of the etcd cluster: its certificates, and who gets into its etcd.

use super::{CheckOptions, Places, Report, ends_soon, last_third, until};
use crate::etcd::identity::{Identity, OwnKey};
use crate::etcd::probe::{Outcome, Service, SocketProbe, Way, probe, target};
use crate::etcd::process::{self, EtcdProcess, SettingsOrigin};
use crate::etcd::{ConfinedUrl, confined_client_urls};
use crate::pki::ca::certificate::CaCertificate;
use crate::pki::ca::key::CaKeyFile;
use crate::pki::grant::Grant;
use crate::pki::member_certificate::MemberCertificate;
use crate::pki::member_host::MEMBER;
use crate::pki::private_key::PrivateKey;
use crate::pki::profile::SIGNER_VALIDITY;
use crate::pki::public_key::PublicKey;
use crate::signer::audit::Record;
use crate::signer::config::SignerConfig;
use crate::signer::error::RequestError;
use crate::signer::session::certify;
use crate::system::escape::escape;
use crate::system::reach::Reach;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;

/// How many sockets of one process are tried. etcd has one for each URL that it listens on.
const SOCKETS: usize = 16;

/// How many processes are tried.
const PROCESSES: usize = 16;

/// How many of them at the same time. Each attempt on a socket has a descriptor of its own, of
/// which a process has 1024.
const AT_A_TIME: usize = 4;

/// The CA, with a key that may not be on this host.
struct Issuer<'a> {
    ca: &'a CaCertificate,
    config: &'a SignerConfig,
    now: i64,
}

impl Issuer<'_> {
    /// An identity for one use, which is in memory only: the signer's, or one that etcd's peer
    /// port must refuse. It leaves no record, since nobody gets it.
    fn identity(&self, grant: impl FnOnce(PublicKey) -> Grant) -> Result<Identity, RequestError> {
        let key_file = CaKeyFile::open(&self.config.ca_key)?;
        let own_key = OwnKey::generate()?;
        let grant = grant(own_key.public_key().clone());
        let certificate = key_file.with_key(self.ca, |key| {
            let mut record = Record::default();
            certify(&grant, self.ca, key, SIGNER_VALIDITY, self.now, &mut record)
        })?;
        Ok(Identity::new(own_key, &certificate))
    }
}

pub(super) fn check(
    options: &CheckOptions,
    places: &Places,
    ca: Option<&CaCertificate>,
    now: i64,
    report: &mut Report,
) {
    certificate(places, ca, now, report);
    let config = SignerConfig::load(&options.settings).unwrap_or_default();
    let issuer = ca.map(|ca| Issuer {
        ca,
        config: &config,
        now,
    });
    let processes = process::running();
    if processes.is_empty() {
        none_runs(places.pki.join("member.crt").exists(), report);
    }
    every_etcd(&processes, issuer.as_ref(), report);
    if let Some(issuer) = &issuer {
        advertised(issuer, report);
    }
}

fn certificate(places: &Places, ca: Option<&CaCertificate>, now: i64, report: &mut Report) {
    const SUBJECT: &str = "member certificate";
    let path = places.pki.join("member.crt");
    let key = places.pki.join("member.key");
    let shown = path.display();
    let Ok(pem) = fs::read(&path) else {
        if key.exists() {
            report.fail(SUBJECT, format!("{shown} is missing, but its key exists: have a new one signed (RUNBOOK, Renew a member's certificate)"));
        }
        return;
    };
    let Some(leaf) = MemberCertificate::parse(&pem, ca) else {
        report.fail(
            SUBJECT,
            format!("{shown} cannot be parsed as a certificate: replace it"),
        );
        return;
    };
    let time = until(leaf.not_after, now);
    let renew = "renew it (RUNBOOK, Renew a member's certificate)";
    if ca.is_some() && !leaf.is_the_cas {
        report.fail(
            SUBJECT,
            format!("{shown} is not signed by the installed CA: {renew}"),
        );
    } else if now > leaf.not_after {
        report.fail(SUBJECT, format!("{shown} has expired: {renew}"));
    } else if now < leaf.not_before {
        report.fail(
            SUBJECT,
            format!("{shown} is not valid yet: check this host's clock"),
        );
    } else if leaf.common_name != MEMBER {
        report.fail(
            SUBJECT,
            format!("{shown} has the wrong CN: peers require CN={MEMBER}: {renew}"),
        );
    } else if last_third(leaf.not_before, leaf.not_after, now) || ends_soon(leaf.not_after, now) {
        report.warn(SUBJECT, format!("{shown}, {time}: {renew}"));
    } else {
        report.ok(SUBJECT, format!("{shown}, {time}"));
    }

    const KEY: &str = "member key";
    let shown = key.display();
    match (fs::metadata(&key), fs::read(&key)) {
        (Ok(metadata), _) if metadata.mode() & 0o077 != 0 => report.fail(
            KEY,
            format!("{shown}: its group or others have access to it: run 'chmod 0400 {shown}'"),
        ),
        (Ok(_), Ok(pem)) => match leaf.public_key {
            Some(public_key) if PrivateKey::from_pem(&pem, Some(&public_key)).is_err() => {
                report.fail(
                    KEY,
                    format!("{shown} does not match the certificate: {renew}"),
                );
            }
            _ => report.ok(KEY, format!("{shown} matches the certificate")),
        },
        (_, Err(error)) => report.warn(KEY, format!("{shown}: {error}")),
        (Err(error), _) => report.warn(KEY, format!("{shown}: {error}")),
    }
}

const ETCD: &str = "etcd";

fn none_runs(is_member: bool, report: &mut Report) {
    let text = "etcd is not running on this host: run 'systemctl status etcd'";
    if is_member && rustix::process::geteuid().is_root() {
        report.fail(ETCD, text);
    } else {
        report.warn(ETCD, text);
    }
}

/// Tries several at the same time, and a bounded number: anybody can start a process that is called
/// etcd and answers nothing.
fn every_etcd(processes: &[EtcdProcess], issuer: Option<&Issuer<'_>>, report: &mut Report) {
    let (tried, left) = processes.split_at(processes.len().min(PROCESSES));
    for group in tried.chunks(AT_A_TIME) {
        std::thread::scope(|scope| {
            let running: Vec<_> = group
                .iter()
                .map(|process| {
                    scope.spawn(move || {
                        let mut report = Report::default();
                        etcd(process, issuer, &mut report);
                        report
                    })
                })
                .collect();
            for (process, running) in group.iter().zip(running) {
                match running.join() {
                    Ok(found) => report.findings.extend(found.findings),
                    Err(_) => report.warn(
                        ETCD,
                        format!("process {} cannot be tried: report this", process.pid),
                    ),
                }
            }
        });
    }
    if !left.is_empty() {
        report.warn(
            ETCD,
            format!(
                "{} processes are called etcd, of which {PROCESSES} were tried: end those that \
                 do not belong here (pgrep -a etcd)",
                processes.len()
            ),
        );
    }
}

/// Tries to get into a running etcd on every socket that it listens on.
///
/// Its settings are read only for what cannot be tried: etcd reads them from a file, its flags or
/// its environment, and what it makes of them is in what it answers.
fn etcd(process: &EtcdProcess, issuer: Option<&Issuer<'_>>, report: &mut Report) {
    let pid = process.pid;
    let (sockets, settings, namespace) = match (
        process.listening(),
        process.settings(),
        process.other_network(),
    ) {
        (Ok(sockets), Ok(settings), Ok(namespace)) => (sockets, settings, namespace),
        (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => {
            report.warn(
                ETCD,
                format!("process {pid} cannot be examined ({error}): run this as root"),
            );
            return;
        }
    };
    let (tried, left) = sockets.split_at(sockets.len().min(SOCKETS));
    if tried.is_empty() {
        report.warn(
            ETCD,
            format!(
                "process {pid} does not listen on any TCP socket: read its log (journalctl -u etcd)"
            ),
        );
        return;
    }
    let addresses: Vec<IpAddr> = tried.iter().map(|socket| target(*socket).ip()).collect();
    let client = issuer.map(|issuer| issuer.identity(|key| Grant::peer_probe(key, &addresses)));
    let client = client.and_then(Result::ok);
    match probe(tried, namespace.as_ref(), client.as_ref()) {
        Ok(probes) => judge(&probes, client.is_some(), &settings, report),
        Err(error) => report.warn(
            ETCD,
            format!("process {pid} cannot be tried ({error}): run this as root"),
        ),
    }
    if !left.is_empty() {
        report.warn(
            ETCD,
            format!(
                "process {pid} listens on {} sockets, of which {SOCKETS} were tried",
                sockets.len()
            ),
        );
    }
}

fn judge(
    probes: &[SocketProbe],
    with_client: bool,
    settings: &SettingsOrigin,
    report: &mut Report,
) {
    let before = report.findings.len();
    let (mut closed, mut without_api) = (Vec::new(), Vec::new());
    for probe in probes {
        let outcomes = || probe.outcomes.iter();
        let open = outcomes().find_map(|(way, outcome)| match (way, outcome) {
            (Way::Client, Outcome::Open(Service::Clients)) => None,
            (way, Outcome::Open(service)) => Some((*way, *service)),
            _ => None,
        });
        let unclear = outcomes().find_map(|(_, outcome)| match outcome {
            Outcome::Unclear(why) => Some(*why),
            _ => None,
        });
        let anybody =
            |(way, outcome): &(Way, Outcome)| *way != Way::Client && *outcome == Outcome::NoApi;
        if let Some((way, service)) = open {
            report.fail(ETCD, open_door(probe.address, way, service, settings));
        } else if outcomes().any(anybody) {
            without_api.push(probe.address.to_string());
        } else if let Some(why) = unclear {
            let address = probe.address;
            report.warn(
                ETCD,
                format!(
                    "{address}: {why}, so its access control could not be verified: read etcd's log"
                ),
            );
        } else {
            closed.push(probe.address.to_string());
        }
    }
    if !with_client {
        allowed_name(settings, report);
    }
    let mut text = Vec::new();
    if !closed.is_empty() {
        text.push(format!(
            "connections without a certificate are refused on {}",
            closed.join(", ")
        ));
    }
    if with_client {
        text.push("no client certificate is accepted as a peer certificate".to_owned());
    }
    for address in &without_api {
        text.push(format!(
            "{address} serves /metrics and /health without authentication, but no keys"
        ));
    }
    if report.findings.len() == before {
        report.ok(ETCD, text.join("; "));
    }
}

/// Who gets in where, and what to do about it.
fn open_door(address: SocketAddr, way: Way, service: Service, settings: &SettingsOrigin) -> String {
    let who = match (way, address.ip().is_loopback()) {
        (Way::Client, _) => "any master",
        (_, true) => "anybody on this host",
        (_, false) => "anybody who can connect",
    };
    let how = match way {
        Way::Plain => "without TLS",
        Way::NoCertificate => "without a certificate",
        Way::SelfSigned => "with a self-signed certificate",
        Way::Client => "with a client certificate",
    };
    let what = match service {
        Service::Clients => "read and change every key",
        Service::Peers => "act as a cluster member",
    };
    let remedy = remedy(way, service, settings);
    format!("{address}: {who} can {what} {how}: {remedy}, and restart etcd")
}

/// Older releases ignore the setting in a file.
const SINCE: &str = ", which needs etcd 3.5.15 or later";

fn remedy(way: Way, service: Service, settings: &SettingsOrigin) -> String {
    let urls = match service {
        Service::Clients => "listen-client-urls and listen-client-http-urls",
        Service::Peers => "listen-peer-urls",
    };
    match settings {
        SettingsOrigin::File(file) => {
            let section = match service {
                Service::Clients => "client-transport-security",
                Service::Peers => "peer-transport-security",
            };
            let what = match way {
                Way::Plain => format!("use https in {urls}"),
                Way::Client => format!("set allowed-cn: [{MEMBER}] in {section}{SINCE}"),
                Way::NoCertificate | Way::SelfSigned => {
                    format!("set client-cert-auth: true and trusted-ca-file in {section}")
                }
            };
            format!(
                "{what} (in {}; etcd ignores flags and environment variables when it has a \
                 configuration file)",
                escape(file.as_bytes())
            )
        }
        SettingsOrigin::Proxy => {
            "give that proxy --cert-file, --key-file and --trusted-ca-file".to_owned()
        }
        SettingsOrigin::FlagsAndEnvironment(_) => {
            let prefix = match service {
                Service::Clients => "",
                Service::Peers => "peer-",
            };
            let what = match way {
                Way::Plain => format!("use https in {urls}"),
                Way::Client => format!("set peer-cert-allowed-cn to {MEMBER}"),
                Way::NoCertificate | Way::SelfSigned => {
                    format!("set {prefix}client-cert-auth and {prefix}trusted-ca-file")
                }
            };
            format!("{what} (etcd's flags, or ETCD_... in /etc/etcd/etcd.env)")
        }
    }
}

/// Whether peers must have a member's name, as far as settings tell: without the CA key there is
/// no client's certificate to try.
fn allowed_name(settings: &SettingsOrigin, report: &mut Report) {
    match settings {
        SettingsOrigin::File(file) => report.warn(
            ETCD,
            format!(
                "without the CA key, it was not tried whether a master's certificate is accepted \
                 as a peer certificate: check that {} has allowed-cn: [{MEMBER}] in peer-transport-security{SINCE}",
                escape(file.as_bytes())
            ),
        ),
        SettingsOrigin::Proxy => {}
        SettingsOrigin::FlagsAndEnvironment(values) => {
            // From 3.6 on it is a list.
            let names = values.get("peer-cert-allowed-cn");
            if !names.is_some_and(|names| names.split(',').all(|name| name.trim() == MEMBER)) {
                let remedy = remedy(Way::Client, Service::Peers, settings);
                report.fail(
                    ETCD,
                    format!(
                        "it runs without peer-cert-allowed-cn={MEMBER}, so a master's \
                         certificate may be accepted as a peer certificate: {remedy}, and restart etcd"
                    ),
                );
            }
        }
    }
}

/// Whether other hosts can connect to what each member advertises. An etcd that does not answer
/// is what `get-peers` is about.
fn advertised(issuer: &Issuer<'_>, report: &mut Report) {
    const REMEDY: &str = "set advertise-client-urls there to an address of that host, and \
                          restart etcd";
    let config = issuer.config;
    let Ok(identity) = issuer.identity(Grant::signer) else {
        return;
    };
    let urls = confined_client_urls(
        &config.etcd_endpoints,
        issuer.ca.der(),
        &identity,
        config.etcd_timeout,
    );
    for ConfinedUrl { member, url, reach } in urls.into_iter().flatten() {
        if reach == Reach::Nowhere {
            report.fail(
                ETCD,
                format!(
                    "member {member} advertises {url}, which nobody can connect to, so \
                     get-peers leaves it out: {REMEDY}"
                ),
            );
        } else {
            report.warn(
                ETCD,
                format!(
                    "member {member} advertises {url}, which only its own host can connect to: \
                     {REMEDY}"
                ),
            );
        }
    }
}
