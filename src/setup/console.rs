//! What setup says, and its steps: to the terminal and to the log.

use super::clock::timestamp;
use super::error::{PROGRAM, SetupError};
use super::journal::{Entry, Journal};
use super::paths::LOG;
use crate::system::escape::one_line;
use crate::system::installed_file::open_for_append;
use crate::system::output;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set by a signal that asks for the end.
pub(super) static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Where the words go, and the journal of this run.
pub(super) struct Console {
    /// Only say what would be done.
    pub(super) dry_run: bool,
    pub(super) journal: Journal,
    log: Option<File>,
}

impl Console {
    pub(super) fn new(dry_run: bool, journal: Journal) -> Self {
        Self {
            dry_run,
            journal,
            log: None,
        }
    }

    /// From now on, what is said is in the log too.
    ///
    /// # Errors
    /// The log cannot be written.
    pub(super) fn begin_log(&mut self) -> Result<(), SetupError> {
        if !self.dry_run && self.log.is_none() {
            self.log = Some(open_for_append(Path::new(LOG))?);
        }
        Ok(())
    }

    pub(super) fn is_logging(&self) -> bool {
        self.log.is_some()
    }

    /// A line for the operator. A terminal that is gone keeps nothing from being done.
    pub(super) fn say(&mut self, line: &str) {
        let _ = output::answer(format!("{line}\n").as_bytes());
        self.log(line);
    }

    /// The same, as an error.
    pub(super) fn complain(&mut self, line: &str) {
        output::error_line_of(PROGRAM, line);
        self.log(line);
    }

    /// Lines that are of interest only if something goes wrong.
    pub(super) fn log(&mut self, text: &str) {
        let now = timestamp();
        if let Some(log) = &mut self.log {
            for line in text.lines().filter(|line| !line.is_empty()) {
                let _ = writeln!(log, "{now} {}", one_line(line));
            }
        }
    }

    /// Notes on disk how the next step is taken back.
    ///
    /// # Errors
    /// The journal cannot be written. The step must not be taken then.
    pub(super) fn will_undo(&mut self, entry: Entry) -> Result<(), SetupError> {
        if !self.dry_run {
            self.journal.note(entry)?;
        }
        Ok(())
    }

    /// Says a step and takes it; with `--dry-run`, only says it. What it returns goes to the log.
    ///
    /// # Errors
    /// What the step said, or that somebody has interrupted this.
    pub(super) fn step(
        &mut self,
        what: &str,
        step: impl FnOnce() -> Result<String, String>,
    ) -> Result<(), SetupError> {
        if self.dry_run {
            self.say(&format!("would: {what}"));
            return Ok(());
        }
        interrupted()?;
        self.say(what);
        let output = step().map_err(|why| SetupError::Step {
            what: what.to_owned(),
            why,
        })?;
        self.log(&output);
        interrupted()
    }

    /// A step that may fail: then a warning says so.
    pub(super) fn try_step(
        &mut self,
        what: &str,
        remedy: &str,
        step: impl FnOnce() -> Result<String, String>,
    ) -> Result<(), SetupError> {
        match self.step(what, step) {
            Err(SetupError::Step { what, why }) => {
                self.complain(&format!("warning: {what}: {why}: {remedy}"));
                Ok(())
            }
            outcome => outcome,
        }
    }
}

/// Whether a signal has asked for the end.
///
/// # Errors
/// [`SetupError::Interrupted`].
pub(super) fn interrupted() -> Result<(), SetupError> {
    if INTERRUPTED.load(Ordering::Relaxed) {
        Err(SetupError::Interrupted)
    } else {
        Ok(())
    }
}
