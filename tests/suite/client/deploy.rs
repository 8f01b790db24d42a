//! What is shipped beside the executable: the units, the cron lines, the alert rules.

use super::Master;
use crate::harness::{Ca, left_out, run};
use std::path::{Path, PathBuf};
use std::process::Command;

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy/etcd-client-cert")
        .join(name)
}

fn is_there(tool: &str) -> bool {
    Command::new(tool).arg("--version").output().is_ok()
}

#[test]
fn systemd_takes_the_units_and_rates_the_service_ok() {
    if !is_there("systemd-analyze") {
        left_out("the units: there is no systemd-analyze here");
        return;
    }
    let service = shipped("etcd-client-cert.service");
    let rating = run(
        Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager", "--threshold=25"])
            .arg(&service),
        b"",
    );
    let said = String::from_utf8_lossy(&rating.stdout);
    assert!(rating.status.success(), "{said}");
    let last = said.lines().last().unwrap();
    assert!(last.contains(" OK "), "{last}");

    // The executable is not installed here: another stands for it.
    let master = Master::new();
    let text = std::fs::read_to_string(&service).unwrap();
    assert!(text.contains("ExecStart=/usr/bin/etcd-client-cert renew\n"));
    let text = text.replace("/usr/bin/etcd-client-cert", "/bin/true");
    master.dir.write("etcd-client-cert.service", text);
    std::fs::copy(
        shipped("etcd-client-cert.timer"),
        master.dir.join("etcd-client-cert.timer"),
    )
    .unwrap();
    for unit in ["etcd-client-cert.service", "etcd-client-cert.timer"] {
        let output = run(
            Command::new("systemd-analyze")
                .args(["verify", "--man=no", "--recursive-errors=no"])
                .arg(master.dir.join(unit)),
            b"",
        );
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{unit}: {said}");
    }
    let calendar = run(
        Command::new("systemd-analyze").args(["calendar", "--iterations=2", "*:0/15"]),
        b"",
    );
    assert!(calendar.status.success());
}

#[test]
fn prometheus_takes_metrics_and_rules() {
    if !is_there("promtool") {
        left_out("metrics and alert rules: there is no promtool here (Debian: prometheus)");
        return;
    }
    let ca = Ca::new();
    let master = Master::new();
    let path = master.dir.join("x.prom");
    master.set_without_ssh(&ca, &format!("metrics = {path:?}"));
    master.renews(&[]);
    let checked = run(
        Command::new("promtool").args(["check", "metrics"]),
        &master.read("x.prom"),
    );
    assert!(
        checked.status.success() && checked.stderr.is_empty(),
        "{checked:?}"
    );
    let rules = run(
        Command::new("promtool")
            .args(["check", "rules"])
            .arg(shipped("alerts.yml")),
        b"",
    );
    assert!(rules.status.success(), "{rules:?}");
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/client/alerts-test.yml");
    let tested = run(
        Command::new("promtool").args(["test", "rules"]).arg(tests),
        b"",
    );
    assert!(tested.status.success(), "{tested:?}");
    // Each metric that the rules name is one that is written.
    let text = std::fs::read_to_string(shipped("alerts.yml")).unwrap();
    let written = String::from_utf8(master.read("x.prom")).unwrap();
    let names = regex::Regex::new(r"etcd_client_cert_\w+").unwrap();
    for name in names.find_iter(&text) {
        let name = name.as_str();
        // This one is there only when a signer was no help.
        let written = written.contains(name) || name == "etcd_client_cert_signer_failed";
        assert!(written, "{name}");
    }
}

/// The fields of crontab(5), and the command as its shell would run it.
#[test]
fn the_cron_lines_are_ones() {
    let text = std::fs::read_to_string(shipped("etcd-client-cert.cron")).unwrap();
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("renew") && !line.starts_with('#'))
        .collect();
    assert_eq!(lines.len(), 2, "{text}");
    for line in lines {
        let command = line.split_once(" root ").unwrap().1;
        // cron takes a bare % for the end of the command.
        assert!(!command.replace("\\%", "").contains('%'), "{command}");
        let command = command.replace("\\%", "%");
        let master = Master::new();
        let bin = master.script("etcd-client-cert", "#!/bin/sh\necho \"$@\" >\"$0.ran\"\n");
        let line = format!(
            "sleep() {{ :; }}; PATH={}:$PATH; {command}",
            bin.parent().unwrap().display()
        );
        let output = run(Command::new("bash").args(["-c", &line]), b"");
        assert!(output.status.success(), "{output:?}");
        assert_eq!(master.dir.read("etcd-client-cert.ran"), "renew\n");
    }
}
