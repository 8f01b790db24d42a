//! `etcd-signer check`: whether all is well with this host as a signer, and as a member.
//!
//! It looks at what is there, asks sshd what it would do, and asks the signer itself, as a
//! client of the endpoint would be answered. It changes nothing.

mod certificate;
mod files;
mod host;
mod login;
mod member;

use crate::system::settings::SettingsSource;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;

/// What to look at.
#[derive(Clone, Debug)]
pub(crate) struct CheckOptions {
    /// Which settings.
    pub settings: SettingsSource,
    /// An address that may log in. Without it, one of the networks that the drop-in names.
    pub inside: Option<String>,
    /// One that may not.
    pub outside: String,
    /// Print JSON.
    pub json: bool,
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

/// Looks at everything. `now` is in seconds since 1970.
#[must_use]
pub(crate) fn check(options: &CheckOptions, now: i64) -> Report {
    let places = Places::default();
    let mut report = Report::default();
    if !rustix::process::geteuid().is_root() {
        report.warn(
            "user",
            "this is not root: much of it cannot be looked at (sudo etcd-signer check)",
        );
    }
    let ca = files::check(options, &places, now, &mut report);
    login::check(options, &places, ca.signs, &mut report);
    member::check(&places, ca.certificate.as_ref(), now, &mut report);
    host::check(&mut report);
    report
}

/// When something ends, for people: a date, and the days that are left.
fn until(end: i64, now: i64) -> String {
    let date = time::OffsetDateTime::from_unix_timestamp(end)
        .map_or_else(|_| "?".to_owned(), |end| end.date().to_string());
    let days = end.saturating_sub(now).wrapping_div(86_400);
    format!("until {date}, {days} days")
}

/// Whether a third of its time, or less, is left.
fn last_third(start: i64, end: i64, now: i64) -> bool {
    let total = end.saturating_sub(start);
    end.saturating_sub(now).saturating_mul(3) <= total
}

#[cfg(test)]
mod tests {
    use super::{Report, Verdict, last_third, until};

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
        assert_eq!(until(86_400 * 2, 0), "until 1970-01-03, 2 days");
    }
}
