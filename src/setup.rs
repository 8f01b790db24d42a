//! `etcd-signer-setup`: from a bare host to a member of an etcd cluster, and back.
//!
//! Everything that can be known is checked before the first change (`host`, and the checks of
//! `init` and `join`). Each step is noted in the `journal`, on disk, before it is taken; a run that
//! fails rolls back its own steps (`take_back`), and one that was interrupted is completed or rolled
//! back by the next (`recover`). etcd is asked through `etcdctl`, this host's programs run through
//! `tool`.

pub(crate) mod cli;
mod clock;
mod console;
mod error;
mod etcd_settings;
mod etcdctl;
mod host;
mod identity;
mod init;
mod join;
mod journal;
mod leader;
mod leave;
mod own_signer;
mod paths;
mod recover;
mod renew;
mod service;
mod status;
mod take_back;
mod tool;

use crate::system::lock::Lock;
use crate::system::paths::{SETUP_DONE, SETUP_JOURNAL, SETUP_LEAVING};
use crate::system::{output, relro, startup};
use cli::SetupInvocation;
use console::{Console, INTERRUPTED};
use error::{PROGRAM, SetupError, refuse};
use journal::{Entry, Journal};
use nix::sys::signal::{SigSet, Signal};
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;
use take_back::{Origin, take_back};

/// How long a second run waits for the first, or for what a killed one has started.
const PATIENCE: Duration = Duration::from_secs(15);

/// Does what the arguments ask for. `agent` is the socket of root's ssh agent, for the way to the
/// leader; nothing else of the environment is read.
#[must_use]
pub fn main(arguments: Vec<OsString>, agent: Option<OsString>) -> ExitCode {
    startup::report_panics(PROGRAM);
    let _ = relro::protect();
    let invocation = match cli::parse(arguments) {
        Ok(invocation) => invocation,
        Err(error) => return ExitCode::from(startup::usage(PROGRAM, &error).code()),
    };
    let outcome = match &invocation {
        SetupInvocation::Status { json } => status::status(*json),
        SetupInvocation::Init(args) => change(args.common.dry_run, |console| {
            init_or_join(console, &args.common, &Command::Init(args), agent.as_ref())
        }),
        SetupInvocation::Join(args) => change(args.common.dry_run, |console| {
            init_or_join(console, &args.common, &Command::Join(args), agent.as_ref())
        }),
        SetupInvocation::Leave(args) => change(args.dry_run, |console| leave::leave(console, args)),
        SetupInvocation::Renew(args) => change(args.dry_run, |console| {
            renew::renew(console, args, agent.as_ref())
        }),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            output::error_line_of(PROGRAM, &error.to_string());
            error.code()
        }
    }
}

/// What changes this host: as root, and one run at a time.
fn change(
    dry_run: bool,
    work: impl FnOnce(&mut Console) -> Result<ExitCode, SetupError>,
) -> Result<ExitCode, SetupError> {
    if !rustix::process::geteuid().is_root() {
        refuse!("this needs root");
    }
    let mut lock = None;
    if !dry_run {
        lock = Lock::take(Path::new(paths::LOCK), PATIENCE)?;
        match &lock {
            // A run that is killed may leave a program behind that is still at work.
            Some(lock) => lock.pass_to_children(),
            None => {
                refuse!("another run of this program is in progress: wait until it has finished")
            }
        }
        catch_signals();
    }
    let mut console = Console::new(dry_run, Journal::load(Path::new(SETUP_JOURNAL))?);
    let outcome = work(&mut console);
    drop(lock);
    outcome
}

/// A signal that asks for the end is heard between two steps, so that none is left half-taken.
fn catch_signals() {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    // Without it, a signal ends this at once, and the next run rolls it back.
    if signals.thread_block().is_ok() {
        std::thread::spawn(move || {
            while signals.wait().is_ok() {
                INTERRUPTED.store(true, Ordering::Relaxed);
            }
        });
    }
}

/// A command that makes this host a member.
enum Command<'a> {
    Init(&'a cli::InitArgs),
    Join(&'a cli::JoinArgs),
}

impl Command<'_> {
    fn word(&self) -> &'static str {
        match self {
            Self::Init(_) => "init",
            Self::Join(_) => "join",
        }
    }
}

fn init_or_join(
    console: &mut Console,
    common: &cli::Common,
    command: &Command<'_>,
    agent: Option<&OsString>,
) -> Result<ExitCode, SetupError> {
    host::check_programs()?;
    if Path::new(SETUP_LEAVING).exists() {
        refuse!(
            "this host was leaving its cluster, and that was interrupted: run 'etcd-signer-setup \
             leave' to complete it"
        );
    }
    if let Ok(done) = fs::read_to_string(SETUP_DONE) {
        // Killed with the last line of its work undone: there is nothing to take back.
        if !console.dry_run {
            console.journal.close()?;
        }
        refuse!(
            "this host has been set up already ({}): to set it up again, run 'etcd-signer-setup \
             leave' first",
            done.trim()
        );
    }
    let name = match &common.name {
        Some(name) => name.clone(),
        None => cli::name(&host::host_name()).map_err(SetupError::Refused)?,
    };
    let leader = match command {
        Command::Init(_) => None,
        Command::Join(args) => Some(args.signer_ip),
    };
    let addresses = host::own_addresses(&common.address, leader)?;
    let identity = identity::MemberIdentity {
        name,
        addresses: addresses.iter().map(|own| own.address).collect(),
    };
    let mut resumes = false;
    if console.journal.is_empty() {
        if common.take_back.is_some() {
            refuse!("--take-back: there is no unfinished run on this host");
        }
    } else {
        if console.dry_run {
            refuse!(
                "an earlier run was interrupted: run this without --dry-run, which completes it or \
                 rolls it back"
            );
        }
        console.begin_log()?;
        resumes = recover::recover(
            console,
            command.word(),
            &identity,
            common.take_back.as_deref(),
        )? == recover::Recovery::Finish;
    }
    let outcome = match command {
        Command::Init(args) => init::init(console, args, &identity, &addresses, resumes),
        Command::Join(args) => join::join(console, args, &identity, agent, resumes),
    };
    let Err(error) = outcome else {
        return Ok(ExitCode::SUCCESS);
    };
    if !console.dry_run {
        console.complain(&error.to_string());
        // An etcd that serves may have got other members, and writes, by now.
        let serves = matches!(command, Command::Init(_))
            && console.journal.entries().contains(&Entry::Close);
        if resumes || serves {
            console.say("what was done is kept: fix the error, and run this again");
        } else if !console.journal.is_empty() {
            console.say("rolling back what was done");
            let origin = match command {
                Command::Init(_) if console.journal.began_etcd() => Origin::EarlierRun,
                _ => Origin::ThisRun,
            };
            take_back(console, origin)?;
            console.say("everything was rolled back: this can be run again");
        } else if console.is_logging() {
            console.say("nothing was changed");
        }
        return Ok(error.code());
    }
    Err(error)
}
