//! What stands in etcd's place: nothing, something else, something broken, something hostile.

use super::cluster::address;
use super::hostile::{self, HEADERS, Server, begin, end, frame, header, member_list, message};
use super::pki::Pki;
use super::{answers, fails, get_peers};
use std::io::{Read as _, Write as _};
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::mpsc;
use std::thread::sleep;
use std::time::Duration;
use time::OffsetDateTime;
use tokio_rustls::rustls::SupportedProtocolVersion;
use tokio_rustls::rustls::version::{TLS12, TLS13};

/// Longer than any request may take; the thread that sleeps ends with the process.
const FOREVER: Duration = Duration::from_secs(600);

fn good(tls: &mut hostile::Tls) -> std::io::Result<()> {
    begin(tls)?;
    message(tls, &member_list(&["https://10.0.0.1:2379"]))?;
    end(tls, "0", "")
}

#[test]
fn sound_server_is_accepted_with_tls_1_2_and_1_3() {
    const ONE_VERSION: [&[&SupportedProtocolVersion]; 2] = [&[&TLS12], &[&TLS13]];
    let pki = Pki::new();
    for versions in ONE_VERSION {
        let mut server = Server::new(&pki);
        server.versions = versions;
        let url = server.start(|mut tls| good(&mut tls));
        answers(&get_peers(&pki, &[&url]), "https://10.0.0.1:2379\n");
    }
}

#[test]
fn closed_port_is_reported() {
    let url = format!("https://{}:2379", address());
    fails(
        &get_peers(&Pki::new(), &[&url]),
        &[&format!("{url}: nothing listens there: start etcd")],
    );
}

#[test]
fn silent_server_times_out() {
    let url = hostile::tcp(|_stream| {
        sleep(FOREVER);
        Ok(())
    });
    fails(
        &get_peers(&Pki::new(), &[&url]),
        &["no answer in time (during the TLS handshake)"],
    );
}

#[test]
fn server_silent_after_the_handshake_times_out() {
    let pki = Pki::new();
    let url = Server::new(&pki).start(|_tls| {
        sleep(FOREVER);
        Ok(())
    });
    fails(
        &get_peers(&pki, &[&url]),
        &["no answer in time (after the TLS handshake)"],
    );
}

/// A listener whose queue is full lets further connections wait.
#[test]
fn unanswered_address_times_out() {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &std::net::SocketAddrV4::new(address(), 0)).unwrap();
    listen(&socket, 0).unwrap();
    let listener = std::net::TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    let waiting: Vec<_> = (0..4)
        .map(|_| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(300)))
        .collect();
    assert!(
        waiting.iter().any(Result::is_err),
        "the queue never filled up"
    );
    let url = format!("https://{address}");
    let pki = Pki::new();
    fails(
        &get_peers(&pki, &[&url]),
        &["no answer in time (while connecting)"],
    );

    // It does not use up the time of the endpoint after it.
    let sound = Server::new(&pki).start(|mut tls| good(&mut tls));
    answers(&get_peers(&pki, &[&url, &sound]), "https://10.0.0.1:2379\n");
}

#[test]
fn failed_endpoints_are_named_in_one_line() {
    let pki = Pki::new();
    let nothing = format!("https://{}:2379", address());
    let silent = hostile::tcp(|_stream| {
        sleep(FOREVER);
        Ok(())
    });
    let output = get_peers(&pki, &[&nothing, &silent]);
    fails(
        &output,
        &[
            &format!("{nothing}: nothing listens there"),
            &format!("{silent}: no answer in time"),
        ],
    );
}

#[test]
fn server_without_tls_is_reported() {
    let url = hostile::tcp(|mut stream| stream.write_all(b"\x1b[31mHTTP/1.1 400 Bad\r\n\r\n"));
    fails(
        &get_peers(&Pki::new(), &[&url]),
        &["does not use TLS: etcd must serve https there"],
    );
}

#[test]
fn server_that_closes_the_connection_is_reported() {
    let url = hostile::tcp(|_stream| Ok(()));
    fails(
        &get_peers(&Pki::new(), &[&url]),
        &["the server closed the connection ("],
    );
    let pki = Pki::new();
    let url = Server::new(&pki).start(|_tls| Ok(()));
    fails(
        &get_peers(&pki, &[&url]),
        &["the server closed the connection ("],
    );
}

#[test]
fn server_certificate_of_another_ca_is_refused() {
    let (pki, other) = (Pki::new(), Pki::new());
    let address = address();
    let server = Server::presenting(&pki, &other, address, |other| other.server(address));
    let url = server.start(|mut tls| good(&mut tls));
    // The two CAs have the same subject: it is their keys that differ.
    fails(
        &get_peers(&pki, &[&url]),
        &["its certificate was rejected: it was issued by another CA: ca_certificate must be"],
    );
}

#[test]
fn server_certificate_out_of_validity_is_refused() {
    let day = time::Duration::days(1);
    let now = OffsetDateTime::now_utc();
    for (from, to, said) in [
        (now - day * 2, now - day, "it has expired: renew"),
        (now + day, now + day * 2, "it is not valid yet: renew"),
    ] {
        let pki = Pki::new();
        let address = address();
        let server = Server::presenting(&pki, &pki, address, |pki| {
            pki.server_with(address, |params| {
                (params.not_before, params.not_after) = (from, to);
            })
        });
        let url = server.start(|mut tls| good(&mut tls));
        let line = format!("its certificate was rejected: {said}");
        fails(&get_peers(&pki, &[&url]), &[&line]);
    }
}

#[test]
fn server_certificate_for_another_host_is_refused() {
    let pki = Pki::new();
    let address = address();
    let server = Server::presenting(&pki, &pki, address, |pki| {
        pki.server(Ipv4Addr::new(10, 9, 8, 7))
    });
    let url = server.start(|mut tls| good(&mut tls));
    fails(
        &get_peers(&pki, &[&url]),
        &["not valid for the host in the URL, but for 10.9.8.7, localhost: reissue"],
    );
}

#[test]
fn localhost_must_be_in_the_server_certificate() {
    let pki = Pki::new();
    let server = Server::presenting(&pki, &pki, Ipv4Addr::LOCALHOST, |pki| {
        // For localhost and another address than the one that is connected to.
        pki.server(Ipv4Addr::new(10, 9, 8, 7))
    });
    let url = server.start(|mut tls| good(&mut tls));
    let url = url.replace("127.0.0.1", "localhost");
    answers(&get_peers(&pki, &[&url]), "https://10.0.0.1:2379\n");
}

#[test]
fn certificate_without_server_auth_is_refused() {
    let pki = Pki::new();
    let address = address();
    let server = Server::presenting(&pki, &pki, address, |pki| {
        pki.server_with(address, |params| {
            params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        })
    });
    let url = server.start(|mut tls| good(&mut tls));
    fails(
        &get_peers(&pki, &[&url]),
        &["it is not a server certificate", "serverAuth"],
    );
}

#[test]
fn server_without_http_2_is_reported() {
    for protocol in [&b""[..], b"http/1.1"] {
        let pki = Pki::new();
        let mut server = Server::new(&pki);
        server.protocol = protocol;
        let url = server.start(|mut tls| good(&mut tls));
        fails(&get_peers(&pki, &[&url]), &["uses TLS, but is not etcd's"]);
    }
}

#[test]
fn garbage_inside_tls_is_reported() {
    let pki = Pki::new();
    let url = Server::new(&pki).start(|mut tls| {
        tls.write_all(&b"\x1b[31mgarbage\n".repeat(5000))?;
        tls.flush()?;
        let _ = tls.read(&mut [0; 1000]);
        sleep(FOREVER);
        Ok(())
    });
    fails(&get_peers(&pki, &[&url]), &["find out what listens there"]);
}

#[test]
fn garbage_inside_grpc_is_reported() {
    let pki = Pki::new();
    let url = Server::new(&pki).start(|mut tls| {
        begin(&mut tls)?;
        message(&mut tls, &b"\x1b[31m\xff".repeat(100))?;
        end(&mut tls, "0", "")
    });
    fails(
        &get_peers(&pki, &[&url]),
        &["its answer is not a member list"],
    );
}

#[test]
fn answer_of_100_mebibytes_is_refused() {
    let pki = Pki::new();
    let url = Server::new(&pki).start(|mut tls| {
        begin(&mut tls)?;
        message(&mut tls, &vec![b'\n'; 100 << 20])
    });
    fails(
        &get_peers(&pki, &[&url]),
        &["its answer is larger than a member list can be"],
    );
}

#[test]
fn endless_answer_is_cut_off() {
    let pki = Pki::new();
    let url = Server::new(&pki).start(|mut tls| {
        begin(&mut tls)?;
        message(&mut tls, &member_list(&["https://10.0.0.1:2379"]))?;
        loop {
            message(&mut tls, b"")?;
            tls.flush()?;
            sleep(Duration::from_millis(50));
        }
    });
    fails(
        &get_peers(&pki, &[&url]),
        &["no answer in time (after the TLS handshake)"],
    );
}

/// A server that keeps the client busy does not keep it from its clock.
#[test]
fn flooding_server_is_cut_off() {
    const PING: u8 = 6;
    const CONTINUATION: u8 = 9;
    let pings = |tls: &mut hostile::Tls| {
        begin(tls)?;
        loop {
            tls.write_all(&frame(PING, 0, 0, b"12345678"))?;
        }
    };
    let headers = |tls: &mut hostile::Tls| {
        begin(tls)?;
        let mut block = Vec::new();
        header(&mut block, b"x", &[b'y'; 100]);
        tls.write_all(&frame(HEADERS, 0, 1, &block))?;
        loop {
            tls.write_all(&frame(CONTINUATION, 0, 1, &block))?;
        }
    };
    let records = |tls: &mut hostile::Tls| {
        begin(tls)?;
        loop {
            // An unknown kind of frame, which is ignored.
            tls.write_all(&frame(0xfa, 0, 0, &[0; 16000]))?;
        }
    };
    let messages = |tls: &mut hostile::Tls| {
        begin(tls)?;
        loop {
            message(tls, b"")?;
        }
    };
    let flooding_server_is_cut_off: [fn(&mut hostile::Tls) -> std::io::Result<()>; 4] =
        [pings, headers, records, messages];
    for flood in flooding_server_is_cut_off {
        let pki = Pki::new();
        let url = Server::new(&pki).start(move |mut tls| flood(&mut tls));
        fails(&get_peers(&pki, &[&url]), &[&url]);
    }
}

#[test]
fn slow_handshake_times_out() {
    let url = hostile::tcp(|mut stream| {
        // The head of a handshake record of 16 KiB, which never becomes whole.
        stream.write_all(&[22, 3, 3, 0x40, 0])?;
        loop {
            stream.write_all(&[2])?;
            sleep(Duration::from_millis(20));
        }
    });
    fails(
        &get_peers(&Pki::new(), &[&url]),
        &[&format!("{url}: "), "TLS"],
    );
}

#[test]
fn server_text_is_escaped_and_truncated() {
    let pki = Pki::new();
    let url = Server::new(&pki).start(|mut tls| {
        begin(&mut tls)?;
        // gRPC's messages are percent-encoded.
        let text = format!("%1B[31m%0Aboo{}", "x".repeat(90));
        end(&mut tls, "14", &text)
    });
    let output = get_peers(&pki, &[&url]);
    fails(
        &output,
        &[r#"answered with an error ("\x1b[31m\nboox"#, "... ("],
    );
}

#[test]
fn refused_identity_is_explained() {
    for (status, text) in [
        ("7", "etcdserver: permission denied"),
        ("9", "etcdserver: user name not found"),
        ("16", "etcdserver: invalid auth token"),
    ] {
        let pki = Pki::new();
        let url = Server::new(&pki).start(move |mut tls| {
            begin(&mut tls)?;
            end(&mut tls, status, text)
        });
        let refused = format!("etcd rejected the identity etcd-signer (\"{text}\")");
        fails(
            &get_peers(&pki, &[&url]),
            &[&refused, "etcdctl user add etcd-signer --no-password"],
        );
    }
}

#[test]
fn unprintable_urls_are_left_out() {
    let bad = [
        "https://10.0.0.2:2379\nhttps://evil:1",
        "https://\x1b]0;evil\x07:2379",
        "https://10.0.0.2:2379,https://evil:1",
        "javascript:alert(1)",
        "https://:2379",
    ];
    let pki = Pki::new();
    let url = Server::new(&pki).start(move |mut tls| {
        begin(&mut tls)?;
        let good = ["https://10.0.0.1:2379", "http://b:1", "http://b:1"];
        message(&mut tls, &member_list(&[&bad[..], &good].concat()))?;
        end(&mut tls, "0", "")
    });
    answers(
        &get_peers(&pki, &[&url]),
        "http://b:1\nhttps://10.0.0.1:2379\n",
    );

    let url = Server::new(&pki).start(move |mut tls| {
        begin(&mut tls)?;
        message(&mut tls, &member_list(&bad))?;
        end(&mut tls, "0", "")
    });
    fails(&get_peers(&pki, &[&url]), &["none of its 5 members"]);
}

#[test]
fn signers_identity_is_short_lived_and_never_reused() {
    let pki = Pki::new();
    let (sender, presented) = mpsc::channel();
    let url = Server::new(&pki).start(move |mut tls| {
        let certificates = tls.conn.peer_certificates().unwrap();
        assert_eq!(certificates.len(), 1);
        sender.send(certificates[0].to_vec()).unwrap();
        good(&mut tls)
    });
    let identity = || {
        answers(&get_peers(&pki, &[&url]), "https://10.0.0.1:2379\n");
        let path = pki.path("identity.der");
        std::fs::write(&path, presented.recv().unwrap()).unwrap();
        let said = |arguments: &str| {
            let output = Command::new("openssl")
                .args(["x509", "-noout", "-inform", "DER", "-in"])
                .arg(&path)
                .args(arguments.split(' '))
                .output()
                .unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let text = said("-text");
        for part in [
            "Subject: CN = etcd-signer\n",
            "Issuer: CN = etcd-ca\n",
            "CA:FALSE",
            "X509v3 Key Usage: critical\n                Digital Signature\n",
            "X509v3 Extended Key Usage: \n                TLS Web Client Authentication\n",
            "DNS:etcd-signer\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in:\n{text}");
        }
        // Valid now, and no more in five minutes.
        assert!(said("-checkend 0").contains("will not expire"));
        assert!(said("-checkend 300").contains("will expire"));
        (said("-serial"), said("-pubkey"))
    };
    let (first, second) = (identity(), identity());
    assert_ne!(first.0, second.0);
    assert_ne!(first.1, second.1);
}
