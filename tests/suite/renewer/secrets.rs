//! The key: never opened for writing once it is there, and nowhere else to be found.

use super::Master;
use crate::harness::{Ca, Login, Sshd, openssl, run};
use crate::used_by::forced_command;
use std::process::Command;

#[test]
fn private_key_is_never_written_again_nor_sent() {
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
            .args(["-f", "-y", "-v", "-xx", "-s", "100000", "-o"])
            .arg(&trace)
            .arg(command.get_program())
            .args(command.get_args());
        let output = run(&mut strace, b"");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let trace = master.dir.read("trace");
        let calls: Vec<String> = trace.lines().map(decoded).collect();
        if arguments == ["renew", "--force"] {
            assert!(
                calls
                    .iter()
                    .any(|line| line.contains("execve(\"/usr/bin/ssh\"")),
                "ssh was not traced"
            );
        }

        // Under its own name it is only ever opened for reading.
        let opened: Vec<&String> = calls
            .iter()
            .filter(|line| line.contains("open") && line.contains("/client.key\""))
            .collect();
        assert!(!opened.is_empty());
        for line in opened {
            assert!(line.contains("O_RDONLY"), "{line}");
        }
        for line in calls.iter().filter(|line| line.contains("/client.key")) {
            for call in ["rename(", "unlink(", "truncate(", "chmod(", "chown("] {
                assert!(!line.contains(call), "{line}");
            }
        }

        // Its bytes are read, and written to the file itself when it is made, and that is all.
        let secret = secrets(&master);
        let mut found = 0;
        for line in calls
            .iter()
            .filter(|line| secret.iter().any(|s| line.contains(s)))
        {
            found += 1;
            let read = line.contains(" read(") || line.contains(" <... read resumed");
            let made = line.contains(" write(") && line.contains(".client.key.new-");
            // Where it comes from.
            let born = line.contains(" getrandom(");
            assert!(
                line.contains("client.key") || line.contains("resumed") || born,
                "{line}"
            );
            assert!(read || made || born, "{line}");
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

/// A line of the trace with its strings as the bytes that they are, each byte one character.
fn decoded(line: &str) -> String {
    let escape = regex::Regex::new(r"\\x([0-9a-f]{2})").unwrap();
    escape
        .replace_all(line, |found: &regex::Captures<'_>| {
            char::from(u8::from_str_radix(&found[1], 16).unwrap()).to_string()
        })
        .into_owned()
}

/// The key's number in the forms in which it could be written: parts of the PEM's lines,
/// hexadecimal, and its bytes.
fn secrets(master: &Master) -> Vec<String> {
    let pem = String::from_utf8(master.read("client.key")).unwrap();
    let mut secrets: Vec<String> = pem
        .lines()
        // The first line begins, and the last one ends, with what is no secret: the number is
        // from the 36th byte on.
        .filter(|line| line.len() == 64)
        .take(1)
        .map(|line| line[48..64].to_owned())
        .collect();
    assert_eq!(secrets.len(), 1, "a P-256 key");
    let words = "pkey -in client.key -noout -text";
    let text = String::from_utf8(openssl(master.dir.path(), words)).unwrap();
    let number = text.split("priv:").nth(1).unwrap();
    let number = number.split("pub:").next().unwrap();
    let number: String = number.chars().filter(char::is_ascii_hexdigit).collect();
    let last = &number[number.len() - 32..];
    secrets.push(last.to_owned());
    secrets.push(last.to_uppercase());
    let bytes = (0..16).map(|at| u8::from_str_radix(&last[at * 2..at * 2 + 2], 16).unwrap());
    secrets.push(bytes.map(char::from).collect());
    secrets
}
