//! A running etcd client while its certificate is renewed, ten times.

use super::{Master, certify};
use crate::harness::{Ca, Dir, Login, Sshd, key_words, openssl};
use crate::used_by::{Etcd, forced_command};
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const RENEWALS: usize = 10;

/// `etcdctl watch key`, running.
struct Watch {
    child: Child,
    log: PathBuf,
}

impl Watch {
    fn start(etcd: &Etcd, dir: &Dir) -> Self {
        Self::start_as(etcd, dir, "watched")
    }

    /// The same, with a log of its own.
    fn start_as(etcd: &Etcd, dir: &Dir, log: &str) -> Self {
        let log = dir.join(log);
        let child = Command::new("setpriv")
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
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(File::create(&log).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, log }
    }

    fn has_seen(&self, value: &str) -> bool {
        let seen = std::fs::read_to_string(&self.log).unwrap();
        seen.lines().any(|line| line == value)
    }

    /// Whether it sees a value, sooner or later.
    fn sees(&self, value: &str) -> bool {
        (0..100).any(|_| {
            let seen = self.has_seen(value);
            if !seen {
                std::thread::sleep(Duration::from_millis(100));
            }
            seen
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Certificates live a minute. Ten renewals are forced, a few seconds apart; with
/// `ETCD_CLIENT_CERT_LONG` set (`make test-renewal`) they come when they are due, which takes
/// four minutes, so that the first certificates have long expired.
#[test]
fn client_survives_ten_renewals_without_a_failed_put() {
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

    let watch = Watch::start(&etcd, &master.dir);
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
    assert!(
        watch.sees(&last),
        "not {last}: {}",
        master.dir.read("watched")
    );
}

/// A client that loses its connection when its first certificate has expired comes back with
/// the one that is in place then; one whose certificate was not renewed does not.
#[test]
fn running_client_reconnects_with_the_new_certificate() {
    let ca = Ca::new();
    let mut etcd = Etcd::start(&ca);
    let nobody = Dir::new();
    nobody.write("client.crt", "");
    etcd.ctl(&nobody, &["version"]);

    // Two masters with certificates of a few seconds.
    let (renewed, forgotten) = (Master::new(), Master::new());
    let end = soon(12);
    for master in [&renewed, &forgotten] {
        master.set_without_ssh(&ca, "");
        std::fs::copy(ca.dir.join("ca.crt"), master.dir.join("ca.crt")).unwrap();
        let words = format!("{} -out client.key", key_words("p256"));
        openssl(master.dir.path(), &words);
        let dates = format!("-startdate 20200101000000Z -enddate {end}");
        certify(&ca, master, "client.key", "kubemaster-1", &dates, "client");
    }
    let (watch, stale) = (
        Watch::start(&etcd, &renewed.dir),
        Watch::start(&etcd, &forgotten.dir),
    );
    let both_see = |value: &str| {
        let put = etcd.ctl(&renewed.dir, &["put", "key", value]);
        assert_eq!(put.stdout, b"OK\n", "{put:?}");
        assert!(watch.sees(value) && stale.sees(value), "{value}");
    };
    // A watch that is not there yet misses a put.
    std::thread::sleep(Duration::from_secs(2));
    both_see("with the first");
    renewed.renews(&["--force"]);
    renewed.has_a_pair();
    while soon(0) <= end {
        std::thread::sleep(Duration::from_millis(200));
    }
    // Connections outlive the certificate that they were opened with.
    both_see("after its end");
    let refused = etcd.ctl(&forgotten.dir, &["put", "key", "value"]);
    assert_ne!(refused.stdout, b"OK\n");

    etcd.restart();
    let mut last = String::new();
    for attempt in 0..60 {
        last = format!("after the restart, {attempt}");
        let put = etcd.ctl(&renewed.dir, &["put", "key", &last]);
        assert_eq!(put.stdout, b"OK\n", "{put:?}");
        if watch.has_seen(&last) {
            break;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(watch.has_seen(&last), "{}", renewed.dir.read("watched"));
    let seen = forgotten.dir.read("watched");
    assert!(!seen.contains("after the restart"), "{seen}");
}

/// A client reads the CA once: when etcd has moved to another, it does not come back, whatever its
/// file says by then. A new process does.
#[test]
fn new_ca_needs_a_restart_of_the_client() {
    let (ca, other) = (Ca::new(), Ca::with("p256", "-subj /CN=other-ca -days 30"));
    let mut etcd = Etcd::start(&ca);
    let nobody = Dir::new();
    nobody.write("client.crt", "");
    etcd.ctl(&nobody, &["version"]);
    let master = Master::new();
    master.set_without_ssh(&ca, "");
    master.renews(&[]);
    let watch = Watch::start(&etcd, &master.dir);
    std::thread::sleep(Duration::from_secs(2));
    etcd.ctl(&master.dir, &["put", "key", "before"]);
    assert!(watch.sees("before"));

    let both = ca.dir.read("ca.crt") + &other.dir.read("ca.crt");
    std::fs::write(master.dir.join("ca.crt"), both).unwrap();
    etcd.move_to(&other);
    let mut fresh: Option<Watch> = None;
    let mut last = String::new();
    for attempt in 0..40 {
        last = format!("after the move, {attempt}");
        let put = etcd.ctl(&master.dir, &["put", "key", &last]);
        assert_eq!(put.stdout, b"OK\n", "{put:?}");
        if fresh.as_ref().is_some_and(|fresh| fresh.has_seen(&last)) && attempt > 20 {
            break;
        }
        fresh.get_or_insert_with(|| Watch::start_as(&etcd, &master.dir, "fresh"));
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(fresh.unwrap().has_seen(&last), "a new process");
    let seen = master.dir.read("watched");
    assert!(!seen.contains("after the move"), "{seen}");
}

/// So many seconds from now, as openssl takes it.
fn soon(seconds: i64) -> String {
    let time = time::OffsetDateTime::now_utc() + time::Duration::seconds(seconds);
    let (date, clock) = (time.date(), time.time());
    format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        clock.hour(),
        clock.minute(),
        clock.second()
    )
}
