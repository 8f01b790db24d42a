//! Whether members' certificates renew by themselves: this member's own, and, on a signer, each
//! one's; and whether this member's is for the names that others know it by.

use super::{CheckOptions, Places, Report, until};
use crate::etcd::error::KeyValueUser;
use crate::etcd::identity::Identity;
use crate::etcd::process::{self, SettingsOrigin};
use crate::etcd::published::{Access, key_of};
use crate::etcd::roster;
use crate::pki::ca::certificate::CaCertificate;
use crate::pki::ca::key::CaKeyFile;
use crate::pki::member_certificate::MemberCertificate;
use crate::pki::member_host::MemberHost;
use crate::pki::member_renewal::RenewableMember;
use crate::signer::config::SignerConfig;
use crate::signer::member_survey::{NotSurveyed, Survey, signer_identity};
use crate::signer::successor;
use crate::system::addresses;
use crate::system::environment_file;
use crate::system::paths::ETCD_ENVIRONMENT;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use zeroize::Zeroizing;

const NAMES: &str = "member names";
const OWN: &str = "member renewal";
const ALL: &str = "members";

/// What makes a timer one that starts with the host, and the file of cron's that does the same.
const WANTED: &str = "/etc/systemd/system/timers.target.wants";
const CRON: &str = "/etc/cron.d/etcd-signer-member";

pub(super) fn check(
    options: &CheckOptions,
    places: &Places,
    ca: Option<&CaCertificate>,
    now: i64,
    report: &mut Report,
) {
    let Some(ca) = ca else { return };
    let config = SignerConfig::load(&options.settings).unwrap_or_default();
    let certificate = places.pki.join("member.crt");
    if let Ok(pem) = fs::read(&certificate) {
        if let Some(found) = MemberCertificate::parse(&pem, None) {
            let mut wanted = advertised();
            if wanted.is_empty() {
                wanted = listed(places, &pem, &config, ca);
            }
            names(&found.hosts, &wanted, &certificate, report);
        }
        own(places, &pem, &config, ca, now, report);
    }
    if let Ok(key_file) = CaKeyFile::open(&config.ca_key) {
        timer("renew", "renews the certificates of members", ALL, report);
        if let Ok(identity) = signer_identity(key_file, ca, now) {
            members(&config, ca, &identity, now, report);
        }
    }
}

/// Whether a certificate is for everything that others connect to, and for what this host itself
/// does. If not, the member is out of the cluster from its next restart on.
fn names(hosts: &[MemberHost], wanted: &[MemberHost], certificate: &Path, report: &mut Report) {
    let missing = missing(hosts, wanted);
    let shown = certificate.display();
    if missing.is_empty() {
        if !wanted.is_empty() {
            report.ok(
                NAMES,
                format!("{shown} is for what this member advertises, and for 127.0.0.1"),
            );
        }
        return;
    }
    let all: Vec<String> = hosts
        .iter()
        .filter(|host| wanted.contains(host))
        .chain(&missing)
        .map(|host| format!("--host {host}"))
        .collect();
    let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
    report.fail(
        NAMES,
        format!(
            "{shown} is not for {}, which this member is known by: a person has to sign one that \
             is (RUNBOOK, Renew a member's certificate): etcd-signer-setup renew, or etcd-signer \
             member sign {}",
            missing.join(", "),
            all.join(" ")
        ),
    );
}

/// What a certificate should be for, and is not.
fn missing(hosts: &[MemberHost], wanted: &[MemberHost]) -> Vec<MemberHost> {
    let loopback = MemberHost::Address(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let mut missing: Vec<MemberHost> = Vec::new();
    for host in wanted.iter().chain([&loopback]) {
        if !hosts.contains(host) && !missing.contains(host) {
            missing.push(host.clone());
        }
    }
    missing
}

/// The hosts that this host's etcd advertises to clients and peers, as its settings have them.
fn advertised() -> Vec<MemberHost> {
    let mut found = Vec::new();
    for process in process::running() {
        if let Ok(SettingsOrigin::FlagsAndEnvironment(values)) = process.settings() {
            for name in ["advertise-client-urls", "initial-advertise-peer-urls"] {
                found.extend(values.get(name).map(|urls| hosts_of(urls)));
            }
        }
    }
    if found.is_empty() {
        let text = fs::read_to_string(ETCD_ENVIRONMENT).unwrap_or_default();
        let settings = environment_file::parse(&text);
        for name in [
            "ETCD_ADVERTISE_CLIENT_URLS",
            "ETCD_INITIAL_ADVERTISE_PEER_URLS",
        ] {
            found.extend(settings.get(name).map(|urls| hosts_of(urls)));
        }
    }
    found.concat()
}

/// Where etcd has its settings from a file of its own, what it advertises to clients, as the cluster
/// lists it: the member that is at an address of this host.
fn listed(
    places: &Places,
    pem: &[u8],
    config: &SignerConfig,
    ca: &CaCertificate,
) -> Vec<MemberHost> {
    let Some(identity) = identity(places, pem) else {
        return Vec::new();
    };
    let (endpoints, timeout) = (&config.etcd_endpoints, config.etcd_timeout);
    let members = roster::members(endpoints, ca.der(), &identity, timeout).unwrap_or_default();
    let own: Vec<IpAddr> = addresses::own().iter().map(|own| own.address).collect();
    let is_own = |host: &MemberHost| match host {
        MemberHost::Address(address) => address.is_loopback() || own.contains(address),
        MemberHost::Name(_) => false,
    };
    members
        .iter()
        .map(|member| hosts_of(&member.client_urls.join(",")))
        .find(|hosts| hosts.iter().any(is_own))
        .unwrap_or_default()
}

/// This member, as a client of etcd.
pub(super) fn identity(places: &Places, pem: &[u8]) -> Option<Identity> {
    let key = fs::read_to_string(places.pki.join("member.key"))
        .map(Zeroizing::new)
        .ok()?;
    Identity::from_pem(std::str::from_utf8(pem).ok()?, &key)
}

/// The hosts of a list of URLs.
fn hosts_of(urls: &str) -> Vec<MemberHost> {
    urls.split(',')
        .filter_map(|url| {
            let rest = url.trim().split_once("://")?.1;
            let host = rest.rsplit_once(':').map_or(rest, |(host, _)| host);
            MemberHost::parse(host.trim_start_matches('[').trim_end_matches(']')).ok()
        })
        .collect()
}

fn own(
    places: &Places,
    pem: &[u8],
    config: &SignerConfig,
    ca: &CaCertificate,
    now: i64,
    report: &mut Report,
) {
    // Why one cannot be renewed is what the check of the certificate says.
    let Some(member) = pem::parse(pem)
        .ok()
        .and_then(|block| RenewableMember::check(block.contents(), ca, now).ok())
    else {
        return;
    };
    timer("fetch", "fetches a renewed certificate", OWN, report);
    if !member.is_due(now) {
        return;
    }
    let Some(identity) = identity(places, pem) else {
        return;
    };
    let access = access(config, ca, &identity, KeyValueUser::Member);
    let published = match access.read_one(&key_of(member.public_key())) {
        Ok(published) => published,
        Err(error) => {
            report.warn(
                OWN,
                format!("it is due, and whether it was renewed is not known: {error}"),
            );
            return;
        }
    };
    match successor::check(&published, &member, ca, now) {
        Ok(Some(next)) => report.warn(
            OWN,
            format!(
                "renewed ({}), and waiting to be fetched: etcd-signer member fetch",
                until(next.not_after(), now)
            ),
        ),
        Ok(None) => report.warn(
            OWN,
            "it is due, and nobody has renewed it: on a signer, systemctl status \
             etcd-signer-member-renew.timer, and etcd-signer member renew --dry-run",
        ),
        Err(reason) => report.warn(
            OWN,
            format!(
                "what is published for this member is not taken ({reason}): etcd-signer member \
                 renew, on a signer, replaces it"
            ),
        ),
    }
}

fn timer(name: &str, what: &str, subject: &'static str, report: &mut Report) {
    let unit = format!("etcd-signer-member-{name}.timer");
    if Path::new(WANTED).join(&unit).symlink_metadata().is_ok() {
        report.ok(subject, format!("{unit} is on"));
    } else if Path::new(CRON).exists() {
        report.ok(subject, format!("{CRON} is in place"));
    } else {
        report.warn(
            subject,
            format!(
                "nothing {what} by itself on this host: systemctl enable --now {unit} (without \
                 systemd: {CRON})"
            ),
        );
    }
}

fn access<'a>(
    config: &'a SignerConfig,
    ca: &'a CaCertificate,
    identity: &'a Identity,
    user: KeyValueUser,
) -> Access<'a> {
    Access {
        endpoints: &config.etcd_endpoints,
        ca_certificate: ca.der(),
        identity,
        timeout: config.etcd_timeout,
        user,
    }
}

/// Every member as a signer sees it. An etcd that does not answer is what `get-peers` is about.
fn members(
    config: &SignerConfig,
    ca: &CaCertificate,
    identity: &Identity,
    now: i64,
    report: &mut Report,
) {
    let survey = Survey {
        config,
        ca,
        identity,
        ports: None,
        now,
    };
    for surveyed in survey.run().unwrap_or_default() {
        let name = surveyed.name;
        let member = match surveyed.found {
            Ok(member) => member,
            Err(error @ NotSurveyed::Unreachable(_)) => {
                report.warn(ALL, format!("{name} could not be reached: {error}"));
                continue;
            }
            Err(error @ NotSurveyed::Refused { .. }) => {
                report.fail(
                    ALL,
                    format!("{name}: {error}: RUNBOOK, Renew a member's certificate"),
                );
                continue;
            }
        };
        let time = until(member.not_after(), now);
        if !member.is_due(now) {
            report.ok(ALL, format!("{name}, {time}"));
            continue;
        }
        let keys = [key_of(member.public_key())];
        let published = access(config, ca, identity, KeyValueUser::Signer).read(&keys);
        let waits = match published {
            Err(error) => {
                report.warn(ALL, format!("{name}, {time}: {error}"));
                continue;
            }
            Ok(found) => found.first().is_some_and(|found| {
                matches!(successor::check(found, &member, ca, now), Ok(Some(_)))
            }),
        };
        report.warn(
            ALL,
            if waits {
                format!(
                    "{name}, {time}: renewed, and not fetched: systemctl status \
                     etcd-signer-member-fetch.timer on that member"
                )
            } else {
                format!("{name}, {time}: due: etcd-signer member renew --all")
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::{hosts_of, missing};
    use crate::pki::member_host::MemberHost;

    fn hosts(text: &str) -> Vec<MemberHost> {
        text.split(' ')
            .map(|host| MemberHost::parse(host).unwrap())
            .collect()
    }

    #[test]
    fn hosts_of_urls_are_found() {
        assert_eq!(
            hosts_of("https://10.0.0.2:2379,https://[fd00::2]:2379, https://N2.example:2379"),
            hosts("10.0.0.2 fd00::2 n2.example")
        );
        assert_eq!(hosts_of(""), []);
        assert_eq!(hosts_of("unix://x_y:1,nonsense"), []);
    }

    #[test]
    fn names_that_do_not_fit_are_missing() {
        let wanted = hosts("10.0.0.2 10.0.0.2 n2");
        assert_eq!(missing(&hosts("127.0.0.1 n2 10.0.0.2"), &wanted), []);
        // The example of a page, pasted as it stands.
        assert_eq!(
            missing(&hosts("10.0.0.12 n2 127.0.0.1"), &wanted),
            hosts("10.0.0.2")
        );
        assert_eq!(missing(&hosts("10.0.0.2 n2"), &wanted), hosts("127.0.0.1"));
    }
}
