//! What the program says: one line at a time.

use crate::system::output;

/// The program's name, as its error lines begin.
pub(crate) const PROGRAM: &str = "etcd-client-cert";

/// One line on standard output; a failure to write it is ignored.
pub(crate) fn info(line: &str) {
    let _ = output::answer(format!("{line}\n").as_bytes());
}

/// One line on standard error.
pub(crate) fn error(line: &str) {
    output::error_line_of(PROGRAM, line);
}

/// Something to put right: one line on standard error, and no failure.
pub(crate) fn warning(line: &str) {
    error(&format!("warning: {line}"));
}
