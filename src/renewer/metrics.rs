//! Metrics for the node exporter's textfile collector (Prometheus text format, version 0.0.4).

use super::config::RenewerConfig;
use super::due::{self, Assessment, Condition};
use super::report;
use super::state::{Outcome, State};
use crate::system::installed_file;
use std::fmt::Write as _;

/// Writes the metrics, if the settings or the command line name a file. A file that cannot be
/// written is said, and no more: the certificate matters, not this.
pub(crate) fn write_if_wanted(
    config: &RenewerConfig,
    found: Option<&Assessment>,
    state: &State,
    now: i64,
) {
    let Some(path) = &config.metrics else { return };
    installed_file::remove_temporary_files(path);
    let text = text(config, found, state, now);
    if let Err(error) = installed_file::replace(path, text.as_bytes(), 0o644) {
        report::error(&format!("metrics: {error}"));
    }
}

fn text(config: &RenewerConfig, found: Option<&Assessment>, state: &State, now: i64) -> String {
    let mut text = String::new();
    let name = config.name.as_str();
    let mut gauge = |metric: &str, help: &str, labels: &str, value: Option<i64>| {
        let Some(value) = value else { return };
        let metric = format!("etcd_client_cert_{metric}");
        if !text.contains(&format!("# TYPE {metric} ")) {
            let _ = writeln!(text, "# HELP {metric} {help}\n# TYPE {metric} gauge");
        }
        let _ = writeln!(text, "{metric}{{name=\"{name}\"{labels}}} {value}");
    };
    let leaf = found.and_then(|found| found.leaf.as_ref());
    let usable =
        found.is_some_and(|found| matches!(found.condition, Condition::Valid | Condition::Due));
    gauge(
        "usable",
        "Whether the installed certificate belongs to this master and is within its validity period.",
        "",
        Some(usable.into()),
    );
    gauge(
        "not_after_timestamp_seconds",
        "When the certificate expires.",
        "",
        leaf.map(super::leaf::Leaf::not_after),
    );
    gauge(
        "due_timestamp_seconds",
        "When the certificate becomes due for renewal.",
        "",
        leaf.map(due::due_at),
    );
    gauge(
        "last_run_timestamp_seconds",
        "When renew last ran.",
        "",
        state.last_run,
    );
    gauge(
        "last_attempt_timestamp_seconds",
        "When a signer was last asked.",
        "",
        state.last_attempt,
    );
    gauge(
        "last_success_timestamp_seconds",
        "When a certificate was last installed.",
        "",
        state.last_success,
    );
    gauge(
        "clock_offset_seconds",
        "How far this host's clock was behind the signer's when the certificate was issued.",
        "",
        leaf.map(|leaf| state.clock_offset(Some(leaf))),
    );
    for outcome in Outcome::ALL {
        gauge(
            "last_outcome",
            "Outcome of the last run: 1 for the current outcome, 0 for the others.",
            &format!(",outcome=\"{}\"", outcome.as_str()),
            state.outcome.map(|last| (last == outcome).into()),
        );
    }
    if let Some(signer) = &state.signer {
        gauge(
            "signer_info",
            "The signer that issued the certificate.",
            &format!(",signer=\"{}\"", label(signer)),
            Some(1),
        );
    }
    for failure in &state.failures {
        gauge(
            "signer_failed",
            "A signer that did not issue a certificate in the last attempt.",
            &format!(",signer=\"{}\"", label(&failure.signer)),
            Some(1),
        );
    }
    gauge(
        "metrics_written_timestamp_seconds",
        "When this file was written.",
        "",
        Some(now),
    );
    text
}

/// What the state file says is not taken on trust.
fn label(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\'))
        .collect()
}
