//! What sshd would do with a login as `signer`, and what the signer answers then.

use super::{CheckOptions, Places, Report};
use crate::system::account;
use crate::system::child::{Ending, run};
use crate::system::settings::SettingsSource;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

const TIME: Duration = Duration::from_secs(20);
const SIZE: usize = 64 * 1024;

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

/// What besides must hold outside of the networks.
const OUTSIDE: &[(&str, &str)] = &[
    ("permitemptypasswords", "no"),
    ("passwordauthentication", "no"),
    ("pubkeyauthentication", "no"),
];

/// The networks that the package comes with, which nobody has (RFC 5737, RFC 3849).
const NOBODY: &str = "192.0.2.0/24,2001:db8::/32";

pub(super) fn check(options: &CheckOptions, places: &Places, signs: bool, report: &mut Report) {
    let networks = networks(places);
    let inside = options.inside.clone().or_else(|| {
        let first = networks.as_deref()?.split(',').next()?;
        Some(first.split('/').next()?.to_owned())
    });
    let closed = networks.as_deref() == Some(NOBODY) && options.inside.is_none();
    sshd(
        places,
        inside.as_deref(),
        &options.outside,
        closed,
        signs,
        report,
    );
    if !closed {
        let keys = places.drop_ins.join("00-etcd-signer-keys.conf");
        let open = places.drop_ins.join("00-etcd-signer.conf");
        password(keys.exists() && !open.exists(), report);
    }
    if signs {
        answers(options, places, report);
    }
}

/// The addresses of the line that opens the login.
fn networks(places: &Places) -> Option<String> {
    ["00-etcd-signer.conf", "00-etcd-signer-keys.conf"]
        .iter()
        .filter_map(|name| fs::read_to_string(places.drop_ins.join(name)).ok())
        .find_map(|text| {
            text.lines()
                .find_map(|line| line.strip_prefix("Match User signer Address "))
                .map(|networks| networks.trim().to_owned())
        })
}

fn sshd(
    places: &Places,
    inside: Option<&str>,
    outside: &str,
    closed: bool,
    signs: bool,
    report: &mut Report,
) {
    const SUBJECT: &str = "sshd";
    let Some(inside) = inside else {
        report.fail(
            SUBJECT,
            format!(
                "{} has no drop-in of the endpoint: install the package again",
                places.drop_ins.display()
            ),
        );
        return;
    };
    let asked =
        effective(places, inside).and_then(|inside| Ok((inside, effective(places, outside)?)));
    let (there, elsewhere) = match asked {
        Ok(asked) => asked,
        Err(why) => {
            report.fail(
                SUBJECT,
                format!("it cannot tell what it would do (sshd -T): {why}"),
            );
            return;
        }
    };
    let wrong = |settings: &BTreeMap<String, String>, wanted: &[(&str, &str)]| {
        wanted
            .iter()
            .find(|(key, value)| settings.get(*key).map(String::as_str) != Some(*value))
            .map(|(key, value)| {
                let found = settings.get(*key).map_or("nothing", String::as_str);
                format!("{key} is {found}, not {value}")
            })
    };
    let open = |key| there.get(key).map(String::as_str) == Some("yes");
    if let Some(wrong) = wrong(&there, ALWAYS).or_else(|| wrong(&elsewhere, ALWAYS)) {
        report.fail(
            SUBJECT,
            format!("for signer, {wrong}: does an earlier file of sshd_config.d speak of it?"),
        );
    } else if let Some(wrong) = wrong(&elsewhere, OUTSIDE) {
        report.fail(
            SUBJECT,
            format!("from {outside}, which is outside, {wrong}: nobody must get in from there"),
        );
    } else if closed && signs {
        report.warn(
            SUBJECT,
            "nobody is let in yet: etcd-signer-endpoint open --networks ...",
        );
    } else if closed {
        report.ok(SUBJECT, "the endpoint is closed");
    } else if !open("permitemptypasswords") && !open("pubkeyauthentication") {
        report.fail(
            SUBJECT,
            format!("from {inside}, which is inside, nobody gets in: etcd-signer-endpoint open"),
        );
    } else {
        report.ok(
            SUBJECT,
            format!("the forced command alone; open to {inside}, closed to {outside}"),
        );
    }
}

/// What `sshd -T` says for a login as signer from an address.
fn effective(places: &Places, address: &str) -> Result<BTreeMap<String, String>, String> {
    // All that a Match line can ask for, or sshd refuses to answer.
    let client = format!("user=signer,host=client,addr={address},laddr=127.0.0.1,lport=22");
    let mut sshd = Command::new(&places.sshd);
    let ended = run(sshd.args(["-T", "-C", &client]), b"", Some(SIZE), TIME)
        .map_err(|error| format!("{}: {error}", places.sshd.display()))?;
    match ended.ending {
        Ending::Exited(status) if status.success() => {}
        _ => {
            let said = String::from_utf8_lossy(&ended.stderr);
            let line = said.lines().next().unwrap_or("it did not answer");
            return Err(line.escape_default().to_string());
        }
    }
    Ok(String::from_utf8_lossy(&ended.stdout)
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect())
}

/// Login by placement needs an empty password, login by key a locked one.
fn password(by_key: bool, report: &mut Report) {
    const SUBJECT: &str = "password";
    let Ok(shadow) = fs::read_to_string("/etc/shadow") else {
        return;
    };
    let field = shadow
        .lines()
        .find_map(|line| line.strip_prefix("signer:"))
        .and_then(|rest| rest.split(':').next());
    match field {
        None => {}
        Some("") if by_key => report.warn(
            SUBJECT,
            "empty, though login is by key: local users can `su signer`: passwd --lock signer",
        ),
        Some("") => report.ok(SUBJECT, "empty: the network is the credential"),
        Some(field) if field.starts_with(['!', '*']) => {
            report.ok(SUBJECT, "locked: login by key alone");
        }
        Some(_) => report.fail(
            SUBJECT,
            "signer has a password: passwd --lock signer, or --delete for login by placement",
        ),
    }
}

/// The program itself, as the account, asked what a client would ask.
fn answers(options: &CheckOptions, places: &Places, report: &mut Report) {
    for request in ["get-certificate", "get-peers"] {
        // What runs it has no environment; env(1) adds the one variable that counts.
        let mut signer = Command::new("/usr/bin/env");
        signer
            .arg(format!("SSH_ORIGINAL_COMMAND={request}"))
            .arg(&places.program)
            .arg("serve");
        if let SettingsSource::File(path) = &options.settings {
            signer.arg("--config").arg(path);
        }
        if let Some(account) = account::signer()
            && rustix::process::geteuid().is_root()
        {
            signer.uid(account.uid).gid(account.gid);
        }
        match ask(&mut signer) {
            Ok(answer) if request == "get-peers" => {
                let urls: Vec<&str> = answer.lines().collect();
                report.ok(request, urls.join(" "));
            }
            Ok(_) => report.ok(request, "answered, as the account"),
            Err(why) => report.fail(request, why),
        }
    }
}

fn ask(signer: &mut Command) -> Result<String, String> {
    let ended = run(signer, b"", Some(SIZE), TIME).map_err(|error| error.to_string())?;
    match ended.ending {
        Ending::Exited(status) if status.success() => {
            Ok(String::from_utf8_lossy(&ended.stdout).into_owned())
        }
        _ => Err(String::from_utf8_lossy(&ended.stderr)
            .lines()
            .next()
            .unwrap_or("it did not answer")
            .trim_start_matches("etcd-signer: ")
            .to_owned()),
    }
}
