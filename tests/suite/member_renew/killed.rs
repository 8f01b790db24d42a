//! SIGKILL before each single system call of `member fetch`: key and certificate are always whole,
//! and always a pair.

use super::bed::{Bed, DUE};
use crate::harness::openssl_text;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

/// What changes files, and what stands between the changes.
const CALLS: [&str; 15] = [
    "open",
    "connect",
    "openat",
    "write",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "fsync",
    "fchmod",
    "fchown",
    "getdents64",
    "read",
    "close",
];

#[test]
fn fetch_killed_before_any_system_call_leaves_a_whole_pair() {
    let bed = Bed::start(&[DUE]);
    bed.renew(&[]).ok();
    let (old, new) = (fs::read(bed.certificate(0)).unwrap(), bed.published(0));
    let key = bed.ca.dir.read("m0.key");
    let public = openssl_text(bed.ca.dir.path(), "pkey -in m0.key -pubout");
    assert_eq!(bed.said(&new, "-pubkey"), public);
    let (mut kills, mut replaced) = (0, 0);
    for call in CALLS {
        for count in 1.. {
            assert!(count < 1000, "{call}: it never ends by itself");
            bed.ca.replace("m0.crt", &old, 0o444);
            let command = bed.fetch_command(0, &[]);
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
            let after = fs::read(bed.certificate(0)).unwrap();
            let is_new = after == new.as_bytes();
            assert!(is_new || after == old, "{call} {count}: {output:?}");
            assert_eq!(bed.ca.dir.read("m0.key"), key);
            if output.status.success() {
                assert!(is_new, "{call} {count}: {output:?}");
                break;
            }
            assert_eq!(
                output.status.signal(),
                Some(9),
                "{call} {count}: {output:?}"
            );
            kills += 1;
            replaced += u32::from(is_new);
        }
    }
    println!("killed before each of {kills} calls; {replaced} of them had replaced the file");
    assert!(kills > 30 && replaced > 2, "{kills} {replaced}");
    // The next run leaves nothing of theirs behind.
    bed.ca.replace("m0.crt", &old, 0o444);
    bed.fetch(0, &[]).ok();
    let left = fs::read_dir(bed.ca.dir.path()).unwrap();
    let left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<String> = left.filter(|name| name.contains(".new-")).collect();
    assert!(left.is_empty(), "{left:?}");
}
