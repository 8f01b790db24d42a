//! What a request costs, side by side with what it could cost at least, and with what it replaces.
//!
//! Everything is measured in one run, in turn, so that a machine whose speed drifts slows all of it
//! alike: the ratios are the figures to quote. Nothing is asserted.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    dead_code,
    unused_imports,
    unreachable_pub
)]

#[path = "../suite/harness/mod.rs"]
mod harness;

mod bed;
mod in_process;
mod load;
mod row;
mod statistics;
mod table;

use bed::{Bed, cpuid};
use in_process::{confine_once, confinement, raw_crypto};
use load::{many, over_ssh, throughput};
use row::{Row, read_anew};
use std::path::PathBuf;
use table::{beyond, measure, print_table};

/// How often each row is run.
const ROUNDS: usize = 200;
/// Logins over ssh are some hundred times as long.
const SSH_ROUNDS: usize = 100;

fn signer_path() -> PathBuf {
    std::env::var_os("ETCD_SIGNER")
        .expect("make bench names the release build in ETCD_SIGNER")
        .into()
}

/// The row that the others are measured against.
const REQUEST: usize = 1;
/// Rows that are looked for by name.
const NOTHING_AT_ALL: &str = "static program that does nothing";
const SIGNING: &str = "P-256 request, P-256 CA";
const C_WITH_GLIBC: &str = "C program that does nothing, glibc";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("--confine") => return confine_once(),
        Some("--many") => return many(&arguments[2..]),
        _ => {}
    }
    let bed = Bed::new();
    let rows = bed.rows();
    // Programs that start, do little and end.
    let small = rows.iter().position(Row::is_large).unwrap_or(rows.len());
    rows.iter().for_each(read_anew);
    println!("Whole processes, {ROUNDS} runs each, shuffled. Medians; times in ms.\n");
    let measured = measure(&rows);
    print_table(&bed, &rows, &measured);
    let crypto = raw_crypto();
    println!(
        "\nThe crypto of a P-256 request alone, in process (verify, sign, verify): {crypto:.3} ms"
    );
    let warm = measure(&rows[..small]);
    println!("P-256 request beyond that crypto and");
    for (index, row) in rows.iter().enumerate().take(small) {
        if [NOTHING_AT_ALL, C_WITH_GLIBC].contains(&row.name) {
            println!(
                "  the {}: {:.3} ms among all rows, {:.3} ms among the first {small}, which leave \
                 the caches as they are",
                row.name,
                beyond(&measured, index, crypto),
                beyond(&warm, index, crypto)
            );
        }
    }
    println!("Confinement, inside the process: {:.3} ms", confinement());
    println!("A CPUID instruction: {} ns", cpuid(&bed));
    throughput(&bed);
    over_ssh(&bed);
}
