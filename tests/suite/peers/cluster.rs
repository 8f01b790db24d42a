//! Real etcd members, each on a loopback address of its own.

use super::pki::Pki;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// A bound that only a hang reaches.
const HANG: Duration = Duration::from_secs(90);

/// A loopback address that nobody else in this process has, and hardly anybody outside.
pub(crate) fn address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [a, b] = u16::try_from(std::process::id() & 0xffff)
        .unwrap()
        .to_be_bytes();
    let last = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(last < 250, "no loopback addresses left");
    Ipv4Addr::new(127, a, b, last)
}

/// etcd's executable: the one on the path, unless the environment names another.
fn etcd() -> String {
    std::env::var("ETCD").unwrap_or_else(|_| "etcd".to_owned())
}

/// What `etcd --version` says of itself: major, minor and patch.
pub(crate) fn version() -> [u32; 3] {
    let output = Command::new(etcd()).arg("--version").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let version = text.split_whitespace().nth(2).unwrap();
    let parts = version
        .split(['.', '-', '+'])
        .map(|part| part.parse().unwrap());
    parts.take(3).collect::<Vec<_>>().try_into().unwrap()
}

pub(super) struct Cluster {
    pub(super) pki: Pki,
    members: Vec<Member>,
    state: &'static str,
    arguments: &'static [&'static str],
    /// Of another CA, which alone etcd trusts for clients.
    clients: Option<Pki>,
}

struct Member {
    name: String,
    address: Ipv4Addr,
    process: Option<Child>,
}

impl Member {
    fn client_url(&self) -> String {
        format!("https://{}:2379", self.address)
    }

    fn peer_url(&self) -> String {
        format!("http://{}:2380", self.address)
    }
}

impl Cluster {
    /// So many members, healthy.
    pub(super) fn start(count: usize) -> Self {
        Self::start_with(count, &[])
    }

    /// The same, with arguments besides.
    pub(super) fn start_with(count: usize, arguments: &'static [&'static str]) -> Self {
        Self::start_for(count, arguments, None)
    }

    /// One member that accepts only the clients of another CA.
    pub(super) fn start_for_others() -> Self {
        Self::start_for(1, &[], Some(Pki::new()))
    }

    fn start_for(count: usize, arguments: &'static [&'static str], clients: Option<Pki>) -> Self {
        let mut cluster = Self {
            pki: Pki::new(),
            members: (0..count).map(member).collect(),
            state: "new",
            arguments,
            clients,
        };
        cluster.clients().client("root");
        for index in 0..count {
            cluster.run(index);
        }
        for index in 0..count {
            cluster.wait_for_health(index);
        }
        cluster
    }

    fn clients(&self) -> &Pki {
        self.clients.as_ref().unwrap_or(&self.pki)
    }

    /// The client URLs of these members, as get-peers must print them.
    pub(super) fn urls(&self, indices: &[usize]) -> String {
        let mut urls: Vec<String> = indices
            .iter()
            .map(|&index| self.members[index].client_url() + "\n")
            .collect();
        urls.sort();
        urls.concat()
    }

    /// The client URL of one member.
    pub(super) fn url(&self, index: usize) -> String {
        self.members[index].client_url()
    }

    /// Makes known a member that has not started.
    pub(super) fn add(&mut self, kind: &[&str]) -> usize {
        let index = self.members.len();
        self.members.push(member(index));
        let new = &self.members[index];
        let peer = format!("--peer-urls={}", new.peer_url());
        let name = new.name.clone();
        let arguments = [&["member", "add", &name, &peer], kind].concat();
        // For its first seconds a cluster takes itself for too unhealthy to be changed.
        self.wait("the new member to be accepted", |cluster| {
            cluster.try_etcdctl(&arguments, 0).status.success()
        });
        index
    }

    /// Starts a member that was added, until the others know its name.
    pub(super) fn join(&mut self, index: usize) {
        self.state = "existing";
        self.run(index);
        let url = self.url(index);
        self.wait("the new member to be known as started", |cluster| {
            let list = cluster.etcdctl(&["member", "list"], 0);
            String::from_utf8_lossy(&list.stdout).contains(&url)
        });
    }

    /// Ends a member without any warning.
    pub(super) fn kill(&mut self, index: usize) {
        if let Some(mut process) = self.members[index].process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Runs etcdctl, as root, against one member; it must succeed.
    pub(super) fn etcdctl(&self, arguments: &[&str], index: usize) -> Output {
        let output = self.try_etcdctl(arguments, index);
        assert!(output.status.success(), "etcdctl {arguments:?}: {output:?}");
        output
    }

    pub(super) fn try_etcdctl(&self, arguments: &[&str], index: usize) -> Output {
        self.try_etcdctl_as("root", arguments, index)
    }

    /// The same as another user.
    pub(super) fn try_etcdctl_as(&self, name: &str, arguments: &[&str], index: usize) -> Output {
        Command::new(std::env::var("ETCDCTL").unwrap_or_else(|_| "etcdctl".to_owned()))
            .env("ETCDCTL_API", "3")
            .env("ETCDCTL_CACERT", self.pki.certificate())
            .env("ETCDCTL_CERT", self.clients().path(&format!("{name}.crt")))
            .env("ETCDCTL_KEY", self.clients().path(&format!("{name}.key")))
            .env("ETCDCTL_ENDPOINTS", self.url(index))
            .args(arguments)
            .output()
            .unwrap()
    }

    /// Starts a member's process. It dies with the test's thread, whatever becomes of it.
    fn run(&mut self, index: usize) {
        let members: Vec<String> = self
            .members
            .iter()
            .map(|member| format!("{}={}", member.name, member.peer_url()))
            .collect();
        let member = &self.members[index];
        let server = self.pki.server(member.address);
        let log = File::create(self.log(index)).unwrap();
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(etcd())
            .args(["--name", &member.name])
            .arg("--data-dir")
            .arg(self.pki.path(&member.name))
            .args(["--listen-client-urls", &member.client_url()])
            .args(["--advertise-client-urls", &member.client_url()])
            .args(["--listen-peer-urls", &member.peer_url()])
            .args(["--initial-advertise-peer-urls", &member.peer_url()])
            .args(["--initial-cluster", &members.join(",")])
            .args(["--initial-cluster-state", self.state])
            .args(["--client-cert-auth", "--trusted-ca-file"])
            .arg(self.clients().certificate())
            .arg("--cert-file")
            .arg(server.certificate)
            .arg("--key-file")
            .arg(server.key)
            .args(self.arguments)
            .env("ETCD_UNSUPPORTED_ARCH", std::env::consts::ARCH)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.members[index].process = Some(process);
    }

    /// Switches etcd's own authentication on.
    pub(super) fn enable_auth(&self) {
        for arguments in [
            &["user", "add", "root:root"][..],
            &["user", "grant-role", "root", "root"],
            &["auth", "enable"],
        ] {
            self.etcdctl(arguments, 0);
        }
        self.clients().client("nobody");
        let get = self.try_etcdctl_as("nobody", &["get", "a"], 0);
        assert!(!get.status.success(), "authentication is off: {get:?}");
    }

    fn log(&self, index: usize) -> PathBuf {
        self.pki.path(&format!("{}.log", self.members[index].name))
    }

    fn wait_for_health(&self, index: usize) {
        self.wait("health", |cluster| {
            let health = ["endpoint", "health", "--command-timeout=2s"];
            cluster.try_etcdctl(&health, index).status.success()
        });
    }

    pub(super) fn wait(&self, what: &str, mut happened: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        while !happened(self) {
            assert!(start.elapsed() < HANG, "waited too long for {what}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn member(index: usize) -> Member {
    Member {
        name: format!("member{index}"),
        address: address(),
        process: None,
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for index in 0..self.members.len() {
            self.kill(index);
            if std::thread::panicking() {
                let log = fs::read_to_string(self.log(index)).unwrap_or_default();
                let from = log.len().saturating_sub(2000);
                let end = log.get(from..).unwrap_or_default();
                println!("--- the end of {}'s log:\n{end}", self.members[index].name);
            }
        }
    }
}
