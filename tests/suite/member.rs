//! `member sign`: members' certificates come from the operator, for the hosts that the operator
//! names; and a master's certificate is not taken for a member's.

use crate::harness::{
    Answer, Ca, Dir, answer, free_port, in_namespace, is_root, openssl, openssl_text, openssl_with,
    records, run,
};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Runs `member sign` with these arguments, and this standard input.
fn sign(ca: &Ca, arguments: &[&str], input: &[u8]) -> Answer {
    let mut command = Command::new(crate::signer_path());
    command
        .args(["member", "sign", "--config"])
        .arg(ca.settings())
        .args(arguments)
        .env_clear();
    answer(&run(&mut command, input))
}

const HOSTS: &[&str] = &[
    "--host",
    "10.0.0.2",
    "--host",
    "fd00::2",
    "--host",
    "Etcd-2.example",
];

#[test]
fn member_certificate_has_the_operators_names_and_the_requests_key() {
    let ca = Ca::new();
    let asks = "-addext subjectAltName=DNS:evil.example,IP:192.0.2.66 \
                -addext basicConstraints=critical,CA:TRUE -addext extendedKeyUsage=codeSigning";
    for kind in ["p256", "p384", "rsa2048", "ed25519"] {
        let request = ca.request_pem(kind, "etcd-member", asks);
        let certificate = sign(&ca, HOSTS, &request).ok();
        ca.dir.write("member.crt", &certificate);
        let text = |words: &str| {
            let words = format!("x509 -in member.crt -noout {words}");
            openssl_text(ca.dir.path(), &words)
        };
        assert_eq!(
            text("-subject -nameopt rfc2253"),
            "subject=CN=etcd-member\n"
        );
        let names = text("-ext subjectAltName");
        assert!(
            names.ends_with(" DNS:etcd-2.example\n") && names.contains("IP Address:10.0.0.2, "),
            "{names}"
        );
        assert!(names.contains("IP Address:FD00:0:0:0:0:0:0:2, "), "{names}");
        assert!(
            !names.contains("evil") && !names.contains("192.0.2"),
            "{names}"
        );
        let all = text("-text");
        let extensions: Vec<&str> = all
            .lines()
            .filter(|line| line.trim_start().starts_with("X509v3 ") && line.ends_with([' ', 'l']))
            .map(str::trim)
            .collect();
        assert_eq!(extensions.len(), 6, "{all}");
        for part in [
            "X509v3 Basic Constraints: critical\n                CA:FALSE\n",
            "X509v3 Key Usage: critical\n                Digital Signature\n",
            "X509v3 Extended Key Usage: \n                TLS Web Server Authentication, \
             TLS Web Client Authentication\n",
        ] {
            assert!(all.contains(part), "no «{part}» in {all}");
        }
        let own = openssl_text(ca.dir.path(), "pkey -in client.key -pubout");
        assert_eq!(text("-pubkey"), own);
        for purpose in ["sslserver", "sslclient"] {
            let words = format!("verify -purpose {purpose} -x509_strict -CAfile ca.crt member.crt");
            assert_eq!(openssl_text(ca.dir.path(), &words), "member.crt: OK\n");
        }
    }
}

#[test]
fn member_certificate_lasts_as_asked_within_the_ca() {
    let ca = Ca::with("p256", "-subj /CN=test-ca -days 3650");
    let request = ca.request_pem("p256", "etcd-member", "");
    let lasts = |arguments: &[&str], days: u32| {
        let arguments = [&["--host", "10.0.0.2"], arguments].concat();
        let certificate = sign(&ca, &arguments, &request).ok();
        ca.dir.write("member.crt", certificate);
        // Five minutes before it is in force, and at its end it is not.
        [(days * 86_400 - 300, true), (days * 86_400, false)]
            .map(|(seconds, holds)| {
                let words = format!("x509 -in member.crt -noout -checkend {seconds}");
                holds == openssl_with(ca.dir.path(), &words, b"").status.success()
            })
            .iter()
            .all(|&as_expected| as_expected)
    };
    assert!(lasts(&[], 730));
    assert!(lasts(&["--days", "1"], 1));
    assert!(lasts(&["--days", "825"], 825));
    for bad in ["0", "826", "-1", "x"] {
        let answer = sign(&ca, &["--host", "10.0.0.2", "--days", bad], &request);
        assert_eq!((answer.code, answer.stdout.as_str()), (Some(64), ""));
    }

    let short = Ca::with("p256", "-subj /CN=test-ca -days 3");
    let request = short.request_pem("p256", "etcd-member", "");
    short
        .dir
        .write("member.crt", sign(&short, HOSTS, &request).ok());
    let end = |file: &str| {
        let words = format!("x509 -in {file} -noout -enddate");
        openssl_text(short.dir.path(), &words)
    };
    assert_eq!(end("member.crt"), end("ca.crt"));
}

#[test]
fn request_not_for_a_member_is_refused() {
    let ca = Ca::new();
    let request = ca.request_pem("p256", "etcd-member", "");
    let der = {
        ca.dir.write("member.csr", &request);
        openssl(ca.dir.path(), "req -in member.csr -outform DER")
    };
    assert!(
        sign(&ca, HOSTS, &der)
            .ok()
            .starts_with("-----BEGIN CERTIFICATE-----\n")
    );

    let master = ca.request_pem("p256", "kubemaster-1", "");
    sign(&ca, HOSTS, &master).fails(65, "etcd-member was requested");
    sign(&ca, HOSTS, b"").fails(65, "neither PEM nor DER");
    sign(&ca, HOSTS, &der[..der.len() - 1]).fails(65, "it is not strict DER");
    let weak = ca.request_pem("p256", "etcd-member", "-sha1");
    sign(&ca, HOSTS, &weak).fails(65, "SHA-1");
    for hosts in [
        &[][..],
        &["--host", "10.0.0.300"],
        &["--host", "*.example"],
        &["--host", ""],
        &["--host", "10.0.0.1:2379"],
    ] {
        let answer = sign(&ca, hosts, &request);
        assert_eq!(
            (answer.code, answer.stdout.as_str()),
            (Some(64), ""),
            "{hosts:?}"
        );
        assert_eq!(answer.stderr.lines().count(), 1, "{answer:?}");
    }
    ca.protect("ca.key", 0o440);
    sign(&ca, HOSTS, &request).fails(77, "chmod 0400");
}

#[test]
fn record_of_a_member_certificate_names_its_hosts() {
    if !is_root("a journal of its own, to look for the record of a member's certificate in") {
        return;
    }
    let ca = Ca::new();
    let request = ca.request_pem("p256", "etcd-member", "");
    let dir = Dir::new();
    let mut command = in_namespace(&dir, true, crate::signer_path().to_str().unwrap());
    command
        .args(["member", "sign", "--config"])
        .arg(ca.settings())
        .args(HOSTS)
        .env_remove("SSH_CONNECTION");
    let certificate = answer(&run(&mut command, &request)).ok();
    ca.dir.write("member.crt", certificate);
    let end = openssl_text(
        ca.dir.path(),
        "x509 -in member.crt -noout -enddate -dateopt iso_8601",
    );
    let end = end.trim().replace("notAfter=", "").replace(' ', "T");
    let record = &records(&dir, 1)[0];
    let message = record["MESSAGE"].as_str().unwrap();
    let expected = format!(
        "granted member sign for 10.0.0.2, fd00::2, etcd-2.example: valid until {end}, serial "
    );
    assert!(message.starts_with(&expected), "{message}");
    assert_eq!(record["ETCD_SIGNER_REQUEST"], "member sign");
    assert!(
        !record.to_string().contains("ETCD_SIGNER_HOSTS"),
        "{record}"
    );
}

/// What `su signer -- member sign ...` makes of it, and a client's command.
#[test]
fn ssh_client_cannot_reach_member_sign() {
    let ca = Ca::new();
    let request = ca.request_pem("p256", "etcd-member", "");
    let login = ca.dir.join("etcd-signer-login");
    std::os::unix::fs::symlink(crate::signer_path(), &login).unwrap();
    let mut command = Command::new(login);
    command
        .args(["member", "sign", "--host", "10.0.0.2", "--config"])
        .arg(ca.settings())
        .env_clear();
    answer(&run(&mut command, &request)).fails(64, "no command was given");
    for command in ["member sign --host 10.0.0.2", "member", "etcd-member"] {
        ca.sign(command, &request).fails(64, "command refused: ");
    }
}

struct Etcd(Child);

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// etcd takes any certificate for clients on its peer port, where the two CAs are one. The
/// common name is what tells members from masters there.
#[test]
fn etcd_peers_accept_members_and_refuse_masters() {
    let ca = Ca::new();
    let dir = ca.dir.path();
    let loopback = &["--host", "127.0.0.1"];
    let request = ca.request_pem("p256", "etcd-member", "");
    ca.dir
        .write("member.crt", sign(&ca, loopback, &request).ok());
    std::fs::rename(ca.dir.join("client.key"), ca.dir.join("member.key")).unwrap();
    let request = ca.request("kubemaster-1");
    ca.dir
        .write("master.crt", ca.sign("kubemaster-1", &request).ok());

    ca.dir.write(
        "fits.ext",
        "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=clientAuth\n",
    );
    openssl(dir, "pkey -in client.key -pubout -out client.pub");

    let (client, peer) = (free_port(), free_port());
    let mut etcd = Command::new("setpriv");
    etcd.args([
        "--pdeathsig",
        "KILL",
        "etcd",
        "--data-dir",
        "data",
        "--log-level",
        "error",
    ])
    .args(["--name", "m1", "--initial-cluster"])
    .arg(format!("m1=https://127.0.0.1:{peer}"))
    .arg(format!("--listen-client-urls=https://127.0.0.1:{client}"))
    .arg(format!(
        "--advertise-client-urls=https://127.0.0.1:{client}"
    ))
    .arg(format!("--listen-peer-urls=https://127.0.0.1:{peer}"))
    .arg(format!(
        "--initial-advertise-peer-urls=https://127.0.0.1:{peer}"
    ))
    .args([
        "--cert-file=member.crt",
        "--key-file=member.key",
        "--trusted-ca-file=ca.crt",
    ])
    .args(["--client-cert-auth", "--peer-client-cert-auth"])
    .args(["--peer-cert-file=member.crt", "--peer-key-file=member.key"])
    .args([
        "--peer-trusted-ca-file=ca.crt",
        "--peer-cert-allowed-cn=etcd-member",
    ])
    .current_dir(dir)
    .stdout(Stdio::null())
    .stderr(Stdio::null());
    let _etcd = Etcd(etcd.spawn().unwrap());

    // An HTTP request over TLS, with one of the two certificates: what the server answers.
    let ask = |port: u16, path: &str, who: &str, key: &str| {
        let words = format!(
            "s_client -quiet -connect 127.0.0.1:{port} -CAfile ca.crt -verify_return_error \
             -verify_ip 127.0.0.1 -cert {who}.crt -key {key}.key"
        );
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        let output = openssl_with(dir, &words, request.as_bytes());
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let answered = |text: &str| text.starts_with("HTTP/1.0 200");
    let mut health = String::new();
    for _ in 0..300 {
        health = ask(client, "/health", "master", "client");
        if health.contains("\"true\"") {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(answered(&health), "a master on the client port: {health}");
    let members = ask(peer, "/members", "member", "member");
    assert!(answered(&members), "a member on the peer port: {members}");
    // etcd compares a peer's alternative names with its address too. A master's do not fit here,
    // but where its name is known they do; so does this one, which a master could not get.
    openssl(
        dir,
        "x509 -new -subj /CN=kubemaster-1 -force_pubkey client.pub -CA ca.crt -CAkey ca.key \
         -days 1 -extfile fits.ext -out fits.crt",
    );
    for (who, key) in [("master", "client"), ("fits", "client")] {
        assert!(answered(&ask(client, "/health", who, key)), "{who}");
        assert_eq!(
            ask(peer, "/members", who, key),
            "",
            "{who} on the peer port"
        );
    }
}
