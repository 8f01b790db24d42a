//! What `member renew` decides about each member, and what it says of it.

use crate::etcd::published::{Access, key_of};
use crate::pki::ca::certificate::CaCertificate;
use crate::pki::member_renewal::RenewableMember;
use crate::signer::error::RequestError;
use crate::signer::member_metrics::{Metrics, label};
use crate::signer::member_survey::{NotSurveyed, Surveyed};
use crate::signer::successor;
use crate::system::exit::Exit;
use crate::system::output;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What became of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Renewal {
    /// More than a third of its certificate's time is left.
    NotDue,
    /// A renewed certificate is in etcd, and the member has not fetched it yet.
    Waiting,
    /// One was put into etcd now.
    Renewed,
    /// One would be, without `--dry-run`.
    WouldRenew,
    /// Another member is renewed first.
    Later,
    /// A new one would not end later, because the CA certificate ends.
    CaEndsFirst,
    /// It was not connected to.
    Unreachable,
    /// What it serves is not a certificate to renew.
    Refused,
}

impl Renewal {
    pub(crate) const ALL: [Self; 8] = [
        Self::NotDue,
        Self::Waiting,
        Self::Renewed,
        Self::WouldRenew,
        Self::Later,
        Self::CaEndsFirst,
        Self::Unreachable,
        Self::Refused,
    ];

    /// As in JSON, and in metrics.
    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NotDue => "not_due",
            Self::Waiting => "waiting",
            Self::Renewed => "renewed",
            Self::WouldRenew => "would_renew",
            Self::Later => "later",
            Self::CaEndsFirst => "ca_ends_first",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::NotDue => "not due",
            Self::Waiting => {
                "renewed before, and not fetched yet: is etcd-signer-member-fetch.timer on there?"
            }
            Self::Renewed => "renewed; the member fetches it",
            Self::WouldRenew => "would be renewed",
            Self::Later => "due, and renewed in a later run: one member at a time",
            Self::CaEndsFirst => "due, but the CA certificate ends first: make a new CA",
            Self::Unreachable | Self::Refused => "not renewed",
        }
    }
}

/// One member in the answer.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    url: Option<String>,
    /// Of the certificate that it serves: RFC 3339.
    not_after: Option<String>,
    #[serde(skip)]
    pub(crate) end: Option<i64>,
    pub(crate) renewal: Renewal,
    reason: Option<String>,
    #[serde(skip)]
    pub(crate) member: Option<RenewableMember>,
}

#[derive(Serialize)]
struct Answer<'a> {
    members: &'a [Row],
}

/// Who is renewed now. Where several are due, it is the one whose certificate ends first, so that
/// they do not end on one day again, and one renewal that goes wrong does so on one member; whoever
/// has half of the time for it behind does not wait.
pub(crate) fn decide(
    rows: &mut [Row],
    access: &Access<'_>,
    ca: &CaCertificate,
    all: bool,
    now: i64,
) -> Result<(), RequestError> {
    let due: Vec<String> = rows
        .iter()
        .filter_map(|row| row.member.as_ref())
        .filter(|member| member.is_due(now))
        .map(|member| key_of(member.public_key()))
        .collect();
    if due.is_empty() {
        return Ok(());
    }
    let mut published = access.read(&due)?.into_iter();
    let mut seen = Vec::new();
    for row in rows.iter_mut() {
        let Some(member) = row.member.as_ref().filter(|member| member.is_due(now)) else {
            continue;
        };
        let found = published.next();
        // Whatever else is there is overwritten.
        let waiting = found.and_then(|found| successor::check(&found, member, ca, now).ok());
        let end = now
            .saturating_add(i64::try_from(member.lifetime().as_secs()).unwrap_or(0))
            .min(ca.not_after());
        row.renewal = if waiting.flatten().is_some() {
            Renewal::Waiting
        } else if end <= member.not_after() {
            Renewal::CaEndsFirst
        } else if seen.contains(member.public_key()) {
            // Members that share one certificate: one new certificate is enough for all.
            Renewal::Waiting
        } else {
            seen.push(member.public_key().clone());
            Renewal::WouldRenew
        };
    }
    if all {
        return Ok(());
    }
    let candidates = rows.iter().filter(|row| row.renewal == Renewal::WouldRenew);
    let first = candidates.filter_map(|row| row.end).min();
    let mut chosen = false;
    for row in rows.iter_mut() {
        if row.renewal != Renewal::WouldRenew {
            continue;
        }
        let is_first = !chosen && row.end == first;
        chosen |= is_first;
        let is_urgent = row
            .member
            .as_ref()
            .is_some_and(|member| member.is_urgent(now));
        if !is_first && !is_urgent {
            row.renewal = Renewal::Later;
        }
    }
    Ok(())
}

impl Row {
    pub(crate) fn new(surveyed: Surveyed) -> Self {
        let (member, renewal, reason) = match surveyed.found {
            Ok(member) => (Some(member), Renewal::NotDue, None),
            Err(reason @ NotSurveyed::Unreachable(_)) => {
                (None, Renewal::Unreachable, Some(reason.to_string()))
            }
            Err(reason @ NotSurveyed::Refused { .. }) => {
                (None, Renewal::Refused, Some(reason.to_string()))
            }
        };
        let end = member.as_ref().map(RenewableMember::not_after);
        Self {
            name: surveyed.name,
            url: surveyed.url,
            not_after: end.and_then(date),
            end,
            renewal,
            reason,
            member,
        }
    }

    fn line(&self) -> String {
        let text = self.renewal.text();
        match (&self.not_after, &self.reason) {
            (Some(end), _) => format!("{}: until {end}: {text}\n", self.name),
            (None, Some(reason)) => format!("{}: {text}: {reason}\n", self.name),
            (None, None) => format!("{}: {text}\n", self.name),
        }
    }
}

fn date(seconds: i64) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    time.format(&Rfc3339).ok()
}

/// Prints the members; those that were not looked at are an error, too.
pub(crate) fn report(rows: &[Row], json: bool) -> Exit {
    let text = if json {
        serde_json::to_string_pretty(&Answer { members: rows })
            .map_or_else(|_| String::new(), |json| json + "\n")
    } else {
        rows.iter().map(Row::line).collect()
    };
    // What was done is done, even if this cannot be written.
    let _ = output::answer(text.as_bytes());
    let missing = |renewal| {
        let rows = rows.iter().filter(move |row| row.renewal == renewal);
        rows.filter_map(|row| Some(format!("{}: {}", row.name, row.reason.as_ref()?)))
    };
    let refused: Vec<String> = missing(Renewal::Refused).collect();
    let unreachable: Vec<String> = missing(Renewal::Unreachable).collect();
    if !refused.is_empty() {
        output::error_line(&format!(
            "member renew: a person has to renew these (RUNBOOK, Renew a member's certificate): {}",
            refused.join("; ")
        ));
        return Exit::Data;
    }
    if !unreachable.is_empty() {
        output::error_line(&format!(
            "member renew: these members were not reached, and are tried again in the next run: {}",
            unreachable.join("; ")
        ));
        return Exit::Unavailable;
    }
    Exit::Ok
}

/// The metrics of a run. Without rows, it has failed.
pub(crate) fn metrics(rows: Option<&[Row]>, now: i64) -> Metrics {
    let mut text = Metrics::default();
    text.gauge(
        "renew_last_run_timestamp_seconds",
        "When member renew last ran.",
        "",
        now,
    );
    text.gauge(
        "renew_success",
        "Whether the last run of member renew got through, whatever it found.",
        "",
        rows.is_some().into(),
    );
    for row in rows.unwrap_or_default() {
        if let Some(end) = row.end {
            text.gauge(
                "served_not_after_timestamp_seconds",
                "The end of the certificate that a member serves.",
                &format!("member=\"{}\"", label(&row.name)),
                end,
            );
        }
    }
    for row in rows.unwrap_or_default() {
        for renewal in Renewal::ALL {
            text.gauge(
                "renewal",
                "What became of a member in the last run: 1 for the one that it was.",
                &format!(
                    "member=\"{}\",state=\"{}\"",
                    label(&row.name),
                    renewal.as_str()
                ),
                (row.renewal == renewal).into(),
            );
        }
    }
    text
}
