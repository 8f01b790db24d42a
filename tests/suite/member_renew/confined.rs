//! Where the CA key is while `member renew` works, and what both commands cannot do meanwhile.

use super::bed::{Bed, URGENT};
use crate::confinement::memory;
use crate::harness::is_root;
use crate::peers::address;
use crate::peers::key::{holds_none, p256_secrets, rsa_secrets};
use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// Passes this many connections on to another address, and keeps all that come after them.
fn relay(from: Ipv4Addr, to: Ipv4Addr, count: usize) -> Receiver<TcpStream> {
    let listener = TcpListener::bind((from, 2379)).unwrap();
    let (sender, kept) = channel();
    std::thread::spawn(move || {
        for (index, stream) in listener.incoming().enumerate() {
            let inner = stream.unwrap();
            if index >= count {
                let _ = sender.send(inner);
                continue;
            }
            let outer = TcpStream::connect((to, 2379)).unwrap();
            for (mut from, mut to) in [
                (inner.try_clone().unwrap(), outer.try_clone().unwrap()),
                (outer, inner),
            ] {
                std::thread::spawn(move || {
                    let _ = io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Write);
                });
            }
        }
    });
    kept
}

fn start(bed: &Bed) -> Child {
    bed.renew_command(&[])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn has_no_key(bed: &Bed, waiting: &Child) {
    let memory = memory(waiting.id());
    let key = bed.ca.dir.read("ca.key");
    let der = pem::parse(&key).unwrap().into_contents();
    let secrets = if der.len() > 500 {
        rsa_secrets(&der)
    } else {
        p256_secrets(&der).to_vec()
    };
    let certificate = bed.ca.dir.read("ca.crt");
    holds_none(&memory, certificate.as_bytes(), key.as_bytes(), &secrets);
}

/// The member's certificate is good for the relay's address, too: a relay that only delays.
fn bed_behind(kind: &str, relay: Ipv4Addr) -> Bed {
    let bed = Bed::start_of_kind(kind, &[URGENT], &[]);
    let names = bed.names(0).replace("IP:127.0.0.1", &format!("IP:{relay}"));
    bed.certify("m0", "etcd-member", &names, URGENT);
    bed.ca.set(&format!(
        "etcd_endpoints = [\"https://{relay}:2379\"]\netcd_timeout = \"5s\""
    ));
    bed
}

/// The first connection is for the members, the second for what is published, and the third for
/// the new certificate. The handshake with the member is another one, not over the relay.
#[test]
fn ca_key_is_not_in_memory_while_etcd_is_awaited() {
    if !is_root("the memory of a process that is not dumpable") {
        return;
    }
    for (kind, count) in [("p256", 0), ("p256", 1), ("p256", 2), ("rsa2048", 2)] {
        let at = address();
        let bed = bed_behind(kind, at);
        let kept = relay(at, bed.address(0), count);
        let mut waiting = start(&bed);
        let stream = kept.recv().unwrap();
        has_no_key(&bed, &waiting);
        drop(stream);
        assert_eq!(waiting.wait().unwrap().code(), Some(69));
        assert_eq!(bed.count(), 0);
    }
    // With one connection more passed on, it is all there is.
    let at = address();
    let bed = bed_behind("p256", at);
    let _kept = relay(at, bed.address(0), 3);
    assert!(start(&bed).wait().unwrap().success());
    assert_eq!(bed.count(), 1);
}

#[test]
fn ca_key_is_not_in_memory_while_a_member_is_awaited() {
    if !is_root("the memory of a process that is not dumpable") {
        return;
    }
    let at = address();
    let bed = Bed::start_advertising(&format!("https://{at}:2379"));
    let kept = relay(at, bed.address(0), 0);
    let mut waiting = start(&bed);
    let stream = kept.recv().unwrap();
    has_no_key(&bed, &waiting);
    let status = fs::read_to_string(format!("/proc/{}/status", waiting.id())).unwrap();
    for line in [
        "Seccomp:\t2",
        "NoNewPrivs:\t1",
        "CapEff:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "Threads:\t1",
    ] {
        assert!(status.contains(line), "{line}:\n{status}");
    }
    drop(stream);
    waiting.wait().unwrap();
}

#[test]
fn fetching_process_keeps_what_replacing_a_file_takes() {
    if !is_root("capabilities") {
        return;
    }
    let at = address();
    let bed = bed_behind("p256", at);
    let kept = relay(at, bed.address(0), 0);
    let url = bed.url(0);
    let command = bed.fetch_command(0, &[]);
    let settings = bed.ca.dir.read("m0.toml");
    let there = settings.replace(&url, &format!("https://{at}:2379"));
    bed.ca.dir.write("m0.toml", there);
    let mut waiting = Command::new(command.get_program())
        .args(command.get_args())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stream = kept.recv().unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", waiting.id())).unwrap();
    // CAP_CHOWN, CAP_DAC_OVERRIDE and CAP_FOWNER.
    for line in ["Seccomp:\t2", "CapEff:\t000000000000000b", "Threads:\t1"] {
        assert!(status.contains(line), "{line}:\n{status}");
    }
    drop(stream);
    waiting.wait().unwrap();
}

#[test]
fn neither_command_starts_a_program_or_opens_a_port() {
    let bed = Bed::start(&[URGENT]);
    for command in [bed.renew_command(&[]), bed.fetch_command(0, &[])] {
        let trace = bed.ca.dir.join("trace");
        let calls = "trace=execve,execveat,fork,vfork,clone,clone3,bind,listen,accept,accept4,\
                     connect";
        let output = Command::new("strace")
            .args(["-f", "-e", calls, "-o"])
            .arg(&trace)
            .arg(command.get_program())
            .args(command.get_args())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let trace = fs::read_to_string(trace).unwrap();
        let others: Vec<&str> = trace
            .lines()
            .filter(|line| !line.contains(" connect(") && !line.contains("exited with"))
            .skip(1)
            .collect();
        assert!(others.is_empty(), "{trace}");
        assert!(trace.contains(" connect("), "{trace}");
    }
    assert_eq!(bed.count(), 1);
}
