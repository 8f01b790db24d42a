//! Other programs of this host: each gets an environment of its own, a bound on its time, and the
//! words of one that fails are kept.

use crate::system::child::{self, Ending};
use crate::system::escape::one_line;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The largest output, in bytes.
const OUTPUT_LIMIT: usize = 1024 * 1024;

/// How long a program may take unless it is given more.
const TIME: Duration = Duration::from_secs(60);

/// How many of the last lines of standard error are shown.
const SHOWN: usize = 3;

/// A program, its arguments and its input.
pub(super) struct Call {
    program: String,
    command: Command,
    input: Vec<u8>,
    time: Duration,
}

/// Why a program is of no help.
#[derive(Debug, thiserror::Error)]
pub(super) enum ToolError {
    #[error("{program} cannot be started: {source}")]
    NotStarted { program: String, source: io::Error },
    #[error("{program} took longer than {seconds} s, or wrote without end")]
    TooLong { program: String, seconds: u64 },
    #[error("{}", words(program, stderr, stdout))]
    Failed {
        program: String,
        /// Its exit code, unless a signal has ended it.
        code: Option<i32>,
        stderr: String,
        stdout: String,
    },
}

impl ToolError {
    /// Standard error of a program that has failed.
    pub(super) fn stderr(&self) -> &str {
        match self {
            Self::Failed { stderr, .. } => stderr,
            _ => "",
        }
    }
}

/// The last lines of what it said.
fn words(program: &str, stderr: &str, stdout: &str) -> String {
    let of = |text: &str| {
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty())
            .collect();
        let from = lines.len().saturating_sub(SHOWN);
        let last: Vec<String> = lines.iter().skip(from).map(|line| one_line(line)).collect();
        last.join("; ")
    };
    let said = if stderr.trim().is_empty() {
        of(stdout)
    } else {
        of(stderr)
    };
    if said.is_empty() {
        format!("{program} failed, and gave no reason")
    } else if said.starts_with(&format!("{program}: ")) {
        said
    } else {
        format!("{program}: {said}")
    }
}

impl Call {
    pub(super) fn new(program: &str) -> Self {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C")
            .env("HOME", "/root");
        Self {
            program: program.to_owned(),
            command,
            input: Vec::new(),
            time: TIME,
        }
    }

    pub(super) fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.command.args(arguments);
        self
    }

    pub(super) fn arg(self, argument: impl AsRef<OsStr>) -> Self {
        self.args([argument])
    }

    pub(super) fn env(mut self, name: &str, value: &OsStr) -> Self {
        self.command.env(name, value);
        self
    }

    pub(super) fn input(mut self, input: &[u8]) -> Self {
        self.input = input.to_vec();
        self
    }

    pub(super) fn within(mut self, seconds: u64) -> Self {
        self.time = Duration::from_secs(seconds);
        self
    }

    /// Runs it with this program's terminal, for one that asks the operator something. It takes
    /// the time that the operator takes.
    ///
    /// # Errors
    /// [`ToolError`].
    pub(super) fn run_on_terminal(mut self) -> Result<(), ToolError> {
        let program = self.program;
        match self.command.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(ToolError::Failed {
                program,
                code: status.code(),
                stderr: "see its message above".to_owned(),
                stdout: String::new(),
            }),
            Err(source) => Err(ToolError::NotStarted { program, source }),
        }
    }

    /// Runs it. Returns its standard output if it exits with 0.
    ///
    /// # Errors
    /// [`ToolError`].
    pub(super) fn run(mut self) -> Result<String, ToolError> {
        let program = self.program;
        let ended = child::run(
            &mut self.command,
            &self.input,
            Some(OUTPUT_LIMIT),
            self.time,
        )
        .map_err(|source| ToolError::NotStarted {
            program: program.clone(),
            source,
        })?;
        let stdout = String::from_utf8_lossy(&ended.stdout).into_owned();
        match ended.ending {
            Ending::Exited(status) if status.success() => Ok(stdout),
            Ending::Exited(status) => Err(ToolError::Failed {
                program,
                code: status.code(),
                stderr: String::from_utf8_lossy(&ended.stderr).into_owned(),
                stdout,
            }),
            Ending::OutputLimit | Ending::TimedOut => Err(ToolError::TooLong {
                program,
                seconds: self.time.as_secs(),
            }),
        }
    }
}

/// `ssh`, which asks nobody for anything, with these options besides.
pub(super) fn ssh(options: &[&str]) -> Call {
    let options = ["BatchMode=yes", "LogLevel=ERROR"].iter().chain(options);
    Call::new("ssh")
        .arg("-T")
        .args(options.flat_map(|option| ["-o", option]))
}

/// A path for a program: what is started has another working directory.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// `systemctl` with these arguments.
///
/// # Errors
/// Its words.
pub(super) fn systemctl(arguments: &[&str]) -> Result<String, ToolError> {
    Call::new("systemctl").args(arguments).within(120).run()
}

/// Whether a unit is active.
pub(super) fn is_active(unit: &str) -> bool {
    systemctl(&["-q", "is-active", unit]).is_ok()
}
