//! The leader's program, `etcd-signer`: runs the command that the arguments name.

pub(crate) mod audit;
pub(crate) mod ca_backup;
pub(crate) mod ca_init;
pub(crate) mod check;
pub(crate) mod cli;
pub(crate) mod config;
pub(crate) mod error;
pub(crate) mod member_fetch;
mod member_metrics;
pub(crate) mod member_renew;
pub(crate) mod member_sign;
mod member_survey;
mod renewal;
pub(crate) mod serve;
pub(crate) mod session;
mod successor;

use crate::system::exit::Exit;
use crate::system::{escape, output, startup};
use ca_backup::CaBackupError;
use ca_init::CaInitOptions;
use check::Verdict;
use cli::SignerInvocation;
use session::Environment;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use time::OffsetDateTime;

/// The program's name, which begins each error line.
const PROGRAM: &str = "etcd-signer";

/// Runs the program. Nothing else of its environment is read.
#[must_use]
pub fn main(
    arguments: Vec<OsString>,
    original_command: Option<OsString>,
    connection: Option<OsString>,
) -> ExitCode {
    startup::report_panics(PROGRAM);
    let environment = Environment {
        original_command: original_command.as_deref().map(OsStrExt::as_bytes),
        connection: connection.as_deref().map(OsStrExt::as_bytes),
        clock: || OffsetDateTime::now_utc().unix_timestamp(),
    };
    let exit = match cli::parse(arguments) {
        Ok(SignerInvocation::Serve(settings)) => serve::serve(&environment, &settings),
        Ok(SignerInvocation::MemberSign(options)) => member_sign::sign(&environment, options),
        Ok(SignerInvocation::MemberRenew(options)) => {
            member_renew::renew(environment.clock, &options)
        }
        Ok(SignerInvocation::MemberFetch(options)) => {
            member_fetch::fetch(environment.clock, &options)
        }
        Ok(SignerInvocation::Check(options)) => {
            let report = check::check(&options, (environment.clock)());
            let text = if options.json {
                report.to_json()
            } else {
                report.to_text()
            };
            let _ = output::answer(text.as_bytes());
            return ExitCode::from(match report.verdict() {
                Verdict::Ok => 0,
                Verdict::Warn => 1,
                Verdict::Fail => 2,
            });
        }
        Ok(SignerInvocation::CaInit(options)) => init(&options),
        Ok(SignerInvocation::CaBackup(options)) => report_outcome(
            ca_backup::backup(&options, (environment.clock)()),
            &format!(
                "{}: the encrypted CA key and certificate. To test that they can be restored, run \
                 'etcd-signer ca restore {0} --directory /root/restore-test{}\n",
                escape::path(&options.file),
                if options.recipients.is_empty() {
                    "'"
                } else {
                    " --identity FILE' (FILE: the recipient's private key)"
                }
            ),
        ),
        Ok(SignerInvocation::CaRestore(options)) => report_outcome(
            ca_backup::restore(&options, (environment.clock)()),
            &format!(
                "{}: the CA key and certificate. To sign with them, run \
                 'etcd-signer-endpoint open --networks ...'\n",
                escape::path(&options.directory)
            ),
        ),
        Err(error) => startup::usage(PROGRAM, &error),
    };
    ExitCode::from(exit.code())
}

fn report_outcome(outcome: Result<(), CaBackupError>, success: &str) -> Exit {
    match outcome {
        Ok(()) => {
            // The command has succeeded, even if this cannot be written.
            let _ = output::answer(success.as_bytes());
            Exit::Ok
        }
        Err(error) => {
            output::error_line(&error.to_string());
            error.exit()
        }
    }
}

fn init(options: &CaInitOptions) -> Exit {
    match ca_init::init(options, OffsetDateTime::now_utc()) {
        Ok(created) => {
            let text = format!(
                "{}: the CA key. There is no other copy: make a backup with 'etcd-signer ca backup'.\n\
                 {}: the CA certificate.\n",
                escape::path(&created.key),
                escape::path(&created.certificate)
            );
            // The command has succeeded, even if this cannot be written.
            let _ = output::answer(text.as_bytes());
            Exit::Ok
        }
        Err(error) => {
            output::error_line(&error.to_string());
            error.exit()
        }
    }
}
