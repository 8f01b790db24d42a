//! The story of the README: the lines that a master types, over ssh, against etcd.

use crate::harness::{Ca, Dir, Login, Sshd, is_root, openssl, openssl_text, records};
use std::fs::File;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// An etcd with one member that asks clients for a certificate of one CA.
pub(crate) struct Etcd {
    dir: Dir,
    child: Child,
    pub(crate) endpoint: String,
    peer: String,
}

impl Etcd {
    pub(crate) fn start(ca: &Ca) -> Self {
        let dir = Dir::new();
        std::fs::copy(ca.dir.join("ca.crt"), dir.join("ca.crt")).unwrap();
        certify_server(&dir, ca);
        let endpoint = format!("https://127.0.0.1:{}", crate::harness::free_port());
        let peer = format!("http://127.0.0.1:{}", crate::harness::free_port());
        let child = launch(&dir, &endpoint, &peer);
        Self {
            dir,
            child,
            endpoint,
            peer,
        }
    }

    /// From now on its server certificate is of another CA. It trusts both.
    pub(crate) fn move_to(&mut self, other: &Ca) {
        let both = self.dir.read("ca.crt") + &other.dir.read("ca.crt");
        self.dir.write("ca.crt", both);
        certify_server(&self.dir, other);
        self.restart();
    }

    /// Ends it without any warning, and starts it again with what it had.
    pub(crate) fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = launch(&self.dir, &self.endpoint, &self.peer);
        for _ in 0..400 {
            if self.is_up() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("etcd does not come back: {}", self.dir.read("etcd.log"));
    }

    fn is_up(&self) -> bool {
        let log = self.dir.read("etcd.log");
        log.contains("ready to serve client requests")
    }

    /// etcdctl with the files that a master has in a folder. It waits for etcd to be there.
    pub(crate) fn ctl(&self, master: &Dir, arguments: &[&str]) -> Output {
        for attempt in 0.. {
            let output = Command::new("etcdctl")
                .env("ETCDCTL_API", "3")
                .args(["--endpoints", &self.endpoint, "--cacert"])
                .arg(self.dir.join("ca.crt"))
                .args(["--cert", "client.crt", "--key", "client.key"])
                .args(["--command-timeout=3s", "--dial-timeout=3s"])
                .args(arguments)
                .current_dir(master.path())
                .output()
                .unwrap();
            if self.is_up() || attempt > 200 {
                return output;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        unreachable!()
    }
}

/// A server certificate of this CA.
fn certify_server(dir: &Dir, ca: &Ca) {
    let pki = ca.dir.path().display();
    dir.write(
        "extensions",
        "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n",
    );
    openssl(
        dir.path(),
        "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key \
         -subj /CN=etcd -out server.csr",
    );
    openssl(
        dir.path(),
        &format!(
            "x509 -req -in server.csr -CA {pki}/ca.crt -CAkey {pki}/ca.key -days 2 \
             -extfile extensions -set_serial 1 -out server.crt"
        ),
    );
}

fn launch(dir: &Dir, endpoint: &str, peer: &str) -> Child {
    let log = File::create(dir.join("etcd.log")).unwrap();
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "etcd", "--data-dir"])
        .arg(dir.join("data"))
        .args(["--listen-client-urls", endpoint])
        .args(["--advertise-client-urls", endpoint])
        .args(["--listen-peer-urls", peer])
        .args(["--initial-advertise-peer-urls", peer])
        .args(["--initial-cluster", &format!("default={peer}")])
        .args(["--client-cert-auth", "--trusted-ca-file", "ca.crt"])
        .args(["--cert-file", "server.crt", "--key-file", "server.key"])
        .env("ETCD_UNSUPPORTED_ARCH", std::env::consts::ARCH)
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("--- etcd's log:\n{}", self.dir.read("etcd.log"));
        }
    }
}

pub(crate) fn forced_command(ca: &Ca) -> String {
    format!(
        "{} serve --config {}",
        crate::signer_path().display(),
        ca.settings().display()
    )
}

/// The lines of the README, as a master types them.
const LINES: &str = r#"
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
    -keyout client.key -subj "/CN=$HOSTNAME" -out client.csr 2>/dev/null
ssh signer@leader get-certificate > ca.crt
base64 < client.csr | ssh signer@leader "$HOSTNAME" > client.crt
ssh signer@leader get-peers > peers
"#;

#[test]
fn master_gets_a_certificate_that_etcd_accepts() {
    for login in [Login::ForceCommand, Login::AuthorizedKeys] {
        let ca = Ca::new();
        let etcd = Etcd::start(&ca);
        ca.set(&format!("etcd_endpoints = [{:?}]", etcd.endpoint));
        let sshd = Sshd::start(login, &forced_command(&ca));
        let master = Dir::new();
        // etcd is up when this has an answer.
        master.write("client.crt", "");
        etcd.ctl(&master, &["version"]);
        let output = sshd.shell(&master, LINES, &[("HOSTNAME", "kubemaster-1")]);
        assert!(output.status.success(), "{login:?}: {output:?}");

        assert_eq!(master.read("ca.crt"), ca.dir.read("ca.crt"));
        let words = "verify -purpose sslclient -x509_strict -CAfile ca.crt client.crt";
        assert_eq!(openssl_text(master.path(), words), "client.crt: OK\n");
        assert_eq!(master.read("peers"), format!("{}\n", etcd.endpoint));

        let put = etcd.ctl(&master, &["put", "key", "value"]);
        assert_eq!(String::from_utf8_lossy(&put.stdout), "OK\n", "{put:?}");
        let get = etcd.ctl(&master, &["get", "key", "--print-value-only"]);
        assert_eq!(String::from_utf8_lossy(&get.stdout), "value\n", "{get:?}");
    }
}

#[test]
fn certificate_of_another_ca_is_refused_by_etcd() {
    let ca = Ca::new();
    let other = Ca::with("p256", "-subj /CN=test-ca -days 30");
    let etcd = Etcd::start(&ca);
    let master = Dir::new();
    for (signer, accepted) in [(&ca, true), (&other, false)] {
        let certificate = signer.sign("kubemaster-1", &signer.request("kubemaster-1"));
        master.write("client.crt", certificate.ok());
        std::fs::copy(signer.dir.join("client.key"), master.join("client.key")).unwrap();
        let put = etcd.ctl(&master, &["put", "key", "value"]);
        assert_eq!(put.status.success(), accepted, "{put:?}");
        assert_eq!(put.stdout == b"OK\n", accepted);
    }
    assert!(etcd.dir.read("etcd.log").contains("certificate"));
}

#[test]
fn request_leaves_one_record_in_the_journal() {
    if !is_root("a journal of its own, to look for the audit records in") {
        return;
    }
    let ca = Ca::new();
    let sshd = Sshd::start(Login::ForceCommand, &forced_command(&ca));
    let request = ca.request("kubemaster-7");
    let certificate = sshd.ssh(Some("kubemaster-7"), &request);
    assert!(certificate.status.success(), "{certificate:?}");
    ca.dir.write("issued.crt", &certificate.stdout);
    assert!(sshd.ssh(Some("get-certificate"), b"").status.success());
    let refusal = sshd.ssh(Some("kubemaster-8"), &request);
    assert_eq!(refusal.status.code(), Some(65));
    let unknown = sshd.ssh(Some("id\n\u{1b}[31m\"x"), b"");
    assert_eq!(unknown.status.code(), Some(64));

    let found = records(&sshd.dir, 4);
    assert_eq!(found.len(), 4, "{found:?}");
    let field = |record: usize, name: &str| {
        let value = &found[record][format!("ETCD_SIGNER_{name}")];
        value.as_str().map(str::to_owned)
    };
    let all = |name: &str| {
        (0..4)
            .map(|at| field(at, name).unwrap_or_default())
            .collect::<Vec<_>>()
    };
    assert_eq!(all("OUTCOME"), ["granted", "granted", "refused", "refused"]);
    assert_eq!(all("EXIT_CODE"), ["0", "0", "65", "64"]);
    assert_eq!(all("CLIENT_ADDRESS"), ["127.0.0.1"; 4]);
    assert_eq!(all("NAME"), ["kubemaster-7", "", "kubemaster-8", ""]);
    assert_eq!(
        all("REQUEST"),
        [
            "kubemaster-7",
            "get-certificate",
            "kubemaster-8",
            r#"id\n\x1b[31m\"x"#
        ]
    );
    // What openssl reads from the certificate and from the key.
    let serial = openssl_text(ca.dir.path(), "x509 -in issued.crt -noout -serial");
    let serial = serial
        .trim()
        .strip_prefix("serial=")
        .unwrap()
        .to_lowercase();
    assert_eq!(field(0, "SERIAL").unwrap(), serial);
    let end = openssl_text(
        ca.dir.path(),
        "x509 -in issued.crt -noout -enddate -dateopt iso_8601",
    );
    let end = end
        .trim()
        .strip_prefix("notAfter=")
        .unwrap()
        .replace(' ', "T");
    assert_eq!(field(0, "NOT_AFTER").unwrap(), end);
    openssl(
        ca.dir.path(),
        "pkey -in client.key -pubout -outform DER -out key.der",
    );
    let digest = openssl_text(ca.dir.path(), "dgst -sha256 -r key.der");
    let digest = digest.split(' ').next().unwrap();
    assert_eq!(field(0, "PUBLIC_KEY_SHA256").unwrap(), digest);
    assert_eq!(field(2, "PUBLIC_KEY_SHA256").unwrap(), digest);
    assert_eq!(field(2, "SERIAL"), None);
    // The id that the client was told.
    for (record, output) in [(2, refusal), (3, unknown)] {
        let line = String::from_utf8(output.stderr).unwrap();
        let id = field(record, "REQUEST_ID").unwrap();
        assert!(line.ends_with(&format!("[request {id}]\n")), "{line}");
    }
    let port: u16 = field(0, "CLIENT_PORT").unwrap().parse().unwrap();
    assert!(port > 0);
    let message = |record: usize| found[record]["MESSAGE"].as_str().unwrap();
    let from = |record: usize| {
        let port = field(record, "CLIENT_PORT").unwrap();
        format!("from 127.0.0.1 port {port}")
    };
    assert_eq!(
        message(0),
        format!(
            "granted kubemaster-7 {}: valid until {end}, serial {serial}",
            from(0)
        )
    );
    assert_eq!(message(1), format!("granted get-certificate {}", from(1)));
    for (record, request) in [(2, "kubemaster-8"), (3, r#"id\n\x1b[31m\"x"#)] {
        let reason = field(record, "REASON").unwrap();
        assert_eq!(
            message(record),
            format!("refused \"{request}\" {}: {reason}", from(record))
        );
    }
    assert_eq!(found[0]["SYSLOG_FACILITY"], "10");
    assert_eq!(found[0]["PRIORITY"], "5");
    assert_eq!(found[3]["PRIORITY"], "4");
}
