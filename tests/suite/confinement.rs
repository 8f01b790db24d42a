//! What the confined process cannot do, layer by layer, and what the kernel says of it.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

/// The example of the same name, which `cargo test` builds beside the tests.
fn example() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    let path = path.join("examples/confinement");
    let hint = "cargo test --test alone does not build it: cargo build --example confinement";
    assert!(path.exists(), "{} is missing: {hint}", path.display());
    path
}

fn attempt(layers: &str, action: &str) -> Output {
    Command::new(example())
        .args([layers, action])
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

const ACTIONS: [&str; 8] = [
    "open", "create", "socket", "connect", "execve", "fork", "ptrace", "kill",
];

#[test]
fn unconfined_every_action_succeeds() {
    for action in ACTIONS {
        let output = attempt("none", action);
        assert!(output.status.success(), "{action}: {output:?}");
        // execve replaces the program, which then says nothing.
        let expected = if action == "execve" { "" } else { "done" };
        assert_eq!(said(&output), expected, "{action}");
    }
}

#[test]
fn seccomp_alone_ends_the_process_at_every_action() {
    const SIGSYS: i32 = 31;
    for layers in ["seccomp", "both"] {
        assert_eq!(said(&attempt(layers, "nothing")), "done");
        for action in ACTIONS {
            let output = attempt(layers, action);
            assert_eq!(output.status.signal(), Some(SIGSYS), "{layers} {action}");
            assert_eq!(said(&output), "", "{layers} {action}");
        }
    }
}

#[test]
fn landlock_alone_refuses_files_programs_tcp_and_signals() {
    assert_eq!(said(&attempt("landlock", "nothing")), "done");
    for action in ["open", "create", "connect", "execve", "fork"] {
        let output = said(&attempt("landlock", action));
        assert!(output.contains("os error 13"), "{action}: {output}");
    }
    let output = said(&attempt("landlock", "kill"));
    assert!(output.contains("os error 1"), "{output}");
}
