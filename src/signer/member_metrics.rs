//! Metrics of `member renew` and `member fetch` for the node exporter's textfile collector
//! (Prometheus text format, version 0.0.4).

use crate::system::installed_file;
use crate::system::output;
use std::fmt::Write as _;
use std::path::Path;

/// A file of metrics while it grows.
#[derive(Default)]
pub(crate) struct Metrics(String);

impl Metrics {
    /// Adds one value, and its description if it is the first of its metric. `labels` are whole, or
    /// empty.
    pub(crate) fn gauge(&mut self, metric: &str, help: &str, labels: &str, value: i64) {
        let metric = format!("etcd_signer_member_{metric}");
        if !self.0.contains(&format!("# TYPE {metric} ")) {
            let _ = writeln!(self.0, "# HELP {metric} {help}\n# TYPE {metric} gauge");
        }
        let labels = match labels {
            "" => String::new(),
            labels => format!("{{{labels}}}"),
        };
        let _ = writeln!(self.0, "{metric}{labels} {value}");
    }

    /// Writes them. A file that cannot be written is said, and no more: certificates matter, not
    /// this.
    pub(crate) fn write(&self, path: &Path) {
        installed_file::remove_temporary_files_beside(path);
        if let Err(error) = installed_file::replace_regular(path, self.0.as_bytes(), 0o644) {
            output::error_line(&format!("metrics: {error}"));
        }
    }
}

/// A label's value. A member chooses its own name.
#[must_use]
pub(crate) fn label(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\'))
        .collect()
}
