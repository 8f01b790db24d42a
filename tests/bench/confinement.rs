//! Shows from outside what the confinement refuses.
//!
//!     confinement LAYERS ACTION              LAYERS: none, landlock, seccomp, both, folder
//!     confinement without CALL PROGRAM ...   CALL: seccomp, landlock
//!
//! The first form takes the layers, tries the action, and says `done` or the error. The second
//! runs a program on what looks to it like a kernel that does not have the call.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::panic)]

use etcd_signer::internals::{Folder, Needs, apply_landlock, apply_seccomp, confine, harden};
use seccompiler::{BpfProgram, SeccompRule};
use seccompiler::{SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter};
use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["without", call, program, rest @ ..] => without(call, program, rest),
        [layers, action] => attempt(layers, action),
        _ => panic!("usage: see the source"),
    }
}

fn attempt(layers: &str, action: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::STREAM,
        None,
    )
    .unwrap();
    let parent = rustix::process::getppid().unwrap();
    let own = tempfile::tempdir().unwrap();
    harden().unwrap();
    match layers {
        "none" => {}
        "landlock" => assert!(apply_landlock(Needs::OpenDescriptors).unwrap()),
        "seccomp" => apply_seccomp(Needs::OpenDescriptors).unwrap(),
        "both" => drop(confine(Needs::OpenDescriptors, false).unwrap()),
        // Files in one folder may be replaced.
        "folder" => {
            let folders = [Folder::open(own.path()).unwrap()];
            let _ = confine(Needs::TcpAndFiles(&[1], &folders), false).unwrap();
        }
        _ => panic!("no such layers"),
    }
    let outside = own.path().with_extension("moved");
    let outcome = match action {
        "nothing" => Ok(()),
        "open" => std::fs::read("/etc/passwd").map(drop),
        "create" => tempfile::tempfile().map(drop),
        "replace" => std::fs::write(own.path().join("new"), "x")
            .and_then(|()| std::fs::rename(own.path().join("new"), own.path().join("old")))
            .and_then(|()| std::fs::read(own.path().join("old")).map(drop)),
        "leave" => std::fs::write(own.path().join("new"), "x")
            .and_then(|()| std::fs::rename(own.path().join("new"), &outside))
            .and_then(|()| std::fs::remove_file(&outside)),
        "socket" => UdpSocket::bind("127.0.0.1:0").map(drop),
        "connect" => connect(&socket, address),
        "execve" => Err(Command::new("/bin/true").exec()),
        "fork" => Command::new("/bin/true").status().map(drop),
        "ptrace" => nix::sys::ptrace::traceme().map_err(io::Error::from),
        "kill" => rustix::process::test_kill_process(parent).map_err(io::Error::from),
        _ => panic!("no such action"),
    };
    match outcome {
        Ok(()) => println!("done"),
        Err(error) => println!("{error}"),
    }
}

fn connect(socket: &impl std::os::fd::AsFd, address: SocketAddr) -> io::Result<()> {
    Ok(rustix::net::connect(socket, &address)?)
}

fn without(call: &str, program: &str, arguments: &[&str]) {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    let error = match call {
        "seccomp" => {
            // prctl's older way in as well (PR_SET_SECCOMP is 22).
            let old = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, 22);
            rules.insert(libc::SYS_seccomp, Vec::new());
            rules.insert(
                libc::SYS_prctl,
                vec![SeccompRule::new(vec![old.unwrap()]).unwrap()],
            );
            libc::EINVAL
        }
        "landlock" => {
            rules.insert(libc::SYS_landlock_create_ruleset, Vec::new());
            libc::ENOSYS
        }
        _ => panic!("no such call"),
    };
    let filter: BpfProgram = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(error.unsigned_abs()),
        std::env::consts::ARCH.try_into().unwrap(),
    )
    .unwrap()
    .try_into()
    .unwrap();
    seccompiler::apply_filter(&filter).unwrap();
    panic!("{}", Command::new(program).args(arguments).exec());
}
