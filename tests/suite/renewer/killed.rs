//! SIGKILL at random points: key and certificate are always whole, and always a pair.

use super::Master;
use crate::harness::Ca;
use ring::rand::{SecureRandom as _, SystemRandom};
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How many runs are killed.
const KILLS: u32 = 1000;

#[test]
fn run_killed_at_any_point_leaves_a_whole_pair() {
    let ca = Ca::new();
    let master = Master::new();
    master.set_without_ssh(&ca, "");
    // How long a whole run takes here, at the least.
    let whole = (0..5)
        .map(|_| {
            let start = Instant::now();
            master.renews(&["--force"]);
            start.elapsed()
        })
        .min()
        .unwrap();
    let (mut cut, mut finished, mut with_leftovers, mut changed) = (0, 0, 0, 0);
    let mut seen = master.read("client.crt");
    let mut round = 0;
    while cut < KILLS {
        round += 1;
        assert!(round < 4 * KILLS, "hardly any run was killed: {cut}");
        // Every tenth starts from nothing, so that making the key is cut off too.
        if round % 10 == 0 {
            for name in ["client.key", "client.crt", "ca.crt"] {
                let _ = fs::remove_file(master.dir.join(name));
            }
            seen = Vec::new();
        }
        let mut run = master
            .command(&["renew", "--force"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_secs_f64(whole.as_secs_f64() * 1.2 * share()));
        if run.try_wait().unwrap().is_some() {
            finished += 1;
        } else {
            run.kill().unwrap();
            run.wait().unwrap();
            cut += 1;
        }
        if has_leftovers(&master) {
            with_leftovers += 1;
        }
        let key = master.dir.join("client.key");
        let certificate = master.dir.join("client.crt");
        if key.exists() {
            assert_eq!(master.mode("client.key"), 0o400);
            crate::harness::openssl(master.dir.path(), "pkey -in client.key -noout -check");
        }
        if certificate.exists() && master.read("client.crt") != seen {
            seen = master.read("client.crt");
            changed += 1;
            master.has_a_pair();
        }
    }
    println!(
        "{} runs of about {whole:?}: {cut} killed, {finished} finished before, \
         {with_leftovers} left a passing file, {changed} replaced the certificate",
        round
    );
    // The next run succeeds, and leaves nothing behind.
    master.renews(&["--force"]);
    master.has_a_pair();
    assert!(!has_leftovers(&master));
}

/// What changes files, and what stands between the changes.
const CALLS: [&str; 20] = [
    "openat",
    "write",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "unlink",
    "unlinkat",
    "fsync",
    "fchmod",
    "chmod",
    "fchown",
    "chown",
    "mkdir",
    "mkdirat",
    "flock",
    "read",
    "close",
    "wait4",
];

/// Killed before each single call in turn, from nothing and with a pair in place.
#[test]
fn run_killed_before_any_system_call_leaves_a_whole_pair() {
    let ca = Ca::new();
    for from_nothing in [true, false] {
        let master = Master::new();
        master.set_without_ssh(&ca, "");
        master.renews(&["--force"]);
        let (mut kills, mut replaced) = (0, 0);
        for call in CALLS {
            for count in 1.. {
                assert!(count < 1000, "{call}: it never ends by itself");
                match killed_at(&master, call, count, from_nothing) {
                    None => break,
                    Some(after) => {
                        kills += 1;
                        replaced += u32::from(after);
                    }
                }
            }
        }
        println!(
            "from nothing: {from_nothing}: killed before each of {kills} calls; \
             {replaced} of the runs had put a new certificate in place"
        );
        assert!(kills > 50 && replaced > 3, "{kills} {replaced}");
        master.renews(&["--force"]);
        master.has_a_pair();
        assert!(!has_leftovers(&master));
    }
}

/// Kills a run before it makes this call for this time, and looks what it left: whether a new
/// certificate. `None` if it had ended before.
fn killed_at(master: &Master, call: &str, count: u32, from_nothing: bool) -> Option<bool> {
    if from_nothing {
        for name in ["client.key", "client.crt", "ca.crt"] {
            let _ = fs::remove_file(master.dir.join(name));
        }
    }
    let before = fs::read(master.dir.join("client.crt")).ok();
    let command = master.command(&["renew", "--force"]);
    // Not every machine has every call: hence the question mark.
    let output = Command::new("strace")
        .args(["-o", "/dev/null", "-e"])
        .arg(format!("trace=?{call}"))
        .arg("-e")
        .arg(format!("inject=?{call}:signal=KILL:when={count}"))
        .arg(command.get_program())
        .args(command.get_args())
        .output()
        .unwrap();
    let what = format!("{call} {count}: {output:?}");
    let after = fs::read(master.dir.join("client.crt")).ok();
    if master.dir.join("client.key").exists() {
        assert_eq!(master.mode("client.key"), 0o400, "{what}");
        crate::harness::openssl(master.dir.path(), "pkey -in client.key -noout -check");
    }
    assert!(
        after.is_some() || from_nothing,
        "the certificate is gone: {what}"
    );
    let is_new = after.is_some() && after != before;
    if is_new {
        master.has_a_pair();
    }
    if output.status.success() {
        return None;
    }
    assert_eq!(output.status.signal(), Some(9), "{what}");
    Some(is_new)
}

/// From 0 to 1.
fn share() -> f64 {
    let mut bytes = [0; 2];
    SystemRandom::new().fill(&mut bytes).unwrap();
    f64::from(u16::from_be_bytes(bytes)) / f64::from(u16::MAX)
}

fn has_leftovers(master: &Master) -> bool {
    [master.dir.path().to_path_buf(), master.dir.join("state")]
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .any(|entry| {
            let name = entry.unwrap().file_name();
            name.to_str().unwrap().contains(".new-")
        })
}
