//! `etcd-signer check`: whether all is well with this host as a signer, and as a member.
//!
//! It looks at what is there, asks sshd what it would do, and asks the signer itself, as a
//! client of the endpoint would be answered. It changes nothing.

mod cluster;
mod files;
mod host;
mod login;
mod member;
mod networks;
mod renewal;
mod sshd;

use crate::system::settings::SettingsSource;
use clap::ValueEnum;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;

/// What to check.
#[derive(Clone, Debug)]
pub(crate) struct CheckOptions {
    pub(crate) settings: SettingsSource,
    /// The groups to check. Without any, all of them.
    pub(crate) only: Vec<CheckGroup>,
    /// Addresses that may log in. Without any, one of each network that the drop-in names.
    pub(crate) inside: Vec<String>,
    /// Addresses that may not. Without any, one of each family, outside of the networks.
    pub(crate) outside: Vec<String>,
    /// Networks to assess before they are written into the drop-in.
    pub(crate) networks: Option<String>,
    /// Print JSON.
    pub(crate) json: bool,
}

/// A part of the checks that can be made by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckGroup {
    /// Settings, the CA's files, the program and the account
    Files,
    /// What sshd would do with a login as signer
    Sshd,
    /// Whether a master can log in, and what the signer answers
    Login,
    /// This host as a member of the etcd cluster
    Member,
    /// The kernel and the clock
    Host,
}

/// Where everything is that the package and `first-boot.sh` have put in place.
#[derive(Clone, Debug)]
struct Places {
    program: PathBuf,
    login_shell: PathBuf,
    drop_ins: PathBuf,
    pki: PathBuf,
    sshd: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            program: "/usr/bin/etcd-signer".into(),
            login_shell: "/usr/bin/etcd-signer-login".into(),
            drop_ins: "/etc/ssh/sshd_config.d".into(),
            pki: "/etc/etcd/pki".into(),
            sshd: "/usr/sbin/sshd".into(),
        }
    }
}

/// How well it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and somebody should look at it; or it could not be looked at.
    Warn,
    /// It does not work, or is not safe.
    Fail,
}

/// One line: what was looked at, how it is, and what to do about it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    /// What was looked at.
    pub subject: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// The details, and the remedy where there is one to name.
    pub text: String,
}

/// All that was found, in the order in which it was looked at.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    findings: Vec<Finding>,
}

impl Report {
    fn ok(&mut self, subject: &'static str, text: impl Into<String>) {
        self.add(subject, Verdict::Ok, text);
    }

    fn warn(&mut self, subject: &'static str, text: impl Into<String>) {
        self.add(subject, Verdict::Warn, text);
    }

    fn fail(&mut self, subject: &'static str, text: impl Into<String>) {
        self.add(subject, Verdict::Fail, text);
    }

    fn add(&mut self, subject: &'static str, verdict: Verdict, text: impl Into<String>) {
        // Errors begin with what they are about.
        let text = text.into();
        let text = text
            .strip_prefix(subject)
            .map_or(text.as_str(), str::trim_start)
            .to_owned();
        self.findings.push(Finding {
            subject,
            verdict,
            text,
        });
    }

    /// The worst of them.
    #[must_use]
    pub(crate) fn verdict(&self) -> Verdict {
        let verdicts = self.findings.iter().map(|finding| finding.verdict);
        verdicts.max().unwrap_or(Verdict::Ok)
    }

    /// A line for each.
    #[must_use]
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            let verdict = match finding.verdict {
                Verdict::Ok => "ok",
                Verdict::Warn => "warn",
                Verdict::Fail => "FAIL",
            };
            let _ = writeln!(
                text,
                "{verdict:<5} {:<19} {}",
                finding.subject, finding.text
            );
        }
        text
    }

    /// The same for programs: an object with the list `findings`.
    #[must_use]
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).map_or_else(|_| String::new(), |json| json + "\n")
    }
}

/// Makes the checks that are asked for. `now` is in seconds since 1970.
#[must_use]
pub(crate) fn check(options: &CheckOptions, now: i64) -> Report {
    let places = Places::default();
    let mut report = Report::default();
    if !rustix::process::geteuid().is_root() {
        report.warn(
            "user",
            "not running as root, so much cannot be checked: run 'sudo etcd-signer check'",
        );
    }
    let wants = |group| options.only.is_empty() || options.only.contains(&group);
    if let Some(list) = &options.networks {
        match networks::parse(list) {
            Some(networks) => sshd::assess_networks(&networks, &mut report),
            None => report.fail(
                "networks",
                format!(
                    "{}: invalid network list for sshd: use CIDR networks such as \
                     10.0.0.0/24,fd00::/64, with no host bits set",
                    list.escape_default()
                ),
            ),
        }
        return report;
    }
    let mut unused = Report::default();
    let files = if wants(CheckGroup::Files) {
        &mut report
    } else {
        &mut unused
    };
    // The others need to know of the CA.
    let ca = files::check(options, &places, now, files);
    let drop_ins = networks::read(&places.drop_ins);
    if wants(CheckGroup::Sshd) {
        sshd::check(options, &places, &drop_ins, ca.signs, &mut report);
    }
    if wants(CheckGroup::Login) {
        login::check(options, &places, &drop_ins, ca.signs, now, &mut report);
    }
    if wants(CheckGroup::Member) {
        member::check(options, &places, ca.certificate.as_ref(), now, &mut report);
        cluster::check(options, &places, ca.certificate.as_ref(), now, &mut report);
        renewal::check(options, &places, ca.certificate.as_ref(), now, &mut report);
    }
    if wants(CheckGroup::Host) {
        host::check(&mut report);
    }
    report
}

/// When something ends, for people: a date, and the time that is left: in hours below two days.
fn until(end: i64, now: i64) -> String {
    const HOUR: i64 = 3600;
    let date = time::OffsetDateTime::from_unix_timestamp(end)
        .map_or_else(|_| "?".to_owned(), |end| end.date().to_string());
    let left = end.saturating_sub(now);
    if left < 48 * HOUR {
        format!("until {date}, {} hours", left.wrapping_div(HOUR))
    } else {
        format!("until {date}, {} days", left.wrapping_div(24 * HOUR))
    }
}

/// Whether it ends within 30 days.
fn ends_soon(end: i64, now: i64) -> bool {
    end.saturating_sub(now) < 30 * 24 * 3600
}

/// Whether a third of its time, or less, is left.
fn last_third(start: i64, end: i64, now: i64) -> bool {
    let total = end.saturating_sub(start);
    end.saturating_sub(now).saturating_mul(3) <= total
}

#[cfg(test)]
mod tests {
    use super::{Report, Verdict, ends_soon, last_third, until};

    #[test]
    fn the_worst_counts() {
        let mut report = Report::default();
        assert_eq!(report.verdict(), Verdict::Ok);
        report.warn("a", "x");
        report.ok("b", "y");
        assert_eq!(report.verdict(), Verdict::Warn);
        report.fail("c", "z");
        report.warn("d", "w");
        assert_eq!(report.verdict(), Verdict::Fail);
    }

    #[test]
    fn the_last_third_begins_at_two_thirds() {
        assert!(!last_third(0, 90, 59));
        assert!(last_third(0, 90, 60));
        assert!(last_third(0, 90, 200));
    }

    #[test]
    fn time_left_is_in_hours_below_two_days() {
        let day = 86_400;
        assert_eq!(until(day * 2, 0), "until 1970-01-03, 2 days");
        assert_eq!(until(day * 2 - 1, 0), "until 1970-01-02, 47 hours");
        assert_eq!(until(day, 0), "until 1970-01-02, 24 hours");
        assert_eq!(until(3599, 0), "until 1970-01-01, 0 hours");
        assert!(ends_soon(30 * day - 1, 0) && !ends_soon(30 * day, 0));
    }
}
