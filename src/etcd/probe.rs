//! What an intruder would try on a socket of etcd, and how far that leads.
//!
//! Nothing is written: the requests are for etcd's version and its members, as that one member
//! knows them. Who the server is does not matter here, so that its certificate is not verified;
//! what it says is never shown.

use super::error::rustls_error;
use super::identity::Identity;
use super::runtime;
use http::{HeaderMap, Request, StatusCode, header};
use hyper::body::{Body, Bytes, Frame};
use hyper::client::conn::http2::Builder;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    self, AlertDescription, ClientConfig, DigitallySignedStruct, SignatureScheme,
};

/// How long each attempt may take. All of them run at the same time.
const TIME: Duration = Duration::from_secs(3);

/// How much is read of an answer over HTTP/1.1.
const ANSWER_LIMIT: usize = 8 * 1024;

/// How much a server may send over HTTP/2 before we have read it.
const WINDOW: u32 = 64 * 1024;

/// How much of headers it may send.
const HEADER_LIMIT: u32 = 16 * 1024;

/// What etcd's answer to `GET /version` has in it.
const VERSION: &[u8] = b"\"etcdserver\"";

/// What is between the headers and the body (RFC 9112, section 2.1).
const HEADERS_END: &[u8] = b"\r\n\r\n";

/// What has neither etcd's API nor an answer that says so.
const STRANGE: &str = "unexpected answer, not etcd's";

/// How somebody tries to get in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Without TLS.
    Plain,
    /// With TLS, and no certificate.
    NoCertificate,
    /// With a certificate that no CA has signed.
    SelfSigned,
    /// With a certificate for clients, of the CA.
    Client,
}

/// Where that led.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// In.
    Open(Service),
    /// To an HTTP server without etcd's API: metrics and health (`listen-metrics-urls`).
    NoApi,
    /// Nowhere.
    Refused,
    /// It cannot be told, for this reason.
    Unclear(&'static str),
}

/// What a socket serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Clients,
    Peers,
}

/// One socket, and every way that was tried on it.
#[derive(Debug)]
pub(crate) struct SocketProbe {
    pub(crate) address: SocketAddr,
    pub(crate) outcomes: Vec<(Way, Outcome)>,
}

/// The address to connect to for one that is listened on.
pub(crate) fn target(listening: SocketAddr) -> SocketAddr {
    let ip = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listening.port())
}

/// Tries every socket in every way, in the network namespace given, or ours. `client` is tried
/// only if it is given.
///
/// # Errors
/// This host has no means to try: no thread, no random numbers, no way into that namespace.
pub(crate) fn probe(
    sockets: &[SocketAddr],
    namespace: Option<&File>,
    client: Option<&Identity>,
) -> io::Result<Vec<SocketProbe>> {
    let addresses: Vec<IpAddr> = sockets.iter().map(|socket| target(*socket).ip()).collect();
    let impostor = Identity::self_signed(&addresses).map_err(io::Error::other)?;
    let mut ways = vec![
        (Way::Plain, None),
        (Way::NoCertificate, Some(None)),
        (Way::SelfSigned, Some(Some(&impostor))),
    ];
    ways.extend(client.map(|client| (Way::Client, Some(Some(client)))));
    let ways: Vec<(Way, Option<Tls>)> = ways
        .into_iter()
        .map(|(way, identity)| Ok((way, identity.map(Tls::new).transpose()?)))
        .collect::<Result<_, rustls::Error>>()
        .map_err(io::Error::other)?;

    // A namespace is a thread's; this thread stays where it is.
    std::thread::scope(|scope| {
        let tried = std::thread::Builder::new().spawn_scoped(scope, || {
            if let Some(namespace) = namespace {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            }
            Ok(runtime()?.block_on(all(sockets, &ways)))
        })?;
        let failed = |_| Err(io::Error::other("the attempts ended in a panic"));
        tried.join().unwrap_or_else(failed)
    })
}

async fn all(sockets: &[SocketAddr], ways: &[(Way, Option<Tls>)]) -> Vec<SocketProbe> {
    let mut running = Vec::new();
    for socket in sockets {
        let address = target(*socket);
        let attempts = ways.iter().map(|(way, tls)| {
            let api = tokio::spawn(within(http1(address, tls.clone())));
            let grpc = tokio::spawn(within(grpc(address, tls.clone())));
            (*way, api, grpc)
        });
        running.push((*socket, attempts.collect::<Vec<_>>()));
    }
    let mut found = Vec::new();
    for (address, attempts) in running {
        let mut outcomes = Vec::new();
        for (way, api, grpc) in attempts {
            let failed = Outcome::Unclear("the attempt failed");
            let api = api.await.unwrap_or_else(|_| failed.clone());
            let grpc = grpc.await.unwrap_or(failed);
            outcomes.push((way, farther(api, grpc)));
        }
        found.push(SocketProbe { address, outcomes });
    }
    found
}

async fn within(attempt: impl Future<Output = Result<Outcome, Outcome>>) -> Outcome {
    tokio::time::timeout(TIME, attempt)
        .await
        .map_or(Outcome::Unclear("it does not answer in time"), |outcome| {
            outcome.unwrap_or_else(|outcome| outcome)
        })
}

/// Of two attempts, what the one has found that came farther.
fn farther(one: Outcome, other: Outcome) -> Outcome {
    let rank = |outcome: &Outcome| match outcome {
        Outcome::Refused => 0,
        Outcome::Unclear(_) => 1,
        Outcome::NoApi => 2,
        Outcome::Open(Service::Clients) => 3,
        Outcome::Open(Service::Peers) => 4,
    };
    if rank(&other) > rank(&one) {
        other
    } else {
        one
    }
}

/// Asks for what only etcd's API has, over HTTP/1.1.
async fn http1(address: SocketAddr, tls: Option<Tls>) -> Result<Outcome, Outcome> {
    // A client that names no protocol is taken for one that speaks HTTP/1.1.
    let answer = get(address, tls.as_ref(), "/version", VERSION).await?;
    // A server of nothing but gRPC begins with its settings, whatever it is asked.
    if is_settings(&answer) {
        return Ok(Outcome::Open(Service::Clients));
    }
    match status(&answer) {
        None if answer.is_empty() => return Ok(Outcome::Refused),
        None => return Ok(Outcome::Unclear(STRANGE)),
        Some(b"200") if contains(&answer, VERSION) => {}
        Some(b"400") if tls.is_none() && contains(&answer, b"HTTPS server") => {
            return Ok(Outcome::Refused);
        }
        Some(b"404") => return Ok(Outcome::NoApi),
        Some(_) => return Ok(Outcome::Unclear(STRANGE)),
    }
    // Both serve their version; this only peers.
    let members = get(address, tls.as_ref(), "/members", HEADERS_END).await;
    let is_peers = members.is_ok_and(|answer| status(&answer) == Some(b"200"));
    Ok(Outcome::Open(if is_peers {
        Service::Peers
    } else {
        Service::Clients
    }))
}

/// The answer to a request, up to these bytes in it if it is a good one.
async fn get(
    address: SocketAddr,
    tls: Option<&Tls>,
    path: &str,
    until: &[u8],
) -> Result<Vec<u8>, Outcome> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let tcp = connect(address).await?;
    match tls {
        None => exchange(tcp, request.as_bytes(), until).await,
        Some(tls) => {
            let tls = tls.connect(tcp, address, &[]).await?;
            exchange(tls, request.as_bytes(), until).await
        }
    }
}

/// Sends a request, and reads until the answer is there, or it is clear that none comes.
async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &[u8],
    until: &[u8],
) -> Result<Vec<u8>, Outcome> {
    // A server that has refused us may be gone; what it said is still there to be read.
    let _ = stream.write_all(request).await;
    let _ = stream.flush().await;
    let mut answer = Vec::new();
    let mut part = [0; 1024];
    while answer.len() < ANSWER_LIMIT && !is_enough(&answer, until) {
        match stream.read(&mut part).await {
            Ok(0) => break,
            Ok(length) => answer.extend(part.get(..length).unwrap_or_default()),
            Err(error) if answer.is_empty() => return Err(outcome_of(&error)),
            Err(_) => break,
        }
    }
    Ok(answer)
}

/// Whether all that counts has been read: not every server closes the connection.
fn is_enough(answer: &[u8], until: &[u8]) -> bool {
    let is_other = || contains(answer, HEADERS_END) && status(answer) != Some(b"200");
    is_settings(answer) || contains(answer, until) || is_other()
}

/// The status code of an HTTP/1.x response (RFC 9112, section 4).
fn status(answer: &[u8]) -> Option<&[u8]> {
    let rest = answer.strip_prefix(b"HTTP/1.")?;
    rest.get(2..5)
}

/// Whether it begins with the frame that a server of HTTP/2 sends first (RFC 9113, section 3.4).
fn is_settings(answer: &[u8]) -> bool {
    matches!(answer, [0, _, length, 4, 0, 0, 0, 0, 0, ..] if length % 6 == 0)
}

fn contains(answer: &[u8], part: &[u8]) -> bool {
    answer.windows(part.len()).any(|window| window == part)
}

/// Asks for the members over gRPC. Any answer from a server of gRPC will do, an error too.
async fn grpc(address: SocketAddr, tls: Option<Tls>) -> Result<Outcome, Outcome> {
    let tcp = connect(address).await?;
    match tls {
        None => call(tcp, "http").await,
        Some(tls) => call(tls.connect(tcp, address, &[b"h2"]).await?, "https").await,
    }
}

async fn call(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    scheme: &str,
) -> Result<Outcome, Outcome> {
    let refused = |_: hyper::Error| Outcome::Refused;
    let (mut sender, driver) = Builder::new(TokioExecutor::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_header_list_size(HEADER_LIMIT)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(refused)?;
    // It ends with the runtime. Its error is told to the call, too.
    tokio::spawn(driver);
    let request = Request::post(format!("{scheme}://etcd/etcdserverpb.Cluster/MemberList"))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .body(EmptyMessage(false))
        .map_err(|_| Outcome::Unclear("the attempt failed"))?;
    let response = sender.send_request(request).await.map_err(refused)?;
    Ok(if is_grpc(response.headers()) {
        Outcome::Open(Service::Clients)
    } else if response.status() == StatusCode::NOT_FOUND {
        Outcome::NoApi
    } else {
        Outcome::Unclear(STRANGE)
    })
}

/// A message of gRPC without any field (its length is all that there is of it), sent once.
///
/// Some servers wait for it for ever, although the stream has ended.
struct EmptyMessage(bool);

impl Body for EmptyMessage {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let is_sent = std::mem::replace(&mut this.0, true);
        Poll::Ready((!is_sent).then(|| Ok(Frame::data(Bytes::from_static(&[0; 5])))))
    }

    fn is_end_stream(&self) -> bool {
        self.0
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

async fn connect(address: SocketAddr) -> Result<TcpStream, Outcome> {
    TcpStream::connect(address)
        .await
        .map_err(|_| Outcome::Unclear("the connection cannot be made"))
}

/// TLS with any server, as somebody or as nobody.
#[derive(Clone)]
struct Tls(ClientConfig);

impl Tls {
    fn new(identity: Option<&Identity>) -> Result<Self, rustls::Error> {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer));
        Ok(Self(match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let certificate = CertificateDer::from(identity.certificate().to_vec());
                let key = PrivatePkcs8KeyDer::from(identity.key().to_vec());
                builder.with_client_auth_cert(vec![certificate], key.into())?
            }
        }))
    }

    async fn connect(
        &self,
        tcp: TcpStream,
        address: SocketAddr,
        protocols: &[&[u8]],
    ) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + use<>, Outcome> {
        let mut config = self.0.clone();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
            .connect(ServerName::from(address.ip()), tcp)
            .await
            .map_err(|error| outcome_of(&error))
    }
}

/// What the end of a connection means. Only a refusal that has to do with our certificate, or
/// with TLS as such, is one; an intruder may speak what we do not.
fn outcome_of(error: &io::Error) -> Outcome {
    match rustls_error(error) {
        Some(rustls::Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::CertificateRequired
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::AccessDenied
            | AlertDescription::NoApplicationProtocol,
        ))
        | Some(rustls::Error::InvalidMessage(_)) => Outcome::Refused,
        Some(_) => Outcome::Unclear("the TLS handshake fails before certificates are exchanged"),
        None => match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Outcome::Refused,
            _ => Outcome::Unclear("the connection fails"),
        },
    }
}

/// Takes every server's certificate. Nothing that is sent to it is secret.
#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        // A server with such a key would end the handshake otherwise. It is not verified here.
        let unverified = [
            SignatureScheme::ECDSA_NISTP521_SHA512,
            SignatureScheme::ECDSA_SHA1_Legacy,
            SignatureScheme::RSA_PKCS1_SHA1,
        ];
        default_provider()
            .signature_verification_algorithms
            .supported_schemes()
            .into_iter()
            .chain(unverified)
            .collect()
    }
}
