//! The machine: what its kernel offers to confine a process, and whether its clock is right.

use super::Report;
use crate::system::child::{Ending, run};
use crate::system::paths::{SETUP_DONE, SETUP_JOURNAL, SETUP_LEAVING};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const TIME: Duration = Duration::from_secs(10);

pub(super) fn check(report: &mut Report) {
    confinement(report);
    clock(report);
    setup(report);
}

/// A run of `etcd-signer-setup` that was interrupted. The next one completes it or rolls it back.
fn setup(report: &mut Report) {
    const SUBJECT: &str = "setup";
    let is_empty = |path| fs::metadata(path).map_or(true, |metadata| metadata.len() == 0);
    if !is_empty(SETUP_LEAVING) {
        report.warn(
            SUBJECT,
            "this host was leaving its cluster, and that was interrupted: run \
             'etcd-signer-setup leave' to complete it",
        );
    } else if !is_empty(SETUP_JOURNAL) && !Path::new(SETUP_DONE).exists() {
        report.warn(
            SUBJECT,
            "a run of etcd-signer-setup was interrupted: run it again with the same options, which \
             completes it or rolls it back (see 'etcd-signer-setup status')",
        );
    }
}

/// Both lists are the kernel's own (proc(5), securityfs).
fn confinement(report: &mut Report) {
    const SUBJECT: &str = "confinement";
    let words = |path: &str, separator: char| {
        fs::read_to_string(path).map(|text| {
            text.trim()
                .split(separator)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
    };
    let seccomp = words("/proc/sys/kernel/seccomp/actions_avail", ' ')
        .is_ok_and(|actions| actions.iter().any(|action| action == "kill_process"));
    if !seccomp {
        report.fail(
            SUBJECT,
            "this kernel does not support seccomp filters: requests are refused unless \
             allow_without_seccomp is set",
        );
        return;
    }
    match words("/sys/kernel/security/lsm", ',') {
        Ok(modules) if modules.iter().any(|module| module == "landlock") => {
            report.ok(SUBJECT, "seccomp and Landlock");
        }
        Ok(_) => report.warn(
            SUBJECT,
            "seccomp only: Landlock is not enabled in this kernel (5.13 and later have it; boot with \
             lsm=landlock,...)",
        ),
        Err(_) => report.ok(
            SUBJECT,
            "seccomp; cannot determine whether Landlock is enabled (see the confinement field of \
             the audit records)",
        ),
    }
}

fn clock(report: &mut Report) {
    const SUBJECT: &str = "clock";
    let mut timedatectl = Command::new("/usr/bin/timedatectl");
    let asked = run(
        timedatectl.args(["show", "--property=NTPSynchronized", "--value"]),
        b"",
        Some(1024),
        TIME,
    );
    match asked {
        Ok(ended) if matches!(ended.ending, Ending::Exited(status) if status.success()) => {
            if ended.stdout.starts_with(b"yes") {
                report.ok(SUBJECT, "synchronized");
            } else {
                report.warn(
                    SUBJECT,
                    "not synchronized, and certificate validity depends on this clock: set up chrony \
                     or systemd-timesyncd",
                );
            }
        }
        _ => report.warn(
            SUBJECT,
            "cannot determine whether the clock is synchronized (timedatectl)",
        ),
    }
}
