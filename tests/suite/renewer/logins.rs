//! What is said where ssh ends without the signer's own words: what is likely, and what to look
//! at. The ssh is the system's.

use super::Master;
use crate::harness::{Ca, Login, Sshd, free_port};
use crate::used_by::forced_command;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// A port where each connection is given to a function.
fn port(serve: fn(TcpStream)) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            serve(stream);
        }
    });
    port
}

fn closed_at_once(stream: TcpStream) {
    drop(stream);
}

/// As a firewall that answers with a reset does.
fn reset(stream: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    let _ = (&stream).read(&mut [0; 3]);
}

/// As sshd under its limits or penalties does once it has begun.
fn closed_during_key_exchange(mut stream: TcpStream) {
    stream.write_all(b"SSH-2.0-OpenSSH_9.8\r\n").unwrap();
    let _ = stream.read(&mut [0; 4096]);
    thread::sleep(Duration::from_millis(100));
}

fn master(signer: &str, more: &str) -> Master {
    let master = Master::new();
    let more = format!("attempts = 1\nconnect_timeout = \"2s\"\nuse_members = false\n{more}");
    master.set(&[signer.to_owned()], &more);
    master
}

#[test]
fn connection_that_ends_before_the_login_is_explained() {
    let closed = "the connection was closed before the login: sshd's limits (MaxStartups), its \
                  penalties for this address (PerSourcePenalties";
    for (port, said_by_ssh, words) in [
        (port(closed_at_once), " by 127.0.0.1 port ", closed),
        (port(reset), " by 127.0.0.1 port ", closed),
        (
            port(closed_during_key_exchange),
            " by 127.0.0.1 port ",
            closed,
        ),
        (
            free_port(),
            "Connection refused",
            "sshd is not listening there: run 'systemctl status ssh' on the signer",
        ),
    ] {
        let master = master(&format!("127.0.0.1:{port}"), "");
        let said = master.fails(&[], 69, words);
        assert!(said.contains("no answer: "), "{said}");
        assert!(said.contains(said_by_ssh), "{said}");
    }
    let master = master("no-such-host.invalid", "");
    master.fails(
        &[],
        69,
        "use an IP address in signers, or fix name resolution on this host",
    );
}

#[test]
fn login_that_is_not_permitted_is_explained_and_not_retried() {
    let ca = Ca::new();
    let sshd = Sshd::start(Login::ForceCommand, &forced_command(&ca));
    // Without a key, this sshd lets nobody in.
    let master = master(&sshd.place(), "");
    let text = master
        .dir
        .read("config.toml")
        .replace("attempts = 1", "attempts = 3");
    master.dir.write("config.toml", text);
    let said = master.fails(
        &[],
        69,
        "the login is not permitted: run 'etcd-signer check' on the signer",
    );
    assert!(said.contains("Permission denied"), "{said}");
    assert_eq!(said.matches("no answer: ").count(), 1, "{said}");
}

#[test]
fn changed_host_key_is_explained_and_not_retried() {
    let ca = Ca::new();
    let (sshd, other) = (
        Sshd::start(Login::ForceCommand, &forced_command(&ca)),
        Sshd::start(Login::ForceCommand, &forced_command(&ca)),
    );
    let identity = format!("identity = {:?}", sshd.dir.join("client"));
    let master = master(&sshd.place(), &identity);
    master.renews(&[]);
    let known = master.dir.read("known_hosts");
    let port = |sshd: &Sshd| sshd.place().rsplit_once(':').unwrap().1.to_owned();
    master
        .dir
        .write("known_hosts", known.replace(&port(&sshd), &port(&other)));
    let text = master.dir.read("config.toml");
    let text = text.replace(&sshd.place(), &other.place());
    master
        .dir
        .write("config.toml", text.replace("attempts = 1", "attempts = 3"));
    let said = master.fails(
        &["--force"],
        69,
        "its host key is not the one in known_hosts",
    );
    assert_eq!(said.matches("no answer: ").count(), 1, "{said}");
    assert!(said.contains("ssh-keygen -R"), "{said}");
}
