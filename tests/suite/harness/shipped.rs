//! What is shipped beside the executables: whether units allow what a run needs, and whether
//! promtool accepts metrics and rules.

use super::{Dir, run};
use regex::Regex;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

pub fn is_there(tool: &str) -> bool {
    Command::new(tool).arg("--version").output().is_ok()
}

/// A set of system calls as systemd knows it, with the sets in it; or a list of calls.
fn calls_of(set: &str) -> BTreeSet<String> {
    if !set.starts_with('@') {
        return set.split(' ').map(str::to_owned).collect();
    }
    let output = Command::new("systemd-analyze")
        .args(["syscall-filter", "--no-pager", set])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut calls = BTreeSet::new();
    for name in text.lines().skip(1).map(str::trim) {
        match name.chars().next() {
            Some('@') => calls.extend(calls_of(name)),
            None | Some('#') => {}
            Some(_) => drop(calls.insert(name.to_owned())),
        }
    }
    calls
}

/// Runs a command with the capabilities of a unit alone. It must succeed with the unit's system
/// calls; returns those that it used.
pub fn run_within(unit: &Path, dir: &Dir, command: &Command) -> BTreeSet<String> {
    let text = std::fs::read_to_string(unit).unwrap();
    let values = |key: &str| -> Vec<String> {
        let values = text.lines().filter_map(|line| line.strip_prefix(key));
        values.map(str::to_owned).collect()
    };
    let mut allowed = BTreeSet::new();
    for filter in values("SystemCallFilter=") {
        match filter.strip_prefix('~') {
            None => allowed.extend(calls_of(&filter)),
            Some(banned) => {
                for call in calls_of(banned) {
                    allowed.remove(&call);
                }
            }
        }
    }
    assert!(allowed.len() > 100, "{allowed:?}");
    let capabilities: String = values("CapabilityBoundingSet=")
        .join(" ")
        .split(' ')
        .map(|name| format!(",+{}", name.strip_prefix("CAP_").unwrap().to_lowercase()))
        .collect();
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-qq", "-o"])
        .arg(dir.join("trace"))
        .args(["setpriv", "--no-new-privs"])
        .arg(format!("--bounding-set=-all{capabilities}"))
        .arg(command.get_program())
        .args(command.get_args());
    let output = run(&mut strace, b"");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let trace = dir.read("trace");
    // Everything from our own execve on; what comes before is setpriv's.
    let program = Path::new(command.get_program()).file_name().unwrap();
    let began = format!("{}\", [", program.to_str().unwrap());
    let own = trace.split(&began).nth(1).unwrap();
    let call = Regex::new(r"(?m)^\d+ +([a-z0-9_]+)\(").unwrap();
    let used: BTreeSet<String> = call.captures_iter(own).map(|c| c[1].to_owned()).collect();
    let beyond: Vec<&String> = used.difference(&allowed).collect();
    assert!(beyond.is_empty(), "not in the unit's filter: {beyond:?}");
    used
}

/// promtool accepts these metrics without a word.
pub fn promtool_accepts_metrics(text: &[u8]) {
    let checked = run(Command::new("promtool").args(["check", "metrics"]), text);
    assert!(
        checked.status.success() && checked.stderr.is_empty(),
        "{checked:?}"
    );
}

/// promtool accepts the rules, and their unit tests, a file below `tests/suite`, pass.
pub fn promtool_accepts_rules(rules: &Path, tests: &str) {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/suite")
        .join(tests);
    for (action, file) in [("check", rules), ("test", &tests)] {
        let output = run(
            Command::new("promtool").args([action, "rules"]).arg(file),
            b"",
        );
        assert!(output.status.success(), "{output:?}");
    }
}

/// Runs lines of shell that start cron, in namespaces of their own with empty folders for cron, and
/// returns what they print.
pub fn with_cron(lines: &str) -> Vec<u8> {
    let script = format!(
        "set -e\n\
         mount -t tmpfs tmpfs /etc/cron.d; mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /var/spool\n\
         mkdir -p /var/spool/cron/crontabs\n\
         {lines}"
    );
    let output = run(
        Command::new("unshare")
            .args([
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
                "bash",
                "-c",
            ])
            .arg(script),
        b"",
    );
    assert!(output.status.success(), "{output:?}");
    output.stdout
}
