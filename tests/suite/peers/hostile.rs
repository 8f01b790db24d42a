//! Servers in etcd's place: broken, hostile, or as they should be, frame by frame.

use super::cluster::address;
use super::pki::{Issued, Pki};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion,
};

pub(super) type Tls = StreamOwned<ServerConnection, TcpStream>;

/// Serves every connection with `answer`, on a thread that ends with the process.
pub(super) fn tcp(answer: impl Fn(TcpStream) -> io::Result<()> + Send + 'static) -> String {
    let listener = TcpListener::bind((address(), 0)).unwrap();
    serve(listener, answer)
}

fn serve(
    listener: TcpListener,
    answer: impl Fn(TcpStream) -> io::Result<()> + Send + 'static,
) -> String {
    let url = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // That the client goes away is what most of these servers bring about.
            let _ = stream.and_then(&answer);
        }
    });
    url
}

/// What a TLS server presents, and demands.
pub(super) struct Server {
    pub(super) protocol: &'static [u8],
    pub(super) versions: &'static [&'static SupportedProtocolVersion],
    address: Ipv4Addr,
    issued: Issued,
    roots: RootCertStore,
}

impl Server {
    /// As etcd is: for its address, of the CA, and with a client certificate of the CA demanded.
    pub(super) fn new(pki: &Pki) -> Self {
        let address = address();
        Self::presenting(pki, pki, address, |pki| pki.server(address))
    }

    /// With another certificate, from `issuer`; clients must come from `pki`.
    pub(super) fn presenting(
        pki: &Pki,
        issuer: &Pki,
        address: Ipv4Addr,
        issue: impl FnOnce(&Pki) -> Issued,
    ) -> Self {
        let pem = std::fs::read(pki.certificate()).unwrap();
        let mut roots = RootCertStore::empty();
        let der = pem::parse(pem).unwrap().into_contents();
        roots.add(CertificateDer::from(der)).unwrap();
        Self {
            protocol: b"h2",
            versions: tokio_rustls::rustls::ALL_VERSIONS,
            address,
            issued: issue(issuer),
            roots,
        }
    }

    /// Starts it; returns its URL.
    pub(super) fn start(self, answer: impl Fn(Tls) -> io::Result<()> + Send + 'static) -> String {
        let provider = Arc::new(default_provider());
        let clients =
            WebPkiClientVerifier::builder_with_provider(self.roots.into(), Arc::clone(&provider))
                .build()
                .unwrap();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(
                vec![self.issued.certificate_der.into()],
                PrivatePkcs8KeyDer::from(self.issued.key_der).into(),
            )
            .unwrap();
        if !self.protocol.is_empty() {
            config.alpn_protocols = vec![self.protocol.to_vec()];
        }
        let config = Arc::new(config);
        let listener = TcpListener::bind((self.address, 0)).unwrap();
        serve(listener, move |mut tcp| {
            let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            connection.complete_io(&mut tcp)?;
            answer(StreamOwned::new(connection, tcp))
        })
    }
}

/// Reads the client's request to its end, and begins an answer: SETTINGS, their acknowledgement,
/// and the headers of a gRPC response (RFC 9113, section 6; RFC 7541, appendix A).
pub(super) fn begin(tls: &mut Tls) -> io::Result<()> {
    tls.write_all(&frame(SETTINGS, 0, 0, b""))?;
    let mut preface = [0; 24];
    tls.read_exact(&mut preface)?;
    loop {
        let mut head = [0; 9];
        tls.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        tls.read_exact(&mut vec![0; usize::try_from(length).unwrap()])?;
        if [DATA, HEADERS].contains(&head[3]) && head[4] & END_STREAM != 0 {
            break;
        }
    }
    tls.write_all(&frame(SETTINGS, ACK, 0, b""))?;
    let mut headers = vec![0x88]; // :status 200
    header(&mut headers, b"content-type", b"application/grpc");
    tls.write_all(&frame(HEADERS, END_HEADERS, 1, &headers))
}

/// One gRPC message, whole, whatever it holds.
pub(super) fn message(tls: &mut Tls, contents: &[u8]) -> io::Result<()> {
    let length = u32::try_from(contents.len()).unwrap();
    let mut data = vec![0];
    data.extend(length.to_be_bytes());
    data.extend(contents);
    for part in data.chunks(16 * 1024) {
        tls.write_all(&frame(DATA, 0, 1, part))?;
    }
    Ok(())
}

/// The end of an answer, with its gRPC status. The client is left to close the connection.
pub(super) fn end(tls: &mut Tls, status: &str, text: &str) -> io::Result<()> {
    let mut trailers = Vec::new();
    header(&mut trailers, b"grpc-status", status.as_bytes());
    header(&mut trailers, b"grpc-message", text.as_bytes());
    tls.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &trailers))?;
    tls.flush()?;
    while tls.read(&mut [0; 1000])? > 0 {}
    Ok(())
}

/// An answer with these started, voting members, by their client URLs.
pub(super) fn member_list(urls: &[&str]) -> Vec<u8> {
    let mut answer = Vec::new();
    for url in urls {
        let mut member = Vec::new();
        field(&mut member, 2, b"a name");
        field(&mut member, 4, url.as_bytes());
        field(&mut answer, 2, &member);
    }
    answer
}

/// A length-delimited field of a protobuf message.
fn field(message: &mut Vec<u8>, number: u8, contents: &[u8]) {
    message.push(number << 3 | 2);
    let mut length = contents.len();
    while length > 0x7f {
        message.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    message.push(u8::try_from(length).unwrap());
    message.extend(contents);
}

const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// An HTTP/2 frame.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A literal header field, never indexed, without Huffman coding.
pub(super) fn header(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    block.push(0x10);
    for text in [name, value] {
        assert!(text.len() < 127);
        block.push(u8::try_from(text.len()).unwrap());
        block.extend(text);
    }
}
