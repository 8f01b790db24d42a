//! The command line.

use crate::system::settings::SettingsSource;
use clap::{Args, CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

/// What the process was started to do.
#[derive(Debug)]
pub(crate) enum RenewerInvocation {
    /// Renew the certificate if it is due.
    Renew {
        /// The settings.
        source: SettingsSource,
        /// Whether to renew one that is not due.
        force: bool,
        /// Where to write metrics, instead of where the settings say.
        metrics: Option<PathBuf>,
    },
    /// Show what is in place.
    Status {
        /// The settings.
        source: SettingsSource,
        /// Whether as JSON.
        json: bool,
        /// Where to write metrics, instead of where the settings say.
        metrics: Option<PathBuf>,
    },
}

/// Keeps this master's etcd client certificate valid: requests a new one over ssh when it is due.
#[derive(Parser)]
#[command(name = "etcd-client-cert", version)]
struct RenewerCli {
    #[command(subcommand)]
    command: RenewerCommand,
}

#[derive(Subcommand)]
enum RenewerCommand {
    /// Renew the certificate if it is due; create a missing key or CA certificate. Meant to run from
    /// a timer
    Renew {
        #[command(flatten)]
        common: Common,
        /// Renew even if it is not due
        #[arg(long)]
        force: bool,
    },
    /// Show the installed certificate. Exits with 0 if valid, 1 if due, 2 if expired or unusable
    Status {
        #[command(flatten)]
        common: Common,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
struct Common {
    /// Settings file to use instead of /etc/etcd-client-cert/config.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write metrics for Prometheus to this file, instead of where the settings say
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
}

impl Common {
    fn split(self) -> (SettingsSource, Option<PathBuf>) {
        let source = self.config.into();
        (source, self.metrics)
    }
}

/// Takes the arguments, the program's own name first.
///
/// # Errors
/// clap's own, for a usage that it does not know, and for `--help` and `--version`.
pub(crate) fn parse(arguments: Vec<OsString>) -> Result<RenewerInvocation, clap::Error> {
    Ok(match RenewerCli::try_parse_from(arguments)?.command {
        RenewerCommand::Renew { common, force } => {
            let (source, metrics) = common.split();
            RenewerInvocation::Renew {
                source,
                force,
                metrics,
            }
        }
        RenewerCommand::Status { common, json } => {
            let (source, metrics) = common.split();
            RenewerInvocation::Status {
                source,
                json,
                metrics,
            }
        }
    })
}

/// All commands and options: what man pages and shell completions are made of.
#[must_use]
pub fn command() -> clap::Command {
    RenewerCli::command()
}
