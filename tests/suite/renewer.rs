//! `etcd-client-cert`, the masters' program: against real sshd, signers and etcd.

mod authorities;
mod clocks;
mod deploy;
mod failures;
mod first_run;
mod killed;
mod logins;
mod pages;
mod renewals;
mod secrets;
mod status;
mod storage;

use crate::harness::{Ca, Dir, openssl, openssl_text, openssl_with, run};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A master: a folder with its files and its settings.
struct Master {
    dir: Dir,
}

impl Master {
    fn new() -> Self {
        Self { dir: Dir::new() }
    }

    /// Writes the settings: all files in the folder, and what is given.
    fn set(&self, signers: &[String], more: &str) {
        let dir = self.dir.path().display();
        self.dir.write(
            "config.toml",
            format!(
                "name = \"kubemaster-1\"\nsigners = {signers:?}\n\
                 ca_certificate = \"{dir}/ca.crt\"\ncertificate = \"{dir}/client.crt\"\n\
                 key = \"{dir}/client.key\"\nstate_directory = \"{dir}/state\"\n\
                 known_hosts = \"{dir}/known_hosts\"\n{more}\n"
            ),
        );
    }

    /// Settings under which a script stands where ssh would, and runs the signer of a CA.
    fn set_without_ssh(&self, ca: &Ca, more: &str) {
        let script = format!(
            "#!/bin/sh\nfor last; do :; done\necho \"$last\" >>{}/requests\n\
             SSH_ORIGINAL_COMMAND=$last exec {} serve --config {}\n",
            self.dir.path().display(),
            crate::signer_path().display(),
            ca.settings().display()
        );
        let ssh = self.script("ssh", &script);
        self.set(
            &["leader".to_owned()],
            &format!("ssh = {ssh:?}\nuse_members = false\n{more}"),
        );
    }

    /// An executable script. A shell writes it, so that no fork of this process has it open.
    fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.join(name);
        let made = run(
            Command::new("sh")
                .args(["-c", "cat >\"$0\" && chmod 755 \"$0\""])
                .arg(&path),
            text.as_bytes(),
        );
        assert!(made.status.success(), "{made:?}");
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let (verb, rest) = arguments.split_first().unwrap();
        let mut command = Command::new(crate::client_path());
        command
            .args([verb, "--config"])
            .arg(self.dir.join("config.toml"))
            .args(rest);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        run(&mut self.command(arguments), b"")
    }

    /// `renew`, which must exit with 0: its standard output.
    #[track_caller]
    fn renews(&self, arguments: &[&str]) -> String {
        let output = self.run(&[&["renew"], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// `renew`, which must fail with this code; a line of standard error has these words.
    #[track_caller]
    fn fails(&self, arguments: &[&str], code: i32, words: &str) -> String {
        let output = self.run(&[&["renew"], arguments].concat());
        fails(&output, code, words)
    }

    /// `status --json`.
    fn status(&self) -> serde_json::Value {
        let output = self.run(&["status", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.dir.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    fn mode(&self, name: &str) -> u32 {
        let metadata = std::fs::metadata(self.dir.join(name)).unwrap();
        metadata.permissions().mode() & 0o7777
    }

    /// Key and certificate are whole, belong together, and openssl takes them for a TLS client's.
    #[track_caller]
    fn has_a_pair(&self) {
        let words = "verify -purpose sslclient -x509_strict -CAfile ca.crt client.crt";
        assert_eq!(openssl_text(self.dir.path(), words), "client.crt: OK\n");
        self.has_belonging_keys();
    }

    #[track_caller]
    fn has_belonging_keys(&self) {
        let of_key = openssl_text(self.dir.path(), "pkey -in client.key -pubout");
        let of_certificate = openssl_text(self.dir.path(), "x509 -in client.crt -noout -pubkey");
        assert_eq!(of_key, of_certificate);
    }

    fn requests(&self) -> usize {
        std::fs::read_to_string(self.dir.join("requests")).map_or(0, |text| text.lines().count())
    }
}

/// It failed with this code, with lines of printable ASCII, one of which has these words.
#[track_caller]
fn fails(output: &Output, code: i32, words: &str) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    for line in stderr.lines() {
        assert!(line.starts_with("etcd-client-cert: "), "{line}");
        assert!(line.bytes().all(|b| matches!(b, b' '..=b'~')), "{line:?}");
        assert!(line.len() < 700, "too long: {line}");
    }
    assert!(stderr.contains(words), "no «{words}» in: {stderr}");
    stderr
}

/// A certificate such as the signer issues, but for any key, name and time, by openssl: it is put
/// into `<out>.crt`. `dates` are `openssl ca`'s.
fn certify(ca: &Ca, master: &Master, key: &str, name: &str, dates: &str, out: &str) {
    let extensions = format!(
        "basicConstraints=critical,CA:false\nkeyUsage=critical,digitalSignature\n\
         extendedKeyUsage=clientAuth\nsubjectAltName=DNS:{name}\n"
    );
    certify_with(ca, master, key, name, dates, out, &extensions);
}

/// The same with other extensions.
fn certify_with(
    ca: &Ca,
    master: &Master,
    key: &str,
    name: &str,
    dates: &str,
    out: &str,
    extensions: &str,
) {
    let (dir, pki) = (master.dir.path().display(), ca.dir.path().display());
    master.dir.write("index", "");
    master.dir.write(
        "ca.cnf",
        format!(
            "[ca]\ndefault_ca=d\n[d]\ndatabase={dir}/index\nnew_certs_dir={dir}\nrand_serial=yes\n\
             certificate={pki}/ca.crt\nprivate_key={pki}/ca.key\ndefault_md=sha256\n\
             policy=p\nx509_extensions=e\n[p]\ncommonName=supplied\n[e]\n{extensions}"
        ),
    );
    openssl(
        master.dir.path(),
        &format!("req -new -key {key} -subj /CN={name} -out {out}.csr"),
    );
    let words = format!("ca -batch -notext -config ca.cnf -in {out}.csr -out {out}.crt {dates}");
    let output = openssl_with(master.dir.path(), &words, b"");
    assert!(output.status.success(), "{output:?}");
}
