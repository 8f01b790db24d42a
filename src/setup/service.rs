//! etcd's unit on this host: starting it, and waiting for what it comes to; and the timers of its
//! certificate.

use super::console::{Console, interrupted};
use super::error::SetupError;
use super::journal::Entry;
use super::paths::{FETCH_TIMER, RENEW_TIMER, SERVICE};
use super::tool::{Call, systemctl};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long to wait between two questions.
const PAUSE: Duration = Duration::from_millis(200);

/// How often systemd may start etcd again until it counts as one that does not stay up.
const RESTARTS: u32 = 5;

/// Starts etcd, and lets it start with the host.
///
/// # Errors
/// systemctl's words.
pub(super) fn start() -> Result<String, String> {
    let _ = systemctl(&["reset-failed", SERVICE]);
    systemctl(&["enable", "-q", SERVICE])
        .and_then(|_| systemctl(&["start", "--no-block", SERVICE]))
        .map_err(|error| error.to_string())
}

/// Stops etcd, and lets it start no more.
///
/// # Errors
/// systemctl's words.
pub(super) fn stop() -> Result<String, String> {
    systemctl(&["disable", "-q", "--now", SERVICE]).map_err(|error| error.to_string())
}

/// Switches timers on that renew members' certificates. What is set up works without them, for two
/// years.
///
/// # Errors
/// [`SetupError`], if the journal cannot be written.
pub(super) fn timers_on(console: &mut Console, timers: &[&str]) -> Result<(), SetupError> {
    for timer in timers {
        console.will_undo(Entry::Stop((*timer).to_owned()))?;
    }
    console.try_step(
        "letting members' certificates renew by themselves",
        &format!("systemctl enable --now {}", timers.join(" ")),
        || {
            systemctl(&[&["enable", "-q", "--now"], timers].concat())
                .map_err(|error| error.to_string())
        },
    )
}

/// Switches both timers off.
///
/// # Errors
/// As in [`timers_on`].
pub(super) fn timers_off(console: &mut Console) -> Result<(), SetupError> {
    let timers = [RENEW_TIMER, FETCH_TIMER];
    console.try_step(
        "ending the renewal of members' certificates on this host",
        &format!("systemctl disable --now {}", timers.join(" ")),
        || {
            systemctl(&[&["disable", "-q", "--now"][..], &timers].concat())
                .map_err(|error| error.to_string())
        },
    )
}

/// Asks again and again, until the answer is good.
///
/// # Errors
/// The last answer, if the time is over or etcd does not stay up, with the end of its log.
pub(super) fn wait_for(
    seconds: u64,
    mut asked: impl FnMut() -> Result<(), String>,
) -> Result<String, String> {
    let start = Instant::now();
    loop {
        let Err(why) = asked() else {
            return Ok(String::new());
        };
        if interrupted().is_err() {
            return Err("interrupted".to_owned());
        }
        let is_over = start.elapsed() >= Duration::from_secs(seconds);
        if is_over || restarts() >= RESTARTS {
            let reason = if is_over {
                format!("not within {seconds} s")
            } else {
                "etcd does not stay up".to_owned()
            };
            return Err(format!("{reason}: {why}{}", log()));
        }
        sleep(PAUSE);
    }
}

fn restarts() -> u32 {
    systemctl(&["show", "-P", "NRestarts", SERVICE])
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0)
}

/// The last lines that etcd has logged.
fn log() -> String {
    let lines = Call::new("journalctl")
        .args(["-u", SERVICE, "-n", "5", "--no-pager", "-o", "cat"])
        .run()
        .unwrap_or_default();
    let lines: Vec<&str> = lines
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    if lines.is_empty() {
        return String::new();
    }
    format!(
        "; etcd's log (journalctl -u etcd) ends with: {}",
        lines.join(" | ")
    )
}
