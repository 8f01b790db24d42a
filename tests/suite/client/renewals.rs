//! A running etcd client while its certificate is renewed, ten times.

use super::Master;
use crate::harness::{Ca, Dir, Login, Sshd};
use crate::used_by::{Etcd, forced_command};
use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const RENEWALS: usize = 10;

struct Watch(Child);

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Certificates live a minute. Ten renewals are forced, a few seconds apart; with
/// `ETCD_CLIENT_CERT_LONG` set (`make test-renewal`) they come when they are due, which takes
/// some seven minutes, so that the first certificates have long expired.
#[test]
fn a_client_runs_through_ten_renewals_without_a_failed_put() {
    let long = std::env::var_os("ETCD_CLIENT_CERT_LONG").is_some();
    let ca = Ca::new();
    let etcd = Etcd::start(&ca);
    ca.set(&format!(
        "validity = \"1m\"\netcd_endpoints = [{:?}]",
        etcd.endpoint
    ));
    let sshd = Sshd::start(Login::ForceCommand, &forced_command(&ca));
    let nobody = Dir::new();
    nobody.write("client.crt", "");
    etcd.ctl(&nobody, &["version"]);
    let master = Master::new();
    let identity = sshd.dir.join("client");
    master.set(&[sshd.place()], &format!("identity = {identity:?}"));
    master.renews(&[]);

    let watch = Watch(
        Command::new("setpriv")
            .args([
                "--pdeathsig",
                "KILL",
                "etcdctl",
                "--endpoints",
                &etcd.endpoint,
            ])
            .args([
                "--cacert",
                "ca.crt",
                "--cert",
                "client.crt",
                "--key",
                "client.key",
            ])
            .args(["watch", "key"])
            .env("ETCDCTL_API", "3")
            .current_dir(master.dir.path())
            .stdin(Stdio::null())
            .stdout(File::create(master.dir.join("watched")).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let done = AtomicBool::new(false);
    let mut certificates = vec![master.read("client.crt")];
    let (puts, failed) = std::thread::scope(|scope| {
        let puts = scope.spawn(|| {
            let (mut puts, mut failed) = (0, Vec::new());
            while !done.load(Ordering::Relaxed) {
                let start = Instant::now();
                // Each is a process and a connection of its own.
                let output = etcd.ctl(&master.dir, &["put", "key", &puts.to_string()]);
                puts += 1;
                if output.stdout != b"OK\n" {
                    failed.push(output);
                }
                std::thread::sleep(Duration::from_millis(100).saturating_sub(start.elapsed()));
            }
            (puts, failed)
        });
        let begin = Instant::now();
        while certificates.len() <= RENEWALS && begin.elapsed() < Duration::from_secs(1200) {
            std::thread::sleep(Duration::from_secs(2));
            let arguments: &[&str] = if long { &[] } else { &["--force"] };
            let output = master.run(&[&["renew"], arguments].concat());
            let certificate = master.read("client.crt");
            if output.status.code() != Some(0) {
                done.store(true, Ordering::Relaxed);
                panic!("{output:?}");
            }
            if certificates.last() != Some(&certificate) {
                certificates.push(certificate);
            }
        }
        done.store(true, Ordering::Relaxed);
        puts.join().unwrap()
    });
    println!("{puts} puts through {} renewals", certificates.len() - 1);
    assert_eq!(certificates.len(), RENEWALS + 1);
    assert!(
        failed.is_empty(),
        "{} of {puts}: {:?}",
        failed.len(),
        failed[0]
    );
    assert!(puts > 20, "{puts}");

    // The watch was opened with the first certificate, and has seen the last put.
    let last = (puts - 1).to_string();
    for _ in 0..100 {
        if master.dir.read("watched").lines().last() == Some(&last) {
            drop(watch);
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let watched = master.dir.read("watched").lines().count() / 3;
    panic!("the watch saw {watched} of {puts} puts, and not the last");
}
