//! The closed set of commands: any other is refused before input is read.

use crate::harness::{Ca, Login, Sshd, answer, run};
use std::io::Read as _;
use std::process::Stdio;

/// Commands that must be refused. The strings that no shell or ssh can carry are in here too.
fn refused() -> Vec<Vec<u8>> {
    let texts = [
        "get-peers ",
        " get-peers",
        "get-peers\n",
        "get-peers\0",
        "get-peers\t",
        "GET-PEERS",
        "Get-Peers",
        "get_peers",
        "get-peer",
        "get-peerss",
        "get-peers;id",
        "get-peers get-peers",
        "get-certificate ",
        "get-certificate\r\n",
        "GET-CERTIFICATE",
        "get-certificates",
        "get-certificate --config /etc/shadow",
        "kubemaster",
        "kubemaster-",
        "kubemaster--",
        "kubemaster--1",
        "kubemaster-1-",
        "kubemaster-A",
        "Kubemaster-1",
        "KUBEMASTER-1",
        "kubemaster-1;id",
        "kubemaster-1 ",
        " kubemaster-1",
        "kubemaster-1\n",
        "kubemaster-1\nkubemaster-2",
        "kubemaster-1|id",
        "kubemaster-1&id",
        "kubemaster-$(id)",
        "kubemaster-`id`",
        "kubemaster-1.example",
        "kubemaster-1/..",
        "kubemaster-1_2",
        "kubemaster-\u{e4}",
        "kubemaster-\u{0430}",
        "kubemaster-1\u{200b}",
        "kubemaster_1",
        "kubenode-1",
        "$(id)",
        "`id`",
        "$HOSTNAME",
        "-c",
        "--help",
        "--version",
        "serve",
        "ca init",
        "etcd-signer",
        "etcd-signer serve",
        "/bin/sh",
        "sh -c id",
        "/usr/lib/openssh/sftp-server",
        "scp -t .",
        "rsync --server .",
        "*",
        "%s%n",
        "\u{1b}[2J",
        "\x07",
        " ",
        "\n",
        "'",
        "\"",
        "\\",
    ];
    let mut all: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    all.push(b"kubemaster-\xff".to_vec());
    all.push(b"\xff\xfe".to_vec());
    all.push(b"\xc3\x28".to_vec());
    all.push(format!("kubemaster-{}", "a".repeat(53)).into_bytes());
    all.push(vec![b'A'; 100_000]);
    all
}

#[test]
fn other_command_is_refused() {
    let ca = Ca::new();
    let commands = refused();
    assert!(commands.len() >= 40);
    for command in commands {
        // NUL cannot stand in an environment variable; the parser's own tests have it.
        if command.contains(&0) {
            continue;
        }
        ca.ask(Some(&command), b"").fails(64, "command refused: ");
    }
    ca.ask(None, b"").fails(64, "no command was given");
    ca.ask(Some(b""), b"").fails(64, "the command is empty");
    ca.ask(None, b"").fails(64, "$HOSTNAME");
}

#[test]
fn name_of_64_bytes_is_refused() {
    let ca = Ca::new();
    let name = format!("kubemaster-{}", "a".repeat(52));
    assert_eq!(name.len(), 63);
    let certificate = ca.sign(&name, &ca.request(&name)).ok();
    ca.verifies(&certificate);
    ca.sign(&format!("{name}a"), b"")
        .fails(64, "at most 63 bytes");
}

#[test]
fn refused_host_name_is_answered_with_the_remedy() {
    let ca = Ca::new();
    for (name, remedy) in [
        ("KUBEMASTER-1", "use lower case"),
        ("kubemaster-A", "use lower case"),
        ("kubemaster-1.example.com", "use \"$(hostname -s)\""),
        ("Kubemaster-1.Example.com", "use \"$(hostname -s)\""),
        ("etcd-1.example.com", "\"$(hostname -s)\""),
        ("$HOSTNAME", "\"$(hostname -s)\""),
    ] {
        ca.sign(name, b"").fails(64, remedy);
    }
}

/// The kernel limits one string of the environment to 128 KiB, so a mebibyte never arrives;
/// over ssh it does not either. What does is refused like the rest.
#[test]
fn other_command_over_ssh_is_refused_alike() {
    let ca = Ca::new();
    let settings = ca.settings();
    let forced = format!(
        "{} serve --config {}",
        crate::signer_path().display(),
        settings.display()
    );
    let sshd = Sshd::start(Login::ForceCommand, &forced);
    for command in [
        "get-peers ",
        "GET-PEERS",
        "kubemaster-",
        "kubemaster-A",
        "kubemaster-1;id",
        "$(id)",
        "kubemaster-1\nid",
        "-c",
        "--help",
        "/bin/sh",
        &"x".repeat(100_000),
    ] {
        answer(&sshd.ssh(Some(command), b"")).fails(64, "command refused: ");
    }
    answer(&sshd.ssh(None, b"")).fails(64, "no command was given");
    answer(&sshd.ssh(Some(""), b"")).fails(64, "no command was given");
    let mebibyte = sshd.ssh(Some(&"x".repeat(100 * 1024 + 1024)), b"");
    answer(&mebibyte).fails(64, "(103424 bytes)");
}

#[test]
fn refused_command_does_not_wait_for_input() {
    let ca = Ca::new();
    let mut child = ca
        .signer(Some(b"kubemaster-A"))
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Standard input stays open; a program that read it would not end.
    let stdin = child.stdin.take().unwrap();
    let mut line = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut line)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(64), "{line}");
    drop(stdin);
}

#[test]
fn get_certificate_prints_the_ca_certificate_only() {
    let ca = Ca::new();
    let certificate = ca.dir.read("ca.crt");
    assert_eq!(ca.ask(Some(b"get-certificate"), b"").ok(), certificate);
    // Text around the block is the operator's, and stays here.
    ca.replace("ca.crt", format!("a remark\n{certificate}more\n"), 0o644);
    assert_eq!(ca.ask(Some(b"get-certificate"), b"").ok(), certificate);
    // It needs no key.
    std::fs::remove_file(ca.dir.join("ca.key")).unwrap();
    assert_eq!(ca.ask(Some(b"get-certificate"), b"").ok(), certificate);
}

/// As a login shell: argv is the program's name and -c, or begins with a hyphen; the settings
/// are those at the default path, whatever the string says.
#[test]
fn login_shell_string_is_never_read() {
    use std::os::unix::process::CommandExt as _;
    let ca = Ca::new();
    let evil = format!("x serve --config {}", ca.settings().display());
    for (name, arguments) in [
        ("etcd-signer", vec!["-c", "/bin/sh -c id"]),
        ("etcd-signer", vec!["-c", evil.as_str()]),
        ("etcd-signer", vec!["-c"]),
        ("-etcd-signer", vec![]),
        ("-etcd-signer", vec!["ca", "init"]),
    ] {
        let mut shell = std::process::Command::new(crate::signer_path());
        shell.arg0(name).args(&arguments).env_clear();
        answer(&run(&mut shell, b"")).fails(64, "no command was given");
        shell.env("SSH_ORIGINAL_COMMAND", "id");
        answer(&run(&mut shell, b"")).fails(64, "\"id\" is not one of");
        if !std::path::Path::new("/etc/etcd/pki").exists() {
            shell.env("SSH_ORIGINAL_COMMAND", "get-certificate");
            answer(&run(&mut shell, b"")).fails(78, "/etc/etcd/pki/ca.crt");
        }
    }
}
