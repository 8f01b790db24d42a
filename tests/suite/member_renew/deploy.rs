//! What is shipped for the renewal of members: the units, the cron file, the alert rules.

use super::bed::{Bed, DUE, URGENT};
use crate::harness::shipped::{
    is_there, promtool_accepts_metrics, promtool_accepts_rules, run_within, with_cron,
};
use crate::harness::{Dir, is_root, left_out, run};
use regex::Regex;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy/etcd-signer")
        .join(name)
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
    for (unit, command) in UNITS
        .iter()
        .zip([bed.renew_command(&options), bed.fetch_command(0, &options)])
    {
        let service = shipped(&format!("{unit}.service"));
        let used = run_within(&service, &bed.ca.dir, &command);
        assert!(used.contains("connect") && used.contains("landlock_restrict_self"));
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
        promtool_accepts_metrics(text.as_bytes());
        written += &text;
    }
    promtool_accepts_rules(&shipped("alerts.yml"), "member_renew/alerts-test.yml");
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
    let lines = format!(
        "sed 's/^0 [01]*2*  *\\* \\* \\*/@reboot/; s/ 21600/ 1/; s/etcd-signer member/{escaped} member/' {file} >/etc/cron.d/{name}\n\
         chmod 644 /etc/cron.d/{name}\n\
         cron -f & for _ in $(seq 100); do [ \"$(cat {program}.ran 2>/dev/null | wc -l)\" != 2 ] || break; sleep 0.1; done\n\
         kill %1; sort {program}.ran\n",
        program = program.display(),
        escaped = program.display().to_string().replace('/', "\\/"),
        file = file.display(),
        name = file.file_name().unwrap().to_str().unwrap(),
    );
    assert_eq!(with_cron(&lines), b"member fetch\nmember renew\n");
}
