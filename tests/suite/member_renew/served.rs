//! What a listed client URL may serve: whatever is not a member's own certificate of this CA is
//! named, and followed by no certificate.

use super::bed::{Bed, Days, MEMBER, URGENT};
use crate::harness::{Answer, openssl};
use crate::peers::address;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A TLS server of openssl's, with a certificate and key of the bed's.
struct Server(Child);

impl Server {
    fn start(dir: &Path, at: Ipv4Addr, name: &str, more: &[&str]) -> Self {
        let server = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "openssl", "s_server"])
            .args(["-accept", &format!("{at}:2379"), "-alpn", "h2", "-quiet"])
            .args([
                "-cert",
                &format!("{name}.crt"),
                "-key",
                &format!("{name}.key"),
            ])
            .args(["-CAfile", "ca.crt", "-Verify", "1"])
            .args(more)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        for _ in 0..200 {
            if TcpStream::connect((at, 2379)).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Self(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A member that sends its clients to a server with this certificate: what `member renew` says.
fn renew_from(prepare: impl FnOnce(&Bed, Ipv4Addr)) -> (Bed, Answer) {
    let at = address();
    let bed = Bed::start_advertising(&format!("https://{at}:2379"));
    bed.new_key_file("evil");
    prepare(&bed, at);
    let server = Server::start(bed.ca.dir.path(), at, "evil", &[]);
    let answer = bed.renew(&[]);
    drop(server);
    (bed, answer)
}

/// It was refused, and nothing was published for anybody.
fn refuses(prepare: impl FnOnce(&Bed, Ipv4Addr), code: i32, words: &str) {
    let (bed, answer) = renew_from(prepare);
    assert_eq!(answer.code, Some(code), "{answer:?}");
    assert_eq!(answer.stderr.lines().count(), 1, "{answer:?}");
    assert!(answer.stderr.contains(words), "no «{words}» in {answer:?}");
    assert!(answer.stdout.contains("m0: not renewed: "), "{answer:?}");
    assert_eq!(bed.count(), 0);
}

fn for_address(at: Ipv4Addr) -> String {
    format!("subjectAltName=IP:{at}\n{MEMBER}")
}

/// What the others are refused for is not how the server is made.
#[test]
fn members_certificate_at_that_url_is_renewed() {
    let (bed, answer) = renew_from(|bed, at| {
        bed.certify("evil", "etcd-member", &for_address(at), URGENT);
    });
    assert!(answer.ok().contains(": renewed; "));
    let key = bed.key("evil");
    assert!(!bed.etcdctl(&["get", &key], b"").stdout.is_empty());
}

#[test]
fn masters_certificate_at_that_url_is_refused() {
    refuses(
        |bed, _| {
            let request = {
                let words = "req -new -key evil.key -subj /CN=kubemaster-1";
                crate::harness::base64(&openssl(bed.ca.dir.path(), words))
            };
            let certificate = bed.ca.sign("kubemaster-1", &request).ok();
            bed.ca.dir.write("evil.crt", certificate);
        },
        69,
        "its certificate was rejected",
    );
}

#[test]
fn certificate_for_another_common_name_is_refused() {
    for name in ["kubemaster-1", "etcd-member2", "etcd-signer", "root"] {
        refuses(
            |bed, at| bed.certify("evil", name, &for_address(at), URGENT),
            65,
            &format!("it is for CN={name}"),
        );
    }
}

#[test]
fn certificate_of_another_ca_is_refused() {
    refuses(
        |bed, at| {
            openssl(
                bed.ca.dir.path(),
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout other.key \
                 -out other.crt -subj /CN=etcd-ca -days 99",
            );
            let names = for_address(at);
            let made = bed.certificate_by("other", "evil", "etcd-member", &names, URGENT);
            bed.ca.dir.write("evil.crt", made);
        },
        69,
        "it was issued by another CA",
    );
}

#[test]
fn self_signed_certificate_is_refused() {
    refuses(
        |bed, at| {
            let words = format!(
                "req -x509 -new -key evil.key -out evil.crt -subj /CN=etcd-member -days 5 -addext \
                 subjectAltName=IP:{at} -addext extendedKeyUsage=serverAuth,clientAuth"
            );
            openssl(bed.ca.dir.path(), &words);
        },
        69,
        "its certificate was rejected",
    );
}

#[test]
fn expired_certificate_is_a_persons() {
    refuses(
        |bed, at| bed.certify("evil", "etcd-member", &for_address(at), Days(-90, -1)),
        69,
        "it has expired",
    );
}

#[test]
fn certificate_with_names_that_cannot_be_copied_is_a_persons() {
    refuses(
        |bed, at| {
            let names = format!("subjectAltName=IP:{at},URI:https://m0.example\n{MEMBER}");
            bed.certify("evil", "etcd-member", &names, URGENT);
        },
        65,
        "neither addresses nor host names",
    );
}

#[test]
fn servers_certificate_alone_is_a_persons() {
    refuses(
        |bed, at| {
            let names = format!("subjectAltName=IP:{at}\nextendedKeyUsage=serverAuth");
            bed.certify("evil", "etcd-member", &names, URGENT);
        },
        65,
        "not for both a TLS server and a TLS client",
    );
}

/// It knows the certificate and not the key: it can show the one, and not complete a handshake.
#[test]
fn certificate_without_its_key_is_refused() {
    let at = address();
    let bed = Bed::start_advertising(&format!("https://{at}:2379"));
    bed.new_key_file("evil");
    bed.certify("evil", "etcd-member", &for_address(at), URGENT);
    let certificate = pem::parse(bed.ca.dir.read("evil.crt"))
        .unwrap()
        .into_contents();
    let listener = TcpListener::bind((at, 2379)).unwrap();
    std::thread::spawn(move || {
        use tokio_rustls::rustls::crypto::ring::default_provider;
        use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
        use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
        use tokio_rustls::rustls::{ServerConfig, ServerConnection};
        // Another key of the same kind.
        let other = rcgen::KeyPair::generate().unwrap().serialize_der();
        let provider = std::sync::Arc::new(default_provider());
        let key = provider
            .key_provider
            .load_private_key(PrivatePkcs8KeyDer::from(other).into())
            .unwrap();
        let pair = CertifiedKey::new(vec![certificate.into()], key);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(std::sync::Arc::new(SingleCertAndKey::from(pair)));
        config.alpn_protocols = vec![b"h2".to_vec()];
        let config = std::sync::Arc::new(config);
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut connection = ServerConnection::new(std::sync::Arc::clone(&config)).unwrap();
            while connection
                .complete_io(&mut stream)
                .is_ok_and(|(read, _)| read > 0)
            {}
        }
    });
    let answer = bed.renew(&[]);
    assert_eq!(answer.code, Some(69), "{answer:?}");
    assert!(
        answer.stderr.contains("was issued by another CA"),
        "{answer:?}"
    );
    assert_eq!(bed.count(), 0);
}

/// Passes every connection on to another address.
fn relay(from: Ipv4Addr, to: Ipv4Addr) {
    let listener = TcpListener::bind((from, 2379)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let inner = stream.unwrap();
            let outer = TcpStream::connect((to, 2379)).unwrap();
            for (mut from, mut to) in [
                (inner.try_clone().unwrap(), outer.try_clone().unwrap()),
                (outer, inner),
            ] {
                std::thread::spawn(move || io::copy(&mut from, &mut to));
            }
        }
    });
}

#[test]
fn url_that_relays_to_another_member_is_refused() {
    let at = address();
    let bed = Bed::start_advertising(&format!("https://{at}:2379"));
    let names = bed.names(0);
    bed.certify("m0", "etcd-member", &names, URGENT);
    relay(at, bed.address(0));
    let answer = bed.renew(&[]);
    assert_eq!(answer.code, Some(69), "{answer:?}");
    let words = "it is not valid for the host in the URL, but for ";
    assert!(answer.stderr.contains(words), "{answer:?}");
    assert_eq!(bed.count(), 0);

    // With the relay's address in the certificate, what comes of it is for that member's own key.
    let names = names.replace("IP:127.0.0.1", &format!("IP:{at}"));
    bed.certify("m0", "etcd-member", &names, URGENT);
    assert!(bed.renew(&[]).ok().contains(": renewed; "));
    assert_eq!(bed.count(), 1);
    assert_ne!(bed.published(0), "");
}

#[test]
fn urls_that_cannot_be_asked_are_named() {
    for (url, words) in [
        ("https://m0.example:2379", "no name is looked up"),
        ("http://127.0.0.1:2379", "not an https URL"),
        ("https://127.0.0.1:2381", "has that port"),
    ] {
        let bed = Bed::start_advertising(url);
        let answer = bed.renew(&[]);
        assert_eq!(answer.code, Some(69), "{answer:?}");
        assert!(
            answer.stderr.contains(&format!("m0: {url}: ")),
            "{answer:?}"
        );
        assert!(answer.stderr.contains(words), "{answer:?}");
    }
}
