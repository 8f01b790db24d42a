//! `etcd-client-cert`: keeps a valid client certificate in place on a master.
//!
//! [`renew::renew`] is the whole of it: what is in place is judged (`due`), a request is made
//! with the master's own key (`private_key`, `csr`), the signers are asked in turn over the
//! system's ssh (`signers`, `ssh`), the answer is taken only if it is what it must be
//! (`answer`), and replaces the old one at once or not at all (`store`). What came of it is
//! remembered (`state`) and shown (`status`, `metrics`).
//!
//! It shares names, public keys and error habits with the signer, and nothing that touches a
//! CA key.

pub mod answer;
pub mod authority;
pub mod cli;
pub mod config;
pub mod csr;
pub mod due;
pub mod error;
pub mod leaf;
pub mod metrics;
pub mod private_key;
pub mod renew;
pub mod signers;
pub mod ssh;
pub mod state;
pub mod status;
pub mod store;
pub mod target;
pub mod text;

use crate::output;
use crate::program;
use crate::relro;
use cli::{Invocation, Source};
use config::Config;
use error::{Error, Exit};
use std::ffi::OsString;
use std::process::ExitCode;
use time::OffsetDateTime;

/// The program's name, as its error lines begin.
const PROGRAM: &str = "etcd-client-cert";

/// Does what the arguments ask for.
#[must_use]
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    program::catch_defects(PROGRAM);
    // One defence among others: a kernel that refused it would be no reason to let a certificate expire.
    let _ = relro::protect();
    let code = match cli::parse(arguments) {
        Ok(Invocation::Renew {
            source,
            force,
            metrics,
        }) => match load(&source, metrics) {
            Ok(config) => renew::renew(&config, force, now).code(),
            Err(error) => fail(&error).code(),
        },
        Ok(Invocation::Status {
            source,
            json,
            metrics,
        }) => match load(&source, metrics) {
            Ok(config) => status::status(&config, json, now()),
            Err(error) => fail(&error).code(),
        },
        Err(error) => program::usage(PROGRAM, &error).code(),
    };
    ExitCode::from(code)
}

/// The one clock: seconds since 1970.
fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

fn load(source: &Source, metrics: Option<std::path::PathBuf>) -> Result<Config, Error> {
    let host_name = rustix::system::uname().nodename().to_bytes().to_vec();
    let mut config = Config::load(source, &host_name)?;
    config.metrics = metrics.or(config.metrics);
    Ok(config)
}

fn fail(error: &Error) -> Exit {
    say(&error.to_string());
    error.exit()
}

/// One line on standard error.
fn say(line: &str) {
    output::error_line_of(PROGRAM, line);
}
