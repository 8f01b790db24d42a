//! Connecting to etcd: TCP, then mutual TLS.

use super::error::{EndpointCause, MemberListError, rustls_error};
use crate::etcd::endpoint::Endpoint;
use crate::etcd::identity::Identity;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

/// The protocol that gRPC runs over (RFC 9113, section 3.1).
const HTTP2: &[u8] = b"h2";

/// TLS that accepts servers of this CA only, with this identity as the client.
pub(super) fn config(
    ca_certificate: &[u8],
    identity: &Identity,
) -> Result<ClientConfig, MemberListError> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(ca_certificate))?;
    let certificate = CertificateDer::from(identity.certificate().to_vec());
    // Whichever of the three formats it is in.
    let key = PrivateKeyDer::try_from(identity.key().to_vec())
        .map_err(|_| rustls::Error::General("the private key cannot be parsed".to_owned()))?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![HTTP2.to_vec()];
    Ok(config)
}

/// Connects to the first address that accepts. If none does, the first error is returned: the later
/// one may only be that the host has no IPv6.
pub(super) async fn tcp(endpoint: &Endpoint) -> Result<TcpStream, EndpointCause> {
    let mut first = None;
    for address in endpoint.addresses() {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => first = first.or(Some(EndpointCause::of_connecting(&error))),
        }
    }
    Err(first.unwrap_or(EndpointCause::NothingListens))
}

/// Performs the TLS handshake, which authenticates the server.
pub(super) async fn tls(
    tcp: TcpStream,
    endpoint: &Endpoint,
    config: Arc<ClientConfig>,
) -> Result<MonitoredStream, EndpointCause> {
    let name = ServerName::try_from(endpoint.server_name()).map_err(|_| EndpointCause::NotHttp2)?;
    let stream = TlsConnector::from(config)
        .connect(name, tcp)
        .await
        .map_err(|error| {
            rustls_error(&error).map_or_else(|| EndpointCause::of_io(&error), EndpointCause::of_tls)
        })?;
    if stream.get_ref().1.alpn_protocol() != Some(HTTP2) {
        return Err(EndpointCause::NotHttp2);
    }
    Ok(MonitoredStream {
        stream,
        close_reason: CloseReason::default(),
    })
}

/// Why a connection was closed.
///
/// With TLS 1.3, a server checks the client certificate after the client has finished the handshake,
/// so that an alert arrives instead of the answer, and HTTP/2 does not pass it on.
#[derive(Clone, Default)]
pub(super) struct CloseReason(Arc<OnceLock<EndpointCause>>);

impl CloseReason {
    pub(super) fn cause(&self) -> Option<EndpointCause> {
        self.0.get().cloned()
    }

    fn set(&self, error: &io::Error) {
        let cause =
            rustls_error(error).map_or_else(|| EndpointCause::of_io(error), EndpointCause::of_tls);
        let _ = self.0.set(cause); // keeps the first
    }
}

/// A TLS connection that records why it was closed.
pub(super) struct MonitoredStream {
    stream: TlsStream<TcpStream>,
    close_reason: CloseReason,
}

impl MonitoredStream {
    /// Set once the connection is closed.
    pub(super) fn close_reason(&self) -> CloseReason {
        self.close_reason.clone()
    }

    /// The server's own certificate, DER.
    pub(super) fn server_certificate(&self) -> Option<Vec<u8>> {
        let chain = self.stream.get_ref().1.peer_certificates()?;
        chain.first().map(|certificate| certificate.to_vec())
    }
}

impl AsyncRead for MonitoredStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let outcome = ready!(Pin::new(&mut this.stream).poll_read(cx, buffer));
        match &outcome {
            Err(error) => this.close_reason.set(error),
            Ok(()) if buffer.filled().len() == before => {
                this.close_reason.set(&io::ErrorKind::UnexpectedEof.into());
            }
            Ok(()) => {}
        }
        Poll::Ready(outcome)
    }
}

/// A failed write is ignored: the server has closed the connection, and its last message, which has
/// the reason, can still be read.
impl AsyncWrite for MonitoredStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes));
        Poll::Ready(Ok(written.unwrap_or(bytes.len())))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = ready!(Pin::new(&mut self.get_mut().stream).poll_flush(cx));
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl From<rustls::Error> for MemberListError {
    fn from(error: rustls::Error) -> Self {
        Self::Setup(error)
    }
}
