//! This host as a member of the etcd cluster: its certificates, and how etcd is guarded.

use super::certificate::MemberCertificate;
use super::{Places, Report, ends_soon, last_third, until};
use crate::pki::ca::certificate::CaCertificate;
use crate::pki::grant::MEMBER;
use crate::pki::private_key::PrivateKey;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

/// What etcd must have been told (etcd's own names, as in its environment).
const GUARDS: &[(&str, &str, &str)] = &[
    (
        "ETCD_CLIENT_CERT_AUTH",
        "true",
        "anybody on the network is a client",
    ),
    (
        "ETCD_PEER_CLIENT_CERT_AUTH",
        "true",
        "anybody on the network is a peer",
    ),
    (
        "ETCD_PEER_CERT_ALLOWED_CN",
        MEMBER,
        "a master's certificate may pass for a peer's",
    ),
];

pub(super) fn check(places: &Places, ca: Option<&CaCertificate>, now: i64, report: &mut Report) {
    certificate(places, ca, now, report);
    etcd(places.pki.join("member.crt").exists(), report);
}

fn certificate(places: &Places, ca: Option<&CaCertificate>, now: i64, report: &mut Report) {
    const SUBJECT: &str = "member certificate";
    let path = places.pki.join("member.crt");
    let key = places.pki.join("member.key");
    let shown = path.display();
    let Ok(pem) = fs::read(&path) else {
        if key.exists() {
            report.fail(SUBJECT, format!("{shown} is not there, and its key is"));
        }
        return;
    };
    let Some(leaf) = MemberCertificate::parse(&pem, ca) else {
        report.fail(SUBJECT, format!("{shown} cannot be read as a certificate"));
        return;
    };
    let time = until(leaf.not_after, now);
    let renew = "renew it (RUNBOOK, Renew a member's certificate)";
    if ca.is_some() && !leaf.is_the_cas {
        report.fail(
            SUBJECT,
            format!("{shown} is not signed by the CA in place: {renew}"),
        );
    } else if now > leaf.not_after {
        report.fail(SUBJECT, format!("{shown} has expired: {renew}"));
    } else if now < leaf.not_before {
        report.fail(
            SUBJECT,
            format!("{shown} is not valid yet: is the clock right?"),
        );
    } else if leaf.common_name != MEMBER {
        report.fail(
            SUBJECT,
            format!("{shown} is not for CN={MEMBER}, which peers ask for: {renew}"),
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
            format!("{shown}: its group or others have access to it: chmod 0400 {shown}"),
        ),
        (Ok(_), Ok(pem)) => match leaf.public_key {
            Some(public_key) if PrivateKey::from_pem(&pem, Some(&public_key)).is_err() => {
                report.fail(
                    KEY,
                    format!("{shown} is not the certificate's key: {renew}"),
                );
            }
            _ => report.ok(KEY, format!("{shown}, the certificate's")),
        },
        (_, Err(error)) => report.warn(KEY, format!("{shown}: {error}")),
        (Err(error), _) => report.warn(KEY, format!("{shown}: {error}")),
    }
}

/// What the running etcd was started with: its environment, and its arguments over that.
fn etcd(is_member: bool, report: &mut Report) {
    const SUBJECT: &str = "etcd";
    let Some(settings) = running() else {
        let text = "none runs here that can be looked at (systemctl status etcd)";
        if is_member && rustix::process::geteuid().is_root() {
            report.fail(SUBJECT, text);
        } else {
            report.warn(SUBJECT, text);
        }
        return;
    };
    // etcd's own default is http, on this host alone.
    for urls in ["ETCD_LISTEN_CLIENT_URLS", "ETCD_LISTEN_PEER_URLS"] {
        let all_tls = settings.get(urls).is_some_and(|urls| {
            urls.split(',')
                .all(|url| url.trim().starts_with("https://"))
        });
        if !all_tls {
            report.fail(
                SUBJECT,
                format!("it runs without https in all of {urls}: set it (/etc/etcd/etcd.env)"),
            );
            return;
        }
    }
    let missing = GUARDS
        .iter()
        .find(|(name, wanted, _)| settings.get(*name).map(String::as_str) != Some(*wanted));
    match missing {
        Some((name, wanted, risk)) => report.fail(
            SUBJECT,
            format!("it runs without {name}={wanted}, so {risk}: set it (/etc/etcd/etcd.env)"),
        ),
        None => report.ok(
            SUBJECT,
            "clients and peers need certificates, peers a member's",
        ),
    }
}

fn running() -> Option<BTreeMap<String, String>> {
    let process = fs::read_dir("/proc").ok()?.flatten().find(|entry| {
        fs::read_to_string(entry.path().join("comm")).is_ok_and(|name| name == "etcd\n")
    })?;
    let list = |name| {
        let bytes = fs::read(process.path().join(name)).ok()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Some(text.split('\0').map(str::to_owned).collect::<Vec<_>>())
    };
    let mut settings: BTreeMap<String, String> = list("environ")?
        .iter()
        .filter_map(|variable| variable.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    settings.extend(flags(&list("cmdline")?));
    Some(settings)
}

/// etcd's flags by the names of its environment: `--peer-cert-allowed-cn x`, with one or two
/// hyphens, and `=` or not; a flag alone is `true`.
fn flags(arguments: &[String]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = arguments.iter().skip(1).peekable();
    while let Some(argument) = rest.next() {
        let Some(flag) = argument.strip_prefix('-') else {
            continue;
        };
        let flag = flag.strip_prefix('-').unwrap_or(flag);
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => {
                let next = rest.next_if(|next| !next.starts_with('-') && !next.is_empty());
                (flag, next.map_or_else(|| "true".to_owned(), Clone::clone))
            }
        };
        let name = name.to_ascii_uppercase().replace('-', "_");
        found.push((format!("ETCD_{name}"), value));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::flags;

    #[test]
    fn flags_have_the_environments_names() {
        let given = "etcd --client-cert-auth --peer-cert-allowed-cn etcd-member \
                     -peer-client-cert-auth=false --name=a";
        let arguments: Vec<String> = given.split_whitespace().map(str::to_owned).collect();
        let expected = [
            ("ETCD_CLIENT_CERT_AUTH", "true"),
            ("ETCD_PEER_CERT_ALLOWED_CN", "etcd-member"),
            ("ETCD_PEER_CLIENT_CERT_AUTH", "false"),
            ("ETCD_NAME", "a"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(flags(&arguments), expected);
    }
}
