//! The key: never opened for writing once it is there, and nowhere else to be found.

use super::Master;
use crate::harness::{Ca, Login, Sshd, openssl, run};
use crate::used_by::forced_command;
use std::process::Command;

#[test]
fn the_key_is_never_opened_for_writing_and_leaves_by_no_way() {
    let ca = Ca::new();
    let sshd = Sshd::start(Login::ForceCommand, &forced_command(&ca));
    let master = Master::new();
    let identity = sshd.dir.join("client");
    master.set(&[sshd.place()], &format!("identity = {identity:?}"));
    for arguments in [
        &["renew"][..],
        &["renew", "--force"],
        &["renew"],
        &["status"],
    ] {
        let command = master.command(arguments);
        let trace = master.dir.join("trace");
        let mut strace = Command::new("strace");
        strace
            .args(["-f", "-y", "-v", "-s", "100000", "-o"])
            .arg(&trace)
            .arg(command.get_program())
            .args(command.get_args());
        let output = run(&mut strace, b"");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let calls = master.dir.read("trace");
        if arguments == ["renew", "--force"] {
            assert!(
                calls.contains("execve(\"/usr/bin/ssh\""),
                "ssh was not traced"
            );
        }

        // Under its own name it is only ever opened for reading.
        let opened: Vec<&str> = calls
            .lines()
            .filter(|line| line.contains("open") && line.contains("/client.key\""))
            .collect();
        assert!(!opened.is_empty());
        for line in opened {
            assert!(line.contains("O_RDONLY"), "{line}");
        }
        for line in calls.lines().filter(|line| line.contains("/client.key")) {
            for call in ["rename(", "unlink(", "truncate(", "chmod(", "chown("] {
                assert!(!line.contains(call), "{line}");
            }
        }

        // Its bytes are read, and written to the file itself when it is made, and that is all.
        let secret = secrets(&master);
        let mut found = 0;
        for line in calls
            .lines()
            .filter(|line| secret.iter().any(|s| line.contains(s)))
        {
            found += 1;
            let read = line.contains(" read(") || line.contains(" <... read resumed");
            let made = line.contains(" write(") && line.contains(".client.key.new-");
            assert!(
                line.contains("client.key") || line.contains("resumed"),
                "{line}"
            );
            assert!(read || made, "{line}");
        }
        assert!(
            found > 0,
            "the key's bytes were not even found where they are read"
        );
        for text in [&output.stdout, &output.stderr] {
            let text = String::from_utf8_lossy(text);
            assert!(!secret.iter().any(|s| text.contains(s)), "{text}");
        }
        let state = String::from_utf8(master.read("state/state.json")).unwrap();
        assert!(!secret.iter().any(|s| state.contains(s)), "{state}");
    }
}

/// The key's number in the forms in which it could be written: the lines of the PEM, hexadecimal,
/// and the bytes as strace shows them.
fn secrets(master: &Master) -> Vec<String> {
    let pem = String::from_utf8(master.read("client.key")).unwrap();
    let mut secrets: Vec<String> = pem
        .lines()
        .filter(|line| !line.starts_with('-'))
        // The first line begins with what every such key has in common.
        .map(|line| line[line.len().min(44) - 20..line.len().min(44)].to_owned())
        .collect();
    let text = String::from_utf8(openssl(
        master.dir.path(),
        "pkey -in client.key -noout -text",
    ))
    .unwrap();
    let number: String = text
        .split("priv:")
        .nth(1)
        .unwrap()
        .split("pub:")
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    secrets.push(number.replace(':', "")[..32].to_owned());
    // Octal escapes depend on what follows; runs of bytes that strace would show are too short
    // to look for, so the DER in hexadecimal stands for them.
    secrets
}
