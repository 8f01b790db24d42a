//! What is shipped for the renewal of members: the units, the cron file, the alert rules.

use super::bed::{Bed, DUE, URGENT};
use crate::harness::{Dir, is_root, left_out, run};
use regex::Regex;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy/etcd-signer")
        .join(name)
}

fn is_there(tool: &str) -> bool {
    Command::new(tool).arg("--version").output().is_ok()
}

const UNITS: [&str; 2] = ["etcd-signer-member-renew", "etcd-signer-member-fetch"];

#[test]
fn systemd_accepts_the_units_and_rates_the_services_ok() {
    if !is_there("systemd-analyze") {
        left_out("the units: there is no systemd-analyze here");
        return;
    }
    let dir = Dir::new();
    for unit in UNITS {
        let service = shipped(&format!("{unit}.service"));
        let rating = run(
            Command::new("systemd-analyze")
                .args(["security", "--offline=true", "--no-pager", "--threshold=25"])
                .arg(&service),
            b"",
        );
        let said = String::from_utf8_lossy(&rating.stdout);
        assert!(rating.status.success(), "{said}");
        // The executable is not installed here: another stands for it.
        let text = fs::read_to_string(&service).unwrap();
        let text = text.replace("/usr/bin/etcd-signer", "/bin/true");
        dir.write(&format!("{unit}.service"), text);
        fs::copy(
            shipped(&format!("{unit}.timer")),
            dir.join(&format!("{unit}.timer")),
        )
        .unwrap();
        for file in [format!("{unit}.service"), format!("{unit}.timer")] {
            let output = run(
                Command::new("systemd-analyze")
                    .args(["verify", "--man=no", "--recursive-errors=no"])
                    .arg(dir.join(&file)),
                b"",
            );
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && said.is_empty(), "{file}: {said}");
        }
        let timer = fs::read_to_string(shipped(&format!("{unit}.timer"))).unwrap();
        for line in ["Persistent=true", "RandomizedDelaySec=6h"] {
            assert!(timer.lines().any(|found| found == line), "{timer}");
        }
        let calendar = timer
            .lines()
            .find_map(|line| line.strip_prefix("OnCalendar="));
        let next = run(
            Command::new("systemd-analyze").args(["calendar", "--iterations=2", calendar.unwrap()]),
            b"",
        );
        assert!(next.status.success(), "{next:?}");
    }
}

/// A set of system calls as systemd knows it, with the sets in it.
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

/// No systemd runs here, so what the units allow is held against what a run needs.
#[test]
fn runs_stay_within_the_units_restrictions() {
    if !is_there("systemd-analyze") {
        left_out("what the units allow: there is no systemd-analyze here");
        return;
    }
    if !is_root("a run with the units' capabilities alone") {
        return;
    }
    let bed = Bed::start(&[URGENT]);
    // As on a signer, where the CA key is the account's; and as an operator may have it.
    std::os::unix::fs::chown(bed.certificate(0), Some(12345), Some(12345)).unwrap();
    let metrics = bed.ca.dir.join("x.prom");
    let options = ["--metrics", metrics.to_str().unwrap()];
    let call = Regex::new(r"(?m)^\d+ +([a-z0-9_]+)\(").unwrap();
    for (unit, command) in UNITS
        .iter()
        .zip([bed.renew_command(&options), bed.fetch_command(0, &options)])
    {
        let text = fs::read_to_string(shipped(&format!("{unit}.service"))).unwrap();
        let values = |key: &str| -> Vec<String> {
            let values = text.lines().filter_map(|line| line.strip_prefix(key));
            values.map(str::to_owned).collect()
        };
        let allowed: BTreeSet<String> = values("SystemCallFilter=")
            .iter()
            .flat_map(|set| calls_of(set))
            .collect();
        assert!(allowed.len() > 100, "{allowed:?}");
        let capabilities: String = values("CapabilityBoundingSet=")
            .join(" ")
            .split(' ')
            .map(|name| format!(",+{}", name.strip_prefix("CAP_").unwrap().to_lowercase()))
            .collect();
        let output = run(
            Command::new("strace")
                .args(["-f", "-qq", "-o"])
                .arg(bed.ca.dir.join("trace"))
                .args(["setpriv", "--no-new-privs"])
                .arg(format!("--bounding-set=-all{capabilities}"))
                .arg(command.get_program())
                .args(command.get_args()),
            b"",
        );
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let trace = bed.ca.dir.read("trace");
        // Everything from our own execve on; what comes before is setpriv's.
        let own = trace.split("etcd-signer\", [").nth(1).unwrap();
        let used: BTreeSet<String> = call.captures_iter(own).map(|c| c[1].to_owned()).collect();
        assert!(used.contains("connect") && used.contains("landlock_restrict_self"));
        let beyond: Vec<&String> = used.difference(&allowed).collect();
        assert!(beyond.is_empty(), "not in the unit's filter: {beyond:?}");
    }
    assert!(bed.said(&bed.published(0), "-serial") == bed.served(0));
}

#[test]
fn prometheus_accepts_metrics_and_rules() {
    if !is_there("promtool") {
        left_out("metrics and alert rules: there is no promtool here (Debian: prometheus)");
        return;
    }
    let bed = Bed::start(&[DUE]);
    let mut written = String::new();
    for (name, mut command) in [
        ("renew.prom", bed.renew_command(&[])),
        ("fetch.prom", bed.fetch_command(0, &[])),
    ] {
        let file = bed.ca.dir.join(name);
        let output = run(command.arg("--metrics").arg(&file), b"");
        assert!(output.status.success(), "{output:?}");
        let text = bed.ca.dir.read(name);
        let checked = run(
            Command::new("promtool").args(["check", "metrics"]),
            text.as_bytes(),
        );
        assert!(
            checked.status.success() && checked.stderr.is_empty(),
            "{checked:?}"
        );
        written += &text;
    }
    let rules = run(
        Command::new("promtool")
            .args(["check", "rules"])
            .arg(shipped("alerts.yml")),
        b"",
    );
    assert!(rules.status.success(), "{rules:?}");
    let tests =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/member_renew/alerts-test.yml");
    let tested = run(
        Command::new("promtool").args(["test", "rules"]).arg(tests),
        b"",
    );
    assert!(tested.status.success(), "{tested:?}");
    // Each metric that the rules name is one that is written.
    let text = fs::read_to_string(shipped("alerts.yml")).unwrap();
    let names = Regex::new(r"etcd_signer_member_\w+").unwrap();
    for name in names.find_iter(&text) {
        assert!(written.contains(name.as_str()), "{}", name.as_str());
    }
}

/// cron reads only files in /etc/cron.d whose names are letters, digits, underscores and hyphens
/// (cron(8)). This is cron itself, in namespaces of its own, with the file under the name that it
/// has in the package.
#[test]
fn cron_runs_both_lines_of_the_file() {
    if !is_root("cron, in a mount namespace of its own") {
        return;
    }
    let dir = Dir::new();
    let program = dir.write("etcd-signer", "#!/bin/sh\necho \"$@\" >>\"$0.ran\"\n");
    fs::set_permissions(
        &program,
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let file = shipped("cron.d/etcd-signer-member");
    let script = format!(
        "set -e\n\
         mount -t tmpfs tmpfs /etc/cron.d; mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /var/spool\n\
         mkdir -p /var/spool/cron/crontabs\n\
         sed 's/^0 [01]*2*  *\\* \\* \\*/@reboot/; s/ 21600/ 1/; s/etcd-signer member/{escaped} member/' {file} >/etc/cron.d/{name}\n\
         chmod 644 /etc/cron.d/{name}\n\
         cron -f & for _ in $(seq 100); do [ \"$(cat {program}.ran 2>/dev/null | wc -l)\" != 2 ] || break; sleep 0.1; done\n\
         kill %1; sort {program}.ran\n",
        program = program.display(),
        escaped = program.display().to_string().replace('/', "\\/"),
        file = file.display(),
        name = file.file_name().unwrap().to_str().unwrap(),
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
    assert_eq!(output.stdout, b"member fetch\nmember renew\n", "{output:?}");
}
