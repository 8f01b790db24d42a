//! What the tests stand on: folders, openssl, CAs, the signer itself, sshd and its client.
//!
//! Everything is real, in folders and on ports of its own, and gone when it is dropped.

pub mod shipped;
mod sshd;

pub use sshd::{Login, Sshd, free_port};

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder that is gone afterwards, unless the test fails.
pub struct Dir(PathBuf);

impl Dir {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("etcd-signer-").tempdir();
        Self(dir.unwrap().keep())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, contents).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("kept for a look: {}", self.0.display());
        } else {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }
}

/// Runs openssl in a folder; words are separated by single spaces, and `input` is its stdin.
pub fn openssl_with(dir: &Path, words: &str, input: &[u8]) -> Output {
    run(
        Command::new("openssl")
            .args(words.split(' '))
            .current_dir(dir),
        input,
    )
}

/// The same, which must succeed: its standard output.
pub fn openssl(dir: &Path, words: &str) -> Vec<u8> {
    let output = openssl_with(dir, words, b"");
    assert!(output.status.success(), "openssl {words}: {output:?}");
    output.stdout
}

/// The same, as text. (What it prints of a name may be in any encoding.)
pub fn openssl_text(dir: &Path, words: &str) -> String {
    String::from_utf8_lossy(&openssl(dir, words)).into_owned()
}

/// Runs a command with this standard input, whether or not it reads it.
pub fn run(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// How openssl is asked for a key of some kind.
pub fn key_words(kind: &str) -> &'static str {
    match kind {
        "rsa2048" => "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048",
        "rsa3072" => "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072",
        "rsa4096" => "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:4096",
        "p256" => "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256",
        "p384" => "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384",
        "ed25519" => "genpkey -algorithm ED25519",
        other => panic!("no such kind of key: {other}"),
    }
}

/// A CA that openssl made, with the signer's settings for it.
pub struct Ca {
    pub dir: Dir,
}

impl Ca {
    /// With a P-256 key.
    pub fn new() -> Self {
        Self::of_kind("p256")
    }

    pub fn of_kind(kind: &str) -> Self {
        Self::with(kind, "-subj /CN=test-ca -days 30")
    }

    /// With these arguments to `openssl req -x509`, besides the key usage of a CA.
    pub fn with(kind: &str, arguments: &str) -> Self {
        let usage = "-addext keyUsage=critical,keyCertSign,cRLSign";
        Self::with_only(kind, &format!("{arguments} {usage}"))
    }

    /// With these arguments to `openssl req -x509` alone.
    pub fn with_only(kind: &str, arguments: &str) -> Self {
        let dir = Dir::new();
        openssl(dir.path(), &format!("{} -out ca.key", key_words(kind)));
        openssl(
            dir.path(),
            &format!("req -x509 -new -key ca.key -out ca.crt {arguments}"),
        );
        let ca = Self { dir };
        ca.protect("ca.key", 0o400);
        ca.set("");
        ca
    }

    /// Takes the place of a file: the old one may not be writable.
    pub fn replace(&self, name: &str, contents: impl AsRef<[u8]>, mode: u32) {
        let _ = fs::remove_file(self.dir.join(name));
        self.dir.write(name, contents);
        self.protect(name, mode);
    }

    pub fn protect(&self, name: &str, mode: u32) {
        fs::set_permissions(self.dir.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Writes the settings: the CA's files, and what is given.
    pub fn set(&self, more: &str) {
        let dir = self.dir.path().display();
        self.dir.write(
            "config.toml",
            format!("ca_certificate = \"{dir}/ca.crt\"\nca_key = \"{dir}/ca.key\"\n{more}\n"),
        );
        self.protect("config.toml", 0o644);
    }

    pub fn settings(&self) -> PathBuf {
        self.dir.join("config.toml")
    }

    /// A request for a name, made by openssl with a new P-256 key: base64 of PEM.
    pub fn request(&self, name: &str) -> Vec<u8> {
        let pem = self.request_pem("p256", name, "");
        base64(&pem)
    }

    /// A request in PEM; its key is in `client.key`.
    pub fn request_pem(&self, kind: &str, name: &str, arguments: &str) -> Vec<u8> {
        openssl(
            self.dir.path(),
            &format!("{} -out client.key", key_words(kind)),
        );
        let arguments = if arguments.is_empty() {
            String::new()
        } else {
            format!(" {arguments}")
        };
        openssl(
            self.dir.path(),
            &format!("req -new -key client.key -subj /CN={name}{arguments}"),
        )
    }

    /// Asks the signer for `name`.
    pub fn sign(&self, name: &str, input: &[u8]) -> Answer {
        self.ask(Some(name.as_bytes()), input)
    }

    /// Runs `serve` with this command and standard input, and an environment of nothing else.
    pub fn ask(&self, command: Option<&[u8]>, input: &[u8]) -> Answer {
        answer(&run(&mut self.signer(command), input))
    }

    /// The `serve` that [`Ca::ask`] runs.
    pub fn signer(&self, command: Option<&[u8]>) -> Command {
        let mut signer = Command::new(crate::signer_path());
        signer
            .args(["serve", "--config"])
            .arg(self.settings())
            .env_clear()
            .current_dir("/");
        if let Some(command) = command {
            signer.env("SSH_ORIGINAL_COMMAND", OsString::from_vec(command.to_vec()));
        }
        signer
    }

    /// Whether openssl takes a certificate for a TLS client's, from this CA.
    pub fn verifies(&self, certificate: &str) {
        self.dir.write("issued.crt", certificate);
        let words = "verify -purpose sslclient -x509_strict -CAfile ca.crt issued.crt";
        assert_eq!(openssl_text(self.dir.path(), words), "issued.crt: OK\n");
    }
}

/// GNU's base64, 76 columns: what the README tells masters to use.
pub fn base64(bytes: &[u8]) -> Vec<u8> {
    let output = run(&mut Command::new("base64"), bytes);
    assert!(output.status.success());
    output.stdout
}

/// How the signer ended.
#[derive(Debug)]
pub struct Answer {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

pub fn answer(output: &Output) -> Answer {
    Answer {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout.clone()).unwrap(),
        stderr: String::from_utf8(output.stderr.clone()).unwrap(),
    }
}

impl Answer {
    /// It answered, and said nothing on standard error.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        self.stdout
    }

    /// It failed with this code: nothing on standard output, one printable line of error that
    /// has these words in it and ends in a request's id.
    #[track_caller]
    pub fn fails(&self, code: i32, words: &str) {
        assert_eq!(
            (self.code, self.stdout.as_str()),
            (Some(code), ""),
            "{self:?}"
        );
        let id = regex::Regex::new(r"\Aetcd-signer: [^:]+: [ -~]+ \[request [0-9a-f]{16}\]\n\z")
            .unwrap();
        assert!(
            id.is_match(&self.stderr),
            "not one such line: {:?}",
            self.stderr
        );
        assert!(
            self.stderr.contains(words),
            "no «{words}» in: {}",
            self.stderr
        );
        assert!(self.stderr.len() < 600, "too long: {}", self.stderr);
    }
}

/// Says that something was not tested, past the capture of what a passing test prints.
pub fn left_out(what: &str) {
    let line = format!("\nLEFT OUT: {what}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// Whether the tests run as root; if not, says what is left out, and why.
pub fn is_root(what: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        left_out(&format!("{what}, which needs root"));
    }
    root
}

/// A command inside a mount namespace of its own (see namespace.sh). Root only.
pub fn in_namespace(dir: &Dir, journald: bool, program: &str) -> Command {
    let script = dir.write("namespace.sh", include_str!("namespace.sh"));
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "--pid", "--fork"]);
    command
        .args(["--kill-child=KILL", "--mount-proc", "bash"])
        .arg(script);
    if !journald {
        command.arg("-");
    }
    command.arg(dir.path()).arg(program);
    // Killing the group ends the namespace with it.
    command.process_group(0);
    command
}

/// The signer's records in a folder's journal, once there are at least so many.
pub fn records(dir: &Dir, at_least: usize) -> Vec<serde_json::Value> {
    let mut found = Vec::new();
    for _ in 0..100 {
        let output = Command::new("journalctl")
            .args([
                "--output",
                "json",
                "--identifier",
                "etcd-signer",
                "--directory",
            ])
            .arg(dir.join("journal"))
            .output()
            .unwrap();
        found = String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        if found.len() >= at_least {
            return found;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{} records instead of {at_least}: {found:?}", found.len());
}
