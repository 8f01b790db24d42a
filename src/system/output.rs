//! Standard output and standard error: a complete answer, or one error line.

use crate::system::escape::one_line;
use crate::system::poll::wait;
use rustix::event::PollFlags;
use rustix::io::{Errno, write};
use rustix::net::{SendFlags, send};
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

#[derive(Debug, thiserror::Error)]
#[error("answer not delivered: standard output cannot be written: {0}")]
pub struct OutputError(#[source] io::Error);

/// How long a client may take to accept an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How much a pipe that is ready takes without blocking (POSIX, `PIPE_BUF`).
const CHUNK: usize = 4096;

/// Writes an answer to standard output.
///
/// # Errors
/// [`OutputError`], if the client has disconnected or does not read for ten seconds.
pub(crate) fn answer(bytes: &[u8]) -> Result<(), OutputError> {
    write_all(rustix::stdio::stdout(), bytes).map_err(OutputError)
}

/// Writes one line to standard error. A failure is ignored: it cannot be reported anywhere.
pub(crate) fn error_line(line: &str) {
    error_line_of("etcd-signer", line);
}

/// The same, for any program of this crate.
pub(crate) fn error_line_of(program: &str, line: &str) {
    let _ = write_all(
        rustix::stdio::stderr(),
        format!("{program}: {}\n", one_line(line)).as_bytes(),
    );
}

fn write_all(output: impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    let deadline = Instant::now()
        .checked_add(TIMEOUT)
        .ok_or_else(|| io::Error::from(io::ErrorKind::TimedOut))?;
    while !bytes.is_empty() {
        if !wait(&output, PollFlags::OUT, deadline)? {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let chunk = bytes.get(..CHUNK).unwrap_or(bytes);
        match write_now(&output, chunk) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Writes without blocking. A pipe that is ready has room for a chunk; making it non-blocking would
/// affect other processes that have it open.
fn write_now(output: impl AsFd, chunk: &[u8]) -> Result<usize, Errno> {
    match send(
        &output,
        chunk,
        SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL),
    ) {
        Err(Errno::NOTSOCK) => write(&output, chunk),
        outcome => outcome,
    }
}
