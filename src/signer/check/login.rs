//! Whether a master can log in as `signer`, and what the signer answers then.

use super::networks::{DropIns, LoginBy, OpenLogin};
use super::sshd::effective;
use super::{CheckOptions, Places, Report};
use crate::system::account;
use crate::system::addresses;
use crate::system::child::{Ending, run};
use crate::system::new_file;
use crate::system::settings::SettingsSource;
use std::fs;
use std::net::IpAddr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const TIME: Duration = Duration::from_secs(20);
const SIZE: usize = 64 * 1024;
const DAY: i64 = 24 * 60 * 60;

pub(super) fn check(
    options: &CheckOptions,
    places: &Places,
    drop_ins: &DropIns,
    signs: bool,
    now: i64,
    report: &mut Report,
) {
    if let DropIns::Open(open) = drop_ins {
        password(open, now, report);
        for login in open {
            match login.by {
                LoginBy::Key => keys(places, login, report),
                LoginBy::Network if signs => over_ssh(places, login, report),
                LoginBy::Network => {}
            }
        }
    }
    if signs {
        answers(options, places, report);
    }
}

/// shadow(5), without the fields that nobody uses. Days are counted since 1970.
struct Shadow {
    password: String,
    last_change: Option<i64>,
    maximum: Option<i64>,
    inactive: Option<i64>,
    expires: Option<i64>,
}

impl Shadow {
    fn of(account: &str) -> Option<Self> {
        let shadow = fs::read_to_string("/etc/shadow").ok()?;
        shadow.lines().find_map(|line| Self::parse(line, account))
    }

    fn parse(line: &str, account: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(':').collect();
        let [
            name,
            password,
            last_change,
            _,
            maximum,
            _,
            inactive,
            expires,
            ..,
        ] = fields.as_slice()
        else {
            return None;
        };
        let number = |field: &str| field.parse().ok();
        (*name == account).then(|| Self {
            password: (*password).to_owned(),
            last_change: number(last_change),
            maximum: number(maximum).filter(|days| (0..99_999).contains(days)),
            inactive: number(inactive),
            expires: number(expires),
        })
    }
}

/// Network-based login needs an empty password, login by key a locked one. Neither may expire.
fn password(open: &[OpenLogin], now: i64, report: &mut Report) {
    const SUBJECT: &str = "password";
    let Some(shadow) = Shadow::of(account::SIGNER) else {
        return;
    };
    let by_network = open.iter().any(|login| login.by == LoginBy::Network);
    let locked = shadow.password.starts_with(['!', '*']);
    match shadow.password.as_str() {
        "" if by_network => report.ok(SUBJECT, "empty: the network is the credential"),
        "" => report.warn(
            SUBJECT,
            "empty, though login is by key: local users can run 'su signer': run 'passwd --lock signer'",
        ),
        _ if locked && by_network => report.fail(
            SUBJECT,
            "locked, so no master can log in, since login is network-based: run \
             'etcd-signer-endpoint open --networks ...' (or 'passwd --delete signer')",
        ),
        _ if locked => report.ok(SUBJECT, "locked: login by key only"),
        _ => report.fail(
            SUBJECT,
            "signer has a password: run 'passwd --lock signer', or 'passwd --delete signer' for \
             network-based login",
        ),
    }
    ageing(&shadow, now, report);
}

/// PAM refuses the login of an account or password that has expired, from one day to the next.
fn ageing(shadow: &Shadow, now: i64, report: &mut Report) {
    const SUBJECT: &str = "expiry";
    const REMEDY: &str =
        "run 'chage -E -1 -M -1 -I -1 signer', as 'etcd-signer-endpoint open' does";
    let today = now.div_euclid(DAY);
    let day = |day: i64| {
        time::OffsetDateTime::from_unix_timestamp(day.saturating_mul(DAY))
            .map_or_else(|_| "?".to_owned(), |date| date.date().to_string())
    };
    if let Some(expires) = shadow.expires {
        let text = format!("the account expires on {}", day(expires));
        if expires <= today {
            report.fail(SUBJECT, format!("{text}: no master can log in: {REMEDY}"));
        } else {
            report.warn(
                SUBJECT,
                format!("{text}: no master can log in from then on: {REMEDY}"),
            );
        }
        return;
    }
    if shadow.last_change == Some(0) {
        report.fail(
            SUBJECT,
            "the password must be changed at the next login, so no master can log in: \
             run 'chage -d -1 signer'",
        );
        return;
    }
    let (Some(changed), Some(maximum)) = (shadow.last_change, shadow.maximum) else {
        return;
    };
    let end = changed
        .saturating_add(maximum)
        .saturating_add(shadow.inactive.unwrap_or(0).max(0));
    let text = format!("the password expires on {}", day(end));
    if end < today {
        report.fail(SUBJECT, format!("{text}: no master can log in: {REMEDY}"));
    } else {
        report.warn(
            SUBJECT,
            format!("{text}: no master can log in after that: {REMEDY}"),
        );
    }
}

/// sshd reads the keys as the account does.
fn keys(places: &Places, login: &OpenLogin, report: &mut Report) {
    const SUBJECT: &str = "keys";
    let Some(first) = login.networks.first() else {
        return;
    };
    let Ok(settings) = effective(places, &first.address().to_string()) else {
        return;
    };
    let files = settings.get("authorizedkeysfile").unwrap_or("none");
    let command = settings.get("authorizedkeyscommand").unwrap_or("none");
    if files == "none" {
        match command {
            "none" => report.fail(
                SUBJECT,
                "no authorized keys are configured, so no master can log in: set AuthorizedKeysFile \
                 or AuthorizedKeysCommand",
            ),
            command => report.ok(SUBJECT, format!("from {command}")),
        }
        return;
    }
    for file in files.split(' ') {
        match readable_by_the_account(file) {
            Ok(()) => report.ok(
                SUBJECT,
                format!("{file}; login was not tried, because it needs a key"),
            ),
            Err(why) => report.fail(
                SUBJECT,
                format!(
                    "{file}: {why}, so no master can log in: it must exist, with owner root and \
                     mode 0644"
                ),
            ),
        }
    }
}

fn readable_by_the_account(file: &str) -> Result<(), String> {
    if !Path::new(file).is_file() {
        return Err("no such file".to_owned());
    }
    let mut test = Command::new("/usr/bin/test");
    test.args(["-r", file]);
    if let Some(account) = account::signer()
        && rustix::process::geteuid().is_root()
    {
        test.uid(account.uid).gid(account.gid);
    }
    match run(&mut test, b"", Some(SIZE), TIME) {
        Ok(ended) if matches!(ended.ending, Ending::Exited(status) if status.success()) => Ok(()),
        Ok(_) => Err("signer cannot read it".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Logs in as a master does, from one of this host's own addresses. `sshd -T` knows nothing of a
/// locked account, PAM's modules, or a deny rule.
fn over_ssh(places: &Places, login: &OpenLogin, report: &mut Report) {
    const SUBJECT: &str = "login";
    let own: Vec<IpAddr> = addresses::own()
        .into_iter()
        .map(|own| own.address)
        .filter(|address| {
            login
                .networks
                .iter()
                .any(|network| network.contains(*address))
        })
        .collect();
    let Some(address) = own.first() else {
        report.ok(
            SUBJECT,
            "not tried: this host has no address in the networks: run \
             'ssh signer@HOST get-certificate' on a master",
        );
        return;
    };
    match log_in(places, *address) {
        Ok(()) => report.ok(
            SUBJECT,
            format!("ssh signer@{address} get-certificate, as a master would: answered"),
        ),
        Err(why) => report.fail(
            SUBJECT,
            format!(
                "ssh signer@{address} get-certificate, as a master would: {why}: check for \
                 a locked or expired account, PAM (nullok, pam_access), DenyUsers and AllowUsers \
                 (RUNBOOK, Messages: Permission denied)"
            ),
        ),
    }
}

fn log_in(places: &Places, address: IpAddr) -> Result<(), String> {
    let port = effective(places, &address.to_string())?
        .get("port")
        .unwrap_or("22")
        .to_owned();
    let known_hosts = host_keys().map_err(|error| format!("host keys: {error}"))?;
    let mut ssh = Command::new("/usr/bin/ssh");
    ssh.args(["-F", "none", "-T", "-p", &port]);
    for option in [
        "BatchMode=yes".to_owned(),
        "ConnectTimeout=10".to_owned(),
        "StrictHostKeyChecking=yes".to_owned(),
        "HostKeyAlias=this-host".to_owned(),
        format!("UserKnownHostsFile={}", known_hosts.as_ref().display()),
        "GlobalKnownHostsFile=/dev/null".to_owned(),
        "IdentityFile=none".to_owned(),
        "IdentityAgent=none".to_owned(),
        "LogLevel=INFO".to_owned(),
    ] {
        ssh.args(["-o", &option]);
    }
    ssh.args(["--", &format!("signer@{address}"), "get-certificate"]);
    let ended = run(&mut ssh, b"", Some(SIZE), TIME).map_err(|error| error.to_string())?;
    drop(known_hosts);
    match ended.ending {
        Ending::Exited(status)
            if status.success() && ended.stdout.starts_with(b"-----BEGIN CERTIFICATE-----") =>
        {
            Ok(())
        }
        _ => Err(String::from_utf8_lossy(&ended.stderr)
            .lines()
            .rfind(|line| !line.trim().is_empty())
            .unwrap_or("it exited without a message")
            .trim()
            .escape_default()
            .to_string()),
    }
}
/// This host's own keys, as a known_hosts file that goes away with the value.
fn host_keys() -> Result<impl AsRef<Path>, String> {
    let folder = Path::new("/etc/ssh");
    let keys: String = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let is_key = name.starts_with("ssh_host_") && name.ends_with("_key.pub");
            is_key.then(|| fs::read_to_string(entry.path()).ok())?
        })
        .map(|key| format!("this-host {}\n", key.trim()))
        .collect();
    if keys.is_empty() {
        return Err(format!("there are none in {}", folder.display()));
    }
    let path = Path::new("/run/etcd-signer-check");
    new_file::prepare(path, keys.as_bytes(), 0o600, None)
        .map(|file| file.into_temp_path())
        .map_err(|error| error.to_string())
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
            Ok(_) => report.ok(request, "answered, run as signer"),
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

#[cfg(test)]
mod tests {
    use super::Shadow;

    #[test]
    fn shadow_line_is_read_by_its_whole_name() {
        let line = "signer:!:20000:0:90:7:14:20500:";
        let shadow = Shadow::parse(line, "signer").unwrap();
        assert_eq!(shadow.password, "!");
        assert_eq!(shadow.last_change, Some(20_000));
        assert_eq!(shadow.maximum, Some(90));
        assert_eq!(shadow.inactive, Some(14));
        assert_eq!(shadow.expires, Some(20_500));
        let shadow = Shadow::parse("signer::20000:0:99999:7:::", "signer").unwrap();
        assert_eq!((shadow.maximum, shadow.inactive), (None, None));
        assert_eq!((shadow.expires, shadow.password.as_str()), (None, ""));
        for other in [
            "signer2:!:1:0:1:1:1:1:",
            "sign:!:1:0:1:1:1:1:",
            "signer:!",
            "",
        ] {
            assert!(Shadow::parse(other, "signer").is_none(), "{other}");
        }
    }
}
