//! What sshd would do with a login as `signer`: the one list of what it must answer.
//!
//! `etcd-signer-endpoint` and the maintainer scripts ask this program for it
//! (`etcd-signer check --only sshd`).

use super::networks::{self, DropIns, LoginBy, Network, OpenLogin, Width};
use super::{CheckOptions, Places, Report};
use crate::system::account::SIGNER;
use crate::system::sshd::{INCLUDE, SshdSettings};
use std::net::IpAddr;

/// What must hold for everybody, wherever from (sshd_config(5), as `sshd -T` prints it).
const ALWAYS: &[(&str, &str)] = &[
    ("forcecommand", "/usr/bin/etcd-signer serve"),
    ("permittty", "no"),
    ("disableforwarding", "yes"),
    ("allowagentforwarding", "no"),
    ("x11forwarding", "no"),
    ("permittunnel", "no"),
    ("permituserrc", "no"),
    ("maxsessions", "1"),
    ("kbdinteractiveauthentication", "no"),
    ("hostbasedauthentication", "no"),
    ("gssapiauthentication", "no"),
];

/// What must hold besides outside of the networks.
const OUTSIDE: &[(&str, &str)] = &[
    ("permitemptypasswords", "no"),
    ("passwordauthentication", "no"),
    ("pubkeyauthentication", "no"),
];

/// What must hold besides inside of the networks.
fn inside(by: LoginBy) -> &'static [(&'static str, &'static str)] {
    match by {
        LoginBy::Network => &[
            ("permitemptypasswords", "yes"),
            ("passwordauthentication", "yes"),
            ("authenticationmethods", "none"),
        ],
        LoginBy::Key => &[
            ("pubkeyauthentication", "yes"),
            ("authenticationmethods", "publickey"),
        ],
    }
}

/// Checks the networks, and asks sshd for addresses inside and outside of them.
pub(super) fn check(
    options: &CheckOptions,
    places: &Places,
    drop_ins: &DropIns,
    signs: bool,
    report: &mut Report,
) {
    const SUBJECT: &str = "sshd";
    let open: &[OpenLogin] = match drop_ins {
        DropIns::Missing => {
            report.fail(
                SUBJECT,
                format!(
                    "the endpoint's drop-in is missing in {0}: run 'cp \
                     /usr/share/etcd-signer/sshd/00-etcd-signer.conf {0}/', or correct the one that \
                     is .disabled",
                    places.drop_ins.display()
                ),
            );
            return;
        }
        DropIns::Malformed(problem) => {
            report.fail(
                SUBJECT,
                format!(
                    "{problem}: the drop-in needs the line \"Match User signer Address NETWORK,...\", as \
                     'etcd-signer-endpoint open --networks' writes it"
                ),
            );
            return;
        }
        DropIns::Closed => &[],
        DropIns::Open(open) => open,
    };
    let named: Vec<Network> = open.iter().flat_map(|open| open.networks.clone()).collect();
    if !named.is_empty() {
        assess_networks(&named, report);
    }
    match ask(options, places, open, &named) {
        Err(why) => report.fail(SUBJECT, why),
        Ok(summary) if open.is_empty() && options.inside.is_empty() && signs => report.warn(
            SUBJECT,
            format!(
                "no networks are open yet: run 'etcd-signer-endpoint open --networks ...' \
                 ({summary})"
            ),
        ),
        Ok(summary) if open.is_empty() && options.inside.is_empty() => {
            report.ok(SUBJECT, format!("the endpoint is closed; {summary}"));
        }
        // It has left its cluster, or joined another without the CA.
        Ok(_) if !open.is_empty() && !signs => report.fail(
            SUBJECT,
            "the login is open, but this host has no CA key, so it refuses every master: run \
             'etcd-signer-endpoint close', or 'etcd-signer-endpoint promote BACKUP' to sign here",
        ),
        Ok(summary) => report.ok(SUBJECT, summary),
    }
    if !named.is_empty()
        && let Ok(settings) = effective(places, "192.0.2.1")
    {
        penalties(&settings, &named, report);
    }
}

/// Whether networks may be opened at all.
pub(super) fn assess_networks(named: &[Network], report: &mut Report) {
    const SUBJECT: &str = "networks";
    let shown: Vec<String> = named.iter().map(ToString::to_string).collect();
    let shown = shown.join(",");
    match networks::width(named) {
        Width::Usual => report.ok(SUBJECT, shown),
        Width::Wide => report.warn(
            SUBJECT,
            format!(
                "{shown}: that is wide for a control plane, and every host in it can request any \
                 master's certificate: name the masters' own networks"
            ),
        ),
        Width::Internet => report.fail(
            SUBJECT,
            format!(
                "{shown}: that is a large part of the internet, and every host in it can request \
                 any master's certificate: name the masters' own networks"
            ),
        ),
    }
}

/// Asks for every address; a summary, or the first answer that is wrong.
fn ask(
    options: &CheckOptions,
    places: &Places,
    open: &[OpenLogin],
    named: &[Network],
) -> Result<String, String> {
    let by = |address: &str| {
        let parsed: Option<IpAddr> = address.parse().ok();
        open.iter()
            .find(|open| {
                parsed.is_some_and(|address| open.networks.iter().any(|n| n.contains(address)))
            })
            .or(open.first())
            .map_or(LoginBy::Network, |open| open.by)
    };
    let insiders = if options.inside.is_empty() {
        named.iter().map(|n| n.address().to_string()).collect()
    } else {
        options.inside.clone()
    };
    let outsiders = if options.outside.is_empty() {
        let outsiders = networks::outsiders(named);
        outsiders.iter().map(ToString::to_string).collect()
    } else {
        options.outside.clone()
    };
    for address in &insiders {
        let settings = effective(places, address)?;
        always(&settings)?;
        if let Some(line) = settings.exclusion_of(SIGNER) {
            return Err(format!("no master can log in: {line}"));
        }
        if let Some(wrong) = wrong(&settings, inside(by(address))) {
            return Err(format!(
                "logins from {address} (an allowed address) would be refused: {wrong}: check \
                 earlier files in sshd_config.d, and that the network has no host bits set"
            ));
        }
    }
    for address in &outsiders {
        let settings = effective(places, address)?;
        always(&settings)?;
        if let Some(wrong) = wrong(&settings, OUTSIDE) {
            return Err(format!(
                "logins from {address} (not an allowed address) must be refused: {wrong}: check \
                 earlier files in sshd_config.d"
            ));
        }
    }
    let outsiders = outsiders.join(" and ");
    Ok(if insiders.is_empty() {
        format!("only the forced command can run; logins from {outsiders} are refused")
    } else {
        format!(
            "only the forced command can run; logins from {} are accepted, from {outsiders} \
             refused",
            insiders.join(" and ")
        )
    })
}

/// What must hold wherever the login is from.
fn always(settings: &SshdSettings) -> Result<(), String> {
    let Some(wrong) = wrong(settings, ALWAYS) else {
        return Ok(());
    };
    // Only what the drop-in sets: nothing of it is in force.
    if settings
        .get("forcecommand")
        .is_none_or(|command| command == "none")
    {
        return Err(format!(
            "sshd does not read its drop-in ({wrong}): /etc/ssh/sshd_config needs the line \"{INCLUDE}\" \
             before its first Match line"
        ));
    }
    Err(format!(
        "for signer, {wrong}: check earlier files in sshd_config.d"
    ))
}

fn wrong(settings: &SshdSettings, wanted: &[(&str, &str)]) -> Option<String> {
    wanted
        .iter()
        .find(|(key, value)| settings.get(key) != Some(*value))
        .map(|(key, value)| {
            let found = settings.get(key).unwrap_or("not set");
            format!("{key} is {found}, but must be {value}")
        })
}

/// OpenSSH 9.8 and later drop all connections from an address that has failed often.
fn penalties(settings: &SshdSettings, named: &[Network], report: &mut Report) {
    const SUBJECT: &str = "penalties";
    match settings.get("persourcepenalties") {
        None | Some("no") => return,
        Some(_) => {}
    }
    let exempt: Vec<Network> = settings
        .get("persourcepenaltyexemptlist")
        .into_iter()
        .flat_map(|list| list.split([',', ' ']))
        .filter_map(networks::parse)
        .flatten()
        .collect();
    let missing: Vec<String> = named
        .iter()
        .filter(|network| !exempt.contains(network))
        .map(ToString::to_string)
        .collect();
    if missing.is_empty() {
        report.ok(
            SUBJECT,
            "the masters' networks are exempt from sshd's penalties",
        );
    } else {
        report.warn(
            SUBJECT,
            format!(
                "after failed logins or health checks, sshd drops every connection from that \
                 address for 15 s and more (PerSourcePenalties): run \
                 'etcd-signer-endpoint open --networks ...' to exempt {}",
                missing.join(",")
            ),
        );
    }
}

/// What `sshd -T` says for a login as signer from an address.
pub(super) fn effective(places: &Places, address: &str) -> Result<SshdSettings, String> {
    SshdSettings::ask(&places.sshd, SIGNER, address)
}
