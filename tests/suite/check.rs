//! `check`, and a real etcd: who gets in, whatever its settings say.
//!
//! Each etcd runs with its `check` in namespaces of their own: `check` looks at every process
//! that is called etcd.

use crate::harness::{Ca, free_port, in_namespace, is_root, left_out, openssl, run};
use serde_json::Value;
use std::fs;
use std::process::Command;
use std::time::Instant;

/// A CA, a member's certificate for loopback, and the URLs of a member.
struct Host {
    ca: Ca,
    client: u16,
    peer: u16,
    other: u16,
}

impl Host {
    fn new() -> Self {
        let ca = Ca::new();
        let dir = ca.dir.path();
        ca.dir.write(
            "member.ext",
            "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n",
        );
        ca.dir
            .write("member.csr", ca.request_pem("p256", "etcd-member", ""));
        fs::rename(ca.dir.join("client.key"), ca.dir.join("member.key")).unwrap();
        openssl(
            dir,
            "x509 -req -in member.csr -CA ca.crt -CAkey ca.key -days 9 -extfile member.ext \
             -out member.crt",
        );
        let (client, peer, other) = (free_port(), free_port(), free_port());
        Self {
            ca,
            client,
            peer,
            other,
        }
    }

    /// `{dir}`, `{client}`, `{peer}` and `{other}` are replaced.
    fn fill(&self, text: &str) -> String {
        text.replace("{dir}", self.ca.dir.path().to_str().unwrap())
            .replace("{client}", &self.client.to_string())
            .replace("{peer}", &self.peer.to_string())
            .replace("{other}", &self.other.to_string())
    }

    /// Runs `check` beside what these lines of shell have started, and returns what it says of
    /// etcd: verdict and text of each finding.
    fn check(&self, start: &str) -> Vec<(String, String)> {
        let script = self.fill(&format!(
            "cd {{dir}}\n\
             etcd={etcd}\n\
             wait_for() {{ for _ in $(seq 300); do (: <>/dev/tcp/127.0.0.1/$1) 2>/dev/null \
             && return; sleep 0.1; done; tail -5 {{dir}}/etcd.log >&2; exit 9; }}\n\
             {start}\n\
             {signer} check --json --config {{dir}}/config.toml\n\
             [ $? -le 2 ] || exit 8\n",
            etcd = etcd(),
            signer = crate::signer_path().display(),
        ));
        let mut command = in_namespace(&self.ca.dir, false, "bash");
        command.args(["-c", &script]);
        command.env("ETCD_UNSUPPORTED_ARCH", std::env::consts::ARCH);
        let output = run(&mut command, b"");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{:?}: {stderr}", output.status);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
        let findings = report["findings"].as_array().unwrap().iter();
        findings
            .filter(|finding| finding["subject"] == "etcd")
            .map(|finding| (text(finding, "verdict"), text(finding, "text")))
            .collect()
    }

    /// One finding, with this verdict and all of these words.
    #[track_caller]
    fn finds(&self, start: &str, verdict: &str, words: &[&str]) {
        let found = self.check(start);
        let [(is, text)] = found.as_slice() else {
            panic!("not one finding: {found:?}");
        };
        assert_eq!(is, verdict, "{text}");
        for words in words {
            let words = self.fill(words);
            assert!(text.contains(&words), "no «{words}» in: {text}");
        }
    }

    /// Without the CA key, as on a member that is not a signer.
    fn without_ca_key(self) -> Self {
        fs::rename(self.ca.dir.join("ca.key"), self.ca.dir.join("elsewhere")).unwrap();
        self
    }
}

fn etcd() -> String {
    std::env::var("ETCD").unwrap_or_else(|_| "etcd".to_owned())
}

/// For the client port, without a certificate.
fn etcdctl() -> String {
    let program = std::env::var("ETCDCTL").unwrap_or_else(|_| "etcdctl".to_owned());
    format!(
        "ETCDCTL_API=3 {program} --endpoints https://127.0.0.1:{{client}} --cacert ca.crt \
         --command-timeout 30s"
    )
}

/// Starts etcd with what every member has, these arguments besides, and waits for both ports.
fn with(arguments: &str) -> String {
    format!(
        "$etcd --name m1 --data-dir data --log-level error {URLS} {arguments} >>etcd.log 2>&1 &\n\
         {WAIT}"
    )
}

const URLS: &str = "--initial-cluster m1=https://127.0.0.1:{peer} \
    --initial-advertise-peer-urls https://127.0.0.1:{peer} \
    --listen-peer-urls https://127.0.0.1:{peer} \
    --listen-client-urls https://127.0.0.1:{client} \
    --advertise-client-urls https://127.0.0.1:{client} \
    --cert-file member.crt --key-file member.key \
    --peer-cert-file member.crt --peer-key-file member.key";
const WAIT: &str = "wait_for {peer}; wait_for {client}";
const CLIENTS: &str = "--client-cert-auth --trusted-ca-file ca.crt";
const PEERS: &str = "--peer-client-cert-auth --peer-trusted-ca-file ca.crt";
const NAME: &str = "--peer-cert-allowed-cn etcd-member";

fn sound() -> String {
    with(&format!("{CLIENTS} {PEERS} {NAME}"))
}

/// Perl under the name of etcd. The shell copies it: what this process has open for writing, its
/// other tests' children have too until they run a program, and meanwhile nobody can run the copy.
const PERL_AS_ETCD: &str = "cp /usr/bin/perl etcd || exit 5";

fn has_http_urls() -> bool {
    let help = Command::new(etcd()).arg("--help").output().unwrap();
    let has = String::from_utf8_lossy(&help.stdout).contains("listen-client-http-urls");
    if !has {
        left_out("--listen-client-http-urls, which this etcd does not have (ETCD names another)");
    }
    has
}

fn runs() -> bool {
    is_root("`check` beside an etcd in namespaces of its own")
}

#[test]
fn closed_etcd_is_ok() {
    if !runs() {
        return;
    }
    let start = Instant::now();
    let host = Host::new();
    let closed = "127.0.0.1:{client}";
    host.finds(
        &sound(),
        "ok",
        &[
            closed,
            "127.0.0.1:{peer}",
            "no client certificate is accepted as a peer certificate",
        ],
    );
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

/// etcd asks for certificates as soon as it knows a CA, whatever `client-cert-auth` is, and reads
/// booleans as Go does.
#[test]
fn etcd_that_is_closed_in_other_words_is_ok() {
    if !runs() {
        return;
    }
    for words in [
        "--client-cert-auth=1 --peer-client-cert-auth=TRUE --trusted-ca-file ca.crt \
         --peer-trusted-ca-file ca.crt",
        "--client-cert-auth=false --trusted-ca-file ca.crt --peer-trusted-ca-file ca.crt",
    ] {
        Host::new().finds(&with(&format!("{words} {NAME}")), "ok", &[]);
    }
}

const FILE: &str = "\
name: m1
data-dir: data
log-level: error
initial-cluster: m1=https://127.0.0.1:{peer}
initial-advertise-peer-urls: https://127.0.0.1:{peer}
listen-peer-urls: https://127.0.0.1:{peer}
listen-client-urls: https://127.0.0.1:{client}
advertise-client-urls: https://127.0.0.1:{client}
client-transport-security:
  cert-file: member.crt
  key-file: member.key
  CLIENTS
peer-transport-security:
  cert-file: member.crt
  key-file: member.key
  client-cert-auth: true
  trusted-ca-file: ca.crt
  PEERS
";

/// With everything right in the flags and the environment, which etcd ignores, given a file.
const WITH_FILE: &str = "\
export ETCD_CLIENT_CERT_AUTH=true ETCD_TRUSTED_CA_FILE=ca.crt \
    ETCD_PEER_CLIENT_CERT_AUTH=true ETCD_PEER_CERT_ALLOWED_CN=etcd-member
$etcd --config-file etcd.yml --listen-client-urls=https://127.0.0.1:{client} \
    --listen-peer-urls=https://127.0.0.1:{peer} >>etcd.log 2>&1 &
wait_for {peer}; wait_for {client}
";

const CLOSED: &str = "client-cert-auth: true\n  trusted-ca-file: ca.crt";

#[test]
fn settings_file_that_opens_the_client_port_fails() {
    if !runs() {
        return;
    }
    let host = Host::new();
    let file = host
        .fill(FILE)
        .replace("CLIENTS", "client-cert-auth: false");
    host.ca.dir.write("etcd.yml", file.replace("PEERS", ""));
    let put = format!("{} put a b >&2 || exit 7", etcdctl());
    let found = host.check(&format!("{WITH_FILE}{put}"));
    let door = host.fill(
        "127.0.0.1:{client}: anybody on this host can read and change every key \
         without a certificate: set client-cert-auth: true and trusted-ca-file in \
         client-transport-security (in etcd.yml; etcd ignores flags and environment \
         variables when it has a configuration file)",
    );
    assert!(
        found
            .iter()
            .any(|(is, text)| is == "fail" && text.starts_with(&door)),
        "{found:?}"
    );
}

/// `allowed-cn` in a file does nothing before etcd 3.5.14, and is a list from 3.5.15 on.
#[test]
fn settings_file_counts_for_what_etcd_makes_of_it() {
    if !runs() {
        return;
    }
    let version = crate::peers::version();
    let host = Host::new();
    let file = host
        .fill(FILE)
        .replace("CLIENTS", CLOSED)
        .replace("PEERS", "allowed-cn: [etcd-member]");
    host.ca.dir.write("etcd.yml", file);
    if version < [3, 5, 15] {
        let words = "127.0.0.1:{peer}: any master can act as a cluster member with a client \
                     certificate: set allowed-cn: [etcd-member] in peer-transport-security, \
                     which needs etcd 3.5.15 or later ";
        host.finds(WITH_FILE, "fail", &[words]);
    } else {
        host.finds(WITH_FILE, "ok", &[]);
    }
    // There is no CA key to try the peer port with.
    let host = host.without_ca_key();
    host.finds(
        WITH_FILE,
        "warn",
        &["was not tried", "etcd.yml has allowed-cn"],
    );
}

#[test]
fn plain_client_url_fails() {
    if !runs() {
        return;
    }
    for urls in [
        "https://127.0.0.1:{client},http://127.0.0.1:{other}",
        // Both on one port.
        "https://127.0.0.1:{client},http://127.0.0.1:{client}",
        "http://127.0.0.1:{client}",
    ] {
        let urls = format!("{CLIENTS} {PEERS} {NAME} --listen-client-urls {urls}");
        let door = "every key without TLS: use https in listen-client-urls";
        Host::new().finds(&with(&urls), "fail", &[door]);
    }
}

/// `--listen-client-http-urls`, which etcd has since 3.5.8, divides HTTP from gRPC: either may be
/// the open door.
#[test]
fn plain_url_for_http_or_grpc_alone_fails() {
    if !runs() || !has_http_urls() {
        return;
    }
    for (client, http, door) in [
        ("https", "http", "127.0.0.1:{other}: "),
        ("http", "https", "127.0.0.1:{client}: "),
    ] {
        let urls = format!(
            "{CLIENTS} {PEERS} {NAME} --listen-client-urls {client}://127.0.0.1:{{client}} \
             --listen-client-http-urls {http}://127.0.0.1:{{other}}"
        );
        let start = with(&urls) + "; wait_for {other}";
        let words = "every key without TLS: use https in listen-client-urls and \
                     listen-client-http-urls";
        Host::new().finds(&start, "fail", &[door, words]);
    }
}

/// Later servers of gRPC alone take no connection that does not name HTTP/2 in its handshake.
#[test]
fn url_for_grpc_alone_without_certificates_fails() {
    if !runs() || !has_http_urls() {
        return;
    }
    let urls = format!("{PEERS} {NAME} --listen-client-http-urls http://127.0.0.1:{{other}}");
    let found = Host::new().check(&(with(&urls) + "; wait_for {other}"));
    let grpc = found
        .iter()
        .find(|(_, text)| text.contains("without a certificate: "));
    assert_eq!(grpc.map(|(is, _)| is.as_str()), Some("fail"), "{found:?}");
}

/// It answers to HTTP/1.1 with metrics alone, and to gRPC with every key.
#[test]
fn grpc_proxy_without_tls_fails() {
    if !runs() {
        return;
    }
    let proxy = "$etcd grpc-proxy start --endpoints https://127.0.0.1:{client} --cacert ca.crt \
                 --cert proxy.crt --key member.key --listen-addr 127.0.0.1:{other} \
                 >>etcd.log 2>&1 &\nwait_for {other}";
    let host = Host::new();
    // A proxy takes no certificate with a common name, which all its clients would share.
    for words in [
        "req -new -key member.key -subj /O=proxy -out proxy.csr",
        "x509 -req -in proxy.csr -CA ca.crt -CAkey ca.key -days 9 -extfile member.ext \
         -out proxy.crt",
    ] {
        openssl(host.ca.dir.path(), words);
    }
    let found = host.check(&format!("{}\n{proxy}", sound()));
    let [(_, text)] = found
        .iter()
        .filter(|(is, _)| is == "fail")
        .collect::<Vec<_>>()[..]
    else {
        panic!("{found:?}");
    };
    let door = host.fill(
        "127.0.0.1:{other}: anybody on this host can read and change every key without \
         TLS: give that proxy --cert-file",
    );
    assert!(text.starts_with(&door), "{text}");
    assert_eq!(found.len(), 2, "{found:?}");
    let found = host
        .without_ca_key()
        .check(&format!("{}\n{proxy}", sound()));
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn etcd_on_every_address_is_tried() {
    if !runs() {
        return;
    }
    for address in ["0.0.0.0", "[::]"] {
        let urls = format!(
            "{CLIENTS} {PEERS} --listen-client-urls https://{address}:{{client}} \
             --listen-peer-urls https://{address}:{{peer}}"
        );
        let words = ":{peer}: any master can act as a cluster member ";
        Host::new().finds(&with(&urls), "fail", &[words]);
        let urls = format!("{urls} {NAME}");
        Host::new().finds(&with(&urls), "ok", &[":{peer}", ":{client}"]);
    }
}

#[test]
fn peer_port_that_anybody_gets_into_fails() {
    if !runs() {
        return;
    }
    let words = "127.0.0.1:{peer}: anybody on this host can act as a cluster member without a \
                 certificate: set peer-client-cert-auth and peer-trusted-ca-file ";
    Host::new().finds(&with(CLIENTS), "fail", &[words]);
}

#[test]
fn peer_port_without_tls_fails() {
    if !runs() {
        return;
    }
    let plain = "--initial-cluster m1=http://127.0.0.1:{peer} \
                 --initial-advertise-peer-urls http://127.0.0.1:{peer} \
                 --listen-peer-urls http://127.0.0.1:{peer}";
    let words = "127.0.0.1:{peer}: anybody on this host can act as a cluster member without TLS: \
                 use https in listen-peer-urls ";
    Host::new().finds(&with(&format!("{CLIENTS} {plain}")), "fail", &[words]);
}

/// Where clients and peers have one CA, a master's certificate is accepted as a peer's.
#[test]
fn peer_port_that_a_master_gets_into_fails() {
    if !runs() {
        return;
    }
    let start = with(&format!("{CLIENTS} {PEERS}"));
    let words = "127.0.0.1:{peer}: any master can act as a cluster member with a client \
                 certificate: set peer-cert-allowed-cn to etcd-member ";
    Host::new().finds(&start, "fail", &[words]);
    // Without the CA key, its settings tell.
    let host = Host::new().without_ca_key();
    host.finds(
        &start,
        "fail",
        &["without peer-cert-allowed-cn=etcd-member"],
    );
    let host = Host::new().without_ca_key();
    host.finds(&sound(), "ok", &["127.0.0.1:{peer}"]);
}

/// With a CA of their own, peers need no name.
#[test]
fn peers_of_another_ca_are_ok() {
    if !runs() {
        return;
    }
    let host = Host::new();
    let other = Ca::new();
    for (file, name) in [("ca.crt", "peers.crt"), ("ca.key", "peers.key")] {
        fs::copy(other.dir.join(file), host.ca.dir.join(name)).unwrap();
    }
    openssl(
        host.ca.dir.path(),
        "x509 -req -in member.csr -CA peers.crt -CAkey peers.key -days 9 -extfile member.ext \
         -out peer.crt",
    );
    let peers = "--peer-client-cert-auth --peer-trusted-ca-file peers.crt \
                 --peer-cert-file peer.crt";
    host.finds(&with(&format!("{CLIENTS} {peers}")), "ok", &[]);
}

#[test]
fn plain_metrics_are_ok() {
    if !runs() {
        return;
    }
    let metrics = "--listen-metrics-urls http://127.0.0.1:{other}";
    let start = with(&format!("{CLIENTS} {PEERS} {NAME} {metrics}")) + "; wait_for {other}";
    let words = "127.0.0.1:{other} serves /metrics and /health without authentication, but no keys";
    Host::new().finds(&start, "ok", &[words]);
}

#[test]
fn every_etcd_is_tried_in_its_own_network() {
    if !runs() {
        return;
    }
    let second = "ready=no\n\
        unshare --net bash -c 'ip link set lo up; exec $0 --name m2 --data-dir second' $etcd \
        >>etcd.log 2>&1 &\n\
        pid=$!\n\
        for _ in $(seq 300); do\n\
            nsenter --net=/proc/$pid/ns/net bash -c ': <>/dev/tcp/127.0.0.1/2379' 2>/dev/null \
            && ready=yes && break\n\
            sleep 0.1\n\
        done\n\
        [ $ready = yes ] || exit 6";
    let host = Host::new();
    let found = host.check(&format!("{}\n{second}", sound()));
    let of = |verdict: &str| {
        let of = found.iter().filter(|(is, _)| is == verdict);
        of.map(|(_, text)| text.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(of("ok").len(), 1, "{found:?}");
    let open = of("fail");
    assert_eq!(open.len(), 2, "{found:?}");
    for (text, door) in open.iter().zip(["127.0.0.1:2379: ", "127.0.0.1:2380: "]) {
        assert!(text.starts_with(door), "{text}");
        assert!(text.contains("without TLS"), "{text}");
    }
}

#[test]
fn member_that_nobody_can_connect_to_is_named() {
    if !runs() {
        return;
    }
    for (url, verdict, words) in [
        (
            "https://0.0.0.0:{client}",
            "fail",
            "which nobody can connect to, so get-peers leaves it out: set \
             advertise-client-urls ",
        ),
        (
            "https://127.0.0.1:{client}",
            "warn",
            "which only its own host can connect to: set advertise-client-urls ",
        ),
    ] {
        let host = Host::new();
        host.ca
            .set(&host.fill("etcd_endpoints = [\"https://127.0.0.1:{client}\"]"));
        let advertised = format!("{CLIENTS} {PEERS} {NAME} --advertise-client-urls {url}");
        // Until it has a leader, it is a member without a name.
        let health = format!(
            "{} --cert member.crt --key member.key endpoint health >&2 || exit 7",
            etcdctl()
        );
        let found = host.check(&format!("{}\n{health}", with(&advertised)));
        let words = host.fill(&format!("member m1 advertises {url}, {words}"));
        let [(sockets, _), (is, text)] = found.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!(
            (sockets.as_str(), is.as_str()),
            ("ok", verdict),
            "{found:?}"
        );
        assert!(text.starts_with(&words), "no «{words}» in: {text}");
    }
}

/// Something else that is called etcd: it is not believed, not waited for, and not shown.
#[test]
fn hostile_listener_is_neither_waited_for_nor_shown() {
    if !runs() {
        return;
    }
    let listen = "use IO::Socket::INET; my $l = IO::Socket::INET->new(LocalAddr => '127.0.0.1', \
                  LocalPort => $ARGV[0], Listen => 99, ReuseAddr => 1) or die; \
                  $SIG{PIPE} = 'IGNORE'; my @open; while (1) { my $c = $l->accept or next; ";
    for (answer, verdict) in [
        ("push @open, $c;", "warn"),
        (
            "while (1) { print $c \"\\e[31m\\x00\\xff\" x 9999 or last }",
            "warn",
        ),
        (
            "while (1) { print $c \"HTTP/1.1 200 \\e[31m\\r\\nx: y\\r\\n\" or last }",
            "warn",
        ),
        (
            "print $c \"\\x15\\x03\\x03\\x00\\x02\\x02\\x50\"; close $c",
            "warn",
        ),
        ("close $c", "ok"),
    ] {
        let host = Host::new();
        host.ca
            .dir
            .write("listen.pl", format!("{listen} {answer} }}"));
        let start = format!(
            "{PERL_AS_ETCD}\n./etcd listen.pl {{other}} --peer-cert-allowed-cn etcd-member &\n\
             wait_for {{other}}"
        );
        let before = Instant::now();
        let found = host.check(&start);
        assert!(before.elapsed().as_secs() < 60, "{:?}", before.elapsed());
        let [(is, text)] = found.as_slice() else {
            panic!("{answer}: {found:?}");
        };
        assert_eq!(is, verdict, "{answer}: {text}");
        assert!(
            text.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
            "{text:?}"
        );
    }
}

/// Anybody can start those. Each alone takes as long as an answer is waited for.
#[test]
fn many_processes_called_etcd_are_bounded() {
    if !runs() {
        return;
    }
    let host = Host::new();
    // Each child says that it listens. Where one ends instead, so does the pipe, before the 40th.
    // Their address is nobody else's: the network is one for all tests.
    host.ca.dir.write(
        "listen.pl",
        "use IO::Socket::INET; pipe my $reader, my $writer or die; for (1 .. 40) { \
         defined(my $child = fork) or die; next if $child; \
         my $l = IO::Socket::INET->new(LocalAddr => '127.0.40.1', Listen => 99) or die; \
         syswrite $writer, '.' or die; close $writer; sleep while 1 } \
         close $writer; my $said = ''; 1 while sysread $reader, $said, 40, length $said; \
         exit(length $said != 40)",
    );
    let found = host.check(&format!("{PERL_AS_ETCD}\n./etcd listen.pl || exit 6"));
    let tried = found
        .iter()
        .filter(|(_, text)| text.contains("does not answer in time"));
    assert_eq!(tried.count(), 16, "{found:?}");
    let (verdict, text) = found.last().unwrap();
    assert_eq!(verdict, "warn");
    assert!(
        text.contains("40 processes are called etcd, of which 16 were tried"),
        "{text}"
    );
}
