//! The masters' program, `etcd-client-cert`: keeps a valid client certificate in place.
//!
//! [`renew::renew`] shows all of it: the certificate in place is assessed (`due`), a request is made
//! with the master's own key (`key_file`, `csr`), the signers are asked in turn over the system's ssh
//! (`signers`, `ssh`), the answer is checked (`answer`), and replaces the old certificate atomically
//! (`installed_file`). The outcome is saved (`state`) and shown (`status`, `metrics`).
//!
//! It uses `pki` and `system`, and nothing there that touches a CA's private key.

pub(crate) mod answer;
pub(crate) mod authority;
pub(crate) mod cli;
pub(crate) mod config;
pub(crate) mod due;
pub(crate) mod error;
pub(crate) mod key_file;
pub(crate) mod leaf;
pub(crate) mod metrics;
pub(crate) mod renew;
pub(crate) mod report;
pub(crate) mod signers;
pub(crate) mod ssh;
pub(crate) mod state;
pub(crate) mod status;
pub(crate) mod target;
pub(crate) mod text;
pub(crate) mod warnings;

use crate::system::exit::Exit;
use crate::system::settings::SettingsSource;
use crate::system::{relro, startup};
use cli::RenewerInvocation;
use config::RenewerConfig;
use error::RenewalError;
use report::PROGRAM;
use std::ffi::OsString;
use std::process::ExitCode;
use time::OffsetDateTime;

/// Does what the arguments ask for.
#[must_use]
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    startup::report_panics(PROGRAM);
    // One defence among others: a kernel that refused it would be no reason to let a certificate expire.
    let _ = relro::protect();
    let code = match cli::parse(arguments) {
        Ok(RenewerInvocation::Renew {
            source,
            force,
            metrics,
        }) => match load(&source, metrics) {
            Ok(config) => renew::renew(&config, force, now).code(),
            Err(error) => fail(&error).code(),
        },
        Ok(RenewerInvocation::Status {
            source,
            json,
            metrics,
        }) => match load(&source, metrics) {
            Ok(config) => status::status(&config, json, now()),
            Err(error) => fail(&error).code(),
        },
        Err(error) => startup::usage(PROGRAM, &error).code(),
    };
    ExitCode::from(code)
}

/// The one clock: seconds since 1970.
fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

fn load(
    source: &SettingsSource,
    metrics: Option<std::path::PathBuf>,
) -> Result<RenewerConfig, RenewalError> {
    let host_name = rustix::system::uname().nodename().to_bytes().to_vec();
    let mut config = RenewerConfig::load(source, &host_name)?;
    config.metrics = metrics.or(config.metrics);
    Ok(config)
}

fn fail(error: &RenewalError) -> Exit {
    report::error(&error.to_string());
    error.exit()
}
