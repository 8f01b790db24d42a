//! From the arguments to what they ask for.

use crate::backup::{self, BackupError};
use crate::ca_init::{self, InitError};
use crate::check::{self, Verdict};
use crate::cli::{self, Invocation};
use crate::error::{Error, Exit};
use crate::escape;
use crate::member;
use crate::output;
use crate::place::PlaceError;
use crate::program;
use crate::serve::{Environment, serve};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use time::OffsetDateTime;

/// The program's name, as its error lines begin.
const PROGRAM: &str = "etcd-signer";

/// Does what the arguments ask for. The environment is what these two values say, and no more.
#[must_use]
pub fn run(
    arguments: Vec<OsString>,
    original_command: Option<OsString>,
    connection: Option<OsString>,
) -> ExitCode {
    program::catch_defects(PROGRAM);
    let environment = Environment {
        original_command: original_command.as_deref().map(OsStrExt::as_bytes),
        connection: connection.as_deref().map(OsStrExt::as_bytes),
        clock: || OffsetDateTime::now_utc().unix_timestamp(),
    };
    let exit = match cli::parse(arguments) {
        Ok(Invocation::Serve(settings)) => serve(&environment, &settings),
        Ok(Invocation::MemberSign(options)) => member::sign(&environment, options),
        Ok(Invocation::Check(options)) => {
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
        Ok(Invocation::CaInit(options)) => init(&options),
        Ok(Invocation::CaBackup(options)) => told(
            backup::backup(&options, (environment.clock)()),
            &format!(
                "{}: the CA's key and certificate, encrypted. See that it can be read: etcd-signer \
                 ca restore {0} --directory /root/tried\n",
                escape::path(&options.file)
            ),
        ),
        Ok(Invocation::CaRestore(options)) => told(
            backup::restore(&options, (environment.clock)()),
            &format!(
                "{}: the CA's key and certificate. To sign with it: etcd-signer-endpoint open\n",
                escape::path(&options.directory)
            ),
        ),
        Err(error) => program::usage(PROGRAM, &error),
    };
    ExitCode::from(exit.code())
}

fn told(outcome: Result<(), BackupError>, success: &str) -> Exit {
    match outcome {
        Ok(()) => {
            // What was done is done, whether or not anybody reads this.
            let _ = output::answer(success.as_bytes());
            Exit::Ok
        }
        Err(error) => {
            output::error_line(&error.to_string());
            match error {
                BackupError::Config(error) => Error::Config(error).exit(),
                BackupError::Ca(error) => Error::Ca(error).exit(),
                BackupError::Sandbox(error) => Error::Sandbox(error).exit(),
                BackupError::Place(error) => place_exit(&error),
                BackupError::AnotherCa(_) | BackupError::NoAge(_) => Exit::Config,
                BackupError::Age(_) | BackupError::Unexpected(_) => Exit::Data,
            }
        }
    }
}

fn place_exit(error: &PlaceError) -> Exit {
    match error {
        PlaceError::Exists(_) => Exit::Config,
        PlaceError::System { .. } => Exit::Io,
    }
}

fn init(options: &ca_init::Options) -> Exit {
    match ca_init::init(options, OffsetDateTime::now_utc()) {
        Ok(made) => {
            let told = format!(
                "{}: the CA's private key. It is the only one: keep a copy in a safe place.\n\
                 {}: the CA's certificate.\n",
                escape::path(&made.key),
                escape::path(&made.certificate)
            );
            // The files are there, whether or not anybody reads this.
            let _ = output::answer(told.as_bytes());
            Exit::Ok
        }
        Err(error) => {
            output::error_line(&error.to_string());
            match error {
                InitError::CommonName => Exit::Config,
                InitError::Place(error) => place_exit(&error),
                InitError::Encoding(_) | InitError::Profile(_) => Exit::Software,
            }
        }
    }
}
