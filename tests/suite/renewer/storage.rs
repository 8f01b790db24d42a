//! Files: owner and mode are kept, and what cannot be written is said and leaves all as it was.

use super::{Master, fails};
use crate::harness::{Ca, is_root, run};
use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::process::Command;

fn with_certificate() -> (Ca, Master) {
    let ca = Ca::new();
    let master = Master::new();
    master.set_without_ssh(&ca, "");
    master.renews(&[]);
    master.has_a_pair();
    (ca, master)
}

/// What the files hold that may not change.
fn files(master: &Master) -> BTreeMap<&'static str, Vec<u8>> {
    ["ca.crt", "client.crt", "client.key"]
        .map(|name| (name, master.read(name)))
        .into()
}

fn leftovers(master: &Master) -> Vec<String> {
    let mut found = Vec::new();
    for folder in [master.dir.path().to_path_buf(), master.dir.join("state")] {
        for entry in fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.contains(".new-") {
                found.push(name);
            }
        }
    }
    found
}

#[test]
fn replaced_certificate_keeps_owner_and_mode() {
    let (_ca, master) = with_certificate();
    let path = master.dir.join("client.crt");
    for mode in [0o640, 0o444, 0o600] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let before = master.read("client.crt");
        master.renews(&["--force"]);
        assert_ne!(master.read("client.crt"), before);
        assert_eq!(master.mode("client.crt"), mode);
    }
    if is_root("a certificate's owner") {
        chown(&path, Some(12345), Some(54321)).unwrap();
        master.renews(&["--force"]);
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (12345, 54321));
        assert_eq!(master.mode("client.crt"), 0o600);
    }
    assert!(leftovers(&master).is_empty());
}

#[test]
fn symbolic_link_stays_in_place() {
    let (_ca, master) = with_certificate();
    fs::create_dir(master.dir.join("real")).unwrap();
    fs::rename(master.dir.join("client.crt"), master.dir.join("real/x.crt")).unwrap();
    symlink("real/x.crt", master.dir.join("client.crt")).unwrap();
    let before = master.read("client.crt");
    master.renews(&["--force"]);
    assert_ne!(master.read("client.crt"), before);
    assert!(master.dir.join("client.crt").is_symlink());
    master.has_a_pair();
}

#[test]
fn certificate_not_due_asks_no_signer() {
    let (_ca, master) = with_certificate();
    let (before, requests) = (files(&master), master.requests());
    for _ in 0..5 {
        let said = master.renews(&[]);
        assert!(said.starts_with("not due before "), "{said}");
    }
    assert_eq!((files(&master), master.requests()), (before, requests));
}

/// A file that is gone, for another key, name or CA, or nonsense, is replaced at the next run.
#[test]
fn unfit_certificate_is_due() {
    let (ca, master) = with_certificate();
    let good = master.read("client.crt");
    let foreign = ca.sign("kubemaster-1", &ca.request("kubemaster-1")).ok();
    for (what, contents) in [
        ("missing", None),
        ("empty", Some(Vec::new())),
        ("cut", Some(good[..good.len() / 2].to_vec())),
        ("foreign key", Some(foreign.into_bytes())),
        ("a CA's", Some(master.read("ca.crt"))),
    ] {
        let path = master.dir.join("client.crt");
        fs::remove_file(&path).unwrap();
        if let Some(contents) = contents {
            fs::write(&path, contents).unwrap();
        }
        let requests = master.requests();
        assert_eq!(
            master.status()["certificate"]["state"],
            "unusable",
            "{what}"
        );
        master.renews(&[]);
        master.has_a_pair();
        assert_eq!(master.requests(), requests + 1, "{what}");
    }
    // Another name in the settings, then.
    let text = master
        .dir
        .read("config.toml")
        .replace("kubemaster-1", "kubemaster-2");
    master.dir.write("config.toml", text);
    let said = master.renews(&[]);
    assert!(said.starts_with("renewed by "), "{said}");
    master.has_a_pair();
}

#[test]
fn changed_ca_is_refused_with_both_fingerprints() {
    let (_ca, master) = with_certificate();
    let before = files(&master);
    let other = Ca::with("p256", "-subj /CN=test-ca -days 30");
    let fingerprint = |file: &std::path::Path| {
        let words = format!("x509 -in {} -noout -fingerprint -sha256", file.display());
        let text = crate::harness::openssl_text(master.dir.path(), &words);
        text.trim()
            .split_once('=')
            .unwrap()
            .1
            .replace(':', "")
            .to_lowercase()
    };
    master.set_without_ssh(&other, "");
    let said = master.fails(
        &["--force"],
        65,
        "is not signed by an installed CA: the signer's has the SHA-256 ",
    );
    for file in [other.dir.join("ca.crt"), master.dir.join("ca.crt")] {
        assert!(said.contains(&fingerprint(&file)), "{said}");
    }
    assert!(
        said.contains("only if you replaced the CA deliberately"),
        "{said}"
    );
    assert_eq!(files(&master), before);
    // The operator puts the new one there: the next run renews.
    fs::copy(other.dir.join("ca.crt"), master.dir.join("ca.crt")).unwrap();
    master.renews(&[]);
    master.has_a_pair();
}

#[test]
fn concurrent_runs_leave_one_pair() {
    let ca = Ca::new();
    let master = Master::new();
    master.set_without_ssh(&ca, "");
    for round in 0..5 {
        if round % 2 == 0 {
            for name in ["client.key", "client.crt", "ca.crt"] {
                let _ = fs::remove_file(master.dir.join(name));
            }
        }
        let runs: Vec<_> = (0..8)
            .map(|_| {
                let mut command = master.command(&["renew", "--force"]);
                std::thread::spawn(move || run(&mut command, b""))
            })
            .collect();
        for run in runs {
            let output = run.join().unwrap();
            assert_eq!(output.status.code(), Some(0), "{output:?}");
        }
        master.has_a_pair();
        assert!(leftovers(&master).is_empty());
    }
}

/// One that waits too long for another's end does nothing, and that is no failure.
#[test]
fn second_run_gives_up_while_the_first_works() {
    let (ca, master) = with_certificate();
    let before = files(&master);
    let lock = File::open(master.dir.join("state/lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let said = master.renews(&["--force"]);
    assert_eq!(said, "another run is in progress: nothing to do\n");
    assert_eq!(files(&master), before);
    drop(lock);
    master.renews(&["--force"]);
    drop(ca);
}

#[test]
fn missing_permission_is_reported_and_changes_nothing() {
    if !is_root("runs of an ordinary user among root's files") {
        return;
    }
    let (_ca, master) = with_certificate();
    let before = files(&master);
    let open = |path: &std::path::Path, mode| {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    open(master.dir.path(), 0o755);
    // The executable may be where the other user cannot go.
    let program = master.dir.join("etcd-client-cert");
    // Not by this process, whose forks would have it open for writing (ETXTBSY).
    let copied = run(
        Command::new("cp").arg(crate::client_path()).arg(&program),
        b"",
    );
    assert!(copied.status.success(), "{copied:?}");
    open(&program, 0o755);
    let as_nobody = |arguments: &[&str]| {
        let command = master.command(arguments);
        let mut other = Command::new("setpriv");
        other
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&program)
            .args(command.get_args());
        run(&mut other, b"")
    };
    let output = as_nobody(&["renew", "--force"]);
    fails(
        &output,
        77,
        "state/lock: opening failed: Permission denied (os error 13): run this as the owner",
    );

    // The lock is its own; the key is not.
    let text = master.dir.read("config.toml");
    master.dir.write(
        "config.toml",
        text.replace("/state\"", "/own/state\"")
            .replace("/known_hosts\"", "/own/known_hosts\"")
            .replace("/known_hosts\"", "/own/known_hosts\""),
    );
    fs::create_dir(master.dir.join("own")).unwrap();
    chown(master.dir.join("own"), Some(65534), Some(65534)).unwrap();
    let output = as_nobody(&["renew", "--force"]);
    fails(
        &output,
        77,
        "client.key: it cannot be read: Permission denied",
    );

    // The key is readable; the directory is not writable.
    open(&master.dir.join("client.key"), 0o444);
    open(&master.dir.join("requests"), 0o666);
    let output = as_nobody(&["renew", "--force"]);
    fails(&output, 69, "it cannot answer (7");
    assert_eq!(files(&master), before);

    // Monitoring needs no key.
    open(&master.dir.join("client.key"), 0o400);
    let output = as_nobody(&["status"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("not checked, because this user cannot read it"),
        "{said}"
    );
}

/// A shell in a mount namespace of its own, in which `/mnt` is what `mount` makes of it.
fn in_mounts(master: &Master, lines: &str) -> std::process::Output {
    let script = master.dir.write(
        "mounts.sh",
        format!(
            "set -eu\ncd {}\nrenew() {{ {} renew --config config.toml \"$@\"; }}\n{lines}\n",
            master.dir.path().display(),
            crate::client_path().display()
        ),
    );
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "bash"])
        .arg(script);
    run(&mut command, b"")
}

#[test]
fn full_disk_is_reported_and_changes_nothing() {
    if !is_root("a disk that is full, in a mount namespace of its own") {
        return;
    }
    let (_ca, master) = with_certificate();
    fs::create_dir(master.dir.join("disk")).unwrap();
    let text = master.dir.read("config.toml");
    let text = text
        .replace("/client.", "/disk/client.")
        .replace("/ca.crt", "/disk/ca.crt");
    master
        .dir
        .write("config.toml", text.replace("/state\"", "/disk/state\""));
    let output = in_mounts(
        &master,
        r#"
mount -t tmpfs -o size=64k,mode=755 tmpfs disk
# Full from the start: no key, no certificate, and nothing that looks like one.
head -c 100000 /dev/zero >disk/ballast || :
code=0; renew 2>first || code=$?
echo "first $code $(ls -A disk | tr '\n' ' ')"
rm disk/ballast; renew >&2
mkdir kept; cp disk/client.* disk/ca.crt kept
head -c 100000 /dev/zero >disk/ballast || :
code=0; renew --force 2>second || code=$?
echo "second $code"
for file in kept/*; do cmp "$file" "disk/${file#kept/}"; done
ls -A disk | grep -c new- || :
rm disk/ballast; renew --force >&2
! cmp -s kept/client.crt disk/client.crt
cmp kept/client.key disk/client.key && echo third
"#,
    );
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        stdout, "first 74 ballast state \nsecond 74\n0\nthird\n",
        "{output:?}"
    );
    for name in ["first", "second"] {
        let said = master.dir.read(name);
        assert!(
            said.contains("No space left on device (os error 28): free some space"),
            "{said}"
        );
    }
}

#[test]
fn read_only_file_system_is_reported_and_changes_nothing() {
    if !is_root("a read-only file system, in a mount namespace of its own") {
        return;
    }
    let (_ca, master) = with_certificate();
    let output = in_mounts(
        &master,
        r#"
mkdir pki; cp client.* ca.crt pki
sed -i 's|/client\.|/pki/client.|; s|/ca\.crt|/pki/ca.crt|' config.toml
mount --bind pki pki; mount -o remount,ro,bind pki
code=0; renew --force 2>first || code=$?
echo "certificate $code"
for file in ca.crt client.crt client.key; do cmp $file pki/$file; done
umount pki
mount --bind state state; mount -o remount,ro,bind state
code=0; renew --force 2>second || code=$?
echo "state $code"
for file in ca.crt client.crt client.key; do cmp $file pki/$file; done
umount state
renew --force >&2 && echo done
"#,
    );
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(stdout, "certificate 74\nstate 74\ndone\n", "{output:?}");
    for name in ["first", "second"] {
        let said = master.dir.read(name);
        assert!(
            said.contains("Read-only file system (os error 30): mount it writable"),
            "{said}"
        );
    }
}

/// The hook runs after a replacement, with its arguments as they stand. Its failure is said and
/// takes nothing back, and the next run tries it again.
#[test]
fn hook_runs_once_for_each_replacement() {
    let (ca, master) = with_certificate();
    let dir = master.dir.path().display().to_string();
    let hook = master.script("hook", "#!/bin/sh\nprintf '%s|' \"$@\" >>\"$1\"\n[ ! -e \"$1.fail\" ] || { echo broken >&2; exit 3; }\n");
    let arguments = format!("hook = [{hook:?}, \"{dir}/ran\", \"a b\", \"$(x)\"]");
    master.set_without_ssh(&ca, &arguments);
    // No replacement, no hook.
    master.renews(&[]);
    assert!(!master.dir.join("ran").exists());
    master.renews(&["--force"]);
    let once = format!("{dir}/ran|a b|$(x)|");
    assert_eq!(master.dir.read("ran"), once);
    master.renews(&[]);
    assert_eq!(master.dir.read("ran"), once);

    master.dir.write("ran.fail", "");
    let before = master.read("client.crt");
    master.fails(&["--force"], 71, "hook: the certificate is renewed, but ");
    assert_ne!(master.read("client.crt"), before);
    master.has_a_pair();
    let after = master.read("client.crt");
    master.fails(&[], 71, "broken");
    fs::remove_file(master.dir.join("ran.fail")).unwrap();
    master.renews(&[]);
    assert_eq!(master.dir.read("ran"), once.repeat(4));
    assert_eq!(master.read("client.crt"), after);
    master.renews(&[]);
    assert_eq!(master.dir.read("ran"), once.repeat(4));

    // One that does not end is ended.
    let sleep = master.script("sleep", "#!/bin/sh\nsleep 300\n");
    master.set_without_ssh(&ca, &format!("hook = [{sleep:?}]\nhook_timeout = \"1s\""));
    master.fails(&["--force"], 71, "did not finish within 1 s");
}
