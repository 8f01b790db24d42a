//! Many requests: at once, and through sshd.

use crate::bed::Bed;
use crate::harness::{Login, Sshd};
use crate::row::Row;
use crate::statistics::{median, milliseconds, percentile};
use crate::{C_WITH_GLIBC, SIGNING, SSH_ROUNDS, signer_path};
use std::fs;
use std::time::Instant;

pub fn throughput(bed: &Bed) {
    let rows = bed.rows();
    println!("\nThroughput, 1,000 processes each:");
    for row in rows
        .iter()
        .filter(|row| [SIGNING, C_WITH_GLIBC].contains(&row.name))
    {
        let timed = |starters: usize, count: usize| {
            let start = Instant::now();
            let mut running: Vec<_> = (0..starters)
                .map(|_| row.starter(count).spawn().unwrap())
                .collect();
            for starter in &mut running {
                assert!(starter.wait().unwrap().success());
            }
            start.elapsed().as_secs_f64()
        };
        // One at a time before and after, so that a drift cancels out.
        let before = timed(1, 250);
        let two = timed(2, 500);
        let after = timed(1, 250);
        let single = 500.0 / (before + after);
        let double = 1000.0 / two;
        println!(
            "{}: {single:.0} a second one at a time, {double:.0} two at a time: {:.2} times",
            row.name,
            double / single
        );
    }
}

/// In a process of its own, since two threads of one would wait for each other whenever they start
/// a process: runs a row's command so often, one after the other.
pub fn many(arguments: &[String]) {
    let [count, asked, input, command @ ..] = arguments else {
        panic!("--many COUNT ASKED INPUT COMMAND")
    };
    let row = Row::new("", command.to_vec(), asked, input.into());
    for _ in 0..count.parse::<usize>().unwrap() {
        assert!(row.process().status().unwrap().success());
    }
}

pub fn over_ssh(bed: &Bed) {
    let signer = format!(
        "{} serve --config {}",
        signer_path().display(),
        bed.p256.settings().display()
    );
    let nothing = bed.dir.join("nothing").display().to_string();
    let ours = Sshd::start(Login::ForceCommand, &signer);
    let empty = Sshd::start(Login::ForceCommand, &nothing);
    let input = fs::read(bed.dir.join("p256.b64")).unwrap();
    let timed = |sshd: &Sshd| {
        let start = Instant::now();
        assert!(sshd.ssh(Some("kubemaster-1"), &input).status.success());
        milliseconds(start.elapsed())
    };
    let (mut signed, mut idle, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=SSH_ROUNDS {
        // Who goes first changes, so that neither is always the one after a pause.
        let (a, b) = if round % 2 == 0 {
            let a = timed(&ours);
            (a, timed(&empty))
        } else {
            let b = timed(&empty);
            (timed(&ours), b)
        };
        if round > 0 {
            signed.push(a);
            idle.push(b);
            ratios.push(a / b);
        }
    }
    println!(
        "\nThrough sshd on loopback, {SSH_ROUNDS} logins each, in turn: the signer {:.1} ms, the program \
         that does nothing {:.1} ms, median ratio {:.3} (10th to 90th percentile {:.3} to {:.3})",
        median(&signed),
        median(&idle),
        median(&ratios),
        percentile(&ratios, 10),
        percentile(&ratios, 90),
    );
}
