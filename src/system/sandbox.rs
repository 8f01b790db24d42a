//! Confinement of the process before it reads input of the client.
//!
//! [`harden`] is called at startup, [`confine`] when all files are open and before standard input
//! is read. After that, the process can use its open descriptors, get memory, random numbers and
//! the time, and exit. Landlock and seccomp are independent of each other.

use crate::system::relro;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, Compatible as _, NetPort, PathBeneath, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use nix::sys::signal::SigSet;
use rustix::fs::{Mode, OFlags};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// What a confined request still needs.
#[derive(Clone, Copy, Debug)]
pub enum Needs<'a> {
    /// Only the open descriptors.
    OpenDescriptors,
    /// TCP connections to these ports, too.
    Tcp(&'a [u16]),
    /// The same, and reading and replacing files in these folders.
    TcpAndFiles(&'a [u16], &'a [Folder]),
}

impl<'a> Needs<'a> {
    fn ports(self) -> Option<&'a [u16]> {
        match self {
            Self::OpenDescriptors => None,
            Self::Tcp(ports) | Self::TcpAndFiles(ports, _) => Some(ports),
        }
    }

    fn folders(self) -> &'a [Folder] {
        match self {
            Self::OpenDescriptors | Self::Tcp(_) => &[],
            Self::TcpAndFiles(_, folders) => folders,
        }
    }
}

/// A folder that is opened before the confinement, which names it.
#[derive(Debug)]
pub struct Folder(OwnedFd);

impl Folder {
    /// Opens a folder, to name it and for nothing else.
    ///
    /// # Errors
    /// What the system said.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }
}

/// Which layers are in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confinement {
    seccomp: bool,
    landlock: bool,
}

impl Confinement {
    /// The value for the audit record.
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

/// The process cannot be confined, and the settings do not allow it to continue.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A restriction that every kernel supports.
    #[error(
        "confinement impossible: this system refuses {0} ({1}): check what its container or service \
         allows"
    )]
    Refused(&'static str, String),
    #[error(
        "confinement impossible: this kernel does not support seccomp filters ({0}): use a \
         kernel that does, or set allow_without_seccomp = true in the settings"
    )]
    NoSeccomp(String),
}

/// Calls [`drop_privileges`], and blocks signals, so that none ends a request between its answer and
/// its record.
///
/// # Errors
/// [`SandboxError::Refused`].
pub fn harden() -> Result<(), SandboxError> {
    drop_privileges()?;
    SigSet::all()
        .thread_block()
        .map_err(|error| SandboxError::Refused("blocking signals", error.to_string()))
}

/// Sets no_new_privs, makes the process non-dumpable (no other process of the user can trace or
/// read it), disables core dumps, and makes relocated data read-only.
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

/// Drops all capabilities, and applies Landlock, if the kernel supports it, and seccomp.
///
/// # Errors
/// [`SandboxError::NoSeccomp`] only without `allow_without_seccomp`.
pub fn confine(needs: Needs<'_>, allow_without_seccomp: bool) -> Result<Confinement, SandboxError> {
    // Root has some, if an operator runs this by hand. The files are open by now, unless some
    // are to be replaced: reading and replacing files of others, and keeping their owner, takes
    // three.
    let mut kept = CapabilitySet::empty();
    if !needs.folders().is_empty() {
        let wanted = CapabilitySet::CHOWN | CapabilitySet::DAC_OVERRIDE | CapabilitySet::FOWNER;
        kept = capabilities(None).map_or(kept, |has| has.permitted & wanted);
    }
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets)
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

/// Applies Landlock: no access to files, to TCP ports other than those needed, to abstract sockets
/// or by signals to other processes, as far as the kernel supports it. Returns whether it does at
/// all.
///
/// # Errors
/// Those of the Landlock library.
pub fn apply_landlock(needs: Needs<'_>) -> Result<bool, landlock::RulesetError> {
    const NEWEST: ABI = ABI::V7;
    let mut ruleset = Ruleset::default()
        .set_compatibility(landlock::CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    for port in needs.ports().unwrap_or_default() {
        ruleset = ruleset.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    for Folder(folder) in needs.folders() {
        let access = AccessFs::ReadFile
            | AccessFs::ReadDir
            | AccessFs::WriteFile
            | AccessFs::Truncate
            | AccessFs::MakeReg
            | AccessFs::RemoveFile;
        ruleset = ruleset.add_rule(PathBeneath::new(folder, access))?;
    }
    let status = ruleset.restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

/// Applies seccomp: a system call that is not in the list kills the process, because only injected
/// code would make one.
///
/// # Errors
/// The message of the kernel.
pub fn apply_seccomp(needs: Needs<'_>) -> Result<(), String> {
    let program = filter(needs).map_err(|error| error.to_string())?;
    seccompiler::apply_filter(&program).map_err(|error| error.to_string())
}

fn filter(needs: Needs<'_>) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = [
        // Open descriptors.
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
        // musl blocks signals while it registers destructors of thread-local data.
        libc::SYS_rt_sigprocmask,
        // Exit.
        libc::SYS_sigaltstack,
        libc::SYS_rt_sigreturn,
        libc::SYS_restart_syscall,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ]
    .into_iter()
    .map(|call| (call, Vec::new()))
    .collect();
    // write for the answer and the error line; sendto without an address for the log's socket.
    rules.insert(libc::SYS_write, vec![rule(0, SeccompCmpOp::Le, 2)?]);
    rules.insert(libc::SYS_sendto, vec![rule(4, SeccompCmpOp::Eq, 0)?]);
    if cfg!(debug_assertions) {
        // Debug builds check that a descriptor is open with F_GETFD, which is 1.
        rules.insert(libc::SYS_fcntl, vec![rule(1, SeccompCmpOp::Eq, 1)?]);
    }
    // No executable memory (PROT_EXEC is 4).
    rules.insert(libc::SYS_mmap, vec![rule(2, SeccompCmpOp::MaskedEq(4), 0)?]);
    if needs.ports().is_some() {
        network(&mut rules)?;
    }
    if !needs.folders().is_empty() {
        files(&mut rules);
    }
    SeccompFilter::new(
        rules,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into()?,
    )?
    .try_into()
}

/// What the gRPC client needs, too: its event queue, and TCP over IPv4 and IPv6.
fn network(rules: &mut BTreeMap<i64, Vec<SeccompRule>>) -> Result<(), seccompiler::BackendError> {
    const AF_INET: u64 = 2;
    const AF_INET6: u64 = 10;
    let calls = [
        libc::SYS_epoll_create1,
        libc::SYS_epoll_ctl,
        libc::SYS_epoll_wait,
        libc::SYS_epoll_pwait,
        libc::SYS_eventfd2,
        // For sockets from socket(), see below.
        libc::SYS_connect,
        libc::SYS_getsockopt,
        libc::SYS_setsockopt,
        libc::SYS_getpeername,
        libc::SYS_getsockname,
        libc::SYS_recvfrom,
        libc::SYS_writev,
        libc::SYS_shutdown,
        // Writing to it wakes the event queue.
        libc::SYS_write,
    ];
    rules.extend(calls.into_iter().map(|call| (call, Vec::new())));
    // The descriptor of the event queue is duplicated (F_DUPFD_CLOEXEC is 1030); musl then sets
    // FD_CLOEXEC again (F_SETFD is 2).
    let duplicated = [
        rule(1, SeccompCmpOp::Eq, 1030)?,
        rule(1, SeccompCmpOp::Eq, 2)?,
    ];
    rules.entry(libc::SYS_fcntl).or_default().extend(duplicated);
    // Landlock restricts only TCP, so no other type of socket is allowed.
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

/// What reading and replacing files needs, too, with either C library.
fn files(rules: &mut BTreeMap<i64, Vec<SeccompRule>>) {
    let calls = [
        libc::SYS_open,
        libc::SYS_openat,
        libc::SYS_stat,
        libc::SYS_lstat,
        libc::SYS_fstat,
        libc::SYS_newfstatat,
        libc::SYS_statx,
        libc::SYS_lseek,
        libc::SYS_getdents64,
        libc::SYS_fchown,
        libc::SYS_fchmod,
        libc::SYS_fsync,
        libc::SYS_rename,
        libc::SYS_renameat,
        libc::SYS_renameat2,
        libc::SYS_unlink,
        libc::SYS_unlinkat,
        // musl sets FD_CLOEXEC by hand.
        libc::SYS_fcntl,
    ];
    rules.extend(calls.into_iter().map(|call| (call, Vec::new())));
}

/// A rule with a single condition.
fn rule(
    argument: u8,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![condition(argument, operator, value)?])
}

/// A 64-bit comparison of an argument, counted from 0.
fn condition(
    argument: u8,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, operator, value)
}
