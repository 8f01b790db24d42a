//! Confinement: what the process gives up before it looks at the client's bytes.
//!
//! [`harden`] comes first of all; [`confine`] when every file is open, and before standard
//! input is read. After it, the process can read and write what it holds, ask for memory,
//! random numbers and the time, and end. Each layer holds without the other.

use crate::system::relro;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, Compatible as _, NetPort, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use nix::sys::signal::SigSet;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use std::collections::BTreeMap;

/// What a request still needs when it is confined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs<'a> {
    /// Nothing but the descriptors that are open.
    OpenDescriptors,
    /// TCP connections to these ports besides.
    Tcp(&'a [u16]),
}

/// Which layers hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confinement {
    seccomp: bool,
    landlock: bool,
}

impl Confinement {
    /// The layers that hold, for the audit record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match (self.seccomp, self.landlock) {
            (true, true) => "seccomp and landlock",
            (true, false) => "seccomp alone",
            (false, true) => "landlock alone",
            (false, false) => "none",
        }
    }
}

/// The process cannot be confined, and the settings do not allow it to go on.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A restriction that every kernel has was refused.
    #[error(
        "confinement impossible: this system refuses {0} ({1}): check what its container or service \
         allows"
    )]
    Refused(&'static str, String),
    /// There is no seccomp filter.
    #[error(
        "confinement impossible: this kernel does not accept a seccomp filter ({0}): use a \
         kernel that does, or set allow_without_seccomp = true in the settings"
    )]
    NoSeccomp(String),
}

/// Gives up what [`drop_privileges`] does, and being interrupted by a signal that could cut a
/// request off between its answer and its record.
///
/// # Errors
/// [`SandboxError::Refused`].
pub fn harden() -> Result<(), SandboxError> {
    drop_privileges()?;
    SigSet::all()
        .thread_block()
        .map_err(|error| SandboxError::Refused("blocking signals", error.to_string()))
}

/// Gives up, once and for all: gaining privileges by execution, being traced or read by
/// others of the same user, leaving a core dump, and writing what only its start writes.
///
/// # Errors
/// [`SandboxError::Refused`].
pub(crate) fn drop_privileges() -> Result<(), SandboxError> {
    let refused =
        |what| move |error: rustix::io::Errno| SandboxError::Refused(what, error.to_string());
    set_no_new_privs(true).map_err(refused("no_new_privs"))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(refused("non-dumpable"))?;
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none).map_err(refused("a core limit of 0"))?;
    relro::protect().map_err(refused("making relocated addresses read-only"))
}

/// Confines the process, for good: no capability, Landlock where the kernel has it, seccomp.
///
/// # Errors
/// [`SandboxError`]; a missing seccomp filter is none if `allow_without_seccomp`.
pub fn confine(needs: Needs<'_>, allow_without_seccomp: bool) -> Result<Confinement, SandboxError> {
    // Root's own, if an operator runs this by hand: the files are open by now.
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, none)
        .map_err(|error| SandboxError::Refused("dropping capabilities", error.to_string()))?;
    let landlock = apply_landlock(needs).unwrap_or(false);
    match apply_seccomp(needs) {
        Ok(()) => Ok(Confinement {
            seccomp: true,
            landlock,
        }),
        Err(_) if allow_without_seccomp => Ok(Confinement {
            seccomp: false,
            landlock,
        }),
        Err(why) => Err(SandboxError::NoSeccomp(why)),
    }
}

/// Landlock alone: no file is opened, no port bound or connected to but the ones needed, no
/// abstract socket or signal reaches a process outside. What the kernel does not know of this
/// is left out; the answer is whether it knows any.
///
/// # Errors
/// Landlock's own.
pub fn apply_landlock(needs: Needs<'_>) -> Result<bool, landlock::RulesetError> {
    const NEWEST: ABI = ABI::V7;
    let mut ruleset = Ruleset::default()
        .set_compatibility(landlock::CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    if let Needs::Tcp(ports) = needs {
        for port in ports {
            ruleset = ruleset.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
        }
    }
    let status = ruleset.restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

/// seccomp alone: a system call outside of the list ends the process, for it could only be
/// somebody else's.
///
/// # Errors
/// What the kernel said.
pub fn apply_seccomp(needs: Needs<'_>) -> Result<(), String> {
    let program = filter(needs).map_err(|error| error.to_string())?;
    seccompiler::apply_filter(&program).map_err(|error| error.to_string())
}

fn filter(needs: Needs<'_>) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = [
        // What is open.
        libc::SYS_read,
        libc::SYS_ppoll,
        libc::SYS_close,
        // Memory, time, randomness. mmap is below.
        libc::SYS_brk,
        libc::SYS_mremap,
        libc::SYS_munmap,
        libc::SYS_madvise,
        libc::SYS_futex,
        libc::SYS_clock_gettime,
        libc::SYS_getrandom,
        libc::SYS_getpid,
        // musl registers the end of a thread's own data with signals blocked.
        libc::SYS_rt_sigprocmask,
        // The end.
        libc::SYS_sigaltstack,
        libc::SYS_rt_sigreturn,
        libc::SYS_restart_syscall,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ]
    .into_iter()
    .map(|call| (call, Vec::new()))
    .collect();
    // An answer, an error line; the log's socket takes sendto, without an address.
    rules.insert(libc::SYS_write, vec![rule(0, SeccompCmpOp::Le, 2)?]);
    rules.insert(libc::SYS_sendto, vec![rule(4, SeccompCmpOp::Eq, 0)?]);
    if cfg!(debug_assertions) {
        // A look at a descriptor's flags (F_GETFD is 1), with which such a build makes sure that
        // it is open.
        rules.insert(libc::SYS_fcntl, vec![rule(1, SeccompCmpOp::Eq, 1)?]);
    }
    // Memory that can be executed is never asked for (PROT_EXEC is 4).
    rules.insert(libc::SYS_mmap, vec![rule(2, SeccompCmpOp::MaskedEq(4), 0)?]);
    if let Needs::Tcp(_) = needs {
        network(&mut rules)?;
    }
    SeccompFilter::new(
        rules,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into()?,
    )?
    .try_into()
}

/// What the gRPC client needs besides: its event queue, and TCP over IPv4 and IPv6.
fn network(rules: &mut BTreeMap<i64, Vec<SeccompRule>>) -> Result<(), seccompiler::BackendError> {
    const AF_INET: u64 = 2;
    const AF_INET6: u64 = 10;
    let calls = [
        libc::SYS_epoll_create1,
        libc::SYS_epoll_ctl,
        libc::SYS_epoll_wait,
        libc::SYS_epoll_pwait,
        libc::SYS_eventfd2,
        // Sockets that socket() has made: see below.
        libc::SYS_connect,
        libc::SYS_getsockopt,
        libc::SYS_setsockopt,
        libc::SYS_getpeername,
        libc::SYS_getsockname,
        libc::SYS_recvfrom,
        libc::SYS_writev,
        libc::SYS_shutdown,
        // The event queue is woken by writing to it.
        libc::SYS_write,
    ];
    rules.extend(calls.into_iter().map(|call| (call, Vec::new())));
    // The event queue's descriptor is doubled (F_DUPFD_CLOEXEC is 1030), after which musl sets what
    // it has just asked for once more (F_SETFD is 2).
    let doubled = [
        rule(1, SeccompCmpOp::Eq, 1030)?,
        rule(1, SeccompCmpOp::Eq, 2)?,
    ];
    rules.entry(libc::SYS_fcntl).or_default().extend(doubled);
    // Landlock's rules are about TCP; no other kind of socket must be had.
    let tcp = |family| -> Result<SeccompRule, seccompiler::BackendError> {
        const STREAM: u64 = 1;
        const TYPE_MASK: u64 = 0xf;
        const DEFAULT_PROTOCOLS: u64 = 6;
        SeccompRule::new(vec![
            condition(0, SeccompCmpOp::Eq, family)?,
            condition(1, SeccompCmpOp::MaskedEq(TYPE_MASK), STREAM)?,
            condition(2, SeccompCmpOp::Le, DEFAULT_PROTOCOLS)?,
        ])
    };
    rules.insert(libc::SYS_socket, vec![tcp(AF_INET)?, tcp(AF_INET6)?]);
    Ok(())
}

/// A rule of one condition.
fn rule(
    argument: u8,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![condition(argument, operator, value)?])
}

/// An argument, counted from 0, compared in 64 bits.
fn condition(
    argument: u8,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, operator, value)
}
