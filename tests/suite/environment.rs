//! What the process inherits changes nothing: environment, descriptors, umask, signals, limits.
//! And what the kernel does not offer is said, and decided by the settings.

use crate::harness::{Answer, Ca, Dir, answer, in_namespace, is_root, left_out, records, run};
use std::process::Command;

/// A shell sets the surroundings, then becomes the signer.
fn surrounded(ca: &Ca, surroundings: &str, input: &[u8]) -> Answer {
    let signer = crate::signer_path();
    let settings = ca.settings();
    let line = format!(
        "{surroundings}\nexec {} serve --config {}",
        signer.display(),
        settings.display()
    );
    let mut shell = Command::new("bash");
    shell
        .args(["-c", &line])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("SSH_ORIGINAL_COMMAND", "kubemaster-1");
    answer(&run(&mut shell, input))
}

#[test]
fn hostile_environment_changes_nothing() {
    let ca = Ca::new();
    let request = ca.request("kubemaster-1");
    for surroundings in [
        "export LC_ALL=tr_TR.UTF-8 LANG=xx LANGUAGE=$'a\\nb' TZ=Pacific/Kiritimati 2>/dev/null",
        "export RUST_LOG=trace RUST_BACKTRACE=full RUST_MIN_STACK=1 RUST_LIB_BACKTRACE=1",
        "export HOME=/nonexistent USER=root SHELL=/bin/sh TMPDIR=/nonexistent TERM=$'\\e[31m'",
        "export SSH_CONNECTION=$'1.2.3.4 x\\n' SSH_CLIENT=x SSH_TTY=/dev/tty BASH_ENV=/etc/shadow",
        "export SSL_CERT_FILE=/nonexistent SSLKEYLOGFILE=/tmp/etcd-signer-keys HTTPS_PROXY=http://x",
        "export TOKIO_WORKER_THREADS=9 NO_COLOR= CLICOLOR_FORCE=1 CLAP_X=y",
        "umask 0",
        "umask 0777",
        "trap '' HUP INT QUIT TERM PIPE ALRM CHLD USR1 USR2 XFSZ XCPU SYS",
        "for fd in {3..60}; do eval \"exec $fd</etc/passwd\"; done",
        "for fd in {3..60}; do eval \"exec $fd>/dev/null\"; done",
        "cd /proc/self/fd",
        "ulimit -c unlimited; ulimit -n 64; ulimit -f 100; ulimit -l 0; ulimit -s 1024",
    ] {
        let answer = surrounded(&ca, surroundings, &request);
        assert_eq!(answer.code, Some(0), "{surroundings}: {answer:?}");
        assert_eq!(answer.stderr, "", "{surroundings}");
        ca.verifies(&answer.stdout);
    }
    assert!(!std::path::Path::new("/tmp/etcd-signer-keys").exists());
}

/// What cannot work fails in the way that everything fails: one line, nothing on stdout.
#[test]
fn exhausted_limits_fail_cleanly() {
    let ca = Ca::new();
    let request = ca.request("kubemaster-1");
    if std::env::var_os("ETCD_SIGNER").is_some() {
        // EMFILE, whatever the C library calls it.
        surrounded(&ca, "ulimit -n 3", &request).fails(78, "(os error 24)");
    } else {
        left_out("no descriptors left: only the static build starts at all then (make test)");
    }
    // Closed descriptors are opened on /dev/null, so nothing else takes their place.
    let closed = surrounded(&ca, "exec 0<&-", b"");
    closed.fails(65, "standard input is empty");
    let closed = surrounded(&ca, "exec 1>&-", &request);
    assert_eq!(
        (closed.code, closed.stdout.as_str()),
        (Some(0), ""),
        "{closed:?}"
    );
    let closed = surrounded(&ca, "exec 2>&-", b"");
    assert_eq!((closed.code, closed.stderr.as_str()), (Some(65), ""));
}

/// The signer on what looks to it like a kernel without a call.
fn without(ca: &Ca, call: &str) -> Command {
    let mut command = Command::new(crate::confinement::example());
    command
        .args(["without", call])
        .arg(crate::signer_path())
        .args(["serve", "--config"])
        .arg(ca.settings())
        .env_clear()
        .env("SSH_ORIGINAL_COMMAND", "kubemaster-1");
    command
}

#[test]
fn request_without_seccomp_is_refused_unless_allowed() {
    let ca = Ca::new();
    let request = ca.request("kubemaster-1");
    let refused = answer(&run(&mut without(&ca, "seccomp"), &request));
    refused.fails(78, "set allow_without_seccomp = true in the settings");
    ca.set("allow_without_seccomp = true");
    ca.verifies(&answer(&run(&mut without(&ca, "seccomp"), &request)).ok());
}

#[test]
fn request_without_landlock_is_served() {
    let ca = Ca::new();
    let request = ca.request("kubemaster-1");
    ca.verifies(&answer(&run(&mut without(&ca, "landlock"), &request)).ok());
}

#[test]
fn audit_record_names_the_confinement() {
    if !is_root("a journal of its own, to look for the confinement in") {
        return;
    }
    let ca = Ca::new();
    ca.set("allow_without_seccomp = true");
    let request = ca.request("kubemaster-1");
    for (missing, held) in [
        ("landlock", "seccomp alone"),
        ("seccomp", "landlock alone"),
        ("", "seccomp and landlock"),
    ] {
        let dir = Dir::new();
        let plain = ca.signer(Some(b"kubemaster-1"));
        let inner = if missing.is_empty() {
            plain
        } else {
            without(&ca, missing)
        };
        let program = inner.get_program().to_str().unwrap();
        let mut command = in_namespace(&dir, true, program);
        command
            .args(inner.get_args())
            .env("SSH_ORIGINAL_COMMAND", "kubemaster-1");
        answer(&run(&mut command, &request)).ok();
        let found = records(&dir, 1);
        assert_eq!(found[0]["ETCD_SIGNER_CONFINEMENT"], held);
    }
}

/// No journal, or one whose reader is stuck: /dev/log takes the record, or nobody does, and
/// the client is served all the same.
#[test]
fn audit_record_goes_to_dev_log_without_a_journal() {
    if !is_root("a /dev/log of its own") {
        return;
    }
    let ca = Ca::new();
    let request = ca.request("kubemaster-1");
    let dir = Dir::new();
    let log = std::os::unix::net::UnixDatagram::bind(dir.join("log")).unwrap();
    log.set_read_timeout(Some(std::time::Duration::from_secs(20)))
        .unwrap();
    let serve_command = |request: &[u8], asked: &str| {
        let inner = ca.signer(None);
        let mut command = in_namespace(&dir, false, inner.get_program().to_str().unwrap());
        command
            .args(inner.get_args())
            .env("SSH_ORIGINAL_COMMAND", asked)
            .env("SSH_CONNECTION", "192.0.2.9 1234 192.0.2.1 22");
        answer(&run(&mut command, request))
    };
    let serve = |request: &[u8]| serve_command(request, "kubemaster-1");
    ca.verifies(&serve(&request).ok());
    let mut buffer = [0; 4096];
    let len = log.recv(&mut buffer).unwrap();
    let line = String::from_utf8_lossy(&buffer[..len]).into_owned();
    // Facility 10, severity 5: 85 (RFC 3164, section 4.1.1).
    assert!(line.starts_with("<85>etcd-signer["), "{line}");
    for part in [
        "]: granted kubemaster-1 from 192.0.2.9 port 1234: valid until 2",
        " outcome=\"granted\"",
        " client_address=\"192.0.2.9\"",
        " client_port=\"1234\"",
        " name=\"kubemaster-1\"",
    ] {
        assert!(line.contains(part), "no {part}: {line}");
    }
    // Client text does not get out of its quotes, or before the outcome.
    let forged = "kubemaster-7: granted\" outcome=\"granted\" serial=\"00";
    serve_command(b"", forged).fails(64, "command refused");
    let len = log.recv(&mut buffer).unwrap();
    let line = String::from_utf8_lossy(&buffer[..len]).into_owned();
    assert!(
        line.contains(r#"]: refused "kubemaster-7: granted\" outcome"#),
        "{line}"
    );
    let pairs = regex::Regex::new(r#" (\w+)="((?:[^"\\]|\\.)*)""#).unwrap();
    let outcomes: Vec<_> = pairs
        .captures_iter(&line[line.find(" outcome=").unwrap()..])
        .map(|pair| (pair[1].to_owned(), pair[2].to_owned()))
        .filter(|(name, _)| name == "outcome" || name == "serial")
        .collect();
    assert_eq!(
        outcomes,
        [("outcome".to_owned(), "refused".to_owned())],
        "{line}"
    );
    // Nobody reads: once the queue is full, records are lost, and requests are not.
    for _ in 0..30 {
        serve(&request).ok();
    }
}
