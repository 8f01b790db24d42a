//! What is shipped beside the executable: the units, the cron lines, the alert rules.

use super::Master;
use crate::harness::shipped::{
    is_there, promtool_accepts_metrics, promtool_accepts_rules, run_within, with_cron,
};
use crate::harness::{Ca, Login, Sshd, is_root, left_out, run};
use crate::used_by::forced_command;
use regex::Regex;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy/etcd-client-cert")
        .join(name)
}

#[test]
fn systemd_accepts_the_units_and_rates_the_service_ok() {
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

/// No systemd runs here, so what the unit allows is held against what a run needs: its calls,
/// ssh's among them, and its capabilities.
#[test]
fn run_stays_within_the_units_restrictions() {
    if !is_there("systemd-analyze") {
        left_out("what the unit allows: there is no systemd-analyze here");
        return;
    }
    if !is_root("a run with the unit's capabilities alone") {
        return;
    }
    let ca = Ca::new();
    let sshd = Sshd::start(Login::ForceCommand, &forced_command(&ca));
    let master = Master::new();
    let identity = sshd.dir.join("client");
    let hook = "hook = [\"/bin/true\"]";
    master.set(&[sshd.place()], &format!("identity = {identity:?}\n{hook}"));
    for round in 0..2 {
        let command = master.command(&["renew", "--force"]);
        let used = run_within(&shipped("etcd-client-cert.service"), &master.dir, &command);
        master.has_a_pair();
        assert!(
            used.contains("execve") && used.contains("connect"),
            "{used:?}"
        );
        // The second time, the certificate is somebody else's, and stays so.
        let path = master.dir.join("client.crt");
        let owner = std::fs::metadata(&path).unwrap().uid();
        assert_eq!(owner, if round == 0 { 0 } else { 12345 });
        std::os::unix::fs::chown(&path, Some(12345), Some(12345)).unwrap();
    }
}

#[test]
fn prometheus_accepts_metrics_and_rules() {
    if !is_there("promtool") {
        left_out("metrics and alert rules: there is no promtool here (Debian: prometheus)");
        return;
    }
    let ca = Ca::new();
    let master = Master::new();
    let path = master.dir.join("x.prom");
    master.set_without_ssh(&ca, &format!("metrics = {path:?}"));
    master.renews(&[]);
    promtool_accepts_metrics(master.read("x.prom").as_ref());
    promtool_accepts_rules(&shipped("alerts.yml"), "renewer/alerts-test.yml");
    // Each metric that the rules name is one that is written.
    let text = std::fs::read_to_string(shipped("alerts.yml")).unwrap();
    let written = String::from_utf8(master.read("x.prom")).unwrap();
    let names = Regex::new(r"etcd_client_cert_\w+").unwrap();
    for name in names.find_iter(&text) {
        let name = name.as_str();
        // This one is there only when a signer has failed.
        let written = written.contains(name) || name == "etcd_client_cert_signer_failed";
        assert!(written, "{name}");
    }
}

/// cron reads only files in /etc/cron.d whose names are letters, digits, underscores and hyphens
/// (cron(8)). This is cron itself, in namespaces of its own, with the file where the page puts it.
#[test]
fn cron_runs_the_file_as_the_page_installs_it() {
    if !is_root("cron, in a mount namespace of its own") {
        return;
    }
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/MASTERS.md"))
            .unwrap();
    let installed = Regex::new(r"etcd-client-cert\.cron`\s+to\s+`(/etc/cron\.d/[^`]+)`").unwrap();
    let installed = installed.captures(&page).unwrap()[1].to_owned();
    let master = Master::new();
    let program = master.script("etcd-client-cert", "#!/bin/sh\necho \"$@\" >>\"$0.ran\"\n");
    let lines = format!(
        "sed 's/\\% 60/\\% 1/; s/etcd-client-cert renew/{escaped} renew/' {file} >{installed}\n\
         chmod 644 {installed}\n\
         cron -f & for _ in $(seq 100); do [ ! -e {program}.ran ] || break; sleep 0.1; done\n\
         kill %1; cat {program}.ran\n",
        program = program.display(),
        escaped = program.display().to_string().replace('/', "\\/"),
        file = shipped("etcd-client-cert.cron").display(),
    );
    assert_eq!(with_cron(&lines), b"renew\n");
}

/// The fields of crontab(5), and the command as its shell would run it.
#[test]
fn cron_file_has_valid_lines() {
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
