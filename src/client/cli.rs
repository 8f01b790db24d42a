//! The command line.

use clap::{Args, CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

/// What the process was started to do.
#[derive(Debug)]
pub enum Invocation {
    /// Renew the certificate if it is due.
    Renew {
        /// The settings.
        source: Source,
        /// Whether to renew one that is not due.
        force: bool,
        /// Where to write metrics, instead of where the settings say.
        metrics: Option<PathBuf>,
    },
    /// Show what is in place.
    Status {
        /// The settings.
        source: Source,
        /// Whether as JSON.
        json: bool,
        /// Where to write metrics, instead of where the settings say.
        metrics: Option<PathBuf>,
    },
}

/// Which settings file is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The default path; if there is no such file, the defaults hold.
    Default,
    /// A file that the command line names, and that must be there.
    File(PathBuf),
}

/// Keeps this master's etcd client certificate valid: asks the signers over ssh when it is due.
#[derive(Parser)]
#[command(name = "etcd-client-cert", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Renew the certificate if it is due; what is missing is made. For a timer
    Renew {
        #[command(flatten)]
        common: Common,
        /// Renew even if it is not due
        #[arg(long)]
        force: bool,
    },
    /// Show the certificate in place. Exits with 0 if valid, 1 if due, 2 if expired or unusable
    Status {
        #[command(flatten)]
        common: Common,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
struct Common {
    /// Settings to use instead of /etc/etcd-client-cert/config.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write metrics for Prometheus to this file, instead of where the settings say
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
}

impl Common {
    fn split(self) -> (Source, Option<PathBuf>) {
        let source = self.config.map_or(Source::Default, Source::File);
        (source, self.metrics)
    }
}

/// Takes the arguments, the program's own name first.
///
/// # Errors
/// clap's own, for a usage that it does not know, and for `--help` and `--version`.
pub fn parse(arguments: Vec<OsString>) -> Result<Invocation, clap::Error> {
    Ok(match Cli::try_parse_from(arguments)?.command {
        Command::Renew { common, force } => {
            let (source, metrics) = common.split();
            Invocation::Renew {
                source,
                force,
                metrics,
            }
        }
        Command::Status { common, json } => {
            let (source, metrics) = common.split();
            Invocation::Status {
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
    Cli::command()
}
