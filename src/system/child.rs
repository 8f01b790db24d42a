//! Running another program, with limits on its time and output.

use crate::system::poll::wait;
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How much of the end of standard error is kept.
const STDERR_LIMIT: usize = 16 * 1024;
/// How often it is checked whether the program has ended.
const TICK: Duration = Duration::from_millis(20);

/// How a program ended, and its output.
#[derive(Debug)]
pub(crate) struct Ended {
    pub ending: Ending,
    pub stdout: Vec<u8>,
    /// The end of standard error.
    pub stderr: Vec<u8>,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// By itself, or by a signal of another process.
    Exited(ExitStatus),
    /// It wrote more than the limit, and was killed.
    OutputLimit,
    /// It took longer than the limit, and was killed.
    TimedOut,
}

/// Runs a program with a fixed environment and the variables that the command was given, in a
/// process group of its own, which is killed before this returns.
///
/// `input` must fit into a pipe (64 KiB). The program is killed if standard output exceeds
/// `stdout_limit`; without a limit, standard output is discarded.
///
/// # Errors
/// If the program cannot be started or waited for.
pub(crate) fn run(
    command: &mut Command,
    input: &[u8],
    stdout_limit: Option<usize>,
    time: Duration,
) -> io::Result<Ended> {
    let deadline = Instant::now()
        .checked_add(time)
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let given: Vec<(OsString, OsString)> = command
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect();
    let child = command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/")
        .envs(given)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut running = Running { child };
    if let Some(mut stdin) = running.child.stdin.take() {
        // A program that does not read its input reports why on standard error.
        let _ = stdin.write_all(input);
    }
    running.wait(stdout_limit, deadline)
}

/// Killed and reaped when dropped.
struct Running {
    child: Child,
}

impl Running {
    fn wait(&mut self, stdout_limit: Option<usize>, deadline: Instant) -> io::Result<Ended> {
        let mut out = self.child.stdout.take();
        let mut err = self.child.stderr.take();
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let ending = loop {
            let exited = self.child.try_wait()?;
            // The pipes may still contain what was written before the end.
            let now = Instant::now();
            let patience = match exited {
                Some(_) => now,
                None => now.checked_add(TICK).unwrap_or(now),
            };
            let more_out = drain(&mut out, &mut stdout, patience)?;
            let more_err = drain(&mut err, &mut stderr, now)?;
            let surplus = stderr.len().saturating_sub(STDERR_LIMIT);
            stderr.drain(..surplus);
            match stdout_limit {
                Some(limit) if stdout.len() > limit => break Ending::OutputLimit,
                Some(_) => {}
                None => stdout.clear(),
            }
            match exited {
                Some(status) if !more_out && !more_err => break Ending::Exited(status),
                _ if Instant::now() >= deadline => break Ending::TimedOut,
                None if out.is_none() => sleep(TICK),
                _ => {}
            }
        };
        Ok(Ended {
            ending,
            stdout,
            stderr,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Reads at most one buffer of what arrives by the deadline, and closes the pipe at its end.
/// Returns whether there was anything to read.
fn drain<T: AsFd>(pipe: &mut Option<T>, into: &mut Vec<u8>, deadline: Instant) -> io::Result<bool> {
    let Some(open) = pipe else { return Ok(false) };
    if !wait(open.as_fd(), PollFlags::IN, deadline)? {
        return Ok(false);
    }
    let mut buffer = [0_u8; 8192];
    match rustix::io::read(open.as_fd(), &mut buffer) {
        Ok(0) => {
            *pipe = None;
            Ok(false)
        }
        Ok(count) => {
            into.extend(buffer.iter().take(count));
            Ok(true)
        }
        Err(Errno::INTR | Errno::AGAIN) => Ok(true),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Ending, run};
    use std::process::Command;
    use std::time::{Duration, Instant};

    const LONG: Duration = Duration::from_secs(60);

    fn shell(line: &str, input: &[u8], time: Duration) -> super::Ended {
        run(
            Command::new("/bin/sh").args(["-c", line]),
            input,
            Some(1000),
            time,
        )
        .unwrap()
    }

    #[test]
    fn output_and_exit_status_are_returned() {
        let ended = shell("cat; echo oops >&2; exit 65", b"hello", LONG);
        assert!(matches!(ended.ending, Ending::Exited(status) if status.code() == Some(65)));
        assert_eq!(
            (&ended.stdout[..], &ended.stderr[..]),
            (&b"hello"[..], &b"oops\n"[..])
        );
    }

    #[test]
    fn time_and_output_are_limited() {
        let start = Instant::now();
        let ended = shell("sleep 300", b"", Duration::from_millis(300));
        assert!(matches!(ended.ending, Ending::TimedOut));
        let ended = shell("exec >&- 2>&-; sleep 300", b"", Duration::from_millis(300));
        assert!(matches!(ended.ending, Ending::TimedOut));
        let ended = shell("yes", b"", LONG);
        assert!(
            matches!(ended.ending, Ending::OutputLimit),
            "{:?}",
            ended.ending
        );
        let ended = shell("yes >&2", b"", Duration::from_millis(300));
        assert!(matches!(ended.ending, Ending::TimedOut) && ended.stderr.len() <= 16 * 1024);
        // A background process keeps the pipes open, and is not waited for.
        let ended = shell("sleep 300 & echo done", b"", LONG);
        assert!(matches!(ended.ending, Ending::Exited(status) if status.success()));
        assert_eq!(ended.stdout, b"done\n");
        assert!(start.elapsed() < LONG, "{:?}", start.elapsed());
    }

    #[test]
    fn environment_of_the_command_is_kept() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo $GIVEN"]).env("GIVEN", "a b");
        let ended = run(&mut command, b"", Some(1000), LONG).unwrap();
        assert_eq!(ended.stdout, b"a b\n");
    }

    #[test]
    fn environment_is_not_inherited() {
        let ended = shell("env", b"", LONG);
        let names: Vec<_> = String::from_utf8(ended.stdout)
            .unwrap()
            .lines()
            .filter_map(|line| Some(line.split_once('=')?.0.to_owned()))
            .filter(|name| {
                !["PATH", "HOME", "PWD", "SHLVL", "_", "OLDPWD"].contains(&name.as_str())
            })
            .collect();
        assert!(names.is_empty(), "{names:?}");
    }
}
