//! Reading standard input, with limits on size and time.

use crate::system::poll::wait;
use rustix::event::PollFlags;
use rustix::io::{Errno, read};
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Why standard input was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error("request refused: it is larger than {0} bytes: send a single certificate request")]
    TooLarge(usize),
    #[error("request not received: standard input did not end within {}: send the whole \
             request, and close standard input", seconds(*.0))]
    TimedOut(Duration),
    #[error("request not received: standard input cannot be read: {0}: try again")]
    Failed(#[source] io::Error),
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs())
}

/// Reads standard input to its end. The deadline is for the whole input, however slowly it
/// arrives.
///
/// # Errors
/// [`InputError`].
pub(crate) fn read_to_end(
    input: impl AsFd,
    limit: usize,
    timeout: Duration,
) -> Result<Vec<u8>, InputError> {
    let deadline = Instant::now()
        .checked_add(timeout)
        .ok_or(InputError::TimedOut(timeout))?;
    let mut received = Vec::new();
    let mut buffer = [0_u8; 8192];
    loop {
        wait(&input, PollFlags::IN, deadline)
            .map_err(InputError::Failed)?
            .then_some(())
            .ok_or(InputError::TimedOut(timeout))?;
        match read(&input, &mut buffer) {
            Ok(0) => return Ok(received),
            Ok(count) => received.extend(buffer.iter().take(count)),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(errno) => return Err(InputError::Failed(errno.into())),
        }
        if received.len() > limit {
            return Err(InputError::TooLarge(limit));
        }
    }
}
