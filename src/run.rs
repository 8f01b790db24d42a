//! From the arguments to what they ask for.

use crate::backup::{self, BackupError};
use crate::ca_init::{self, InitError};
use crate::check::{self, Verdict};
use crate::cli::{self, Invocation};
use crate::error::{Error, Exit};
use crate::member;
use crate::output;
use crate::place::PlaceError;
use crate::serve::{Environment, serve};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use time::OffsetDateTime;

/// Does what the arguments ask for. The environment is what these two values say, and no more.
#[must_use]
pub fn run(
    arguments: Vec<OsString>,
    original_command: Option<OsString>,
    connection: Option<OsString>,
) -> ExitCode {
    catch_defects();
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
                options.file.display()
            ),
        ),
        Ok(Invocation::CaRestore(options)) => told(
            backup::restore(&options, (environment.clock)()),
            &format!(
                "{}: the CA's key and certificate. To sign with it: etcd-signer-endpoint open\n",
                options.directory.display()
            ),
        ),
        Err(error) => usage(&error),
    };
    ExitCode::from(exit.code())
}

/// A panic is a defect: it is told in one line, whatever the environment asks for.
fn catch_defects() {
    std::panic::set_hook(Box::new(|info| {
        let at = info.location().map_or_else(String::new, |location| {
            format!(" at {}:{}", location.file(), location.line())
        });
        output::error_line(&format!("internal error: a defect{at}: report it"));
        std::process::exit(Exit::Software.code().into());
    }));
}

fn usage(error: &clap::Error) -> Exit {
    let text = error.render().to_string();
    if error.use_stderr() {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let first = lines.next().unwrap_or_default();
        let what = first
            .strip_prefix("error: ")
            .unwrap_or("no command was given");
        output::error_line(&format!("usage: {what} (see etcd-signer --help)"));
        return Exit::Usage;
    }
    match output::answer(text.as_bytes()) {
        Ok(()) => Exit::Ok,
        Err(_) => Exit::Io,
    }
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
                made.key.display(),
                made.certificate.display()
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
