//! The way to etcd: TCP by address, then mutual TLS.

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
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

/// The protocol that gRPC runs over (RFC 9113, section 3.1).
const HTTP2: &[u8] = b"h2";

/// TLS with this one CA for the server, and this identity for us.
pub(super) fn config(
    ca_certificate: &[u8],
    identity: &Identity,
) -> Result<ClientConfig, MemberListError> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(ca_certificate))?;
    let certificate = CertificateDer::from(identity.certificate().to_vec());
    let key = PrivatePkcs8KeyDer::from(identity.key().to_vec());
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], key.into())?;
    config.alpn_protocols = vec![HTTP2.to_vec()];
    Ok(config)
}

/// Connects to the first address that accepts. When none does, the first one's reason counts:
/// `localhost` is tried over IPv6 on hosts that have none, too.
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

/// Does the handshake, after which the server is who it should be.
pub(super) async fn tls(
    tcp: TcpStream,
    endpoint: &Endpoint,
    config: Arc<ClientConfig>,
) -> Result<Watched, EndpointCause> {
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
    Ok(Watched {
        stream,
        end: End::default(),
    })
}

/// How a connection ended, for those who only see that it did.
///
/// With TLS 1.3 a server judges our certificate when our handshake is over, so its refusal
/// comes in place of its answer, and HTTP/2 does not pass it on.
#[derive(Clone, Default)]
pub(super) struct End(Arc<OnceLock<EndpointCause>>);

impl End {
    /// What ended the connection, if anything did.
    pub(super) fn cause(&self) -> Option<EndpointCause> {
        self.0.get().cloned()
    }

    fn set(&self, error: &io::Error) {
        let cause =
            rustls_error(error).map_or_else(|| EndpointCause::of_io(error), EndpointCause::of_tls);
        let _ = self.0.set(cause); // the first is the one that counts
    }
}

/// A TLS connection that remembers how it ended.
pub(super) struct Watched {
    stream: TlsStream<TcpStream>,
    end: End,
}

impl Watched {
    /// How it will have ended.
    pub(super) fn end(&self) -> End {
        self.end.clone()
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let outcome = ready!(Pin::new(&mut this.stream).poll_read(cx, buffer));
        match &outcome {
            Err(error) => this.end.set(error),
            Ok(()) if buffer.filled().len() == before => {
                this.end.set(&io::ErrorKind::UnexpectedEof.into());
            }
            Ok(()) => {}
        }
        Poll::Ready(outcome)
    }
}

/// A write that fails is not shown: the server has gone, and what it said before it went is
/// still there to be read. Reading then tells how the connection ended.
impl AsyncWrite for Watched {
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
