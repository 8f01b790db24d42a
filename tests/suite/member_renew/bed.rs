//! A CA of openssl's, and etcd members with certificates that begin and end when a test wants.

use crate::harness::{Answer, Ca, answer, openssl, openssl_text, run};
use crate::peers::address;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use time::OffsetDateTime;

/// A bound that only a hang reaches.
const HANG: Duration = Duration::from_secs(90);

/// From when to when a certificate is valid, in days from now.
#[derive(Clone, Copy)]
pub(super) struct Days(pub(super) i64, pub(super) i64);

/// In its last third, but not in its last sixth.
pub(super) const DUE: Days = Days(-70, 20);
/// In its last sixth.
pub(super) const URGENT: Days = Days(-85, 5);
pub(super) const FRESH: Days = Days(-10, 80);

pub(super) const MEMBER: &str = "extendedKeyUsage=serverAuth,clientAuth";

pub(super) struct Bed {
    pub(super) ca: Ca,
    members: Vec<Member>,
    /// Further arguments of every etcd.
    arguments: Vec<String>,
}

struct Member {
    address: Ipv4Addr,
    /// Where it says that clients find it.
    advertised: String,
    process: Option<Child>,
}

impl Bed {
    /// So many members with certificates of this validity, healthy.
    pub(super) fn start(validities: &[Days]) -> Self {
        Self::start_with(validities, &[])
    }

    pub(super) fn start_with(validities: &[Days], arguments: &[&str]) -> Self {
        Self::start_of_kind("p256", validities, arguments)
    }

    /// With a CA key of this kind.
    pub(super) fn start_of_kind(kind: &str, validities: &[Days], arguments: &[&str]) -> Self {
        let mut bed = Self::of(kind, validities.len());
        bed.arguments = arguments.iter().map(|&text| text.to_owned()).collect();
        for (index, validity) in validities.iter().enumerate() {
            bed.new_key(index);
            let names = bed.names(index);
            bed.certify(&format!("m{index}"), "etcd-member", &names, *validity);
        }
        bed.run_all();
        bed
    }

    /// One member, which says that clients find it elsewhere.
    pub(super) fn start_advertising(elsewhere: &str) -> Self {
        let mut bed = Self::of("p256", 1);
        bed.members[0].advertised = elsewhere.to_owned();
        bed.new_key(0);
        let names = bed.names(0);
        bed.certify("m0", "etcd-member", &names, FRESH);
        bed.run_all();
        bed
    }

    fn of(kind: &str, count: usize) -> Self {
        let ca = Ca::with(kind, "-subj /CN=etcd-ca -days 3650");
        let members: Vec<Member> = (0..count)
            .map(|_| {
                let address = address();
                Member {
                    address,
                    advertised: format!("https://{address}:2379"),
                    process: None,
                }
            })
            .collect();
        let bed = Self {
            ca,
            members,
            arguments: Vec::new(),
        };
        bed.ca.dir.write(
            "ca.conf",
            "[ca]\ndefault_ca=d\n[d]\nnew_certs_dir=.\ndatabase=index\npolicy=p\n\
             default_md=sha256\nrand_serial=yes\nunique_subject=no\n[p]\ncommonName=supplied\n",
        );
        bed.set_endpoints();
        bed.new_key_file("root");
        bed.certify("root", "root", "extendedKeyUsage=clientAuth", FRESH);
        bed
    }

    fn run_all(&mut self) {
        for index in 0..self.members.len() {
            self.run(index);
        }
        for index in 0..self.members.len() {
            self.wait("health", |bed| {
                let health = ["endpoint", "health", "--command-timeout=2s"];
                bed.try_etcdctl(&health, index, b"").status.success()
            });
        }
    }

    /// Settings with all members as endpoints, for all commands.
    pub(super) fn set_endpoints(&self) {
        let urls: Vec<String> = (0..self.members.len())
            .map(|index| self.url(index))
            .collect();
        self.ca
            .set(&format!("etcd_endpoints = {urls:?}\netcd_timeout = \"3s\""));
    }

    pub(super) fn address(&self, index: usize) -> Ipv4Addr {
        self.members[index].address
    }

    pub(super) fn url(&self, index: usize) -> String {
        format!("https://{}:2379", self.members[index].address)
    }

    pub(super) fn names(&self, index: usize) -> String {
        let address = self.members[index].address;
        format!("subjectAltName=IP:{address},IP:127.0.0.1,DNS:m{index}.example\n{MEMBER}")
    }

    fn new_key(&self, index: usize) {
        self.new_key_file(&format!("m{index}"));
    }

    pub(super) fn new_key_file(&self, name: &str) {
        let words =
            format!("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {name}.key");
        openssl(self.ca.dir.path(), &words);
        self.ca.protect(&format!("{name}.key"), 0o400);
    }

    /// `NAME.crt` for `NAME.key`, by `openssl ca`.
    pub(super) fn certify(&self, name: &str, common_name: &str, extensions: &str, validity: Days) {
        let certificate = self.certificate_by("ca", name, common_name, extensions, validity);
        self.ca.replace(&format!("{name}.crt"), certificate, 0o444);
    }

    /// The same of the CA in `ISSUER.crt`, for another file.
    pub(super) fn certificate_by(
        &self,
        issuer: &str,
        name: &str,
        common_name: &str,
        extensions: &str,
        validity: Days,
    ) -> String {
        let dir = &self.ca.dir;
        dir.write("extensions", extensions);
        dir.write("index", "");
        let words = format!("req -new -key {name}.key -subj /CN={common_name} -out csr");
        openssl(dir.path(), &words);
        let words = format!(
            "ca -batch -config ca.conf -cert {issuer}.crt -keyfile {issuer}.key -in csr -extfile \
             extensions -notext -startdate {} -enddate {} -out made.crt",
            in_days(validity.0),
            in_days(validity.1)
        );
        openssl(dir.path(), &words);
        dir.read("made.crt")
    }

    pub(super) fn renew(&self, arguments: &[&str]) -> Answer {
        answer(&run(&mut self.renew_command(arguments), b""))
    }

    pub(super) fn renew_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(crate::signer_path());
        command
            .args(["member", "renew", "--config"])
            .arg(self.ca.settings())
            .args(arguments)
            .env_clear();
        command
    }

    pub(super) fn fetch(&self, index: usize, arguments: &[&str]) -> Answer {
        answer(&run(&mut self.fetch_command(index, arguments), b""))
    }

    pub(super) fn fetch_command(&self, index: usize, arguments: &[&str]) -> Command {
        let settings = self.ca.dir.write(
            &format!("m{index}.toml"),
            format!(
                "ca_certificate = {:?}\netcd_endpoints = [{:?}]\netcd_timeout = \"3s\"\n",
                self.ca.dir.join("ca.crt"),
                self.url(index)
            ),
        );
        fs::set_permissions(&settings, fs::Permissions::from_mode(0o644)).unwrap();
        let mut command = Command::new(crate::signer_path());
        command
            .args(["member", "fetch", "--config"])
            .arg(settings)
            .arg("--certificate")
            .arg(self.certificate(index))
            .arg("--key")
            .arg(self.ca.dir.join(&format!("m{index}.key")))
            .args(arguments)
            .env_clear();
        command
    }

    pub(super) fn certificate(&self, index: usize) -> PathBuf {
        self.ca.dir.join(&format!("m{index}.crt"))
    }

    /// What openssl says of a certificate in PEM.
    pub(super) fn said(&self, certificate: &str, words: &str) -> String {
        self.ca.dir.write("asked.crt", certificate);
        openssl_text(
            self.ca.dir.path(),
            &format!("x509 -in asked.crt -noout {words}"),
        )
    }

    /// The key in etcd for a key file, by openssl's hash.
    pub(super) fn key(&self, name: &str) -> String {
        let dir = self.ca.dir.path();
        let spki = openssl(dir, &format!("pkey -in {name}.key -pubout -outform DER"));
        self.ca.dir.write("spki", spki);
        let hash = openssl_text(dir, "dgst -sha256 -r spki");
        format!("/etcd-signer/member/{}", hash.split(' ').next().unwrap())
    }

    /// What is published for a member: empty if nothing is.
    pub(super) fn published(&self, index: usize) -> String {
        let key = self.key(&format!("m{index}"));
        let output = self.etcdctl(&["get", "--print-value-only", &key], b"");
        let text = String::from_utf8(output.stdout).unwrap();
        // etcdctl ends it with a line feed of its own.
        text.strip_suffix('\n').unwrap_or(&text).to_owned()
    }

    /// How many keys there are below the prefix.
    pub(super) fn count(&self) -> usize {
        let words = ["get", "--prefix", "--keys-only", "/etcd-signer/"];
        let output = self.etcdctl(&words, b"");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter(|line| !line.is_empty()).count()
    }

    pub(super) fn publish(&self, index: usize, value: impl AsRef<[u8]>) {
        let key = self.key(&format!("m{index}"));
        self.etcdctl(&["put", &key], value.as_ref());
    }

    /// Runs etcdctl as root against the first member, with a standard input; it must succeed.
    pub(super) fn etcdctl(&self, arguments: &[&str], input: &[u8]) -> Output {
        let output = self.try_etcdctl(arguments, 0, input);
        assert!(output.status.success(), "etcdctl {arguments:?}: {output:?}");
        output
    }

    pub(super) fn try_etcdctl(&self, arguments: &[&str], index: usize, input: &[u8]) -> Output {
        let dir = &self.ca.dir;
        let mut command = Command::new(std::env::var("ETCDCTL").unwrap_or("etcdctl".to_owned()));
        command
            .env("ETCDCTL_API", "3")
            .env("ETCDCTL_CACERT", dir.join("ca.crt"))
            .env("ETCDCTL_CERT", dir.join("root.crt"))
            .env("ETCDCTL_KEY", dir.join("root.key"))
            .env("ETCDCTL_ENDPOINTS", self.url(index))
            .args(arguments);
        run(&mut command, input)
    }

    /// Ends a member without any warning.
    pub(super) fn kill(&mut self, index: usize) {
        if let Some(mut process) = self.members[index].process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Starts a member's process. It dies with the test's thread, whatever becomes of it.
    pub(super) fn run(&mut self, index: usize) {
        let cluster: Vec<String> = self
            .members
            .iter()
            .enumerate()
            .map(|(index, member)| format!("m{index}=https://{}:2380", member.address))
            .collect();
        let member = &self.members[index];
        let dir = &self.ca.dir;
        let log = File::create(dir.join(&format!("m{index}.log"))).unwrap();
        let (client, peer) = (
            format!("https://{}:2379", member.address),
            format!("https://{}:2380", member.address),
        );
        let file = |suffix: &str| dir.join(&format!("m{index}.{suffix}"));
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(std::env::var("ETCD").unwrap_or("etcd".to_owned()))
            .args(["--name", &format!("m{index}"), "--data-dir"])
            .arg(file("data"))
            .args(["--listen-client-urls", &client])
            .args(["--advertise-client-urls", &member.advertised])
            .args(["--listen-peer-urls", &peer])
            .args(["--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &cluster.join(",")])
            .args(["--client-cert-auth", "--peer-client-cert-auth"])
            .args(["--peer-cert-allowed-cn", "etcd-member"])
            .args([
                "--trusted-ca-file",
                "ca.crt",
                "--peer-trusted-ca-file",
                "ca.crt",
            ])
            .arg("--cert-file")
            .arg(file("crt"))
            .arg("--key-file")
            .arg(file("key"))
            .arg("--peer-cert-file")
            .arg(file("crt"))
            .arg("--peer-key-file")
            .arg(file("key"))
            .args(&self.arguments)
            .env("ETCD_UNSUPPORTED_ARCH", std::env::consts::ARCH)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.members[index].process = Some(process);
    }

    /// The serial number of the certificate that etcd serves now.
    pub(super) fn served(&self, index: usize) -> String {
        let words = format!(
            "s_client -connect {}:2379 -CAfile ca.crt -cert root.crt -key root.key",
            self.members[index].address
        );
        let output = crate::harness::openssl_with(self.ca.dir.path(), &words, b"");
        self.said(&String::from_utf8_lossy(&output.stdout), "-serial")
    }

    pub(super) fn wait(&self, what: &str, mut happened: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        while !happened(self) {
            assert!(start.elapsed() < HANG, "waited too long for {what}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn in_days(days: i64) -> String {
    let time = OffsetDateTime::now_utc() + time::Duration::days(days);
    format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}Z",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

impl Drop for Bed {
    fn drop(&mut self) {
        for index in 0..self.members.len() {
            self.kill(index);
        }
    }
}
