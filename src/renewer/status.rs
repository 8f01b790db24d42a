//! `status`: what is in place, for people and for monitoring.

use super::authority::{self, TrustedCas};
use super::config::RenewerConfig;
use super::due::{self, Assessment, Condition, Expected};
use super::error::RenewalError;
use super::key_file::{self, KeyFileError};
use super::metrics;
use super::state::{Outcome, State};
use super::text::{date, residual, rfc3339};
use super::warnings::{clock_warning, warnings};
use crate::pki::ca::certificate::CaCertificate;
use crate::pki::fingerprint::Fingerprint;
use crate::system::escape::one_line;
use crate::system::exit::Exit;
use crate::system::output;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Shows what is in place. The exit code is 0 for valid, 1 for due, 2 for expired or unusable.
#[must_use]
pub(crate) fn status(config: &RenewerConfig, json: bool, now: i64) -> u8 {
    let view = View::new(config, now);
    metrics::write_if_wanted(config, Some(&view.found), &view.state, now);
    let text = if json {
        format!("{:#}\n", view.json())
    } else {
        view.table()
    };
    if output::answer(text.as_bytes()).is_err() {
        return Exit::Io.code();
    }
    match view.found.condition {
        Condition::Valid => 0,
        Condition::Due => 1,
        Condition::Expired | Condition::Unusable(_) => 2,
    }
}

struct View<'a> {
    config: &'a RenewerConfig,
    now: i64,
    found: Assessment,
    cas: Option<TrustedCas>,
    /// Whether this account may not read the key, so that it was not checked.
    key_unread: bool,
    state: State,
}

impl<'a> View<'a> {
    fn new(config: &'a RenewerConfig, now: i64) -> Self {
        let mut view = Self {
            config,
            now,
            found: unusable(String::new()),
            cas: None,
            key_unread: false,
            state: State::load(&config.state_directory),
        };
        match view.assess() {
            Ok(found) => view.found = found,
            Err(error) => view.found = unusable(error.to_string()),
        }
        // All times are shown by the clock that the certificate was issued by.
        let offset = view.state.clock_offset(view.found.leaf.as_ref());
        view.now = now.saturating_add(offset);
        view
    }

    fn assess(&mut self) -> Result<Assessment, RenewalError> {
        let config = self.config;
        self.cas = authority::in_place(config)?;
        let Some(cas) = &self.cas else {
            let path = config.ca_certificate.display();
            return Ok(unusable(format!("CA certificate {path}: it is missing")));
        };
        let key = match key_file::load(&config.key) {
            Ok(Some(key)) => Some(key),
            Ok(None) => {
                let path = config.key.display();
                return Ok(unusable(format!("key {path}: it is missing")));
            }
            // Monitoring need not be able to read keys.
            Err(KeyFileError::Unreadable { source, .. })
                if source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                self.key_unread = true;
                None
            }
            Err(error) => return Err(error.into()),
        };
        let expected = Expected {
            key: key.as_ref(),
            name: &config.name,
            cas,
        };
        Ok(due::assess(
            &config.certificate,
            expected,
            &self.state,
            self.now,
        ))
    }

    /// The CA certificates that can be used.
    fn usable_cas(&self) -> &[CaCertificate] {
        self.cas.as_ref().map_or(&[], TrustedCas::usable)
    }

    /// The one that signed the certificate in place, or else the first.
    fn ca(&self) -> Option<&CaCertificate> {
        self.found.ca.as_ref().or(self.usable_cas().first())
    }

    fn table(&self) -> String {
        let (expires, left, issuer) = self.found.leaf.as_ref().map_or_else(
            || (String::new(), String::new(), String::new()),
            |leaf| {
                let end = leaf.not_after();
                (
                    date(end),
                    residual(end.saturating_sub(self.now)),
                    leaf.issuer().to_owned(),
                )
            },
        );
        let state = self.found.condition.as_str().to_owned();
        let mut text = columns(
            &[
                "CERTIFICATE",
                "EXPIRES",
                "RESIDUAL TIME",
                "CERTIFICATE AUTHORITY",
                "STATE",
            ],
            &[
                self.config.certificate.display().to_string(),
                expires,
                left,
                issuer,
                state,
            ],
        );
        let path = self.config.ca_certificate.display();
        let cas = self.usable_cas();
        for (number, ca) in (1_usize..).zip(cas) {
            text.push('\n');
            let shown = match cas {
                [_] => path.to_string(),
                _ => format!("{path}, {number} of {}", cas.len()),
            };
            text += &columns(
                &["CERTIFICATE AUTHORITY", "EXPIRES", "RESIDUAL TIME"],
                &[
                    shown,
                    date(ca.not_after()),
                    residual(ca.not_after().saturating_sub(self.now)),
                ],
            );
            if cas.len() > 1 {
                let _ = writeln!(text, "SHA-256 {}", Fingerprint::of(ca.der()));
            }
        }
        text.push('\n');
        for line in self.remarks() {
            let _ = writeln!(text, "{line}");
        }
        text
    }

    /// What the table has no column for.
    fn remarks(&self) -> Vec<String> {
        let mut lines = Vec::new();
        match (&self.found.condition, &self.found.leaf) {
            (Condition::Unusable(reason), _) => lines.push(format!("unusable: {reason}")),
            (Condition::Valid, Some(leaf)) => {
                lines.push(format!("due from {}", date(due::due_at(leaf))));
            }
            (Condition::Due, _) => lines.push("due: the next run renews it".to_owned()),
            _ => {}
        }
        if self.key_unread {
            lines.push(format!(
                "key {}: not checked, because this user cannot read it",
                self.config.key.display()
            ));
        }
        let state = &self.state;
        lines.push(match (state.last_run, state.outcome) {
            (Some(at), Some(outcome)) => {
                let outcome = match outcome {
                    Outcome::Renewed => "renewed",
                    Outcome::NotDue => "not due",
                    Outcome::Failed => "failed",
                };
                let reason = state
                    .reason
                    .as_ref()
                    .map_or_else(String::new, |reason| format!(": {reason}"));
                format!("last run {}: {outcome}{reason}", date(at))
            }
            _ => "renew has never completed".to_owned(),
        });
        if let (Some(at), Some(signer)) = (state.last_success, &state.signer) {
            lines.push(format!("last renewed {} by {signer}", date(at)));
        }
        for failure in &state.failures {
            lines.push(format!("{}: {}", failure.signer, failure.reason));
        }
        let offset = state.clock_offset(self.found.leaf.as_ref());
        let warnings = warnings(self.config, self.cas.as_ref(), self.now);
        for warning in clock_warning(offset).into_iter().chain(warnings) {
            lines.push(format!("warning: {warning}"));
        }
        // The state file is this program's own, but what it holds came from signers.
        lines.iter().map(|line| one_line(line)).collect()
    }

    fn json(&self) -> Value {
        let time = |seconds: Option<i64>| seconds.map(rfc3339);
        let leaf = self.found.leaf.as_ref();
        let state = &self.state;
        json!({
            "name": self.config.name.as_str(),
            "certificate": {
                "path": self.config.certificate,
                "state": self.found.condition.as_str(),
                "reason": match &self.found.condition {
                    Condition::Unusable(reason) => Some(reason),
                    _ => None,
                },
                "not_before": time(leaf.map(super::leaf::Leaf::not_before)),
                "not_after": time(leaf.map(super::leaf::Leaf::not_after)),
                "due": time(leaf.map(due::due_at)),
                "residual_seconds": leaf.map(|leaf| leaf.not_after().saturating_sub(self.now)),
                "authority": leaf.map(super::leaf::Leaf::issuer),
                "sha256": leaf.map(|leaf| leaf.fingerprint().to_string()),
            },
            "key": {
                "path": self.config.key,
                "looked_at": !self.key_unread,
            },
            "ca": {
                "path": self.config.ca_certificate,
                "not_after": time(self.ca().map(CaCertificate::not_after)),
                "sha256": self.ca().map(|ca| Fingerprint::of(ca.der()).to_string()),
                "certificates": self.usable_cas().iter().map(|ca| json!({
                    "not_after": rfc3339(ca.not_after()),
                    "residual_seconds": ca.not_after().saturating_sub(self.now),
                    "sha256": Fingerprint::of(ca.der()).to_string(),
                })).collect::<Vec<_>>(),
            },
            "clock_offset_seconds": state.clock_offset(leaf),
            "warnings": warnings(self.config, self.cas.as_ref(), self.now),
            "last_run": {
                "time": time(state.last_run),
                "outcome": state.outcome.map(Outcome::as_str),
                "reason": state.reason,
            },
            "last_attempt": {
                "time": time(state.last_attempt),
                "failures": state.failures,
            },
            "last_success": {
                "time": time(state.last_success),
                "signer": state.signer,
            },
            "members": state.members,
        })
    }
}

fn unusable(reason: String) -> Assessment {
    Assessment {
        leaf: None,
        ca: None,
        condition: Condition::Unusable(reason),
    }
}

/// One line of heads and one of values, in columns as wide as they need.
fn columns(heads: &[&str], values: &[String]) -> String {
    let mut lines = [String::new(), String::new()];
    let last = heads.len().saturating_sub(1);
    for (index, (head, value)) in heads.iter().zip(values).enumerate() {
        let width = head.len().max(value.len()).saturating_add(3);
        let width = if index == last { 0 } else { width };
        let [first, second] = &mut lines;
        let _ = write!(first, "{head:width$}");
        let _ = write!(second, "{value:width$}");
    }
    lines.map(|line| line + "\n").concat()
}
