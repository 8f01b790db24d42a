//! Whole processes, shuffled, and the table of what they cost.

use crate::bed::Bed;
use crate::row::Row;
use crate::statistics::{median, milliseconds, percentile};
use crate::{REQUEST, ROUNDS};
use nix::sys::resource::{UsageWho, getrusage};
use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

#[derive(Default)]
pub struct Measured {
    pub wall: Vec<f64>,
    pub cpu: Vec<f64>,
    pub faults: Vec<f64>,
}

pub fn measure(rows: &[Row]) -> Vec<Measured> {
    let mut measured: Vec<Measured> = rows.iter().map(|_| Measured::default()).collect();
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let mut state = 1_u32;
    for round in 0..=ROUNDS {
        // In another order each time, or the row that follows the largest program would always
        // be the one that finds the caches cold.
        for last in (1..order.len()).rev() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            order.swap(last, (state >> 16) as usize % (last + 1));
        }
        for &index in &order {
            let (row, measured) = (&rows[index], &mut measured[index]);
            let mut process = row.process();
            let before = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
            let start = Instant::now();
            process.status().unwrap();
            let wall = start.elapsed();
            let after = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
            // The first round warms caches.
            if round > 0 {
                let cpu = |usage: &nix::sys::resource::Usage| {
                    let (user, system) = (usage.user_time(), usage.system_time());
                    (user.tv_sec() + system.tv_sec()) as f64 * 1e3
                        + (user.tv_usec() + system.tv_usec()) as f64 / 1e3
                };
                measured.wall.push(milliseconds(wall));
                measured.cpu.push(cpu(&after) - cpu(&before));
                let faults = after.minor_page_faults() - before.minor_page_faults();
                measured.faults.push(faults as f64);
            }
        }
    }
    measured
}

pub fn print_table(bed: &Bed, rows: &[Row], measured: &[Measured]) {
    println!(
        "| row | wall | 10th to 90th percentile | CPU | CPU, times the P-256 request | page faults | peak KiB | system calls | executable KiB |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let own = median(&measured[REQUEST].cpu);
    for (row, measured) in rows.iter().zip(measured) {
        let cpu = median(&measured.cpu);
        println!(
            "| {} | {:.2} | {:.2} to {:.2} | {:.2} | {:.2} | {:.0} | {} | {} | {} |",
            row.name,
            median(&measured.wall),
            percentile(&measured.wall, 10),
            percentile(&measured.wall, 90),
            cpu,
            cpu / own,
            median(&measured.faults),
            peak(bed, row),
            system_calls(row),
            fs::metadata(&row.command[0]).unwrap().len() / 1024,
        );
    }
}

/// How much longer a P-256 request takes than a program that does nothing and the cryptography.
pub fn beyond(measured: &[Measured], nothing: usize, crypto: f64) -> f64 {
    median(&measured[REQUEST].wall) - median(&measured[nothing].wall) - crypto
}

/// The largest resident size, in KiB, of the command, or of the largest process that it starts.
pub fn peak(bed: &Bed, row: &Row) -> String {
    let launcher = bed.dir.join("peak").display().to_string();
    let mut command = row.behind(&[launcher]);
    let output = command.stderr(Stdio::piped()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("peak "));
    line.unwrap_or("?").to_owned()
}

pub fn system_calls(row: &Row) -> String {
    let strace: Vec<String> = ["/usr/bin/strace", "-f", "-c"].map(str::to_owned).to_vec();
    let mut command = row.behind(&strace);
    let Ok(output) = command.stderr(Stdio::piped()).output() else {
        return "no strace".to_owned();
    };
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let total = text.lines().find(|line| line.trim_end().ends_with("total"));
    let calls = total.and_then(|line| line.split_whitespace().nth(3));
    calls.unwrap_or("?").to_owned()
}
